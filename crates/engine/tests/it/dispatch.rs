//! How fast deliveries go out: within each destination's rate, and without looking at what cannot go.

use crate::{ORG, by};
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookward_engine::clock::SystemEntropy;
use hookward_engine::fanout;
use hookward_engine::ids::{DeliveryId, EventId};
use hookward_engine::model::{AuditEntry, DeliveryCause, DestinationState, Rate};
use hookward_engine::store::{Drain, NewDelivery};
use hookward_engine::{Declared, DeclaredDestination};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::receiver::Receiver;
use crate::support::{Rig, http_to};

const TENTH: Duration = Duration::from_millis(100);

fn limited(name: &str, receiver: &Receiver, requests: u32, per: Duration, burst: u32) -> DeclaredDestination {
    let mut destination = http_to(name, receiver.url());
    // An event of its own would be owed as well.
    destination.spec.event_types = vec!["never".to_owned()];
    destination.spec.limits.rate = Some(Rate { requests, per, burst });
    destination.spec.concurrency = 64;
    destination
}

impl Rig {
    /// Publishes one event that nobody is owed.
    pub(crate) async fn unowed_event(&self) -> EventId {
        self.publish("probe", "{}").await
    }

    /// Owes `event` to the destination of this name so often.
    pub(crate) async fn owe(&self, event: EventId, name: &str, count: u32) {
        let destination = self.engine.destination(ORG, name).unwrap();
        let now = hookward_engine::clock::Clock::now(&*self.clock);
        let cause = || DeliveryCause::Redelivery { of: None };
        let owe = |_| fanout::owe(&destination, DeliveryId::new(now, &SystemEntropy), now, cause());
        let deliveries: Vec<NewDelivery> = (0..count).map(owe).collect();
        let audit = AuditEntry::by(&by("test"), "event.redeliver", "event:many", now, json!({}));
        self.store.redeliver(event, deliveries, audit).await.unwrap();
    }
}

#[tokio::test]
async fn attempts_are_as_far_apart_as_the_rate_says() {
    let receiver = Receiver::start().await;
    let destinations = vec![limited("ci", &receiver, 10, Duration::from_secs(1), 1)];
    let rig = Rig::new(Declared { destinations, ..Declared::default() }).await;
    let event = rig.unowed_event().await;
    rig.owe(event, "ci", 9).await;
    let after = async |millis| {
        rig.clock.advance(Duration::from_millis(millis));
        rig.engine.run_until_idle().await;
        receiver.received().len()
    };
    assert_eq!([after(0).await, after(99).await, after(1).await, after(99).await, after(1).await], [1, 1, 2, 2, 3]);
    // A long silence is no reason to be hurried now.
    assert_eq!([after(10_000).await, after(100).await], [4, 5]);
}

#[tokio::test]
async fn a_retry_takes_its_place_like_any_other_attempt() {
    let receiver = Receiver::start().await;
    let mut destination = limited("ci", &receiver, 1, Duration::from_secs(1), 2);
    destination.spec.retry.waits_s = vec![0, 0, 0, 0];
    destination.spec.health.breaker = None;
    let rig = Rig::new(Declared { destinations: vec![destination], ..Declared::default() }).await;
    receiver.answer_always("500 Internal Server Error");
    rig.owe(rig.unowed_event().await, "ci", 1).await;
    let mut counts = vec![];
    for _ in 0..6 {
        rig.engine.run_until_idle().await;
        counts.push(receiver.received().len());
        rig.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(counts, [2, 3, 4, 5, 5, 5], "a burst of two, then one each second, until all five are used");
}

/// After an outage: 100,000 deliveries are overdue. Each step is one look at the few that may go, however many wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_overdue_go_out_no_faster_than_each_limit() {
    let (fast, slow) = (Receiver::start().await, Receiver::start().await);
    let second = Duration::from_secs(1);
    let destinations = vec![limited("fast", &fast, 50, second, 5), limited("slow", &slow, 10, second, 1)];
    let rig = Rig::new(Declared { destinations, ..Declared::default() }).await;
    for name in ["fast", "slow"] {
        rig.engine.set_destination_state(name, DestinationState::Paused, &by("test")).await.unwrap();
    }
    for _ in 0..250 {
        let event = rig.unowed_event().await;
        rig.owe(event, "fast", 200).await;
        rig.owe(event, "slow", 200).await;
    }
    rig.clock.advance(Duration::from_secs(3600));
    for name in ["fast", "slow"] {
        let held = rig.engine.resume_destination(name, Drain::AtOnce, &by("test")).await.unwrap();
        assert_eq!(held, 50_000);
    }
    for step in 0..=20 {
        rig.engine.run_until_idle().await;
        assert_eq!((fast.received().len(), slow.received().len()), (5 + step * 5, 1 + step), "after {step} tenths");
        rig.clock.advance(TENTH);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatcher_sleeps_until_the_next_may_go_and_wakes_then() {
    let receiver = Receiver::start().await;
    let destinations = vec![limited("ci", &receiver, 10, Duration::from_secs(1), 1)];
    let rig = Rig::new(Declared { destinations, ..Declared::default() }).await;
    rig.owe(rig.unowed_event().await, "ci", 5).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (engine, stop) = (rig.engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    for count in 1..=5 {
        receiver.arrived(count).await;
        // Settled, and with nothing to do: whoever looked again and again would be seen to.
        while rig.deliveries().await.iter().filter(|one| one.attempts == 1).count() < count {
            tokio::task::yield_now().await;
        }
        let before = rig.clock.sleeps.load(Ordering::SeqCst);
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        let looks = rig.clock.sleeps.load(Ordering::SeqCst) - before;
        assert!(looks < 20, "{looks} looks at what cannot go yet");
        assert_eq!(receiver.received().len(), count);
        rig.clock.advance(TENTH);
    }
    stop.cancel();
    running.await.unwrap();
}
