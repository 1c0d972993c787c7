//! Leases and settlements, as every store must keep them: one holder at a time, and only the holder writes.

use std::sync::Arc;
use std::time::Duration;

use hookward_engine::ids::DestinationId;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

/// Commits events 1 to `count`, event `n` owing delivery `n` to destination 1, due at `at(n)`.
async fn owe(store: &Shared, count: u32) {
    declare(store, 2).await;
    for n in 1..=count {
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
    }
}

async fn claim_one(store: &Shared, request: ClaimRequest) -> Claim {
    let mut claimed = store.claim(request).await.unwrap();
    assert_eq!(claimed.len(), 1);
    claimed.remove(0).claim
}

async fn settle_one(store: &Shared, settlement: Settlement) -> Settled {
    store.settle(vec![settlement]).await.unwrap().remove(0)
}

async fn pause(store: &Shared) {
    let paused = Change::SetDestinationState(destination_id(1), DestinationState::Paused);
    store.change(vec![paused], vec![audit("destination.pause", at(500))]).await.unwrap();
}

async fn outcomes(store: &Shared, n: u32) -> Vec<(u32, Outcome)> {
    let (_, attempts) = store.delivery(ORG, delivery_id(n)).await.unwrap();
    attempts.iter().map(|attempt| (attempt.number, attempt.outcome)).collect()
}

pub(crate) async fn a_due_delivery_is_leased_with_what_it_needs(store: &Shared) {
    let new = owing(new_event(1), 1, 1);
    let (event, body) = (new.event.clone(), new.body.clone());
    declare(store, 1).await;
    store.commit(new).await.unwrap();
    assert!(store.claim(request(at(0), &[(1, 9)])).await.unwrap().is_empty());
    let claimed = store.claim(request(at(1), &[(1, 9)])).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let claim = &claimed[0].claim;
    assert_eq!((&claimed[0].event, &claimed[0].body), (&event, &body));
    assert_eq!((claim.delivery(), claim.destination()), (delivery_id(1), destination_id(1)));
    assert_eq!((claim.node(), claim.number()), (node_id(1), 1));
    assert_eq!(state_of(store, 1).await, DeliveryState::Leased { until: at(30_001), node: node_id(1) });
    assert!(store.claim(request_of(2, at(30_000), &[(1, 9)])).await.unwrap().is_empty());
}

pub(crate) async fn the_oldest_due_go_first_within_each_destinations_room(store: &Shared) {
    declare(store, 2).await;
    for (n, destination) in [(1, 1), (2, 2), (3, 1), (4, 1), (5, 2)] {
        let mut new = owing(new_event(n), n, destination);
        new.deliveries[0].due_at = at(i64::from(100 - n));
        store.commit(new).await.unwrap();
    }
    let claimed = store.claim(request(at(98), &[(1, 2), (2, 0)])).await.unwrap();
    let deliveries: Vec<_> = claimed.iter().map(|claimed| claimed.claim.delivery()).collect();
    assert_eq!(deliveries, [delivery_id(4), delivery_id(3)]);
    assert_eq!(claim_one(store, request(at(99), &[(1, 9)])).await.delivery(), delivery_id(1));
}

pub(crate) async fn a_settlement_ends_the_delivery_or_says_when_again(store: &Shared) {
    owe(store, 4).await;
    let claimed = store.claim(request(at(10), &[(1, 9)])).await.unwrap();
    let nexts = [Next::Delivered, Next::Exhausted, Next::Held, Next::Again { due_at: at(5_000) }];
    let settlements =
        claimed.iter().zip(nexts).map(|(claimed, next)| settlement(&claimed.claim, at(20), next)).collect::<Vec<_>>();
    let attempt = settlements[0].attempt.clone();
    assert_eq!(store.settle(settlements).await.unwrap(), [Settled::Written; 4]);
    assert_eq!(state_of(store, 1).await, DeliveryState::Delivered { at: at(27) });
    assert_eq!(state_of(store, 2).await, DeliveryState::Exhausted { at: at(27) });
    assert_eq!(state_of(store, 3).await, DeliveryState::Held { since: at(27) });
    assert_eq!(state_of(store, 4).await, DeliveryState::Pending { due_at: at(5_000) });
    assert_eq!(store.delivery(ORG, delivery_id(1)).await.unwrap().1, [attempt]);
    assert!(store.claim(request(at(4_999), &[(1, 9)])).await.unwrap().is_empty());
    let again = claim_one(store, request(at(5_000), &[(1, 9)])).await;
    assert_eq!((again.delivery(), again.number()), (delivery_id(4), 2));
}

