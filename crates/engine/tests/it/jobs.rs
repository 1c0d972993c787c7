//! Redelivery jobs end to end: at their pace, across restarts, under an operator's hands.

use crate::{ORG, by};
use std::time::Duration;

use hookward_engine::jobs::JobAction;
use hookward_engine::model::{DeliveryCause, JobSpec, JobState, RedeliveryJob};
use hookward_engine::{Declared, EngineError, Receipt};
use tokio_util::sync::CancellationToken;

use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, every_event, github, http_to, push};

fn everything(rate_per_s: u32) -> JobSpec {
    JobSpec { source: Some("github".to_owned()), ..every_event(rate_per_s) }
}

async fn rig(receiver: &Receiver, events: u32) -> Rig {
    let destinations = vec![http_to("ci", receiver.url())];
    let rig = Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await;
    for n in 0..events {
        let receipt = rig.send(push(SECRET, &format!("d-{n}"), &n.to_string())).await;
        assert!(matches!(receipt, Receipt::Accepted(_)));
    }
    rig.engine.run_until_idle().await;
    rig
}

impl Rig {
    /// Runs the engine until `enough`, moving the clock on by `tick` whenever nothing happens.
    pub(crate) async fn run_until(&self, tick: Duration, enough: impl AsyncFn(&Self) -> bool) {
        let stop = CancellationToken::new();
        let (engine, stopping) = (self.engine.clone(), stop.clone());
        let running = tokio::spawn(async move { engine.run(stopping).await });
        while !enough(self).await {
            self.clock.advance(tick);
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
        stop.cancel();
        running.await.unwrap();
    }

    pub(crate) async fn job(&self, job: &RedeliveryJob) -> RedeliveryJob {
        self.engine.store().job(ORG, job.id).await.unwrap()
    }

    async fn redelivered(&self) -> usize {
        let is_again = |cause: &DeliveryCause| matches!(cause, DeliveryCause::Redelivery { .. });
        self.deliveries().await.iter().filter(|delivery| is_again(&delivery.cause)).count()
    }
}

#[tokio::test]
async fn every_event_is_redelivered_once_across_restarts() {
    let receiver = Receiver::start().await;
    let mut rig = rig(&receiver, 30).await;
    assert_eq!(rig.engine.count_redeliveries(ORG, everything(7)).await.unwrap(), 30);
    assert_eq!(
        (rig.engine.store().jobs(ORG, crate::support::ALL).await.unwrap().items.len(), rig.redelivered().await),
        (0, 0)
    );
    let job = rig.engine.create_job(everything(7), &by("test")).await.unwrap();
    rig.send(push(SECRET, "later", "later")).await;
    for at_least in [1, 10, 20] {
        rig.run_until(Duration::from_millis(100), async |rig| rig.redelivered().await >= at_least).await;
        rig = rig.restart().await;
    }
    let done = async |rig: &Rig| rig.job(&job).await.state == JobState::Done;
    rig.run_until(Duration::from_millis(100), done).await;
    rig.engine.run_until_idle().await;
    let after = rig.job(&job).await;
    assert_eq!((after.looked_at, after.matched, after.redelivered, after.range.percent()), (30, 30, 30, 100));
    let mut bodies: Vec<_> = receiver.received().into_iter().map(|received| received.body).collect();
    bodies.sort();
    let mut expected: Vec<Vec<u8>> = (0..30).chain(0..30).map(|n: u32| n.to_string().into_bytes()).collect();
    expected.push(b"later".to_vec());
    expected.sort();
    assert_eq!(bodies, expected);
    let audit = rig.audit().await;
    assert!(audit.contains(&"job.create".to_owned()) && audit.contains(&"job.done".to_owned()));
}

#[tokio::test]
async fn a_job_keeps_its_pace_and_stops_when_told() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, 12).await;
    let job = rig.engine.create_job(everything(2), &by("test")).await.unwrap();
    let started = hookward_engine::clock::Clock::now(&*rig.clock);
    rig.run_until(Duration::from_millis(50), async |rig| rig.job(&job).await.redelivered >= 6).await;
    let took = hookward_engine::clock::Clock::now(&*rig.clock).since(started);
    assert!(took >= Duration::from_secs(2), "six events at two a second took {took:?}");
    assert!(rig.engine.act_on_job(job.id, JobAction::Pause, &by("test")).await.unwrap());
    assert!(!rig.engine.act_on_job(job.id, JobAction::Pause, &by("test")).await.unwrap());
    let paused = rig.job(&job).await;
    let deadline = hookward_engine::clock::Clock::now(&*rig.clock).plus(Duration::from_secs(10));
    let later = async |rig: &Rig| hookward_engine::clock::Clock::now(&*rig.clock) >= deadline;
    rig.run_until(Duration::from_millis(500), later).await;
    assert_eq!(rig.job(&job).await, paused);
    assert!(rig.engine.act_on_job(job.id, JobAction::Resume, &by("test")).await.unwrap());
    rig.run_until(Duration::from_millis(50), async |rig| rig.job(&job).await.redelivered >= 8).await;
    assert!(rig.engine.act_on_job(job.id, JobAction::Cancel, &by("test")).await.unwrap());
    let cancelled = rig.job(&job).await;
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert!(cancelled.redelivered < 12);
    assert!(!rig.engine.act_on_job(job.id, JobAction::Resume, &by("test")).await.unwrap());
    assert_eq!(rig.redelivered().await as u64, cancelled.redelivered);
}

