//! Schedule, lines and settlements together: any order of commits, outcomes, crashes and operators' hands at a destination
//! that keeps an order, against a model in which each line is a list.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookward_engine::destination::Report;
use hookward_engine::ids::AttemptId;
use hookward_engine::model::*;
use hookward_engine::settle::{Ran, conclude};
use hookward_engine::store::*;
use proptest::prelude::*;

use super::support::*;

mod lines;

use lines::{Model, Owed, WAITS_S};

#[derive(Debug, Clone)]
enum Step {
    /// With an order key, if one is given, and as the newest of that key, if it is.
    Publish {
        key: Option<u8>,
        latest: bool,
    },
    /// The event of the delivery made so many deliveries ago.
    Redeliver {
        ago: usize,
    },
    Cancel {
        ago: usize,
    },
    Claim {
        room: u32,
    },
    /// The attempt begun so many attempts ago ends so, whether its lease holds or not.
    End {
        ago: usize,
        outcome: Ended,
    },
    Pass {
        millis: i64,
    },
    Pause,
    Resume,
    /// Another process takes over.
    Crash,
    /// The destination keeps no order any more, and keeps one again.
    Dissolve,
}

#[derive(Debug, Clone, Copy)]
enum Ended {
    Well,
    Badly,
    Gone,
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![4 => Just(Ended::Well), 8 => Just(Ended::Badly), 1 => Just(Ended::Gone)];
    let key = prop_oneof![1 => Just(None), 8 => (0..2_u8).prop_map(Some)];
    prop_oneof![
        8 => (key, prop::bool::weighted(0.15)).prop_map(|(key, latest)| Step::Publish { key, latest }),
        2 => (0..5_usize).prop_map(|ago| Step::Redeliver { ago }),
        2 => (0..6_usize).prop_map(|ago| Step::Cancel { ago }),
        8 => (1..4_u32).prop_map(|room| Step::Claim { room }),
        9 => (0..3_usize, outcome).prop_map(|(ago, outcome)| Step::End { ago, outcome }),
        4 => (1..45_000_i64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Crash),
        1 => prop::bool::weighted(0.3).prop_map(|is| if is { Step::Dissolve } else { Step::Resume }),
    ]
}

/// The store beside its model.
struct Both<'s> {
    store: &'s Shared,
    model: Model,
}

