//! Slows a connection down that is refused again and again, so that a flood of bad requests costs its sender time and
//! nobody else. Knows only statuses; whoever is believed in between starts afresh.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::timeout;

/// How many refusals in a row cost a connection nothing: a sender that was given the wrong secret finds out at once.
pub(crate) const FREE: u32 = 32;

/// How long each further answer is held back. Sixteen connections of a flood then get 640 answers a second, and a test
/// suite that sends a thousand bad requests one after the other takes half a minute more.
pub(crate) const PENALTY: Duration = Duration::from_millis(25);

/// The refusals in a row of one connection.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    refused: AtomicU32,
}

impl Brake {
    /// Takes note of an answer, and holds it back if it is one refusal too many. Only the connection itself waits: the
    /// request's body is gone by now.
    pub(crate) async fn hold(&self, status: StatusCode) {
        if status != StatusCode::UNAUTHORIZED {
            self.refused.store(0, Ordering::Relaxed);
        } else if self.refused.fetch_add(1, Ordering::Relaxed) >= FREE {
            // A timeout of nothing: the one way to wait that needs no clock here.
            let _ = timeout(PENALTY, pending::<()>()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(brake: &Brake, status: StatusCode) -> Duration {
        let before = tokio::time::Instant::now();
        brake.hold(status).await;
        before.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_in_a_row_are_held_back_after_the_free_ones_until_one_is_believed() {
        let brake = Brake::default();
        for _ in 0..2 {
            for _ in 0..FREE {
                assert_eq!(waited(&brake, StatusCode::UNAUTHORIZED).await, Duration::ZERO);
            }
            assert!(waited(&brake, StatusCode::UNAUTHORIZED).await >= PENALTY);
            assert!(waited(&brake, StatusCode::UNAUTHORIZED).await >= PENALTY);
            assert_eq!(waited(&brake, StatusCode::ACCEPTED).await, Duration::ZERO);
        }
    }
}
