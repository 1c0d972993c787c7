//! Holds back answers to whoever is refused again and again, so that a flood of bad requests costs its sender time and
//! nobody else. Knows only addresses and statuses; an answer that is not a refusal is never held back, whoever gets it.

use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, timeout};

/// How many refusals a second cost an address nothing: a sender that was given the wrong secret finds out at once.
pub(crate) const FREE: u32 = 100;

/// How long each further answer of that second is held back. Sixteen connections of a flood then get 740 answers a
/// second, however often they are made anew.
pub(crate) const PENALTY: Duration = Duration::from_millis(25);

/// How many addresses are told apart. Those that meet share their hundred.
const SLOTS: usize = 4096;

/// The refusals of this second, by address.
#[derive(Debug)]
pub(crate) struct Brake {
    started: Instant,
    /// The second in the upper half, the refusals in it in the lower.
    slots: Box<[AtomicU64]>,
}

impl Brake {
    /// Nobody was refused yet.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Takes note of an answer to `peer`, and holds it back if it is one refusal too many. Only the connection itself
    /// waits: the request's body is gone by now.
    pub(crate) async fn hold(&self, peer: SocketAddr, status: StatusCode) {
        if status == StatusCode::UNAUTHORIZED && self.refused(peer.ip()) > FREE {
            // A timeout of nothing: the one way to wait that needs no clock here.
            let _ = timeout(PENALTY, pending::<()>()).await;
        }
    }

    /// How many refusals this address has had in this second, with this one.
    fn refused(&self, address: IpAddr) -> u32 {
        let second = self.started.elapsed().as_secs() << 32;
        let slot = &self.slots[slot(address)];
        let next = |kept: u64| if kept >> 32 == second >> 32 { kept.saturating_add(1) } else { second | 1 };
        let before = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| Some(next(kept)));
        u32::try_from(next(before.unwrap_or(0)) & u64::from(u32::MAX)).unwrap_or(u32::MAX)
    }
}

/// An IPv6 address counts by its first half: whoever has one has the other half of them, too.
fn slot(address: IpAddr) -> usize {
    let bits = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    };
    // Fibonacci hashing: neighbours do not meet.
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn waited(brake: &Brake, peer: &str, status: StatusCode) -> Duration {
        let before = Instant::now();
        brake.hold(peer.parse().unwrap(), status).await;
        before.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_beyond_the_free_ones_of_a_second_are_held_back_whatever_the_connection() {
        let brake = Brake::new();
        for _ in 0..2 {
            for port in 0..FREE {
                let peer = format!("192.0.2.7:{}", port + 1);
                assert_eq!(waited(&brake, &peer, StatusCode::UNAUTHORIZED).await, Duration::ZERO);
            }
            assert!(waited(&brake, "192.0.2.7:9", StatusCode::UNAUTHORIZED).await >= PENALTY);
            assert_eq!(waited(&brake, "192.0.2.7:9", StatusCode::ACCEPTED).await, Duration::ZERO);
            assert_eq!(waited(&brake, "192.0.2.8:9", StatusCode::UNAUTHORIZED).await, Duration::ZERO, "somebody else");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_ipv6_network_is_one_sender() {
        let brake = Brake::new();
        for host in 0..FREE {
            waited(&brake, &format!("[2001:db8::{host:x}]:1"), StatusCode::UNAUTHORIZED).await;
        }
        assert!(waited(&brake, "[2001:db8::ffff]:1", StatusCode::UNAUTHORIZED).await >= PENALTY);
        assert_eq!(waited(&brake, "[2001:db8:1::1]:1", StatusCode::UNAUTHORIZED).await, Duration::ZERO);
    }
}
