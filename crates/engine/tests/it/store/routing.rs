//! What a commit decides besides owing: values that run once, keys of which only the newest counts, destinations passed
//! over, and deliveries called off while they are under way.

use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

/// Event `n` of source 1 owing delivery `n` to destination 1, shaped by `shape`.
fn shaped(n: u32, shape: impl FnOnce(&mut NewDelivery)) -> NewEvent {
    let mut new = owing(new_event(n), n, 1);
    shape(&mut new.deliveries[0]);
    new
}

fn once(n: u32, value: u8) -> NewEvent {
    shaped(n, |delivery| delivery.once = Some([value; 32]))
}

fn latest(n: u32, key: u8) -> NewEvent {
    shaped(n, |delivery| delivery.latest = Some([key; 32]))
}

async fn delivery(store: &Shared, n: u32) -> Delivery {
    store.delivery(ORG, delivery_id(n)).await.unwrap().0
}

async fn outcomes(store: &Shared, n: u32) -> Vec<Outcome> {
    let (_, attempts) = store.delivery(ORG, delivery_id(n)).await.unwrap();
    attempts.iter().map(|attempt| attempt.outcome).collect()
}

async fn claim(store: &Shared, now: i64, room: u32) -> Vec<Claim> {
    let claimed = store.claim(request(at(now), &[(1, room)])).await.unwrap();
    claimed.into_iter().map(|claimed| claimed.claim).collect()
}

async fn settle(store: &Shared, claim: &Claim, now: i64, next: Next) {
    assert_eq!(store.settle(vec![settlement(claim, at(now), next)]).await.unwrap(), [Settled::Written]);
}

async fn cancel(store: &Shared, n: u32, now: i64) -> Cancel {
    store.cancel(delivery_id(n), at(now), audit("delivery.cancel", at(now))).await.unwrap()
}

async fn passed_over(store: &Shared, n: u32) -> Vec<(String, PassedOverReason)> {
    let passed = store.passed_over(ORG, event_id(n)).await.unwrap();
    passed.into_iter().map(|passed| (passed.destination_name, passed.reason)).collect()
}

fn for_once(first: u32) -> Vec<(String, PassedOverReason)> {
    vec![("destination-1".to_owned(), PassedOverReason::Once { first: event_id(first) })]
}

pub(crate) async fn the_end_of_an_attempt_cancels_what_was_called_off_unless_it_succeeded(store: &Shared) {
    declare(store, 1).await;
    let ends =
        [Next::Again { due_at: at(99) }, Next::Exhausted, Next::Held, Next::Cancelled, Next::Delivered].into_iter();
    for (n, next) in (1..).zip(ends) {
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
        let claims = claim(store, 10, 1).await;
        assert_eq!(cancel(store, n, 20).await, Cancel::UnderWay);
        assert_eq!(cancel(store, n, 21).await, Cancel::UnderWay);
        settle(store, &claims[0], 30, next).await;
        let ended = delivery(store, n).await;
        let expected = match next {
            Next::Delivered => DeliveryState::Delivered { at: at(37) },
            _ => DeliveryState::Cancelled { at: at(37) },
        };
        assert_eq!((ended.state, ended.cancel_at), (expected, Some(at(20))), "{next:?}");
        assert_eq!(outcomes(store, n).await.len(), 1);
    }
}

pub(crate) async fn a_lease_that_ends_by_itself_cancels_what_was_called_off(store: &Shared) {
    declare(store, 1).await;
    for n in [1, 2, 3] {
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
    }
    assert_eq!(claim(store, 10, 3).await.len(), 3);
    assert_eq!(cancel(store, 1, 20).await, Cancel::UnderWay);
    assert_eq!(claim(store, 30_010, 1).await[0].delivery(), delivery_id(2));
    assert_eq!(delivery(store, 1).await.state, DeliveryState::Cancelled { at: at(30_010) });
    assert_eq!(outcomes(store, 1).await, [Outcome::Interrupted]);
    assert_eq!(cancel(store, 2, 30_020).await, Cancel::UnderWay);
    store.recover(node_id(9), at(30_030)).await.unwrap();
    assert_eq!(delivery(store, 2).await.state, DeliveryState::Cancelled { at: at(30_030) });
    assert_eq!(outcomes(store, 2).await, [Outcome::Interrupted, Outcome::Interrupted]);
    assert_eq!(delivery(store, 3).await.state, DeliveryState::Pending { due_at: at(30_030) });
}

