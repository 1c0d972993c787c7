//! Retention end to end: by age and by size, beside what goes on, and never against the promise.

use crate::{ORG, by};
use std::time::Duration;

use hookward_engine::model::{Event, Retention};
use hookward_engine::store::EventFilter;
use hookward_engine::{Declared, DeclaredSource, PUBLISH, Publish, Receipt};
use tokio_util::sync::CancellationToken;

use crate::support::receiver::Receiver;
use crate::support::{ALL, Rig, SECRET, github, http_to, push};

const DAY: Duration = Duration::from_secs(86_400);

fn kept_for(age: Option<Duration>, size_bytes: Option<u64>) -> DeclaredSource {
    let mut source = github();
    source.spec.retention = Retention { age, size_bytes };
    source
}

impl Rig {
    async fn events(&self) -> Vec<Event> {
        self.engine.store().events(ORG, EventFilter::default(), ALL).await.unwrap().items
    }

    async fn whole(&self) -> usize {
        self.events().await.iter().filter(|event| event.stripped_at.is_none()).count()
    }

    /// Lets the engine's housekeeping run until `enough`, a minute at a time.
    async fn keep_house_until(&self, enough: impl AsyncFn(&Self) -> bool) {
        let stop = CancellationToken::new();
        let (engine, stopping) = (self.engine.clone(), stop.clone());
        let running = tokio::spawn(async move { engine.run(stopping).await });
        while !enough(self).await {
            for _ in 0..50 {
                tokio::task::yield_now().await;
            }
            self.clock.advance(Duration::from_secs(1));
        }
        stop.cancel();
        running.await.unwrap();
    }
}

#[tokio::test]
async fn what_is_older_than_its_age_goes_and_is_still_known_when_it_comes_again() {
    let receiver = Receiver::start().await;
    let destinations = vec![http_to("ci", receiver.url())];
    let mut rig =
        Rig::new(Declared { sources: vec![kept_for(Some(10 * DAY), None)], destinations, ..Declared::default() }).await;
    for n in 0..100 {
        rig.send(push(SECRET, &format!("d-{n}"), &n.to_string())).await;
    }
    rig.engine.run_until_idle().await;
    rig.clock.advance(10 * DAY);
    rig = rig.restart().await;
    rig.send(push(SECRET, "new", "new")).await;
    rig.keep_house_until(async |rig| rig.whole().await == 1).await;
    assert_eq!(rig.events().await.len(), 101, "the rows stay as long as their dedup keys");
    assert_eq!(receiver.received().len(), 101);
    assert!(matches!(rig.send(push(SECRET, "fresh", "7")).await, Receipt::Duplicate(_)));
    assert!(matches!(rig.send(push(SECRET, "d-7", "fresh")).await, Receipt::Duplicate(_)));
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 101, "an old request sent again runs nothing");
    rig.clock.advance(31 * DAY);
    rig.keep_house_until(async |rig| rig.events().await.is_empty()).await;
    let kept = rig.engine.store().kept().await.unwrap();
    assert!(kept.iter().all(|kept| (kept.events, kept.body_bytes) == (0, 0)), "{kept:?}");
}

#[tokio::test]
async fn the_oldest_go_when_there_is_too_much() {
    let rig =
        Rig::new(Declared { sources: vec![kept_for(None, Some(1000))], destinations: vec![], ..Declared::default() })
            .await;
    for n in 0..30 {
        rig.send(push(SECRET, &format!("d-{n}"), &format!("{n:0100}"))).await;
    }
    rig.keep_house_until(async |rig| rig.whole().await == 10).await;
    let whole: Vec<_> = rig.events().await.into_iter().filter(|event| event.stripped_at.is_none()).collect();
    assert_eq!(whole.last().unwrap().delivery_id.as_deref(), Some("d-20"));
}

#[tokio::test]
async fn what_is_owed_stays_until_it_is_not() {
    let receiver = Receiver::start().await;
    let destinations = vec![http_to("ci", receiver.url())];
    let rig =
        Rig::new(Declared { sources: vec![kept_for(Some(DAY), None)], destinations, ..Declared::default() }).await;
    rig.engine
        .set_destination_state("ci", hookward_engine::model::DestinationState::Paused, &by("test"))
        .await
        .unwrap();
    rig.send(push(SECRET, "d-1", "1")).await;
    rig.clock.advance(2 * DAY);
    let started = hookward_engine::clock::Clock::now(&*rig.clock);
    let later = started.plus(Duration::from_secs(300));
    rig.keep_house_until(async |rig| hookward_engine::clock::Clock::now(&*rig.clock) >= later).await;
    assert_eq!(rig.whole().await, 1);
    rig.engine
        .set_destination_state("ci", hookward_engine::model::DestinationState::Active, &by("test"))
        .await
        .unwrap();
    rig.keep_house_until(async |rig| rig.whole().await == 0).await;
    assert_eq!(receiver.received()[0].body, b"1");
}

#[tokio::test]
async fn the_inner_doors_have_a_retention_too() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let publish = |n: u32| Publish {
        event_type: "t".to_owned(),
        payload: n.to_string().into(),
        idempotency_key: None,
        by: by("test"),
    };
    rig.engine.publish(publish(1)).await.unwrap();
    rig.send(push(SECRET, "d-1", "1")).await;
    rig.engine.declare_inner_retention(Retention { age: Some(DAY), size_bytes: None }).await.unwrap();
    rig.clock.advance(DAY + Duration::from_secs(1));
    rig.keep_house_until(async |rig| rig.events().await.len() == 1).await;
    assert_ne!(rig.events().await[0].source_name, PUBLISH);
}
