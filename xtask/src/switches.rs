//! `cargo xtask switches`: receivers of a scheme whose header holds one signature get a new secret again and again, and each
//! begins to check with it at a random moment of the grace, while deliveries and their retries flow. No delivery may be
//! refused for good, and none may be accepted twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde_json::json;
use systems::github::signature;
use systems::server::API_KEY;
use systems::{Client, Hookward, Received, Receiver, Request, Setup, world};

/// How long each secret stays valid beside the next; the API counts seconds.
const GRACE: Duration = Duration::from_secs(1);

/// A receiver switches at most this late, so that the attempt of that moment is over before the old secret is.
const SWITCH_MAX_MS: u64 = 850;

/// After the grace, before the next rotation: never more than two secrets are live.
const REST: Duration = Duration::from_millis(60);

/// Between two events of one sender.
const PAUSE_MAX_MS: u64 = 24;

/// One request in so many is answered 503, so that retries cross rotations, too.
const FAILS_ONE_IN: u64 = 8;

/// How long what is owed at the end may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// How many.
#[derive(Args)]
pub(crate) struct Plan {
    /// Switches, in all
    #[arg(long, default_value_t = 1_000)]
    switches: usize,
    /// Receivers at once, each with its own secrets
    #[arg(long, default_value_t = 40)]
    receivers: usize,
    /// Senders at once
    #[arg(long, default_value_t = 4)]
    senders: u64,
}

impl Plan {
    /// The short run of `cargo xtask ci`.
    pub(crate) fn short() -> Self {
        Self { switches: 160, receivers: 40, senders: 3 }
    }
}

/// One receiver: the secret that it checks with, and what it accepted.
#[derive(Default)]
struct Party {
    secret: Mutex<String>,
    accepted: Mutex<HashMap<String, u32>>,
}

/// What every thread shares.
struct Course {
    parties: Vec<Party>,
    over: AtomicBool,
    published: AtomicU64,
    switched: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    chance: AtomicU64,
}

/// Rotates and switches under load, and reckons.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let rounds = plan.switches.div_ceil(plan.receivers);
    let course = Arc::new(Course {
        parties: (0..plan.receivers).map(|_| Party::default()).collect(),
        over: AtomicBool::new(false),
        published: AtomicU64::new(0),
        switched: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        failed: AtomicU64::new(0),
        chance: AtomicU64::new(1),
    });
    let for_receiver = Arc::clone(&course);
    let receiver = Receiver::start_forgetful(move |received| for_receiver.answer(received))?;
    let directory = tempfile::tempdir()?;
    let mut setup = Setup::new(directory.path(), &config(plan.receivers, &receiver))?;
    for (number, party) in course.parties.iter().enumerate() {
        *lock(&party.secret) = secret(number, 0);
        setup = setup.env(&format!("SECRET_{number}"), &secret(number, 0));
    }
    let server = setup.start()?;
    let started = world::instant();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..plan.senders)
            .map(|sender| {
                scope.spawn({
                    let (course, server) = (&course, &server);
                    move || course.send(sender, server)
                })
            })
            .collect();
        let switchers: Vec<_> = (0..plan.receivers)
            .map(|number| {
                scope.spawn({
                    let (course, server) = (&course, &server);
                    move || course.switch_often(number, rounds, server)
                })
            })
            .collect();
        let switched: Vec<_> = switchers.into_iter().map(|switcher| switcher.join()).collect();
        course.over.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.join().map_err(|_| anyhow!("a sender panicked"))??;
        }
        switched.into_iter().try_for_each(|switched| switched.map_err(|_| anyhow!("a switcher panicked"))?)
    })?;
    let took = started.elapsed();
    reckon(&course, &server, took)?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

/// One destination for each receiver, which hears events of a type of its own.
fn config(receivers: usize, receiver: &Receiver) -> String {
    let destination = |number: usize| {
        format!(
            "[[destination]]\nname = \"r{number}\"\ntype = \"http\"\nurl = \"{}\"\nevent_types = [\"t{number}\"]\n\
             sign = {{ scheme = \"qlens\", secret = \"env:SECRET_{number}\" }}\nallow_addresses = [\"127.0.0.0/8\"]\n\
             retry = {{ waits = [\"0s\", \"1s\", \"1s\", \"2s\", \"2s\", \"4s\"], jitter_percent = 20 }}\n\n",
            receiver.url(&format!("/{number}"))
        )
    };
    (0..receivers).map(destination).collect()
}

