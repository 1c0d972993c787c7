//! Any order of commits, claims, settlements, pauses and passing time, against a model of a few lines.

use std::sync::Arc;
use std::time::Duration;

use hookward_engine::clock::Timestamp;
use hookward_engine::ids::EventId;
use hookward_engine::model::*;
use hookward_engine::store::*;
use proptest::prelude::*;

use super::support::*;

#[derive(Debug, Clone)]
enum Step {
    /// With the newest-wins key of this number, if one is given.
    Commit {
        destination: u32,
        latest: Option<u8>,
    },
    /// Calls off the delivery made so many deliveries ago.
    Cancel {
        ago: usize,
    },
    Claim {
        node: u32,
        room: u32,
    },
    /// Settles the claim taken so many claims ago, whether it still holds or not.
    Settle {
        ago: usize,
        next: Wanted,
        disable: bool,
    },
    Pass {
        millis: i64,
    },
    Set {
        destination: u32,
        active: bool,
    },
    Recover {
        node: u32,
    },
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Delivered,
    Exhausted,
    Held,
    AgainIn(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let next = prop_oneof![
        Just(Wanted::Delivered),
        Just(Wanted::Exhausted),
        Just(Wanted::Held),
        (0..40_000_i64).prop_map(Wanted::AgainIn)
    ];
    prop_oneof![
        3 => (1..=2_u32, prop::option::of(0..2_u8))
            .prop_map(|(destination, latest)| Step::Commit { destination, latest }),
        1 => (0..4_usize).prop_map(|ago| Step::Cancel { ago }),
        3 => (1..=2_u32, 1..=3_u32).prop_map(|(node, room)| Step::Claim { node, room }),
        4 => (0..6_usize, next, prop::bool::weighted(0.1))
            .prop_map(|(ago, next, disable)| Step::Settle { ago, next, disable }),
        2 => (1..40_000_i64).prop_map(|millis| Step::Pass { millis }),
        1 => (1..=2_u32, any::<bool>()).prop_map(|(destination, active)| Step::Set { destination, active }),
        1 => (1..=2_u32).prop_map(|node| Step::Recover { node }),
    ]
}

#[derive(Debug, Clone, PartialEq)]
struct Owed {
    destination: u32,
    state: DeliveryState,
    /// When it was due that is leased: there it stands again when the lease ends.
    due_at: Timestamp,
    attempts: u32,
    kept: Vec<(u32, Outcome)>,
    latest: Option<u8>,
    cancel_at: Option<Timestamp>,
    superseded_by: Option<EventId>,
}

impl Owed {
    fn has_ended(&self) -> bool {
        use DeliveryState::{Cancelled, Delivered, Exhausted};
        matches!(self.state, Delivered { .. } | Exhausted { .. } | Cancelled { .. })
    }

    /// Calls it off; whether an attempt was under way.
    fn call_off(&mut self, now: Timestamp, by: Option<EventId>) -> bool {
        let leased = matches!(self.state, DeliveryState::Leased { .. });
        if leased {
            self.cancel_at = self.cancel_at.or(Some(now));
        } else {
            self.state = DeliveryState::Cancelled { at: now };
        }
        self.superseded_by = self.superseded_by.or(by);
        self.latest = None;
        leased
    }
}

/// What the store should hold: delivery `n` is `owed[n - 1]`.
#[derive(Debug, Default)]
struct Model {
    now: i64,
    owed: Vec<Owed>,
    inactive: [bool; 3],
    claims: Vec<Claim>,
}

impl Model {
    fn now(&self) -> Timestamp {
        at(self.now)
    }

    fn resting(&self, destination: u32, due_at: Timestamp, since: Timestamp) -> DeliveryState {
        if self.inactive[destination as usize] {
            DeliveryState::Held { since }
        } else {
            DeliveryState::Pending { due_at }
        }
    }

    /// The deliveries that a claim of `room` takes, in order.
    fn due(&self, destination: u32, room: u32) -> Vec<usize> {
        let mut due: Vec<_> = (0..self.owed.len())
            .filter(|index| self.owed[*index].destination == destination)
            .filter_map(|index| match self.owed[index].state {
                DeliveryState::Pending { due_at } => (due_at <= self.now()).then_some((due_at, index)),
                DeliveryState::Leased { until, .. } => {
                    (until <= self.now()).then_some((self.owed[index].due_at, index))
                }
                _ => None,
            })
            .collect();
        due.sort();
        due.into_iter().map(|(_, index)| index).take(room as usize).collect()
    }

