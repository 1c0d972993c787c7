//! Handshakes over HTTP: what the provider gets, with which headers, and where they are none.

use hookward::{Draft, Secret, UnixTime};
use serde_json::json;

use crate::support::Gateway;

const SOURCES: &str = r#"
[[source]]
name = "drop"
scheme = "dropbox"
secret = "env:DROP_SECRET"

[[source]]
name = "graph"
scheme = "microsoft-graph"
secret = "env:GRAPH_SECRET"

[[source]]
name = "fb"
scheme = "meta"
secret = "env:FB_SECRET"
handshake_token = "env:VERIFY_SECRET"

[[source]]
name = "crc"
scheme = "x"
secret = "env:CRC_SECRET"

[[source]]
name = "tasks"
scheme = "asana"

[[source]]
name = "idp"
scheme = "okta"
secret = "env:IDP_SECRET"

[[source]]
name = "shared"
path = "/in/shared"
hint = { "/account" = "a" }
scheme = "dropbox"
"#;

#[tokio::test]
async fn each_provider_hears_what_it_wants_and_nothing_is_kept() {
    let gateway = Gateway::start(SOURCES).await;
    let text = Some("text/plain");
    let drop = gateway.send("GET", "/in/drop?challenge=%3Cscript%3E", &[], b"").await;
    assert_eq!((drop.status, drop.text().as_str(), drop.header("content-type")), (200, "<script>", text));
    assert_eq!(drop.header("x-content-type-options"), Some("nosniff"));
    let graph = gateway.send("POST", "/in/graph?validationToken=Validation%3a+Request+1", &[], b"").await;
    assert_eq!(
        (graph.status, graph.text().as_str(), graph.header("content-type")),
        (200, "Validation: Request 1", text)
    );
    let target = "/in/fb?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=the+secret+of+VERIFY";
    let fb = gateway.send("GET", target, &[], b"").await;
    assert_eq!((fb.status, fb.text().as_str()), (200, "1158201444"));
    let crc = gateway.send("GET", "/in/crc?crc_token=abc", &[], b"").await;
    // Computed with the Python standard library.
    let expected = r#"{"response_token":"sha256=fmY/6YHukepu7+QD60LGsMitLdqwrXXkwz9nbODfqI8="}"#;
    assert_eq!(
        (crc.status, crc.text().as_str(), crc.header("content-type")),
        (200, expected, Some("application/json"))
    );
    let idp = gateway.send("GET", "/in/idp", &[("x-okta-verification-challenge", "abc")], b"").await;
    assert_eq!((idp.status, idp.json()), (200, json!({ "verification": "abc" })));
    assert_eq!(gateway.get("/events").await["items"], json!([]));
    let metrics = crate::support::send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    assert!(metrics.contains(r#"hookward_received_total{source="crc",answer="handshake"} 1"#), "{metrics}");
}

#[tokio::test]
async fn what_is_no_handshake_is_answered_as_ever() {
    let gateway = Gateway::start(SOURCES).await;
    for target in ["/in/drop", "/in/drop?challenge=", "/in/crc?token=abc", "/in/shared?challenge=abc"] {
        assert_eq!(gateway.send("GET", target, &[], b"").await.status, 405, "{target}");
    }
    assert_eq!(gateway.send("PUT", "/in/drop?challenge=abc", &[], b"").await.status, 405);
    let forged = gateway.send("POST", "/in/drop", &[], b"x").await;
    assert_eq!(forged.status, 401);
    for target in [
        "/in/fb?hub.mode=subscribe&hub.challenge=1&hub.verify_token=wrong",
        "/in/drop?challenge=a%0d%0ax-header:1",
        "/in/crc?crc_token=%7B%22a%22%3A1%7D",
    ] {
        assert_eq!(gateway.send("GET", target, &[], b"").await, forged, "{target}");
    }
}

#[tokio::test]
async fn a_source_that_was_told_its_secret_believes_what_is_signed_with_it() {
    let gateway = Gateway::start(SOURCES).await;
    let hello = gateway.send("POST", "/in/tasks", &[("x-hook-secret", "told-by-asana")], b"").await;
    assert_eq!((hello.status, hello.header("x-hook-secret"), hello.text().as_str()), (200, Some("told-by-asana"), ""));
    let again = gateway.send("POST", "/in/tasks", &[("x-hook-secret", "told-by-another")], b"").await;
    assert_eq!((again.status, again.header("x-hook-secret")), (401, None));
    let scheme = hookward::catalog::find("asana").unwrap();
    let key = scheme.key(1, &Secret::new("told-by-asana").unwrap()).unwrap();
    let body = br#"{"events":[]}"#;
    let draft = Draft { id: "", event_type: "", method: "POST", url: "/", body };
    let signed = scheme.sign(&draft, &[key], UnixTime::from_secs(0)).unwrap();
    let headers: Vec<_> = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(gateway.send("POST", "/in/tasks", &headers, body).await.status, 202);
    gateway.running.engine().run_until_idle().await;
    let refused = gateway.get("/refusals").await.to_string();
    assert!(refused.contains("signature-missing") && !refused.contains("told-by-another"), "{refused}");
}
