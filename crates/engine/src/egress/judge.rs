//! The judge of addresses: numbers in, permitted or refused out.
//! Resolves nothing and dials nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// An address that must not be reached, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address {address} is not permitted: {reason}")]
pub struct Blocked {
    /// The address as it was given, not as it was unwrapped.
    pub address: IpAddr,
    /// What kind of address it is.
    pub reason: &'static str,
}

/// Permits `address` if it is public, or if `allow` contains it.
///
/// An IPv6 address that carries an IPv4 address (v4-mapped, v4-compatible, v4-translated, NAT64, 6to4, Teredo) leads
/// to what it carries, so the carried address is judged, and only an entry of `allow` that contains the carried address
/// can permit it. Of these forms only v4-mapped and the well-known NAT64 prefix reach public hosts; the
/// others are besides judged as they stand, and so need an entry of their own.
///
/// # Errors
///
/// [`Blocked`] for every block of the IANA special-purpose registries (those that are formally reachable, such as the
/// AS112 sinks, included: nobody receives webhooks there), for multicast, for anything in IPv6 outside `2000::/3`, and for
/// the one public address that cloud machines reach privileged services on.
pub fn judge(address: IpAddr, allow: &[IpNet]) -> Result<(), Blocked> {
    let blocked = |reason| Blocked { address, reason };
    match address {
        IpAddr::V4(v4) => judge_v4(v4, allow).map_err(blocked),
        IpAddr::V6(v6) => {
            let carried = Carried::of(v6);
            for v4 in carried.addresses.into_iter().flatten() {
                judge_v4(v4, allow).map_err(blocked)?;
            }
            if carried.leads_to_public_hosts { Ok(()) } else { judge_v6(v6, allow).map_err(blocked) }
        }
    }
}

/// Permits the ports of the web: 80, 443 and everything above 1023. Others only where `allow` contains the address, so
/// that the gateway cannot be made to talk to a mail server or a shell.
pub(super) fn judge_port(address: IpAddr, port: u16, allow: &[IpNet]) -> Result<(), Blocked> {
    if is_web_port(port) || allow.iter().any(|net| net.contains(&address)) {
        return Ok(());
    }
    Err(Blocked { address, reason: "its port is neither 80, 443 nor above 1023" })
}

pub(super) fn is_web_port(port: u16) -> bool {
    matches!(port, 80 | 443 | 1024..)
}

fn judge_v4(address: Ipv4Addr, allow: &[IpNet]) -> Result<(), &'static str> {
    if allow.iter().any(|net| net.contains(&IpAddr::V4(address))) {
        return Ok(());
    }
    match SPECIAL_V4.iter().find(|(net, _)| net.contains(&address)) {
        Some((_, reason)) => Err(reason),
        None => Ok(()),
    }
}

fn judge_v6(address: Ipv6Addr, allow: &[IpNet]) -> Result<(), &'static str> {
    if allow.iter().any(|net| net.contains(&IpAddr::V6(address))) {
        return Ok(());
    }
    match SPECIAL_V6.iter().find(|(net, _)| net.contains(&address)) {
        Some((_, reason)) => Err(reason),
        None if GLOBAL_UNICAST.contains(&address) => Ok(()),
        None => Err("not global unicast"),
    }
}

/// The IPv4 addresses inside an IPv6 address.
struct Carried {
    addresses: [Option<Ipv4Addr>; 2],
    /// Whether the form is an ordinary way to a public host, so that nothing but the carried address matters.
    leads_to_public_hosts: bool,
}