/// However a store groups them.
pub(crate) async fn many_ends_at_once_are_each_kept(store: &Shared) {
    owe(store, 24).await;
    let claimed = store.claim(request(at(100), &[(1, 24)])).await.unwrap();
    assert_eq!(claimed.len(), 24);
    let next = |n: usize| match n % 6 {
        0 => Next::Delivered,
        1 => Next::Exhausted,
        2 => Next::Held,
        3 => Next::Cancelled,
        // The last of each six was settled already.
        _ => Next::Again { due_at: at(5_000 + n as i64) },
    };
    for (n, claimed) in claimed.iter().enumerate().filter(|(n, _)| n % 6 == 5) {
        assert_eq!(settle_one(store, settlement(&claimed.claim, at(150), next(n))).await, Settled::Written);
    }
    let ends = claimed.iter().enumerate().map(|(n, claimed)| settlement(&claimed.claim, at(200 + n as i64), next(n)));
    let ends: Vec<_> = ends.collect();
    let settled = store.settle(ends.clone()).await.unwrap();
    for (n, (end, settled)) in ends.iter().zip(settled).enumerate() {
        let (delivery, attempts) = store.delivery(ORG, end.claim.delivery()).await.unwrap();
        let ended_at = at(207 + n as i64);
        let (answer, state) = match n % 6 {
            0 => (Settled::Written, DeliveryState::Delivered { at: ended_at }),
            1 => (Settled::Written, DeliveryState::Exhausted { at: ended_at }),
            2 => (Settled::Written, DeliveryState::Held { since: ended_at }),
            3 => (Settled::Written, DeliveryState::Cancelled { at: ended_at }),
            4 => (Settled::Written, DeliveryState::Pending { due_at: at(5_000 + n as i64) }),
            _ => (Settled::LeaseLost, DeliveryState::Pending { due_at: at(5_000 + n as i64) }),
        };
        assert_eq!((settled, delivery.state), (answer, state), "{n}");
        assert_eq!(attempts.len(), 1);
        if answer == Settled::Written {
            assert_eq!(attempts[0], end.attempt, "{n}");
        }
    }
}

/// Each comes by itself, as attempts end: however many are written in one go, each is told of its own.
pub(crate) async fn ends_that_wait_together_are_each_told_what_came_of_them(store: &Shared) {
    declare(store, 2).await;
    for n in 1..=40 {
        store.commit(owing(new_event(n), n, 1 + n % 2)).await.unwrap();
    }
    let claims = store.claim(request(at(50), &[(1, 20), (2, 20)])).await.unwrap();
    let claims: Vec<Claim> = claims.into_iter().map(|one| one.claim).collect();
    assert_eq!(claims.len(), 40);
    settle_one(store, settlement(&claims[3], at(55), Next::Exhausted)).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (place, claim) in claims.iter().enumerate() {
        let next = if place % 3 == 0 { Next::Again { due_at: at(900) } } else { Next::Delivered };
        let mut one = settlement(claim, at(60), next);
        // What has to do with more than itself goes by itself, beside the others.
        one.output = (place % 5 == 0).then(|| KeptOutput { total_bytes: 2, bytes: b"ok".to_vec().into() });
        let store = Arc::clone(store);
        tasks.spawn(async move { (place, settle_one(&store, one).await) });
    }
    let mut told = tasks.join_all().await;
    told.sort_by_key(|(place, _)| *place);
    for (place, settled) in told {
        assert_eq!(settled, if place == 3 { Settled::LeaseLost } else { Settled::Written }, "{place}");
        let (delivery, attempts) = store.delivery(ORG, claims[place].delivery()).await.unwrap();
        let state = match place {
            3 => DeliveryState::Exhausted { at: at(62) },
            _ if place % 3 == 0 => DeliveryState::Pending { due_at: at(900) },
            _ => DeliveryState::Delivered { at: at(67) },
        };
        assert_eq!((delivery.state, attempts.len()), (state, 1), "{place}");
    }
}

