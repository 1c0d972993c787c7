//! Counting what happened, behind the traffic: how often it is done, and how long things took as a few numbers.
//! What is counted, and where it is kept, is the store's.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::store::StoreError;

/// How often it is counted. Whoever reads counts what is newer on top, so this only bounds how much that is.
const EVERY: Duration = Duration::from_secs(10);

/// The rest after a stretch when there is more: the store's readers are others', too.
const PAUSE: Duration = Duration::from_millis(20);

/// How often things took how long. Lapses that differ by less than a quarter are one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies(BTreeMap<u8, u64>);

/// Lapses below this, in milliseconds, are each counted apart.
const EXACT: u64 = 4;

/// The place of a lapse: exact below [`EXACT`] ms, and four for each doubling from there on.
pub(crate) fn place(lapse: Duration) -> u8 {
    let millis = u64::try_from(lapse.as_millis()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
    if millis < EXACT {
        return u8::try_from(millis).expect("it is below four");
    }
    let doublings = u64::from(millis.ilog2()) - 2;
    let quarter = (millis >> doublings) & 3;
    u8::try_from(EXACT + 4 * doublings + quarter).expect("32 bits have 30 doublings")
}

/// The shortest lapse of a place, in milliseconds.
fn shortest(place: u8) -> u64 {
    let place = u64::from(place);
    match place.checked_sub(EXACT) {
        None => place,
        Some(above) => (4 + above % 4) << (above / 4),
    }
}

impl Latencies {
    /// Counts `count` lapses of a place.
    pub(crate) fn add(&mut self, place: u8, count: u64) {
        *self.0.entry(place).or_default() += count;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// Adds the others to these.
    pub fn merge(&mut self, others: &Self) {
        others.0.iter().for_each(|(place, count)| self.add(*place, *count));
    }

    /// The lapse that `percent` of all were not longer than, to within a quarter. `None` when there is none.
    pub fn percentile(&self, percent: u8) -> Option<Duration> {
        let count = self.count();
        let wanted = (count * u64::from(percent.min(100))).div_ceil(100).max(1);
        let mut before = 0;
        for (&place, &here) in &self.0 {
            if before + here >= wanted {
                let (from, to) = (shortest(place), shortest(place.saturating_add(1)));
                let millis = from + (to - from) * (wanted - before - 1) / here.max(1);
                return Some(Duration::from_millis(millis));
            }
            before += here;
        }
        None
    }
}

impl Engine {
    /// Counts what happened and is not counted yet. Done by itself every few seconds.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; it goes on another time where it stood.
    pub async fn tally(&self) -> Result<(), StoreError> {
        let inner = self.inner();
        while inner.store().tally(inner.clock().now()).await? {
            inner.clock().sleep_until(inner.clock().now().plus(PAUSE)).await;
        }
        Ok(())
    }

    /// Counts again and again, until `stop`.
    pub(crate) async fn keep_tally(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.tally()).await {
                tracing::warn!(%error, "what happened cannot be counted yet");
            }
            let next = self.inner().clock().now().plus(EVERY);
            stop.run_until_cancelled(self.inner().clock().sleep_until(next)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_rise_with_the_lapse_and_are_a_quarter_wide_at_most() {
        for millis in (0..5_000).chain([60_000, 600_000, 86_400_000, u64::from(u32::MAX)]) {
            let place = place(Duration::from_millis(millis));
            let (from, to) = (shortest(place), shortest(place + 1));
            assert!(from <= millis && millis < to, "{millis}: {place} is {from} to {to}");
            assert!(to - from <= 1 || (to - from) * 4 <= from, "{millis}: {from} to {to}");
        }
        assert_eq!(place(Duration::MAX), place(Duration::from_millis(u64::from(u32::MAX))));
    }

    #[test]
    fn percentiles_are_those_of_the_lapses_to_within_a_quarter() {
        let of = |lapses: &[u64]| {
            let mut latencies = Latencies::default();
            lapses.iter().for_each(|millis| latencies.add(place(Duration::from_millis(*millis)), 1));
            latencies
        };
        assert_eq!(Latencies::default().percentile(50), None);
        assert_eq!(of(&[0]).percentile(50), Some(Duration::ZERO));
        let hundred: Vec<u64> = (1..=100).collect();
        for percent in [1, 50, 95, 100] {
            let told = of(&hundred).percentile(percent).expect("there are some").as_millis();
            let (is, slack) = (u128::from(percent), u128::from(percent) / 4 + 1);
            assert!(told.abs_diff(is) <= slack, "p{percent} is {told}");
        }
        let mut both = of(&[1, 1, 1]);
        both.merge(&of(&[1_000]));
        assert_eq!((both.count(), both.percentile(50)), (4, Some(Duration::from_millis(1))));
        assert!(both.percentile(100).is_some_and(|longest| longest >= Duration::from_millis(800)));
    }
}
