//! What expressions say, what they may not, and what the worst bodies and texts cost.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::clock::{Clock, SystemClock};

fn subject(body: impl Into<Bytes>) -> Subject {
    Subject {
        event: "push".to_owned(),
        source: "github".to_owned(),
        headers: vec![
            ("content-type".to_owned(), Bytes::from_static(b"application/json")),
            ("x-one".to_owned(), Bytes::from_static(b"first")),
            ("x-one".to_owned(), Bytes::from_static(b"second")),
        ],
        body: body.into(),
    }
}

fn form(body: &str) -> Subject {
    let mut subject = subject(body.to_owned());
    subject.headers[0].1 = Bytes::from_static(b"application/x-www-form-urlencoded; charset=utf-8");
    subject
}

fn value(text: &str, subject: &Subject) -> Result<serde_json::Value, Failure> {
    Expression::compile(text).unwrap_or_else(|error| panic!("{text}: {error}")).evaluate(&mut subject.view(), ALLOWANCE)
}

const PUSH: &str = r#"{
    "ref": "refs/heads/main", "repository": { "default_branch": "main", "full_name": "acme/web" },
    "commits": [ { "id": "a", "added": ["x.rs", "y.md"] }, { "id": "b", "added": [] } ],
    "number": 7, "big": 18446744073709551615, "half": 0.5, "none": null, "twice": 1, "twice": 2, "q": "say \"hi\""
}"#;