pub(crate) async fn a_claim_settles_once(store: &Shared) {
    owe(store, 1).await;
    let claim = claim_one(store, request(at(10), &[(1, 9)])).await;
    let first = settlement(&claim, at(20), Next::Again { due_at: at(30) });
    let second = settlement(&claim, at(40), Next::Delivered);
    assert_eq!(store.settle(vec![first, second]).await.unwrap(), [Settled::Written, Settled::LeaseLost]);
    assert_eq!(state_of(store, 1).await, DeliveryState::Pending { due_at: at(30) });
    assert_eq!(outcomes(store, 1).await, [(1, Outcome::Status)]);
}

pub(crate) async fn a_stale_claim_writes_nothing(store: &Shared) {
    owe(store, 1).await;
    let stale = claim_one(store, request_of(1, at(10), &[(1, 9)])).await;
    let fresh = claim_one(store, request_of(2, at(30_010), &[(1, 9)])).await;
    let mut late = settlement(&stale, at(20), Next::Delivered);
    late.disable = Some("gone".to_owned());
    let before = store.delivery(ORG, delivery_id(1)).await.unwrap();
    assert_eq!(settle_one(store, late).await, Settled::LeaseLost);
    assert_eq!(store.delivery(ORG, delivery_id(1)).await.unwrap(), before);
    let kept = store.load().await.unwrap();
    assert_eq!(kept.destinations[0].state, DestinationState::Active);
    assert!(kept.secrets.iter().all(|secret| secret.uses == 0));
    assert_eq!(settle_one(store, settlement(&fresh, at(30_020), Next::Delivered)).await, Settled::Written);
    assert_eq!(outcomes(store, 1).await, [(1, Outcome::Interrupted), (2, Outcome::Success)]);
}

pub(crate) async fn the_same_nodes_earlier_claim_is_stale_too(store: &Shared) {
    owe(store, 1).await;
    let stale = claim_one(store, request(at(10), &[(1, 9)])).await;
    let fresh = claim_one(store, request(at(30_010), &[(1, 9)])).await;
    assert_eq!(settle_one(store, settlement(&stale, at(20), Next::Delivered)).await, Settled::LeaseLost);
    assert_eq!(settle_one(store, settlement(&fresh, at(20), Next::Delivered)).await, Settled::Written);
}

pub(crate) async fn a_lease_past_its_end_holds_until_another_takes_it(store: &Shared) {
    owe(store, 1).await;
    let claim = claim_one(store, request(at(10), &[(1, 9)])).await;
    assert_eq!(settle_one(store, settlement(&claim, at(99_000), Next::Delivered)).await, Settled::Written);
    assert_eq!(outcomes(store, 1).await, [(1, Outcome::Success)]);
}

pub(crate) async fn a_lease_that_runs_out_leaves_an_interrupted_attempt(store: &Shared) {
    owe(store, 1).await;
    claim_one(store, request_of(1, at(10), &[(1, 9)])).await;
    let again = claim_one(store, request_of(2, at(30_010), &[(1, 9)])).await;
    assert_eq!(again.number(), 2);
    let (_, attempts) = store.delivery(ORG, delivery_id(1)).await.unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].id, interrupted_attempt_id(delivery_id(1), 1));
    assert_eq!((attempts[0].number, attempts[0].outcome), (1, Outcome::Interrupted));
    assert_eq!((attempts[0].started_at, attempts[0].duration), (at(10), Duration::from_secs(30)));
}

pub(crate) async fn recovery_ends_the_leases_of_others(store: &Shared) {
    owe(store, 3).await;
    let mine = claim_one(store, request_of(1, at(10), &[(1, 1)])).await;
    let lost = store.claim(request_of(2, at(10), &[(1, 9)])).await.unwrap();
    assert_eq!(lost.len(), 2);
    assert_eq!(store.recover(node_id(1), at(50)).await.unwrap(), 2);
    assert_eq!(state_of(store, 2).await, DeliveryState::Pending { due_at: at(50) });
    assert_eq!(outcomes(store, 2).await, [(1, Outcome::Interrupted)]);
    let late = settlement(&lost[0].claim, at(20), Next::Delivered);
    assert_eq!(settle_one(store, late).await, Settled::LeaseLost);
    assert_eq!(settle_one(store, settlement(&mine, at(20), Next::Delivered)).await, Settled::Written);
    assert_eq!(store.recover(node_id(1), at(60)).await.unwrap(), 0);
}

