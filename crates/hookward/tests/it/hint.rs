//! Tests of the hint: what it reads, what counts as absent, and its limits.

use hookward::{Hint, MAX_HINT, MAX_HINT_DEPTH, MAX_HINT_SCAN};
use proptest::prelude::*;

const FORM: Option<&[u8]> = Some(b"application/x-www-form-urlencoded; charset=utf-8");

fn read(pointer: &str, body: impl AsRef<[u8]>) -> Option<String> {
    Hint::new(pointer).unwrap().read(Some(b"application/json"), body.as_ref())
}

fn repository(content_type: Option<&[u8]>, body: impl AsRef<[u8]>) -> Option<String> {
    Hint::new("/repository/full_name").unwrap().read(content_type, body.as_ref())
}

#[test]
fn a_hint_is_a_string_or_an_integer_where_the_pointer_says() {
    for (pointer, body, expected) in [
        ("/a/b", r#"{"x":[{"a":1}],"a":{"c":2,"b":"v"}}"#, Some("v")),
        ("/a/1", r#"{"a":["v","w"]}"#, Some("w")),
        ("/id", r#"{"id":42}"#, Some("42")),
        ("/id", r#"{"id":-7}"#, Some("-7")),
        ("/a~1b", r#"{"a/b":"v"}"#, Some("v")),
        ("/a", r#"{"a":"\u0061\/b"}"#, Some("a/b")),
        ("/", r#"{"":"v"}"#, Some("v")),
        ("/a", r#"{"a":""}"#, Some("")),
        ("/a", r#"{"b":"v"}"#, None),
        ("/a", r#"{"a":{"a":"v"}}"#, None),
        ("/a", r#"{"a":1.5}"#, None),
        ("/a", r#"{"a":true}"#, None),
        ("/a", r#"{"a":null}"#, None),
        ("/a/b", r#"{"a":"v"}"#, None),
        ("/a", r#""a""#, None),
        ("/a", "", None),
        ("/a", "payload=%7B%22a%22%3A1%7D", None),
    ] {
        assert_eq!(read(pointer, body).as_deref(), expected, "{pointer} in {body}");
    }
}

#[test]
fn the_first_value_counts_and_what_follows_may_be_anything() {
    assert_eq!(read("/a", r#"{"a":"first","a":"second"}"#).as_deref(), Some("first"));
    assert_eq!(read("/a", r#"{"a":{},"a":"second"}"#).as_deref(), Some("second"));
    assert_eq!(read("/a", b"{\"a\":\"v\",\xff\xfe").as_deref(), Some("v"));
    assert_eq!(read("/a", r#"{"b" "a":"v"}"#), None);
    assert_eq!(read("/a", b"{\"a\":\"\xff\"}"), None);
}

#[test]
fn a_form_carries_its_json_in_the_field_payload() {
    let json = "%7B%22repository%22%3A%7B%22full_name%22%3A%22acme%2Fweb%22%2C+%22x%22%3A1%7D%7D";
    assert_eq!(repository(FORM, format!("payload={json}")).as_deref(), Some("acme/web"));
    assert_eq!(repository(FORM, format!("x=1&payload={json}&payload=%7B%7D")).as_deref(), Some("acme/web"));
    assert_eq!(repository(FORM, format!("payload=%7B%7D&payload={json}")), None, "the first one counts");
    assert_eq!(repository(FORM, format!("xpayload={json}&payloads={json}")), None);
    assert_eq!(repository(FORM, r#"{"repository":{"full_name":"acme/web"}}"#), None, "it says that it is a form");
    assert_eq!(repository(None, r#"{"repository":{"full_name":"acme/web"}}"#).as_deref(), Some("acme/web"));
    assert_eq!(repository(None, format!("payload={json}")), None, "it does not say that it is a form");
}

#[test]
fn a_value_at_the_limit_is_read_and_one_byte_more_is_not() {
    let body = |len: usize| format!(r#"{{"a":"{}"}}"#, "v".repeat(len));
    assert_eq!(read("/a", body(MAX_HINT)).map(|value| value.len()), Some(MAX_HINT));
    assert_eq!(read("/a", body(MAX_HINT + 1)), None);
}

#[test]
fn a_value_that_ends_at_the_limit_of_the_scan_is_read_and_one_byte_later_is_not() {
    let body = |at: usize, value: &str| {
        let (open, member) = (r#"{"b":""#, format!(r#"","a":{value}"#));
        format!("{open}{}{member},{}", "x".repeat(at - open.len() - member.len()), "\"c\":0}".repeat(3))
    };
    assert_eq!(read("/a", body(MAX_HINT_SCAN, "\"v\"")).as_deref(), Some("v"));
    assert_eq!(read("/a", body(MAX_HINT_SCAN + 1, "\"v\"")), None);
    assert_eq!(read("/a", body(MAX_HINT_SCAN - 1, "1234")).as_deref(), Some("1234"));
    for past in 0..4 {
        assert_eq!(read("/a", body(MAX_HINT_SCAN + past, "1234")), None, "a number cut short is no number");
    }
}

#[test]
fn a_pointer_has_a_form_and_a_depth() {
    let deep = |depth: usize| "/a".repeat(depth);
    assert!(Hint::new(&deep(MAX_HINT_DEPTH)).is_ok());
    assert_eq!(
        Hint::new(&deep(MAX_HINT_DEPTH + 1)).unwrap_err().to_string(),
        format!("the JSON pointer `{}` is deeper than 16", deep(MAX_HINT_DEPTH + 1))
    );
    assert_eq!(Hint::new("a").unwrap_err().to_string(), "the JSON pointer `a` must begin with `/`");
    assert!(Hint::new("").is_err());
}

#[test]
fn a_body_as_deep_as_it_is_long_costs_nothing() {
    let depth = MAX_HINT_SCAN - 100;
    let body = format!(r#"{{"deep":{}{},"a":"v"}}"#, "[".repeat(depth / 2), "]".repeat(depth / 2));
    assert_eq!(read("/a", body).as_deref(), Some("v"));
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..200), form in any::<bool>()) {
        repository(form.then_some(FORM).flatten(), body);
    }
}
