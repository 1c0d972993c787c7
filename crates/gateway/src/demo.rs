//! The demo: one real webhook through the whole corridor, with everything on its way being the real thing. Starts a
//! gateway in a temporary directory, sends it what GitHub and an attacker would, and shows what came of it.
//! Owns the story and its wording; the gateway it starts is the one that `serve` starts.

mod receiver;
mod story;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use hookward::{Draft, Key, Secret, UnixTime};
use hookward_engine::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{AuditEntry, Delivery, DeliveryState};
use hookward_engine::store::{DeliveryFilter, EventFilter, Page};
use sha2::{Digest, Sha256};

use self::receiver::Receiver;
use self::story::Story;
use crate::client;
use crate::config::Config;
use crate::serve::{self, Running};

/// A push as GitHub sends it.
pub(crate) const PUSH: &str = include_str!("../assets/demo-push.json");

/// How long the deliveries may take before the demo has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const ALL: Page = Page { before: None, limit: 250 };

/// Runs the demo. `once` ends it after the story; otherwise it goes on serving until interrupted.
/// Success only if every step came out right.
pub(crate) async fn run(once: bool) -> anyhow::Result<ExitCode> {
    let directory = tempfile::Builder::new().prefix("hookward-demo-").tempdir()?;
    let scheme = hookward::catalog::find("github").expect("github is in the catalog");
    let secret = scheme.generate(&mut |bytes| SystemEntropy.fill(bytes)).context("cannot generate a secret")?;
    let key = scheme.key(1, &secret)?;
    let receiver = Receiver::start(key.clone()).await?;
    let running = start(directory.path(), &secret, &receiver).await?;
    let mut story = Story::begin();
    story.scene(&running, &receiver, directory.path());
    let sender = Sender { url: format!("http://{}/in/github", running.public()), key };
    send_all(&sender, &running, &mut story).await?;
    let deliveries = wait_for_deliveries(&running).await?;
    report(&running, &receiver, &deliveries, &mut story).await?;
    let all_right = story.end();
    if !once && all_right {
        story.serving(&running);
        serve::interrupted().await;
    }
    running.stop().await;
    Ok(if all_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A gateway with one GitHub source and two destinations, configured as an operator would: by a file.
async fn start(directory: &Path, secret: &Secret, receiver: &Receiver) -> anyhow::Result<Running> {
    let secret_file = directory.join("github.secret");
    std::fs::write(&secret_file, secret.expose())?;
    let file = directory.join("hookward.toml");
    let text = format!(
        r#"[public]
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"

[[source]]
name = "github"
scheme = "github"
secret = "file:{secret}"

[[destination]]
name = "receiver"
type = "http"
url = "{receiver}"
sources = ["github"]
forward_headers = ["X-Hub-Signature-256", "X-GitHub-*", "Content-Type"]
allow_addresses = ["127.0.0.0/8"]

[[destination]]
name = "checksum"
type = "command"
argv = ["sha256sum"]
sources = ["github"]
"#,
        secret = secret_file.display(),
        receiver = receiver.url(),
    );
    std::fs::write(&file, text)?;
    let mut config = Config::load(&file)?;
    config.settings.data = directory.join("data");
    Ok(serve::start(config).await?)
}

/// What plays GitHub, and the attacker who listened in.
struct Sender {
    url: String,
    key: Key,
}

/// What a request was answered.
struct Answer {
    status: u16,
    body: String,
}

impl Sender {
    /// Posts `body` with the signature of `signed_body`.
    async fn post(&self, delivery_id: &str, signed_body: &[u8], body: &[u8]) -> anyhow::Result<Answer> {
        let scheme = hookward::catalog::find("github").expect("github is in the catalog");
        let draft = Draft { id: delivery_id, event_type: "push", method: "POST", url: &self.url, body: signed_body };
        let now = UnixTime::from_millis(SystemClock::new().now().as_millis());
        let mut headers = scheme.sign(&draft, std::slice::from_ref(&self.key), now)?.headers;
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        let answer = client::send("POST", &self.url, &headers, Bytes::copy_from_slice(body)).await?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(Answer { status: answer.status, body })
    }
}

async fn send_all(sender: &Sender, running: &Running, story: &mut Story) -> anyhow::Result<()> {
    const FIRST_ID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let push = PUSH.as_bytes();
    let mut tampered = push.to_vec();
    let last = tampered.len() - 2;
    tampered[last] ^= 1;
    let requests = [
        ("a push, signed by GitHub", FIRST_ID, push, 202),
        ("the same push once more", FIRST_ID, push, 200),
        ("the push with one byte changed", "0b989ba4-242f-11e5-81e1-c7b6966d2516", tampered.as_slice(), 401),
        ("the captured push under a fresh delivery id", "f6266f16-1bf3-46a5-9ea4-602e06ead473", push, 200),
    ];
    for (sent, (what, delivery_id, body, expected)) in requests.into_iter().enumerate() {
        let answer = sender.post(delivery_id, push, body).await?;
        let why = audit_entry(running, sent + 1).await?;
        story.step(what, &answer, expected, &why);
    }
    Ok(())
}

/// What the audit log says of the request that was the `nth` to be sent.
async fn audit_entry(running: &Running, nth: usize) -> anyhow::Result<AuditEntry> {
    let clock = SystemClock::new();
    let mut look = tokio::time::interval(Duration::from_millis(10));
    loop {
        look.tick().await;
        let rows = running.engine().store().audit(OrganizationId::DEFAULT, ALL).await?.items;
        let mut webhooks = rows.into_iter().map(|row| row.entry).filter(|entry| entry.action.starts_with("webhook."));
        let newest = webhooks.next();
        if let Some(newest) = newest
            && webhooks.count() + 1 == nth
        {
            return Ok(newest);
        }
        ensure!(clock.elapsed() < PATIENCE, "request {nth} is not in the audit log");
    }
}

/// Completes when both deliveries have an end.
async fn wait_for_deliveries(running: &Running) -> anyhow::Result<Vec<Delivery>> {
    let clock = SystemClock::new();
    let mut look = tokio::time::interval(Duration::from_millis(20));
    loop {
        look.tick().await;
        let listing =
            running.engine().store().deliveries(OrganizationId::DEFAULT, DeliveryFilter::default(), ALL).await?;
        let over = |delivery: &Delivery| matches!(delivery.state, DeliveryState::Delivered { .. });
        if listing.items.len() >= 2 && listing.items.iter().all(over) {
            return Ok(listing.items);
        }
        ensure!(clock.elapsed() < PATIENCE, "the deliveries did not arrive within {} s", PATIENCE.as_secs());
    }
}

async fn report(
    running: &Running,
    receiver: &Receiver,
    deliveries: &[Delivery],
    story: &mut Story,
) -> anyhow::Result<()> {
    let received = receiver.received();
    story.received(&received, PUSH.as_bytes());
    let store = running.engine().store();
    let command = deliveries.iter().find(|delivery| delivery.destination_name == "checksum");
    let (_, attempts) =
        store.delivery(OrganizationId::DEFAULT, command.context("the command was owed nothing")?.id).await?;
    let printed = attempts.last().map(|attempt| attempt.excerpt.clone()).unwrap_or_default();
    story.command(&printed, &hex::encode(Sha256::digest(PUSH)));
    let events = store.events(OrganizationId::DEFAULT, EventFilter::default(), ALL).await?.items;
    let duplicates = events.iter().filter(|event| event.duplicate_of.is_some()).count();
    story.kept(events.len() - duplicates, duplicates, deliveries.len());
    Ok(())
}
