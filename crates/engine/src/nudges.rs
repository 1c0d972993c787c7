//! What the dispatcher is woken by, and at which destinations there may be something to attempt.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::engine::Inner;
use crate::ids::DestinationId;

/// Nudges since the dispatcher last listened.
#[derive(Debug, Default)]
pub(crate) struct Nudges {
    since: Mutex<Nudged>,
    wake: Notify,
    attended: AtomicBool,
}

/// Held by a dispatcher as long as it acts on nudges.
#[derive(Debug)]
pub(crate) struct Attending<'n>(&'n Nudges);

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.0.attended.store(false, Ordering::Release);
    }
}

/// Where there may be something to attempt.
#[derive(Debug, Default)]
pub(crate) struct Nudged {
    /// Anywhere.
    pub(crate) all: bool,
    /// Here, in any case.
    pub(crate) of: HashSet<DestinationId>,
    /// How many deliveries came to be owed here by this node's own doing, of which no other one knows.
    pub(crate) own: HashMap<DestinationId, u32>,
}

impl Inner {
    /// There may be something to attempt now, anywhere.
    pub(crate) fn nudge(&self) {
        self.nudges().all();
        self.pulls().notify_waiters();
    }

    /// There may be something to attempt now at these destinations.
    pub(crate) fn nudge_for(&self, destinations: Vec<DestinationId>) {
        self.leave_to_others(&destinations);
        self.nudges().of_own(destinations);
        self.pulls().notify_waiters();
    }
}

impl Nudges {
    /// There may be something to attempt anywhere.
    pub(crate) fn all(&self) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).all = true;
        self.wake.notify_one();
    }

    /// There may be something to attempt at these destinations.
    pub(crate) fn of(&self, destinations: impl IntoIterator<Item = DestinationId>) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).of.extend(destinations);
        self.wake.notify_one();
    }

    /// There may be something to attempt at these destinations, of which only this node knows.
    fn of_own(&self, destinations: Vec<DestinationId>) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &destinations {
            let own = since.own.entry(*id).or_default();
            *own = own.saturating_add(1);
        }
        drop(since);
        self.of(destinations);
    }

    /// Completes after a nudge.
    pub(crate) async fn nudged(&self) {
        self.wake.notified().await;
    }

    /// From now on they are acted on.
    pub(crate) fn attend(&self) -> Attending<'_> {
        self.attended.store(true, Ordering::Release);
        Attending(self)
    }

    /// Whether somebody acts on them.
    pub(crate) fn are_attended(&self) -> bool {
        self.attended.load(Ordering::Acquire)
    }

    /// Takes what nudges were for.
    pub(crate) fn take(&self) -> Nudged {
        std::mem::take(&mut *self.since.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
