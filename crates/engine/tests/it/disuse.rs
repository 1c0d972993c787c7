//! What operators hear of secrets that nobody uses, and of ones that are used to the last.

use crate::{ORG, by};
use std::time::Duration;

use hookward::Secret;
use hookward_engine::clock::{Clock, Timestamp};
use hookward_engine::model::SecretOwner;
use hookward_engine::store::EventFilter;
use hookward_engine::{Declared, NewSecret, OWN, SECRET_STILL_USED, SECRET_UNUSED};
use serde_json::{Value, json};

use crate::support::{ALL, Rig, SECRET, github, push};

const HOUR: Duration = Duration::from_secs(3600);

impl Rig {
    async fn told_of_secrets(&self) -> Vec<(String, Value)> {
        self.engine.tell_disuse().await;
        let mut told = Vec::new();
        for event in self.engine.store().events(ORG, EventFilter::default(), ALL).await.unwrap().items {
            if event.source_name == OWN {
                let body = self.engine.store().body(ORG, event.id).await.unwrap();
                told.push((event.event_type, serde_json::from_slice(&body).unwrap()));
            }
        }
        told.reverse();
        told
    }
}

#[tokio::test]
async fn a_rotation_that_the_sender_missed_is_told_once_before_it_is_too_late() {
    let rig = Rig::new(Declared { sources: vec![github()], ..Declared::default() }).await;
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    let start: Timestamp = Clock::now(&*rig.clock);
    let given = NewSecret::Given(Secret::new("the next one").unwrap());
    rig.engine.put_secret(owner, None, given, crate::grace(24 * HOUR), &by("test")).await.unwrap();
    rig.clock.advance(12 * HOUR - Duration::from_millis(1));
    rig.send(push(SECRET, "d-1", "1")).await;
    assert_eq!(rig.told_of_secrets().await, []);
    rig.clock.advance(Duration::from_millis(1));
    let end = start.plus(24 * HOUR);
    let not_taken_up = json!({ "owner": "source:github", "version": 2, "previous_ends_at_ms": end });
    let used_at = start.plus(12 * HOUR - Duration::from_millis(1));
    let still = json!({ "owner": "source:github", "version": 1, "ends_at_ms": end, "last_used_at_ms": used_at });
    let told = [(SECRET_UNUSED.to_owned(), not_taken_up), (SECRET_STILL_USED.to_owned(), still)];
    assert_eq!(rig.told_of_secrets().await, told);
    rig.clock.advance(HOUR);
    rig.send(push(SECRET, "d-2", "2")).await;
    assert_eq!(rig.told_of_secrets().await, told, "it was told");
    let audit = rig.audit().await;
    for action in ["secret.unused", "secret.still_used"] {
        assert_eq!(audit.iter().filter(|other| *other == action).count(), 1, "{action}");
    }
}

#[tokio::test]
async fn whoever_rotated_in_time_and_whoever_sends_hears_nothing() {
    let rig = Rig::new(Declared { sources: vec![github()], ..Declared::default() }).await;
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    let given = NewSecret::Given(Secret::new("the next one").unwrap());
    rig.engine.put_secret(owner, None, given, crate::grace(24 * HOUR), &by("test")).await.unwrap();
    rig.send(push("the next one", "d-1", "1")).await;
    for _ in 0..48 {
        rig.clock.advance(HOUR);
        assert_eq!(rig.told_of_secrets().await, []);
    }
    rig.clock.advance(28 * 24 * HOUR);
    assert_eq!(rig.told_of_secrets().await.len(), 1, "for thirty days nobody has sent anything");
}
