//! `cargo xtask rotations`: a source's secret is rotated at random moments while senders under load switch to each new one
//! at a moment of their own within the grace. No request may be refused; once its grace is over, an old key is, at once.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde_json::json;
use systems::github::{push, push_body};
use systems::{Client, Hookward, Request, Setup, world};

const CONFIG: &str = "[[source]]\nname = \"github\"\nscheme = \"github\"\n";

const SECRETS: &str = "/api/v1/sources/github/secrets";

/// How long each secret stays valid beside the next.
const GRACE: Duration = Duration::from_secs(2);

/// Senders stay behind by at most this, so that a request has time to arrive within the grace.
const LAG_MAX_MS: u64 = 1_500;

/// The longest time between two rotations.
const PAUSE_MAX_MS: u64 = 80;

/// How many.
#[derive(Args)]
pub(crate) struct Plan {
    /// Rotations
    #[arg(long, default_value_t = 1_000)]
    rotations: usize,
    /// Senders at once
    #[arg(long, default_value_t = 8)]
    senders: u64,
}

impl Plan {
    /// The short run of `cargo xtask ci`.
    pub(crate) fn short() -> Self {
        Self { rotations: 100, senders: 4 }
    }
}

/// A secret, and between which moments it became the newest.
#[derive(Clone)]
struct Rotation {
    secret: String,
    asked: Instant,
    answered: Instant,
}

/// What every thread shares.
struct Course {
    address: SocketAddr,
    rotations: Mutex<Vec<Rotation>>,
    over: AtomicBool,
    accepted: AtomicU64,
    /// Answered so late that the grace may have been over.
    late: AtomicU64,
    /// Old keys refused after their grace.
    ended: AtomicU64,
}

/// Rotates under load, and reckons.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Setup::new(directory.path(), CONFIG)?.start()?;
    let course = Course {
        address: server.public,
        rotations: Mutex::default(),
        over: AtomicBool::new(false),
        accepted: AtomicU64::new(0),
        late: AtomicU64::new(0),
        ended: AtomicU64::new(0),
    };
    course.rotate(&server, 0)?;
    let started = world::instant();
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..plan.senders)
            .map(|sender| {
                scope.spawn({
                    let course = &course;
                    move || course.send(sender)
                })
            })
            .collect();
        let checker = scope.spawn(|| course.refuse(plan.rotations));
        let rotated = course.rotate_all(plan, &server);
        let checked = checker.join().map_err(|_| anyhow!("the checker panicked"))?;
        course.over.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.join().map_err(|_| anyhow!("a sender panicked"))??;
        }
        rotated.and(checked)
    })?;
    let [accepted, late, ended] = [&course.accepted, &course.late, &course.ended].map(|n| n.load(Ordering::Relaxed));
    println!(
        "rotations: {} at random moments in {:.1} s; {accepted} requests accepted, 0 refused, {late} too late to judge; \
         {ended} old keys refused once their grace was over",
        plan.rotations,
        started.elapsed().as_secs_f64()
    );
    ensure!(accepted > plan.rotations as u64 && late * 100 < accepted, "too little was judged to say anything");
    reckon(plan, &server, accepted)?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

/// What the server says itself: every use is counted, and each secret knows when it ended.
fn reckon(plan: &Plan, server: &Hookward, accepted: u64) -> Result<()> {
    let secrets = server.get(SECRETS)?;
    let items = secrets["items"].as_array().context("a list of secrets")?;
    let uses: u64 = items.iter().filter_map(|secret| secret["uses"].as_u64()).sum();
    let live = items.iter().filter(|secret| secret["state"] == "live").count();
    println!("rotations: {} versions, {live} live, {uses} uses counted", items.len());
    ensure!(items.len() == plan.rotations + 1, "{} versions of {}", items.len(), plan.rotations + 1);
    ensure!(live == 1, "{live} secrets are live after every grace");
    ensure!(uses == accepted, "{uses} uses of {accepted} accepted requests");
    Ok(())
}

impl Course {
    fn rotations(&self) -> Vec<Rotation> {
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn rotate_all(&self, plan: &Plan, server: &Hookward) -> Result<()> {
        let mut random = Random(0x5eed);
        for number in 1..=plan.rotations {
            world::pause(Duration::from_millis(random.below(PAUSE_MAX_MS)));
            self.rotate(server, number)?;
        }
        Ok(())
    }

    fn rotate(&self, server: &Hookward, number: usize) -> Result<()> {
        let secret = format!("rotation-{number}-of-the-secret-of-github");
        let body = json!({ "secret": secret, "grace_s": GRACE.as_secs() }).to_string();
        let asked = world::instant();
        let request = Request::post(SECRETS).header("Content-Type", "application/json").body(body.as_bytes());
        let response = server.admin(request)?;
        ensure!(response.status == 201, "rotation {number} was answered {} {}", response.status, response.text());
        let rotation = Rotation { secret, asked, answered: world::instant() };
        self.rotations.lock().unwrap_or_else(PoisonError::into_inner).push(rotation);
        Ok(())
    }

    /// Signs each request with the secret that was the newest a while ago, a different while each time.
    fn send(&self, sender: u64) -> Result<()> {
        let mut random = Random(sender + 1);
        let mut client = Client::new(self.address);
        let mut number = sender << 32;
        while !self.over.load(Ordering::Relaxed) {
            number += 1;
            let rotations = self.rotations();
            let behind = Duration::from_millis(random.below(LAG_MAX_MS));
            let knows = |rotation: &Rotation| rotation.answered.elapsed() >= behind;
            let version = rotations.iter().rposition(knows).unwrap_or(0);
            let id = format!("{number:016x}-rotations");
            let secret = rotations[version].secret.as_bytes();
            let response = client.send(&push("/in/github", secret, &id, &push_body(number)))?;
            // Its end is not before the next was asked for and the grace has passed.
            let was_valid = self.rotations().get(version + 1).is_none_or(|next| next.asked.elapsed() < GRACE);
            match (response.status, was_valid) {
                (202, _) => self.accepted.fetch_add(1, Ordering::Relaxed),
                (401, false) => self.late.fetch_add(1, Ordering::Relaxed),
                (status, _) => return Err(anyhow!("version {} was answered {status} within its grace", version + 1)),
            };
        }
        Ok(())
    }

    /// Tries each old secret as soon as its grace is surely over.
    fn refuse(&self, rotations: usize) -> Result<()> {
        let mut client = Client::new(self.address);
        for old in 0..rotations {
            let over = || self.rotations().get(old + 1).is_some_and(|next| next.answered.elapsed() >= GRACE);
            ensure!(world::until(Duration::from_secs(60), over), "rotation {} never came", old + 1);
            let secret = self.rotations()[old].secret.clone();
            let number = (1_u64 << 62) + old as u64;
            let request = push("/in/github", secret.as_bytes(), &format!("{number:016x}-ended"), &push_body(number));
            let status = client.send(&request)?.status;
            ensure!(status == 401, "version {} was answered {status} after its grace", old + 1);
            self.ended.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Small random numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
