//! What the dispatcher is woken by, and at which destinations there may be something to attempt.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::engine::Inner;
use crate::ids::DestinationId;

/// Nudges since the dispatcher last listened.
#[derive(Debug, Default)]
pub(crate) struct Nudges {
    since: Mutex<Nudged>,
    wake: Notify,
}

/// Where there may be something to attempt.
#[derive(Debug, Default)]
pub(crate) struct Nudged {
    /// Anywhere.
    pub(crate) all: bool,
    /// Here, in any case.
    pub(crate) of: HashSet<DestinationId>,
}

impl Inner {
    /// There may be something to attempt now, anywhere.
    pub(crate) fn nudge(&self) {
        self.nudges().all();
        self.pulls().notify_waiters();
    }

    /// There may be something to attempt now at these destinations.
    pub(crate) fn nudge_for(&self, destinations: impl IntoIterator<Item = DestinationId>) {
        self.nudges().of(destinations);
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

    /// Completes after a nudge.
    pub(crate) async fn nudged(&self) {
        self.wake.notified().await;
    }

    /// Takes what nudges were for.
    pub(crate) fn take(&self) -> Nudged {
        std::mem::take(&mut *self.since.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
