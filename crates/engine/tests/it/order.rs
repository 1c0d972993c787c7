//! Order end to end: what a receiver gets of each key, and when, whatever fails.

use crate::{ORG, by};
use std::time::Duration;

use hookward_engine::model::{DeliveryState, DestinationState, JobSpec, JobState, OnHeadFailure, Ordering, Recovery};
use hookward_engine::{Declared, EngineError, Receipt};

use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, every_event, github, http_to, push};

async fn rig(receiver: &Receiver, on_failure: OnHeadFailure, waits_s: &[u64]) -> Rig {
    let mut ci = http_to("ci", receiver.url());
    ci.spec.order = Some(Ordering { key: "body.customer".to_owned(), on_failure });
    ci.spec.retry.waits_s = waits_s.to_vec();
    Rig::new(Declared { sources: vec![github()], destinations: vec![ci], ..Declared::default() }).await
}

impl Rig {
    async fn order(&self, customer: &str, n: u32) -> hookward_engine::ids::EventId {
        let body = format!("{{\"customer\":{customer},\"n\":{n}}}");
        let receipt = self.send(push(SECRET, &format!("d-{n}"), &body)).await;
        let Receipt::Accepted(committed) = receipt else { panic!("{receipt:?}") };
        committed.event()
    }

    async fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.engine.run_until_idle().await;
    }
}

/// The numbers of the events that arrived, with what each says was skipped.
fn got(receiver: &Receiver) -> Vec<(u64, String)> {
    let number = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["n"].as_u64().unwrap();
    receiver.received().iter().map(|one| (number(&one.body), one.header("hookward-skipped").to_owned())).collect()
}

fn plain(numbers: &[u64]) -> Vec<(u64, String)> {
    numbers.iter().map(|n| (*n, String::new())).collect()
}

fn fail(receiver: &Receiver, times: usize) {
    (0..times).for_each(|_| receiver.answer_next("500 Oops", ""));
}

#[tokio::test]
async fn one_that_fails_holds_up_its_key_alone() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, OnHeadFailure::Block, &[10, 60]).await;
    fail(&receiver, 1);
    rig.order("\"a\"", 1).await;
    rig.engine.run_until_idle().await;
    for (customer, n) in [("\"a\"", 2), ("\"b\"", 3), ("null", 4)] {
        rig.order(customer, n).await;
        rig.engine.run_until_idle().await;
    }
    assert_eq!(got(&receiver), plain(&[1, 3, 4]));
    // Long after its schedule it is still tried, at the last wait.
    for wait in [10, 60, 60, 60, 60] {
        fail(&receiver, 1);
        rig.pass(wait - 1).await;
        rig.pass(1).await;
    }
    rig.pass(60).await;
    assert_eq!(got(&receiver), plain(&[1, 3, 4, 1, 1, 1, 1, 1, 1, 2]));
}

#[tokio::test]
async fn one_that_is_given_up_is_told_to_the_next() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, OnHeadFailure::Skip, &[10]).await;
    fail(&receiver, 3);
    for n in 1..=3 {
        rig.order("7", n).await;
    }
    rig.engine.run_until_idle().await;
    rig.pass(10).await;
    assert_eq!(got(&receiver), [plain(&[1, 1]), vec![(2, "1".to_owned())]].concat());
    rig.pass(10).await;
    let rest = vec![(2, "1".to_owned()), (3, String::new())];
    assert_eq!(got(&receiver)[3..], rest);
}

#[tokio::test]
async fn one_that_is_parked_comes_back_when_its_destination_resumes() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, OnHeadFailure::Park { after: 2 }, &[10, 10]).await;
    fail(&receiver, 2);
    for n in 1..=3 {
        rig.order("true", n).await;
    }
    rig.engine.run_until_idle().await;
    rig.pass(10).await;
    assert_eq!(got(&receiver), plain(&[1, 1, 2, 3]));
    let deliveries = rig.deliveries().await;
    let parked: Vec<_> = deliveries.iter().filter(|delivery| delivery.parked).collect();
    assert!(matches!(parked[..], [one] if matches!(one.state, DeliveryState::Held { .. })), "{deliveries:?}");
    rig.engine.set_destination_state("ci", DestinationState::Active, &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    assert_eq!(got(&receiver), plain(&[1, 1, 2, 3, 1]));
}

#[tokio::test]
async fn what_is_redelivered_or_recovered_goes_to_the_end_of_its_key() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, OnHeadFailure::Skip, &[]).await;
    fail(&receiver, 2);
    let first = rig.order("\"a\"", 1).await;
    rig.order("\"a\"", 2).await;
    rig.engine.run_until_idle().await;
    // Somebody is in the way.
    rig.engine.set_destination_state("ci", DestinationState::Paused, &by("test")).await.unwrap();
    rig.order("\"a\"", 3).await;
    rig.engine.redeliver(first, Some("ci"), &by("test")).await.unwrap();
    let since = Some(hookward_engine::clock::Timestamp::from_millis(0));
    let destination = Some("ci".to_owned());
    let spec = JobSpec { recover: Some(Recovery::Failed), destination, from: since, ..every_event(100) };
    let job = rig.engine.create_job(spec, &by("test")).await.unwrap();
    rig.run_until(Duration::from_millis(50), async |rig| rig.job(&job).await.state == JobState::Done).await;
    assert_eq!(rig.job(&job).await.redelivered, 1, "the first is owed already");
    let waiting = |delivery: &hookward_engine::model::Delivery| matches!(delivery.state, DeliveryState::Waiting { .. });
    assert_eq!(rig.deliveries().await.into_iter().filter(waiting).count(), 2);
    rig.engine.set_destination_state("ci", DestinationState::Active, &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    let arrived: Vec<_> = got(&receiver).into_iter().map(|(n, _)| n).collect();
    assert_eq!(arrived, [1, 2, 3, 1, 2]);
}

#[tokio::test]
async fn an_event_without_its_key_is_passed_over_and_cannot_be_redelivered() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, OnHeadFailure::Block, &[10]).await;
    let Receipt::Accepted(committed) = rig.send(push(SECRET, "d-1", "{\"n\":1}")).await else { panic!("refused") };
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 0);
    let passed = rig.engine.store().passed_over(ORG, committed.event()).await.unwrap();
    assert!(format!("{passed:?}").contains("the `key` of `order`: No such key: customer"), "{passed:?}");
    let refused = rig.engine.redeliver(committed.event(), Some("ci"), &by("test")).await.unwrap_err();
    let EngineError::Invalid(problem) = refused else { panic!("{refused:?}") };
    assert_eq!(problem, "`ci` cannot be owed it: the `key` of `order`: No such key: customer");
    let spec = JobSpec { destination: Some("ci".to_owned()), ..every_event(100) };
    assert_eq!(rig.engine.count_redeliveries(ORG, spec).await, Ok(0), "a job leaves it alone");
}

#[tokio::test]
async fn an_order_survives_a_restart_in_the_middle_of_an_attempt() {
    let receiver = Receiver::start().await;
    let rig = rig(&receiver, OnHeadFailure::Block, &[10]).await;
    for n in 1..=3 {
        rig.order("\"a\"", n).await;
    }
    receiver.hang_next();
    let engine = rig.engine.clone();
    let hanging = tokio::spawn(async move { engine.run_until_idle().await });
    receiver.arrived(1).await;
    hanging.abort();
    let _ = hanging.await;
    let rig = rig.restart().await;
    rig.engine.run_until_idle().await;
    assert_eq!(got(&receiver), plain(&[1, 1, 2, 3]));
}
