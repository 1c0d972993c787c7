//! Races for leases: claimers at several nodes hold on to their leases past the end, while others take them.
//! Time is a counter that every claim moves on, so that a lease runs out in no time at all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookward_engine::clock::Timestamp;
use hookward_engine::ids::{AttemptId, DeliveryId};
use hookward_engine::model::*;
use hookward_engine::store::*;
use tokio::task::JoinSet;

use super::postgres;
use super::support::*;

/// How many settlements are to be sent after the lease's end; `cargo xtask cluster` asks for more.
const RACES: &str = "HOOKWARD_TEST_RACES";
const RACES_HERE: u32 = 300;

/// Claimers at once, each a node. Two share a store, as attempts of one process do.
const CLAIMERS: u32 = 6;

/// Deliveries that are raced for at once.
const DELIVERIES: u32 = 24;

/// The most that one claim takes, and the longest lease, in ticks.
const ROOM: u64 = 9;
const LEASE_MAX: u64 = 60;

/// After everything.
const END: i64 = 1_000_000_000;

/// What its claimer knows of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begun {
    node: u32,
    since: Timestamp,
    until: Timestamp,
    end: Option<Settled>,
}

#[derive(Default)]
struct Log {
    attempts: HashMap<(DeliveryId, u32), Begun>,
    races: u32,
    lost: u32,
}

struct Ring {
    ticks: AtomicI64,
    log: Mutex<Log>,
    wanted: u32,
    /// The last number that an event and its delivery have.
    events: AtomicU32,
    attempts: AtomicU32,
}

impl Ring {
    fn tick(&self) -> Timestamp {
        at(self.ticks.fetch_add(1, Ordering::SeqCst))
    }

    fn is_over(&self) -> bool {
        self.log.lock().unwrap().races >= self.wanted
    }

    fn note(&self, node: u32, since: Timestamp, until: Timestamp, claim: &Claim) {
        let key = (claim.delivery(), claim.number());
        let begun = Begun { node, since, until, end: None };
        assert_eq!(self.log.lock().unwrap().attempts.insert(key, begun), None, "{key:?} was given twice");
    }

    async fn owe(&self, store: &Shared) {
        let n = self.events.fetch_add(1, Ordering::SeqCst) + 1;
        store.commit(owing(new_event(n), n, 1)).await.unwrap();
    }
}

/// xorshift64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Claims, holds on to what it got for a while, and settles; about half of that after the lease's end.
async fn compete(store: Shared, ring: Arc<Ring>, node: u32) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ u64::from(node));
    let mut held: Vec<(Timestamp, Claim)> = Vec::new();
    while !ring.is_over() || !held.is_empty() {
        let now = ring.tick();
        if !ring.is_over() {
            let until = now.plus(Duration::from_millis(1 + chance.below(LEASE_MAX)));
            let room = u32::try_from(1 + chance.below(ROOM)).unwrap();
            let request = ClaimRequest { until, ..request_of(node, now, &[(1, room)]) };
            for claimed in store.claim(request).await.unwrap() {
                ring.note(node, now, until, &claimed.claim);
                held.push((now.plus(Duration::from_millis(chance.below(2 * LEASE_MAX))), claimed.claim));
            }
        }
        let is_ready = |(settle_at, _): &(Timestamp, Claim)| *settle_at <= now || ring.is_over();
        let (ready, kept): (Vec<_>, Vec<_>) = held.into_iter().partition(is_ready);
        held = kept;
        let ready = ready.into_iter().map(|(_, claim)| claim).collect();
        settle(&store, &ring, ready, &mut chance).await;
    }
}

/// Settles together, some as delivered, for which something else is owed.
async fn settle(store: &Shared, ring: &Ring, ready: Vec<Claim>, chance: &mut Chance) {
    let now = ring.tick();
    let one = |claim: &Claim| {
        let next = if chance.below(16) == 0 { Next::Delivered } else { Next::Again { due_at: now } };
        let mut settlement = settlement(claim, now, next);
        settlement.attempt.id = AttemptId::from_bytes(id_bytes(7, ring.attempts.fetch_add(1, Ordering::SeqCst)));
        settlement
    };
    let settlements: Vec<_> = ready.iter().map(one).collect();
    let settled = store.settle(settlements.clone()).await.unwrap();
    let mut ended = 0;
    for (settlement, settled) in settlements.iter().zip(settled) {
        let mut log = ring.log.lock().unwrap();
        let begun = log.attempts.get_mut(&(settlement.claim.delivery(), settlement.claim.number())).unwrap();
        begun.end = Some(settled);
        let is_late = begun.until <= now;
        log.races += u32::from(is_late);
        log.lost += u32::from(settled == Settled::LeaseLost);
        ended += u32::from(settlement.next == Next::Delivered && settled == Settled::Written);
    }
    for _ in 0..ended {
        ring.owe(store).await;
    }
}