    /// Takes away a lease that ended by itself; what was called off meanwhile is cancelled, and `false` comes back.
    fn lose(&mut self, index: usize) -> bool {
        let now = self.now();
        let owed = &mut self.owed[index];
        if matches!(owed.state, DeliveryState::Leased { .. }) {
            owed.kept.push((owed.attempts, Outcome::Interrupted));
        }
        if owed.cancel_at.is_some() {
            owed.state = DeliveryState::Cancelled { at: now };
        }
        owed.cancel_at.is_none()
    }

    fn set(&mut self, destination: u32, active: bool) {
        self.inactive[destination as usize] = !active;
        let now = self.now();
        for owed in self.owed.iter_mut().filter(|owed| owed.destination == destination) {
            match owed.state {
                DeliveryState::Held { since } if active => {
                    owed.state = DeliveryState::Pending { due_at: since.min(now) }
                }
                DeliveryState::Pending { .. } if !active => owed.state = DeliveryState::Held { since: now },
                _ => {}
            }
        }
    }

    async fn step(&mut self, store: &Shared, step: &Step) {
        match *step {
            Step::Pass { millis } => self.now += millis,
            Step::Commit { destination, latest } => self.commit(store, destination, latest).await,
            Step::Cancel { ago } => self.cancel(store, ago).await,
            Step::Claim { node, room } => self.claim(store, node, room).await,
            Step::Settle { ago, next, disable } => self.settle(store, ago, next, disable).await,
            Step::Set { destination, active } => {
                let state = if active { DestinationState::Active } else { DestinationState::Paused };
                let change = Change::SetDestinationState(destination_id(destination), state);
                store.change(vec![change], vec![audit("destination.set", self.now())]).await.unwrap();
                self.set(destination, active);
            }
            Step::Recover { node } => self.recover(store, node).await,
        }
    }

    async fn commit(&mut self, store: &Shared, destination: u32, latest: Option<u8>) {
        let n = u32::try_from(self.owed.len()).unwrap() + 1;
        let mut new = new_event(n);
        new.event.received_at = self.now();
        let mut new = owing(new, n, destination);
        new.deliveries[0].latest = latest.map(|key| [key; 32]);
        let committed = store.commit(new).await.unwrap();
        let (now, mut superseded) = (self.now(), Vec::new());
        for (n, owed) in (1..).zip(&mut self.owed) {
            let same = owed.destination == destination && latest.is_some() && owed.latest == latest;
            if same && !owed.has_ended() && owed.call_off(now, Some(committed.event())) {
                superseded.push(delivery_id(n));
            }
        }
        assert_eq!(committed.superseded(), superseded);
        let state = self.resting(destination, now, now);
        let kept = vec![];
        let (due_at, attempts, cancel_at, superseded_by) = (now, 0, None, None);
        self.owed.push(Owed { destination, state, due_at, attempts, kept, latest, cancel_at, superseded_by });
    }

    async fn cancel(&mut self, store: &Shared, ago: usize) {
        let Some(index) = self.owed.len().checked_sub(ago + 1) else { return };
        let now = self.now();
        let delivery = delivery_id(u32::try_from(index).unwrap() + 1);
        let cancel = store.cancel(delivery, now, audit("delivery.cancel", now)).await.unwrap();
        let owed = &mut self.owed[index];
        let expected = if owed.has_ended() {
            Cancel::TooLate
        } else if owed.call_off(now, None) {
            Cancel::UnderWay
        } else {
            Cancel::Done
        };
        assert_eq!(cancel, expected);
    }

    async fn claim(&mut self, store: &Shared, node: u32, room: u32) {
        let request = request_of(node, self.now(), &[(1, room), (2, room)]);
        let until = request.until;
        let claimed = store.claim(request).await.unwrap();
        let mut expected = Vec::new();
        for destination in [1, 2] {
            let inactive = self.inactive[destination as usize];
            let mut left = room;
            for index in self.due(destination, u32::MAX) {
                // What was called off is found when something is asked for, and takes no room.
                if !inactive && left == 0 || !self.lose(index) {
                    continue;
                }
                if inactive {
                    self.owed[index].state = DeliveryState::Held { since: self.now() };
                } else {
                    left -= 1;
                    self.owed[index].attempts += 1;
                    if let DeliveryState::Pending { due_at } = self.owed[index].state {
                        self.owed[index].due_at = due_at;
                    }
                    self.owed[index].state = DeliveryState::Leased { until, node: node_id(node) };
                    expected.push((delivery_id(u32::try_from(index).unwrap() + 1), self.owed[index].attempts));
                }
            }
        }
        let got: Vec<_> = claimed.iter().map(|claimed| (claimed.claim.delivery(), claimed.claim.number())).collect();
        assert_eq!(got, expected);
        self.claims.extend(claimed.into_iter().map(|claimed| claimed.claim));
    }

