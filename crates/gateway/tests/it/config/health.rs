//! `rate`, `breaker` and `disable_after` of a destination.

use std::time::Duration;

use hookward_engine::model::{BreakerSpec, DestinationSpec, Health, Rate};

use super::{parse, problems};

fn table(kind: &str, rest: &str) -> String {
    let how = match kind {
        "http" => "url = \"https://x.test/\"\n",
        "command" => "argv = [\"x\"]\n",
        _ => "",
    };
    format!("[[destination]]\nname = \"a\"\ntype = \"{kind}\"\n{how}{rest}\n")
}

fn http(rest: &str) -> String {
    table("http", rest)
}

fn spec(text: &str) -> DestinationSpec {
    parse(text).unwrap().destinations.remove(0).spec
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_destination_that_says_nothing_has_a_breaker_and_an_end_and_no_rate() {
    let spec = spec(&http(""));
    let breaker = BreakerSpec {
        failure_percent: 50,
        min_attempts: 20,
        window: seconds(60),
        open_for: seconds(30),
        open_for_max: seconds(600),
        slow_start: seconds(60),
    };
    assert_eq!(spec.health, Health { breaker: Some(breaker), disable_after: Some(seconds(5 * 86_400)) });
    assert_eq!(spec.limits.rate, None);
}

#[test]
fn a_breaker_is_changed_in_part_or_done_without() {
    let changed = spec(&http("breaker = { failure_percent = 80, open_for = \"1h\", slow_start = \"0s\" }")).health;
    let (open_for, slow_start) = (seconds(3600), Duration::ZERO);
    let expected =
        BreakerSpec { failure_percent: 80, open_for, open_for_max: open_for, slow_start, ..BreakerSpec::default() };
    assert_eq!(changed.breaker, Some(expected));
    assert_eq!(spec(&http("breaker = true")).health, Health::default());
    let none = spec(&http("breaker = false\ndisable_after = false")).health;
    assert_eq!(none, Health { breaker: None, disable_after: None });
    for kind in ["command", "pull"] {
        assert_eq!(spec(&table(kind, "")).health, Health { breaker: None, disable_after: None }, "{kind}");
    }
}

#[test]
fn what_a_breaker_cannot_be_is_said() {
    insta::assert_snapshot!(problems(&http("breaker = { failure_percent = 0 }")), @"hookward.toml:5:31: `failure_percent` is 1 to 100");
    insta::assert_snapshot!(problems(&http("breaker = { min_attempts = 0 }")), @"hookward.toml:5:28: `min_attempts` is 1 to 1000000");
    insta::assert_snapshot!(problems(&http("breaker = { window = \"999ms\" }")), @"hookward.toml:5:22: `window` is 1s to 24h");
    insta::assert_snapshot!(problems(&http("breaker = { open_for = \"99ms\" }")), @"hookward.toml:5:24: `open_for` is 100ms to 24h");
    insta::assert_snapshot!(problems(&http("breaker = { open_for = \"10s\", open_for_max = \"9s\" }")), @"hookward.toml:5:46: `open_for_max` is not shorter than `open_for`");
    insta::assert_snapshot!(problems(&http("breaker = { slow_start = \"25h\" }")), @"hookward.toml:5:26: `slow_start` is at most 24h");
    insta::assert_snapshot!(problems(&http("breaker = { windw = \"1m\" }")), @"hookward.toml:5:13: unknown key `windw` in [[destination]]; did you mean `window`?");
    insta::assert_snapshot!(problems(&http("breaker = \"no\"")), @r#"hookward.toml:5:11: invalid type: string "no", expected false, or a table like { failure_percent = 50 }"#);
    insta::assert_snapshot!(problems(&table("command", "breaker = false")), @"hookward.toml:5:11: a destination of type `command` has no `breaker`");
    assert!(
        parse(&http("breaker = { failure_percent = 100, min_attempts = 1, window = \"1s\", open_for = \"100ms\" }"))
            .is_ok()
    );
}

#[test]
fn a_destination_is_disabled_after_a_while_or_never() {
    assert_eq!(spec(&http("disable_after = \"1m\"")).health.disable_after, Some(seconds(60)));
    insta::assert_snapshot!(problems(&http("disable_after = \"59s\"")), @"hookward.toml:5:17: `disable_after` is at least 1m, or false");
    insta::assert_snapshot!(problems(&http("disable_after = true")), @r#"hookward.toml:5:17: after how long, like "5d"?"#);
    insta::assert_snapshot!(problems(&http("disable_after = \"soon\"")), @r#"hookward.toml:5:17: `soon` is not a lapse of time: write one like "5d", or false"#);
    insta::assert_snapshot!(problems(&table("pull", "disable_after = \"5d\"")), @"hookward.toml:4:17: a destination of type `pull` has no `disable_after`");
}

#[test]
fn a_rate_is_smooth_unless_it_says_otherwise() {
    let rate = |requests, per, burst| Some(Rate { requests, per, burst });
    let read = |text: &str| spec(&http(&format!("rate = {{ {text} }}"))).limits.rate;
    assert_eq!(read("requests = 10, per = \"1s\""), rate(10, seconds(1), 1));
    assert_eq!(read("requests = 39, per = \"1s\""), rate(39, seconds(1), 1));
    assert_eq!(read("requests = 1000, per = \"1s\""), rate(1000, seconds(1), 50));
    assert_eq!(read("requests = 5, per = \"1ms\""), rate(5, Duration::from_millis(1), 5));
    assert_eq!(read("requests = 10, per = \"1m\", burst = 3"), rate(10, seconds(60), 3));
    insta::assert_snapshot!(problems(&http("rate = { requests = 0, per = \"1s\" }")), @"hookward.toml:5:21: `requests` is 1 to 1000000");
    insta::assert_snapshot!(problems(&http("rate = { requests = 1, per = \"0s\" }")), @"hookward.toml:5:30: `per` must be longer than zero");
    insta::assert_snapshot!(problems(&http("rate = { requests = 1, per = \"1s\", burst = 0 }")), @"hookward.toml:5:44: `burst` is 1 to 1000000");
    insta::assert_snapshot!(problems(&http("rate = { request = 1, per = \"1s\" }")), @"hookward.toml:5:10: unknown key `request` in [[destination]]; did you mean `requests`?");
    insta::assert_snapshot!(problems(&table("pull", "rate = { requests = 1, per = \"1s\" }")), @"hookward.toml:4:21: a destination of type `pull` has no `rate`: its consumers have their own");
}