#[test]
fn an_expression_sees_type_source_headers_and_body() {
    let push = subject(PUSH);
    for (text, expected) in [
        (r#"event == "push" && body.ref == "refs/heads/" + body.repository.default_branch"#, json!(true)),
        (r#"event == "push" && body.ref == "refs/heads/trunk""#, json!(false)),
        (r#"source == "github" && headers["x-one"] == "first""#, json!(true)),
        (r#""x-two" in headers"#, json!(false)),
        ("has(body.number) && !has(body.nothing)", json!(true)),
        ("body.number + 1", json!(8)),
        ("body.number == 7.0 && body.big > 7", json!(true)),
        ("body.half", json!(0.5)),
        ("body.none == null", json!(true)),
        ("body.twice", json!(2)),
        ("body.q", json!("say \"hi\"")),
        (r#"body.commits.exists(c, c.added.exists(f, f.endsWith(".md")))"#, json!(true)),
        ("body.commits.map(c, c.id)", json!(["a", "b"])),
        ("body.commits.filter(c, size(c.added) > 0).size()", json!(1)),
        ("body.commits.all(c, c.id in ['a', 'b'])", json!(true)),
        ("body.commits.exists_one(c, c.id == 'b')", json!(true)),
        ("['x.rs', 'y.md'] == body.commits[0].added && body.commits[0].added == ['x.rs', 'y.md']", json!(true)),
        ("body.commits[0].added + ['z'] != body.commits[0].added", json!(true)),
        ("{'id': 'b', 'added': []} in body.commits", json!(true)),
        ("body.commits[1] == {'added': [], 'id': 'b'}", json!(true)),
        ("body.repository.map(k, k)", json!(["default_branch", "full_name"])),
        (r#"body.repository.full_name.matches("^acme/[a-z]+$")"#, json!(true)),
        (r#"matches(event, "^pull")"#, json!(false)),
        ("int(string(body.number)) == 7 && type(body.number) == int", json!(true)),
        ("body.repository", json!({ "default_branch": "main", "full_name": "acme/web" })),
        ("size(body.commits) > 1 ? 'many' : 'few'", json!("many")),
    ] {
        assert_eq!(value(text, &push), Ok(expected), "{text}");
    }
}

#[test]
fn a_body_is_json_or_the_json_of_a_forms_payload_or_its_fields_or_null() {
    assert_eq!(value("body", &subject("")), Ok(json!(null)));
    assert_eq!(value("body", &subject("{} {}")), Ok(json!(null)));
    assert_eq!(value("body", &subject(&b"\xff\xfe"[..])), Ok(json!(null)));
    assert_eq!(value("body.a", &form("payload=%7B%22a%22%3A%22b+c%22%7D")), Ok(json!("b c")));
    assert_eq!(value("body", &form("payload=hello")), Ok(json!(null)));
    assert_eq!(value("body", &form("a=1&b=x%2By+z&&c&a=2")), Ok(json!({ "a": "1", "b": "x+y z", "c": "" })));
}

#[test]
fn what_cannot_be_evaluated_is_a_failure_that_says_why() {
    let push = subject(PUSH);
    for (text, expected) in [
        ("body.nothing == 1", "No such key: nothing"),
        ("body.number + 'a'", "add"),
        ("body.number.startsWith('a')", "startsWith"),
        ("body.commits[9]", "out of bounds"),
        ("headers['x-two']", "No such key: x-two"),
        ("1 / 0", "zero"),
    ] {
        let Err(Failure::Failed(detail)) = value(text, &push) else { panic!("{text}") };
        assert!(detail.contains(expected), "{text}: {detail}");
    }
    let null = subject("not json");
    assert!(matches!(value("body.ref == 'x'", &null), Err(Failure::Failed(_))));
}

#[test]
fn an_explanation_is_bounded() {
    let long = subject(format!("{{\"k\":{:?}}}", "é".repeat(1_000_000)));
    let Err(Failure::Failed(detail)) = value("headers[body.k]", &long) else { panic!("not a failure") };
    assert!(detail.len() <= EXPLANATION_MAX + "…".len(), "{}", detail.len());
}

#[test]
fn what_is_not_an_expression_is_said_with_its_place() {
    for (text, expected) in [
        ("event = 'push'", "line 1, character"),
        ("event ==\n'push' &&", "line 2, character"),
        ("", "line 1, character"),
        ("evnt == 'push'", "there is no variable `evnt`"),
        ("body.xs.exists(x, y)", "there is no variable `y`"),
        ("body.xs.exists(x, true) && x", "there is no variable `x`"),
        ("event.startWith('p')", "there is no function `startWith`"),
        ("now() > 1", "there is no function `now`"),
        ("Foo{a: 1}", "there is no type `Foo`"),
        ("event.matches(source)", "written in the expression itself"),
        ("event.matches('(')", "pattern `(`"),
        (r"event.matches('(\\w{100}){100}')", "exceeds size limit"),
        ("body.?a", "line 1"),
    ] {
        let error = Expression::compile(text).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn every_limit_of_a_text_is_held_at_it_and_one_past_it() {
    let long = |n: usize| format!("'{}' == ''", "x".repeat(n - 8));
    assert!(Expression::compile(&long(LENGTH_MAX)).is_ok());
    assert!(Expression::compile(&long(LENGTH_MAX + 1)).is_err());
    let selected = |n: usize| format!("body{}", ".a".repeat(n - 1));
    assert!(Expression::compile(&selected(DEPTH_MAX)).is_ok());
    let error = Expression::compile(&selected(DEPTH_MAX + 1)).unwrap_err().to_string();
    assert!(error.contains("at most 48 deep"), "{error}");
    let looping = |n: usize| format!("{}true{}", "body.exists(x, ".repeat(n), ")".repeat(n));
    assert!(Expression::compile(&looping(LOOPS_MAX)).is_ok());
    let error = Expression::compile(&looping(LOOPS_MAX + 1)).unwrap_err().to_string();
    assert!(error.contains("nest at most 3 deep"), "{error}");
}

#[test]
fn texts_that_are_known_to_choke_parsers_are_read_in_no_time() {
    let clock = SystemClock::new();
    let mut texts: Vec<String> = (1..100).map(|n| "!!(!!!!!!(!!!!(((((!!(!!(!!!!((".repeat(n) + "1").collect();
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("{1:", "}"), ("a(", ")"), ("a[", "]")] {
        for n in [8, 40, 96, 500, 1300] {
            texts.push(format!("{}1{}", open.repeat(n), close.repeat(n)));
            texts.push(open.repeat(n));
        }
    }
    for unit in ["!", "-", "a.", "a?", "1+", "1&&", "a?b:", "[{(", "\"", "'''", "\\", "a.all(x,", "- -", "in ", "0x"] {
        texts.push(unit.repeat(LENGTH_MAX / unit.len()));
        texts.push(unit.repeat(LENGTH_MAX / unit.len() - 1) + "1");
    }
    for text in &texts {
        // Some are expressions. What counts is that an answer comes, and soon.
        let _ = Expression::compile(text);
    }
    assert!(clock.elapsed() < Duration::from_secs(60), "{:?}", clock.elapsed());
}

/// The deepest expression evaluates on the small stack of a test's thread, as on a runtime's.
#[test]
fn the_deepest_expression_fits_on_a_small_stack() {
    let deep = |open: &str, middle: &str, close: &str| {
        let mut text = middle.to_owned();
        while let Ok(expression) = Expression::compile(&format!("{open}{text}{close}")) {
            let _ = expression.evaluate(&mut subject(PUSH).view(), ALLOWANCE);
            text = format!("{open}{text}{close}");
        }
        assert!(text.len() > 40 * (open.len() + close.len()) / 2, "{text}");
    };
    deep("[", "1", "]");
    deep("!", "true", "");
    deep("1 + (", "1", ")");
    deep("true ? (", "true", ") : false");
    deep("size([", "1", "])");
}

#[test]
fn no_body_makes_an_evaluation_long() {
    let clock = SystemClock::new();
    let ones = |n: usize| format!("[{}1]", "1,".repeat(n));
    let whole = subject(format!("{{\"a\":{}}}", ones(3 << 20)));
    assert!(matches!(value("body.a.exists(x, x == 2)", &whole), Err(Failure::TooMuch(_))), "more than is looked at");
    let many = subject(format!("{{\"a\":{}}}", ones(500_000)));
    assert_eq!(value("body.a.exists(x, x == 2)", &many), Ok(json!(false)));
    let long = "y".repeat(2 << 20);
    let texts = subject(format!("{{\"a\":{},\"s\":\"{long}\",\"t\":[\"{long}\"]}}", ones(20_000)));
    for text in [
        "body.a.exists(x, body.a.exists(y, x + y == 0))",
        "body.a.all(x, body.a.all(y, body.a.all(z, z == 1)))",
        "body.a.map(x, body.a).exists(l, l == body.a && size(l) == 0)",
        "[body.a.map(x, x)].exists(l, l.exists(x, l.exists(y, x == 2)))",
        "body.a.exists(x, body.s.contains('zz'))",
        "body.a.exists(x, body.s.matches('(y*)*z'))",
        "body.a.exists(x, body.s + 'a' == body.s)",
        "body.a.exists(x, size(body.s) == 1)",
        "body.a.exists(x, body.s < body.t[0])",
        "body.a.exists(x, body.s != body.t[0])",
        "body.a.exists(x, body.t == [body.s + ''] && x == 2)",
        "body.a.exists(x, 2 in body.a)",
        "body.a.exists(x, string(bytes(body.s)) == '')",
        "body.a.map(x, body.s + body.s)",
        "body.a.map(x, body.a.map(y, [x, y]))",
    ] {
        // A tenth of the allowance says the same in a tenth of the time.
        let result = Expression::compile(text).unwrap().evaluate(&mut texts.view(), ALLOWANCE / 10);
        assert!(matches!(result, Err(Failure::TooMuch(_))), "{text}: {:.200}", format!("{result:?}"));
    }
    assert!(clock.elapsed() < Duration::from_secs(120), "{:?}", clock.elapsed());
}

#[test]
fn an_error_inside_a_loop_does_not_hide_a_used_up_allowance() {
    let body = subject(format!("{{\"a\":[{}2]}}", "1,".repeat(3_000)));
    // The last element alone would make it true.
    let text = "body.a.exists(x, x == 2 || body.a.exists(y, y == 3))";
    assert!(matches!(value(text, &body), Err(Failure::TooMuch(_))));
    let one = Expression::compile("body.a.exists(x, x == 2)").unwrap();
    assert!(matches!(one.evaluate(&mut body.view(), SMALL_ALLOWANCE / 10), Err(Failure::TooMuch(_))));
    assert_eq!(one.evaluate(&mut body.view(), SMALL_ALLOWANCE), Ok(json!(true)));
}

#[test]
fn a_body_that_nests_too_deep_is_too_much_rather_than_nothing() {
    let nested = |n: usize| subject(format!("{}1{}", "[".repeat(n), "]".repeat(n)));
    assert!(value("size(body) == 1", &nested(100)).is_ok());
    for n in [101, 5_000_000] {
        assert!(matches!(value("size(body) == 1", &nested(n)), Err(Failure::TooMuch(_))), "{n}");
    }
}
