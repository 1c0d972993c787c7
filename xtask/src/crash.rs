//! `cargo xtask crash`: kills the server at random moments under load, restarts it on the same data, and at the end
//! looks for anything that was answered and lost, run twice, changed, or owed to nobody.
//! Owns the killing; the senders are in `load`, the reckoning in `reckoning`.

pub(crate) mod load;
pub(crate) mod reckoning;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use systems::{Hookward, Receiver, Setup, world};

use load::{Load, Manner};
use reckoning::Deliveries;

/// What the senders sign with.
pub(crate) const SECRET: &str = "crash-test-secret";

/// How long the server may take from its start to its first ready answer.
const READY_LIMIT: Duration = Duration::from_secs(1);

/// How long the deliveries that are owed at the end may take.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

const CONFIG: &str = r#"
[[source]]
name = "github"
scheme = "github"
secret = "env:CRASH_SECRET"

[[destination]]
name = "receiver"
type = "http"
url = "env:CRASH_RECEIVER_URL"
forward_headers = ["X-GitHub-Delivery"]
allow_addresses = ["127.0.0.0/8"]
retry = { waits = ["1s", "1s", "2s", "2s", "5s", "5s", "10s", "10s"], jitter_percent = 20 }
concurrency = 16
"#;

/// How often to kill.
#[derive(Args, Clone)]
pub(crate) struct Plan {
    /// Kills
    #[arg(long, default_value_t = 200)]
    cycles: u32,
    /// Where the random moments come from; the same seed gives the same moments
    #[arg(long)]
    seed: Option<u64>,
}

impl Plan {
    /// The short run of `cargo xtask ci`.
    pub(crate) fn short() -> Self {
        Self { cycles: 12, seed: None }
    }
}

/// Kills as planned, then reckons.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let seed = plan.seed.unwrap_or_else(world::unix_seconds);
    println!("crash: {} kills, seed {seed}", plan.cycles);
    let directory = tempfile::tempdir()?;
    let deliveries = Arc::new(Mutex::new(Deliveries::default()));
    let for_receiver = Arc::clone(&deliveries);
    let receiver = Receiver::start_forgetful(move |received| {
        for_receiver.lock().expect("no holder of this lock panics").note(received);
        204
    })?;
    let setup = Setup::new(directory.path(), CONFIG)?
        .env("CRASH_SECRET", SECRET)
        .env("CRASH_RECEIVER_URL", &receiver.url("/hooks"));

    let manner = Manner { check: "crash", servers: 1, pause: Duration::ZERO };
    let load = Load::start(manner, Arc::clone(&deliveries));
    let mut moments = Moments(seed | 1);
    let mut ready = Vec::new();
    for _ in 0..plan.cycles {
        let server = setup.start()?;
        ready.push(server.ready_after);
        load.aim(0, Some(server.public));
        world::pause(moments.next());
        server.kill()?;
        load.aim(0, None);
    }
    let server = setup.start()?;
    ready.push(server.ready_after);
    load.aim(0, Some(server.public));
    let answered = load.stop()?;
    drain("crash", &server)?;
    let deliveries = deliveries.lock().expect("no holder of this lock panics");
    let verdict = reckoning::reckon("crash", &server, &answered, &deliveries);
    report_ready(&mut ready)?;
    verdict
}

/// Waits until nothing is owed any more.
pub(crate) fn drain(check: &str, server: &Hookward) -> Result<()> {
    let owed = || -> Result<bool> {
        for state in ["pending", "leased"] {
            let page = server.get(&format!("/api/v1/deliveries?limit=1&state={state}"))?;
            if page["items"].as_array().is_none_or(|items| !items.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let mut last = Ok(true);
    let started = world::instant();
    while matches!(last, Ok(true)) && started.elapsed() < DRAIN_LIMIT {
        world::pause(Duration::from_millis(50));
        last = owed();
    }
    ensure!(!last?, "deliveries were still owed after {DRAIN_LIMIT:?}");
    println!("{check}: drained within {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

fn report_ready(ready: &mut [Duration]) -> Result<()> {
    ready.sort_unstable();
    let (median, max) = (ready[ready.len() / 2], ready[ready.len() - 1]);
    println!("crash: ready after a kill in {median:.0?} (median), {max:.0?} (longest) of {} starts", ready.len());
    // A disk that is shared stalls now and then, whoever starts: one start in fifty, or one in a short run, may be late.
    let late = ready.iter().filter(|start| **start > READY_LIMIT).count();
    let excused = (ready.len() / 50).max(1);
    println!("crash: {late} starts took longer than {READY_LIMIT:?}; {excused} may, for the sake of a stalling disk");
    ensure!(late <= excused, "{late} starts took longer than {READY_LIMIT:?}, the longest {max:?}");
    Ok(())
}

/// Random moments (xorshift64).
pub(crate) struct Moments(pub(crate) u64);

impl Moments {
    /// When, after the server is ready, it is killed.
    fn next(&mut self) -> Duration {
        Duration::from_micros(20_000 + self.below(480_000))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}
