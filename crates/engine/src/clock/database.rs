//! The clock that nodes share: the database's, as far as this process can tell it between two looks. Owns the reckoning; what
//! is asked of the database is `nodes`'.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use super::{Clock, STEP_MIN, Timestamp};

/// The longest sleep before the time is looked at again.
const NAP: Duration = Duration::from_secs(1);

/// The database's clock, carried on by this process's monotonic one. Until it was heard, this process's own.
///
/// It does not go back, unless the database's was set back by [`STEP_MIN`] or more: then it follows, as anybody's would.
#[derive(Debug)]
pub(crate) struct DatabaseClock {
    own: Arc<dyn Clock>,
    heard: AtomicBool,
    /// The database's time less the monotonic one, in milliseconds.
    offset_ms: AtomicI64,
    /// The latest time that anybody was told.
    told_ms: AtomicI64,
}

impl DatabaseClock {
    /// One that is this process's `own` until it has heard the database's.
    pub(crate) fn new(own: Arc<dyn Clock>) -> Self {
        let (heard, offset_ms, told_ms) = (AtomicBool::new(false), AtomicI64::new(0), AtomicI64::new(i64::MIN));
        Self { own, heard, offset_ms, told_ms }
    }

    /// The database's clock was `said` at some moment between `began` and `ended` of the monotonic one. What is known is moved
    /// no further than that proves it wrong, so an answer that was long under way changes nothing.
    pub(crate) fn hear(&self, said: Timestamp, began: Duration, ended: Duration) {
        let (least, most) = (said.as_millis() - millis(ended), said.as_millis() - millis(began));
        let offset_ms = match self.heard.load(Ordering::Acquire) {
            true => self.offset_ms.load(Ordering::Acquire).clamp(least, most),
            false => least + (most - least) / 2,
        };
        self.offset_ms.store(offset_ms, Ordering::Release);
        self.heard.store(true, Ordering::Release);
    }

    /// How far this process's own wall clock is ahead, in milliseconds.
    pub(crate) fn own_ahead_ms(&self) -> i64 {
        self.own.now().as_millis() - self.reckoned_ms()
    }

    fn reckoned_ms(&self) -> i64 {
        match self.heard.load(Ordering::Acquire) {
            true => millis(self.own.elapsed()) + self.offset_ms.load(Ordering::Acquire),
            false => self.own.now().as_millis(),
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let now_ms = self.reckoned_ms();
        let told_ms = self.told_ms.fetch_max(now_ms, Ordering::AcqRel);
        if told_ms.saturating_sub(now_ms) < millis(STEP_MIN) {
            return Timestamp::from_millis(now_ms.max(told_ms));
        }
        self.told_ms.store(now_ms, Ordering::Release);
        Timestamp::from_millis(now_ms)
    }

    fn elapsed(&self) -> Duration {
        self.own.elapsed()
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            loop {
                let left = at.since(self.now());
                if left.is_zero() {
                    return;
                }
                self.own.sleep_until(self.own.now().plus(left.min(NAP))).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine's two clocks, in milliseconds.
    #[derive(Debug, Default)]
    struct Machine {
        wall: AtomicI64,
        monotonic: AtomicI64,
    }

    impl Machine {
        fn pass(&self, ms: i64) {
            self.wall.fetch_add(ms, Ordering::SeqCst);
            self.monotonic.fetch_add(ms, Ordering::SeqCst);
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.wall.load(Ordering::SeqCst))
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.monotonic.load(Ordering::SeqCst).unsigned_abs())
        }

        fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(async move { self.pass(at.since(self.now()).as_millis().try_into().unwrap_or(0)) })
        }
    }

    /// A clock on a machine, and what is done with both.
    struct Both(Arc<Machine>, DatabaseClock);

    impl Both {
        fn new() -> Self {
            let machine = Arc::new(Machine::default());
            machine.pass(1_000_000);
            Self(Arc::clone(&machine), DatabaseClock::new(machine))
        }

        /// The database says `said` in an answer that takes `ms`.
        fn hear(&self, said: i64, ms: i64) {
            let began = self.1.elapsed();
            self.0.pass(ms);
            self.1.hear(Timestamp::from_millis(said), began, self.1.elapsed());
        }

        fn now(&self) -> i64 {
            self.1.now().as_millis()
        }
    }

    #[test]
    fn it_is_the_databases_clock_whatever_the_machines_says_and_does() {
        let both = Both::new();
        assert_eq!(both.now(), 1_000_000, "until it was heard");
        both.hear(400_000, 0);
        assert_eq!((both.now(), both.1.own_ahead_ms()), (400_000, 600_000));
        both.0.pass(7_000);
        both.0.wall.fetch_add(3_600_000, Ordering::SeqCst);
        assert_eq!(both.now(), 407_000, "the machine's clock was set");
    }

    #[test]
    fn an_answer_that_took_long_proves_little_and_changes_nothing() {
        let both = Both::new();
        both.hear(400_000, 10);
        assert_eq!(both.now(), 400_005, "half of the way");
        both.hear(400_006, 4_000);
        assert_eq!(both.now(), 404_005, "the answer may have been on its way back all the time");
        both.hear(404_100, 20);
        assert_eq!(both.now(), 404_100, "at least what was said; more is not proven");
    }

    #[test]
    fn it_stands_still_rather_than_go_back_a_little_and_follows_a_clock_that_was_set() {
        let both = Both::new();
        both.hear(400_000, 0);
        assert_eq!(both.now(), 400_000);
        both.hear(395_001, 0);
        assert_eq!(both.now(), 400_000);
        both.0.pass(4_998);
        assert_eq!(both.now(), 400_000, "still");
        both.0.pass(2);
        assert_eq!(both.now(), 400_001);
        both.hear(395_001, 0);
        assert_eq!(both.now(), 395_001, "it was set back by five seconds");
    }

    #[tokio::test]
    async fn whoever_waits_waits_for_the_databases_time() {
        let both = Both::new();
        both.hear(400_000, 0);
        both.1.sleep_until(Timestamp::from_millis(402_500)).await;
        assert_eq!((both.now(), both.0.elapsed()), (402_500, Duration::from_millis(1_002_500)));
    }
}
