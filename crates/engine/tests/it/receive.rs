//! What the inbound door makes of a request besides believing it or not.

use crate::{ORG, by};
use std::time::Duration;

use bytes::Bytes;
use hookward_engine::model::{Rate, SecretOwner};
use hookward_engine::{Declared, NewSecret, Receipt};

use crate::support::{Rig, SECRET, github, http_to, push};

#[tokio::test]
async fn an_event_type_that_its_source_does_not_pass_on_is_recorded_and_owed_to_nobody() {
    let mut source = github();
    source.spec.event_types = vec!["release.*".to_owned(), "push".to_owned()];
    let url = "http://127.0.0.1:9/".to_owned();
    let rig =
        Rig::new(Declared { sources: vec![source], destinations: vec![http_to("ci", url)], ..Declared::default() })
            .await;
    let of_type = |id: &str, event_type: &str| {
        let mut request = push(SECRET, id, &format!("{{\"id\":\"{id}\"}}"));
        let header = request.headers.iter_mut().find(|(name, _)| name == "x-github-event").expect("a type");
        header.1 = Bytes::copy_from_slice(event_type.as_bytes());
        request
    };
    for (id, event_type, owed) in [("a", "push", 1), ("b", "ping", 0), ("c", "release.published", 1), ("d", "", 0)] {
        let Receipt::Accepted(committed) = rig.send(of_type(id, event_type)).await else { panic!("{id} is accepted") };
        assert_eq!(committed.owed(), owed, "{event_type}");
    }
    assert_eq!(rig.event_counts().await, (4, 0));
}

#[tokio::test]
async fn what_is_over_the_rate_is_not_kept_and_what_proves_nothing_takes_none_of_it() {
    let mut source = github();
    source.spec.rate = Some(Rate { requests: 1, per: Duration::from_secs(10), burst: 2 });
    let rig = Rig::new(Declared { sources: vec![source], destinations: vec![], ..Declared::default() }).await;
    for n in 0..100 {
        assert!(matches!(rig.send(push("another secret", &n.to_string(), "{}")).await, Receipt::Refused(_)));
    }
    assert!(matches!(rig.send(push(SECRET, "a", "{\"n\":1}")).await, Receipt::Accepted(_)));
    assert!(
        matches!(rig.send(push(SECRET, "a", "{\"n\":1}")).await, Receipt::Duplicate(_)),
        "a repeat is a request too"
    );
    let wait = |receipt: Receipt| match receipt {
        Receipt::Limited { retry_after } => retry_after,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(rig.send(push(SECRET, "b", "{\"n\":2}")).await), Duration::from_secs(10));
    // A change of what is declared does not make room.
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").expect("declared").id);
    rig.engine
        .put_secret(owner, None, NewSecret::Generated, hookward_engine::Terms::default(), &by("test"))
        .await
        .expect("a new secret");
    rig.clock.advance(Duration::from_millis(9_999));
    assert_eq!(wait(rig.send(push(SECRET, "b", "{\"n\":2}")).await), Duration::from_millis(1));
    rig.clock.advance(Duration::from_millis(1));
    assert!(matches!(rig.send(push(SECRET, "b", "{\"n\":2}")).await, Receipt::Accepted(_)));
    assert_eq!(rig.event_counts().await, (2, 1));
}

#[tokio::test]
async fn a_secret_that_somebody_emptied_on_disk_is_no_secret() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let database = rusqlite::Connection::open(rig.dir.path().join("hookward.db")).unwrap();
    let emptied = database.execute("update secrets set ciphertext = x''", []).unwrap();
    assert_eq!(emptied, 1);
    drop(database);
    let rig = rig.restart().await;
    let mut under_the_empty_key = push(SECRET, "d", "{}");
    // HMAC-SHA-256 of the body under the empty key, computed with the Python standard library.
    let mac = "sha256=22f8eea909400af98adf3681a9f31923ef6b7fcba4abb553d92823a3e9d5c25e";
    let header = under_the_empty_key.headers.iter_mut().find(|(name, _)| name == "x-hub-signature-256");
    header.expect("signed").1 = Bytes::from_static(mac.as_bytes());
    let source = rig.engine.source(ORG, "github").expect("declared").id;
    for request in [push(SECRET, "d", "{}"), under_the_empty_key] {
        assert!(rig.engine.receive(source, request).await.is_err());
    }
    assert_eq!(rig.event_counts().await, (1, 0), "the alert that says so");
}
