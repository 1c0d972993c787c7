//! How fast a source's senders may go, and how fast a destination is tried: the generic cell rate algorithm, a bucket that
//! fills with each request and leaks steadily. Pure: what is limited is `receive`'s and `dispatch`'s to say.

use std::time::Duration;

use crate::model::Rate;

/// How full a rate's bucket is. All that it keeps is one point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bucket {
    /// When it will have leaked empty, by the clock that `take` is told.
    empty_at: Duration,
}

impl Bucket {
    /// Takes one request at `now`, time since any fixed start. When the bucket has no room for it nothing is taken, and the error is
    /// how long it will be until it has.
    ///
    /// # Errors
    ///
    /// The wait.
    pub fn take(&mut self, rate: &Rate, now: Duration) -> Result<(), Duration> {
        let each = rate.per / rate.requests.max(1);
        let empty_at = self.empty_at.max(now).saturating_add(each);
        let holds = each.saturating_mul(rate.burst.max(1));
        match (empty_at - now).checked_sub(holds) {
            None | Some(Duration::ZERO) => {
                self.empty_at = empty_at;
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    /// Takes as many as there is room for, at most `most`. Returns how many.
    pub fn take_up_to(&mut self, rate: &Rate, now: Duration, most: u32) -> u32 {
        let taken = (0..most).take_while(|_| self.take(rate, now).is_ok()).count();
        u32::try_from(taken).unwrap_or(most)
    }

    /// Takes one for what happens in any case; what comes after it waits the longer.
    pub fn take_in_debt(&mut self, rate: &Rate, now: Duration) {
        self.empty_at = self.empty_at.max(now).saturating_add(rate.per / rate.requests.max(1));
    }

    /// How long it is until there is room for one.
    pub fn wait(&self, rate: &Rate, now: Duration) -> Duration {
        { *self }.take(rate, now).err().unwrap_or_default()
    }

    /// Undoes one `take` at the same rate.
    pub fn give_back(&mut self, rate: &Rate) {
        self.empty_at = self.empty_at.saturating_sub(rate.per / rate.requests.max(1));
    }

    /// Whether it has leaked empty by `now`.
    pub fn is_empty(&self, now: Duration) -> bool {
        self.empty_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1000);

    /// Ten a second, five at once.
    const RATE: Rate = Rate { requests: 10, per: Duration::from_secs(1), burst: 5 };

    fn ms(millis: u64) -> Duration {
        START + Duration::from_millis(millis)
    }

    fn taken(bucket: &mut Bucket, at: Duration) -> u32 {
        (0..100).take_while(|_| bucket.take(&RATE, at).is_ok()).count() as u32
    }

    #[test]
    fn a_burst_is_taken_and_one_more_is_told_to_wait_for_its_turn() {
        let mut bucket = Bucket::default();
        assert_eq!(taken(&mut bucket, START), 5);
        assert_eq!(bucket.take(&RATE, START), Err(Duration::from_millis(100)));
        assert_eq!(bucket.take(&RATE, ms(60)), Err(Duration::from_millis(40)));
        assert_eq!(bucket.take(&RATE, ms(99)), Err(Duration::from_millis(1)));
        assert_eq!(bucket.take(&RATE, ms(100)), Ok(()), "whoever waits as told is taken");
        assert_eq!(bucket.take(&RATE, ms(100)), Err(Duration::from_millis(100)));
    }

    #[test]
    fn what_is_turned_down_takes_no_room() {
        let (mut one, mut other) = (Bucket::default(), Bucket::default());
        assert_eq!((taken(&mut one, START), taken(&mut other, START)), (5, 5));
        for _ in 0..1000 {
            assert!(one.take(&RATE, START).is_err());
        }
        assert_eq!(one, other);
    }

    #[test]
    fn over_a_long_time_no_more_than_the_rate_is_taken_and_no_less() {
        let mut bucket = Bucket::default();
        let in_ten_seconds: u32 = (0..10_000).map(|at| taken(&mut bucket, ms(at))).sum();
        assert_eq!(in_ten_seconds, 5 + 99);
    }

    #[test]
    fn a_long_silence_earns_one_burst_and_not_two() {
        let mut bucket = Bucket::default();
        taken(&mut bucket, START);
        assert_eq!(taken(&mut bucket, ms(1_000_000)), 5);
    }

    #[test]
    fn what_is_taken_in_debt_is_waited_for() {
        let smooth = Rate { burst: 1, ..RATE };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_up_to(&smooth, START, 7), 1);
        assert_eq!(bucket.wait(&smooth, START), Duration::from_millis(100));
        bucket.take_in_debt(&smooth, START);
        assert_eq!(bucket.wait(&smooth, START), Duration::from_millis(200));
        bucket.give_back(&smooth);
        assert_eq!((bucket.take_up_to(&smooth, ms(99), 7), bucket.take_up_to(&smooth, ms(100), 7)), (0, 1));
        assert_eq!(bucket.wait(&smooth, ms(10_000)), Duration::ZERO);
        assert_eq!(Bucket::default().take_up_to(&RATE, START, 3), 3);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let century = Duration::from_secs(100 * 366 * 86_400);
        let slow = Rate { requests: 1, per: century, burst: u32::MAX };
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(&slow, Duration::MAX), Ok(()));
        let none = Rate { requests: 0, per: Duration::ZERO, burst: 0 };
        assert_eq!(Bucket::default().take(&none, START), Ok(()));
    }
}