pub(crate) async fn what_was_called_off_takes_no_room(store: &Shared) {
    declare(store, 1).await;
    for n in 1..=6 {
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
    }
    assert_eq!(claim(store, 10, 4).await.len(), 4);
    for n in [1, 2, 4] {
        cancel(store, n, 20).await;
    }
    let claims = claim(store, 40_000, 2).await;
    let deliveries: Vec<_> = claims.iter().map(Claim::delivery).collect();
    assert_eq!(deliveries, [delivery_id(3), delivery_id(5)], "a lease that ran out is no later than it was due");
    let claims = claim(store, 40_000, 1).await;
    assert_eq!(claims.iter().map(Claim::delivery).collect::<Vec<_>>(), [delivery_id(6)]);
    for n in [1, 2, 4] {
        assert_eq!(delivery(store, n).await.state, DeliveryState::Cancelled { at: at(40_000) });
    }
}

pub(crate) async fn the_newest_of_a_key_supersedes_the_others(store: &Shared) {
    declare(store, 1).await;
    store.commit(latest(1, 7)).await.unwrap();
    let claims = claim(store, 10, 1).await;
    assert_eq!(store.commit(latest(2, 7)).await.unwrap().superseded(), [delivery_id(1)]);
    // The one under way has been told already, and the waiting one is cancelled without a word.
    let third = store.commit(latest(3, 7)).await.unwrap();
    assert_eq!((third.superseded(), third.owed()), (&[][..], 1));
    let (first, second) = (delivery(store, 1).await, delivery(store, 2).await);
    assert!(matches!(first.state, DeliveryState::Leased { .. }));
    assert_eq!((first.cancel_at, first.superseded_by), (Some(at(2)), Some(event_id(2))));
    assert_eq!(second.state, DeliveryState::Cancelled { at: at(3) });
    assert_eq!((second.cancel_at, second.superseded_by), (None, Some(event_id(3))));
    settle(store, &claims[0], 20, Next::Exhausted).await;
    assert_eq!(delivery(store, 1).await.state, DeliveryState::Cancelled { at: at(27) });
    // A held one is outstanding too; one that has ended stays as it is.
    let set = |state| Change::SetDestinationState(destination_id(1), state);
    store.change(vec![set(DestinationState::Paused)], vec![audit("destination.pause", at(30))]).await.unwrap();
    assert!(store.commit(latest(4, 7)).await.unwrap().superseded().is_empty());
    assert_eq!(delivery(store, 3).await.superseded_by, Some(event_id(4)));
    store.change(vec![set(DestinationState::Active)], vec![audit("destination.resume", at(40))]).await.unwrap();
    let claims = claim(store, 50, 9).await;
    assert_eq!(claims.iter().map(Claim::delivery).collect::<Vec<_>>(), [delivery_id(4)]);
    settle(store, &claims[0], 60, Next::Delivered).await;
    store.commit(latest(5, 7)).await.unwrap();
    assert_eq!(delivery(store, 4).await.state, DeliveryState::Delivered { at: at(67) });
    assert_eq!(delivery(store, 4).await.superseded_by, None);
}

pub(crate) async fn keys_of_another_destination_or_none_supersede_nothing(store: &Shared) {
    declare(store, 2).await;
    let mut both = owing(owing(new_event(1), 1, 1), 2, 2);
    both.deliveries.iter_mut().for_each(|delivery| delivery.latest = Some([7; 32]));
    store.commit(both).await.unwrap();
    store.commit(owing(new_event(2), 3, 1)).await.unwrap();
    store.commit(latest(4, 8)).await.unwrap();
    for n in 1..=4 {
        assert!(matches!(delivery(store, n).await.state, DeliveryState::Pending { .. }), "delivery {n}");
    }
    store.commit(latest(5, 7)).await.unwrap();
    for (n, superseded) in [(1, true), (2, false), (3, false), (4, false)] {
        assert_eq!(delivery(store, n).await.superseded_by.is_some(), superseded, "delivery {n}");
    }
}

