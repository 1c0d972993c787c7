//! The attempts that this process has under way, by delivery, so that one can be told to end.
//! Owns the telling; that the delivery is called off is the store's to know, and how an attempt ends is its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::engine::Inner;
use crate::ids::DeliveryId;
use crate::output::Output;

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
    under_way: HashMap<DeliveryId, Attempt>,
    early: VecDeque<DeliveryId>,
}

#[derive(Debug, Clone)]
struct Attempt {
    number: u32,
    called_off: CancellationToken,
    output: Arc<Output>,
}

/// An attempt under way, until dropped.
#[derive(Debug)]
pub(crate) struct UnderWay<'r> {
    running: &'r Running,
    delivery: DeliveryId,
    attempt: Attempt,
}

impl Running {
    /// Attempt `number` of `delivery` begins; of what a program writes, `output_bytes` are kept.
    pub(crate) fn begin(&self, delivery: DeliveryId, number: u32, output_bytes: usize) -> UnderWay<'_> {
        let output = Arc::new(Output::new(output_bytes));
        let attempt = Attempt { number, called_off: CancellationToken::new(), output };
        let mut known = self.known();
        if known.early.contains(&delivery) {
            attempt.called_off.cancel();
        }
        known.under_way.insert(delivery, attempt.clone());
        UnderWay { running: self, delivery, attempt }
    }

    /// The output of the attempt of `delivery` that is under way, if it is the one of this number.
    pub(crate) fn output(&self, delivery: DeliveryId, number: Option<u32>) -> Option<Arc<Output>> {
        let known = self.known();
        let attempt = known.under_way.get(&delivery)?;
        number.is_none_or(|number| number == attempt.number).then(|| Arc::clone(&attempt.output))
    }

    /// How many attempts are under way.
    pub(crate) fn count(&self) -> u64 {
        self.known().under_way.len() as u64
    }

    /// Tells the attempt of `delivery` to end, whether it has begun or is about to.
    pub(crate) fn cancel(&self, delivery: DeliveryId) {
        let mut known = self.known();
        match known.under_way.get(&delivery) {
            Some(attempt) => attempt.called_off.cancel(),
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

impl Inner {
    /// Tells the attempts of these deliveries, as far as this process has them under way, to end now. Called once the
    /// store knows that they are called off.
    pub(crate) fn cancel_running(&self, deliveries: &[DeliveryId]) {
        deliveries.iter().for_each(|delivery| self.running().cancel(*delivery));
    }
}

impl UnderWay<'_> {
    /// Cancelled when the attempt should end.
    pub(crate) fn called_off(&self) -> &CancellationToken {
        &self.attempt.called_off
    }

    /// Takes what a program writes.
    pub(crate) fn output(&self) -> &Output {
        &self.attempt.output
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.attempt.output.finish();
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
        let begun = running.begin(delivery(1), 1, 0);
        let other = running.begin(delivery(2), 1, 0);
        running.cancel(delivery(1));
        running.cancel(delivery(3));
        assert!(begun.called_off().is_cancelled());
        assert!(!other.called_off().is_cancelled());
        assert!(running.begin(delivery(3), 1, 0).called_off().is_cancelled());
        drop((begun, other));
        assert!(running.known().under_way.is_empty());
    }

    #[test]
    fn what_is_remembered_early_is_bounded() {
        let running = Running::default();
        (0..=EARLY_MAX).for_each(|n| running.cancel(delivery(n)));
        assert_eq!(running.known().early.len(), EARLY_MAX);
        assert!(!running.begin(delivery(0), 1, 0).called_off().is_cancelled());
        assert!(running.begin(delivery(1), 1, 0).called_off().is_cancelled());
    }
}
