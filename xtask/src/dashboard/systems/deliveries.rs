//! The three systems that send: what signs a delivery before a rotation, and what after it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use systems::github::{hmac_sha256, signature};
use systems::{Browser, Received, Receiver, world};

use super::super::rig::Rig;
use super::{audited, look, rotate, start};

const OWNER: &str = "destinations/receiver";
const PATIENCE: Duration = Duration::from_secs(30);
const LATELY: &str = "In the last hour: 1 delivery.";
const AT_ONCE: &str = "At once. Every receiver that only knows the old secret refuses the next delivery.";

/// 24 hours in which a receiver may switch at any moment; and a webhook of Slack's, whose new URL is in force at once.
pub(super) fn qualitypilot(directory: &Path, browser: Browser) -> Result<Browser> {
    const HEADER: &str = "X-QLens-Signature";
    let first = "the-first-secret-of-qlens";
    let believed = Arc::new(Mutex::new(first.to_owned()));
    let by = Arc::clone(&believed);
    let receiver = Receiver::start(move |received| {
        let secret = by.lock().expect("nobody panics with it").clone();
        let wanted = signature(secret.as_bytes(), received.body());
        if received.target.starts_with("/slack") || received.header(HEADER) == Some(&wanted) { 204 } else { 401 }
    })?;
    let slack = receiver.url("/slack/first");
    let environment = [
        ("QLENS_WEBHOOK_SECRET", first),
        ("QLENS_RECEIVER_URL", &receiver.url("/qlens")),
        ("SLACK_WEBHOOK_URL", &slack),
    ];
    let rig = start(directory, "qualitypilot", &environment, browser)?;
    let signed = |secret: &str| -> Result<()> {
        let came = deliver(&rig, &receiver, "/qlens")?;
        let last = came.last().context("something came")?;
        let wanted = signature(secret.as_bytes(), last.body());
        ensure!(last.header(HEADER) == Some(&wanted), "it is not signed with {secret}");
        Ok(())
    };
    signed(first)?;
    look(&rig, OWNER, 1, Some(first))?;
    let second = rotate(&rig, OWNER, &[LATELY, "In 1 d: the old one works until", AT_ONCE])?;
    // Who has not switched gets what it takes; who switches, too, whenever that is.
    for believes in [first, &*second, first] {
        *believed.lock().expect("nobody panics with it") = believes.to_owned();
        signed(believes)?;
    }
    audited(&rig, OWNER, &[first, &second])?;
    slack_moves(&rig, &receiver, &slack)?;
    rig.end()
}

/// The URL is a secret: looked at like one, and a new one is in force at once.
fn slack_moves(rig: &Rig, receiver: &Receiver, first: &str) -> Result<()> {
    let owner = "destinations/slack";
    look(rig, owner, 1, Some(first))?;
    rig.open(&format!("/dashboard/{owner}/secrets/set"))?;
    rig.browser.fill("#secret", &receiver.url("/slack/second"))?;
    rig.browser.click("main form[action$=\"/set\"] button.first")?;
    rig.browser.wait_for("main > .notice[role=status]")?;
    deliver(rig, receiver, "/slack/second").map(drop)
}

/// The very next attempt is signed with the new secret, beside HTTP Basic.
pub(super) fn qualifio(directory: &Path, browser: Browser) -> Result<Browser> {
    let (first, basic) = ("the secret that a user chose", "hookward:p\u{e4}ss:word");
    let receiver = Receiver::start(|_| 204)?;
    let environment =
        [("QUALIFIO_SECRET", first), ("QUALIFIO_RECEIVER_URL", &receiver.url("/qualifio")), ("QUALIFIO_BASIC", basic)];
    let rig = start(directory, "qualifio", &environment, browser)?;
    let signed = |secret: &str| -> Result<()> {
        let came = deliver(&rig, &receiver, "/qualifio")?;
        let [one] = came.as_slice() else { anyhow::bail!("{} requests of one delivery", came.len()) };
        let wanted = signature(secret.as_bytes(), one.body());
        ensure!(one.header("X-Qualifio-Signature") == Some(&wanted), "it is not signed with {secret}");
        let wanted = format!("Basic {}", STANDARD.encode(basic));
        ensure!(one.header("Authorization") == Some(&wanted), "it says {:?} of itself", one.header("Authorization"));
        Ok(())
    };
    signed(first)?;
    look(&rig, OWNER, 1, Some(first))?;
    let second = rotate(&rig, OWNER, &[LATELY, AT_ONCE])?;
    signed(&second)?;
    audited(&rig, OWNER, &[first, &second])?;
    rig.end()
}

/// For a week both sign, the newest first.
pub(super) fn qflow(directory: &Path, browser: Browser) -> Result<Browser> {
    let first = STANDARD.encode("the first secret of qflow, 32 b.");
    let receiver = Receiver::start(|_| 204)?;
    let environment = [("QFLOW_SECRET", &*first), ("QFLOW_RECEIVER_URL", &receiver.url("/qflow"))];
    let rig = start(directory, "qflow", &environment, browser)?;
    let signed = |secrets: &[&str]| -> Result<()> {
        let came = deliver(&rig, &receiver, "/qflow")?;
        let [one] = came.as_slice() else { anyhow::bail!("{} requests of one delivery", came.len()) };
        let header = |name: &str| one.header(name).map(str::to_owned).with_context(|| format!("no {name}"));
        let mut content = format!("{}.{}.", header("Qflow-Request-Id")?, header("Qflow-TimeStamp")?).into_bytes();
        content.extend_from_slice(one.body());
        let by = |secret: &&str| -> Result<String> {
            Ok(format!("sha256={}", STANDARD.encode(hmac_sha256(&STANDARD.decode(secret)?, &content))))
        };
        let wanted = secrets.iter().map(by).collect::<Result<Vec<_>>>()?.join(",");
        ensure!(
            header("Qflow-Signature")? == wanted,
            "{} is not by {} secrets",
            header("Qflow-Signature")?,
            secrets.len()
        );
        Ok(())
    };
    signed(&[&first])?;
    look(&rig, OWNER, 1, None)?;
    let second = rotate(&rig, OWNER, &[LATELY, "In 7 d: the old one works until", AT_ONCE])?;
    signed(&[&second, &first])?;
    audited(&rig, OWNER, &[&first, &second])?;
    rig.end()
}

/// Publishes an event, and gives every request that came of it at `path` until its delivery was taken.
fn deliver(rig: &Rig, receiver: &Receiver, path: &str) -> Result<Vec<Received>> {
    let before = receiver.count();
    let event =
        json!({ "type": "invoice.paid", "payload": { "repository": { "full_name": "acme/web" }, "before": before } });
    let answer = rig.post("/events", &event)?;
    let id = answer["eventId"].as_str().context("an event has an id")?;
    let delivered = || {
        let deliveries = rig.server.list(&format!("/api/v1/deliveries?event={id}")).unwrap_or_default();
        !deliveries.is_empty() && deliveries.iter().all(|delivery| delivery["state"] == "delivered")
    };
    ensure!(
        world::until(PATIENCE, delivered),
        "its delivery was not taken: {:?}",
        rig.server.list(&format!("/api/v1/deliveries?event={id}"))?
    );
    Ok(receiver.received().into_iter().skip(before).filter(|one| one.target == path).collect())
}