impl Both<'_> {
    async fn step(&mut self, step: &Step) {
        let now = self.model.now();
        match *step {
            Step::Pass { millis } => self.model.now += millis,
            Step::Publish { key, latest } => self.publish(key, latest).await,
            Step::Redeliver { ago } => self.redeliver(ago).await,
            Step::Cancel { ago } => {
                let Some(index) = self.model.owed.len().checked_sub(ago + 1) else { return };
                let id = delivery_id(u32::try_from(index).unwrap() + 1);
                let cancel = self.store.cancel(id, now, audit("delivery.cancel", now)).await.unwrap();
                assert_eq!(self.model.call_off(index), cancel != Cancel::TooLate);
            }
            Step::Claim { room } => self.claim(room).await,
            Step::End { ago, outcome } => self.end(ago, outcome).await,
            Step::Pause => {
                self.set(DestinationState::Paused).await;
                self.model.hold(now);
            }
            Step::Resume => {
                self.set(DestinationState::Active).await;
                self.model.resume();
            }
            Step::Crash => self.crash().await,
            Step::Dissolve => {
                self.declare(None).await;
                self.model.dissolve();
                self.declare(Some(self.model.policy)).await;
            }
        }
        self.compare().await;
    }

    async fn declare(&self, on_failure: Option<OnHeadFailure>) {
        let mut one = destination(1);
        one.spec.order = on_failure.map(|on_failure| Ordering { key: "body.key".to_owned(), on_failure });
        self.store.change(vec![Change::PutDestination(one.into())], vec![]).await.unwrap();
    }

    async fn set(&self, state: DestinationState) {
        let change = Change::SetDestinationState(destination_id(1), state);
        self.store.change(vec![change], vec![audit("destination.set", self.model.now())]).await.unwrap();
    }

    fn new_delivery(&self, key: Option<u8>) -> NewDelivery {
        let n = u32::try_from(self.model.owed.len()).unwrap() + 1;
        NewDelivery { due_at: self.model.now(), order: key.map(|key| [key; 32]), ..new_delivery(n, 1) }
    }

    async fn publish(&mut self, key: Option<u8>, latest: bool) {
        let latest = key.filter(|_| latest);
        self.model.events += 1;
        let mut new = new_event(self.model.events);
        new.event.received_at = self.model.now();
        new.deliveries = vec![NewDelivery { latest: latest.map(|key| [key; 32]), ..self.new_delivery(key) }];
        self.store.commit(new).await.unwrap();
        for index in 0..self.model.owed.len() {
            if latest.is_some() && self.model.owed[index].latest == latest {
                self.model.call_off(index);
            }
        }
        self.model.owe(self.model.events, key, latest);
    }

    /// It goes to the end of the key that its event has, in the place of what is parked of it.
    async fn redeliver(&mut self, ago: usize) {
        let Some(index) = self.model.owed.len().checked_sub(ago + 1) else { return };
        let event = self.model.owed[index].event;
        let key = Some(u8::try_from(event % 2).unwrap());
        let again = NewDelivery { cause: DeliveryCause::Redelivery { of: None }, ..self.new_delivery(key) };
        let now = self.model.now();
        self.store.redeliver(event_id(event), vec![again], audit("event.redeliver", now)).await.unwrap();
        for index in 0..self.model.owed.len() {
            if self.model.owed[index].event == event && self.model.owed[index].parked {
                self.model.call_off(index);
            }
        }
        self.model.owe(event, key, None);
    }

    async fn claim(&mut self, room: u32) {
        let request = request_of(self.model.node, self.model.now(), &[(1, room)]);
        let until = request.until;
        let claimed = self.store.claim(request).await.unwrap();
        let expected = self.model.claim(room as usize, until);
        let got = claimed.iter().map(|claimed| (index_of(&claimed.claim), claimed.claim.number()));
        assert_eq!(got.collect::<Vec<_>>(), expected);
        for claimed in claimed {
            let index = index_of(&claimed.claim);
            let owed = &self.model.owed[index];
            assert_eq!((claimed.ordered, claimed.skipped), (owed.key.is_some(), owed.skipped));
            // Nobody goes before one that was committed earlier.
            if let (Some(key), 1) = (owed.key, claimed.claim.number()) {
                let before = self.model.begun.insert(key, index);
                assert!(before.is_none_or(|before| before < index), "{index} goes after {before:?}");
            }
            self.model.claims.push((claimed.claim, claimed.ordered));
        }
    }

    async fn end(&mut self, ago: usize, outcome: Ended) {
        let Some((claim, ordered)) = self.model.claims.iter().rev().nth(ago).cloned() else { return };
        let report = match outcome {
            Ended::Well => Report::failed(Outcome::Success, ""),
            Ended::Badly => Report::failed(Outcome::Connect, ""),
            Ended::Gone => Report { status: Some(410), ..Report::failed(Outcome::Status, "") },
        };
        let duration = Duration::from_millis(7);
        let id = AttemptId::from_bytes(id_bytes(6, claim.number()));
        let ran = Ran {
            id,
            started_at: self.model.now(),
            duration,
            signed_by: vec![],
            probe: false,
            counted: claim.number(),
        };
        let schedule = RetrySchedule { waits_s: WAITS_S.to_vec(), jitter_percent: 0, exit_codes: None };
        let settlement = settled(claim.clone(), &schedule, Some(self.model.policy).filter(|_| ordered), ran, report);
        let settled = self.store.settle(vec![settlement]).await.unwrap();
        let index = index_of(&claim);
        let owed = &self.model.owed[index];
        let holds = matches!(owed.state, DeliveryState::Leased { node, .. } if node == claim.node());
        if !holds || owed.attempts != claim.number() {
            assert_eq!(settled, [Settled::LeaseLost]);
            return;
        }
        assert_eq!(settled, [Settled::Written]);
        self.model.now += 7;
        let ended_at = self.model.now();
        if matches!(outcome, Ended::Gone) {
            self.model.hold(ended_at);
        }
        self.model.end(index, ordered, outcome, ended_at);
    }

    async fn crash(&mut self) {
        self.model.node += 1;
        let now = self.model.now();
        let recovered = self.store.recover(node_id(self.model.node), now).await.unwrap();
        let is_leased = |owed: &Owed| matches!(owed.state, DeliveryState::Leased { .. });
        let lost: Vec<_> = (0..self.model.owed.len()).filter(|index| is_leased(&self.model.owed[*index])).collect();
        assert_eq!(recovered, lost.len() as u64);
        for index in lost {
            if self.model.lose(index) {
                self.model.owed[index].state = self.model.resting(now, now);
            }
        }
    }

    async fn compare(&self) {
        let mut in_flight: BTreeMap<u8, u32> = BTreeMap::new();
        for (n, owed) in (1..).zip(&self.model.owed) {
            let (delivery, attempts) = self.store.delivery(ORG, delivery_id(n)).await.unwrap();
            let got = (&delivery.state, delivery.parked, delivery.attempts, delivery.skipped);
            assert_eq!(got, (&owed.state, owed.parked, owed.attempts, owed.skipped), "delivery {n}");
            let successes = attempts.iter().filter(|attempt| attempt.outcome == Outcome::Success).count();
            assert_eq!(successes, usize::from(matches!(delivery.state, DeliveryState::Delivered { .. })));
            if let (Some(key), DeliveryState::Leased { .. }) = (owed.key, &delivery.state) {
                *in_flight.entry(key).or_default() += 1;
            }
        }
        assert!(in_flight.values().all(|count| *count == 1), "{in_flight:?}");
        let due = self.model.owed.iter().filter_map(|owed| match owed.state {
            DeliveryState::Pending { due_at: due } | DeliveryState::Leased { until: due, .. } => Some(due),
            _ => None,
        });
        assert_eq!(self.store.next_due(vec![destination_id(1)]).await.unwrap(), [due.min()]);
    }

    /// With a destination that takes everything, everything that is owed is delivered.
    async fn finish(&mut self) {
        self.step(&Step::Resume).await;
        while self.store.next_due(vec![destination_id(1)]).await.unwrap()[0].is_some() {
            self.step(&Step::Pass { millis: 60_000 }).await;
            self.step(&Step::Claim { room: 100 }).await;
            for ago in 0..self.model.claims.len() {
                self.step(&Step::End { ago, outcome: Ended::Well }).await;
            }
            self.model.claims.clear();
        }
        let backlog = self.store.backlog().await.unwrap();
        assert_eq!((backlog.outstanding, backlog.held, backlog.waiting), (0, 0, 0), "something is stuck");
    }
}

