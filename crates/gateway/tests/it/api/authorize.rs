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
