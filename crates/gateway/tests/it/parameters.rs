//! Sources of schemes that leave something to be said for each endpoint, from the configuration and over the API.

use std::collections::BTreeMap;

use hookward::{Draft, Scheme, Secret, UnixTime, catalog};
use serde_json::json;

use crate::support::Gateway;

const FORM: &[u8] = b"CallSid=CA1&From=%2B14158675309";

/// What the provider sends: signed with the secret in `variable`, for the URL that it has.
fn signed(scheme: &Scheme, variable: &str, url: &str, body: &[u8]) -> Vec<(String, String)> {
    let key = scheme.key(1, &Secret::new(format!("the secret of {variable}")).unwrap()).unwrap();
    let draft = Draft { id: "d", event_type: "", method: "POST", url, body };
    scheme.sign(&draft, &[key], UnixTime::from_secs(1_700_000_000)).unwrap().headers
}

fn form(scheme: &Scheme, variable: &str, url: &str) -> Vec<(String, String)> {
    let mut headers = signed(scheme, variable, url, FORM);
    headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    headers
}

fn shop(app_key: &str) -> Scheme {
    let values = BTreeMap::from([("app_key".to_owned(), app_key.to_owned())]);
    catalog::find("tiktok-shop").unwrap().for_endpoint(&values).unwrap()
}

impl Gateway {
    async fn status(&self, path: &str, headers: &[(String, String)], body: &[u8]) -> u16 {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("POST", path, &headers, body).await.status
    }
}

#[tokio::test]
async fn a_request_is_signed_for_the_url_that_is_registered() {
    let gateway = Gateway::start(
        r#"
[[source]]
name = "calls"
scheme = "twilio"
secret = "env:CALLS_SECRET"
parameters = { url = "https://example.com/twilio?tenant=7" }

[[source]]
name = "texts"
scheme = "twilio"
secret = "env:TEXTS_SECRET"
"#,
    )
    .await;
    let twilio = catalog::find("twilio").unwrap();
    let registered = form(twilio, "CALLS", "https://example.com/twilio?tenant=7");
    assert_eq!(gateway.status("/in/calls", &registered, FORM).await, 202);
    assert_eq!(gateway.status("/in/calls", &registered, b"CallSid=CA2").await, 401);
    let called = "http://hookward.test/in/calls";
    assert_eq!(gateway.status("/in/calls", &form(twilio, "CALLS", called), FORM).await, 401);
    // Nothing said: the URL as it was called.
    assert_eq!(gateway.status("/in/texts", &form(twilio, "TEXTS", "http://hookward.test/in/texts"), FORM).await, 202);
    assert_eq!(gateway.status("/in/texts", &form(twilio, "TEXTS", "https://example.com/in/texts"), FORM).await, 401);

    let shown = gateway.get("/sources/calls").await;
    assert_eq!(shown["parameters"], json!({ "url": "https://example.com/twilio?tenant=7" }));
    assert_eq!(shown["declared"]["parameters"], shown["parameters"]);
    assert_eq!(gateway.get("/sources/texts").await["parameters"], json!({}));
}

#[tokio::test]
async fn the_origin_of_the_listener_is_what_senders_call() {
    let gateway = Gateway::start(
        "[public]\norigin = \"https://hooks.example.com\"\n[[source]]\nname = \"calls\"\nscheme = \"twilio\"\nsecret = \"env:CALLS_SECRET\"",
    )
    .await;
    let twilio = catalog::find("twilio").unwrap();
    let headers = form(twilio, "CALLS", "https://hooks.example.com/in/calls?a=1");
    assert_eq!(gateway.status("/in/calls?a=1", &headers, FORM).await, 202);
}

#[tokio::test]
async fn a_refusal_says_that_another_url_was_signed_than_is_registered() {
    let gateway = Gateway::start(
        "[[source]]\nname = \"calls\"\nscheme = \"twilio\"\nsecret = \"env:CALLS_SECRET\"\nparameters = { url = \"https://example.com/calls\" }",
    )
    .await;
    let twilio = catalog::find("twilio").unwrap();
    let headers = form(twilio, "CALLS", "https://example.com/calls/");
    assert_eq!(gateway.status("/in/calls", &headers, FORM).await, 401);
    let id = loop {
        if let Some(id) = gateway.get("/refusals").await["items"][0]["id"].as_str() {
            break id.to_owned();
        }
        tokio::task::yield_now().await;
    };
    let findings = gateway.get(&format!("/refusals/{id}")).await["detail"]["findings"].clone();
    assert_eq!(findings[0]["causes"], json!(["url-slash"]), "{findings}");
    assert_eq!(findings[0]["evidence"], "proven");
}

#[tokio::test]
async fn parameters_are_set_and_changed_over_the_api() {
    let gateway = Gateway::start("").await;
    let create = |parameters: &str| {
        format!(r#"{{"name":"shop","scheme":"tiktok-shop","secret":"the secret of SHOP"{parameters}}}"#)
    };
    for (parameters, pointer, problem) in [
        ("", "/scheme", "needs the parameter `app_key`: the app's key, which is shown beside its secret"),
        (
            r#","parameters":{"app_kay":"x"}"#,
            "/parameters/app_kay",
            "has no parameter `app_kay`; did you mean `app_key`?",
        ),
    ] {
        let answer = gateway.api("POST", "/sources", &create(parameters)).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        let told = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(&format!("`{pointer}`: scheme `tiktok-shop` {problem}")), "{told}");
    }
    let created = gateway.api("POST", "/sources", &create(r#","parameters":{"app_key":"6a3f"}"#)).await;
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.json()["parameters"], json!({ "app_key": "6a3f" }));
    let (old, new) = (signed(&shop("6a3f"), "SHOP", "/", b"{\"n\":1}"), signed(&shop("77"), "SHOP", "/", b"{\"n\":2}"));
    assert_eq!(gateway.status("/in/shop", &new, b"{\"n\":2}").await, 401);
    assert_eq!(gateway.status("/in/shop", &old, b"{\"n\":1}").await, 202);
    let changed = gateway.api("PATCH", "/sources/shop", r#"{"parameters":{"app_key":"77"}}"#).await;
    assert_eq!(changed.json()["parameters"], json!({ "app_key": "77" }), "{}", changed.text());
    assert_eq!(gateway.status("/in/shop", &new, b"{\"n\":2}").await, 202);
    assert_eq!(gateway.status("/in/shop", &old, b"{\"n\":1}").await, 401);
    assert_eq!(gateway.api("PATCH", "/sources/shop", r#"{"parameters":null}"#).await.status, 422);

    let gateway = gateway.restart("").await;
    assert_eq!(gateway.status("/in/shop", &signed(&shop("77"), "SHOP", "/", b"{\"n\":3}"), b"{\"n\":3}").await, 202);
    let destination = r#"{"name":"next","type":"http","url":"https://next.example/","sign":{"scheme":"tiktok-shop","parameters":{"app_key":"1"}}}"#;
    let created = gateway.api("POST", "/destinations", destination).await;
    assert_eq!(created.json()["signing"][0]["parameters"], json!({ "app_key": "1" }), "{}", created.text());
}
