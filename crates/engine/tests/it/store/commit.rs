//! The verb `commit`, as every store must keep it: whole, once, durable.

use hookward_engine::model::*;
use hookward_engine::store::*;
use tokio::task::JoinSet;

use super::support::*;

pub(crate) async fn an_event_comes_back_as_it_went_in(store: &Shared) {
    declare(store, 1).await;
    let new = owing(new_event(1), 1, 1);
    let (event, body) = (new.event.clone(), new.body.clone());
    let committed = store.commit(new).await.unwrap();
    assert_eq!((committed.event(), committed.first_event(), committed.original()), (event.id, event.id, None));
    assert_eq!(store.event(ORG, event.id).await.unwrap(), event);
    assert_eq!(store.body(ORG, event.id).await.unwrap(), body);
    let (delivery, attempts) = store.delivery(ORG, delivery_id(1)).await.unwrap();
    assert_eq!(
        delivery,
        Delivery {
            id: delivery_id(1),
            event: event.id,
            destination: destination_id(1),
            destination_name: "destination-1".to_owned(),
            state: DeliveryState::Pending { due_at: at(1) },
            cause: DeliveryCause::Event,
            attempts: 0,
            created_at: at(1),
            cancel_at: None,
            superseded_by: None,
            parked: false,
            skipped: 0,
            probes: 0,
        }
    );
    assert_eq!(attempts, []);
    let log = store.audit(ORG, PAGE).await.unwrap().items;
    assert_eq!(
        log.iter().map(|row| (row.seq, row.entry.clone())).collect::<Vec<_>>(),
        [(1, audit("webhook.deliver", at(1)))]
    );
}

pub(crate) async fn an_empty_body_and_a_large_one_come_back(store: &Shared) {
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    store.commit(with_body(new_event(1), b"")).await.unwrap();
    store.commit(with_body(new_event(2), &large)).await.unwrap();
    assert_eq!(store.body(ORG, event_id(1)).await.unwrap(), "");
    assert_eq!(store.body(ORG, event_id(2)).await.unwrap(), large);
}

pub(crate) async fn either_key_makes_a_duplicate(store: &Shared) {
    let first = with_key(with_key(new_event(1), DedupKind::DeliveryId, b"one"), DedupKind::Body, b"sum");
    store.commit(first).await.unwrap();
    let same_id = with_key(with_key(new_event(2), DedupKind::DeliveryId, b"one"), DedupKind::Body, b"other");
    let same_body = with_key(with_key(new_event(3), DedupKind::DeliveryId, b"two"), DedupKind::Body, b"sum");
    for new in [same_id, same_body] {
        let id = new.event.id;
        let committed = store.commit(new).await.unwrap();
        assert_eq!((committed.event(), committed.first_event()), (id, event_id(1)));
        assert_eq!(store.event(ORG, id).await.unwrap().duplicate_of, Some(event_id(1)));
    }
    // Equal bytes of another kind, and at another source, are something else.
    let other_kind = with_key(new_event(4), DedupKind::Idempotency, b"one");
    let mut other_source = with_key(new_event(5), DedupKind::DeliveryId, b"one");
    other_source.event.source = source_id(2);
    for new in [other_kind, other_source] {
        assert_eq!(store.commit(new).await.unwrap().original(), None);
    }
}

pub(crate) async fn a_kept_duplicate_owes_nothing_and_says_what_it_repeats(store: &Shared) {
    declare(store, 1).await;
    let original = with_key(owing(new_event(1), 1, 1), DedupKind::Body, b"k");
    let body_sha256 = original.event.body_sha256;
    store.commit(original).await.unwrap();
    let committed = store.commit(with_key(owing(new_event(2), 2, 1), DedupKind::Body, b"k")).await.unwrap();
    assert_eq!(committed.original(), Some(&Original { event: event_id(1), body_sha256 }));
    let owed = store.deliveries(ORG, DeliveryFilter::default(), PAGE).await.unwrap().items;
    assert_eq!(owed.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [delivery_id(1)]);
    let log = store.audit(ORG, PAGE).await.unwrap().items;
    assert_eq!(log[0].entry.action, "webhook.duplicate");
    let detail = serde_json::json!({ "why": "a test", "duplicate_of": event_id(1).to_string() });
    assert_eq!(log[0].entry.detail, detail);
}

