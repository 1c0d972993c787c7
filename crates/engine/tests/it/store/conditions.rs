//! What an open breaker holds, what a probe takes of it, and what becomes of all that on resume.

use hookward_engine::clock::Timestamp;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

fn open(since: i64, probe_at: i64) -> Condition {
    let open = OpenBreaker { since: at(since), probe_at: at(probe_at), opens: 2 };
    Condition { failing_since: Some(at(1)), open: Some(open), recovering: None }
}

fn closed(since: i64) -> Condition {
    Condition { failing_since: None, open: None, recovering: Some(Recovering { since: at(since), opens: 2 }) }
}

async fn keep(store: &Shared, condition: Condition, now: i64) {
    store.keep_condition(destination_id(1), condition, at(now)).await.unwrap();
}

/// Commits events 1 to `count`, event `n` owing delivery `n` to destination 1, due at `at(n)`.
async fn owe(store: &Shared, count: u32) {
    declare(store, 2).await;
    for n in 1..=count {
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
    }
}

fn probe(node: u32, now: Timestamp) -> ClaimRequest {
    ClaimRequest { probes: vec![destination_id(1)], ..request_of(node, now, &[]) }
}

async fn states(store: &Shared, count: u32) -> Vec<DeliveryState> {
    let mut states = Vec::new();
    for n in 1..=count {
        states.push(state_of(store, n).await);
    }
    states
}

fn held(since: i64) -> DeliveryState {
    DeliveryState::Held { since: at(since) }
}

fn pending(due: i64) -> DeliveryState {
    DeliveryState::Pending { due_at: at(due) }
}