pub(crate) async fn a_value_runs_once_while_its_delivery_counts(store: &Shared) {
    declare(store, 1).await;
    assert_eq!(store.commit(once(1, 7)).await.unwrap().owed(), 1);
    // Waiting, under way or delivered: it counts.
    assert_eq!(store.commit(once(2, 7)).await.unwrap().owed(), 0);
    let claims = claim(store, 10, 1).await;
    assert_eq!(store.commit(once(3, 7)).await.unwrap().owed(), 0);
    settle(store, &claims[0], 10, Next::Delivered).await;
    let fourth = store.commit(once(4, 7)).await.unwrap();
    assert_eq!((fourth.owed(), fourth.original()), (0, None));
    for n in 2..=4 {
        assert_eq!(passed_over(store, n).await, for_once(1), "event {n}");
    }
    assert_eq!(passed_over(store, 1).await, []);
    // Another value runs; once it is exhausted or called off, the next one takes its place.
    assert_eq!(store.commit(once(5, 8)).await.unwrap().owed(), 1);
    cancel(store, 5, 20).await;
    assert_eq!(store.commit(once(6, 8)).await.unwrap().owed(), 1);
    assert_eq!(store.commit(once(7, 8)).await.unwrap().owed(), 0);
    assert_eq!(passed_over(store, 7).await, for_once(6));
    let claims = claim(store, 30, 1).await;
    settle(store, &claims[0], 30, Next::Exhausted).await;
    assert_eq!(store.commit(once(8, 8)).await.unwrap().owed(), 1);
    // What is being called off does not count, but it does if it ends well all the same.
    let claims = claim(store, 40, 1).await;
    cancel(store, 8, 41).await;
    assert_eq!(store.commit(once(9, 8)).await.unwrap().owed(), 1);
    settle(store, &claims[0], 50, Next::Delivered).await;
    assert_eq!(store.commit(once(10, 8)).await.unwrap().owed(), 0);
    assert_eq!(passed_over(store, 10).await, for_once(9));
}

pub(crate) async fn at_another_source_or_destination_a_value_is_another(store: &Shared) {
    declare(store, 2).await;
    store.commit(once(1, 7)).await.unwrap();
    let mut elsewhere = once(2, 7);
    elsewhere.event.source = source_id(2);
    assert_eq!(store.commit(elsewhere).await.unwrap().owed(), 1);
    let mut both = owing(owing(new_event(3), 3, 1), 4, 2);
    both.deliveries.iter_mut().for_each(|delivery| delivery.once = Some([7; 32]));
    assert_eq!(store.commit(both).await.unwrap().owed(), 1);
    assert_eq!(passed_over(store, 3).await, for_once(1));
    assert_eq!(delivery(store, 4).await.destination, destination_id(2));
}

pub(crate) async fn many_at_once_with_one_value_run_once(store: &Shared) {
    declare(store, 1).await;
    let commits: Vec<_> = (1..=50).map(|n| tokio::spawn(commit_in_task(store, once(n, 7)))).collect();
    let mut owed = 0;
    for commit in commits {
        owed += commit.await.unwrap().unwrap().owed();
    }
    assert_eq!(owed, 1);
    let deliveries = store.deliveries(ORG, DeliveryFilter::default(), PAGE).await.unwrap().items;
    assert_eq!(deliveries.len(), 1);
    let mut passed = 0;
    for n in 1..=50 {
        for (_, reason) in passed_over(store, n).await {
            assert_eq!(reason, PassedOverReason::Once { first: deliveries[0].event });
            passed += 1;
        }
    }
    assert_eq!(passed, 49);
}

pub(crate) async fn an_event_passed_over_supersedes_nothing(store: &Shared) {
    declare(store, 1).await;
    let both = |n| {
        shaped(n, |delivery| {
            delivery.once = Some([7; 32]);
            delivery.latest = Some([9; 32]);
        })
    };
    store.commit(both(1)).await.unwrap();
    assert_eq!(store.commit(both(2)).await.unwrap().owed(), 0);
    assert!(matches!(delivery(store, 1).await.state, DeliveryState::Pending { .. }));
}

pub(crate) async fn a_failed_filter_is_kept_with_its_event_but_not_with_a_duplicate(store: &Shared) {
    declare(store, 2).await;
    let failing = |n: u32| {
        let mut new = with_key(owing(new_event(n), n, 2), DedupKind::Body, b"same");
        new.failed = vec![FailedFilter { destination: destination_id(1), detail: "no such key: ref".to_owned() }];
        new.audit_failed = Some(audit("filter.failed", at(i64::from(n))));
        new
    };
    assert_eq!(store.commit(failing(1)).await.unwrap().owed(), 1);
    store.commit(failing(2)).await.unwrap();
    let reason = PassedOverReason::FilterFailed { detail: "no such key: ref".to_owned() };
    assert_eq!(passed_over(store, 1).await, [("destination-1".to_owned(), reason)]);
    assert_eq!(passed_over(store, 2).await, []);
    let log = store.audit(ORG, PAGE).await.unwrap().items;
    let actions: Vec<_> = log.iter().map(|row| row.entry.action.as_str()).collect();
    assert_eq!(actions, ["webhook.duplicate", "filter.failed", "webhook.deliver"]);
    let unknown = store.passed_over(ORG, event_id(9)).await.unwrap_err();
    assert_eq!(unknown, StoreError::NotFound { what: format!("event `{}`", event_id(9)) });
}
