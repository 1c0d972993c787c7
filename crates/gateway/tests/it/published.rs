//! Sources whose provider publishes its keys, over HTTP: what a sender is told while one cannot be had, and who else is told.

use crate::support::{Gateway, send};

/// Nobody listens there: the listeners' own port is for them alone.
const SOURCES: &str = r#"
[egress]
allow = ["127.0.0.0/8"]

[[scheme]]
name = "ours"
title = "Ours"
[scheme.keys]
format = "certificate"
at = "header:X-Key-Url"
names = ["ours.test"]
url = ["https://127.0.0.1:1/*.pem"]
[[scheme.proof]]
algorithm = "rsa-sha256"
signature = { at = ["header:X-Signature"], encodings = ["base64"] }
content = "{body}"

[[source]]
name = "ours"
scheme = "ours"
"#;

#[tokio::test]
async fn a_key_that_cannot_be_had_is_no_fault_of_the_senders() {
    let gateway = Gateway::start(SOURCES).await;
    let ask = async |url: &str| {
        let headers = [("x-signature", "AAAA"), ("x-key-url", url)];
        gateway.send("POST", "/in/ours", &headers, b"{}").await
    };
    let undecided = ask("https://127.0.0.1:1/a.pem").await;
    assert_eq!((undecided.status, undecided.header("retry-after")), (503, Some("5")));
    let refused = ask("https://127.0.0.1:2/a.pem").await;
    assert_eq!((refused.status, refused.header("retry-after")), (401, None));
    let admin = gateway.running.admin();
    let ready = send(admin, "GET", "/readyz", &[], b"").await;
    let notice = ready.json()["notices"][0].as_str().unwrap_or_default().to_owned();
    let told = "source `ours` cannot fetch its provider's key at https://127.0.0.1:1/a.pem: no connection";
    assert_eq!((ready.status, notice.starts_with(told)), (200, true), "{notice}");
    let metrics = send(admin, "GET", "/metrics", &[], b"").await.text();
    for line in [
        r#"hookward_key_fetches_total{source="ours",outcome="failed"} 1"#,
        r#"hookward_received_total{source="ours",answer="unavailable"} 1"#,
        r#"hookward_refused_total{source="ours",refusal="key-unavailable"} 1"#,
        r#"hookward_refused_total{source="ours",refusal="url-refused"} 1"#,
    ] {
        assert!(metrics.lines().any(|got| got == line), "{line} is not in\n{metrics}");
    }
    gateway.running.engine().run_until_idle().await;
    let refused = gateway.get("/refusals").await.to_string();
    assert!(refused.contains("what decides cannot be fetched from the provider: no connection"), "{refused}");
}