fn index_of(claim: &Claim) -> usize {
    (0..).zip(1..).find(|(_, n)| delivery_id(*n) == claim.delivery()).unwrap().0
}

fn settled(
    claim: Claim,
    schedule: &RetrySchedule,
    on_failure: Option<OnHeadFailure>,
    ran: Ran,
    report: Report,
) -> Settlement {
    conclude(claim, schedule, on_failure, ran, report, vec![], 0)
}

fn policy() -> impl Strategy<Value = OnHeadFailure> {
    let park = (1..=3_u32).prop_map(|after| OnHeadFailure::Park { after });
    prop_oneof![Just(OnHeadFailure::Block), Just(OnHeadFailure::Skip), park]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_key_goes_out_in_its_order_whatever_happens(
        policy in policy(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        go_through(policy, &steps);
    }
}

#[test]
fn what_stands_in_no_line_any_more_when_its_attempt_fails_is_held_by_itself() {
    let publish = Step::Publish { key: Some(0), latest: false };
    let end = Step::End { ago: 0, outcome: Ended::Badly };
    go_through(OnHeadFailure::Park { after: 1 }, &[publish, Step::Claim { room: 1 }, Step::Dissolve, end]);
}

/// Takes the steps at the store and in the model, and compares after each.
fn go_through(policy: OnHeadFailure, steps: &[Step]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let Fixture { store, dir: _dir } = Fixture::new();
        let store: Shared = Arc::new(store);
        declare(&store, 1).await;
        let mut both = Both { store: &store, model: Model::new(policy) };
        both.declare(Some(policy)).await;
        for step in steps {
            both.step(step).await;
        }
        both.finish().await;
    });
}
