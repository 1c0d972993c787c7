//! Redelivery jobs, as the API and the command line show them.

use serde_json::{Value, json};

use super::{problem, shape};
use crate::support::Gateway;

const TO_TRUE: &str = r#"
[[source]]
name = "open"
unsigned = true
[[destination]]
name = "true"
type = "command"
argv = ["/bin/true"]
"#;

async fn gateway(events: u32) -> Gateway {
    let gateway = Gateway::start(TO_TRUE).await;
    for n in 0..events {
        assert_eq!(gateway.send("POST", "/in/open", &[], n.to_string().as_bytes()).await.status, 202);
    }
    gateway
}

pub(super) async fn done(gateway: &Gateway, id: &str) -> Value {
    loop {
        let job = gateway.get(&format!("/redeliveries/{id}")).await;
        if job["state"] == "done" {
            return job;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn all_that_match_are_redelivered_after_a_dry_run() {
    let gateway = gateway(3).await;
    let dry = gateway.api("POST", "/redeliveries", r#"{"source":"open","dry_run":true}"#).await;
    assert_eq!((dry.status, dry.json()), (200, json!({ "matched": 3 })));
    assert_eq!(gateway.get("/redeliveries").await["items"], json!([]));
    let wanted = r#"{"source":"open","from":"2020-01-01T00:00:00Z","rate_per_s":1000}"#;
    let created = gateway.api("POST", "/redeliveries", wanted).await;
    assert_eq!(created.status, 202);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let job = done(&gateway, &id).await;
    insta::assert_snapshot!(shape(&job), @r#"
{
  "actor": "key:bootstrap",
  "created_at": "TIME",
  "destination": null,
  "duplicate": null,
  "filter": null,
  "from": "2020-01-01T00:00:00.000Z",
  "id": "job_ID",
  "in_state": null,
  "looked_at": 3,
  "matched": 3,
  "percent": 100,
  "problem": null,
  "rate_per_s": 1000,
  "recovers": null,
  "redelivered": 3,
  "source": "open",
  "state": "done",
  "to": null,
  "type": null,
  "updated_at": "TIME"
}
"#);
    assert_eq!(gateway.get("/deliveries").await["items"].as_array().unwrap().len(), 6);
    let too_late = gateway.api("POST", &format!("/redeliveries/{id}/pause"), "").await;
    assert_eq!(problem(&too_late), (409, "not_possible".to_owned()));
}

#[tokio::test]
async fn what_is_not_a_job_is_named() {
    let gateway = gateway(0).await;
    for (body, status, code) in [
        (r#"{"sorce":"open"}"#, 422, "invalid_request"),
        (r#"{"source":"nothing"}"#, 404, "not_found"),
        (r#"{"destination":"nothing"}"#, 404, "not_found"),
        (r#"{"state":"lost"}"#, 422, "invalid_request"),
        (r#"{"from":"yesterday"}"#, 422, "invalid_request"),
        (r#"{"rate_per_s":0}"#, 422, "invalid_request"),
        (r#"{"rate_per_s":10001,"dry_run":true}"#, 422, "invalid_request"),
    ] {
        assert_eq!(problem(&gateway.api("POST", "/redeliveries", body).await), (status, code.to_owned()), "{body}");
    }
    let unknown = "/redeliveries/job_0190000000007000800000000000ffff";
    assert_eq!(problem(&gateway.api("GET", unknown, "").await).0, 404);
    assert_eq!(problem(&gateway.api("POST", &format!("{unknown}/cancel"), "").await).0, 404);
}

#[tokio::test]
async fn the_command_line_makes_and_ends_jobs() {
    let gateway = gateway(20).await;
    assert_eq!(
        gateway.ok(&["redeliver", "--source", "open", "--dry-run"], b"").await,
        "20 events would be redelivered\n"
    );
    let made = gateway.ok(&["redeliver", "--destination", "true", "--rate", "1000"], b"").await;
    let id = made.lines().next().unwrap();
    done(&gateway, id).await;
    let table = gateway.ok(&["job", "list"], b"").await;
    assert!(table.lines().nth(1).unwrap().starts_with(id), "{table}");
    assert!(gateway.ok(&["job", "show", id], b"").await.contains("redelivered"));
    assert_eq!(gateway.run(&["job", "cancel", id], b"").await.status, 5);
    // One that is slow enough to be stopped.
    let made = gateway.ok(&["redeliver", "--source", "open", "--rate", "1"], b"").await;
    let id = made.lines().next().unwrap();
    assert_eq!(gateway.ok(&["job", "pause", id], b"").await, format!("job `{id}` is paused\n"));
    assert_eq!(gateway.ok(&["job", "resume", id], b"").await, format!("job `{id}` goes on\n"));
    assert_eq!(gateway.ok(&["job", "cancel", id], b"").await, format!("job `{id}` is cancelled\n"));
}

#[tokio::test]
async fn a_duplicate_is_run_from_the_command_line() {
    let config = TO_TRUE.replace("unsigned = true", "unsigned = true\ndedup = { body = true }");
    let gateway = Gateway::start(&config).await;
    for _ in 0..2 {
        gateway.send("POST", "/in/open", &[], b"same").await;
    }
    let duplicate = gateway.get("/events?duplicate=true").await["items"][0]["id"].as_str().unwrap().to_owned();
    let delivery = gateway.ok(&["event", "redeliver", &duplicate], b"").await;
    let shown = gateway.ok(&["delivery", "show", delivery.trim_end()], b"").await;
    assert!(shown.contains(&duplicate), "{shown}");
}
