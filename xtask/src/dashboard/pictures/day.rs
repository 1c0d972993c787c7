//! A day of a small company: what senders send at which hour, who fails when. On a clock that is moved, the same each time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::github::{self, hmac_sha256};
use systems::{Browser, Hookward, MovableClock, Received, Receiver, Request, Setup, world};

use super::super::rig::{PATIENCE, Rig};

const GITHUB: &str = "the secret that GitHub has";
const STRIPE: &str = "whsec_the_secret_that_stripe_has";
const DEPLOYS: &str = "the token of the deploy script";

/// How far apart the moments are at which something is sent, and how many make a day.
const STEP: Duration = Duration::from_secs(12 * 60);
const STEPS: u32 = 126;

/// The last of them follow each other sooner.
const LATE: u32 = 10;
const SOON: Duration = Duration::from_secs(97);

/// From which moment on the chat does not answer any more.
const CHAT_FAILS_FROM: u32 = 113;

/// How many requests come in a moment of each hour of the day.
const PACE: [u32; 24] = [2, 1, 1, 1, 1, 2, 3, 5, 8, 9, 10, 9, 7, 8, 10, 11, 9, 8, 6, 5, 4, 3, 3, 2];

/// Receivers of different pace and health.
pub(super) struct Day {
    receiver: Receiver,
    chat_fails: Arc<AtomicBool>,
    sent: u32,
}

fn config(receiver: &Receiver) -> String {
    let source = |name: &str, scheme: &str, secret: &str| {
        format!("[[source]]\nname = \"{name}\"\nscheme = \"{scheme}\"\nsecret = \"env:{secret}\"\n\n")
    };
    let destination = |name: &str, rest: &str| {
        let url = receiver.url(&format!("/{name}"));
        format!(
            "[[destination]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"{url}\"\nforward_headers = [\"X-GitHub-*\"]\n\
             allow_addresses = [\"127.0.0.0/8\"]\nretry = {{ waits = [\"30s\", \"5m\"] }}\n{rest}\n\n"
        )
    };
    [
        "[public]\norigin = \"https://hooks.example.com\"\n\n".to_owned(),
        source("github", "github", "GITHUB"),
        source("stripe", "stripe", "STRIPE"),
        source("deploys", "bearer", "DEPLOYS"),
        destination("ci", "sources = [\"github\"]"),
        destination("billing", "sources = [\"stripe\"]\nsign = { scheme = \"standard-webhooks\" }"),
        destination("chat", "sources = [\"github\", \"deploys\"]\nevent_types = [\"push\", \"release\", \"deploy\"]"),
        destination("archive", ""),
    ]
    .concat()
}

