//! Leases over the API and from the command line.

use serde_json::{Value, json};

use super::problem;
use crate::support::Gateway;

const PULLED: &str = r#"
[[source]]
name = "open"
unsigned = true
[[destination]]
name = "worker"
type = "pull"
retry = { waits = [] }
"#;

async fn post(gateway: &Gateway, path: &str, body: Value) -> Value {
    let answer = gateway.api("POST", path, &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["items"].clone()
}

#[tokio::test]
async fn a_consumer_leases_extends_acknowledges_and_releases() {
    let gateway = Gateway::start(PULLED).await;
    let sent = gateway.send("POST", "/in/open", &[("x-kind", "a")], b"\xff raw").await;
    let event = sent.json()["eventId"].as_str().unwrap().to_owned();
    gateway.send("POST", "/in/open", &[], b"second").await;
    let leased = post(&gateway, "/destinations/worker/lease", json!({ "max": 1, "visibility_s": 60 })).await;
    let one = &leased[0];
    assert_eq!((one["event"].as_str(), one["attempt"].as_u64()), (Some(event.as_str()), Some(1)));
    assert_eq!(
        (&one["body_base64"], &one["source"], &one["event_type"]),
        (&json!("/yByYXc="), &json!("open"), &json!(""))
    );
    assert!(one["headers"].as_array().unwrap().contains(&json!(["x-kind", "a"])), "{one}");
    let delivery = gateway.get(&format!("/deliveries/{}", one["delivery"].as_str().unwrap())).await;
    assert_eq!((&delivery["state"], &delivery["state_at"]), (&json!("leased"), &one["leased_until"]));
    assert_eq!(post(&gateway, "/destinations/worker/lease", json!({})).await, json!([]));
    let lease = &one["lease"];
    let extended = post(&gateway, "/leases/extend", json!({ "leases": [lease, "x"], "visibility_s": 90 })).await;
    assert_eq!(
        (&extended[0]["result"], &extended[1]),
        (&json!("extended"), &json!({ "lease": "x", "result": "lease_lost" }))
    );
    assert!(extended[0]["leased_until"].as_str() > one["leased_until"].as_str());
    let ended = post(&gateway, "/leases/ack", json!({ "leases": [lease] })).await;
    assert_eq!(ended, json!([{ "lease": lease, "result": "acknowledged" }]));
    let second = post(&gateway, "/destinations/worker/lease", json!({ "wait_s": 1 })).await;
    let lease = &second[0]["lease"];
    assert_eq!(post(&gateway, "/leases/release", json!({ "leases": [lease] })).await[0]["result"], "exhausted");
    assert_eq!(post(&gateway, "/leases/release", json!({ "leases": [lease] })).await[0]["result"], "lease_lost");
    for (path, body, status, code) in [
        ("/destinations/worker/lease", r#"{"max":0}"#, 422, "invalid_request"),
        ("/destinations/worker/lease", r#"{"wait_s":21}"#, 422, "invalid_request"),
        ("/destinations/worker/lease", r#"{"mx":1}"#, 422, "invalid_request"),
        ("/destinations/nobody/lease", "", 404, "not_found"),
        ("/leases/ack", "", 400, "malformed_request"),
        ("/leases/extend", r#"{"leases":[],"visibility_s":0}"#, 422, "invalid_request"),
    ] {
        assert_eq!(problem(&gateway.api("POST", path, body).await), (status, code.to_owned()), "{path} {body}");
    }
}

#[tokio::test]
async fn the_command_line_prints_a_lease_a_line_and_acknowledges_if_asked() {
    let gateway = Gateway::start(PULLED).await;
    for body in [b"a", b"b", b"c"] {
        gateway.send("POST", "/in/open", &[], body).await;
    }
    let pulled = gateway.run(&["pull", "worker", "--max", "2", "--ack"], b"").await;
    assert_eq!(pulled.status, 0, "{}", pulled.stderr);
    let lines: Vec<Value> = pulled.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line["body_base64"].clone()).collect::<Vec<_>>(), ["YQ==", "Yg=="]);
    let last = gateway.run(&["pull", "worker"], b"").await;
    assert_eq!((last.status, last.stdout.lines().count()), (0, 1));
    let none = gateway.run(&["pull", "worker"], b"").await;
    assert_eq!((none.status, none.stdout.as_str()), (0, ""));
    let states = gateway.get("/deliveries").await;
    let states: Vec<_> = states["items"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["leased", "delivered", "delivered"]);
}
