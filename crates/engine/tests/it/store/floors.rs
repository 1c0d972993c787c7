//! Claims on a shared store walk what is due from a floor on: what becomes due below it is not missed.

use hookward_engine::clock::Timestamp;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::postgres;
use super::support::*;

/// Two nodes, each of which has found something that was due at 100 s, and so looks from there on.
async fn looking_from_100_s() -> Option<([Shared; 2], postgres::Database)> {
    let (first, database) = postgres::open()?;
    let stores = [first, database.open()];
    declare(&stores[0], 1).await;
    for (n, store) in (1..).zip(&stores) {
        // What is learnt counts from the second look on: the first one saw another revision.
        for n in [n, n + 2] {
            stores[0].commit(due(n, 100_000)).await.unwrap();
            assert_eq!(claimed_by(store, n, at(100_000)).await, [n]);
        }
    }
    Some((stores, database))
}

/// An event whose delivery is due then.
fn due(n: u32, at_ms: i64) -> NewEvent {
    let mut new = owing(new_event(n), n, 1);
    new.deliveries[0].due_at = at(at_ms);
    new
}

async fn claimed_by(store: &Shared, node: u32, now: Timestamp) -> Vec<u32> {
    let claimed = store.claim(request_of(node, now, &[(1, 10)])).await.unwrap();
    claimed.iter().map(|one| u32::from_be_bytes(one.event.id.as_bytes()[12..].try_into().unwrap())).collect()
}

#[tokio::test]
async fn what_is_late_by_less_than_the_margin_is_found_at_once() {
    let Some(([store, _], _kept)) = looking_from_100_s().await else { return };
    store.commit(due(10, 98_100)).await.unwrap();
    assert_eq!(claimed_by(&store, 1, at(101_000)).await, [10]);
}

#[tokio::test]
async fn what_is_later_is_found_when_all_of_it_is_walked() {
    let Some(([store, other], _kept)) = looking_from_100_s().await else { return };
    store.commit(due(10, 90_000)).await.unwrap();
    // Which is what the floor is for.
    assert!(claimed_by(&store, 1, at(101_000)).await.is_empty());
    let again = store.next_due(vec![destination_id(1)]).await.unwrap()[0].unwrap();
    assert!(again <= at(116_000), "the dispatcher looks again at {again:?}");
    assert_eq!(claimed_by(&store, 1, again).await, [10]);
    assert!(claimed_by(&other, 2, again).await.is_empty());
}

#[tokio::test]
async fn what_is_due_later_hides_nothing_that_is_due_before() {
    let Some(([store, _], _kept)) = looking_from_100_s().await else { return };
    for claim in store.claim(request_of(1, at(131_000), &[(1, 10)])).await.unwrap() {
        let later = settlement(&claim.claim, at(131_000), Next::Again { due_at: at(500_000) });
        assert_eq!(store.settle(vec![later]).await.unwrap(), [Settled::Written]);
    }
    assert!(claimed_by(&store, 1, at(132_000)).await.is_empty());
    store.commit(due(10, 133_000)).await.unwrap();
    assert_eq!(claimed_by(&store, 1, at(133_000)).await, [10]);
}

/// A lease that runs out is in its old place, below what others have learnt since.
#[tokio::test]
async fn what_is_leased_is_found_at_once_when_its_lease_runs_out() {
    let Some(([store, other], _kept)) = looking_from_100_s().await else { return };
    // What it finds just before those leases end was due much later.
    store.commit(due(10, 128_000)).await.unwrap();
    assert_eq!(claimed_by(&other, 2, at(129_000)).await, [10]);
    assert!(claimed_by(&other, 2, at(129_999)).await.is_empty());
    let mut found = claimed_by(&other, 2, at(130_000)).await;
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 4]);
    drop(store);
}

#[tokio::test]
async fn what_was_held_is_found_at_once_wherever_it_is_let_go() {
    let Some((stores, _kept)) = looking_from_100_s().await else { return };
    let paused = Change::SetDestinationState(destination_id(1), DestinationState::Paused);
    stores[0].change(vec![paused], vec![audit("destination.pause", at(100_500))]).await.unwrap();
    for n in 10..14 {
        stores[0].commit(due(n, i64::from(n))).await.unwrap();
    }
    let resume = audit("destination.resume", at(100_600));
    stores[1].resume(destination_id(1), Drain::AtOnce, None, resume).await.unwrap();
    let mut found = Vec::new();
    for (node, store) in (1..).zip(&stores) {
        found.extend(store.claim(request_of(node, at(101_000), &[(1, 2)])).await.unwrap());
    }
    assert_eq!(found.len(), 4, "each node finds what was let go, at its first look");
}
