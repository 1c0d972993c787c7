//! Tests of `egress/judge.rs`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hookward_engine::egress::judge;
use proptest::prelude::*;

use crate::support::outbound::nets;

fn permitted(address: &str, allow: &[&str]) -> bool {
    judge(address.parse().unwrap(), &nets(allow)).is_ok()
}

/// Forbidden blocks by their ends, with the permitted neighbour on each side where there is one.
#[test]
fn every_special_ipv4_block_is_refused_to_its_edges() {
    let cases = [
        (None, "0.0.0.0", "0.255.255.255", Some("1.0.0.0")),
        (Some("9.255.255.255"), "10.0.0.0", "10.255.255.255", Some("11.0.0.0")),
        (Some("100.63.255.255"), "100.64.0.0", "100.127.255.255", Some("100.128.0.0")),
        (Some("126.255.255.255"), "127.0.0.0", "127.255.255.255", Some("128.0.0.0")),
        (Some("168.63.129.15"), "168.63.129.16", "168.63.129.16", Some("168.63.129.17")),
        (Some("169.253.255.255"), "169.254.0.0", "169.254.255.255", Some("169.255.0.0")),
        (Some("172.15.255.255"), "172.16.0.0", "172.31.255.255", Some("172.32.0.0")),
        (Some("191.255.255.255"), "192.0.0.0", "192.0.0.255", Some("192.0.1.0")),
        (Some("192.0.1.255"), "192.0.2.0", "192.0.2.255", Some("192.0.3.0")),
        (Some("192.31.195.255"), "192.31.196.0", "192.31.196.255", Some("192.31.197.0")),
        (Some("192.52.192.255"), "192.52.193.0", "192.52.193.255", Some("192.52.194.0")),
        (Some("192.88.98.255"), "192.88.99.0", "192.88.99.255", Some("192.88.100.0")),
        (Some("192.167.255.255"), "192.168.0.0", "192.168.255.255", Some("192.169.0.0")),
        (Some("192.175.47.255"), "192.175.48.0", "192.175.48.255", Some("192.175.49.0")),
        (Some("198.17.255.255"), "198.18.0.0", "198.19.255.255", Some("198.20.0.0")),
        (Some("198.51.99.255"), "198.51.100.0", "198.51.100.255", Some("198.51.101.0")),
        (Some("203.0.112.255"), "203.0.113.0", "203.0.113.255", Some("203.0.114.0")),
        (Some("223.255.255.255"), "224.0.0.0", "255.255.255.255", None),
    ];
    for (before, first, last, after) in cases {
        assert!(!permitted(first, &[]), "{first}");
        assert!(!permitted(last, &[]), "{last}");
        for neighbour in [before, after].into_iter().flatten() {
            assert!(permitted(neighbour, &[]), "{neighbour}");
        }
    }
}

#[test]
fn every_special_ipv6_block_is_refused() {
    let refused = [
        "::",
        "::1",
        "::2",
        "100::1",
        "100:0:0:1::1",
        "64:ff9b:1::808:808",
        "64:ff9b:2::808:808",
        "1fff::1",
        "2001::1",
        "2001:1::1",
        "2001:1::2",
        "2001:2::1",
        "2001:3::1",
        "2001:4:112::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db8::1",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        "2620:4f:8000::1",
        "3fff::1",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "4000::1",
        "5f00::1",
        "fbff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "feff::1",
        "ff00::1",
        "ff02::1",
        "ff0e::1",
    ];
    for address in refused {
        assert!(!permitted(address, &[]), "{address}");
    }
    let public =
        ["2000::1", "2001:200::1", "2001:db7::1", "2001:db9::1", "2003::1", "2606:4700::1111", "2620:4f:8001::1"];
    for address in public.into_iter().chain(["2a00:1450:4001::2004", "3ffe::1", "3fff:1000::1"]) {
        assert!(permitted(address, &[]), "{address}");
    }
}

#[test]
fn an_address_inside_an_address_is_what_counts() {
    let inside_loopback = [
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::127.0.0.1",
        "2002:7f00:1::",
        "2002:7f00:1::5",
        "2001:0:7f00:1:0:0:f7f7:f7f7",
        "2001:0:808:808:0:0:80ff:fffe",
    ];
    for address in inside_loopback {
        assert!(!permitted(address, &[]), "{address}");
        let blocked = judge(address.parse().unwrap(), &[]).unwrap_err();
        assert_eq!(blocked.reason, "loopback", "{address}");
        assert_eq!(blocked.address, address.parse::<IpAddr>().unwrap());
    }
    assert!(permitted("::ffff:8.8.8.8", &[]));
    assert!(permitted("64:ff9b::8.8.8.8", &[]));
    for tunnel in
        ["::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b:1::8.8.8.8", "2002:808:808::1", "2001:0:808:808::f7f7:f7f7"]
    {
        assert!(!permitted(tunnel, &[]), "{tunnel} is not a public host's own address");
    }
}

