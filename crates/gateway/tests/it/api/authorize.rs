//! Who is let through.

use super::problem;
use crate::support::{Gateway, KEY, SOURCES, send};

#[tokio::test]
async fn nothing_is_answered_without_the_key() {
    let gateway = Gateway::start(SOURCES).await;
    let bearer = format!("Bearer {KEY}");
    let twice = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    let longer = format!("Bearer {KEY}x");
    for headers in [
        &[][..],
        &[("authorization", "")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer ")],
        &[("authorization", KEY)],
        &[("authorization", longer.as_str())],
        &[("authorization", "Basic dGVzdC1rZXk=")],
        &twice,
    ] {
        for path in ["/api/v1/sources", "/api/v1/nothing", "/api/v1/events/evt_x/body"] {
            let answer = send(gateway.running.admin(), "GET", path, headers, b"").await;
            assert_eq!(problem(&answer), (401, "unauthorized".to_owned()), "{headers:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    let lower = format!("bearer {KEY}");
    let answer = send(gateway.running.admin(), "GET", "/api/v1/sources", &[("authorization", &lower)], b"").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn the_audit_log_has_whom_a_proxy_of_ours_speaks_for() {
    let trusting = format!("[admin]\ntrusted_proxies = [\"127.0.0.0/8\"]\n{SOURCES}");
    for (config, address) in [(trusting.as_str(), "203.0.113.7"), (SOURCES, "127.0.0.1")] {
        let gateway = Gateway::start(config).await;
        let key = format!("Bearer {KEY}");
        let headers = [
            ("authorization", key.as_str()),
            ("content-type", "application/json"),
            ("x-forwarded-for", "198.51.100.1, 203.0.113.7"),
        ];
        let body = br#"{"name":"ci","scopes":["read"]}"#;
        let made = send(gateway.running.admin(), "POST", "/api/v1/keys", &headers, body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(gateway.get("/audit?limit=1").await["items"][0]["address"], address);
    }
}
