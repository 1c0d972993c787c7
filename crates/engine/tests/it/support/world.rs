//! Time in the test's hands.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use hookward_engine::clock::{Clock, Timestamp};
use tokio::sync::watch;

/// A clock that stands still until the test moves it.
#[derive(Debug)]
pub(crate) struct FakeClock {
    now: watch::Sender<Timestamp>,
}

impl Default for FakeClock {
    fn default() -> Self {
        Self { now: watch::Sender::new(Timestamp::from_millis(1_700_000_000_000)) }
    }
}

impl FakeClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now = now.plus(by));
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    fn elapsed(&self) -> Duration {
        self.now().since(Timestamp::from_millis(0))
    }

    fn sleep_until(&self, at: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut seen = self.now.subscribe();
        Box::pin(async move {
            seen.wait_for(|now| *now >= at).await.expect("the clock outlives its sleepers");
        })
    }
}
