//! `cargo xtask replays`: captured requests sent again, all at once, under fresh delivery ids; nothing may run twice.
//! An attacker who has a request has its body and signature; the id is an unsigned header and costs nothing to change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use systems::github::{push, push_body};
use systems::{Client, Hookward, Receiver, Setup, world};

const SECRET: &str = "replay-test-secret";

const CONFIG: &str = r#"
[[source]]
name = "github"
scheme = "github"
secret = "env:REPLAY_SECRET"

[[destination]]
name = "receiver"
type = "http"
url = "env:REPLAY_RECEIVER_URL"
allow_addresses = ["127.0.0.0/8"]
"#;

/// Connections that send at once.
const CONNECTIONS: u64 = 32;

/// How long what is owed may take to be delivered.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);

/// How many.
#[derive(Args)]
pub(crate) struct Plan {
    /// Captured requests
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// How many times something is sent again, over all of them
    #[arg(long, default_value_t = 100_000)]
    replays: u64,
}

impl Plan {
    /// The short run of `cargo xtask ci`.
    pub(crate) fn short() -> Self {
        Self { requests: 200, replays: 5_000 }
    }
}

/// What was answered to the copies of one request.
#[derive(Default, Clone, PartialEq)]
struct Answers {
    accepted: u32,
    duplicate: u32,
}

/// Sends, waits, and reckons.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let triggered: Arc<Mutex<BTreeMap<Vec<u8>, u32>>> = Arc::default();
    let for_receiver = Arc::clone(&triggered);
    let receiver = Receiver::start_forgetful(move |received| {
        *for_receiver.lock().expect("no holder of this lock panics").entry(received.body().to_vec()).or_default() += 1;
        204
    })?;
    let setup = Setup::new(directory.path(), CONFIG)?
        .env("REPLAY_SECRET", SECRET)
        .env("REPLAY_RECEIVER_URL", &receiver.url("/"));
    let server = setup.start()?;
    let started = world::instant();
    let answers = send(plan, server.public)?;
    println!(
        "replays: {} requests and {} replays of them on {CONNECTIONS} connections in {:.1} s",
        plan.requests,
        plan.replays,
        started.elapsed().as_secs_f64()
    );
    let runs = |triggered: &BTreeMap<Vec<u8>, u32>| triggered.len() as u64;
    let delivered =
        world::until(DRAIN_LIMIT, || runs(&triggered.lock().expect("no holder of this lock panics")) >= plan.requests);
    ensure!(delivered, "not every request was delivered within {DRAIN_LIMIT:?}");
    reckon(plan, &server, &answers, &triggered.lock().expect("no holder of this lock panics"))?;
    server.kill()?;
    after_a_kill(plan, &setup.start()?)
}

/// What was accepted in one life of the server is known in the next.
fn after_a_kill(plan: &Plan, server: &Hookward) -> Result<()> {
    let mut client = Client::new(server.public);
    for captured in 0..plan.requests {
        let id = format!("{captured:08x}-2222-4222-8222-222222222222");
        let response = client.send(&push("/in/github", SECRET.as_bytes(), &id, &push_body(captured)))?;
        ensure!(response.status == 200, "after a kill a replay was answered {} {}", response.status, response.text());
    }
    println!("replays: killed, started again, and {} more were duplicates", plan.requests);
    Ok(())
}

/// Every request and every replay of it, in an order that mixes them, from all connections at once: the first to come
/// is the one that counts.
fn send(plan: &Plan, address: SocketAddr) -> Result<Vec<Answers>> {
    let total = plan.requests + plan.replays;
    let next = AtomicU64::new(0);
    let answers = Mutex::new(vec![Answers::default(); usize::try_from(plan.requests)?]);
    let work = || -> Result<()> {
        let mut client = Client::new(address);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                return Ok(());
            }
            // Neighbours in the order are copies of the same request, on different connections at the same time.
            let captured = number * plan.requests / total;
            let id = format!("{number:08x}-1111-4111-8111-111111111111");
            let request = push("/in/github", SECRET.as_bytes(), &id, &push_body(captured));
            let response = client.send(&request)?;
            let mut answers = answers.lock().expect("no holder of this lock panics");
            let answers = &mut answers[usize::try_from(captured)?];
            match response.status {
                202 => answers.accepted += 1,
                200 => answers.duplicate += 1,
                status => return Err(anyhow!("a replay was answered {status}: {}", response.text())),
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a sender panicked"))??;
        }
        Ok::<(), anyhow::Error>(())
    })?;
    Ok(answers.into_inner().expect("no holder of this lock panics"))
}

fn reckon(plan: &Plan, server: &Hookward, answers: &[Answers], triggered: &BTreeMap<Vec<u8>, u32>) -> Result<()> {
    let accepted: u32 = answers.iter().map(|answers| answers.accepted).sum();
    let duplicate: u32 = answers.iter().map(|answers| answers.duplicate).sum();
    let twice = answers.iter().filter(|answers| answers.accepted != 1).count();
    let again = triggered.values().filter(|&&count| count != 1).count();
    let originals = server.list("/api/v1/events?duplicate=false")?.len() as u64;
    let deliveries = server.list("/api/v1/deliveries")?.len() as u64;
    println!("replays: answered 202 {accepted} times, 200 duplicate {duplicate} times");
    println!("replays: {originals} originals, {deliveries} deliveries; {again} requests triggered more than once");
    ensure!(twice == 0, "{twice} requests were not accepted exactly once");
    ensure!(u64::from(duplicate) == plan.replays, "{duplicate} duplicates of {} replays", plan.replays);
    ensure!(originals == plan.requests, "{originals} original events of {} requests", plan.requests);
    ensure!(deliveries == plan.requests, "{deliveries} deliveries of {} requests", plan.requests);
    ensure!(again == 0, "{again} requests triggered more than once");
    Ok(())
}