pub(crate) async fn whoever_stops_gives_back_what_is_his(store: &Shared) {
    owe(store, 3).await;
    let mine = store.claim(request_of(1, at(10), &[(1, 2)])).await.unwrap();
    let anothers = claim_one(store, request_of(2, at(10), &[(1, 9)])).await;
    assert_eq!(store.give_back(node_id(1), at(50)).await.unwrap(), 2);
    assert_eq!(state_of(store, 1).await, DeliveryState::Pending { due_at: at(50) });
    assert_eq!(outcomes(store, 1).await, [(1, Outcome::Interrupted)]);
    assert_eq!(settle_one(store, settlement(&mine[0].claim, at(20), Next::Delivered)).await, Settled::LeaseLost);
    assert_eq!(settle_one(store, settlement(&anothers, at(20), Next::Delivered)).await, Settled::Written);
    assert_eq!(store.give_back(node_id(1), at(60)).await.unwrap(), 0);
}

pub(crate) async fn the_next_due_time_is_the_earliest_due_or_lease_end(store: &Shared) {
    owe(store, 2).await;
    let both = || vec![destination_id(1), destination_id(2)];
    assert_eq!(store.next_due(both()).await.unwrap(), [Some(at(1)), None]);
    assert_eq!(store.next_due(vec![]).await.unwrap(), []);
    claim_one(store, request(at(10), &[(1, 1)])).await;
    assert_eq!(store.next_due(both()).await.unwrap(), [Some(at(2)), None]);
    let second = claim_one(store, request(at(11), &[(1, 1)])).await;
    // It may want to be asked again before that, when all of it is walked.
    assert!(store.claim(request(at(29_000), &[(1, 1)])).await.unwrap().is_empty());
    assert_eq!(store.next_due(both()).await.unwrap(), [Some(at(30_010)), None]);
    settle_one(store, settlement(&second, at(20), Next::Again { due_at: at(40) })).await;
    assert_eq!(store.next_due(both()).await.unwrap(), [Some(at(40)), None]);
    let backlog = Backlog { outstanding: 2, held: 0, waiting: 0, oldest_due: Some(at(40)) };
    assert_eq!(store.backlog().await.unwrap(), backlog);
}

pub(crate) async fn disabling_holds_what_else_is_owed(store: &Shared) {
    owe(store, 3).await;
    store.commit(owing(new_event(4), 4, 2)).await.unwrap();
    let claimed = store.claim(request(at(10), &[(1, 2)])).await.unwrap();
    let mut gone = settlement(&claimed[0].claim, at(20), Next::Held);
    gone.disable = Some("answered 410".to_owned());
    // The other one under way wants to be tried again, but the destination takes nothing now.
    let other = settlement(&claimed[1].claim, at(21), Next::Again { due_at: at(5_000) });
    assert_eq!(store.settle(vec![gone, other]).await.unwrap(), [Settled::Written; 2]);
    for (n, since) in [(1, at(27)), (2, at(28)), (3, at(27))] {
        assert_eq!(state_of(store, n).await, DeliveryState::Held { since }, "delivery {n}");
    }
    assert_eq!(state_of(store, 4).await, DeliveryState::Pending { due_at: at(4) });
    let kept = store.load().await.unwrap().destinations.remove(0);
    assert_eq!(kept.state, DestinationState::Disabled { reason: "answered 410".to_owned() });
    assert_eq!(
        store.backlog().await.unwrap(),
        Backlog { outstanding: 1, held: 3, waiting: 0, oldest_due: Some(at(4)) }
    );
}

