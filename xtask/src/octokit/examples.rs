//! GitHub's own payloads through two of the examples: each is answered as the example's tables say, worked out here from
//! the payload alone.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use systems::github::{event, signature};
use systems::server::repository;
use systems::{Client, Receiver, Setup};

const SECRET: &str = "a-secret-of-the-examples";

/// One payload: its event type and its JSON.
struct Payload {
    event_type: String,
    body: Value,
}

/// Sends every payload of `package`, the installed `@octokit/webhooks-examples`, to both examples.
pub(super) fn run(package: &Path) -> Result<()> {
    let payloads = payloads(package)?;
    portal(&payloads)?;
    workflows(&payloads)
}

fn payloads(package: &Path) -> Result<Vec<Payload>> {
    let index = package.join("api.github.com/index.json");
    let text = std::fs::read(&index).with_context(|| format!("cannot read {}", index.display()))?;
    let Value::Array(kinds) = serde_json::from_slice(&text)? else { bail!("{} is no list", index.display()) };
    let mut payloads = Vec::new();
    for kind in kinds {
        let event_type = kind["name"].as_str().context("a kind without a name")?;
        for body in kind["examples"].as_array().context("a kind without examples")? {
            payloads.push(Payload { event_type: event_type.to_owned(), body: body.clone() });
        }
    }
    ensure!(payloads.len() > 100, "only {} payloads: something is missing", payloads.len());
    Ok(payloads)
}

/// What TrustedOSS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Expected {
    Accepted,
    Ignored,
    Duplicate,
    Unauthorized,
}

/// `examples/trustedoss`, project `web`: each payload as it is but for the repository's name, each push also as one
/// to the default branch, and each of them a second time.
fn portal(payloads: &[Payload]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let setup = Setup::with_config_file(directory.path(), &repository("examples/trustedoss/hookward.toml"))?;
    let server = setup.env("ACME_WEB_SECRET", SECRET).start()?;
    // What is owed counts, not what a scan of GitHub's example commits would find.
    let paused = server.admin(systems::Request::post("/api/v1/destinations/scan/pause"))?;
    ensure!(paused.status == 200, "scan cannot be paused: {}", paused.text());
    let mut client = Client::new(server.public);
    let (mut bodies, mut commits) = (HashSet::new(), HashSet::new());
    let mut counts = std::collections::BTreeMap::new();
    let mut number = 0;
    for payload in payloads {
        let mut variants = vec![payload.body.clone()];
        if payload.body["repository"].is_object() {
            variants[0]["repository"]["full_name"] = json!("acme/web");
            if payload.event_type == "push" {
                variants.push(variants[0].clone());
                variants[1]["ref"] = json!("refs/heads/main");
            }
            variants.push(variants[0].clone());
        }
        for body in variants {
            number += 1;
            let text = body.to_string();
            let expected = expect(&payload.event_type, &body, &text, &mut bodies, &mut commits);
            let id = format!("{number:08x}-3333-4333-8333-333333333333");
            let request = event(&payload.event_type, "/v1/webhooks/github", SECRET.as_bytes(), &id, text.as_bytes());
            let response = client.send(&request)?;
            let answered = match (response.status, response.json()["status"].as_str()) {
                (202, Some("accepted")) => Expected::Accepted,
                (200, Some("ignored")) => Expected::Ignored,
                (200, Some("duplicate")) => Expected::Duplicate,
                (401, None) => Expected::Unauthorized,
                (status, _) => bail!("{} {number} was answered {status} {}", payload.event_type, response.text()),
            };
            let what = format!("{} {number} {}", payload.event_type, body["action"]);
            ensure!(answered == expected, "{what} was answered {answered:?}, which should have been {expected:?}");
            *counts.entry(answered).or_insert(0) += 1;
        }
    }
    println!("octokit: {number} payloads at examples/trustedoss, all answered as its tables say: {counts:?}");
    ensure!(counts.len() == 4, "not every kind of answer was seen");
    Ok(())
}

/// What the tables of the example's README say, from the payload alone.
fn expect(
    event_type: &str,
    body: &Value,
    text: &str,
    bodies: &mut HashSet<String>,
    commits: &mut HashSet<String>,
) -> Expected {
    if body["repository"]["full_name"] != "acme/web" {
        return Expected::Unauthorized;
    }
    if !bodies.insert(text.to_owned()) {
        return Expected::Duplicate;
    }
    let action = body["action"].as_str().unwrap_or_default();
    let commit = match event_type {
        "push" if body["ref"] == "refs/heads/main" => body["after"].as_str(),
        "pull_request" if ["opened", "synchronize", "reopened"].contains(&action) => {
            body["pull_request"]["head"]["sha"].as_str()
        }
        _ => None,
    };
    let is_new = |commit: &str| commit.bytes().any(|digit| digit != b'0') && commits.insert(commit.to_owned());
    if commit.is_some_and(is_new) { Expected::Accepted } else { Expected::Ignored }
}

/// `examples/quantgov`, workflow `review`: every payload is an execution, and the engine can verify it again.
fn workflows(payloads: &[Payload]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let engine = Receiver::start(|received| {
        let proven = received.header("x-hub-signature-256") == Some(&signature(SECRET.as_bytes(), received.body()));
        if proven && received.header("x-organization-id") == Some("acme") { 204 } else { 422 }
    })?;
    let setup = Setup::with_config_file(directory.path(), &repository("examples/quantgov/hookward.toml"))?;
    let setup = setup.env("REVIEW_SECRET", SECRET).env("WORKFLOW_ENGINE_URL", &engine.url("/hooks"));
    let server = setup.start()?;
    let mut client = Client::new(server.public);
    for (number, payload) in payloads.iter().enumerate() {
        let id = format!("{number:08x}-4444-4444-8444-444444444444");
        let body = payload.body.to_string();
        let path = "/webhooks/ai/workflows/review";
        let response = client.send(&event(&payload.event_type, path, SECRET.as_bytes(), &id, body.as_bytes()))?;
        ensure!(
            response.status == 202 && response.json()["executionId"].is_string(),
            "{} was answered {} {}",
            payload.event_type,
            response.status,
            response.text()
        );
    }
    ensure!(engine.wait_for(payloads.len(), std::time::Duration::from_secs(60)), "not everything was forwarded");
    let refused = server.list("/api/v1/deliveries?state=pending")?.len();
    ensure!(refused == 0, "{refused} payloads could not be verified again");
    println!("octokit: {} payloads at examples/quantgov were executions, each verified again", payloads.len());
    Ok(())
}
