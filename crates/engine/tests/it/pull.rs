//! Consumers and their leases, end to end: what they are given, what becomes of their word, and that a restart changes
//! neither.

use crate::{ORG, by};
use std::time::Duration;

use hookward_engine::model::{DeliveryState, DestinationKind, DestinationState, Outcome, PullSpec};
use hookward_engine::pull::{Answer, Ask, LEASES_MAX, Lease, VISIBILITY, WAIT_MAX};
use hookward_engine::{Declared, DeclaredDestination, EngineError, Receipt};

use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, github, http_to, push};

pub(crate) fn pulled(ordered: bool) -> DeclaredDestination {
    let mut destination = http_to("worker", String::new());
    destination.spec.kind = DestinationKind::Pull(PullSpec { ordered });
    destination.spec.retry.waits_s = vec![0];
    destination
}

async fn rig(ordered: bool) -> Rig {
    Rig::new(Declared { sources: vec![github()], destinations: vec![pulled(ordered)], ..Declared::default() }).await
}

async fn send(rig: &Rig, count: u32) {
    for n in 1..=count {
        let received = rig.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
        assert!(matches!(received, Receipt::Accepted(_)));
    }
}

fn ask(max: u32) -> Ask {
    Ask { max, visibility: Duration::from_secs(30), wait: Duration::ZERO }
}

async fn lease(rig: &Rig, max: u32) -> Vec<Lease> {
    rig.engine.lease(ORG, "worker", ask(max)).await.unwrap()
}

fn tokens(leases: &[Lease]) -> Vec<String> {
    leases.iter().map(|lease| lease.token.clone()).collect()
}

fn bodies(leases: &[Lease]) -> Vec<&str> {
    leases.iter().map(|lease| std::str::from_utf8(&lease.body).unwrap()).collect()
}