pub(crate) async fn a_paused_destination_gets_nothing_and_loses_nothing(store: &Shared) {
    owe(store, 2).await;
    claim_one(store, request(at(10), &[(1, 1)])).await;
    pause(store).await;
    assert_eq!(state_of(store, 2).await, DeliveryState::Held { since: at(500) });
    // What is committed now is held even if the caller did not know yet.
    store.commit(owing(new_event(600), 3, 1)).await.unwrap();
    assert_eq!(state_of(store, 3).await, DeliveryState::Held { since: at(600) });
    // A lease that runs out meanwhile is not given to anyone.
    assert!(store.claim(request(at(40_000), &[(1, 9)])).await.unwrap().is_empty());
    assert_eq!(state_of(store, 1).await, DeliveryState::Held { since: at(40_000) });
    assert_eq!(outcomes(store, 1).await, [(1, Outcome::Interrupted)]);
    let active = Change::SetDestinationState(destination_id(1), DestinationState::Active);
    store.change(vec![active], vec![audit("destination.resume", at(50_000))]).await.unwrap();
    let claimed = store.claim(request(at(50_000), &[(1, 9)])).await.unwrap();
    let order: Vec<_> = claimed.iter().map(|claimed| (claimed.claim.delivery(), claimed.claim.number())).collect();
    assert_eq!(order, [(delivery_id(2), 1), (delivery_id(3), 1), (delivery_id(1), 2)]);
}

pub(crate) async fn recovery_at_a_paused_destination_holds(store: &Shared) {
    owe(store, 1).await;
    claim_one(store, request_of(2, at(10), &[(1, 1)])).await;
    pause(store).await;
    assert_eq!(store.recover(node_id(1), at(600)).await.unwrap(), 1);
    assert_eq!(state_of(store, 1).await, DeliveryState::Held { since: at(600) });
}

pub(crate) async fn signing_counts_as_use(store: &Shared) {
    owe(store, 3).await;
    let claimed = store.claim(request(at(10), &[(1, 9)])).await.unwrap();
    let settlements =
        (20..).zip(&claimed).map(|(start, claimed)| settlement(&claimed.claim, at(start), Next::Delivered)).collect();
    store.settle(settlements).await.unwrap();
    let secrets = store.load().await.unwrap().secrets;
    let kept = secrets.iter().find(|secret| secret.owner == SecretOwner::Destination(destination_id(1))).unwrap();
    assert_eq!((kept.uses, kept.first_used_at, kept.last_used_at), (3, Some(at(20)), Some(at(22))));
    assert_eq!(secrets.iter().map(|secret| secret.uses).sum::<u64>(), 3);
}

pub(crate) async fn claiming_for_an_unknown_destination_says_so(store: &Shared) {
    owe(store, 1).await;
    let error = store.claim(request(at(10), &[(1, 1), (99, 1)])).await.unwrap_err();
    let unknown: DestinationId = destination_id(99);
    assert_eq!(error, StoreError::NotFound { what: format!("destination `{unknown}`") });
    assert_eq!(state_of(store, 1).await, DeliveryState::Pending { due_at: at(1) });
}

pub(crate) async fn what_a_program_wrote_is_kept_for_each_attempt(store: &Shared) {
    owe(store, 1).await;
    let kept = |bytes: Vec<u8>| KeptOutput { total_bytes: 5_000_000_000, bytes: bytes.into() };
    let outputs = [kept(b"line\n".repeat(50_000)), kept((0..=255).collect()), kept(vec![])];
    for (number, output) in (1..).zip(&outputs) {
        let now = at(number * 100);
        let claim = claim_one(store, request(now, &[(1, 1)])).await;
        let mut settlement = settlement(&claim, now, Next::Again { due_at: at(number * 100 + 50) });
        settlement.output = Some(output.clone());
        settlement.attempt.exit_code = Some(i32::try_from(number).unwrap());
        assert_eq!(settle_one(store, settlement.clone()).await, Settled::Written);
        settlement.output = Some(kept(b"late".to_vec()));
        assert_eq!(settle_one(store, settlement).await, Settled::LeaseLost);
    }
    let delivery = delivery_id(1);
    for (number, output) in (1..).zip(&outputs) {
        assert_eq!(store.output(ORG, delivery, Some(number)).await.unwrap().as_ref(), Some(output));
    }
    assert_eq!(store.output(ORG, delivery, None).await.unwrap().as_ref(), outputs.last(), "the last one");
    assert_eq!(store.output(ORG, delivery, Some(4)).await.unwrap(), None);
    let (_, attempts) = store.delivery(ORG, delivery).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.exit_code).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
    let missing = store.output(ORG, delivery_id(9), None).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}