    async fn settle(&mut self, store: &Shared, ago: usize, next: Wanted, disable: bool) {
        let Some(claim) = self.claims.iter().rev().nth(ago).cloned() else { return };
        let ended_at = self.now().plus(Duration::from_millis(7));
        let next = match next {
            Wanted::Delivered => Next::Delivered,
            Wanted::Exhausted => Next::Exhausted,
            Wanted::Held => Next::Held,
            Wanted::AgainIn(millis) => Next::Again { due_at: at(self.now + millis) },
        };
        let mut settlement = settlement(&claim, self.now(), next);
        settlement.disable = disable.then(|| "gone".to_owned());
        let outcome = settlement.attempt.outcome;
        let settled = store.settle(vec![settlement]).await.unwrap();
        let index = (1..).position(|n: u32| delivery_id(n) == claim.delivery()).unwrap();
        let owed = &mut self.owed[index];
        let holds = matches!(owed.state, DeliveryState::Leased { node, .. } if node == claim.node());
        if !holds || owed.attempts != claim.number() {
            assert_eq!(settled, [Settled::LeaseLost]);
            return;
        }
        assert_eq!(settled, [Settled::Written]);
        owed.kept.push((claim.number(), outcome));
        let destination = owed.destination;
        self.now += 7;
        if disable {
            self.set(destination, false);
        }
        self.owed[index].state = match next {
            Next::Delivered => DeliveryState::Delivered { at: ended_at },
            Next::Exhausted => DeliveryState::Exhausted { at: ended_at },
            Next::Held | Next::Parked => DeliveryState::Held { since: ended_at },
            Next::Again { due_at } => self.resting(destination, due_at, ended_at),
            Next::Cancelled => DeliveryState::Cancelled { at: ended_at },
        };
        if self.owed[index].cancel_at.is_some() && next != Next::Delivered {
            self.owed[index].state = DeliveryState::Cancelled { at: ended_at };
        }
    }

    async fn recover(&mut self, store: &Shared, node: u32) {
        let recovered = store.recover(node_id(node), self.now()).await.unwrap();
        let others =
            |owed: &Owed| matches!(owed.state, DeliveryState::Leased { node: other, .. } if other != node_id(node));
        let lost: Vec<_> = (0..self.owed.len()).filter(|index| others(&self.owed[*index])).collect();
        assert_eq!(recovered, lost.len() as u64);
        for index in lost {
            if !self.lose(index) {
                continue;
            }
            self.owed[index].state = self.resting(self.owed[index].destination, self.now(), self.now());
        }
    }

    async fn compare(&self, store: &Shared) {
        for (n, owed) in (1..).zip(&self.owed) {
            let (delivery, attempts) = store.delivery(ORG, delivery_id(n)).await.unwrap();
            let kept = attempts.iter().map(|attempt| (attempt.number, attempt.outcome)).collect();
            let destination = if delivery.destination == destination_id(1) { 1 } else { 2 };
            let (cancel_at, superseded_by) = (delivery.cancel_at, delivery.superseded_by);
            let (state, attempts, latest) = (delivery.state, delivery.attempts, owed.latest);
            let due_at = owed.due_at;
            let got = Owed { destination, state, due_at, attempts, kept, latest, cancel_at, superseded_by };
            assert_eq!(&got, owed, "delivery {n}");
        }
        let due = self.owed.iter().filter_map(|owed| match owed.state {
            DeliveryState::Pending { due_at: due } | DeliveryState::Leased { until: due, .. } => Some(due),
            _ => None,
        });
        let both = vec![destination_id(1), destination_id(2)];
        assert_eq!(store.next_due(both).await.unwrap().into_iter().flatten().min(), due.min());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn claims_and_settlements_follow_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let Fixture { store, dir: _dir } = Fixture::new();
            let store: Shared = Arc::new(store);
            declare(&store, 2).await;
            let mut model = Model::default();
            for step in &steps {
                model.step(&store, step).await;
            }
            model.compare(&store).await;
        });
    }
}