#[tokio::test]
async fn what_is_owed_is_leased_acknowledged_and_delivered() {
    let rig = rig(true).await;
    send(&rig, 3).await;
    // Nothing is attempted of its own accord.
    rig.engine.run_until_idle().await;
    let leases = lease(&rig, 2).await;
    assert_eq!(bodies(&leases), ["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!((leases[0].attempt, leases[0].event.delivery_id.as_deref()), (1, Some("d-1")));
    rig.clock.advance(Duration::from_secs(7));
    let both = tokens(&leases);
    assert_eq!(rig.engine.acknowledge(ORG, &both).await, Ok(vec![Answer::Acknowledged; 2]));
    assert_eq!(rig.engine.acknowledge(ORG, &both).await, Ok(vec![Answer::LeaseLost; 2]));
    let (delivery, attempts) = rig.engine.store().delivery(ORG, leases[0].delivery).await.unwrap();
    assert!(matches!(delivery.state, DeliveryState::Delivered { .. }));
    assert_eq!((attempts[0].outcome, attempts[0].duration), (Outcome::Success, Duration::from_secs(7)));
    assert_eq!(bodies(&lease(&rig, 9).await), ["{\"n\":3}"]);
    assert_eq!(rig.engine.attempts().get(&Outcome::Success), Some(&2));
}

#[tokio::test]
async fn a_token_that_is_stale_forged_or_said_twice_is_lost_and_no_error_for_the_others() {
    let rig = rig(true).await;
    send(&rig, 1).await;
    let token = tokens(&lease(&rig, 1).await).remove(0);
    let mut forged = token.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == '0' { '1' } else { '0' });
    let said = [forged, "lse_".to_owned(), "nonsense".to_owned(), String::new(), token.clone(), token];
    let answers = rig.engine.acknowledge(ORG, &said).await.unwrap();
    assert_eq!(answers[..4], [Answer::LeaseLost; 4]);
    assert_eq!(answers[4..], [Answer::Acknowledged, Answer::LeaseLost]);
}

#[tokio::test]
async fn release_and_expiry_count_and_the_last_one_exhausts() {
    let rig = rig(true).await;
    send(&rig, 2).await;
    let first = lease(&rig, 1).await;
    assert_eq!(rig.engine.release(ORG, &tokens(&first)).await, Ok(vec![Answer::Released]));
    let again = lease(&rig, 1).await;
    assert_eq!((again[0].delivery, again[0].attempt), (first[0].delivery, 2));
    assert_eq!(rig.engine.release(ORG, &tokens(&again)).await, Ok(vec![Answer::Exhausted]));
    let second = lease(&rig, 1).await;
    assert_eq!(bodies(&second), ["{\"n\":2}"]);
    rig.clock.advance(Duration::from_secs(30));
    let late = lease(&rig, 1).await;
    assert_eq!((late[0].delivery, late[0].attempt), (second[0].delivery, 2));
    assert_eq!(rig.engine.acknowledge(ORG, &tokens(&second)).await, Ok(vec![Answer::LeaseLost]));
    let extended = rig.engine.extend(ORG, &tokens(&late), Duration::from_secs(60)).await.unwrap();
    assert!(matches!(extended[..], [Answer::Extended { .. }]));
    rig.clock.advance(Duration::from_secs(59));
    assert!(lease(&rig, 1).await.is_empty());
    rig.clock.advance(Duration::from_secs(1));
    assert!(lease(&rig, 1).await.is_empty(), "that was its last");
    let (_, attempts) = rig.engine.store().delivery(ORG, second[0].delivery).await.unwrap();
    assert_eq!(attempts.iter().map(|one| one.outcome).collect::<Vec<_>>(), [Outcome::Interrupted; 2]);
    let (_, attempts) = rig.engine.store().delivery(ORG, first[0].delivery).await.unwrap();
    assert_eq!(attempts.iter().map(|one| one.outcome).collect::<Vec<_>>(), [Outcome::Released; 2]);
}

#[tokio::test]
async fn a_lease_outlives_the_process_that_gave_it() {
    let mut rig = rig(true).await;
    send(&rig, 2).await;
    let leases = lease(&rig, 1).await;
    rig = rig.restart().await;
    assert!(lease(&rig, 1).await.is_empty(), "the first one is still under lease");
    assert_eq!(rig.engine.acknowledge(ORG, &tokens(&leases)).await, Ok(vec![Answer::Acknowledged]));
    assert_eq!(bodies(&lease(&rig, 1).await), ["{\"n\":2}"]);
}

#[tokio::test]
async fn a_consumer_that_waits_is_told_of_a_commit_an_acknowledgement_and_a_lease_that_runs_out() {
    let rig = rig(true).await;
    let waiting = |rig: &Rig| {
        let engine = rig.engine.clone();
        tokio::spawn(async move { engine.lease(ORG, "worker", Ask { wait: WAIT_MAX, ..ask(1) }).await.unwrap() })
    };
    let consumer = waiting(&rig);
    tokio::task::yield_now().await;
    send(&rig, 3).await;
    let first = consumer.await.unwrap();
    assert_eq!(bodies(&first), ["{\"n\":1}"]);
    let consumer = waiting(&rig);
    tokio::task::yield_now().await;
    rig.engine.acknowledge(ORG, &tokens(&first)).await.unwrap();
    let second = consumer.await.unwrap();
    assert_eq!(bodies(&second), ["{\"n\":2}"]);
    rig.clock.advance(Duration::from_secs(20));
    let consumer = waiting(&rig);
    tokio::task::yield_now().await;
    rig.clock.advance(Duration::from_secs(10));
    assert_eq!(consumer.await.unwrap()[0].attempt, 2);
    // And of nothing, once it has waited long enough.
    let consumer = waiting(&rig);
    tokio::task::yield_now().await;
    rig.clock.advance(WAIT_MAX);
    assert!(consumer.await.unwrap().is_empty());
}

#[tokio::test]
async fn loosely_consumers_work_beside_each_other_and_a_paused_destination_gives_nothing() {
    let rig = rig(false).await;
    send(&rig, 3).await;
    let (one, other) = (lease(&rig, 1).await, lease(&rig, 1).await);
    assert_eq!((bodies(&one), bodies(&other)), (vec!["{\"n\":1}"], vec!["{\"n\":2}"]));
    rig.engine.set_destination_state("worker", DestinationState::Paused, &by("test")).await.unwrap();
    assert!(lease(&rig, 9).await.is_empty());
    assert_eq!(rig.engine.acknowledge(ORG, &tokens(&one)).await, Ok(vec![Answer::Acknowledged]));
    rig.engine.set_destination_state("worker", DestinationState::Active, &by("test")).await.unwrap();
    assert_eq!(bodies(&lease(&rig, 9).await), ["{\"n\":3}"]);
}

#[tokio::test]
async fn every_limit_is_held_at_it_and_one_past_it() {
    let receiver = Receiver::start().await;
    let destinations = vec![pulled(true), http_to("ci", receiver.url())];
    let rig = Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await;
    let invalid = |result: Result<Vec<Lease>, EngineError>| matches!(result, Err(EngineError::Invalid(_)));
    for (within, past) in [
        (ask(LEASES_MAX), ask(LEASES_MAX + 1)),
        (ask(1), ask(0)),
        (Ask { visibility: *VISIBILITY.end(), ..ask(1) }, Ask { visibility: *VISIBILITY.end() * 2, ..ask(1) }),
        (Ask { visibility: *VISIBILITY.start(), ..ask(1) }, Ask { visibility: Duration::ZERO, ..ask(1) }),
    ] {
        assert!(rig.engine.lease(ORG, "worker", within).await.is_ok(), "{within:?}");
        assert!(invalid(rig.engine.lease(ORG, "worker", past).await), "{past:?}");
    }
    assert!(invalid(rig.engine.lease(ORG, "worker", Ask { wait: WAIT_MAX * 2, ..ask(1) }).await));
    assert!(invalid(rig.engine.lease(ORG, "ci", ask(1)).await));
    assert!(matches!(rig.engine.lease(ORG, "nobody", ask(1)).await, Err(EngineError::NotFound(_))));
    let many = vec![String::new(); LEASES_MAX as usize];
    assert_eq!(rig.engine.release(ORG, &many).await.unwrap().len(), many.len());
    let more = vec![String::new(); LEASES_MAX as usize + 1];
    assert!(matches!(rig.engine.release(ORG, &more).await, Err(EngineError::Invalid(_))));
}
