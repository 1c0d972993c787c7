//! Leases that consumers hold, as every store must keep them: in the order of commits, one holder at a time, over the end
//! of the process that gave them.

use std::time::Duration;

use hookward_engine::ids::NodeId;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

/// Destination 1, pulled from.
fn pulled() -> Destination {
    let mut destination = destination(1);
    destination.spec.kind = DestinationKind::Pull(PullSpec { ordered: true });
    destination
}

/// Commits events 1 to `count`, each owed to destination 1, later ones due earlier.
async fn owe(store: &Shared, count: u32) {
    declare(store, 1).await;
    store.change(vec![Change::PutDestination(Box::new(pulled()))], vec![]).await.unwrap();
    for n in 1..=count {
        let mut new = owing(new_event(n), n, 1);
        new.deliveries[0].due_at = at(100 - i64::from(n));
        store.commit(new).await.unwrap();
    }
}

fn ask(now: i64, max: u32, order: PullOrder) -> PullRequest {
    PullRequest {
        destination: destination_id(1),
        now: at(now),
        until: at(now).plus(Duration::from_secs(30)),
        max,
        bytes_max: 1 << 20,
        order,
        attempts_max: 3,
    }
}

async fn pull(store: &Shared, request: PullRequest) -> Vec<Claim> {
    store.pull(request).await.unwrap().claimed.into_iter().map(|claimed| claimed.claim).collect()
}

/// The numbers of the deliveries that a consumer gets.
async fn got(store: &Shared, now: i64, max: u32, order: PullOrder) -> Vec<u32> {
    let claims = pull(store, ask(now, max, order)).await;
    claims.iter().map(|claim| (1..).find(|n| delivery_id(*n) == claim.delivery()).unwrap()).collect()
}

async fn settle(store: &Shared, claim: &Claim, now: i64, next: Next) -> Settled {
    store.settle(vec![settlement(claim, at(now), next)]).await.unwrap().remove(0)
}

async fn outcomes(store: &Shared, n: u32) -> Vec<(u32, Outcome)> {
    let (_, attempts) = store.delivery(ORG, delivery_id(n)).await.unwrap();
    attempts.iter().map(|attempt| (attempt.number, attempt.outcome)).collect()
}

async fn set(store: &Shared, state: DestinationState) {
    let change = Change::SetDestinationState(destination_id(1), state);
    store.change(vec![change], vec![audit("destination.set", at(500))]).await.unwrap();
}

pub(crate) async fn consumers_get_what_is_owed_in_the_order_of_commits(store: &Shared) {
    owe(store, 5).await;
    let first = store.pull(ask(200, 2, PullOrder::Strict)).await.unwrap().claimed;
    assert_eq!(first.iter().map(|one| one.event.id).collect::<Vec<_>>(), [event_id(1), event_id(2)]);
    assert_eq!(&first[0].body[..], b"body of event 1");
    assert_eq!((first[0].claim.node(), first[0].claim.number()), (NodeId::CONSUMERS, 1));
    assert_eq!(state_of(store, 1).await, DeliveryState::Leased { until: at(30_200), node: NodeId::CONSUMERS });
    // Strictly: nothing later while one of these is under lease.
    let waits = store.pull(ask(300, 9, PullOrder::Strict)).await.unwrap();
    assert_eq!((waits.claimed.len(), waits.free_at), (0, Some(at(30_200))));
    settle(store, &first[1].claim, 300, Next::Delivered).await;
    assert_eq!(got(store, 400, 9, PullOrder::Strict).await, [0_u32; 0]);
    // What is given back comes first again, and holds up the rest again.
    settle(store, &first[0].claim, 400, Next::Again { due_at: at(400) }).await;
    let again = pull(store, ask(500, 1, PullOrder::Strict)).await;
    assert_eq!((again[0].delivery(), again[0].number()), (delivery_id(1), 2));
    assert_eq!(got(store, 500, 9, PullOrder::Strict).await, [0_u32; 0]);
    settle(store, &again[0], 600, Next::Delivered).await;
    assert_eq!(got(store, 600, 9, PullOrder::Strict).await, [3, 4, 5]);
}

pub(crate) async fn loosely_several_consumers_work_beside_each_other(store: &Shared) {
    owe(store, 250).await;
    let mut consumers = Vec::new();
    for _ in 0..10 {
        let store = std::sync::Arc::clone(store);
        consumers.push(tokio::spawn(async move { got(&store, 300, 25, PullOrder::Loose).await }));
    }
    let mut all = Vec::new();
    for consumer in consumers {
        let got = consumer.await.unwrap();
        assert!(got.is_sorted());
        all.extend(got);
    }
    all.sort_unstable();
    assert_eq!(all, (1..=250).collect::<Vec<_>>());
    let none = store.pull(ask(300, 1, PullOrder::Loose)).await.unwrap();
    assert_eq!((none.claimed.len(), none.free_at), (0, Some(at(30_300))));
}

pub(crate) async fn a_lease_that_runs_out_is_given_again_until_the_last(store: &Shared) {
    owe(store, 2).await;
    let first = pull(store, ask(1_000, 1, PullOrder::Strict)).await;
    assert_eq!(got(store, 30_999, 1, PullOrder::Strict).await, [0_u32; 0]);
    let second = pull(store, ask(31_000, 1, PullOrder::Strict)).await;
    assert_eq!((second[0].delivery(), second[0].number()), (delivery_id(1), 2));
    assert_eq!(settle(store, &first[0], 31_001, Next::Delivered).await, Settled::LeaseLost);
    assert_eq!(store.extend(first, at(31_001), at(99_000)).await.unwrap(), [Settled::LeaseLost]);
    assert_eq!(got(store, 61_000, 1, PullOrder::Strict).await, [1]);
    // Three are all; then the next one's turn has come.
    assert_eq!(got(store, 91_000, 1, PullOrder::Strict).await, [2]);
    assert_eq!(state_of(store, 1).await, DeliveryState::Exhausted { at: at(91_000) });
    let interrupted = [(1, Outcome::Interrupted), (2, Outcome::Interrupted), (3, Outcome::Interrupted)];
    assert_eq!(outcomes(store, 1).await, interrupted);
}

