//! The credentials of destinations that are declared over the API: each is sent to where it belongs, changed and shown once,
//! and then looked for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::server::repository;
use systems::{Canary, Hookward, Receiver, Reply, Request};

const HEADER: &str = "canary-sealed-header/1a7c+09";
const HEADER_OLD: &str = "canary-sealed-header-old/77+01";
const QUERY: &str = "canary-sealed-query-0e6f";
const BASIC: &str = "canary-caller:canary-basic-out/4d+1b";
const BEARER: &str = "canary-bearer-out/2f9a+c3";
const API_KEY: &str = "canary-api-key-out/8c1d+77";
const CLIENT: &str = "canary-client-secret/3c5e+d0";
const TOKEN: &str = "canary-access-token-9b2e";
const WEBHOOK: &str = "canary-webhook-path-6d1a";
const WEBHOOK_OLD: &str = "canary-webhook-path-old-51";

/// Where these were told, and has to be told nothing else.
pub(super) struct Told {
    receiver: Receiver,
    pub(super) canaries: Vec<Canary>,
    /// The destinations' names.
    pub(super) names: Vec<String>,
}

/// Makes a destination for each kind of credential, changes some, and has an event delivered to all of them.
pub(super) fn drive(server: &Hookward) -> Result<Told> {
    let receiver = Receiver::start_with(|request| match request.target.as_str() {
        "/token" => Reply::json(200, &json!({ "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600 })),
        _ => 204.into(),
    })?;
    let url = |path: &str| receiver.url(path);
    let pem = |name: &str| {
        let path = repository(&format!("crates/engine/tests/it/tls/{name}"));
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    };
    let (certificate, key) = (pem("client.pem")?, pem("client.key")?);
    let oauth2 = json!({ "token_url": url("/token"), "client_id": "leak", "secret": CLIENT, "auth": "body" });
    let destinations = [
        json!({ "name": "sealed", "url": url("/sealed?x=1"), "set_headers": { "X-Leak": HEADER_OLD } }),
        json!({ "name": "basic", "url": url("/basic"), "auth": { "basic": BASIC } }),
        json!({ "name": "bearer", "url": url("/bearer"), "auth": { "bearer": BEARER } }),
        json!({ "name": "keyed", "url": url("/keyed"), "auth": { "header": "X-Api-Key", "secret": API_KEY } }),
        json!({ "name": "token", "url": url("/oauth2"), "oauth2": oauth2 }),
        json!({ "name": "certified", "url": url("/mtls"), "mtls": { "certificate": certificate, "key": key } }),
        json!({ "name": "chat", "type": "slack", "url": url(&format!("/{WEBHOOK_OLD}")), "template": "{{ body }}" }),
    ];
    let mut names = Vec::new();
    for mut table in destinations {
        let name = table["name"].as_str().context("a name")?.to_owned();
        if table["type"].is_null() {
            table["type"] = json!("http");
        }
        table["sources"] = json!(["publish"]);
        table["allow_addresses"] = json!(["127.0.0.0/8"]);
        send(server, "POST", "/destinations", &table, 201)?;
        names.push(name);
    }
    let change = json!({ "url": url(&format!("/sealed?x={QUERY}")), "set_headers": { "X-Leak": HEADER } });
    send(server, "PATCH", "/destinations/sealed", &change, 200)?;
    send(server, "PATCH", "/destinations/chat", &json!({ "url": url(&format!("/{WEBHOOK}")) }), 200)?;
    send(server, "POST", "/destinations/chat/secrets/2/reveal", &json!({ "reason": "leaks" }), 200)?;
    send(server, "POST", "/events", &json!({ "type": "leak.told", "payload": { "n": 1 } }), 202)?;
    // One of them is the request for the token.
    let expected = names.len() + 1;
    ensure!(
        receiver.wait_for(expected, Duration::from_secs(30)),
        "only {} of {expected} requests came",
        receiver.count()
    );

    let key_line = key.lines().nth(1).context("a key of two lines")?;
    let canaries = [
        ("a sealed header", HEADER),
        ("a sealed header that was changed", HEADER_OLD),
        ("a sealed query", QUERY),
        ("basic credentials of a destination", BASIC),
        ("a bearer token of a destination", BEARER),
        ("an API key of a destination", API_KEY),
        ("an OAuth 2 client's secret", CLIENT),
        ("an access token", TOKEN),
        ("the key of a certificate", key_line),
        ("a Slack webhook's URL", WEBHOOK),
        ("a Slack webhook's URL that was changed", WEBHOOK_OLD),
    ];
    let canaries = canaries.into_iter().map(|(name, secret)| Canary::new(name, secret)).collect();
    Ok(Told { receiver, canaries, names })
}

impl Told {
    /// Whoever was to be told a credential was, and of none that is another's.
    pub(super) fn ensure_each_was_told_its_own(&self) -> Result<()> {
        let own = [
            ("/sealed", vec!["a sealed header", "a sealed query"]),
            ("/basic", vec!["basic credentials of a destination"]),
            ("/bearer", vec!["a bearer token of a destination"]),
            ("/keyed", vec!["an API key of a destination"]),
            ("/token", vec!["an OAuth 2 client's secret"]),
            ("/oauth2", vec!["an access token"]),
            ("/mtls", vec![]),
            ("/canary-webhook", vec!["a Slack webhook's URL"]),
        ];
        for request in self.receiver.received() {
            let told = format!("{request:?} {}", String::from_utf8_lossy(request.body()));
            let (_, own) = own.iter().find(|(path, _)| request.target.starts_with(path)).context("an unknown path")?;
            for canary in &self.canaries {
                let is_own = own.contains(&canary.name.as_str());
                let is_told = canary.found_in(told.as_bytes()).is_some();
                ensure!(is_own == is_told, "{} was told {}: {is_told}", request.target, canary.name);
            }
        }
        Ok(())
    }
}

fn send(server: &Hookward, method: &str, path: &str, body: &Value, status: u16) -> Result<()> {
    let mut request = Request::post(&format!("/api/v1{path}"))
        .header("Content-Type", "application/json")
        .body(body.to_string().as_bytes());
    request.method = method.to_owned();
    let response = server.admin(request)?;
    ensure!(response.status == status, "{method} {path}: {} {}", response.status, response.text());
    Ok(())
}
