//! Refused requests, as every store must keep them: the last of each door, whole.

use bytes::Bytes;
use hookward_engine::ids::RefusedId;
use hookward_engine::model::*;
use hookward_engine::store::*;
use serde_json::json;

use super::support::*;

fn refused_id(n: u32) -> RefusedId {
    RefusedId::from_bytes(id_bytes(7, n))
}

fn refused(n: u32, at_door: &str, reason: &str) -> RefusedRequest {
    RefusedRequest {
        id: refused_id(n),
        organization: ORG,
        refused_at: RefusedAt::from_text(at_door.to_owned()),
        at: at(i64::from(n)),
        reason: reason.to_owned(),
        explanation: "a sentence".to_owned(),
        detail: json!({ "skew_s": n }),
        request: new_event(n).event.request,
        body_len: 100_000,
        body_start: Bytes::from_static(b"\xff\x00 start"),
        count: 3,
    }
}

async fn listed(store: &Shared, door: Option<&str>, reason: Option<&str>) -> Vec<RefusedId> {
    let filter = RefusedFilter { door: door.map(str::to_owned), reason: reason.map(str::to_owned) };
    store.all_refused(ORG, filter, PAGE).await.unwrap().items.into_iter().map(|refused| refused.id).collect()
}

fn ids(numbers: &[u32]) -> Vec<RefusedId> {
    numbers.iter().map(|n| refused_id(*n)).collect()
}

pub(crate) async fn a_refused_request_comes_back_as_it_went_in(store: &Shared) {
    let entry = audit("webhook.refused", at(5));
    let (at_source, at_path) = (refused(1, "source-1", "a"), refused(2, "/hooks", "a"));
    store.refuse(vec![at_source.clone(), at_path.clone()], vec![entry.clone()], 9).await.unwrap();
    assert_eq!(store.refused(ORG, refused_id(1)).await.unwrap(), at_source);
    assert_eq!(store.refused(ORG, refused_id(2)).await.unwrap(), at_path);
    assert_eq!(store.audit(ORG, PAGE).await.unwrap().items[0].entry, entry);
    let unknown = store.refused(ORG, refused_id(9)).await.unwrap_err();
    assert_eq!(unknown, StoreError::NotFound { what: format!("refused request `{}`", refused_id(9)) });
}

pub(crate) async fn the_last_refused_requests_of_each_door_stay(store: &Shared) {
    store.refuse(vec![refused(1, "quiet", "a")], vec![], 3).await.unwrap();
    for n in 2..=5 {
        store.refuse(vec![refused(n, "loud", "a")], vec![], 3).await.unwrap();
    }
    assert_eq!(listed(store, None, None).await, ids(&[5, 4, 3, 1]));
    let many = (6..=15).map(|n| refused(n, if n % 2 == 0 { "loud" } else { "/path" }, "a")).collect();
    store.refuse(many, vec![], 3).await.unwrap();
    assert_eq!(listed(store, None, None).await, ids(&[15, 14, 13, 12, 11, 10, 1]));
}

pub(crate) async fn refused_requests_are_filtered_by_all_that_is_asked(store: &Shared) {
    let doors = [("one", "a"), ("one", "b"), ("/two", "a"), ("/two", "b"), ("one", "a")];
    let all = (1..).zip(doors).map(|(n, (door, reason))| refused(n, door, reason)).collect();
    store.refuse(all, vec![], 9).await.unwrap();
    assert_eq!(listed(store, Some("one"), None).await, ids(&[5, 2, 1]));
    assert_eq!(listed(store, Some("/two"), Some("b")).await, ids(&[4]));
    assert_eq!(listed(store, None, Some("a")).await, ids(&[5, 3, 1]));
    assert_eq!(listed(store, Some("three"), None).await, ids(&[]));
    let first = store.all_refused(ORG, RefusedFilter::default(), Page { before: None, limit: 3 }).await.unwrap();
    let rest = store.all_refused(ORG, RefusedFilter::default(), Page { before: first.next, limit: 3 }).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.next), (3, 2, None));
}
