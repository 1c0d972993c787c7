//! Recovery end to end: what failed since a time, and what a destination never got, across restarts.

use crate::{ORG, by};
use std::time::Duration;

use hookward_engine::clock::{Clock, Timestamp};
use hookward_engine::model::{DeliveryCause, DestinationState, JobSpec, JobState, Recovery};
use hookward_engine::{Authority, Declared, EngineError};

use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, every_event, github, http_to, push};

fn recover(what: Recovery, destination: &str, since: Timestamp) -> JobSpec {
    let destination = Some(destination.to_owned());
    JobSpec { recover: Some(what), destination, from: Some(since), ..every_event(1_000) }
}

impl Rig {
    async fn recovered(&self, spec: JobSpec) -> u64 {
        let counted = self.engine.count_redeliveries(ORG, spec.clone()).await.unwrap();
        let job = self.engine.create_job(spec, &by("test")).await.unwrap();
        let done = async |rig: &Self| rig.job(&job).await.state != JobState::Running;
        self.run_until(Duration::from_millis(50), done).await;
        let after = self.job(&job).await;
        assert_eq!((after.state, after.matched, after.redelivered), (JobState::Done, counted, counted));
        self.engine.run_until_idle().await;
        counted
    }

    async fn push(&self, numbers: std::ops::Range<u32>) {
        for n in numbers {
            self.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
            self.engine.run_until_idle().await;
        }
    }
}

/// What the receiver took, in its order.
fn bodies(receiver: &Receiver) -> Vec<String> {
    receiver.received().into_iter().map(|received| String::from_utf8(received.body).unwrap()).collect()
}

#[tokio::test]
async fn what_failed_in_an_outage_comes_back_in_its_order_and_on_its_schedule() {
    let receiver = Receiver::start().await;
    let mut fragile = http_to("ci", receiver.url());
    fragile.spec.retry.waits_s = vec![10];
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![fragile], ..Declared::default() }).await;
    let fail = |times| (0..times).for_each(|_| receiver.answer_next("500 Oops", ""));
    fail(1);
    rig.push(0..1).await;
    fail(1);
    rig.clock.advance(Duration::from_secs(10));
    rig.engine.run_until_idle().await;
    rig.clock.advance(Duration::from_secs(3600));
    // The outage begins between the two attempts of the second event.
    fail(1);
    rig.push(1..2).await;
    rig.clock.advance(Duration::from_secs(10));
    let since = rig.clock.now();
    fail(3);
    rig.push(2..4).await;
    rig.clock.advance(Duration::from_secs(10));
    fail(2);
    rig.engine.run_until_idle().await;
    rig.push(4..5).await;
    let before = receiver.received().len();
    assert_eq!(rig.engine.count_redeliveries(ORG, recover(Recovery::Failed, "ci", since)).await, Ok(3));
    // The first attempt of one that is recovered fails again, and is retried like any other.
    fail(1);
    assert_eq!(rig.recovered(recover(Recovery::Failed, "ci", since)).await, 3);
    rig.clock.advance(Duration::from_secs(10));
    rig.engine.run_until_idle().await;
    let mut after = bodies(&receiver).split_off(before);
    assert_eq!(after.len(), 4);
    after.sort();
    after.dedup();
    assert_eq!(after, ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    assert_eq!(rig.recovered(recover(Recovery::Failed, "ci", since)).await, 0, "there is nothing left of it");
    let deliveries = rig.deliveries().await;
    let is_named = |cause: &DeliveryCause| matches!(cause, DeliveryCause::Redelivery { of: Some(_) });
    assert_eq!(deliveries.iter().filter(|delivery| is_named(&delivery.cause)).count(), 3);
}

