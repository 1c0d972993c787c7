//! Time in the test's hands.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use hookward_engine::clock::{Clock, Timestamp};
use tokio::sync::watch;

/// A clock that stands still until the test moves it.
#[derive(Debug)]
pub(crate) struct FakeClock {
    now: watch::Sender<Timestamp>,
    /// How far the wall clock was set back, in milliseconds: the monotonic one does not notice.
    set_back_ms: AtomicI64,
    /// How often somebody began to wait for a time.
    pub(crate) sleeps: AtomicU64,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self {
            now: watch::Sender::new(Timestamp::from_millis(1_700_000_000_000)),
            set_back_ms: AtomicI64::new(0),
            sleeps: AtomicU64::new(0),
        }
    }
}

impl FakeClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.plus(by));
    }
}

impl FakeClock {
    pub(crate) fn set_back(&self, by: Duration) {
        self.set_back_ms.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
        self.now.send_modify(|now| *now = now.minus(by));
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::from_millis(-self.set_back_ms.load(Ordering::SeqCst)))
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.sleeps.fetch_add(1, Ordering::SeqCst);
        let mut seen = self.now.subscribe();
        Box::pin(async move {
            seen.wait_for(|now| *now >= at).await.expect("the clock outlives its sleepers");
        })
    }
}
