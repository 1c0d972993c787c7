//! The model: each line is a list, its head first. Pure; nothing here knows a store.

use std::collections::BTreeMap;
use std::time::Duration;

use hookward_engine::clock::Timestamp;
use hookward_engine::model::*;
use hookward_engine::store::Claim;

use super::Ended;
use crate::store::support::*;

pub(super) const WAITS_S: [u64; 2] = [5, 20];

#[derive(Debug, Clone)]
pub(super) struct Owed {
    pub(super) event: u32,
    /// The key in whose line it stands, or stood until it was parked.
    pub(super) key: Option<u8>,
    pub(super) latest: Option<u8>,
    pub(super) state: DeliveryState,
    /// When it was due that is leased: there it stands again when the lease ends.
    due_at: Timestamp,
    pub(super) parked: bool,
    pub(super) attempts: u32,
    pub(super) skipped: u32,
    pub(super) called_off: bool,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    /// The head, then those that wait, in the order of their commits.
    pub(super) members: Vec<usize>,
    /// How many were given up at its end.
    pub(super) given_up: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Left {
    Delivered,
    GivenUp,
    CalledOff,
    Parked,
}

/// What the store should hold: delivery `n` is `owed[n - 1]`.
pub(super) struct Model {
    pub(super) policy: OnHeadFailure,
    pub(super) now: i64,
    pub(super) node: u32,
    pub(super) inactive: bool,
    pub(super) events: u32,
    pub(super) owed: Vec<Owed>,
    pub(super) lines: BTreeMap<u8, Line>,
    pub(super) claims: Vec<(Claim, bool)>,
    /// The last delivery of each key whose first attempt began.
    pub(super) begun: BTreeMap<u8, usize>,
}

impl Model {
    pub(super) fn new(policy: OnHeadFailure) -> Self {
        let (owed, claims) = (Vec::new(), Vec::new());
        let (lines, begun) = (BTreeMap::new(), BTreeMap::new());
        Self { policy, now: 0, node: 1, inactive: false, events: 0, owed, lines, claims, begun }
    }

    pub(super) fn now(&self) -> Timestamp {
        at(self.now)
    }

    pub(super) fn resting(&self, due_at: Timestamp, since: Timestamp) -> DeliveryState {
        if self.inactive { DeliveryState::Held { since } } else { DeliveryState::Pending { due_at } }
    }

    /// A new delivery at the end of its line.
    pub(super) fn owe(&mut self, event: u32, key: Option<u8>, latest: Option<u8>) {
        let (now, index, mut skipped) = (self.now(), self.owed.len(), 0);
        let mut state = self.resting(now, now);
        if let Some(key) = key {
            let line = self.lines.entry(key).or_default();
            if line.members.is_empty() {
                skipped = std::mem::take(&mut line.given_up);
            } else {
                state = DeliveryState::Waiting { since: now };
            }
            line.members.push(index);
        }
        let (parked, called_off) = (false, false);
        self.owed.push(Owed { event, key, latest, state, due_at: now, parked, attempts: 0, skipped, called_off });
    }

    fn leave(&mut self, index: usize, left: Left, at: Timestamp) {
        // Whoever stands in no line any more is held by itself, and not beside others.
        let Some(key) = self.owed[index].key else { return };
        self.owed[index].parked = left == Left::Parked;
        let skipped = match left {
            Left::Delivered => 0,
            Left::GivenUp => self.owed[index].skipped + 1,
            Left::CalledOff | Left::Parked => self.owed[index].skipped,
        };
        if left != Left::Parked {
            self.owed[index].key = None;
        }
        let line = self.lines.get_mut(&key).unwrap();
        let was_head = line.members.first() == Some(&index);
        line.members.retain(|member| *member != index);
        match line.members.first().copied().filter(|_| was_head) {
            Some(next) => {
                self.owed[next].skipped = skipped;
                self.owed[next].state = self.resting(at, at);
            }
            None if was_head && left != Left::Parked => line.given_up = skipped,
            None => {}
        }
    }

    /// Calls it off; whether there was anything to call off.
    pub(super) fn call_off(&mut self, index: usize) -> bool {
        use DeliveryState::{Cancelled, Delivered, Exhausted, Leased};
        let now = self.now();
        match self.owed[index].state {
            Delivered { .. } | Exhausted { .. } | Cancelled { .. } => return false,
            Leased { .. } => self.owed[index].called_off = true,
            _ => {
                self.owed[index].state = Cancelled { at: now };
                self.leave(index, Left::CalledOff, now);
            }
        }
        self.owed[index].latest = None;
        true
    }

    /// A lease that ended by itself; whether its delivery is still owed.
    pub(super) fn lose(&mut self, index: usize) -> bool {
        if self.owed[index].called_off {
            self.owed[index].state = DeliveryState::Cancelled { at: self.now() };
            self.leave(index, Left::CalledOff, self.now());
            return false;
        }
        true
    }