pub(crate) async fn a_duplicate_has_a_body_whether_it_differs_or_not(store: &Shared) {
    store.commit(with_body(with_key(new_event(1), DedupKind::DeliveryId, b"k"), b"body")).await.unwrap();
    store.commit(with_body(with_key(new_event(2), DedupKind::DeliveryId, b"k"), b"body")).await.unwrap();
    store.commit(with_body(with_key(new_event(3), DedupKind::DeliveryId, b"k"), b"ydob")).await.unwrap();
    assert_eq!(store.body(ORG, event_id(2)).await.unwrap(), "body");
    assert_eq!(store.body(ORG, event_id(3)).await.unwrap(), "ydob");
}

pub(crate) async fn a_discarded_duplicate_leaves_nothing(store: &Shared) {
    declare(store, 0).await;
    let original = with_key(new_event(1), DedupKind::Idempotency, b"k");
    let body_sha256 = original.event.body_sha256;
    store.commit(original).await.unwrap();
    let mut repeat = with_key(new_event(2), DedupKind::Idempotency, b"k");
    repeat.on_duplicate = OnDuplicate::Discard;
    repeat.proven_by = Some((SecretOwner::Source(source_id(1)), 1));
    let committed = store.commit(repeat).await.unwrap();
    // The body's sum tells the publisher's honest repeat from another payload under the same key.
    assert_eq!(committed.original(), Some(&Original { event: event_id(1), body_sha256 }));
    assert_eq!((committed.event(), committed.first_event()), (event_id(1), event_id(1)));
    assert_eq!(listed(store, EventFilter::default()).await, [event_id(1)]);
    assert_eq!(store.audit(ORG, PAGE).await.unwrap().items.len(), 1);
    assert_eq!(store.load().await.unwrap().secrets[0].uses, 0);
}

pub(crate) async fn a_key_is_remembered_until_its_end_and_then_names_another(store: &Shared) {
    let original = with_key(new_event(1), DedupKind::Body, b"k");
    let expires_at = original.dedup[0].expires_at;
    store.commit(original).await.unwrap();
    let mut last = with_key(new_event(2), DedupKind::Body, b"k");
    last.event.received_at = hookward_engine::clock::Timestamp::from_millis(expires_at.as_millis() - 1);
    assert_eq!(store.commit(last).await.unwrap().first_event(), event_id(1));
    // The duplicate did not prolong it.
    let mut after = with_key(new_event(3), DedupKind::Body, b"k");
    after.event.received_at = expires_at;
    after.dedup[0].expires_at = expires_at.plus(std::time::Duration::from_secs(60));
    assert_eq!(store.commit(after).await.unwrap().original(), None);
    let mut repeat = with_key(new_event(4), DedupKind::Body, b"k");
    repeat.event.received_at = expires_at;
    assert_eq!(store.commit(repeat).await.unwrap().first_event(), event_id(3));
}

pub(crate) async fn a_duplicates_own_keys_are_not_remembered(store: &Shared) {
    store.commit(with_key(new_event(1), DedupKind::Body, b"captured")).await.unwrap();
    let replayed = with_key(with_key(new_event(2), DedupKind::DeliveryId, b"to come"), DedupKind::Body, b"captured");
    assert_eq!(store.commit(replayed).await.unwrap().first_event(), event_id(1));
    let honest = with_key(with_key(new_event(3), DedupKind::DeliveryId, b"to come"), DedupKind::Body, b"new");
    assert_eq!(store.commit(honest).await.unwrap().original(), None);
}

pub(crate) async fn many_at_once_with_one_key_make_one_event(store: &Shared) {
    let mut tasks = JoinSet::new();
    for n in 1..=64 {
        tasks.spawn(commit_in_task(store, with_key(new_event(n), DedupKind::Body, b"the same")));
    }
    let committed = tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let originals: Vec<_> = committed.iter().filter(|committed| committed.original().is_none()).collect();
    assert_eq!(originals.len(), 1);
    assert!(committed.iter().all(|committed| committed.first_event() == originals[0].event()));
    let filter = EventFilter { duplicate: Some(false), ..EventFilter::default() };
    assert_eq!(listed(store, filter).await, [originals[0].event()]);
}