impl Carried {
    fn of(address: Ipv6Addr) -> Self {
        let s = address.segments();
        let last = v4(s[6], s[7]);
        let (first, second, leads_to_public_hosts) = match s {
            // Loopback and unspecified look v4-compatible, but are addresses of their own.
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => (None, None, false),
            // v4-mapped (RFC 4291): the operating system dials IPv4.
            [0, 0, 0, 0, 0, 0xffff, ..] => (Some(last), None, true),
            // NAT64, well-known prefix (RFC 6052).
            [0x64, 0xff9b, 0, 0, 0, 0, ..] => (Some(last), None, true),
            // v4-compatible (RFC 4291, deprecated) and v4-translated (RFC 2765).
            [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => (Some(last), None, false),
            // NAT64, local use (RFC 8215), read as a /96; other lengths cannot be told from outside.
            [0x64, 0xff9b, 1, ..] => (Some(last), None, false),
            // 6to4 (RFC 3056).
            [0x2002, high, low, ..] => (Some(v4(high, low)), None, false),
            // Teredo (RFC 4380): the server, and the client with every bit flipped.
            [0x2001, 0, high, low, ..] => (Some(v4(high, low)), Some(v4(!s[6], !s[7])), false),
            _ => (None, None, false),
        };
        Self { addresses: [first, second], leads_to_public_hosts }
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

const fn net4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn net6(head: [u16; 4], tail: [u16; 4], length: u8) -> Ipv6Net {
    let ([a, b, c, d], [e, f, g, h]) = (head, tail);
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length)
}

/// The IANA IPv4 special-purpose address registry, multicast, and Azure's platform address.
const SPECIAL_V4: [(Ipv4Net, &str); 19] = [
    (net4(0, 0, 0, 0, 8), "this network"),
    (net4(10, 0, 0, 0, 8), "private"),
    (net4(100, 64, 0, 0, 10), "shared by carriers"),
    (net4(127, 0, 0, 0, 8), "loopback"),
    (net4(168, 63, 129, 16, 32), "a cloud platform's own services"),
    (net4(169, 254, 0, 0, 16), "link-local"),
    (net4(172, 16, 0, 0, 12), "private"),
    (net4(192, 0, 0, 0, 24), "protocol assignments"),
    (net4(192, 0, 2, 0, 24), "documentation"),
    (net4(192, 31, 196, 0, 24), "AS112 sink"),
    (net4(192, 52, 193, 0, 24), "multicast tunnelling"),
    (net4(192, 88, 99, 0, 24), "6to4 relay"),
    (net4(192, 168, 0, 0, 16), "private"),
    (net4(192, 175, 48, 0, 24), "AS112 sink"),
    (net4(198, 18, 0, 0, 15), "benchmarking"),
    (net4(198, 51, 100, 0, 24), "documentation"),
    (net4(203, 0, 113, 0, 24), "documentation"),
    (net4(224, 0, 0, 0, 4), "multicast"),
    (net4(240, 0, 0, 0, 4), "reserved"),
];

/// What IANA has given out for hosts on the public internet.
const GLOBAL_UNICAST: Ipv6Net = net6([0x2000, 0, 0, 0], [0; 4], 3);

/// The IANA IPv6 special-purpose address registry. Blocks outside `2000::/3` are here for a reason that can be read.
const SPECIAL_V6: [(Ipv6Net, &str); 18] = [
    (net6([0; 4], [0; 4], 128), "unspecified"),
    (net6([0; 4], [0, 0, 0, 1], 128), "loopback"),
    (net6([0; 4], [0; 4], 96), "v4-compatible"),
    (net6([0; 4], [0xffff, 0, 0, 0], 96), "v4-translated"),
    (net6([0x64, 0xff9b, 1, 0], [0; 4], 48), "local NAT64"),
    (net6([0x100, 0, 0, 0], [0; 4], 64), "discard"),
    (net6([0x100, 0, 0, 1], [0; 4], 64), "dummy"),
    (net6([0x2001, 0, 0, 0], [0; 4], 32), "Teredo tunnel"),
    (net6([0x2001, 0, 0, 0], [0; 4], 23), "protocol assignments"),
    (net6([0x2001, 0xdb8, 0, 0], [0; 4], 32), "documentation"),
    (net6([0x2002, 0, 0, 0], [0; 4], 16), "6to4 tunnel"),
    (net6([0x2620, 0x4f, 0x8000, 0], [0; 4], 48), "AS112 sink"),
    (net6([0x3fff, 0, 0, 0], [0; 4], 20), "documentation"),
    (net6([0x5f00, 0, 0, 0], [0; 4], 16), "segment routing"),
    (net6([0xfc00, 0, 0, 0], [0; 4], 7), "private"),
    (net6([0xfe80, 0, 0, 0], [0; 4], 10), "link-local"),
    (net6([0xfec0, 0, 0, 0], [0; 4], 10), "site-local"),
    (net6([0xff00, 0, 0, 0], [0; 4], 8), "multicast"),
];
