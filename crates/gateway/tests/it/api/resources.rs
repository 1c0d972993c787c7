//! How sources and destinations are shown.

use serde_json::json;

use super::{WITH_DESTINATION, shape};
use crate::support::Gateway;

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
    insta::assert_snapshot!(shape(&destination), @r#"
{
  "allow_addresses": [],
  "concurrency": 8,
  "connect_timeout_ms": null,
  "created_at": "TIME",
  "declared": {
    "event_types": [
      "push.*"
    ],
    "name": "ci",
    "set_headers": {
      "Authorization": "stored"
    },
    "sign": {
      "scheme": "github"
    },
    "type": "http",
    "url": "stored"
  },
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
  "retry": {
    "jitter_percent": 20,
    "waits_s": [
      5,
      300,
      1800,
      7200,
      18000,
      36000,
      36000
    ]
  },
  "set_headers": [
    "Authorization"
  ],
  "signing": [
    {
      "ended": false,
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
