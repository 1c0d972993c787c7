//! Whose request it is: the connection's peer, or whom proxies of ours say that they speak for.
//! Owns the reading of `X-Forwarded-For`; what an address may do is decided elsewhere.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of a request's sender. Shown with its port where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    port: Option<u16>,
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.address, port).fmt(f),
            None => self.address.fmt(f),
        }
    }
}

/// The sender behind `peer`. Each trusted proxy vouches for the entry that it added: from the right, the first that is not trusted
/// is the sender, and what stands left of it is anybody's. An entry that is not an address ends the search: the last good one is the
/// sender. Without trust the header says nothing.
pub(crate) fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let mut client = Client { address: peer.ip().to_canonical(), port: Some(peer.port()) };
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    while is_in(client.address, trusted) {
        let Some(named) = entries.next().and_then(parse) else { break };
        client = named;
    }
    client
}

/// Whether one of the ranges holds the address.
pub(super) fn is_in(address: IpAddr, ranges: &[IpNet]) -> bool {
    ranges.iter().any(|range| range.contains(&address))
}

/// An address as proxies write it: alone, in brackets, or with a port.
fn parse(entry: &[u8]) -> Option<Client> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok()?;
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(Client { address: socket.ip().to_canonical(), port: Some(socket.port()) });
    }
    let bare = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|address| Client { address: address.to_canonical(), port: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whom a request from `peer` with these header lines is from, when 10.0.0.0/8 and fd00::/8 are trusted.
    fn from(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().expect("a range"), "fd00::/8".parse().expect("a range")];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().expect("a value"));
        }
        client(peer.parse().expect("an address"), &headers, &trusted).to_string()
    }

    #[test]
    fn a_peer_that_is_not_trusted_speaks_for_itself() {
        assert_eq!(from("192.0.2.1:4711", &["203.0.113.7"]), "192.0.2.1:4711");
        assert_eq!(from("192.0.2.1:4711", &["10.0.0.1"]), "192.0.2.1:4711");
        assert_eq!(from("11.0.0.0:1", &["203.0.113.7"]), "11.0.0.0:1", "one past the range");
    }

    #[test]
    fn the_right_most_entry_that_is_not_trusted_is_the_sender() {
        for (lines, expected) in [
            (&["203.0.113.7"][..], "203.0.113.7"),
            (&["198.51.100.9, 203.0.113.7"], "203.0.113.7"),
            (&["198.51.100.9,203.0.113.7, 10.1.2.3 ,10.9.9.9"], "203.0.113.7"),
            (&["198.51.100.9", "203.0.113.7, 10.1.2.3"], "203.0.113.7"),
            (&["203.0.113.7", "10.1.2.3", "fd00::1"], "203.0.113.7"),
            (&["203.0.113.7:5000"], "203.0.113.7:5000"),
            (&["[2001:db8::1]:5000"], "[2001:db8::1]:5000"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7, ::ffff:10.1.2.3"], "203.0.113.7"),
        ] {
            assert_eq!(from("10.0.0.1:9", lines), expected, "{lines:?}");
            assert_eq!(from("[fd00::9]:9", lines), expected, "{lines:?}");
        }
        assert_eq!(from("[::ffff:10.0.0.1]:9", &["203.0.113.7"]), "203.0.113.7", "an IPv4 peer on an IPv6 socket");
    }

    #[test]
    fn where_nothing_more_is_known_the_last_good_entry_is_the_sender() {
        for (lines, expected) in [
            (&[][..], "10.0.0.1:9"),
            (&[""], "10.0.0.1:9"),
            (&["unknown"], "10.0.0.1:9"),
            (&["203.0.113.7, unknown"], "10.0.0.1:9"),
            (&["203.0.113.7, unknown, 10.1.2.3"], "10.1.2.3"),
            (&["203.0.113.7,, 10.1.2.3"], "10.1.2.3"),
            (&["203.0.113.256"], "10.0.0.1:9"),
            (&["203.0.113.07"], "10.0.0.1:9"),
            (&["203.0.113.7 10.0.0.2"], "10.0.0.1:9"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ] {
            assert_eq!(from("10.0.0.1:9", lines), expected, "{lines:?}");
        }
    }
}