#[tokio::test]
async fn only_what_is_exhausted_is_owed_again() {
    let receiver = Receiver::start().await;
    let mut fragile = http_to("ci", receiver.url());
    fragile.spec.retry.waits_s = vec![];
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![fragile], ..Declared::default() }).await;
    for n in 0..4 {
        receiver.answer_next(if n % 2 == 0 { "500 Oops" } else { "204 Fine" }, "");
        rig.send(push(SECRET, &format!("d-{n}"), &n.to_string())).await;
        rig.engine.run_until_idle().await;
    }
    let spec = JobSpec { state: Some("exhausted".to_owned()), destination: Some("ci".to_owned()), ..everything(50) };
    assert_eq!(rig.engine.count_redeliveries(ORG, spec.clone()).await.unwrap(), 2);
    let job = rig.engine.create_job(spec.clone(), &by("test")).await.unwrap();
    rig.run_until(Duration::from_millis(50), async |rig| rig.job(&job).await.state == JobState::Done).await;
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 6);
    assert_eq!(rig.engine.count_redeliveries(ORG, spec).await.unwrap(), 0);
}

#[tokio::test]
async fn what_cannot_be_a_job_is_refused() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, 1).await;
    let refused = async |spec: JobSpec| rig.engine.create_job(spec, &by("test")).await.unwrap_err();
    let at = |millis| Some(hookward_engine::clock::Timestamp::from_millis(millis));
    assert!(matches!(refused(everything(0)).await, EngineError::Invalid(_)));
    assert!(matches!(refused(everything(10_001)).await, EngineError::Invalid(_)));
    assert!(matches!(refused(JobSpec { from: at(5), to: at(5), ..everything(1) }).await, EngineError::Invalid(_)));
    let unknown = Some("nothing".to_owned());
    assert!(matches!(refused(JobSpec { source: unknown.clone(), ..everything(1) }).await, EngineError::NotFound(_)));
    assert!(matches!(refused(JobSpec { destination: unknown, ..everything(1) }).await, EngineError::NotFound(_)));
    assert!(rig.engine.create_job(everything(10_000), &by("test")).await.is_ok());
}

#[tokio::test]
async fn a_duplicate_is_run_when_an_operator_says_so() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, 1).await;
    let Receipt::Duplicate(duplicate) = rig.send(push(SECRET, "again", "0")).await else { panic!("it ran again") };
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    let deliveries = rig.engine.redeliver(duplicate.event(), None, &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    assert_eq!((deliveries.len(), receiver.received().len()), (1, 2));
    assert_eq!(receiver.received()[1].body, b"0");
    let (delivery, attempts) = rig.engine.store().delivery(ORG, deliveries[0]).await.unwrap();
    assert_eq!((delivery.event, attempts.len()), (duplicate.event(), 1));
    assert_eq!(delivery.cause, DeliveryCause::Redelivery { of: None });
}

#[tokio::test]
async fn a_filter_narrows_a_job_and_a_destinations_own_filter_counts_unless_it_is_named() {
    let receiver = Receiver::start().await;
    let mut picky = http_to("picky", receiver.url());
    picky.spec.rules.filter = Some("body.n != 2".to_owned());
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![picky], ..Declared::default() }).await;
    for n in 1..=4 {
        rig.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
    }
    rig.engine.run_until_idle().await;
    let count = async |filter: &str, destination: Option<&str>| {
        let filter = Some(filter.to_owned()).filter(|filter| !filter.is_empty());
        let spec = JobSpec { filter, destination: destination.map(str::to_owned), ..everything(50) };
        rig.engine.count_redeliveries(ORG, spec).await
    };
    assert_eq!(count("", None).await, Ok(3), "its own filter keeps the second out");
    assert_eq!(count("", Some("picky")).await, Ok(4), "whoever names it wants it");
    assert_eq!(count("body.n > 1", None).await, Ok(2));
    assert_eq!(count("body.n > 1", Some("picky")).await, Ok(3));
    assert_eq!(count("body.missing", Some("picky")).await, Ok(0), "what fails is left alone");
    let refused = count("body.n >", None).await.unwrap_err();
    assert!(refused.to_string().starts_with("filter: "), "{refused}");
}
