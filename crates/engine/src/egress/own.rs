//! The gateway's own listeners: the one place that nothing is delivered to, however wide the ranges that are allowed.
//! An event that came back in by the door it left would be delivered again, and the API is there for people.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

/// Where this gateway listens. Told once, when it does; until then nothing is delivered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnListeners(Arc<OnceLock<Vec<SocketAddr>>>);

impl OwnListeners {
    /// From now on the gateway listens at these, for everybody who shares this.
    pub fn tell(&self, listeners: Vec<SocketAddr>) {
        // Listeners are opened once in a process's life.
        let _ = self.0.set(listeners);
    }

    /// Whether a connection to this address and port would be to the gateway itself.
    pub(super) fn contain(&self, address: IpAddr, port: u16) -> bool {
        let address = address.to_canonical();
        let is_it = |listener: &SocketAddr| {
            listener.port() == port
                && match listener.ip().to_canonical() {
                    own if own.is_unspecified() => is_here(address),
                    // The system takes the unspecified address for its loopback.
                    own => own == address || (own.is_loopback() && address.is_unspecified()),
                }
        };
        self.0.get().into_iter().flatten().any(is_it)
    }
}

/// Whether an address is one of this machine's. Asked only about a port on which the gateway listens at all of them.
fn is_here(address: IpAddr) -> bool {
    if address.is_loopback() || address.is_unspecified() {
        return true;
    }
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return true };
    let mut addresses = interfaces.filter_map(|interface| interface.address);
    addresses.any(|one| {
        let v4 = one.as_sockaddr_in().map(|one| IpAddr::V4(one.ip()));
        v4.or_else(|| one.as_sockaddr_in6().map(|one| IpAddr::V6(one.ip()))) == Some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(listener: &str, address: &str, port: u16) -> bool {
        let own = OwnListeners::default();
        own.tell(vec![listener.parse().unwrap()]);
        own.contain(address.parse().unwrap(), port)
    }

    #[test]
    fn a_listener_is_known_by_address_and_port() {
        assert!(contains("127.0.0.1:8080", "127.0.0.1", 8080));
        assert!(contains("127.0.0.1:8080", "::ffff:127.0.0.1", 8080));
        assert!(contains("127.0.0.1:8080", "0.0.0.0", 8080));
        assert!(!contains("127.0.0.1:8080", "127.0.0.1", 8081));
        assert!(!contains("127.0.0.1:8080", "127.0.0.2", 8080));
        assert!(!contains("10.0.0.1:8080", "0.0.0.0", 8080));
    }

    #[test]
    fn a_listener_at_every_address_is_known_by_each_of_this_machine() {
        for listener in ["0.0.0.0:8080", "[::]:8080"] {
            for address in ["127.0.0.1", "127.0.0.2", "::1", "0.0.0.0", "::"] {
                assert!(contains(listener, address, 8080), "{listener} {address}");
            }
            assert!(!contains(listener, "192.0.2.1", 8080));
            assert!(!contains(listener, "127.0.0.1", 8081));
        }
    }

    #[test]
    fn nothing_is_own_before_it_is_told() {
        assert!(!OwnListeners::default().contain(IpAddr::from([127, 0, 0, 1]), 80));
    }
}
