//! What happened, counted: the same before and after it is written down, once each, and forgotten in time.

use std::time::Duration;

use hookward_engine::clock::{Clock, Timestamp};
use hookward_engine::ids::OrganizationId;
use hookward_engine::store::tallies::{Attempted, Received, Span, Step, Tallied, Window};
use hookward_engine::{Declared, NotedSecret, SecretNote};

use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, github, http_to, push};
use crate::{ORG, by, grace};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The last `steps` steps of spans, up to the one that is now.
fn window(rig: &Rig, span: Span, steps: u32) -> Window {
    let (now, length) = (rig.clock.now().as_millis(), i64::try_from(span.length().as_millis()).unwrap());
    let begins = Timestamp::from_millis(now - now.rem_euclid(length));
    Window { span, from: begins.minus(span.length() * (steps - 1)), step: span.length() }
}

async fn tallied(rig: &Rig, window: Window) -> Tallied {
    rig.engine.store().tallied(ORG, window).await.unwrap()
}

/// A rig that had three pushes, one of them twice, and four forged ones; one destination takes them and one does not.
async fn busy() -> (Rig, Receiver, Receiver) {
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    bad.answer_always("503 Service Unavailable");
    let destinations = vec![http_to("good", good.url()), http_to("bad", bad.url())];
    let rig = Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await;
    for n in [1, 2, 3, 3] {
        rig.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
    }
    for n in 0..4 {
        rig.send(push("another secret", &format!("f-{n}"), "{}")).await;
    }
    rig.engine.run_until_idle().await;
    (rig, good, bad)
}

fn of_busy() -> (Received, Attempted) {
    (Received { accepted: 3, duplicates: 1, refused: 4 }, Attempted { succeeded: 3, failed: 3 })
}

#[tokio::test]
async fn everything_is_counted_once_whether_it_is_written_down_or_not() {
    let (rig, _good, _bad) = busy().await;
    let before = tallied(&rig, window(&rig, Span::Minute, 60)).await;
    let (received, attempted) = of_busy();
    let step = before.steps.values().next().unwrap();
    assert_eq!((before.steps.len(), step.received, step.attempted), (1, received, attempted));
    assert_eq!((before.doors.len(), before.doors["github"], before.is_behind), (1, received, false));
    // Both answered, whatever they said.
    assert_eq!(step.latencies.count(), 6);
    let bad = rig.engine.destination(ORG, "bad").unwrap().id;
    let counted = &before.destinations[&bad];
    assert_eq!(counted.attempted, Attempted { succeeded: 0, failed: 3 });
    assert!(counted.failure.as_ref().unwrap().reason.contains("503"), "{counted:?}");
    assert!(before.oldest_outstanding.is_some(), "what failed is tried again later");
    rig.engine.tally().await.unwrap();
    assert_eq!(tallied(&rig, window(&rig, Span::Minute, 60)).await, before);
    rig.engine.tally().await.unwrap();
    let rig = rig.restart().await;
    rig.engine.tally().await.unwrap();
    assert_eq!(tallied(&rig, window(&rig, Span::Minute, 60)).await, before);
    let by_hour = tallied(&rig, window(&rig, Span::Hour, 24)).await;
    let step: &Step = by_hour.steps.values().next().unwrap();
    assert_eq!((step.received, step.attempted, &by_hour.doors), (received, attempted, &before.doors));
    // What comes now is counted on top.
    rig.send(push(SECRET, "d-4", "{\"n\":4}")).await;
    let more = tallied(&rig, window(&rig, Span::Hour, 24)).await;
    assert_eq!(more.doors["github"], Received { accepted: 4, ..received });
    let other = OrganizationId::from_bytes([9; 16]);
    let theirs = rig.engine.store().tallied(other, window(&rig, Span::Hour, 24)).await.unwrap();
    assert_eq!(theirs, Tallied::default());
}

#[tokio::test]
async fn steps_are_as_long_as_one_asks_and_old_counts_are_forgotten() {
    let (rig, _good, _bad) = busy().await;
    rig.clock.advance(HOUR * 2);
    rig.send(push(SECRET, "d-5", "{\"n\":5}")).await;
    rig.engine.tally().await.unwrap();
    let accepted = |tallied: &Tallied| tallied.steps.values().map(|step| step.received.accepted).collect::<Vec<_>>();
    assert_eq!(accepted(&tallied(&rig, window(&rig, Span::Hour, 24)).await), [3, 1]);
    let whole_day = Window { step: HOUR * 24, ..window(&rig, Span::Hour, 24) };
    assert_eq!(accepted(&tallied(&rig, whole_day).await), [4]);
    // What came before the window is not in it.
    assert_eq!(accepted(&tallied(&rig, window(&rig, Span::Minute, 60)).await), [1]);
    assert_eq!(accepted(&tallied(&rig, window(&rig, Span::Minute, 360)).await), [3, 1]);
    rig.clock.advance(HOUR * 6 + MINUTE);
    rig.send(push(SECRET, "d-6", "{\"n\":6}")).await;
    rig.engine.tally().await.unwrap();
    assert_eq!(accepted(&tallied(&rig, window(&rig, Span::Minute, 60 * 24)).await), [1, 1], "three were forgotten");
    assert_eq!(accepted(&tallied(&rig, window(&rig, Span::Hour, 24)).await), [3, 1, 1]);
    rig.clock.advance(HOUR * 24 * 36);
    rig.send(push(SECRET, "d-7", "{\"n\":7}")).await;
    rig.engine.tally().await.unwrap();
    assert_eq!(accepted(&tallied(&rig, window(&rig, Span::Hour, 24 * 60)).await), [1]);
}

#[tokio::test]
async fn the_last_failure_is_the_last_one_in_whatever_order_it_is_counted() {
    let bad = Receiver::start().await;
    let destinations = vec![http_to("bad", bad.url())];
    let rig = Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await;
    let mut last = rig.clock.now();
    for (n, status) in ["500 One", "501 Two", "502 Three", "503 Four"].into_iter().enumerate() {
        rig.clock.advance(MINUTE * 7);
        last = rig.clock.now();
        bad.answer_always(status);
        rig.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
        rig.engine.run_until_idle().await;
        if n == 1 {
            rig.engine.tally().await.unwrap();
        }
    }
    let id = rig.engine.destination(ORG, "bad").unwrap().id;
    for _ in 0..2 {
        let counted = tallied(&rig, window(&rig, Span::Hour, 24)).await.destinations[&id].clone();
        let failure = counted.failure.unwrap();
        assert!(failure.reason.contains("503") && failure.at >= last, "{failure:?}");
        rig.engine.tally().await.unwrap();
    }
}

#[tokio::test]
async fn a_rotation_is_noted_until_the_old_secret_ends() {
    let (rig, _good, _bad) = busy().await;
    let noted = async || rig.engine.noted_secrets(ORG).await.unwrap();
    assert_eq!(noted().await, []);
    let source = rig.engine.source(ORG, "github").unwrap();
    let owner = hookward_engine::model::SecretOwner::Source(source.id);
    let terms = grace(HOUR);
    rig.engine.put_secret(owner, None, hookward_engine::NewSecret::Generated, terms, &by("test")).await.unwrap();
    let until = rig.clock.now().plus(HOUR);
    let note = SecretNote::InGrace { until, is_replaced: false };
    assert_eq!(noted().await, [NotedSecret { owner: "source:github".to_owned(), version: 1, note }]);
    assert_eq!(rig.engine.noted_secrets(OrganizationId::from_bytes([9; 16])).await.unwrap(), []);
    rig.clock.advance(HOUR);
    assert_eq!(noted().await, []);
}
