//! Two organizations over the API: each has its own keys, and none sees or touches the other's anything.

use serde_json::{Value, json};

use super::problem;
use crate::support::{Gateway, KEY, SOURCES, send};

/// A gateway with an organization `acme` beside the default one, and the key with which that administers itself.
async fn with_acme() -> (Gateway, String, String) {
    let gateway = Gateway::start(&format!("{SOURCES}\n[[destination]]\nname = \"worker\"\ntype = \"pull\"\n")).await;
    let made = gateway.api("POST", "/organizations", r#"{"name":"acme","key_prefix":"qlens"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let text = |name: &str| made.json()[name].as_str().unwrap().to_owned();
    let (id, key) = (text("id"), text("key"));
    assert!(key.starts_with("qlens_"), "{key}");
    (gateway, id, key)
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn nothing_of_one_organization_is_anothers_to_see_or_touch() {
    let (gateway, _, acme) = with_acme().await;
    gateway.push("a", b"{\"n\":1}").await;
    gateway.send("POST", "/in/github", &[("x-hub-signature-256", "sha256=00")], b"{}").await;
    gateway.api("POST", "/redeliveries", "{}").await;
    gateway.key("another", &["read"]).await;
    let mut paths =
        vec!["/sources/github".to_owned(), "/sources/github/secrets".to_owned(), "/destinations/worker".to_owned()];
    for list in ["/events", "/deliveries", "/refusals", "/redeliveries", "/keys"] {
        let listed = gateway.get(list).await;
        paths.extend(ids(&listed).into_iter().map(|id| format!("{list}/{id}")));
        let theirs = gateway.api_as(&acme, "GET", list, "").await.json();
        if list == "/keys" {
            assert_eq!(theirs["items"][0]["state"], "live", "one's own");
            assert_eq!(theirs["items"].as_array().unwrap().len(), 1);
        } else {
            assert_eq!(theirs["items"], json!([]), "{list}");
        }
    }
    assert!(paths.len() >= 8, "there is something of each kind to ask for: {paths:?}");
    for path in &paths {
        assert_eq!(gateway.api("GET", path, "").await.status, 200, "{path}");
        let answer = gateway.api_as(&acme, "GET", path, "").await;
        assert_eq!(problem(&answer), (404, "not_found".to_owned()), "{path}");
        for verb in ["redeliver", "cancel", "pause", "resume", "rotate", "body", "output", "1/reveal", "1/revoke"] {
            let answer = gateway.api_as(&acme, "POST", &format!("{path}/{verb}"), "{}").await;
            assert!(matches!(answer.status, 404 | 405), "{path}/{verb}: {}", answer.status);
        }
        let answer = gateway.api_as(&acme, "DELETE", path, "").await;
        assert!(matches!(answer.status, 404 | 405), "DELETE {path}: {}", answer.status);
    }
    let audit = gateway.api_as(&acme, "GET", "/audit", "").await.json();
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    let own = ["key.create", "source.create", "source.create"];
    assert_eq!(actions, own, "its inner doors, that it was given its first key, and nothing else");
}

#[tokio::test]
async fn only_who_operates_the_installation_makes_and_erases_organizations() {
    let (gateway, id, acme) = with_acme().await;
    for (method, path, body) in [
        ("POST", "/organizations".to_owned(), r#"{"name":"other"}"#),
        ("DELETE", format!("/organizations/{id}"), ""),
        ("POST", format!("/organizations/{id}/key"), ""),
    ] {
        let answer = gateway.api_as(&acme, method, &path, body).await;
        assert_eq!(problem(&answer), (403, "forbidden".to_owned()), "{method} {path}");
    }
    let again = gateway.api("POST", &format!("/organizations/{id}/key"), "").await;
    assert_eq!(again.status, 409, "it has one that administers it: {}", again.text());
    assert_eq!(ids(&gateway.api_as(&acme, "GET", "/organizations", "").await.json()), [id.as_str()]);
    let prefix = gateway.api_as(&acme, "PATCH", &format!("/organizations/{id}"), r#"{"key_prefix":"ac1"}"#).await;
    assert_eq!(prefix.json()["key_prefix"], "ac1");
    let erased = gateway.api("DELETE", &format!("/organizations/{id}"), "").await;
    assert_eq!((erased.status, erased.json()["erasing_at"].is_string()), (202, true));
    assert_eq!(gateway.api_as(&acme, "GET", "/sources", "").await.status, 401, "its keys end at once");
    let default = gateway.get("/organizations").await["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.api("DELETE", &format!("/organizations/{default}"), "").await.status, 409);
}

#[tokio::test]
async fn metrics_name_everybodys_sources_so_with_several_organizations_they_take_the_operators_key() {
    let (gateway, _, acme) = with_acme().await;
    let ask = async |key: Option<&str>| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        send(gateway.running.admin(), "GET", "/metrics", &headers, b"").await.status
    };
    assert_eq!([ask(None).await, ask(Some(&acme)).await, ask(Some(KEY)).await], [401, 401, 200]);
    let alone = Gateway::start(SOURCES).await;
    assert_eq!(send(alone.running.admin(), "GET", "/metrics", &[], b"").await.status, 200);
}
