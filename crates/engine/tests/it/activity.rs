//! Looking with an expression: what it is true for, in pages; what it says nothing of; where it stops.

use bytes::Bytes;
use hookward_engine::activity::{ASKED_MAX, Sifted};
use hookward_engine::store::{ActivityFilter, Page};
use hookward_engine::{Declared, EngineError, Publish};

use crate::support::Rig;
use crate::{ORG, by};

async fn publish(rig: &Rig, payload: String) {
    let (event_type, payload) = ("t".to_owned(), Bytes::from(payload));
    rig.engine.publish(Publish { event_type, payload, idempotency_key: None, by: by("api") }).await.unwrap();
}

async fn sift(rig: &Rig, expression: &str, page: Page) -> Result<Sifted, EngineError> {
    rig.engine.sift(ORG, ActivityFilter::default(), expression, page).await
}

async fn bodies(rig: &Rig, sifted: &Sifted) -> Vec<Bytes> {
    let mut bodies = Vec::new();
    for activity in &sifted.found.items {
        bodies.push(rig.engine.store().body(ORG, activity.event.id).await.unwrap());
    }
    bodies
}

#[tokio::test]
async fn an_expression_picks_events_by_their_bodies_page_by_page() {
    let rig = Rig::new(Declared::default()).await;
    for n in 1..=250 {
        publish(&rig, format!("{{\"n\":{n}}}")).await;
    }
    let (mut seen, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = sift(&rig, "body.n % 50 == 0", Page { before, limit: 2 }).await.unwrap();
        assert_eq!((page.failed, page.found.looked_back_to), (0, None));
        seen.extend(bodies(&rig, &page).await);
        (before, pages) = (page.found.next, pages + 1);
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["{\"n\":250}", "{\"n\":200}", "{\"n\":150}", "{\"n\":100}", "{\"n\":50}"]);
    assert_eq!(pages, 3);
}

#[tokio::test]
async fn what_it_has_no_value_for_is_counted_and_what_is_none_is_refused() {
    let rig = Rig::new(Declared::default()).await;
    for payload in ["{\"a\":1}", "{\"b\":1}", "[]"] {
        publish(&rig, payload.to_owned()).await;
    }
    let page = Page { before: None, limit: 10 };
    let found = sift(&rig, "body.a == 1", page).await.unwrap();
    assert_eq!((bodies(&rig, &found).await, found.failed), (vec![Bytes::from_static(b"{\"a\":1}")], 2));
    assert_eq!(found.failure, "found no matching overload for '_._' applied to '(list, string)'");
    let text = sift(&rig, "event", page).await.unwrap();
    assert_eq!((text.found.items.len(), text.failed), (0, 3), "a text is no answer");
    assert!(matches!(sift(&rig, "body.a ==", page).await, Err(EngineError::Invalid(_))));
    assert!(matches!(sift(&rig, "secrets", page).await, Err(EngineError::Invalid(_))));
}

#[tokio::test]
async fn a_look_ends_after_so_many_events_and_goes_on_from_there() {
    let rig = Rig::new(Declared::default()).await;
    for n in 0..=ASKED_MAX {
        publish(&rig, n.to_string()).await;
    }
    let first = sift(&rig, "body == 0", Page { before: None, limit: 10 }).await.unwrap();
    assert!(first.found.items.is_empty() && first.found.looked_back_to.is_some());
    let second = sift(&rig, "body == 0", Page { before: first.found.next, limit: 10 }).await.unwrap();
    assert_eq!(bodies(&rig, &second).await, ["0"]);
    assert_eq!((second.found.next, second.found.looked_back_to), (None, None));
}
