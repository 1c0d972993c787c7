//! Refused requests, as the API shows them.

use serde_json::{Value, json};

use super::shape;
use crate::support::{Gateway, SOURCES};

#[tokio::test]
async fn a_refused_request_is_shown_with_its_reason() {
    let gateway = Gateway::start(SOURCES).await;
    let headers = [("x-github-event", "push"), ("authorization", "Bearer almost")];
    gateway.send("POST", "/in/github?token=almost", &headers, b"{\"a\":1}").await;
    gateway.send("POST", "/in/unset", &[], b"\xff").await;
    while gateway.get("/refusals").await["items"].as_array().unwrap().len() < 2 {
        tokio::task::yield_now().await;
    }
    let list = gateway.get("/refusals?source=github&reason=signature-missing").await;
    let refused = &list["items"][0];
    assert_eq!((list["items"].as_array().unwrap().len(), &refused["request"]), (1, &Value::Null));
    assert_eq!(gateway.get("/refusals?source=github&reason=id-missing").await["items"], json!([]));
    assert_eq!(gateway.get("/refusals?source=/in/nowhere").await["items"], json!([]));
    let mut shown = gateway.get(&format!("/refusals/{}", refused["id"].as_str().unwrap())).await;
    assert!(!shown.to_string().contains("almost"));
    let findings = shown["detail"].as_object_mut().unwrap().remove("findings").unwrap().to_string();
    assert!(findings.contains(r#"{"causes":["not-signed"],"evidence":"suspected""#), "{findings}");
    insta::assert_snapshot!(shape(&shown), @r#"
{
  "body_len": 7,
  "body_start": "{\"a\":1}",
  "body_start_encoding": "utf-8",
  "count": 1,
  "detail": {
    "places": [
      "header:X-Hub-Signature-256"
    ],
    "scheme": "github"
  },
  "explanation": "the signature is missing",
  "id": "ref_ID",
  "path": null,
  "reason": "signature-missing",
  "refused_at": "TIME",
  "remote": "PEER",
  "request": {
    "headers": [
      [
        "host",
        "hookward.test"
      ],
      [
        "connection",
        "close"
      ],
      [
        "x-github-event",
        "push"
      ],
      [
        "authorization",
        "[redacted]"
      ],
      [
        "content-length",
        "7"
      ]
    ],
    "method": "POST",
    "remote": "PEER",
    "target": "/in/github?token=[redacted]"
  },
  "source": "github"
}
"#);
    let unset = gateway.get("/refusals?source=unset").await["items"][0].clone();
    assert_eq!(unset["reason"], "no-usable-secret");
    let shown = gateway.get(&format!("/refusals/{}", unset["id"].as_str().unwrap())).await;
    assert_eq!((&shown["body_start"], &shown["body_start_encoding"]), (&json!("/w=="), &json!("base64")));
}
