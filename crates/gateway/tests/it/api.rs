//! The API: who may, what is shown, and what every problem is called.

use crate::support::{Answer, Gateway, SOURCES, send};
use serde_json::{Value, json};

mod audit;
mod authorize;
mod events;
mod idempotency;
mod jobs;
mod keys;
mod leases;
mod order;
mod organizations;
mod outputs;
mod publishing;
mod recovery;
mod refusals;
mod resources;
mod retention;
mod schemes;
mod secrets;
mod users;

pub(crate) use users::code_now;

const WITH_DESTINATION: &str = r#"
[[source]]
name = "open"
unsigned = true
[[destination]]
name = "ci"
type = "http"
url = "https://ci.example.com/hook?key=hunter2"
event_types = ["push.*"]
set_headers = { "Authorization" = "Bearer hunter2" }
sign = { scheme = "github" }
"#;

/// JSON with ids, times and sizes of the moment replaced, and keys sorted.
fn shape(value: &Value) -> String {
    fn settle(value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    match value {
                        Value::String(at) if name.ends_with("_at") || name.starts_with("not_") => *at = "TIME".into(),
                        _ => settle(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(settle),
            Value::String(text) => {
                if let Some((prefix, hex)) = text.split_once('_')
                    && hex.len() == 32
                {
                    *text = format!("{prefix}_ID");
                }
                if text.starts_with("127.0.0.1:") {
                    *text = "PEER".to_owned();
                }
            }
            _ => {}
        }
    }
    let mut value = value.clone();
    settle(&mut value);
    format!("{value:#}")
}

pub(super) fn problem(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    (answer.status, answer.json()["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_problem_has_its_code() {
    let gateway = Gateway::start(SOURCES).await;
    let event = "evt_0190000000007000800000000000ffff";
    let unknown_event = format!("/events/{event}");
    let redeliver = format!("/events/{event}/redeliver");
    for (method, path, body, status, code) in [
        ("GET", "/nothing", "", 404, "not_found"),
        ("DELETE", "/sources", "", 405, "method_not_allowed"),
        ("GET", "/sources/nothing", "", 404, "not_found"),
        ("GET", "/destinations/nothing", "", 404, "not_found"),
        ("GET", "/events?limit=0", "", 422, "invalid_limit"),
        ("GET", "/events?limit=251", "", 422, "invalid_limit"),
        ("GET", "/events?limit=x", "", 422, "invalid_limit"),
        ("GET", "/events?cursor=MS5hdWRpdC4x", "", 422, "invalid_cursor"),
        ("GET", "/events?limti=1", "", 422, "invalid_query"),
        ("GET", "/events?limit=1&limit=2", "", 422, "invalid_query"),
        ("GET", "/events?duplicate=maybe", "", 422, "invalid_query"),
        ("GET", "/events?source=nothing", "", 404, "not_found"),
        ("GET", "/deliveries?state=lost", "", 422, "invalid_query"),
        ("GET", "/deliveries?event=x", "", 422, "invalid_query"),
        ("GET", "/deliveries?destination=nothing", "", 404, "not_found"),
        ("GET", "/events/x", "", 404, "not_found"),
        ("GET", "/refusals?source=nothing", "", 404, "not_found"),
        ("GET", "/refusals/evt_0190000000007000800000000000ffff", "", 404, "not_found"),
        ("GET", "/refusals/ref_0190000000007000800000000000ffff", "", 404, "not_found"),
        ("GET", &unknown_event, "", 404, "not_found"),
        ("POST", &redeliver, "", 404, "not_found"),
        ("POST", "/events", "", 400, "malformed_request"),
        ("POST", "/events", "{\"type\":\"a\"}", 422, "invalid_request"),
        ("POST", "/events", "{\"type\":\"a\",\"payload\":1,\"x\":2}", 422, "invalid_request"),
        ("POST", "/events", "{\"type\":\"\",\"payload\":1}", 422, "invalid_request"),
        ("POST", "/events", "{\"type\":\"a\",\"payload\":{]}", 400, "malformed_request"),
        ("GET", "/sources/nothing/secrets", "", 404, "not_found"),
        ("GET", "/things/github/secrets", "", 404, "not_found"),
        ("POST", "/sources/open/secrets/rotate", "{}", 422, "invalid_request"),
        ("POST", "/sources/github/secrets", "{\"secret\":\"\"}", 422, "invalid_request"),
        ("POST", "/sources/github/secrets", "{\"secret\":7}", 422, "invalid_request"),
        ("POST", "/sources/github/secrets/x/reveal", "", 404, "not_found"),
        ("POST", "/sources/github/secrets/9/reveal", "", 404, "not_found"),
    ] {
        assert_eq!(
            problem(&gateway.api(method, path, body).await),
            (status, code.to_owned()),
            "{method} {path} {body}"
        );
    }
    let not_allowed = gateway.api("DELETE", "/sources", "").await;
    assert_eq!(not_allowed.header("allow"), Some("GET,HEAD,POST"));
}

#[tokio::test]
async fn an_event_is_shown_in_full() {
    let gateway = Gateway::start(WITH_DESTINATION).await;
    gateway.api("POST", "/destinations/ci/pause", "").await;
    let answer = gateway.api("POST", "/events", r#"{"type":"push.main","payload":{"a":1}}"#).await;
    let id = answer.json()["eventId"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(shape(&gateway.get(&format!("/events/{id}")).await), @r#"
{
  "body_len": 7,
  "body_sha256": "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
  "deliveries": [
    {
      "destination": "ci",
      "id": "dlv_ID",
      "state": "held"
    }
  ],
  "delivery_id": null,
  "duplicate_of": null,
  "id": "evt_ID",
  "passed_over": [],
  "received_at": "TIME",
  "request": {
    "headers": [
      [
        "content-type",
        "application/json"
      ]
    ],
    "method": "POST",
    "remote": "127.0.0.1",
    "target": "/api/v1/events"
  },
  "source": "publish",
  "stripped_at": null,
  "type": "push.main",
  "verdict": {
    "proof": "api_key"
  }
}
"#);
    let deliveries = gateway.get(&format!("/deliveries?event={id}")).await;
    let delivery = deliveries["items"][0]["id"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(shape(&gateway.get(&format!("/deliveries/{delivery}")).await), @r#"
{
  "attempts": [],
  "attempts_begun": 0,
  "cancel_at": null,
  "cause": {
    "type": "event"
  },
  "created_at": "TIME",
  "destination": "ci",
  "event": "evt_ID",
  "id": "dlv_ID",
  "parked": false,
  "skipped": 0,
  "state": "held",
  "state_at": "TIME",
  "superseded_by": null
}
"#);
    assert_eq!(gateway.api("POST", &format!("/deliveries/{delivery}/cancel"), "").await.json()["state"], "cancelled");
    let again = gateway.api("POST", &format!("/deliveries/{delivery}/cancel"), "").await;
    assert_eq!(problem(&again), (409, "not_possible".to_owned()));
    let redelivered = gateway.api("POST", &format!("/events/{id}/redeliver"), r#"{"destination":"ci"}"#).await;
    assert_eq!(redelivered.status, 202);
    let new = redelivered.json()["deliveries"][0].as_str().unwrap().to_owned();
    let cause = gateway.get(&format!("/deliveries/{new}")).await["cause"].clone();
    assert_eq!(cause, json!({ "type": "redelivery", "of": delivery }));
}

#[tokio::test]
async fn a_payload_is_kept_byte_for_byte() {
    let gateway = Gateway::start(SOURCES).await;
    for payload in ["{ \"b\":1.0,\n\t\"a\" : [ ] }", "1.10", "\"\\u00e9\"", "null", "[1e400]"] {
        let answer = gateway.api("POST", "/events", &format!(" {{ \"payload\" : {payload} , \"type\":\"t\" }} ")).await;
        assert_eq!(answer.status, 202, "{}", answer.text());
        let id = answer.json()["eventId"].as_str().unwrap().to_owned();
        let body = gateway.api("GET", &format!("/events/{id}/body"), "").await;
        assert_eq!(body.text(), payload);
        assert_eq!(body.header("content-type"), Some("application/octet-stream"));
        assert_eq!(body.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test]
async fn a_list_is_paged_through_newest_first() {
    let gateway = Gateway::start(SOURCES).await;
    let mut sent = Vec::new();
    for n in 0..5 {
        let answer = gateway.send("POST", "/in/open", &[], n.to_string().as_bytes()).await;
        sent.insert(0, answer.json()["eventId"].as_str().unwrap().to_owned());
    }
    let mut seen = Vec::new();
    let mut path = "/events?limit=2&source=open".to_owned();
    loop {
        let page = gateway.get(&path).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next"].as_str() else { break };
        path = format!("/events?limit=2&source=open&cursor={cursor}");
    }
    assert_eq!(seen, sent);
    let sources = gateway.get("/sources?limit=2").await;
    let rest = gateway.get(&format!("/sources?limit=2&cursor={}", sources["next"].as_str().unwrap())).await;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
}

#[tokio::test]
async fn a_secret_is_set_rotated_revealed_and_revoked() {
    let gateway = Gateway::start(SOURCES).await;
    let secrets = "/sources/unset/secrets";
    let set = gateway.api("POST", secrets, r#"{"secret":"first-secret-value"}"#).await;
    assert_eq!((set.status, set.json()), (201, json!({ "version": 1 })));
    let rotated = gateway.api("POST", &format!("{secrets}/rotate"), r#"{"grace_s":3600}"#).await;
    assert_eq!(rotated.json(), json!({ "version": 2 }));
    let list = gateway.get(secrets).await;
    assert!(!list.to_string().contains("first-secret-value"));
    insta::assert_snapshot!(shape(&list), @r#"
{
  "items": [
    {
      "created_at": "TIME",
      "first_used_at": null,
      "last_accepted_at": null,
      "last_used_at": null,
      "not_after": null,
      "not_before": "TIME",
      "origin": "generated",
      "revoked_at": null,
      "scheme": null,
      "state": "live",
      "uses": 0,
      "version": 2
    },
    {
      "created_at": "TIME",
      "first_used_at": null,
      "last_accepted_at": null,
      "last_used_at": null,
      "not_after": "TIME",
      "not_before": "TIME",
      "origin": "import",
      "revoked_at": null,
      "scheme": null,
      "state": "live",
      "uses": 0,
      "version": 1
    }
  ],
  "next": null
}
"#);
    let revealed = gateway.api("POST", &format!("{secrets}/1/reveal"), r#"{"reason":"a test"}"#).await;
    assert_eq!(revealed.json(), json!({ "secret": "first-secret-value", "encoding": "utf-8" }));
    assert_eq!(revealed.header("cache-control"), Some("no-store"));
    assert_eq!(gateway.api("POST", &format!("{secrets}/1/revoke"), "").await.status, 200);
    assert_eq!(gateway.get(secrets).await["items"][1]["state"], "revoked");
    let audit = gateway.get("/audit?limit=4").await;
    let actions: Vec<_> =
        audit["items"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["secret.revoke", "secret.reveal", "secret.rotate", "secret.rotate"]);
    assert!(audit["items"][1].to_string().contains("a test"));
    assert!(!audit.to_string().contains("first-secret-value"));
}

#[tokio::test]
async fn metrics_and_checks_need_no_key() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.push("u1", b"{}").await;
    gateway.send("POST", "/in/github", &[], b"{}").await;
    gateway.send("POST", "/nowhere", &[], b"{}").await;
    let admin = gateway.running.admin();
    let metrics = send(admin, "GET", "/metrics", &[], b"").await.text();
    for line in [
        r#"hookward_received_total{source="github",answer="accepted"} 1"#,
        r#"hookward_received_total{source="github",answer="refused"} 1"#,
        r#"hookward_refused_total{source="github",refusal="signature-missing"} 1"#,
        "hookward_unmatched_total 1",
        "hookward_store_up 1",
        "hookward_outstanding 0",
        r#"hookward_kept_bodies_bytes{source="github"} 2"#,
    ] {
        assert!(metrics.lines().any(|got| got == line), "{line} is not in\n{metrics}");
    }
    assert_eq!(metrics.matches("# EOF").count(), 1);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(send(admin, "GET", path, &[], b"").await.status, 200);
        assert_eq!(gateway.send("GET", path, &[], b"").await.status, 200);
        assert_eq!(gateway.send("POST", path, &[], b"").await.status, 405);
    }
}

const ROUTED: &str = r#"
[[source]]
name = "open"
unsigned = true
[[destination]]
name = "main"
type = "http"
url = "https://ci.example.com/hook"
filter = 'body.ref == "refs/heads/main"'
once_per = "body.after"
"#;

#[tokio::test]
async fn an_event_says_whom_it_passed_over_and_why() {
    let gateway = Gateway::start(ROUTED).await;
    gateway.api("POST", "/destinations/main/pause", "").await;
    let mut passed = Vec::new();
    let mut events = Vec::new();
    for body in [
        r#"{"ref":"refs/heads/main","after":"a"}"#,
        r#"{"ref":"refs/heads/main","after":"a","again":true}"#,
        r#"{"ref":"refs/heads/other","after":"a"}"#,
        "nothing of the kind",
    ] {
        let answer = gateway.send("POST", "/in/open", &[], body.as_bytes()).await;
        let id = answer.json()["eventId"].as_str().unwrap().to_owned();
        let event = gateway.get(&format!("/events/{id}")).await;
        assert_eq!(event["deliveries"].as_array().unwrap().len(), usize::from(events.is_empty()));
        passed.push(event["passed_over"].clone());
        events.push(id);
    }
    let once = format!("`once_per` has the same value as for event `{}`", events[0]);
    let once = json!([{ "destination": "main", "reason": "once", "detail": once, "first_event": events[0] }]);
    assert_eq!(passed[..3], [json!([]), once, json!([])]);
    assert_eq!(passed[3][0]["reason"], "filter_failed");
    assert!(passed[3][0]["detail"].as_str().unwrap().starts_with("`filter`: "), "{}", passed[3]);
    let log = gateway.get("/audit").await;
    let entry = log["items"].as_array().unwrap().iter().find(|entry| entry["action"] == "filter.failed").unwrap();
    assert_eq!(entry["target"], format!("event:{}", events[3]));
    assert_eq!(entry["detail"]["failed"][0]["destination"], "main");
    let metrics = send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    assert!(metrics.contains("hookward_filter_failed_total{destination=\"main\"} 1"), "{metrics}");
    // Who is named gets it whatever the filter says; asked in general, nobody wants it.
    let path = format!("/events/{}/redeliver", events[3]);
    assert_eq!(problem(&gateway.api("POST", &path, "").await), (422, "invalid_request".to_owned()));
    assert_eq!(gateway.api("POST", &path, r#"{"destination":"main"}"#).await.status, 202);
}
