//! Redelivery jobs, as every store must keep them: each event once, none missed, nothing of a step without the rest.

use hookward_engine::ids::JobId;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;
use crate::support::every_event;

pub(crate) fn job_id(n: u32) -> JobId {
    JobId::from_bytes(id_bytes(8, n))
}

fn everything() -> JobSpec {
    every_event(50)
}

fn again(n: u32, destination: u32) -> NewDelivery {
    NewDelivery { cause: DeliveryCause::Redelivery { of: None }, ..new_delivery(n, destination) }
}

fn step(job: &RedeliveryJob, look: &Look) -> JobStep {
    let numbers = look.events.iter().map(|event| u32::from_be_bytes(event.event.as_bytes()[12..].try_into().unwrap()));
    JobStep {
        job: job.id,
        from: job.range.next,
        next: look.next,
        looked_at: look.looked_at,
        deliveries: numbers.map(|n| (event_id(n), vec![again(100 + n, 1)])).collect(),
        now: at(500),
        audit_done: audit("job.done", at(500)),
    }
}

async fn look(store: &Shared, spec: JobSpec) -> Vec<hookward_engine::ids::EventId> {
    let range = store.range().await.unwrap();
    let look = store.look(ORG, spec, range, 1000, 1000).await.unwrap();
    assert_eq!((look.looked_at > 0, look.next), (true, range.end + 1));
    look.events.into_iter().map(|event| event.event).collect()
}

/// Events 1 to 9 at source 1; 3, 6 and 9 of type `ping`, 4 to 6 at source 2, 8 a duplicate of 7.
async fn fill(store: &Shared) {
    declare(store, 2).await;
    let two = Change::PutSource(Source { id: source_id(2), name: "source-2".to_owned(), ..source(1) });
    store.change(vec![two], vec![]).await.unwrap();
    for n in 1..=9 {
        let mut new = owing(new_event(n), n, 1);
        if n % 3 == 0 {
            new.event.event_type = "ping".to_owned();
        }
        if (4..=6).contains(&n) {
            (new.event.source, new.event.source_name) = (source_id(2), "source-2".to_owned());
        }
        if n == 7 || n == 8 {
            new = with_key(new, DedupKind::Body, b"k");
        }
        store.commit(new).await.unwrap();
    }
}

pub(crate) async fn a_job_looks_at_what_matches(store: &Shared) {
    fill(store).await;
    let all = everything;
    for (spec, expected) in [
        (all(), &[1, 2, 3, 4, 5, 6, 7, 8, 9][..]),
        (JobSpec { source: Some("source-2".to_owned()), ..all() }, &[4, 5, 6]),
        (JobSpec { event_type: Some("ping".to_owned()), ..all() }, &[3, 6, 9]),
        (JobSpec { from: Some(at(3)), to: Some(at(6)), ..all() }, &[3, 4, 5]),
        (JobSpec { duplicate: Some(true), ..all() }, &[8]),
        (JobSpec { duplicate: Some(false), from: Some(at(7)), ..all() }, &[7, 9]),
    ] {
        let expected: Vec<_> = expected.iter().map(|n| event_id(*n)).collect();
        assert_eq!(look(store, spec.clone()).await, expected, "{spec:?}");
    }
}

pub(crate) async fn a_job_can_ask_for_the_state_of_the_latest_delivery(store: &Shared) {
    fill(store).await;
    let claimed = store.claim(request(at(100), &[(1, 3)])).await.unwrap();
    for claimed in &claimed {
        store.settle(vec![settlement(&claimed.claim, at(100), Next::Exhausted)]).await.unwrap();
    }
    // The second of these is owed again already.
    store.redeliver(event_id(2), vec![again(50, 1)], audit("event.redeliver", at(200))).await.unwrap();
    let exhausted = JobSpec { state: Some("exhausted".to_owned()), ..everything() };
    assert_eq!(look(store, exhausted.clone()).await, [event_id(1), event_id(3)]);
    let job = store.create_job(job_id(1), exhausted.clone(), audit("job.create", at(300))).await.unwrap();
    let mut step = step(&job, &store.look(ORG, exhausted, job.range, 1000, 1000).await.unwrap());
    // What changed between the look and the step is left alone.
    store.redeliver(event_id(3), vec![again(51, 1)], audit("event.redeliver", at(310))).await.unwrap();
    step.deliveries[0].1.push(again(200, 2));
    let after = store.advance(step).await.unwrap().unwrap();
    assert_eq!((after.matched, after.redelivered, after.state), (1, 1, JobState::Done));
    assert_eq!(state_of(store, 101).await, DeliveryState::Pending { due_at: at(0) });
    let (delivery, _) = store.delivery(ORG, delivery_id(101)).await.unwrap();
    assert_eq!(delivery.cause, DeliveryCause::Redelivery { of: Some(delivery_id(1)) });
    assert!(
        store.delivery(ORG, delivery_id(103)).await.is_err() && store.delivery(ORG, delivery_id(200)).await.is_err()
    );
}