pub(crate) async fn an_extended_lease_holds_until_its_new_end(store: &Shared) {
    owe(store, 1).await;
    let claims = pull(store, ask(1_000, 1, PullOrder::Strict)).await;
    assert_eq!(store.extend(claims.clone(), at(30_000), at(60_000)).await.unwrap(), [Settled::Written]);
    assert_eq!(got(store, 59_999, 1, PullOrder::Strict).await, [0_u32; 0]);
    let held = store.held_by_consumers(vec![(delivery_id(1), 1), (delivery_id(1), 2), (delivery_id(9), 1)]);
    let expected = Held { claim: claims[0].clone(), event: event_id(1), since: at(1_000) };
    assert_eq!(held.await.unwrap(), [Some(expected), None, None]);
    assert_eq!(settle(store, &claims[0], 59_999, Next::Delivered).await, Settled::Written);
    assert_eq!(store.held_by_consumers(vec![(delivery_id(1), 1)]).await.unwrap(), [None]);
}

pub(crate) async fn recovery_leaves_consumers_their_leases(store: &Shared) {
    owe(store, 1).await;
    let claims = pull(store, ask(1_000, 1, PullOrder::Strict)).await;
    assert_eq!(store.recover(node_id(9), at(2_000)).await.unwrap(), 0);
    assert_eq!(settle(store, &claims[0], 3_000, Next::Delivered).await, Settled::Written);
}

pub(crate) async fn a_paused_destination_gives_nothing_and_goes_on_in_order(store: &Shared) {
    owe(store, 2).await;
    let claims = pull(store, ask(1_000, 1, PullOrder::Strict)).await;
    set(store, DestinationState::Paused).await;
    store.commit(owing(new_event(3), 3, 1)).await.unwrap();
    assert_eq!(got(store, 40_000, 9, PullOrder::Loose).await, [0_u32; 0]);
    assert_eq!(settle(store, &claims[0], 40_000, Next::Again { due_at: at(40_000) }).await, Settled::Written);
    assert!(matches!(state_of(store, 1).await, DeliveryState::Held { .. }));
    set(store, DestinationState::Active).await;
    assert_eq!(got(store, 50_000, 9, PullOrder::Strict).await, [1, 2, 3]);
}

pub(crate) async fn what_is_called_off_is_cancelled_when_its_lease_ends_or_is_extended(store: &Shared) {
    owe(store, 3).await;
    let claims = pull(store, ask(1_000, 2, PullOrder::Strict)).await;
    for n in [1, 2, 3] {
        let expected = if n == 3 { Cancel::Done } else { Cancel::UnderWay };
        let cancel = store.cancel(delivery_id(n), at(2_000), audit("delivery.cancel", at(2_000)));
        assert_eq!(cancel.await.unwrap(), expected);
    }
    let extended = store.extend(vec![claims[0].clone()], at(3_000), at(60_000)).await.unwrap();
    assert_eq!(extended, [Settled::LeaseLost]);
    assert_eq!(state_of(store, 1).await, DeliveryState::Cancelled { at: at(3_000) });
    assert_eq!(got(store, 31_000, 1, PullOrder::Strict).await, [0_u32; 0]);
    assert_eq!(state_of(store, 2).await, DeliveryState::Cancelled { at: at(31_000) });
    assert_eq!(outcomes(store, 2).await, [(1, Outcome::Interrupted)]);
}

pub(crate) async fn bodies_are_given_up_to_a_bound_and_a_larger_one_alone(store: &Shared) {
    owe(store, 0).await;
    for (n, len) in [(1, 600), (2, 400), (3, 1), (4, 5_000), (5, 1)] {
        store.commit(owing(with_body(new_event(n), &dense(len)), n, 1)).await.unwrap();
    }
    let bounded = |now| PullRequest { bytes_max: 1_000, ..ask(now, 9, PullOrder::Loose) };
    for expected in [2, 1, 1, 1] {
        assert_eq!(pull(store, bounded(1_000)).await.len(), expected);
    }
}

pub(crate) async fn a_destination_that_comes_to_be_pulled_from_takes_along_what_it_is_owed(store: &Shared) {
    declare(store, 1).await;
    for n in [1, 2] {
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
    }
    assert_eq!(got(store, 100, 9, PullOrder::Strict).await, [0_u32; 0]);
    let claimed = store.claim(request(at(100), &[(1, 1)])).await.unwrap();
    store.change(vec![Change::PutDestination(Box::new(pulled()))], vec![]).await.unwrap();
    // The attempt under way is an earlier lease like any other.
    assert_eq!(got(store, 200, 9, PullOrder::Strict).await, [0_u32; 0]);
    settle(store, &claimed[0].claim, 300, Next::Again { due_at: at(300) }).await;
    assert_eq!(got(store, 400, 9, PullOrder::Strict).await, [1, 2]);
    store.change(vec![Change::PutDestination(Box::new(destination(1)))], vec![]).await.unwrap();
    assert_eq!(store.claim(request(at(40_000), &[(1, 9)])).await.unwrap().len(), 2);
}
