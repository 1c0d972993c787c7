//! Deliveries that wait, as the API, the command line and the metrics show them.

use serde_json::json;

use crate::support::Gateway;

const ORDERED: &str = r#"
[[destination]]
name = "false"
type = "command"
argv = ["/bin/false"]
retry = { waits = ["1h"] }
order = { key = "body.customer", on_failure = { park = 2 } }
"#;

#[tokio::test]
async fn what_waits_is_shown_found_counted_and_called_off() {
    let gateway = Gateway::start(ORDERED).await;
    let order = json!({ "key": "body.customer", "on_failure": { "park": 2 } });
    assert_eq!(gateway.get("/destinations/false").await["order"], order);
    for n in 0..3 {
        let body = format!(r#"{{"type":"order.paid","payload":{{"customer":"a","n":{n}}}}}"#);
        assert!(gateway.api("POST", "/events", &body).await.status < 300);
    }
    let waiting = gateway.get("/deliveries?state=waiting").await["items"].clone();
    let waiting: Vec<_> =
        waiting.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(waiting.len(), 2);
    assert_eq!(gateway.get("/deliveries?state=held").await["items"], json!([]));
    let shown = gateway.get(&format!("/deliveries/{}", waiting[0])).await;
    assert_eq!((&shown["state"], &shown["parked"], &shown["skipped"]), (&json!("waiting"), &json!(false), &json!(0)));
    let metrics = crate::support::send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    assert!(metrics.contains("hookward_waiting 2\n"), "{metrics}");
    let table = gateway.ok(&["delivery", "list", "--state", "waiting"], b"").await;
    assert!(waiting.iter().all(|id| table.contains(id.as_str())), "{table}");
    let cancelled = gateway.ok(&["delivery", "cancel", &waiting[0]], b"").await;
    assert_eq!(cancelled, format!("delivery `{}` is cancelled\n", waiting[0]));
    assert_eq!(gateway.get("/deliveries?state=waiting").await["items"].as_array().unwrap().len(), 1);
}