pub(crate) async fn looks_meet_without_gap_or_overlap(store: &Shared) {
    fill(store).await;
    for (rows, matches) in [(1, 9), (2, 9), (9, 1), (9, 2), (4, 3), (9, 9), (10, 9)] {
        let spec = JobSpec { duplicate: Some(false), ..everything() };
        let mut range = store.range().await.unwrap();
        let (mut seen, mut looked_at) = (Vec::new(), 0);
        while range.next <= range.end {
            let look = store.look(ORG, spec.clone(), range, rows, matches).await.unwrap();
            assert!(
                look.next > range.next && look.events.len() <= matches as usize && look.looked_at <= u64::from(rows)
            );
            seen.extend(look.events.into_iter().map(|event| event.event));
            (range.next, looked_at) = (look.next, looked_at + look.looked_at);
        }
        let expected: Vec<_> = [1, 2, 3, 4, 5, 6, 7, 9].map(event_id).to_vec();
        assert_eq!((seen, looked_at), (expected, 9), "{rows} rows, {matches} matches");
    }
}

pub(crate) async fn a_step_is_written_once_and_only_where_the_job_stands(store: &Shared) {
    fill(store).await;
    let job = store.create_job(job_id(1), everything(), audit("job.create", at(300))).await.unwrap();
    assert_eq!(store.running_jobs().await.unwrap(), std::slice::from_ref(&job));
    // What comes later is not the job's.
    store.commit(new_event(10)).await.unwrap();
    let first = step(&job, &store.look(ORG, everything(), job.range, 4, 9).await.unwrap());
    let after = store.advance(first.clone()).await.unwrap().unwrap();
    assert_eq!((after.looked_at, after.matched, after.redelivered, after.state), (4, 4, 4, JobState::Running));
    assert_eq!(store.advance(first).await.unwrap(), None, "the same step again");
    let mut second = step(&after, &store.look(ORG, everything(), after.range, 9, 9).await.unwrap());
    second.deliveries[0].1[0].destination = destination_id(9);
    assert!(store.advance(second.clone()).await.is_err());
    assert_eq!(store.job(ORG, job_id(1)).await.unwrap(), after, "a step that fails changes nothing");
    assert!(store.delivery(ORG, delivery_id(106)).await.is_err());
    second.deliveries[0].1[0].destination = destination_id(1);
    let after = store.advance(second).await.unwrap().unwrap();
    assert_eq!((after.looked_at, after.redelivered, after.state), (9, 9, JobState::Done));
    assert_eq!(store.running_jobs().await.unwrap(), []);
    assert_eq!(store.audit(ORG, PAGE).await.unwrap().items[0].entry.action, "job.done");
    let deliveries = store.deliveries(ORG, DeliveryFilter::default(), PAGE).await.unwrap().items;
    // Event 8 is a duplicate, which owed nothing by itself.
    assert_eq!(deliveries.len(), 8 + 9);
}

pub(crate) async fn a_job_changes_state_only_from_where_it_may(store: &Shared) {
    fill(store).await;
    let job = store.create_job(job_id(1), everything(), audit("job.create", at(300))).await.unwrap();
    let change = |from: &[JobState], to, problem: &str| JobChange {
        job: job.id,
        from: from.to_vec(),
        to,
        problem: problem.to_owned(),
        audit: audit("job.change", at(400)),
    };
    let (running, paused) = (JobState::Running, JobState::Paused);
    assert!(!store.change_job(change(&[paused], running, "")).await.unwrap());
    assert!(store.change_job(change(&[running], paused, "")).await.unwrap());
    let stopped = step(&job, &store.look(ORG, everything(), job.range, 4, 9).await.unwrap());
    assert_eq!(store.advance(stopped).await.unwrap(), None, "a paused job takes no step");
    assert!(store.change_job(change(&[paused], running, "")).await.unwrap());
    assert!(store.change_job(change(&[running], JobState::Failed, "why")).await.unwrap());
    let failed = store.job(ORG, job.id).await.unwrap();
    assert_eq!((failed.state, failed.problem.as_str(), failed.updated_at), (JobState::Failed, "why", at(400)));
    let listed = store.jobs(ORG, PAGE).await.unwrap();
    assert_eq!((listed.items, listed.next), (vec![failed], None));
    let unknown = change_of(job_id(9));
    assert_eq!(store.change_job(unknown).await, Err(StoreError::NotFound { what: format!("job `{}`", job_id(9)) }));
    assert_eq!(
        store.audit(ORG, PAGE).await.unwrap().items.iter().filter(|row| row.entry.action == "job.change").count(),
        3
    );
}

fn change_of(job: JobId) -> JobChange {
    let audit = audit("job.change", at(400));
    JobChange { job, from: vec![JobState::Running], to: JobState::Paused, problem: String::new(), audit }
}

pub(crate) async fn a_job_over_nothing_is_done_at_its_first_step(store: &Shared) {
    let job = store.create_job(job_id(1), everything(), audit("job.create", at(300))).await.unwrap();
    let look = store.look(ORG, everything(), job.range, 9, 9).await.unwrap();
    let after = store.advance(step(&job, &look)).await.unwrap().unwrap();
    assert_eq!((after.state, after.looked_at, after.range.percent()), (JobState::Done, 0, 100));
}
