//! Secrets over the API: spans, values that are not text, ends that move, what is in use.

use serde_json::json;

use super::problem;
use crate::support::{Gateway, KEY, SOURCES, send};

const CONFIG: &str = r#"
[[source]]
name = "bearer"
scheme = "bearer"

[[source]]
name = "github"
scheme = "github"
"#;

const SECRETS: &str = "/sources/bearer/secrets";

#[tokio::test]
async fn a_secret_has_a_span_and_its_end_moves() {
    let gateway = Gateway::start(CONFIG).await;
    let body = r#"{"secret":"a-first-value-of-some-length","not_after":"2999-01-01T00:00:00Z"}"#;
    assert_eq!(gateway.api("POST", SECRETS, body).await.status, 201);
    let next = r#"{"grace_s":60,"not_before":"2998-01-01T00:00:00+01:00"}"#;
    assert_eq!(gateway.api("POST", &format!("{SECRETS}/rotate"), next).await.status, 201);
    let list = gateway.get(SECRETS).await;
    let span = |n: usize| {
        let item = &list["items"][n];
        [&item["state"], &item["not_before"], &item["not_after"]].map(|value| value.as_str().map(str::to_owned))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(span(0), [some("future"), some("2997-12-31T23:00:00.000Z"), None]);
    assert_eq!(span(1)[2], some("2997-12-31T23:01:00.000Z"), "the grace begins with the new one");
    assert_eq!(span(1)[0], some("live"));
    let moved = gateway.api("PATCH", &format!("{SECRETS}/1"), r#"{"not_after":null}"#).await;
    assert_eq!(moved.status, 200);
    assert!(gateway.get(SECRETS).await["items"][1]["not_after"].is_null());
}

#[tokio::test]
async fn a_value_that_is_no_text_is_base64_both_ways() {
    let gateway = Gateway::start(CONFIG).await;
    let body = r#"{"secret":"//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=","encoding":"base64"}"#;
    assert_eq!(gateway.api("POST", "/sources/github/secrets", body).await.status, 201);
    let shown = gateway.api("POST", "/sources/github/secrets/1/reveal", r#"{"reason":"a test"}"#).await.json();
    assert_eq!(shown["encoding"], "base64");
    assert_eq!(shown["secret"], "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=");
}

#[tokio::test]
async fn a_secret_in_use_is_revoked_when_told_twice() {
    let gateway = Gateway::start(CONFIG).await;
    let body = r#"{"secret":"a-first-value-of-some-length"}"#;
    assert_eq!(gateway.api("POST", SECRETS, body).await.status, 201);
    let authorization = ("authorization", "Bearer a-first-value-of-some-length");
    assert_eq!(gateway.send("POST", "/in/bearer", &[authorization], b"{}").await.status, 202);
    let refused = gateway.api("POST", &format!("{SECRETS}/1/revoke"), "").await;
    assert_eq!((refused.status, &refused.json()["code"]), (409, &"not_possible".into()));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("version 1 of source:bearer is in use: it verified a request "), "{detail}");
    assert_eq!(gateway.api("POST", &format!("{SECRETS}/1/revoke"), r#"{"force":true}"#).await.status, 200);
    assert_eq!(gateway.send("POST", "/in/bearer", &[authorization], b"{}").await.status, 401);
}

#[tokio::test]
async fn a_rotation_is_confirmed_and_may_name_the_version_that_it_follows() {
    let gateway = Gateway::start(SOURCES).await;
    let secrets = "/sources/unset/secrets";
    let rotate = format!("{secrets}/rotate");
    assert_eq!(problem(&gateway.api("POST", &rotate, "").await), (428, "confirmation_required".to_owned()));
    assert_eq!(gateway.api("GET", secrets, "").await.header("etag"), Some("\"0\""));
    assert_eq!(gateway.api("POST", &rotate, "{}").await.status, 201);
    let bearer = format!("Bearer {KEY}");
    let target = format!("/api/v1{rotate}");
    let follow = async |tag: &str| {
        let headers = [("authorization", bearer.as_str()), ("if-match", tag)];
        send(gateway.running.admin(), "POST", &target, &headers, b"").await
    };
    for stale in ["\"0\"", "\"2\"", "1", "\"01\"", "W/\"1\"", ""] {
        assert_eq!(problem(&follow(stale).await), (412, "stale".to_owned()), "{stale}");
    }
    let answers = futures_util::future::join_all((0..50).map(|_| follow("\"1\""))).await;
    let done: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!((done.len(), done[0].json()), (1, json!({ "version": 2 })));
    assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 412)));
    assert_eq!(gateway.api("GET", secrets, "").await.header("etag"), Some("\"2\""));
    assert_eq!(follow("*").await.status, 201);
    for grace in ["-1", "1e99", "\"7d; drop table\"", "99999999999"] {
        let body = format!(r#"{{"grace_s":{grace}}}"#);
        assert_eq!(gateway.api("POST", &rotate, &body).await.status, 422, "{grace}");
    }
}
