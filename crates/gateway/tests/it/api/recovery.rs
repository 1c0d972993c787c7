//! Recovery, as the API and the command line begin and show it.

use serde_json::json;

use super::jobs::done;
use super::problem;
use crate::support::Gateway;

const TO_FALSE: &str = r#"
[[source]]
name = "open"
unsigned = true
[[destination]]
name = "false"
type = "command"
argv = ["/bin/false"]
retry = { waits = [] }
[[destination]]
name = "deaf"
type = "command"
argv = ["/bin/true"]
sources = ["publish"]
"#;

async fn gateway() -> Gateway {
    let gateway = Gateway::start(TO_FALSE).await;
    for n in 0..3 {
        assert_eq!(gateway.send("POST", "/in/open", &[], n.to_string().as_bytes()).await.status, 202);
    }
    while gateway.get("/deliveries?state=exhausted").await["items"].as_array().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    gateway
}

#[tokio::test]
async fn what_failed_is_counted_then_recovered() {
    let gateway = gateway().await;
    let count = r#"{"what":"failed","since":"2020-01-01T00:00:00Z","dry_run":true}"#;
    let counted = gateway.api("POST", "/destinations/false/recover", count).await;
    assert_eq!((counted.status, counted.json()), (200, json!({ "matched": 3 })));
    let past = r#"{"what":"failed","since":"2020-01-01T00:00:00Z","until":"2021-01-01T00:00:00Z","dry_run":true}"#;
    assert_eq!(gateway.api("POST", "/destinations/false/recover", past).await.json(), json!({ "matched": 0 }));
    let begin = r#"{"what":"failed","since":"2020-01-01T00:00:00Z","rate_per_s":1000}"#;
    let begun = gateway.api("POST", "/destinations/false/recover", begin).await;
    assert_eq!(
        (begun.status, &begun.json()["recovers"], &begun.json()["destination"]),
        (202, &json!("failed"), &json!("false"))
    );
    let job = done(&gateway, begun.json()["id"].as_str().unwrap()).await;
    assert_eq!((&job["matched"], &job["redelivered"]), (&json!(3), &json!(3)));
}

#[tokio::test]
async fn the_command_line_counts_and_recovers() {
    let gateway = gateway().await;
    let counted = ["recover", "failed", "--destination", "false", "--since", "2020-01-01T00:00:00Z", "--count"];
    assert_eq!(gateway.ok(&counted, b"").await, "3 events would be recovered\n");
    let missing = ["recover", "missing", "--destination", "deaf", "--since", "2020-01-01T00:00:00Z", "--count"];
    assert_eq!(gateway.ok(&missing, b"").await, "0 events would be recovered\n", "it does not hear that source");
    let heard = gateway.api("PATCH", "/destinations/deaf", r#"{"sources":["open"]}"#).await;
    assert_eq!(heard.status, 409, "a file manages it");
    let begun = gateway.ok(&[&counted[..6], &["--rate", "1000"]].concat(), b"").await;
    let id = begun.lines().next().unwrap();
    assert!(id.starts_with("job_"), "{begun}");
    done(&gateway, id).await;
    let table = gateway.ok(&["job", "list"], b"").await;
    assert!(table.contains("RECOVERS") && table.contains("failed"), "{table}");
}

#[tokio::test]
async fn what_is_not_a_recovery_is_named() {
    let gateway = Gateway::start(TO_FALSE).await;
    for (path, body, status, code) in [
        ("false", r#"{"what":"lost","since":"2020-01-01T00:00:00Z"}"#, 422, "invalid_request"),
        ("false", r#"{"what":"failed"}"#, 422, "invalid_request"),
        ("false", r#"{"since":"2020-01-01T00:00:00Z"}"#, 422, "invalid_request"),
        ("false", r#"{"what":"failed","since":"yesterday"}"#, 422, "invalid_request"),
        ("false", r#"{"what":"failed","since":"2020-01-01T00:00:00Z","rate_per_s":0}"#, 422, "invalid_request"),
        (
            "false",
            r#"{"what":"failed","since":"2020-01-01T00:00:00Z","until":"2020-01-01T00:00:00Z"}"#,
            422,
            "invalid_request",
        ),
        ("nobody", r#"{"what":"missing","since":"2020-01-01T00:00:00Z"}"#, 404, "not_found"),
    ] {
        let answer = gateway.api("POST", &format!("/destinations/{path}/recover"), body).await;
        assert_eq!(problem(&answer), (status, code.to_owned()), "{body}");
    }
}