fn secret(receiver: usize, version: usize) -> String {
    format!("secret-{version}-of-receiver-{receiver}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Course {
    /// A receiver's answer: 401 unless its one secret made the signature; of the others, some 503.
    fn answer(&self, received: &Received) -> u16 {
        let number = received.target.trim_start_matches('/').parse::<usize>();
        let Some(party) = number.ok().and_then(|number| self.parties.get(number)) else { return 404 };
        let secret = lock(&party.secret).clone();
        let expected = signature(secret.as_bytes(), received.body());
        if received.header("X-QLens-Signature") != Some(expected.as_str()) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return 401;
        }
        if Random(self.chance.fetch_add(1, Ordering::Relaxed)).below(FAILS_ONE_IN) == 0 {
            self.failed.fetch_add(1, Ordering::Relaxed);
            return 503;
        }
        let delivery = received.header("hookward-delivery-id").unwrap_or_default().to_owned();
        *lock(&party.accepted).entry(delivery).or_default() += 1;
        204
    }

    /// Publishes to one receiver after the other.
    fn send(&self, sender: u64, server: &Hookward) -> Result<()> {
        let mut random = Random(sender + 1);
        let mut client = Client::new(server.admin);
        let authorization = format!("Bearer {}", API_KEY);
        let mut number = 0_u64;
        while !self.over.load(Ordering::Relaxed) {
            number += 1;
            let to = random.below(self.parties.len() as u64);
            let body = json!({ "type": format!("t{to}"), "payload": { "sender": sender, "number": number } });
            let request = Request::post("/api/v1/events").header("Authorization", &authorization);
            let request = request.header("Content-Type", "application/json").body(body.to_string().as_bytes());
            let response = client.send(&request)?;
            ensure!(response.status == 202, "an event was answered {} {}", response.status, response.text());
            self.published.fetch_add(1, Ordering::Relaxed);
            world::pause(Duration::from_millis(random.below(PAUSE_MAX_MS)));
        }
        Ok(())
    }

    /// Rotates a receiver's secret, lets it switch at a random moment of the grace, and begins again once that is over.
    fn switch_often(&self, number: usize, rounds: usize, server: &Hookward) -> Result<()> {
        let mut random = Random(number as u64 + 77);
        // Not all at once.
        world::pause(Duration::from_millis(random.below(SWITCH_MAX_MS)));
        for round in 1..=rounds {
            let new = secret(number, round);
            let body = json!({ "secret": new, "grace_s": GRACE.as_secs() }).to_string();
            let request = Request::post(&format!("/api/v1/destinations/r{number}/secrets/rotate"));
            let asked = world::instant();
            let response = server.admin(request.header("Content-Type", "application/json").body(body.as_bytes()))?;
            ensure!(response.status == 201, "a rotation was answered {} {}", response.status, response.text());
            let answered = world::instant();
            // The grace began while the rotation was under way, not before it was asked for.
            let moment = Duration::from_millis(random.below(SWITCH_MAX_MS));
            world::pause(moment.saturating_sub(asked.elapsed()));
            *lock(&self.parties[number].secret) = new;
            self.switched.fetch_add(1, Ordering::Relaxed);
            world::pause((GRACE + REST).saturating_sub(answered.elapsed()));
        }
        Ok(())
    }
}

/// What was accepted against what was published, and what the server says itself.
fn reckon(course: &Course, server: &Hookward, took: Duration) -> Result<()> {
    let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (published, switched) = (counted(&course.published), counted(&course.switched));
    let accepted = || course.parties.iter().map(|party| lock(&party.accepted).len() as u64).sum::<u64>();
    let all_came = world::until(DRAIN_LIMIT, || accepted() >= published);
    for state in ["exhausted", "cancelled", "held"] {
        let lost = server.get(&format!("/api/v1/deliveries?limit=1&state={state}"))?;
        let lost = lost["items"].as_array().context("a list of deliveries")?.clone();
        ensure!(lost.is_empty(), "a delivery is {state}: {}", lost[0]);
    }
    ensure!(all_came, "{} of {published} deliveries were accepted within {DRAIN_LIMIT:?}", accepted());
    let twice: u64 = course.parties.iter().map(|party| twice(&lock(&party.accepted))).sum();
    println!(
        "switches: {switched} at random moments of a grace of {GRACE:?} in {:.1} s; {published} deliveries, each accepted \
         once, {} requests refused on the way and {} answered 503",
        took.as_secs_f64(),
        counted(&course.refused),
        counted(&course.failed),
    );
    ensure!(twice == 0, "{twice} deliveries were accepted twice");
    ensure!(accepted() == published, "{} deliveries accepted of {published} published", accepted());
    ensure!(counted(&course.refused) * 4 > switched, "too few switches were noticed to say anything");
    Ok(())
}

fn twice(accepted: &HashMap<String, u32>) -> u64 {
    accepted.values().filter(|count| **count > 1).count() as u64
}

/// Small random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
