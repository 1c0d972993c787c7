//! Requests under an `Idempotency-Key`: carried out once, and answered alike.

use serde_json::{Value, json};

use super::problem;
use crate::support::{Answer, Gateway, KEY, SOURCES, send};

#[tokio::test]
async fn an_event_is_published_once_for_a_key() {
    let gateway = Gateway::start(SOURCES).await;
    let bearer = format!("Bearer {KEY}");
    let publish = async |key: &str, payload: &str| {
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
        let body = format!(r#"{{"type":"t","payload":{payload}}}"#);
        send(gateway.running.admin(), "POST", "/api/v1/events", &headers, body.as_bytes()).await
    };
    let first = publish("k", "1").await;
    assert_eq!(publish("k", "1").await.json(), first.json());
    assert_eq!(problem(&publish("k", "2").await), (409, "idempotency_conflict".to_owned()));
    assert_ne!(publish("l", "1").await.json(), first.json());
    assert_eq!(publish(&"k".repeat(255), "1").await.status, 202);
    for bad in ["", &"k".repeat(256), "caf\u{e9}", "a\tb"] {
        assert_eq!(problem(&publish(bad, "1").await), (422, "invalid_request".to_owned()), "{bad:?}");
    }
    assert_eq!(gateway.get("/events").await["items"].as_array().unwrap().len(), 3);
}

/// A request that makes something, under a key.
async fn once(gateway: &Gateway, path: &str, key: &str, body: &str) -> Answer {
    let bearer = format!("Bearer {KEY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", key)];
    send(gateway.running.admin(), "POST", &format!("/api/v1{path}"), &headers, body.as_bytes()).await
}

async fn count(gateway: &Gateway, path: &str) -> usize {
    gateway.get(path).await["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_is_made_is_made_once_for_a_key() {
    let gateway = Gateway::start(SOURCES).await;
    let secrets = "/sources/unset/secrets";
    let body = r#"{"secret":"first-secret-value"}"#;
    let first = once(&gateway, secrets, "k", body).await;
    assert_eq!((first.status, first.json(), first.header("idempotent-replayed")), (201, json!({ "version": 1 }), None));
    let again = once(&gateway, secrets, "k", body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(
        problem(&once(&gateway, secrets, "k", r#"{"secret":"other-secret-value"}"#).await).1,
        "idempotency_conflict"
    );
    assert_eq!(count(&gateway, secrets).await, 1);
    assert_eq!(once(&gateway, secrets, "l", body).await.json(), json!({ "version": 2 }));
    let elsewhere = once(&gateway, "/sources/unset/secrets/rotate", "k", "{}").await;
    assert_eq!(elsewhere.json(), json!({ "version": 3 }), "a key is an endpoint's own");
    // What it is known by outlives the process.
    let gateway = gateway.restart(SOURCES).await;
    assert_eq!(once(&gateway, secrets, "k", body).await.body, first.body);
    assert_eq!(count(&gateway, secrets).await, 3);
}

#[tokio::test]
async fn what_is_refused_may_be_sent_again() {
    let gateway = Gateway::start(SOURCES).await;
    let secrets = "/sources/unset/secrets";
    assert_eq!(once(&gateway, secrets, "k", r#"{"secret":""}"#).await.status, 422);
    assert_eq!(once(&gateway, secrets, "k", r#"{"secret":"good-secret-value"}"#).await.status, 201);
    for bad in ["", &"k".repeat(256), "a\tb"] {
        assert_eq!(
            problem(&once(&gateway, secrets, bad, r#"{"secret":"good-secret-value"}"#).await),
            (422, "invalid_request".to_owned()),
            "{bad:?}"
        );
    }
    assert_eq!(once(&gateway, "/nothing", "k", "{}").await.status, 404);
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let gateway = Gateway::start(SOURCES).await;
    let secrets = "/sources/unset/secrets";
    let asked = (0..20).map(|_| once(&gateway, secrets, "k", r#"{"secret":"only-secret-value"}"#));
    for answer in futures_util::future::join_all(asked).await {
        match answer.status {
            201 => assert_eq!(answer.json(), json!({ "version": 1 })),
            _ => assert_eq!(problem(&answer), (409, "idempotency_under_way".to_owned())),
        }
    }
    assert_eq!(count(&gateway, secrets).await, 1);
}

#[tokio::test]
async fn what_is_shown_once_is_not_shown_to_a_repeat() {
    let gateway = Gateway::start(SOURCES).await;
    let body = r#"{"name":"deploy","scopes":["read"]}"#;
    let first = once(&gateway, "/keys", "k", body).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let first: Value = first.json();
    let again = once(&gateway, "/keys", "k", body).await;
    assert_eq!(problem(&again), (409, "idempotency_shown_once".to_owned()));
    let (id, key) = (first["id"].as_str().unwrap(), first["key"].as_str().unwrap());
    assert!(again.text().contains(id) && !again.text().contains(key), "{}", again.text());
    let kept = crate::support::everything_in(gateway.directory.path());
    let holds = |text: &str| kept.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("deploy") && !holds(key), "the key is nowhere on disk");
}