/// Delivers what is still owed.
async fn finish(store: &Shared, ring: &Ring) {
    let until = at(END + 1);
    loop {
        let claimed = store.claim(ClaimRequest { until, ..request_of(1, at(END), &[(1, 64)]) }).await.unwrap();
        if claimed.is_empty() {
            return;
        }
        let mut settlements = Vec::new();
        for Claimed { claim, .. } in &claimed {
            ring.note(1, at(END), until, claim);
            settlements.push(settlement(claim, at(END), Next::Delivered));
        }
        for (Claimed { claim, .. }, settled) in claimed.iter().zip(store.settle(settlements).await.unwrap()) {
            let mut log = ring.log.lock().unwrap();
            log.attempts.get_mut(&(claim.delivery(), claim.number())).unwrap().end = Some(settled);
        }
    }
}

/// Every attempt is in the store as its claimer was told, and every repeated one is accounted for by a lease that ran out.
async fn reckon(store: &Shared, ring: &Ring) {
    let (mut attempts_kept, mut expired) = (0, 0);
    for n in 1..=ring.events.load(Ordering::SeqCst) {
        let (delivery, attempts) = store.delivery(ORG, delivery_id(n)).await.unwrap();
        assert!(matches!(delivery.state, DeliveryState::Delivered { .. }), "delivery {n}: {:?}", delivery.state);
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..=delivery.attempts).collect::<Vec<_>>(), "delivery {n}");
        let log = ring.log.lock().unwrap();
        for attempt in &attempts {
            let begun = log.attempts[&(delivery.id, attempt.number)];
            let is_last = attempt.number == delivery.attempts;
            assert_eq!(attempt.node, Some(node_id(begun.node)), "{attempt:?}");
            assert_eq!(attempt.outcome == Outcome::Success, is_last, "{attempt:?}");
            if attempt.outcome == Outcome::Interrupted {
                assert_eq!(begun.end, Some(Settled::LeaseLost), "{attempt:?}");
                let next = log.attempts[&(delivery.id, attempt.number + 1)];
                assert!(begun.until <= next.since, "{begun:?} was cut short by {next:?}");
                expired += 1;
            } else {
                assert_eq!(begun.end, Some(Settled::Written), "{attempt:?}");
            }
        }
        attempts_kept += attempts.len();
    }
    let log = ring.log.lock().unwrap();
    assert_eq!((attempts_kept, expired), (log.attempts.len(), log.lost), "attempts and leases that were lost");
    println!(
        "{} deliveries, {attempts_kept} attempts, {} settled after their lease's end: {expired} had lost it and wrote nothing",
        ring.events.load(Ordering::SeqCst),
        log.races
    );
    assert!(expired > log.races / 4, "hardly any lease was lost: nothing was tested");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "a long run is told how long")]
async fn whoever_lost_its_lease_writes_nothing() {
    let Some((first, database)) = postgres::open() else { return };
    let wanted = std::env::var(RACES).ok().and_then(|count| count.parse().ok()).unwrap_or(RACES_HERE);
    let stores = [Arc::clone(&first), database.open(), database.open()];
    declare(&first, 1).await;
    let ring = Ring {
        ticks: AtomicI64::new(i64::from(DELIVERIES) + 1),
        log: Mutex::default(),
        wanted,
        events: AtomicU32::new(0),
        attempts: AtomicU32::new(0),
    };
    let ring = Arc::new(ring);
    for _ in 0..DELIVERIES {
        ring.owe(&first).await;
    }
    let mut claimers = JoinSet::new();
    for node in 1..=CLAIMERS {
        let store = Arc::clone(&stores[node as usize % stores.len()]);
        claimers.spawn(compete(store, Arc::clone(&ring), node));
    }
    while let Some(claimer) = claimers.join_next().await {
        claimer.unwrap();
    }
    finish(&first, &ring).await;
    reckon(&first, &ring).await;
}
