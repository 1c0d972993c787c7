//! Batches, declared types of events and feeds over the API; every answer is held against the API's document.

use serde_json::{Value, json};

use crate::support::Gateway;

const DECLARED: &str = r#"
[[event_type]]
name = "invoice.paid"
schema = '{ "type": "object", "required": ["invoice"] }'
"#;

fn fields<'v>(items: &'v Value, field: &str) -> Vec<&'v Value> {
    items.as_array().unwrap().iter().map(|item| &item[field]).collect()
}

#[tokio::test]
async fn a_batch_is_answered_event_by_event() {
    let gateway = Gateway::start(DECLARED).await;
    let all = gateway.api("POST", "/events/batch", r#"{"events":[{"type":"a","payload":1}]}"#).await;
    assert_eq!((all.status, all.json()["results"][0]["result"].clone()), (202, json!("accepted")));
    let batch = r#"{"events":[{"type":"invoice.paid","payload":{}},{"type":"a","payload":2,"idempotency_key":""}]}"#;
    let some = gateway.api("POST", "/events/batch", batch).await;
    assert_eq!(some.status, 207, "{}", some.text());
    assert_eq!(fields(&some.json()["results"], "code"), [&json!("payload_refused"), &json!("invalid_request")]);
    assert_eq!(some.json()["results"][0]["errors"][0]["pointer"], "");
    assert_eq!(gateway.api("POST", "/events/batch", r#"{"events":{}}"#).await.status, 422);
    assert_eq!(gateway.api("POST", "/events/batch", "[").await.status, 400);
    let single = gateway.api("POST", "/events", r#"{"type":"invoice.paid","payload":{}}"#).await;
    assert_eq!((single.status, single.json()["code"].clone()), (422, json!("payload_refused")));
    assert_eq!(gateway.get("/events").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn types_are_made_changed_and_removed_and_a_files_stay_as_they_are() {
    let gateway = Gateway::start(DECLARED).await;
    let made =
        gateway.api("POST", "/event-types", r#"{"name":"a/b","schema":{"enum":[null,1]},"description":"x"}"#).await;
    assert_eq!((made.status, made.json()["schema"].clone()), (201, json!({ "enum": [null, 1] })), "{}", made.text());
    assert_eq!(gateway.api("POST", "/event-types", r#"{"name":"a/b"}"#).await.status, 409);
    for wrong in [
        r#"{"name":"no name"}"#,
        r#"{"name":"c","schema":{"type":"objekt"}}"#,
        r#"{"name":"c","schema":{"$ref":"http://169.254.169.254/"}}"#,
        r#"{"name":"c","schema":"{"}"#,
        r#"{"name":"c","schema":{"type":"object"},"example":7}"#,
        r#"{"name":"c","shema":{}}"#,
        r#"{"name":"c","schema":"file:/etc/hostname"}"#,
        r#"{"schema":{}}"#,
    ] {
        let refused = gateway.api("POST", "/event-types", wrong).await;
        assert_eq!(refused.status, 422, "{wrong}: {}", refused.text());
    }
    let changed = gateway.api("PATCH", "/event-types/a%2Fb", r#"{"deprecated":true,"schema":{"const":null}}"#).await;
    assert_eq!(
        (changed.status, changed.json()["schema"].clone()),
        (200, json!({ "const": null })),
        "{}",
        changed.text()
    );
    assert_eq!((&changed.json()["description"], &changed.json()["deprecated"]), (&json!("x"), &json!(true)));
    let fits = |payload: &str| format!(r#"{{"type":"a/b","payload":{payload}}}"#);
    let check = gateway.api("POST", "/event-types/check", &fits("null")).await;
    assert_eq!(check.json(), json!({ "fits": true, "errors": [] }));
    assert_eq!(gateway.api("POST", "/event-types/check", &fits("1")).await.json()["fits"], false);
    assert_eq!(gateway.api("POST", "/event-types/check", r#"{"type":"x","payload":1}"#).await.status, 404);
    assert_eq!(gateway.api("DELETE", "/event-types/a%2Fb", "").await.status, 204);
    assert_eq!(gateway.api("GET", "/event-types/a%2Fb", "").await.status, 404);
    assert_eq!(gateway.api("DELETE", "/event-types/invoice.paid", "").await.status, 409);
    assert_eq!(gateway.api("PATCH", "/event-types/invoice.paid", r#"{"schema":null}"#).await.status, 409);
    assert_eq!(fields(&gateway.get("/event-types").await["items"], "name"), [&json!("invoice.paid")]);
}

#[tokio::test]
async fn a_feed_goes_on_where_its_last_answer_ended() {
    let gateway = Gateway::start(DECLARED).await;
    let now = gateway.get("/feeds/events").await;
    assert_eq!((now["items"].clone(), &now["after"]), (json!([]), &now["next"]));
    for n in 0..3 {
        gateway.api("POST", "/events", &format!(r#"{{"type":"t{n}","payload":{n}}}"#)).await;
    }
    let after = |feed: &Value| format!("/feeds/events?limit=2&after={}", feed["next"].as_str().unwrap());
    let first = gateway.get(&after(&now)).await;
    assert_eq!(fields(&first["items"], "type"), [&json!("t0"), &json!("t1")]);
    let second = gateway.get(&after(&first)).await;
    assert_eq!((fields(&second["items"], "type"), &second["after"]), (vec![&json!("t2")], &first["next"]));
    assert_eq!(gateway.get(&after(&second)).await["items"], json!([]));
    let all = gateway.get("/feeds/events?from=2020-01-01T00:00:00Z&source=publish").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 3);
    let attempts = gateway.get("/feeds/attempts").await;
    assert_eq!(attempts["items"], json!([]));
    let events_position = now["next"].as_str().unwrap();
    for (path, status) in [
        (format!("/feeds/attempts?after={events_position}"), 422),
        ("/feeds/events?after=x".to_owned(), 422),
        ("/feeds/events?limit=0".to_owned(), 422),
        ("/feeds/events?limit=101".to_owned(), 422),
        ("/feeds/events?wait_s=31".to_owned(), 422),
        ("/feeds/events?from=yesterday".to_owned(), 422),
        ("/feeds/events?destination=x".to_owned(), 422),
        ("/feeds/attempts?from=2020-01-01T00:00:00Z".to_owned(), 422),
        ("/feeds/events?source=nobody".to_owned(), 404),
        ("/feeds/attempts?destination=nobody".to_owned(), 404),
    ] {
        assert_eq!(gateway.api("GET", &path, "").await.status, status, "{path}");
    }
}
