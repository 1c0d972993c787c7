//! The two systems that take requests: what proves one before a rotation, and what after it.

use std::path::Path;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use systems::github::{self, hmac_sha256};
use systems::{Browser, Receiver, Request, world};

use super::super::rig::Rig;
use super::{audited, look, rotate, start};

/// A request that a secret proves; the number tells it from others.
type Proven = fn(&str, u32) -> Request;

/// A source, and what its system says of its secrets.
struct Door {
    name: &'static str,
    first: &'static str,
    proven: Proven,
    /// What an authentic request is answered.
    status: u16,
    /// How long the old secret proves requests beside the new one, as the dialog says it. Zero for `None`.
    grace: Option<&'static str>,
}

/// One URL for each workflow; a rotated secret ends at once.
pub(super) fn quantgov(directory: &Path, browser: Browser) -> Result<Browser> {
    fn bearer(secret: &str, number: u32) -> Request {
        let body = json!({ "number": number }).to_string();
        Request::post("/webhooks/ai/workflows/deploy")
            .header("Authorization", &format!("Bearer {secret}"))
            .header("Content-Type", "application/json")
            .body(body.as_bytes())
    }
    fn hmac(secret: &str, number: u32) -> Request {
        let path = "/webhooks/ai/workflows/review";
        github::push(path, secret.as_bytes(), &format!("review-{number}"), &github::push_body(number.into()))
    }
    let engine = Receiver::start(|_| 204)?;
    let (deploy, review) = ("the secret of the workflow deploy", "the secret of the workflow review");
    let environment =
        [("DEPLOY_SECRET", deploy), ("REVIEW_SECRET", review), ("WORKFLOW_ENGINE_URL", &engine.url("/run"))];
    let rig = start(directory, "quantgov", &environment, browser)?;
    go_through(&rig, &Door { name: "deploy", first: deploy, proven: bearer, status: 202, grace: None })?;
    go_through(&rig, &Door { name: "review", first: review, proven: hmac, status: 202, grace: None })?;
    rig.end()
}

/// One URL for many projects, each with its own secret; GitLab's new one is a signing token.
pub(super) fn trustedoss(directory: &Path, browser: Browser) -> Result<Browser> {
    fn push(repository: &str, secret: &str, number: u32) -> Request {
        // Of a branch that is not scanned: authentic, and ignored.
        let body = json!({ "ref": "refs/heads/feature", "after": format!("{number:040x}"), "repository": { "full_name": repository } });
        let body = body.to_string();
        github::push("/v1/webhooks/github", secret.as_bytes(), &format!("{repository}-{number}"), body.as_bytes())
    }
    fn gitlab(secret: &str, number: u32) -> Request {
        let body = json!({ "ref": "refs/heads/feature", "after": format!("{number:040x}"), "project": { "path_with_namespace": "acme/infra" } });
        let (body, id, now) = (body.to_string(), format!("infra-{number}"), world::unix_seconds());
        let request = Request::post("/v1/webhooks/gitlab")
            .header("Content-Type", "application/json")
            .header("X-Gitlab-Event", "Push Hook")
            .header("Idempotency-Key", &id);
        let request = match secret.strip_prefix("whsec_") {
            None => request.header("X-Gitlab-Token", secret),
            Some(key) => {
                let key = STANDARD.decode(key).expect("what the page shows is base64");
                let signature = STANDARD.encode(hmac_sha256(&key, format!("{id}.{now}.{body}").as_bytes()));
                request
                    .header("webhook-id", &id)
                    .header("webhook-timestamp", &now.to_string())
                    .header("webhook-signature", &format!("v1,{signature}"))
            }
        };
        request.body(body.as_bytes())
    }
    let (web, api, infra) = ("the secret of acme/web", "the secret of acme/api", "the-token-of-acme-infra");
    let environment = [("ACME_WEB_SECRET", web), ("ACME_API_SECRET", api), ("ACME_INFRA_TOKEN", infra)];
    let rig = start(directory, "trustedoss", &environment, browser)?;
    let of_web: Proven = |secret, number| push("acme/web", secret, number);
    let of_api: Proven = |secret, number| push("acme/api", secret, number);
    for (name, first, proven) in [("web", web, of_web), ("api", api, of_api), ("infra", infra, gitlab)] {
        go_through(&rig, &Door { name, first, proven, status: 200, grace: Some("1 d") })?;
    }
    rig.end()
}

fn go_through(rig: &Rig, door: &Door) -> Result<()> {
    let Door { name, first, proven, status, grace } = door;
    let mut number = 0;
    let mut answered = |secret: &str, wanted: u16| -> Result<()> {
        number += 1;
        let answer = rig.server.public(&proven(secret, number))?;
        ensure!(
            answer.status == wanted,
            "{name}, request {number}: {} and not {wanted}: {}",
            answer.status,
            answer.text()
        );
        Ok(())
    };
    let owner = format!("sources/{name}");
    answered(first, *status)?;
    answered("another secret", 401)?;
    look(rig, &owner, 1, Some(first))?;
    let effect = "Version 1: 1 delivery verified in the last hour.";
    let at_once = "At once. Every sender still using the old secret fails at once.";
    let second = match grace {
        Some(lapse) => rotate(rig, &owner, &[effect, &format!("In {lapse}: the old one works until"), at_once])?,
        None => rotate(rig, &owner, &[effect, at_once])?,
    };
    ensure!(second != *first, "a rotation changed nothing");
    answered(&second, *status)?;
    answered(first, if grace.is_some() { *status } else { 401 })?;
    let state = if grace.is_some() { "In grace" } else { "Ended" };
    rig.open(&format!("/dashboard/{owner}"))?;
    let versions = rig.browser.text_of("#secrets .versions")?;
    ensure!(versions.contains(state) && versions.contains("In force"), "{name}: nothing is {state}: {versions}");
    audited(rig, &owner, &[first, &second])
}
