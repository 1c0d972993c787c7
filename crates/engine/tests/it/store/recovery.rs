//! What a job that recovers finds, as every store must find it, and that a step looks again before it owes anything.

use hookward_engine::model::*;
use hookward_engine::store::*;

use super::jobs::job_id;
use super::support::*;
use crate::support::every_event;

fn recovering(recover: Recovery) -> JobSpec {
    JobSpec { destination: Some("destination-1".to_owned()), recover: Some(recover), ..every_event(50) }
}

async fn found(store: &Shared, spec: JobSpec) -> Vec<hookward_engine::ids::EventId> {
    let range = store.range().await.unwrap();
    let look = store.look(ORG, spec, range, 1000, 1000).await.unwrap();
    assert!(look.events.iter().all(|event| event.at == Some(vec![destination_id(1)])));
    look.events.into_iter().map(|event| event.event).collect()
}

fn numbered(numbers: &[u32]) -> Vec<hookward_engine::ids::EventId> {
    numbers.iter().copied().map(event_id).collect()
}

fn again(n: u32) -> NewDelivery {
    NewDelivery { cause: DeliveryCause::Redelivery { of: None }, ..new_delivery(n, 1) }
}

/// Ends delivery `n`, which is due, at `now`.
async fn end(store: &Shared, n: u32, now: i64, next: Next) {
    let claimed = store.claim(request(at(now), &[(1, 100)])).await.unwrap();
    let claim = claimed.iter().map(|claimed| &claimed.claim).find(|claim| claim.delivery() == delivery_id(n)).unwrap();
    assert_eq!(store.settle(vec![settlement(claim, at(now), next)]).await.unwrap(), [Settled::Written]);
    // The others are due again.
    store.recover(node_id(9), at(now)).await.unwrap();
}

/// Delivery `n` of event `n` to destination 1: 1 delivered, 2 and 3 exhausted (at 100 and 200), 4 cancelled, 5 outstanding.
/// 6 owes nothing, 7 only something to destination 2, 8 repeats 7, 9 was passed over because its value ran.
async fn fill(store: &Shared) {
    declare(store, 2).await;
    for n in 1..=5 {
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
    }
    store.commit(new_event(6)).await.unwrap();
    store.commit(with_key(owing(new_event(7), 7, 2), DedupKind::Body, b"k")).await.unwrap();
    store.commit(with_key(new_event(8), DedupKind::Body, b"k")).await.unwrap();
    end(store, 1, 50, Next::Delivered).await;
    end(store, 2, 100, Next::Exhausted).await;
    end(store, 3, 200, Next::Exhausted).await;
    store.cancel(delivery_id(4), at(300), audit("delivery.cancel", at(300))).await.unwrap();
    for n in [10, 9] {
        let mut new = owing(new_event(n), n, 1);
        new.deliveries[0].once = Some([1; 32]);
        store.commit(new).await.unwrap();
    }
}

pub(crate) async fn what_failed_is_found_by_when_it_failed(store: &Shared) {
    fill(store).await;
    let failed = || recovering(Recovery::Failed);
    assert_eq!(found(store, failed()).await, numbered(&[2, 3]));
    // An attempt takes 7 ms.
    let from = |millis| JobSpec { from: Some(at(millis)), ..failed() };
    assert_eq!(found(store, from(107)).await, numbered(&[2, 3]));
    assert_eq!(found(store, from(108)).await, numbered(&[3]));
    assert_eq!(found(store, JobSpec { to: Some(at(207)), ..from(107) }).await, numbered(&[2]));
    assert_eq!(found(store, JobSpec { destination: Some("destination-2".to_owned()), ..failed() }).await, []);
    assert_eq!(found(store, JobSpec { destination: Some("nothing".to_owned()), ..failed() }).await, []);
    // The latest delivery counts.
    store.redeliver(event_id(2), vec![again(50)], audit("event.redeliver", at(400))).await.unwrap();
    assert_eq!(found(store, failed()).await, numbered(&[3]));
    end(store, 50, 500, Next::Exhausted).await;
    assert_eq!(found(store, from(400)).await, numbered(&[2]));
}

pub(crate) async fn what_is_missing_was_neither_given_nor_called_off_nor_is_owed(store: &Shared) {
    fill(store).await;
    let missing = || recovering(Recovery::Missing);
    // 10 is owed; 9 has its value.
    assert_eq!(found(store, missing()).await, numbered(&[2, 3, 6, 7]));
    assert_eq!(found(store, JobSpec { from: Some(at(3)), to: Some(at(7)), ..missing() }).await, numbered(&[3, 6]));
    // A second delivery changes that: one that is owed, one that is called off, one that fails.
    for (n, delivery) in [(2, 50), (3, 51), (6, 52)] {
        store.redeliver(event_id(n), vec![again(delivery)], audit("event.redeliver", at(400))).await.unwrap();
    }
    assert_eq!(found(store, missing()).await, numbered(&[7]));
    store.cancel(delivery_id(51), at(401), audit("delivery.cancel", at(401))).await.unwrap();
    end(store, 52, 500, Next::Exhausted).await;
    assert_eq!(found(store, missing()).await, numbered(&[6, 7]));
    // What was called off and then failed is not there all the same.
    store.redeliver(event_id(4), vec![again(53)], audit("event.redeliver", at(600))).await.unwrap();
    end(store, 53, 700, Next::Exhausted).await;
    assert_eq!(found(store, missing()).await, numbered(&[4, 6, 7]));
}

pub(crate) async fn what_is_recovered_meanwhile_is_not_recovered_again(store: &Shared) {
    fill(store).await;
    for (n, recover, before) in [(1, Recovery::Failed, 3), (2, Recovery::Missing, 7)] {
        let spec = recovering(recover);
        let job = store.create_job(job_id(n), spec.clone(), audit("job.create", at(800))).await.unwrap();
        assert_eq!(job.spec, spec, "it comes back as it went in");
        let look = store.look(ORG, spec, job.range, 1000, 1000).await.unwrap();
        let deliveries = look.events.iter().zip(n * 100..);
        let step = JobStep {
            job: job.id,
            from: job.range.next,
            next: look.next,
            looked_at: look.looked_at,
            deliveries: deliveries.map(|(event, delivery)| (event.event, vec![again(delivery)])).collect(),
            now: at(900),
            audit_done: audit("job.done", at(900)),
        };
        // Somebody else was here between the look and the step.
        let other = audit("event.redeliver", at(850));
        store.redeliver(event_id(before), vec![again(n * 100 + 50)], other).await.unwrap();
        let after = store.advance(step.clone()).await.unwrap().unwrap();
        assert_eq!((after.matched, after.redelivered), (look.events.len() as u64 - 1, look.events.len() as u64 - 1));
        assert_eq!(store.advance(step).await.unwrap(), None, "nor is a step taken twice");
    }
    assert_eq!(found(store, recovering(Recovery::Failed)).await, []);
    assert_eq!(found(store, recovering(Recovery::Missing)).await, []);
}
