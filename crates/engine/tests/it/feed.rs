//! Following what happens: nothing is missed, nothing comes twice, the order is that of commits.

use std::time::Duration;

use bytes::Bytes;
use hookward_engine::clock::Clock;
use hookward_engine::feed::{Ask, Start};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Outcome;
use hookward_engine::store::FeedFilter;
use hookward_engine::{Declared, EngineError, Publish};

use crate::support::{Rig, http_to, receiver::Receiver};
use crate::{ORG, by};

fn ask(start: Start, wait: Duration) -> Ask {
    Ask { start, filter: FeedFilter::default(), limit: 100, wait }
}

async fn publish(rig: &Rig, event_type: &str) {
    let payload = Bytes::from_static(b"{}");
    let event_type = event_type.to_owned();
    rig.engine.publish(Publish { event_type, payload, idempotency_key: None, by: by("api") }).await.unwrap();
}

async fn types(rig: &Rig, ask: Ask) -> (Vec<String>, i64) {
    let stretch = rig.engine.follow_events(ORG, ask).await.unwrap();
    (stretch.items.into_iter().map(|event| event.event_type).collect(), stretch.position)
}

#[tokio::test]
async fn a_position_leads_through_everything_once() {
    let rig = Rig::new(Declared::default()).await;
    let (none, start) = types(&rig, ask(Start::Now, Duration::ZERO)).await;
    assert_eq!((none.len(), start), (0, 0));
    for n in 0..7 {
        publish(&rig, &format!("t{n}")).await;
    }
    let mut seen = Vec::new();
    let mut position = start;
    loop {
        let few = Ask { limit: 3, ..ask(Start::After(position), Duration::ZERO) };
        let (found, next) = types(&rig, few).await;
        if found.is_empty() {
            break;
        }
        seen.extend(found);
        position = next;
    }
    assert_eq!(seen, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
    let filter = FeedFilter { event_type: Some("t2".to_owned()), ..FeedFilter::default() };
    let (found, next) = types(&rig, Ask { filter, ..ask(Start::After(start), Duration::ZERO) }).await;
    // What it stepped over is behind it.
    assert_eq!((found, next), (vec!["t2".to_owned()], position));
    let other = OrganizationId::from_bytes([9; 16]);
    let theirs = rig.engine.follow_events(other, ask(Start::After(0), Duration::ZERO)).await.unwrap();
    assert_eq!((theirs.items.len(), theirs.position), (0, position));
}

#[tokio::test]
async fn whoever_waits_is_told_at_once_and_not_for_ever() {
    let rig = Rig::new(Declared::default()).await;
    let engine = rig.engine.clone();
    let waiting =
        tokio::spawn(
            async move { engine.follow_events(ORG, ask(Start::After(0), Duration::from_secs(20))).await.unwrap() },
        );
    tokio::task::yield_now().await;
    publish(&rig, "news").await;
    assert_eq!(waiting.await.unwrap().items[0].event_type, "news");
    let engine = rig.engine.clone();
    let waiting =
        tokio::spawn(
            async move { engine.follow_events(ORG, ask(Start::After(1), Duration::from_secs(20))).await.unwrap() },
        );
    while !waiting.is_finished() {
        rig.clock.advance(Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    let nothing = waiting.await.unwrap();
    assert_eq!((nothing.items.len(), nothing.position), (0, 1));
}

#[tokio::test]
async fn a_time_leads_to_the_first_event_of_it() {
    let rig = Rig::new(Declared::default()).await;
    let mut times = Vec::new();
    for n in 0..20 {
        rig.clock.advance(Duration::from_secs(600));
        times.push(rig.clock.now());
        publish(&rig, &format!("t{n}")).await;
    }
    let (found, _) = types(&rig, ask(Start::At(times[13]), Duration::ZERO)).await;
    assert_eq!(found, ["t13", "t14", "t15", "t16", "t17", "t18", "t19"]);
    let later = times[19].plus(Duration::from_millis(1));
    assert_eq!(types(&rig, ask(Start::At(later), Duration::ZERO)).await, (vec![], 20));
    let problem = rig.engine.follow_events(ORG, ask(Start::After(21), Duration::ZERO)).await.unwrap_err();
    assert!(matches!(problem, EngineError::Invalid(_)), "{problem}");
}

#[tokio::test]
async fn attempts_are_followed_in_the_order_in_which_they_end() {
    let receiver = Receiver::start().await;
    let destinations = vec![http_to("ci", receiver.url())];
    let rig = Rig::new(Declared { destinations, ..Declared::default() }).await;
    let start = rig.engine.follow_attempts(ORG, ask(Start::Now, Duration::ZERO)).await.unwrap().position;
    publish(&rig, "a").await;
    rig.engine.run_until_idle().await;
    publish(&rig, "b").await;
    rig.engine.run_until_idle().await;
    let stretch = rig.engine.follow_attempts(ORG, ask(Start::After(start), Duration::ZERO)).await.unwrap();
    let told: Vec<_> = stretch.items.iter().map(|one| (one.event_type.as_str(), one.destination.as_str())).collect();
    assert_eq!(told, [("a", "ci"), ("b", "ci")]);
    assert_eq!((stretch.items[0].number, stretch.items[0].outcome), (1, Outcome::Success));
    let none = FeedFilter { event_type: Some("c".to_owned()), ..FeedFilter::default() };
    let none = Ask { filter: none, ..ask(Start::After(start), Duration::ZERO) };
    assert_eq!(rig.engine.follow_attempts(ORG, none).await.unwrap().items, []);
}