/// A number that looks like chance and is the same each day.
fn chance(number: u64) -> u64 {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

impl Day {
    /// Starts a gateway at the beginning of it.
    pub(super) fn start(directory: &Path, clock: &MovableClock, browser: Browser) -> Result<(Self, Rig)> {
        let chat_fails = Arc::new(AtomicBool::new(false));
        let (fails, count) = (Arc::clone(&chat_fails), AtomicU64::new(0));
        let receiver = Receiver::start(move |received: &Received| {
            let chance = chance(count.fetch_add(1, Ordering::Relaxed));
            let slow = if received.target == "/billing" { 40 } else { 6 };
            world::pause(Duration::from_millis(slow + chance % 9 + if chance.is_multiple_of(40) { 90 } else { 0 }));
            match &*received.target {
                "/chat" if fails.load(Ordering::Relaxed) => 503,
                "/ci" if chance.is_multiple_of(31) => 502,
                _ => 204,
            }
        })?;
        let setup = Setup::new(directory, &config(&receiver))?
            .env("GITHUB", GITHUB)
            .env("STRIPE", STRIPE)
            .env("DEPLOYS", DEPLOYS);
        let setup = clock.environment().into_iter().fold(setup, |setup, (name, value)| setup.env(name, &value));
        let rig = Rig::of(&setup, directory, browser)?;
        rig.post("/destinations/billing/secrets/rotate", &json!({}))?;
        Ok((Self { receiver, chat_fails, sent: 0 }, rig))
    }

    /// Lets it go by. Gives an event that was delivered at the second attempt.
    pub(super) fn go_by(&mut self, rig: &Rig, clock: &mut MovableClock) -> Result<String> {
        for step in 0..STEPS {
            self.chat_fails.store(step >= CHAT_FAILS_FROM, Ordering::Relaxed);
            // The day ends in the afternoon.
            let hour = (step / 5 + 17) % 24;
            let many = (PACE[hour as usize] / 2 + u32::from(chance(u64::from(step)).is_multiple_of(2)))
                .min(if step + LATE < STEPS { 9 } else { 2 });
            for _ in 0..many {
                self.send(&rig.server, clock)?;
            }
            settle(&rig.server)?;
            if step + LATE == STEPS {
                rig.post("/sources/github/secrets/rotate", &json!({}))?;
            }
            if step + 1 < STEPS {
                clock.advance(if step + LATE < STEPS { STEP } else { SOON })?;
            }
        }
        settle(&rig.server)?;
        ensure!(self.receiver.count() > 500, "only {} requests arrived", self.receiver.count());
        let twice = |delivery: &Value| delivery["destination"] == "ci" && delivery["attempts_begun"] == 2;
        let deliveries = rig.server.list("/api/v1/deliveries?state=delivered")?;
        let found = deliveries.iter().find(|delivery| twice(delivery)).context("nothing was delivered at last")?;
        Ok(found["event"].as_str().context("a delivery has an event")?.to_owned())
    }

    fn send(&mut self, server: &Hookward, clock: &MovableClock) -> Result<()> {
        let number = u64::from(self.sent);
        self.sent += 1;
        let chance = chance(number + 1000);
        // Some come twice, some from whoever has an old secret.
        let id = if chance.is_multiple_of(23) { number.saturating_sub(1) } else { number };
        let is_old = chance % 29 == 3;
        let request = match chance % 10 {
            0..=5 => from_github(id, chance, if is_old { "a secret that was rotated" } else { GITHUB }),
            6..=8 => from_stripe(id, clock.unix_seconds(), if is_old { "whsec_old" } else { STRIPE }),
            _ => from_a_script(id),
        };
        let answer = server.public(&request)?;
        ensure!([200, 202, 401].contains(&answer.status), "it was answered {} {}", answer.status, answer.text());
        Ok(())
    }
}

/// Waits until every delivery that is not waiting for a second attempt is over.
fn settle(server: &Hookward) -> Result<()> {
    let settled = || {
        let pending = server.list("/api/v1/deliveries?state=pending");
        // Asked for second: what is taken goes from there to here.
        let leased = server.list("/api/v1/deliveries?state=leased");
        pending.is_ok_and(|pending| pending.iter().all(|one| one["attempts_begun"] != 0))
            && leased.is_ok_and(|leased| leased.is_empty())
    };
    ensure!(world::until(PATIENCE, settled), "deliveries go on");
    Ok(())
}

fn from_github(number: u64, chance: u64, secret: &str) -> Request {
    let commit = format!("{:040x}", u128::from(number + 77) * 0x1_0000_0001_b3c4_d5e6_f708);
    let body = json!({
        "ref": "refs/heads/main",
        "after": commit,
        "repository": { "id": 186_853_002, "full_name": "acme/shop", "private": true, "default_branch": "main" },
        "pusher": { "name": "ana", "email": "ana@example.com" },
        "head_commit": {
            "id": commit, "message": "Basket: prices with their currency", "timestamp": "2026-03-02T14:05:09+01:00",
            "added": ["basket/currency.rs"], "modified": ["basket/lib.rs", "basket/total.rs"], "removed": [],
        },
        "number": number,
    });
    let kinds = ["push", "push", "pull_request", "check_run", "issues", "release"];
    let kind = kinds[usize::try_from(chance / 10).unwrap_or_default() % kinds.len()];
    let id = format!("72d3162e-cc78-11e3-81ab-4c93{number:08x}");
    github::event(kind, "/in/github", secret.as_bytes(), &id, body.to_string().as_bytes())
}

fn from_stripe(number: u64, now: u64, secret: &str) -> Request {
    let kinds = ["invoice.paid", "charge.succeeded", "customer.subscription.updated", "invoice.payment_failed"];
    let kind = kinds[usize::try_from(number).unwrap_or_default() % kinds.len()];
    let body = json!({
        "id": format!("evt_1N{number:08}"), "object": "event", "type": kind, "created": now,
        "data": { "object": { "customer": "cus_9s6XKzkNRiz8i3", "amount": 1200 + number * 35 % 9000, "currency": "eur" } },
    })
    .to_string();
    let signature = hex::encode(hmac_sha256(secret.as_bytes(), format!("{now}.{body}").as_bytes()));
    Request::post("/in/stripe")
        .header("Content-Type", "application/json")
        .header("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
        .header("Stripe-Signature", &format!("t={now},v1={signature}"))
        .body(body.as_bytes())
}

fn from_a_script(number: u64) -> Request {
    let body =
        json!({ "type": "deploy", "service": "shop", "version": format!("2026.3.{number}"), "stage": "production" });
    Request::post("/in/deploys")
        .header("Authorization", &format!("Bearer {DEPLOYS}"))
        .header("Content-Type", "application/json")
        .body(body.to_string().as_bytes())
}
