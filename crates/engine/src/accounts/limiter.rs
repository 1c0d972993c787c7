//! How often somebody may try something: a [`Bucket`] for each key, in bounded memory. What a key stands for, and what is
//! said to whoever comes too often, is the caller's. Nothing is kept across a restart.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::model::Rate;
use crate::rate::Bucket;

/// One rate for each of many keys.
#[derive(Debug)]
pub struct Limiter<K> {
    rate: Rate,
    capacity: usize,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// `rate` for each key, of which at most `capacity` are told apart at a time. When there are more, the one that is
    /// the nearest to having its whole burst back is forgotten.
    pub fn new(rate: Rate, capacity: usize) -> Self {
        Self { rate, capacity: capacity.max(1), buckets: Mutex::default() }
    }

    /// Counts one try of `key` at `now`, time since any fixed start. One that comes too soon is not counted, and the
    /// error is how long to wait.
    ///
    /// # Errors
    ///
    /// The wait.
    pub fn take(&self, key: &K, now: Duration) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            return bucket.take(&self.rate, now);
        }
        if buckets.len() >= self.capacity {
            buckets.retain(|_, bucket| !bucket.is_empty(now));
        }
        if buckets.len() >= self.capacity {
            let first = buckets.iter().min_by_key(|(_, bucket)| **bucket).map(|(key, _)| key.clone());
            first.and_then(|first| buckets.remove(&first));
        }
        buckets.entry(key.clone()).or_default().take(&self.rate, now)
    }

    /// Takes one counted try of `key` back: it was not one of those that are to be few.
    pub fn forgive(&self, key: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.give_back(&self.rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    /// One a minute, three at once.
    const RATE: Rate = Rate { requests: 1, per: Duration::from_secs(60), burst: 3 };

    fn taken(limiter: &Limiter<u32>, key: u32, at: Duration) -> usize {
        (0..10).take_while(|_| limiter.take(&key, at).is_ok()).count()
    }

    #[test]
    fn each_key_has_its_own_burst_and_is_told_how_long_to_wait() {
        let limiter = Limiter::new(RATE, 10);
        assert_eq!(taken(&limiter, 1, START), 3);
        assert_eq!(taken(&limiter, 2, START), 3);
        assert_eq!(limiter.take(&1, START), Err(Duration::from_secs(60)));
        assert_eq!(taken(&limiter, 1, START + Duration::from_secs(60)), 1);
    }

    #[test]
    fn what_is_forgiven_was_not_counted() {
        let limiter = Limiter::new(RATE, 10);
        for _ in 0..100 {
            assert_eq!(limiter.take(&1, START), Ok(()));
            limiter.forgive(&1);
        }
        assert_eq!(taken(&limiter, 1, START), 3);
        limiter.forgive(&2);
        assert_eq!(taken(&limiter, 2, START), 3, "nothing was owed to a key that is not known");
    }

    #[test]
    fn more_keys_than_it_holds_forget_the_most_innocent_first() {
        let limiter = Limiter::new(RATE, 3);
        assert_eq!(taken(&limiter, 1, START), 3);
        for key in 2..1000 {
            assert_eq!(limiter.take(&key, START), Ok(()));
            assert!(limiter.buckets.lock().unwrap().len() <= 3);
        }
        assert_eq!(taken(&limiter, 1, START), 0, "who tried most is still known");
        let later = START + Duration::from_secs(3600);
        assert_eq!(limiter.take(&1000, later), Ok(()));
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1, "who waited long enough takes no room");
    }
}