    pub(super) fn hold(&mut self, since: Timestamp) {
        self.inactive = true;
        for owed in &mut self.owed {
            if matches!(owed.state, DeliveryState::Pending { .. }) {
                owed.state = DeliveryState::Held { since };
            }
        }
    }

    /// What is parked stands in its line again; then everything that is held is due.
    pub(super) fn resume(&mut self) {
        self.inactive = false;
        for index in 0..self.owed.len() {
            let owed = &mut self.owed[index];
            if let (true, Some(key), DeliveryState::Held { since }) = (owed.parked, owed.key, &owed.state) {
                let members = &mut self.lines.get_mut(&key).unwrap().members;
                if !members.is_empty() {
                    owed.state = DeliveryState::Waiting { since: *since };
                }
                members.push(index);
                if let Some(waiting) = members.get_mut(1..) {
                    waiting.sort();
                }
            }
            self.owed[index].parked = false;
        }
        let now = self.now();
        for owed in &mut self.owed {
            if let DeliveryState::Held { since } = owed.state {
                owed.state = DeliveryState::Pending { due_at: since.min(now) };
            }
        }
    }

    pub(super) fn dissolve(&mut self) {
        self.lines.clear();
        self.begun.clear();
        for index in 0..self.owed.len() {
            let state = match (&self.owed[index].state, self.owed[index].parked) {
                (DeliveryState::Waiting { since }, _) | (DeliveryState::Held { since }, true) => {
                    self.resting(*since, *since)
                }
                (other, _) => other.clone(),
            };
            let owed = &mut self.owed[index];
            (owed.state, owed.key, owed.parked) = (state, None, false);
        }
    }

    fn due(&self, room: usize) -> Vec<usize> {
        let mut due: Vec<_> = (0..self.owed.len())
            .filter_map(|index| match self.owed[index].state {
                DeliveryState::Pending { due_at } => (due_at <= self.now()).then_some((due_at, index)),
                DeliveryState::Leased { until, .. } => {
                    (until <= self.now()).then_some((self.owed[index].due_at, index))
                }
                _ => None,
            })
            .collect();
        due.sort();
        due.into_iter().map(|(_, index)| index).take(room).collect()
    }

    /// What a claim should give.
    pub(super) fn claim(&mut self, mut room: usize, until: Timestamp) -> Vec<(usize, u32)> {
        let mut claimed = Vec::new();
        if self.inactive {
            for index in self.due(usize::MAX) {
                if self.lose(index) {
                    self.owed[index].state = DeliveryState::Held { since: self.now() };
                }
            }
            return claimed;
        }
        while room > 0 {
            let (called_off, due): (Vec<_>, Vec<_>) =
                self.due(room).into_iter().partition(|index| self.owed[*index].called_off);
            for index in due {
                let owed = &mut self.owed[index];
                owed.attempts += 1;
                if let DeliveryState::Pending { due_at } = owed.state {
                    owed.due_at = due_at;
                }
                owed.state = DeliveryState::Leased { until, node: node_id(self.node) };
                claimed.push((index, owed.attempts));
            }
            room = called_off.len();
            called_off.into_iter().for_each(|index| assert!(!self.lose(index)));
        }
        claimed
    }

    /// What should follow an attempt that ended at `ended_at`.
    pub(super) fn end(&mut self, index: usize, ordered: bool, outcome: Ended, ended_at: Timestamp) {
        use DeliveryState::{Cancelled, Delivered, Exhausted, Held};
        let number = self.owed[index].attempts;
        let wait = WAITS_S.get(number as usize - 1).copied();
        let again = |wait: u64| Some(ended_at.plus(Duration::from_secs(wait)));
        let (state, left) = match (outcome, self.policy) {
            (Ended::Well, _) => (Delivered { at: ended_at }, Some(Left::Delivered)),
            _ if self.owed[index].called_off => (Cancelled { at: ended_at }, Some(Left::CalledOff)),
            (Ended::Gone, _) => (Held { since: ended_at }, None),
            (Ended::Badly, OnHeadFailure::Park { after }) if ordered && (number >= after || wait.is_none()) => {
                (Held { since: ended_at }, Some(Left::Parked))
            }
            (Ended::Badly, policy) => {
                let blocked = ordered && policy == OnHeadFailure::Block;
                match wait.map_or_else(|| again(WAITS_S[1]).filter(|_| blocked), again) {
                    Some(due_at) => (self.resting(due_at, ended_at), None),
                    None => (Exhausted { at: ended_at }, Some(Left::GivenUp)),
                }
            }
        };
        self.owed[index].state = state;
        if let Some(left) = left {
            self.leave(index, left, ended_at);
        }
    }
}
