//! What retention took, as the API shows it.

use serde_json::Value;

use super::problem;
use crate::support::{Gateway, send};

const KEEPING: &str = "[[source]]\nname = \"open\"\nunsigned = true\ndedup = { body = true }\n";

#[tokio::test]
async fn a_stripped_event_is_shown_as_such_and_its_repeat_is_known() {
    let gateway = Gateway::start(KEEPING).await;
    let first = gateway.send("POST", "/in/open", &[("x-kept", "no more")], b"twelve bytes").await;
    let id = first.json()["eventId"].as_str().unwrap().to_owned();
    let gateway = gateway.restart(&format!("{KEEPING}retention = {{ size = 11 }}\n")).await;
    let path = format!("/events/{id}");
    while gateway.get(&path).await["stripped_at"] == Value::Null {
        tokio::task::yield_now().await;
    }
    let shown = gateway.get(&path).await;
    assert_eq!((&shown["body_len"], shown["request"]["headers"].as_array().unwrap().len()), (&12.into(), 0));
    let body = gateway.api("GET", &format!("{path}/body"), "").await;
    assert_eq!(problem(&body), (404, "not_found".to_owned()));
    assert!(body.text().contains("it was removed by retention"), "{}", body.text());
    let again = gateway.send("POST", "/in/open", &[], b"twelve bytes").await;
    assert_eq!((again.status, again.json()["eventId"].as_str().unwrap()), (200, id.as_str()));
    let metrics = send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    assert!(metrics.lines().any(|line| line == r#"hookward_kept_events{source="open"} 1"#), "{metrics}");
}