#[test]
fn an_allowed_range_permits_its_own_addresses_only() {
    assert!(permitted("127.0.0.1", &["127.0.0.0/8"]));
    assert!(permitted("10.1.2.3", &["192.168.0.0/16", "10.1.0.0/16"]));
    assert!(!permitted("10.2.0.0", &["192.168.0.0/16", "10.1.0.0/16"]));
    assert!(permitted("::1", &["::1/128"]));
    assert!(permitted("fd00::1", &["fd00::/8"]));
    assert!(!permitted("fc00::1", &["fd00::/8"]));
    assert!(permitted("10.0.0.1", &["0.0.0.0/0"]));
    assert!(!permitted("127.0.0.1", &["::/0"]), "an IPv6 range says nothing about IPv4");
}

#[test]
fn an_embedded_address_is_allowed_as_the_embedded_one_only() {
    assert!(permitted("::ffff:10.0.0.1", &["10.0.0.0/8"]));
    assert!(permitted("64:ff9b::10.0.0.1", &["10.0.0.0/8"]));
    for address in ["::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1", "2002:a00:1::"] {
        assert!(!permitted(address, &["::/0"]), "{address}");
    }
    // A tunnel has to be allowed too.
    assert!(!permitted("2002:a00:1::", &["10.0.0.0/8"]));
    assert!(permitted("2002:a00:1::", &["10.0.0.0/8", "2002::/16"]));
    assert!(permitted("64:ff9b:1::8.8.8.8", &["64:ff9b:1::/48"]));
}

#[test]
fn a_refusal_names_the_address_and_the_reason() {
    let blocked = judge("169.254.169.254".parse().unwrap(), &[]).unwrap_err();
    assert_eq!(blocked.to_string(), "the address 169.254.169.254 is not permitted: link-local");
}

/// Every form that carries an IPv4 address: the head, and where in the 128 bits the address stands.
fn embeddings(v4: Ipv4Addr) -> [Ipv6Addr; 7] {
    let bits = u128::from(u32::from(v4));
    let head = |text: &str| u128::from(text.parse::<Ipv6Addr>().unwrap());
    [
        v4.to_ipv6_mapped().into(),
        head("::ffff:0:0:0") | bits,
        head("64:ff9b::") | bits,
        head("64:ff9b:1::") | bits,
        head("2002::") | bits << 80,
        head("2001:0:808:808::") | (!bits & 0xffff_ffff),
        head("2001::f7f7:f7f7") | bits << 64,
    ]
    .map(Ipv6Addr::from)
}

proptest! {
    #[test]
    fn a_forbidden_address_is_forbidden_in_every_disguise(bits: u32) {
        let v4 = Ipv4Addr::from(bits);
        let plain = judge(v4.into(), &[]);
        for disguised in embeddings(v4) {
            if plain.is_err() {
                prop_assert!(judge(disguised.into(), &[]).is_err(), "{disguised}");
                prop_assert!(judge(disguised.into(), &nets(&["::/0"])).is_err(), "{disguised}");
            }
            prop_assert!(judge(disguised.into(), &nets(&["::/0", "0.0.0.0/0"])).is_ok(), "{disguised}");
        }
        prop_assert_eq!(judge(v4.to_ipv6_mapped().into(), &[]).is_ok(), plain.is_ok());
    }

    /// Where the standard library has an opinion, nothing that it knows to be special is permitted.
    #[test]
    fn the_standard_library_agrees(bits: u32, wide: u128) {
        let v4 = Ipv4Addr::from(bits);
        let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_unspecified() || v4.is_multicast();
        prop_assert!(!special || judge(v4.into(), &[]).is_err());
        let v6 = Ipv6Addr::from(wide);
        let special = v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local()
            || v6.is_unicast_link_local();
        prop_assert!(!special || judge(v6.into(), &[]).is_err());
        prop_assert!(judge(v6.into(), &[]).is_err() || wide >> 125 == 1 || v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0]
            || v6.to_ipv4_mapped().is_some());
    }
}
