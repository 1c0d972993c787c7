//! `cargo xtask bench ingest`: how many signed pushes a second are accepted durably, beside nginx and adnanh/webhook
//! in interleaved rounds; afterwards every answered 202 must be found in the store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use systems::{Hookward, Setup, world};

use super::load::{Measured, Pushes, Target, measure};
use super::rivals::Rival;
use super::shared::{self, Shared, Store};
use crate::run::root;

const SECRET: &str = "ingest-benchmark-secret";

/// A source without destinations: full durability, both dedup keys, an audit row, and nothing to deliver.
const CONFIG: &str = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:BENCH_SECRET\"\n";

/// At least this share of what nginx answers.
const FLOOR_NGINX: f64 = 0.10;

/// At least this many times what adnanh/webhook answers.
const FLOOR_WEBHOOK: f64 = 2.0;

/// How long a server may go on working after its last answer.
const SETTLE: Duration = Duration::from_secs(60);

/// How long and how often.
#[derive(Args)]
pub(crate) struct Plan {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds; each measures all three
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Connections, each with one request under way
    #[arg(long, default_value_t = 64)]
    connections: usize,
    #[command(flatten)]
    shared: Shared,
}

/// All measurements of one server.
struct Series {
    name: &'static str,
    rounds: Vec<Measured>,
}

impl Series {
    /// The round with the median throughput.
    fn median(&self) -> &Measured {
        let mut order: Vec<&Measured> = self.rounds.iter().collect();
        order.sort_by(|a, b| a.per_second().total_cmp(&b.per_second()));
        order[order.len() / 2]
    }
}

/// Measures, prints, and fails below the floors or when an answered event is missing.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    if plan.shared.store == Store::Postgres {
        return shared::measure("ingest", &plan.shared, plan.seconds, plan.rounds, plan.connections);
    }
    // On the disk that the repository is on: a temporary directory may be memory.
    let place = root().join("target/xtask/bench");
    std::fs::create_dir_all(&place)?;
    let directory = tempfile::tempdir_in(&place)?;
    let server = Setup::new(directory.path(), CONFIG)?.env("BENCH_SECRET", SECRET).start()?;
    let nginx = Rival::nginx(&directory.path().join("nginx"))?;
    let webhook = Rival::webhook(directory.path(), SECRET)?;
    let own = Target { address: server.public, path: "/in/github".to_owned(), status: 202 };

    let pushes = Arc::new(Pushes::new(SECRET.as_bytes()));
    let targets = [
        ("hookward", &own, server.pid()),
        (nginx.name, &nginx.target, nginx.pid()),
        (webhook.name, &webhook.target, webhook.pid()),
    ];
    let mut series: Vec<Series> = targets.iter().map(|(name, ..)| Series { name, rounds: Vec::new() }).collect();
    let how_long = Duration::from_secs(plan.seconds);
    println!("{:<15} {:>5} {:>10} {:>9} {:>9} {:>9}", "server", "round", "req/s", "p50 ms", "p99 ms", "p99.9 ms");
    for round in 1..=plan.rounds {
        for ((name, target, pid), series) in targets.iter().zip(&mut series) {
            let measured = measure(target, &pushes, plan.connections, how_long)?;
            // What one has answered and not yet done must not slow the next: webhook goes on starting programs.
            ensure!(world::until_idle(*pid, SETTLE), "{name} was still busy {SETTLE:?} after its last answer");
            print_line(name, round, &measured);
            series.rounds.push(measured);
        }
    }
    let memory = [world::peak_kib(server.pid())?, nginx.peak_kib(), webhook.peak_kib()];
    for (series, kib) in series.iter().zip(memory) {
        println!("{:<15} peak memory {:.1} MiB", series.name, kib as f64 / 1024.0);
    }
    check_store(&server, &series[0])?;
    check_floors(&series)
}

fn print_line(name: &str, round: u32, measured: &Measured) {
    println!(
        "{name:<15} {round:>5} {:>10.0} {:>9.2} {:>9.2} {:>9.2}",
        measured.per_second(),
        measured.percentile(0.50),
        measured.percentile(0.99),
        measured.percentile(0.999),
    );
}

/// Every 202 is an original event in the store, under the id that was sent.
fn check_store(server: &Hookward, own: &Series) -> Result<()> {
    let events = server.list("/api/v1/events")?;
    let originals = events.iter().filter(|event| event["duplicate_of"].is_null());
    let stored: HashSet<&str> = originals.filter_map(|event| event["delivery_id"].as_str()).collect();
    let answered = own.rounds.iter().flat_map(|round| &round.answered);
    let (mut count, mut missing) = (0, 0);
    for number in answered {
        count += 1;
        missing += usize::from(!stored.contains(Pushes::delivery_id(*number).as_str()));
    }
    println!("of {count} requests answered 202, {} are in the store, {missing} are missing", count - missing);
    ensure!(missing == 0, "{missing} answered events are missing");
    ensure!(events.len() == count, "{} events for {count} answered requests", events.len());
    Ok(())
}

fn check_floors(series: &[Series]) -> Result<()> {
    let rate = |index: usize| series[index].median().per_second();
    let (of_nginx, of_webhook) = (rate(0) / rate(1), rate(0) / rate(2));
    println!("median of {} rounds: {of_nginx:.3} of nginx, {of_webhook:.2} × adnanh/webhook", series[0].rounds.len());
    ensure!(of_nginx >= FLOOR_NGINX, "{of_nginx:.3} of nginx is below the floor of {FLOOR_NGINX}");
    ensure!(of_webhook >= FLOOR_WEBHOOK, "{of_webhook:.2} × adnanh/webhook is below the floor of {FLOOR_WEBHOOK}");
    Ok(())
}
