//! Lists of events and deliveries: narrowed in time, and searched.

use serde_json::Value;

use super::problem;
use crate::support::{Gateway, SOURCES};

async fn ids(gateway: &Gateway, path: &str) -> Vec<String> {
    let page = gateway.get(path).await;
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn events_are_found_by_time_and_by_name() {
    let gateway = Gateway::start(SOURCES).await;
    for id in ["d1", "d2"] {
        assert_eq!(gateway.push(id, id.as_bytes()).await.status, 202);
    }
    let all = ids(&gateway, "/events").await;
    assert_eq!(all.len(), 2);
    let event: Value = gateway.get(&format!("/events/{}", all[1])).await;
    assert_eq!(ids(&gateway, "/events?from=2020-01-31T09:30:00Z&until=2100-01-01T00:00:00%2B02:00").await, all);
    assert!(ids(&gateway, "/events?until=2020-01-31T09:30:00Z").await.is_empty());
    assert!(ids(&gateway, "/events?from=2100-01-31T09:30:00Z").await.is_empty());
    let at = event["received_at"].as_str().unwrap();
    assert!(!ids(&gateway, &format!("/events?until={at}")).await.contains(&all[1]), "until is not included");
    assert!(ids(&gateway, &format!("/events?from={at}")).await.contains(&all[1]), "from is");
    assert_eq!(ids(&gateway, &format!("/events?q={}", all[0])).await, all[..1]);
    assert_eq!(ids(&gateway, "/events?q=d1").await, all[1..]);
    assert_eq!(ids(&gateway, "/events?q=push").await, all);
    assert_eq!(ids(&gateway, "/events?q=push&source=github&limit=1").await, all[..1]);
    assert!(ids(&gateway, &format!("/events?q={}&source=open", all[0])).await.is_empty());
    for nothing in ["evt_0190000000007000800000000000ffff", "%27%20UNION%20SELECT%20secret--", "pus", "%25"] {
        assert!(ids(&gateway, &format!("/events?q={nothing}")).await.is_empty(), "{nothing}");
    }
    for bad in ["from=2026-13-40T99:99:99Z", "until=", "from=yesterday", "q=push&type=push", "sort=name"] {
        let answer = gateway.api("GET", &format!("/events?{bad}"), "").await;
        assert_eq!(problem(&answer), (422, "invalid_query".to_owned()), "{bad}");
    }
    assert!(ids(&gateway, "/deliveries?from=2020-01-31T09:30:00Z").await.is_empty());
    assert_eq!(gateway.api("GET", "/deliveries?until=soon", "").await.status, 422);
}
