//! Pausing and resuming: what is held is counted, and drained at once, at a rate, or not at all.

use crate::{ORG, by};
use std::time::Duration;

use hookward_engine::model::{DeliveryState, DestinationState};
use hookward_engine::store::{Drain, Owed};
use hookward_engine::{DRAIN_MAX, Declared, EngineError};
use serde_json::json;

use crate::support::receiver::Receiver;
use crate::support::{ALL, Rig, http_to};

impl Rig {
    /// What the destination of this name is owed: outstanding, held, waiting.
    pub(crate) async fn owed(&self, name: &str) -> (u64, u64, u64) {
        let owed = self.engine.backlog_of(&[self.engine.destination(ORG, name).unwrap()]).await.unwrap();
        let Owed { outstanding, held, waiting, .. } = owed[0];
        (outstanding, held, waiting)
    }

    async fn paused_with(count: u32) -> (Self, Receiver) {
        let receiver = Receiver::start().await;
        let rig =
            Self::new(Declared { destinations: vec![http_to("ci", receiver.url())], ..Declared::default() }).await;
        rig.engine.set_destination_state("ci", DestinationState::Paused, &by("test")).await.unwrap();
        for n in 0..count {
            rig.publish("push", &n.to_string()).await;
        }
        (rig, receiver)
    }
}

#[tokio::test]
async fn what_is_held_goes_out_at_once_or_one_after_the_other_and_a_restart_changes_nothing() {
    let (mut rig, receiver) = Rig::paused_with(6).await;
    rig.engine.run_until_idle().await;
    assert_eq!((rig.owed("ci").await, receiver.received().len()), ((0, 6, 0), 0));
    assert_eq!(rig.engine.resume_destination("ci", Drain::Spread { per_s: 2 }, &by("test")).await.unwrap(), 6);
    let mut counts = vec![];
    for _ in 0..6 {
        rig.engine.run_until_idle().await;
        counts.push(receiver.received().len());
        rig.clock.advance(Duration::from_millis(500));
        rig = rig.restart().await;
    }
    assert_eq!(counts, [1, 2, 3, 4, 5, 6]);
    let bodies: Vec<_> = receiver.received().into_iter().map(|one| one.body).collect();
    assert_eq!(bodies, [b"0", b"1", b"2", b"3", b"4", b"5"], "in the order in which they were held");
    assert_eq!(rig.owed("ci").await, (0, 0, 0));
}

#[tokio::test]
async fn what_is_held_can_be_dropped_and_the_log_says_how_much() {
    let (rig, receiver) = Rig::paused_with(3).await;
    assert_eq!(rig.engine.resume_destination("ci", Drain::Drop, &by("alice")).await.unwrap(), 3);
    rig.engine.run_until_idle().await;
    assert!(rig.deliveries().await.iter().all(|one| matches!(one.state, DeliveryState::Cancelled { .. })));
    let log = rig.engine.store().audit(ORG, ALL).await.unwrap().items;
    let entry = &log.iter().find(|row| row.entry.action == "destination.resume").unwrap().entry;
    let detail = json!({ "before": "paused", "after": "active", "dropped": true, "held": 3 });
    assert_eq!((entry.actor.as_str(), &entry.detail), ("alice", &detail));
    rig.publish("push", "{}").await;
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1, "what comes now goes out");
}

#[tokio::test]
async fn a_rate_is_within_its_bounds_and_a_destination_is_there() {
    let (rig, _receiver) = Rig::paused_with(1).await;
    let resume = async |name, per_s| rig.engine.resume_destination(name, Drain::Spread { per_s }, &by("test")).await;
    assert!(matches!(resume("ci", 0).await, Err(EngineError::Invalid(_))));
    assert!(matches!(resume("ci", DRAIN_MAX + 1).await, Err(EngineError::Invalid(_))));
    assert!(matches!(resume("cy", 1).await, Err(EngineError::NotFound(_))));
    assert_eq!(rig.owed("ci").await, (0, 1, 0), "nothing of that was done");
    assert_eq!(resume("ci", DRAIN_MAX).await.unwrap(), 1);
}
