//! The attempts that this process has under way, by delivery, so that one can be told to end.
//! Owns the telling; that the delivery is called off is the store's to know, and how an attempt ends is its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::ids::DeliveryId;

/// How many called-off deliveries are remembered whose attempt is not under way: it may be about to begin, its lease
/// being given already. One forgotten too early runs to its end and is cancelled then.
const EARLY_MAX: usize = 256;

/// Attempts under way.
#[derive(Debug, Default)]
pub(crate) struct Running {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    under_way: HashMap<DeliveryId, CancellationToken>,
    early: VecDeque<DeliveryId>,
}

/// An attempt under way, until dropped.
#[derive(Debug)]
pub(crate) struct UnderWay<'r> {
    running: &'r Running,
    delivery: DeliveryId,
    called_off: CancellationToken,
}

impl Running {
    /// An attempt of `delivery` begins.
    pub(crate) fn begin(&self, delivery: DeliveryId) -> UnderWay<'_> {
        let called_off = CancellationToken::new();
        let mut known = self.known();
        if known.early.contains(&delivery) {
            called_off.cancel();
        }
        known.under_way.insert(delivery, called_off.clone());
        UnderWay { running: self, delivery, called_off }
    }

    /// Tells the attempt of `delivery` to end, whether it has begun or is about to.
    pub(crate) fn cancel(&self, delivery: DeliveryId) {
        let mut known = self.known();
        match known.under_way.get(&delivery) {
            Some(called_off) => called_off.cancel(),
            None => {
                if known.early.len() == EARLY_MAX {
                    known.early.pop_front();
                }
                known.early.push_back(delivery);
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay<'_> {
    /// Cancelled when the attempt should end.
    pub(crate) fn called_off(&self) -> &CancellationToken {
        &self.called_off
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.running.known().under_way.remove(&self.delivery);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(n: usize) -> DeliveryId {
        DeliveryId::from_bytes((n as u128).to_be_bytes())
    }

    #[test]
    fn an_attempt_is_told_to_end_whether_it_has_begun_or_not() {
        let running = Running::default();
        let begun = running.begin(delivery(1));
        let other = running.begin(delivery(2));
        running.cancel(delivery(1));
        running.cancel(delivery(3));
        assert!(begun.called_off().is_cancelled());
        assert!(!other.called_off().is_cancelled());
        assert!(running.begin(delivery(3)).called_off().is_cancelled());
        drop((begun, other));
        assert!(running.known().under_way.is_empty());
    }

    #[test]
    fn what_is_remembered_early_is_bounded() {
        let running = Running::default();
        (0..=EARLY_MAX).for_each(|n| running.cancel(delivery(n)));
        assert_eq!(running.known().early.len(), EARLY_MAX);
        assert!(!running.begin(delivery(0)).called_off().is_cancelled());
        assert!(running.begin(delivery(1)).called_off().is_cancelled());
    }
}
