//! Tests of `egress/url.rs`.

use hookward_engine::egress::{Endpoint, Host, URL_MAX, UrlProblem};
use proptest::prelude::*;

#[test]
fn a_sound_url_is_taken_apart() {
    let cases = [
        ("http://example.com", "example.com", 80),
        ("https://Example.COM/a?b=c", "example.com", 443),
        ("HTTPS://example.com:8443/", "example.com", 8443),
        ("https://example.com./", "example.com.", 443),
        ("https://example.com?token=abc", "example.com", 443),
        ("http://a_b.example/", "a_b.example", 80),
        ("http://xn--bcher-kva.example/%C3%BC", "xn--bcher-kva.example", 80),
        ("http://93.184.216.34:80/", "93.184.216.34", 80),
        ("http://[2606:4700::1111]:81/", "2606:4700::1111", 81),
        ("http://[::ffff:127.0.0.1]/", "::ffff:127.0.0.1", 80),
        ("http://10.example/", "10.example", 80),
    ];
    for (url, host, port) in cases {
        let endpoint = Endpoint::parse(url).unwrap_or_else(|problem| panic!("{url}: {problem}"));
        assert_eq!((endpoint.host().to_string().as_str(), endpoint.port()), (host, port), "{url}");
        assert_eq!(matches!(endpoint.host(), Host::Address(_)), host.parse::<std::net::IpAddr>().is_ok(), "{url}");
    }
}

#[test]
fn every_other_url_is_refused_for_its_reason() {
    use UrlProblem::{Character, Fragment, Host, Length, NumericHost, Path, Port, Scheme, UserInfo};
    let long_label = format!("https://{}.example/", "a".repeat(64));
    let long_name = format!("https://{}example/", "abcdefghi.".repeat(25));
    let cases = [
        ("", Length),
        ("example.com", Scheme),
        ("file:///etc/passwd", Scheme),
        ("ldap://127.0.0.1/", Scheme),
        ("ws://example.com/", Scheme),
        ("http+unix://%2Fvar%2Frun%2Fdocker.sock/", Scheme),
        ("data:text/plain,x", Scheme),
        ("http:127.0.0.1", Scheme),
        (" http://example.com/", Character),
        ("https://exa mple.com/", Character),
        ("https://example.com/\r\nX: y", Character),
        ("http://127.0.0.1:80\t@example.com/", Character),
        ("http://example.com\\@127.0.0.1/", Character),
        ("http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", Character),
        ("http://127\u{3002}0\u{3002}0\u{3002}1/", Character),
        ("https://", Host),
        ("http:///127.0.0.1/", Host),
        ("https://:443/", Host),
        ("https://?x", Host),
        ("https://a..b/", Host),
        ("https://.example/", Host),
        ("https://-bad-.example/", Host),
        (long_label.as_str(), Host),
        (long_name.as_str(), Host),
        ("http://%31%32%37.0.0.1/", Host),
        ("http://[::1/", Host),
        ("http://[::1]x/", Host),
        ("http://[fe80::1%25lo]/", Host),
        ("http://[127.0.0.1]/", Host),
        ("http://2130706433/", NumericHost),
        ("http://0x7f000001/", NumericHost),
        ("http://0x7f.0.0.1/", NumericHost),
        ("http://0177.0.0.1/", NumericHost),
        ("http://017700000001/", NumericHost),
        ("http://127.0.0.1./", NumericHost),
        ("http://127.000.000.001/", NumericHost),
        ("http://127.1/", NumericHost),
        ("http://0/", NumericHost),
        ("http://1.2.3.256/", NumericHost),
        ("http://a.0xA9FEA9FE/", NumericHost),
        ("https://user:pass@example.com/", UserInfo),
        ("http://1.1.1.1@127.0.0.1/", UserInfo),
        ("http://@example.com/", UserInfo),
        ("http://127.0.0.1#@example.com/", Fragment),
        ("https://example.com/#", Fragment),
        ("https://example.com:0/", Port),
        ("https://example.com:65536/", Port),
        ("https://example.com:/", Port),
        ("https://example.com:+80/", Port),
        ("https://example.com:80:80/", Port),
        ("https://example.com/a<b", Path),
    ];
    for (url, problem) in cases {
        assert_eq!(Endpoint::parse(url).map(|_| ()), Err(problem), "{url:?}");
    }
}

#[test]
fn a_url_has_a_greatest_length() {
    let url = |length: usize| format!("http://example.com/{}", "a".repeat(length - "http://example.com/".len()));
    assert!(Endpoint::parse(&url(URL_MAX)).is_ok());
    assert_eq!(Endpoint::parse(&url(URL_MAX + 1)), Err(UrlProblem::Length));
}

#[test]
fn a_url_is_never_printed_whole() {
    let endpoint = Endpoint::parse("https://example.com/hook?token=abc").unwrap();
    assert_eq!(format!("{endpoint:?}"), "Endpoint(https://example.com:443)");
}

proptest! {
    /// Whatever is accepted, the client that dials reads the same host and port in it.
    #[test]
    fn two_readers_agree(url in "https?://[a-z0-9.:@\\[\\]/?%_x-]{1,40}") {
        if let Ok(endpoint) = Endpoint::parse(&url) {
            let uri = endpoint.uri();
            let host = uri.host().unwrap().trim_matches(['[', ']']);
            match endpoint.host() {
                Host::Address(address) => prop_assert_eq!(host.parse::<std::net::IpAddr>().unwrap(), *address),
                Host::Name(name) => prop_assert_eq!(host, name),
            }
            prop_assert_eq!(uri.port_u16().unwrap_or(if url.starts_with("https") { 443 } else { 80 }), endpoint.port());
        }
    }

    #[test]
    fn no_text_makes_it_panic(url in "\\PC*", tail in "[\\x00-\\x7f]{0,30}") {
        let _ = Endpoint::parse(&url);
        let _ = Endpoint::parse(&format!("http://{url}"));
        let _ = Endpoint::parse(&format!("http://{tail}"));
    }
}