#[tokio::test]
async fn a_destination_that_comes_late_gets_what_it_wants_of_what_it_missed() {
    let receiver = Receiver::start().await;
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    rig.push(0..3).await;
    let since = rig.clock.now();
    rig.clock.advance(Duration::from_secs(1));
    rig.push(3..8).await;
    let mut picky = http_to("late", receiver.url());
    picky.spec.rules.filter = Some("body.n != 5".to_owned());
    let declare = async |rig: &Rig, spec| {
        let declared = Declared { sources: vec![github()], destinations: vec![spec], ..Declared::default() };
        rig.engine
            .declare(&hookward_engine::model::Principal::config(), Authority::ServedFile, declared)
            .await
            .unwrap();
    };
    declare(&rig, picky.clone()).await;
    rig.push(8..9).await;
    assert_eq!(bodies(&receiver), ["{\"n\":8}"]);
    assert_eq!(rig.recovered(recover(Recovery::Missing, "late", since.plus(Duration::from_secs(1)))).await, 4);
    let mut got = bodies(&receiver);
    got.sort();
    assert_eq!(got, [3, 4, 6, 7, 8].map(|n| format!("{{\"n\":{n}}}")));
    // What is owed is not missing, though nobody has it yet.
    rig.engine.set_destination_state("late", DestinationState::Paused, &by("test")).await.unwrap();
    rig.push(9..10).await;
    assert_eq!(rig.recovered(recover(Recovery::Missing, "late", since.plus(Duration::from_secs(1)))).await, 0);
    rig.engine.set_destination_state("late", DestinationState::Active, &by("test")).await.unwrap();
    // A filter that lets more through makes more missing; a type that the source keeps to itself is nobody's.
    picky.spec.rules.filter = None;
    declare(&rig, picky.clone()).await;
    assert_eq!(rig.recovered(recover(Recovery::Missing, "late", since)).await, 4);
    picky.spec.event_types = vec!["issues".to_owned()];
    declare(&rig, picky).await;
    assert_eq!(rig.recovered(recover(Recovery::Missing, "late", Timestamp::from_millis(0))).await, 0);
}

#[tokio::test]
async fn each_is_recovered_once_across_restarts() {
    for what in [Recovery::Missing, Recovery::Failed] {
        let receiver = Receiver::start().await;
        let mut fragile = http_to("ci", receiver.url());
        fragile.spec.retry.waits_s = vec![];
        fragile.spec.health.breaker = None;
        if what == Recovery::Missing {
            fragile.spec.event_types = vec!["none".to_owned()];
        }
        let declare = |spec| Declared { sources: vec![github()], destinations: vec![spec], ..Declared::default() };
        let mut rig = Rig::new(declare(fragile.clone())).await;
        (0..40).for_each(|_| receiver.answer_next("500 Oops", ""));
        rig.push(0..40).await;
        if what == Recovery::Missing {
            (0..40).for_each(|_| receiver.answer_next("204 Fine", ""));
            fragile.spec.event_types = vec![];
            let config = hookward_engine::model::Principal::config();
            rig.engine.declare(&config, Authority::ServedFile, declare(fragile)).await.unwrap();
        }
        let before = receiver.received().len();
        let spec = JobSpec { rate_per_s: 7, ..recover(what, "ci", Timestamp::from_millis(0)) };
        let job = rig.engine.create_job(spec, &by("test")).await.unwrap();
        for at_least in [1, 13, 29] {
            rig.run_until(Duration::from_millis(100), async |rig| rig.job(&job).await.redelivered >= at_least).await;
            rig = rig.restart().await;
        }
        rig.run_until(Duration::from_millis(100), async |rig| rig.job(&job).await.state == JobState::Done).await;
        rig.engine.run_until_idle().await;
        let after = rig.job(&job).await;
        // What operators were told of the exhausted ones is an event as well.
        let looked_at = if what == Recovery::Failed { 41 } else { 40 };
        assert_eq!((after.looked_at, after.matched, after.redelivered), (looked_at, 40, 40), "{what:?}");
        let mut made = rig.deliveries().await;
        made.retain(|delivery| matches!(delivery.cause, DeliveryCause::Redelivery { .. }));
        let mut events: Vec<_> = made.iter().map(|delivery| delivery.event).collect();
        events.sort();
        events.dedup();
        assert_eq!((made.len(), events.len()), (40, 40), "{what:?}");
        assert!(receiver.received().len() >= before + 40);
    }
}

#[tokio::test]
async fn what_cannot_be_recovered_is_refused() {
    let receiver = Receiver::start().await;
    let declared =
        Declared { sources: vec![github()], destinations: vec![http_to("ci", receiver.url())], ..Declared::default() };
    let rig = Rig::new(declared).await;
    let refused = async |spec: JobSpec| rig.engine.create_job(spec, &by("test")).await.unwrap_err();
    let failed = || recover(Recovery::Failed, "ci", Timestamp::from_millis(0));
    assert!(matches!(refused(JobSpec { destination: None, ..failed() }).await, EngineError::Invalid(_)));
    assert!(matches!(refused(JobSpec { state: Some("held".into()), ..failed() }).await, EngineError::Invalid(_)));
    let unknown = JobSpec { destination: Some("nothing".to_owned()), ..failed() };
    assert!(matches!(refused(unknown).await, EngineError::NotFound(_)));
}