/// However a store groups them.
pub(crate) async fn a_burst_comes_back_as_it_went_in(store: &Shared) {
    declare(store, 2).await;
    let paused = Change::SetDestinationState(destination_id(2), DestinationState::Paused);
    store.change(vec![paused], vec![]).await.unwrap();
    let burst = |n: u32| {
        let mut new = owing(owing(with_body(new_event(n), &dense(n as usize * 40)), 2 * n, 1), 2 * n + 1, 2);
        if n.is_multiple_of(4) {
            new.event.delivery_id = None;
            new.failed.push(FailedFilter { destination: destination_id(1), detail: format!("failed on {n}") });
            new.audit_failed = Some(audit("filter.failed", new.event.received_at));
        }
        with_key(new, DedupKind::DeliveryId, &n.to_be_bytes())
    };
    let mut tasks = JoinSet::new();
    (1..=64).for_each(|n| drop(tasks.spawn(commit_in_task(store, burst(n)))));
    assert!(tasks.join_all().await.iter().all(|committed| committed.as_ref().is_ok_and(|one| one.owed() == 2)));
    for n in 1..=64 {
        let new = burst(n);
        assert_eq!(store.event(ORG, event_id(n)).await.unwrap(), new.event);
        assert_eq!(store.body(ORG, event_id(n)).await.unwrap(), new.body);
        assert_eq!(state_of(store, 2 * n).await, DeliveryState::Pending { due_at: at(i64::from(n)) });
        assert_eq!(state_of(store, 2 * n + 1).await, DeliveryState::Held { since: at(i64::from(n)) });
        let passed = store.passed_over(ORG, event_id(n)).await.unwrap();
        assert_eq!(passed.len(), usize::from(n.is_multiple_of(4)), "{n}");
        let again = store.commit(with_key(new_event(100 + n), DedupKind::DeliveryId, &n.to_be_bytes())).await.unwrap();
        assert_eq!(again.first_event(), event_id(n));
    }
    let failures = AuditFilter { action: Some("filter.failed".to_owned()), ..AuditFilter::default() };
    assert_eq!(store.audit_matching(ORG, failures, PAGE).await.unwrap().items.len(), 16);
}

pub(crate) async fn one_that_cannot_be_written_leaves_the_others_alone(store: &Shared) {
    declare(store, 1).await;
    let mut tasks = JoinSet::new();
    for n in 1..=60 {
        // Every third owes something to a destination that does not exist; every fifth tells twice of the same filter.
        let mut new = owing(new_event(n), n, if n % 3 == 0 { 99 } else { 1 });
        if n % 5 == 0 {
            let failed = FailedFilter { destination: destination_id(1), detail: "no such field".to_owned() };
            new.failed = vec![failed.clone(), failed];
        }
        let commit = commit_in_task(store, new);
        tasks.spawn(async move { (n, commit.await) });
    }
    for (n, outcome) in tasks.join_all().await {
        match outcome {
            Ok(_) => assert!(n % 3 != 0),
            Err(StoreError::NotFound { what }) => {
                assert_eq!((n % 3, what), (0, format!("destination `{}`", destination_id(99))))
            }
            Err(StoreError::Inconsistent { .. }) => assert_eq!(n % 5, 0),
            Err(error) => panic!("{error}"),
        }
    }
    let kept = listed(store, EventFilter::default()).await.len();
    let log = store.audit(ORG, PAGE).await.unwrap().items.len();
    let owed = store.deliveries(ORG, DeliveryFilter::default(), PAGE).await.unwrap().items.len();
    let good = (1..=60).filter(|n| n % 3 != 0 && n % 5 != 0).count();
    assert_eq!((kept, log, owed), (good, good, good));
}

pub(crate) async fn uses_of_a_secret_are_counted(store: &Shared) {
    declare(store, 0).await;
    let owner = SecretOwner::Source(source_id(1));
    let mut tasks = JoinSet::new();
    for n in 1..=40 {
        let mut new = with_key(new_event(n), DedupKind::Body, &[u8::try_from(n % 20).unwrap()]);
        new.proven_by = Some((owner, 1));
        tasks.spawn(commit_in_task(store, new));
    }
    tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    let kept = store.load().await.unwrap().secrets.remove(0);
    assert_eq!((kept.uses, kept.first_used_at, kept.last_used_at), (40, Some(at(1)), Some(at(40))));
}

pub(crate) async fn expired_keys_are_forgotten_a_few_at_a_time(store: &Shared) {
    for n in 1..=10 {
        store.commit(with_key(new_event(n), DedupKind::Body, &[u8::try_from(n).unwrap()])).await.unwrap();
    }
    let now = at(60_000 + 7);
    assert_eq!(store.forget(now, 5).await.unwrap(), 5);
    assert_eq!(store.forget(now, 5).await.unwrap(), 2);
    assert_eq!(store.forget(now, 5).await.unwrap(), 0);
    assert_eq!(store.commit(with_key(new_event(11), DedupKind::Body, &[8])).await.unwrap().first_event(), event_id(8));
    assert_eq!(store.commit(with_key(new_event(12), DedupKind::Body, &[7])).await.unwrap().original(), None);
}
