//! Publishing: idempotency keys, and batches in which each event is judged by itself.

use std::time::Duration;

use bytes::Bytes;
use hookward_engine::{BATCH_MAX, Declared, Publish, PublishError, Published};

use crate::support::{Rig, http_to, receiver::Receiver};
use crate::{ORG, by};

fn event(event_type: &str, payload: &str, key: Option<&str>) -> Publish {
    Publish {
        event_type: event_type.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        idempotency_key: key.map(str::to_owned),
        by: by("api"),
    }
}

async fn types(rig: &Rig) -> Vec<String> {
    let filter = hookward_engine::store::EventFilter::default();
    let mut events = rig.engine.store().events(ORG, filter, crate::support::ALL).await.unwrap().items;
    events.reverse();
    events.into_iter().map(|event| event.event_type).collect()
}

#[tokio::test]
async fn a_key_is_kept_for_seven_days_and_tells_another_payload() {
    let rig = Rig::new(Declared::default()).await;
    let first = rig.engine.publish(event("a", "1", Some("k"))).await.unwrap();
    let Published::Accepted(first) = first else { panic!("{first:?}") };
    rig.clock.advance(Duration::from_secs(7 * 86_400 - 1));
    let again = rig.engine.publish(event("a", "1", Some("k"))).await.unwrap();
    assert!(matches!(again, Published::Repeated(again) if again.first_event() == first.event()));
    let other = rig.engine.publish(event("a", "2", Some("k"))).await.unwrap_err();
    assert_eq!(other, PublishError::IdempotencyConflict { first: first.event() });
    rig.clock.advance(Duration::from_secs(1));
    let later = rig.engine.publish(event("a", "2", Some("k"))).await.unwrap();
    assert!(matches!(later, Published::Accepted(_)));
}

#[tokio::test]
async fn each_event_of_a_batch_is_judged_by_itself_and_their_order_is_kept() {
    let receiver = Receiver::start().await;
    let destinations = vec![http_to("ci", receiver.url())];
    let rig = Rig::new(Declared { destinations, ..Declared::default() }).await;
    let before = rig.engine.publish(event("zero", "0", Some("known"))).await.unwrap();
    let Published::Accepted(before) = before else { panic!("{before:?}") };
    let batch = vec![
        event("one", "1", None),
        event("two words", "2", None),
        event("zero", "0", Some("known")),
        event("zero", "other", Some("known")),
        event("three", "3", Some("new")),
        event("three", "3", Some("new")),
        event("four", "4", Some("new")),
        event("five", "5", None),
    ];
    let answers = rig.engine.publish_batch(batch).await.unwrap();
    let told: Vec<&str> = answers
        .iter()
        .map(|answer| match answer {
            Ok(Published::Accepted(_)) => "accepted",
            Ok(Published::Repeated(_)) => "repeated",
            Err(PublishError::IdempotencyConflict { .. }) => "conflict",
            Err(PublishError::Invalid(_)) => "refused",
            Err(other) => panic!("{other}"),
        })
        .collect();
    assert_eq!(told, ["accepted", "refused", "repeated", "conflict", "accepted", "repeated", "conflict", "accepted"]);
    let Ok(Published::Repeated(repeated)) = &answers[2] else { panic!("{answers:?}") };
    assert_eq!(repeated.first_event(), before.event());
    assert_eq!(types(&rig).await, ["zero", "one", "three", "five"]);
    rig.engine.run_until_idle().await;
    let mut bodies: Vec<_> = receiver.received().into_iter().map(|request| request.body).collect();
    bodies.sort();
    assert_eq!(bodies, [b"0", b"1", b"3", b"5"]);
}

#[tokio::test]
async fn a_batch_has_at_most_a_thousand_events() {
    let rig = Rig::new(Declared::default()).await;
    let many = |count| (0..count).map(|n: usize| event("many", &n.to_string(), None)).collect::<Vec<_>>();
    let error = rig.engine.publish_batch(many(BATCH_MAX + 1)).await.unwrap_err();
    assert!(matches!(error, PublishError::Invalid(_)), "{error}");
    assert_eq!(rig.engine.publish_batch(many(BATCH_MAX)).await.unwrap().len(), BATCH_MAX);
    assert_eq!(rig.engine.store().event_position(None).await.unwrap(), 1000);
    assert_eq!(rig.engine.publish_batch(vec![]).await.unwrap().len(), 0);
}
