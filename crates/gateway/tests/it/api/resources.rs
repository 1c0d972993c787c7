//! How sources and destinations are shown.

use serde_json::json;

use super::{WITH_DESTINATION, shape};
use crate::support::{Gateway, send};

#[tokio::test]
async fn a_source_is_shown_with_its_door() {
    let gateway = Gateway::start(WITH_DESTINATION).await;
    insta::assert_snapshot!(shape(&gateway.get("/sources/open").await), @r#"
{
  "created_at": "TIME",
  "declared": {
    "name": "open",
    "unsigned": true
  },
  "dedup": {
    "body": false,
    "id_headers": [],
    "window_s": 2592000
  },
  "door": {
    "answers": {
      "accepted": {
        "body": "{\"status\":\"accepted\",\"eventId\":\"{event_id}\"}",
        "content_type": "application/json",
        "status": 202
      },
      "duplicate": {
        "body": "{\"status\":\"duplicate\",\"eventId\":\"{event_id}\"}",
        "content_type": "application/json",
        "status": 200
      },
      "refused": {
        "body": "{\"error\":\"Unauthorized\"}",
        "content_type": "application/json",
        "status": 401
      },
      "wrong_method": {
        "body": "{\"error\":\"Method not allowed\"}",
        "content_type": "application/json",
        "status": 405
      }
    },
    "methods": [
      "POST"
    ],
    "path": "/in/open"
  },
  "event_types": [],
  "filter": null,
  "grace_s": 86400,
  "id": "src_ID",
  "managed_by": "file",
  "name": "open",
  "parameters": {},
  "proof": "unsigned",
  "rate": null,
  "removed_at": null,
  "retention": {
    "age_s": null,
    "size_bytes": null
  },
  "scheme": null
}
"#);
}

#[tokio::test]
async fn a_destination_is_shown_without_its_credentials() {
    let gateway = Gateway::start(WITH_DESTINATION).await;
    let destination = gateway.get("/destinations/ci").await;
    assert!(!destination.to_string().contains("hunter2"));
    // How it fares and what was declared are compact.
    let mut shown = destination.clone();
    let declared = shown.as_object_mut().unwrap().remove("declared").unwrap();
    assert_eq!(
        declared,
        json!({
            "event_types": ["push.*"], "name": "ci", "set_headers": { "Authorization": "stored" },
            "sign": { "scheme": "github" }, "type": "http", "url": "stored",
        })
    );
    for part in ["breaker", "condition", "retry"] {
        assert!(shown.as_object_mut().unwrap().remove(part).unwrap().is_object(), "{part}");
    }
    insta::assert_snapshot!(shape(&shown), @r#"
{
  "allow_addresses": [],
  "authentication": [],
  "concurrency": 8,
  "connect_timeout_ms": null,
  "created_at": "TIME",
  "disable_after_s": 432000,
  "event_types": [
    "push.*"
  ],
  "filter": null,
  "first_byte_timeout_ms": null,
  "forward_headers": [],
  "grace_s": 86400,
  "id": "dst_ID",
  "latest_wins": null,
  "managed_by": "file",
  "name": "ci",
  "once_per": null,
  "order": null,
  "owed": {
    "held": 0,
    "outstanding": 0,
    "waiting": 0
  },
  "rate": null,
  "set_headers": [
    "Authorization"
  ],
  "signing": [
    {
      "ended": false,
      "parameters": {},
      "scheme": "github",
      "sign_with": null,
      "until": null
    }
  ],
  "sources": [],
  "state": "active",
  "state_reason": null,
  "timeout_ms": 15000,
  "type": "http",
  "url": "https://ci.example.com/hook?…"
}
"#);
    let list = gateway.get("/destinations").await;
    assert_eq!(list, json!({ "items": [destination], "next": null }));
}

#[tokio::test]
async fn a_destination_is_resumed_at_once_at_a_rate_or_without_what_was_held() {
    let gateway = Gateway::start(WITH_DESTINATION).await;
    let held = async |count: u64| {
        gateway.ok(&["destination", "pause", "ci"], b"").await;
        for n in 0..count {
            let event = format!(r#"{{"type":"push.main","payload":{n}}}"#);
            assert_eq!(gateway.api("POST", "/events", &event).await.status, 202);
        }
        let owed = gateway.get("/destinations/ci").await["owed"].clone();
        assert_eq!(owed, json!({ "outstanding": 0, "held": count, "waiting": 0 }));
    };
    let resume = async |body: &str| gateway.api("POST", "/destinations/ci/resume", body).await;
    held(2).await;
    for refused in [
        r#"{"drain_rate":1,"held":"drop"}"#,
        r#"{"drain_rate":0}"#,
        r#"{"drain_rate":100001}"#,
        r#"{"drain_rate":-1}"#,
        r#"{"held":"burn"}"#,
        r#"{"hold":"drop"}"#,
    ] {
        assert_eq!(resume(refused).await.status, 422, "{refused}");
    }
    let unknown = gateway.api("POST", "/destinations/cy/resume", "{}").await;
    assert_eq!(unknown.status, 404);
    let told = gateway.ok(&["destination", "resume", "ci", "--drop"], b"").await;
    assert_eq!(told, "destination `ci` is active: 2 held deliveries were dropped\n");
    let cancelled = gateway.get("/deliveries?state=cancelled").await;
    assert_eq!(cancelled["items"].as_array().unwrap().len(), 2);
    held(2).await;
    // It has no secret to sign with, so what is due stays where it is.
    let resumed = resume(r#"{"drain_rate":1}"#).await.json();
    assert_eq!((&resumed["state"], &resumed["drained"]), (&json!("active"), &json!(2)));
    assert_eq!(resumed["owed"], json!({ "outstanding": 2, "held": 0, "waiting": 0 }));
    gateway.ok(&["destination", "pause", "ci"], b"").await;
    let told = gateway.ok(&["destination", "resume", "ci", "--drain-rate", "7"], b"").await;
    assert_eq!(told, "destination `ci` is active: 2 held deliveries go out at 7 a second\n");
    let list = gateway.ok(&["destination", "list"], b"").await;
    let head: Vec<_> = list.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["NAME", "TYPE", "STATE", "HEALTH", "OWED", "HELD", "TARGET", "SOURCES"]);
    let metrics = send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    for line in [
        r#"hookward_destination_outstanding{destination="ci"} 2"#,
        r#"hookward_destination_held{destination="ci"} 0"#,
        r#"hookward_destination_waiting{destination="ci"} 0"#,
        r#"hookward_destination_open{destination="ci"} 0"#,
        r#"hookward_destination_failing_seconds{destination="ci"} 0"#,
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in\n{metrics}");
    }
}
