//! What a configuration may not say because it would be dangerous, or could only be a mistake.

use std::time::Duration;

use hookward_engine::model::Limits;

use super::{parse, problems};

fn destination(rest: &str) -> String {
    format!("[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"https://x.test/\"\n{rest}\n")
}

#[test]
fn all_addresses_are_reached_only_by_saying_so_twice() {
    let problem = "`0.0.0.0/0` would let destinations reach this machine and every network it is in; if that is meant, say `allow_everything = true` in [egress]";
    let egress = |rest: &str| format!("[egress]\nallow = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n{rest}\n");
    assert_eq!(problems(&egress("")), format!("hookward.toml:2:24: {problem}"));
    assert_eq!(problems(&destination("allow_addresses = [\"0.0.0.0/0\"]")), format!("hookward.toml:5:20: {problem}"));
    let config = parse(&egress("allow_everything = true")).unwrap();
    assert!(config.settings.egress_allow_everything && config.settings.egress_allow.len() == 2);
    // As wide as private ranges are, and one bit wider.
    for (range, fits) in [("10.0.0.0/8", true), ("10.0.0.0/7", false), ("fc00::/7", true), ("fc00::/6", false)] {
        assert_eq!(parse(&format!("[egress]\nallow = [\"{range}\"]\n")).is_ok(), fits, "{range}");
        assert_eq!(parse(&format!("[public]\ntrusted_proxies = [\"{range}\"]\n")).is_ok(), fits, "{range}");
    }
}

#[test]
fn a_head_is_published_now_and_then_or_not_at_all() {
    assert_eq!(parse("").unwrap().settings.publish_head, None);
    for (every, fits) in [("1m", true), ("30d", true), ("59s", false), ("31d", false)] {
        assert_eq!(parse(&format!("[audit]\npublish_head = \"{every}\"\n")).is_ok(), fits, "{every}");
    }
    insta::assert_snapshot!(problems("[audit]\npublish_head = \"5s\"\n"), @"hookward.toml:2:16: `publish_head` is 1m to 30d; leave it out to publish none");
    insta::assert_snapshot!(problems("[audit]\npublish_heads = \"1h\"\n"), @"hookward.toml:2:1: unknown key `publish_heads` in [audit]; did you mean `publish_head`?");
}

#[test]
fn keys_begin_with_what_is_written_in_plain_letters() {
    assert_eq!(parse("").unwrap().settings.key_prefix, None);
    for (prefix, fits) in [("q", true), ("qlens", true), ("a123456789012345", true), ("a1234567890123456", false)] {
        assert_eq!(parse(&format!("[admin]\nkey_prefix = \"{prefix}\"\n")).is_ok(), fits, "{prefix}");
    }
    for prefix in ["", "qlens_", "QLens", "é"] {
        assert!(parse(&format!("[admin]\nkey_prefix = \"{prefix}\"\n")).is_err(), "{prefix}");
    }
    insta::assert_snapshot!(problems("[admin]\nkey_prefix = \"qlens_\"\n"), @"hookward.toml:2:14: `key_prefix` is 1 to 16 characters of `a-z 0-9`; a `_` follows it");
    insta::assert_snapshot!(problems("[admin]\nkey_prefi = \"q\"\n"), @"hookward.toml:2:1: unknown key `key_prefi` in [admin]; did you mean `key_prefix`?");
}

#[test]
fn not_everybody_is_a_proxy() {
    insta::assert_snapshot!(problems("[public]\ntrusted_proxies = [\"::/0\"]\n"), @"hookward.toml:2:20: anybody could speak for anybody: `::/0` is wider than any network of proxies");
}

#[test]
fn an_attempt_has_time_and_an_end() {
    for (timeout, fits) in [("1ms", true), ("10m", true), ("601s", false), ("24h", false), ("0s", false)] {
        assert_eq!(parse(&destination(&format!("timeout = \"{timeout}\""))).is_ok(), fits, "{timeout}");
    }
    let program = |timeout: &str| {
        format!("[[destination]]\nname = \"a\"\ntype = \"command\"\nargv = [\"x\"]\ntimeout = \"{timeout}\"\n")
    };
    assert!(parse(&program("12h")).is_ok());
    insta::assert_snapshot!(problems(&program("24h")), @"hookward.toml:5:11: `timeout` of a destination of this type is at most 12h");
}

#[test]
fn waits_do_not_get_shorter() {
    let retry = |waits: &str| destination(&format!("retry = {{ waits = {waits} }}"));
    assert!(parse(&retry("[\"0s\", \"0s\", \"5s\", \"5s\"]")).is_ok());
    insta::assert_snapshot!(problems(&retry("[\"5s\", \"4s\"]")), @"hookward.toml:5:26: a wait is not shorter than the one before it");
    let many = |count: usize| retry(&format!("[{}]", vec!["\"1s\""; count].join(", ")));
    assert!(parse(&many(100)).is_ok());
    insta::assert_snapshot!(problems(&many(101)), @"hookward.toml:5:19: a schedule has at most 100 waits");
}

#[test]
fn headers_are_counted() {
    let set = |count: usize| {
        let headers: Vec<String> = (0..count).map(|number| format!("\"X-{number}\" = \"1\"")).collect();
        destination(&format!("set_headers = {{ {} }}", headers.join(", ")))
    };
    assert!(parse(&set(64)).is_ok());
    insta::assert_snapshot!(problems(&set(65)), @"hookward.toml:5:15: `set_headers` has at most 64");
    let forward = |count: usize| destination(&format!("forward_headers = [{}]", vec!["\"X\""; count].join(", ")));
    assert!(parse(&forward(64)).is_ok());
    insta::assert_snapshot!(problems(&forward(65)), @"hookward.toml:5:19: `forward_headers` has at most 64");
    let ids = |count: usize| {
        let names = vec!["\"X-Id\""; count].join(", ");
        format!("[[source]]\nname = \"a\"\nunsigned = true\ndedup = {{ id_headers = [{names}] }}\n")
    };
    assert!(parse(&ids(16)).is_ok());
    assert!(problems(&ids(17)).ends_with("`id_headers` has at most 16"));
}

#[test]
fn nothing_is_interpolated() {
    let told = "`${…}` is not replaced in this file; a whole value can be \"env:NAME\", where it says so";
    let url = "[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"https://${HOST}/\"\n";
    assert_eq!(problems(url), format!("hookward.toml:4:7: this url cannot be used: {told}"));
    assert_eq!(problems("data = \"${HOME}/data\"\n"), format!("hookward.toml:1:8: {told}"));
    let header = destination("set_headers = { \"X-Key\" = \"${KEY}\" }");
    assert_eq!(problems(&header), format!("hookward.toml:5:27: {told}"));
    let secret = "[[source]]\nname = \"a\"\nscheme = \"github\"\nsecret = \"${SECRET}\"\n";
    assert!(problems(secret).starts_with("hookward.toml:4:10: a secret does not stand in this file"));
}

#[test]
fn a_window_covers_twice_the_tolerance_even_when_nobody_chose_it() {
    let text = |tolerance: u64, dedup: &str| {
        format!(
            "[[scheme]]\nname = \"own\"\ntitle = \"Own\"\ndocs = \"https://own.test\"\n[[scheme.proof]]\nalgorithm = \"hmac-sha256\"\n\
             key = {{ generate = {{ bytes = 32, encoding = \"hex\" }} }}\nsignature = {{ at = [\"header:x-signature\"], encodings = [\"hex\"] }}\n\
             content = \"{{timestamp}}.{{body}}\"\ntimestamp = {{ at = \"header:x-timestamp\", unit = \"s\", tolerance_s = {tolerance} }}\n\
             [[source]]\nname = \"a\"\nscheme = \"own\"\n{dedup}"
        )
    };
    assert!(parse(&text(600, "dedup = { window = \"1200s\" }")).is_ok());
    let short = problems(&text(600, "dedup = { window = \"300s\" }"));
    assert!(short.ends_with("a window shorter than twice the scheme's tolerance (1200s) lets an old request in again"));
    assert!(parse(&text(15 * 86_400, "")).is_ok());
    assert!(problems(&text(15 * 86_400 + 1, "")).contains("a window shorter than twice"));
}

#[test]
fn sessions_do_not_cross_a_network_in_the_open() {
    let admin = |origin: &str| format!("[admin]\norigin = \"{origin}\"\n");
    for good in ["https://hooks.example.com", "http://127.0.0.1:8081", "http://[::1]:8081/", "http://localhost:8081"] {
        assert!(parse(&admin(good)).is_ok(), "{good}");
    }
    insta::assert_snapshot!(problems(&admin("http://hooks.example.com")), @"hookward.toml:2:10: `origin` of [admin] begins with `https://`: sessions would cross the network in the open");
    insta::assert_snapshot!(problems(&admin("https://hooks.example.com/x")), @r#"hookward.toml:2:10: `origin` is like "https://hooks.example.com": a scheme and a host, no path"#);
}

#[test]
fn the_parts_of_an_attempt_have_deadlines_within_its_own() {
    let config =
        parse(&destination("timeout = \"10s\"\nconnect_timeout = \"10s\"\nfirst_byte_timeout = \"300ms\"")).unwrap();
    let limits = &config.destinations[0].spec.limits;
    assert_eq!((limits.connect, limits.first_byte), (Some(Duration::from_secs(10)), Some(Duration::from_millis(300))));
    assert_eq!(parse(&destination("")).unwrap().destinations[0].spec.limits, Limits::default());
    insta::assert_snapshot!(problems(&destination("timeout = \"10s\"\nconnect_timeout = \"11s\"")), @"hookward.toml:6:19: `connect_timeout` is at most the `timeout` of the whole attempt, which is 10s");
    insta::assert_snapshot!(problems(&destination("first_byte_timeout = \"0s\"")), @"hookward.toml:5:22: `first_byte_timeout` must be longer than zero");
    insta::assert_snapshot!(problems(&destination("conect_timeout = \"1s\"")).lines().next().unwrap(), @"hookward.toml:5:1: unknown key `conect_timeout` in [[destination]]; did you mean `connect_timeout`?");
    let command = "[[destination]]\nname = \"a\"\ntype = \"command\"\nargv = [\"true\"]\nconnect_timeout = \"1s\"\n";
    insta::assert_snapshot!(problems(command), @"hookward.toml:5:19: a destination of type `command` has no `connect_timeout`");
}

#[test]
fn a_lease_leaves_time_to_write_down_how_an_attempt_ended() {
    let margin =
        |text: &str| parse(&format!("[limits]\nlease_margin = \"{text}\"")).map(|it| it.settings.limits.lease_margin);
    assert_eq!(parse("").unwrap().settings.limits.lease_margin, Duration::from_secs(30));
    assert_eq!(margin("1s").unwrap(), Duration::from_secs(1));
    insta::assert_snapshot!(margin("999ms").unwrap_err(), @"hookward.toml:2:16: `lease_margin` is at least 1s: the end of an attempt has to be written down in it");
}

#[test]
fn a_url_that_nothing_could_be_delivered_to_is_a_mistake() {
    let to =
        |url: &str, rest: &str| format!("[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"{url}\"\n{rest}\n");
    insta::assert_snapshot!(problems(&to("http://127.0.0.1:9000/", "")), @"hookward.toml:4:7: this url cannot be used: the address 127.0.0.1 is not permitted: loopback");
    insta::assert_snapshot!(problems(&to("http://metadata/", "")), @"hookward.toml:4:7: this url cannot be used: the host is a single word, which names nothing public; it needs an address range that is allowed");
    for allowed in ["allow_addresses = [\"127.0.0.0/8\"]", "[egress]\nallow = [\"127.0.0.0/8\"]"] {
        assert!(parse(&to("http://127.0.0.1:9000/", allowed)).is_ok(), "{allowed}");
    }
    let report = "[[destination]]\nname = \"r\"\ntype = \"report\"\nof = \"a\"\nprovider = \"github\"\ntoken = \"env:TOKEN\"\nstatus = \"x\"\napi = \"https://10.0.0.1/\"\n";
    assert!(
        problems(&format!("{}{report}", destination(""))).contains("this `api` cannot be used: the address 10.0.0.1")
    );
}