pub(crate) async fn a_condition_comes_back_as_it_was_kept(store: &Shared) {
    declare(store, 2).await;
    for condition in [open(5, 30), closed(40), Condition { failing_since: Some(at(9)), ..Condition::default() }] {
        keep(store, condition, 50).await;
        let kept = store.load().await.unwrap().destinations;
        assert_eq!((kept[0].condition, kept[1].condition), (condition, Condition::default()));
        // Declaring it anew does not touch it.
        store.change(vec![Change::PutDestination(Box::new(destination(1)))], vec![]).await.unwrap();
        assert_eq!(store.load().await.unwrap().destinations[0].condition, condition);
    }
    let missing = store.keep_condition(destination_id(9), open(5, 30), at(50)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

pub(crate) async fn what_an_open_breaker_holds_is_due_again_when_it_was(store: &Shared) {
    owe(store, 3).await;
    let claimed = store.claim(request(at(10), &[(1, 2)])).await.unwrap();
    let retried = settlement(&claimed[0].claim, at(10), Next::Again { due_at: at(9_000) });
    store.settle(vec![retried]).await.unwrap();
    keep(store, open(20, 100), 20).await;
    // One is under way, one waits for its retry, one was due; and one comes.
    store.commit(owing(new_event(30), 4, 1)).await.unwrap();
    let leased = DeliveryState::Leased { until: at(30_010), node: node_id(1) };
    assert_eq!(states(store, 4).await, [held(20), leased, held(20), held(30)]);
    let late = settlement(&claimed[1].claim, at(40), Next::Again { due_at: at(5_000) });
    store.settle(vec![late]).await.unwrap();
    assert_eq!(state_of(store, 2).await, held(47), "whoever fails now is held as well");
    assert!(store.claim(request(at(60_000), &[(1, 9)])).await.unwrap().is_empty());
    keep(store, closed(200), 200).await;
    assert_eq!(states(store, 4).await, [pending(9_000), pending(5_000), pending(3), pending(30)]);
}

pub(crate) async fn there_is_one_probe_at_a_time_and_none_too_early(store: &Shared) {
    owe(store, 2).await;
    assert!(store.claim(probe(1, at(10))).await.unwrap().is_empty(), "nothing is open");
    keep(store, open(20, 100), 20).await;
    assert!(store.claim(probe(1, at(99))).await.unwrap().is_empty());
    let claimed = store.claim(probe(1, at(100))).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let first = &claimed[0];
    assert_eq!((first.claim.delivery(), first.probe, first.probes, first.claim.number()), (delivery_id(1), true, 1, 1));
    assert!(store.claim(probe(2, at(30_099))).await.unwrap().is_empty(), "one is under way");
    // It is never heard of again: another is tried.
    let second = store.claim(probe(2, at(30_100))).await.unwrap();
    assert_eq!(second[0].claim.delivery(), delivery_id(2));
    assert_eq!(store.recover(node_id(2), at(30_200)).await.unwrap(), 1);
    assert_eq!(state_of(store, 1).await, held(30_200));
    let failed = settlement(&second[0].claim, at(30_300), Next::Again { due_at: at(30_307) });
    store.settle(vec![failed]).await.unwrap();
    assert_eq!(store.delivery(ORG, delivery_id(2)).await.unwrap().0.probes, 1);
    keep(store, open(20, 90_000), 30_400).await;
    assert!(store.claim(probe(1, at(89_999))).await.unwrap().is_empty());
    // Whoever was tried in vain first is behind nobody who waited longer.
    assert_eq!(store.claim(probe(1, at(90_000))).await.unwrap()[0].claim.delivery(), delivery_id(1));
}

pub(crate) async fn what_is_parked_is_neither_probed_nor_let_go(store: &Shared) {
    owe(store, 1).await;
    let claimed = store.claim(request(at(10), &[(1, 1)])).await.unwrap();
    store.settle(vec![settlement(&claimed[0].claim, at(10), Next::Held)]).await.unwrap();
    keep(store, open(20, 30), 20).await;
    assert!(store.claim(probe(1, at(40))).await.unwrap().is_empty());
    keep(store, closed(50), 50).await;
    assert_eq!(state_of(store, 1).await, held(17));
    let resumed =
        store.resume(destination_id(1), Drain::AtOnce, None, audit("destination.resume", at(60))).await.unwrap();
    assert_eq!((resumed, state_of(store, 1).await), (1, pending(17)));
}

pub(crate) async fn a_paused_destination_lets_nothing_go_when_its_breaker_closes(store: &Shared) {
    owe(store, 1).await;
    keep(store, open(20, 30), 20).await;
    let paused = Change::SetDestinationState(destination_id(1), DestinationState::Paused);
    store.change(vec![paused], vec![audit("destination.pause", at(25))]).await.unwrap();
    assert!(store.claim(probe(1, at(40))).await.unwrap().is_empty(), "nor is it probed");
    keep(store, closed(50), 50).await;
    assert_eq!(state_of(store, 1).await, held(20));
}

pub(crate) async fn resuming_drains_at_once_at_a_rate_or_not_at_all(store: &Shared) {
    owe(store, 4).await;
    let pause = async |now| {
        let paused = Change::SetDestinationState(destination_id(1), DestinationState::Paused);
        store.change(vec![paused], vec![audit("destination.pause", at(now))]).await.unwrap();
    };
    let resume = async |drain, now| {
        store.resume(destination_id(1), drain, None, audit("destination.resume", at(now))).await.unwrap()
    };
    pause(100).await;
    let owed = |outstanding, held, next_due: Option<i64>| Owed {
        destination: destination_id(1),
        outstanding,
        held,
        waiting: 0,
        next_due: next_due.map(at),
    };
    assert_eq!(store.owed(vec![destination_id(1), destination_id(9)]).await.unwrap(), [owed(0, 4, None)]);
    assert_eq!(resume(Drain::Spread { per_s: 3 }, 1_000).await, 4);
    assert_eq!(states(store, 4).await, [pending(1_000), pending(1_333), pending(1_666), pending(2_000)]);
    assert_eq!(store.owed(vec![destination_id(1)]).await.unwrap(), [owed(4, 0, Some(1_000))]);
    pause(1_500).await;
    assert_eq!(resume(Drain::AtOnce, 2_000).await, 4);
    assert_eq!(states(store, 4).await, vec![pending(1_500); 4]);
    pause(3_000).await;
    keep(store, open(20, 30), 3_000).await;
    assert_eq!(resume(Drain::Drop, 4_000).await, 4);
    assert_eq!(states(store, 4).await, vec![DeliveryState::Cancelled { at: at(4_000) }; 4]);
    let kept = store.load().await.unwrap().destinations.remove(0);
    assert_eq!((kept.state, kept.condition), (DestinationState::Active, Condition::default()));
    let log = store.audit(ORG, PAGE).await.unwrap().items;
    assert_eq!(log[0].entry.detail, serde_json::json!({ "why": "a test", "held": 4 }));
    assert_eq!(resume(Drain::Drop, 5_000).await, 0);
}
