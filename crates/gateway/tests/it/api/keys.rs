//! API keys, from the first to the revoked one, and who gets at nothing.

use serde_json::{Value, json};

use super::problem;
use crate::support::{Answer, Gateway, KEY, SOURCES, everything_in, send};

impl Gateway {
    /// An API request with any credential.
    pub(crate) async fn api_as(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        send(self.running.admin(), method, &format!("/api/v1{path}"), &headers, body.as_bytes()).await
    }

    /// A key with these scopes: its text and its id.
    pub(crate) async fn key(&self, name: &str, scopes: &[&str]) -> (String, String) {
        let made = self.api("POST", "/keys", &json!({ "name": name, "scopes": scopes }).to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made = made.json();
        (made["key"].as_str().unwrap().to_owned(), made["id"].as_str().unwrap().to_owned())
    }

    /// The newest entries of the audit log: action, actor, target.
    pub(crate) async fn audited(&self, entries: usize) -> Vec<(String, String, String)> {
        let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        let log = self.get(&format!("/audit?limit={entries}")).await;
        let entries = log["items"].as_array().unwrap();
        entries.iter().map(|entry| (text(entry, "action"), text(entry, "actor"), text(entry, "target"))).collect()
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_does_what_its_scopes_say() {
    let gateway = Gateway::start(SOURCES).await;
    let made = gateway.api("POST", "/keys", r#"{"name":"reader","scopes":["read"]}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("hookward_") && key.len() >= "hookward_".len() + 43, "{key}");
    assert_eq!(made["last_four"].as_str().unwrap(), &key[key.len() - 4..]);
    assert_eq!(
        (&made["prefix"], &made["scopes"], &made["state"]),
        (&json!("hookward"), &json!(["read"]), &json!("live"))
    );
    assert_eq!(gateway.api_as(key, "GET", "/sources", "").await.status, 200);
    for (method, path, body) in [
        ("GET", "/keys", ""),
        ("POST", "/keys", r#"{"name":"other","scopes":["read"]}"#),
        ("POST", "/events", r#"{"type":"a","payload":1}"#),
        ("POST", "/sources/github/secrets/1/reveal", r#"{"reason":"test"}"#),
        ("POST", "/sources/github/secrets/rotate", "{}"),
    ] {
        let answer = gateway.api_as(key, method, path, body).await;
        assert_eq!(problem(&answer), (403, "forbidden".to_owned()), "{method} {path}");
    }
    let listed = gateway.get("/keys").await;
    let id = made["id"].as_str().unwrap();
    assert_eq!(listed["items"][0]["id"], id);
    assert_eq!(gateway.get(&format!("/keys/{id}")).await, listed["items"][0]);
    assert!(listed["items"][0]["key"].is_null() && !listed.to_string().contains(key));
    assert!(!listed["items"][0]["last_used_at"].is_null(), "it was used a moment ago");
    let created = ("key.create".to_owned(), "key:bootstrap".to_owned(), "key:reader".to_owned());
    assert_eq!(gateway.audited(1).await, [created]);
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_its_name_is_free() {
    let gateway = Gateway::start(SOURCES).await;
    let (key, id) = gateway.key("ci", &["read"]).await;
    let taken = gateway.api("POST", "/keys", r#"{"name":"ci","scopes":["read"]}"#).await;
    assert_eq!(problem(&taken).0, 409);
    assert_eq!(gateway.api_as(&key, "GET", "/sources", "").await.status, 200);
    for _ in 0..2 {
        let revoked = gateway.api("DELETE", &format!("/keys/{id}"), "").await;
        assert_eq!((revoked.status, revoked.body.len()), (204, 0));
        assert_eq!(problem(&gateway.api_as(&key, "GET", "/sources", "").await), (401, "unauthorized".to_owned()));
    }
    assert_eq!(gateway.get(&format!("/keys/{id}")).await["state"], "revoked");
    let twice = gateway.audited(2).await;
    assert_eq!(
        (twice[0].0.as_str(), twice[1].0.as_str()),
        ("key.revoke", "key.create"),
        "revoking again tells nothing"
    );
    gateway.key("ci", &["read"]).await;
    assert_eq!(problem(&gateway.api_as(&key, "GET", "/sources", "").await).0, 401);
    let unknown = "/keys/key_0190000000007000800000000000ffff";
    assert_eq!(gateway.api("DELETE", unknown, "").await.status, 404);
    assert_eq!(gateway.api("GET", unknown, "").await.status, 404);
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let gateway = Gateway::start(SOURCES).await;
    let made = gateway.api("POST", "/keys", r#"{"name":"a","scopes":["read"],"expires_at":"2099-01-01T00:00:00Z"}"#);
    let made = made.await.json();
    assert_eq!(made["expires_at"], "2099-01-01T00:00:00.000Z");
    assert_eq!(gateway.api_as(made["key"].as_str().unwrap(), "GET", "/sources", "").await.status, 200);
    for bad in ["2000-01-01T00:00:00Z", "tomorrow", ""] {
        let wanted = json!({ "name": "b", "scopes": ["read"], "expires_at": bad });
        let answer = gateway.api("POST", "/keys", &wanted.to_string()).await;
        assert_eq!(problem(&answer).1, "invalid_request", "{bad}");
    }
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_more_than_they_do() {
    let gateway = Gateway::start(SOURCES).await;
    let (key, _) = gateway.key("half", &["admin", "read"]).await;
    for scopes in [&["*"][..], &["reveal"], &["read", "publish"]] {
        let wanted = json!({ "name": "more", "scopes": scopes }).to_string();
        assert_eq!(problem(&gateway.api_as(&key, "POST", "/keys", &wanted).await).0, 403, "{scopes:?}");
    }
    let wanted = json!({ "name": "less", "scopes": ["read"] }).to_string();
    assert_eq!(gateway.api_as(&key, "POST", "/keys", &wanted).await.status, 201);
    let (all, _) = gateway.key("all", &["*"]).await;
    let wanted = json!({ "name": "more", "scopes": ["*"] }).to_string();
    let made = gateway.api_as(&all, "POST", "/keys", &wanted).await.json();
    let every = ["read", "publish", "pull", "redeliver", "reveal", "rotate", "export", "admin"];
    assert_eq!(made["scopes"], json!(every));
    let escalate = gateway.audited(1).await.remove(0);
    assert_eq!((escalate.1.as_str(), escalate.2.as_str()), ("key:all", "key:more"));
}

#[tokio::test]
async fn what_is_no_key_is_not_made() {
    let gateway = Gateway::start(SOURCES).await;
    let long = format!(r#"{{"name":"{}","scopes":["read"]}}"#, "a".repeat(65));
    for body in [
        r#"{"scopes":["read"]}"#,
        r#"{"name":"a"}"#,
        r#"{"name":"a","scopes":[]}"#,
        r#"{"name":"a","scopes":["write"]}"#,
        r#"{"name":"a","scopes":["read"],"is_admin":true}"#,
        r#"{"name":"","scopes":["read"]}"#,
        r#"{"name":"a b","scopes":["read"]}"#,
        r#"{"name":"bootstrap","scopes":["read"]}"#,
        long.as_str(),
    ] {
        let answer = gateway.api("POST", "/keys", body).await;
        assert_eq!(problem(&answer).1, "invalid_request", "{body}");
    }
    let longest = format!(r#"{{"name":"{}","scopes":["read"]}}"#, "a".repeat(64));
    assert_eq!(gateway.api("POST", "/keys", &longest).await.status, 201);
}

#[tokio::test]
async fn a_key_in_the_query_is_refused_even_beside_a_good_one() {
    let gateway = Gateway::start(SOURCES).await;
    let (key, _) = gateway.key("a", &["read"]).await;
    for name in ["api_key", "key", "token", "access_token"] {
        for token in [KEY, key.as_str()] {
            let answer = gateway.api_as(token, "GET", &format!("/sources?{name}={token}"), "").await;
            assert_eq!(problem(&answer), (401, "unauthorized".to_owned()), "{name}");
            assert!(!answer.text().contains(token));
        }
    }
    assert_eq!(gateway.api_as(&key, "GET", "/sources", "").await.status, 200);
}

#[tokio::test]
async fn a_text_that_only_looks_like_a_key_proves_nothing() {
    let gateway = Gateway::start(SOURCES).await;
    let (key, _) = gateway.key("a", &["read"]).await;
    let other = key.replacen("hookward", "qlens", 1);
    for text in ["hookward_", &key[..key.len() - 1], &format!("{key}x"), &key.to_lowercase(), &other, &"k".repeat(4096)]
    {
        assert_eq!(gateway.api_as(text, "GET", "/sources", "").await.status, 401, "{text}");
    }
}

#[tokio::test]
async fn a_key_outlives_a_restart_and_its_text_is_nowhere_on_disk() {
    let gateway = Gateway::start(SOURCES).await;
    let (key, id) = gateway.key("a", &["read"]).await;
    assert_eq!(gateway.api_as(&key, "GET", "/sources", "").await.status, 200);
    let gateway = gateway.restart(SOURCES).await;
    let shown = gateway.get(&format!("/keys/{id}")).await;
    assert!(!shown["last_used_at"].is_null(), "uses are written before the end");
    assert_eq!(gateway.api_as(&key, "GET", "/sources", "").await.status, 200);
    let random = &key.as_bytes()["hookward_".len()..];
    let disk = everything_in(gateway.directory.path());
    assert!(!disk.windows(random.len()).any(|part| part == random));
}

#[tokio::test]
async fn keys_are_made_and_ended_on_the_command_line() {
    let gateway = Gateway::start(SOURCES).await;
    let key = gateway.ok(&["key", "create", "ci", "--scope", "read,publish"], b"").await;
    let key = key.strip_suffix('\n').unwrap();
    assert_eq!(gateway.api_as(key, "GET", "/sources", "").await.status, 200);
    let list = gateway.ok(&["key", "list"], b"").await;
    assert!(list.contains("ci") && list.contains(&key[key.len() - 4..]) && !list.contains(key), "{list}");
    let id = gateway.get("/keys").await["items"][0]["id"].as_str().unwrap().to_owned();
    let gone = gateway.ok(&["key", "revoke", &id], b"").await;
    assert_eq!(gone, format!("key `{id}` is revoked\n"));
    assert_eq!(gateway.api_as(key, "GET", "/sources", "").await.status, 401);
}
