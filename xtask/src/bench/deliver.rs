//! `cargo xtask bench deliver`: events published until their deliveries are received, to one and to ten destinations on a local
//! sink, beside a bare client that sends the same requests, in interleaved rounds; then the latency of a steady trickle.
//! Every delivery must arrive, and none twice.

mod bare;
pub(super) mod publisher;
pub(super) mod sink;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use systems::{Hookward, Setup, world};
use tokio::runtime::Runtime;

use super::shared::{self, Shared, Store};
use crate::run::root;
pub(super) use bare::{Bare, run as run_bare};
use publisher::Publisher;
use sink::Sink;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// How long what was published may take to arrive once nothing more is.
const DRAIN: Duration = Duration::from_secs(120);

/// How many destinations hear each event, in turn.
const FANS: [usize; 2] = [1, 10];

/// How long, how often, how much.
#[derive(Args)]
pub(crate) struct Plan {
    /// Seconds of publishing in each measurement
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds; each measures the bare client and Hookward
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Requests under way at once at the sink, shared by the destinations
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Requests under way at once at the API
    #[arg(long, default_value_t = 64)]
    publishers: usize,
    /// Length of a body, in bytes
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Events a second of the trickle
    #[arg(long, default_value_t = 100)]
    trickle: u32,
    #[command(flatten)]
    shared: Shared,
}

/// What the rounds of one fan came to.
#[derive(Default)]
struct Series {
    bare: Vec<f64>,
    own: Vec<f64>,
}

/// Measures, prints, and fails when a delivery is missing or was made twice.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    if plan.shared.store == Store::Postgres {
        return shared::measure("deliver", &plan.shared, plan.seconds, plan.rounds, plan.connections);
    }
    // On the disk that the repository is on: a temporary directory may be memory.
    let place = root().join("target/xtask/bench");
    std::fs::create_dir_all(&place)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for fan in FANS {
        let directory = tempfile::tempdir_in(&place)?;
        let sink = runtime.block_on(Sink::start())?;
        let server = Setup::new(directory.path(), &config(&sink, fan, plan.connections.div_ceil(fan)))?
            .env("BENCH_SECRET", SECRET)
            .start()?;
        println!(
            "{:<9} {:>5} {:>12} {:>12} {:>12} {:>7}",
            "to", "round", "published/s", "delivered/s", "bare/s", "ratio"
        );
        let mut series = Series::default();
        let how_long = Duration::from_secs(plan.seconds);
        for round in 1..=plan.rounds {
            let bare = bare::measure(&sink, fan, plan, how_long)?;
            let (published, own) = flood(&runtime, &server, &sink, fan, plan, how_long)?;
            println!("{fan:<9} {round:>5} {published:>12.0} {own:>12.0} {bare:>12.0} {:>7.3}", own / bare);
            series.bare.push(bare);
            series.own.push(own);
        }
        series.print(fan);
        let latencies = trickle(&runtime, &server, &sink, fan, plan, how_long)?;
        println!(
            "to {fan}: at {} events/s, published to received: p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            plan.trickle,
            percentile(&latencies, 0.50),
            percentile(&latencies, 0.99),
            percentile(&latencies, 1.0)
        );
        println!("to {fan}: peak memory of the gateway {:.1} MiB", world::peak_kib(server.pid())? as f64 / 1024.0);
        ensure!(server.terminate()?.success(), "the gateway did not end in order");
    }
    Ok(())
}

impl Series {
    fn print(&mut self, fan: usize) {
        let (own, own_spread) = median(&mut self.own);
        let (bare, bare_spread) = median(&mut self.bare);
        println!(
            "to {fan}: median {own:.0} deliveries/s (spread {own_spread:.0} %), bare client {bare:.0}/s \
             (spread {bare_spread:.0} %), ratio {:.3}",
            own / bare
        );
    }
}

/// Publishes as fast as it is answered, and waits for the last delivery. Events and deliveries a second.
fn flood(
    runtime: &Runtime,
    server: &Hookward,
    sink: &Sink,
    fan: usize,
    plan: &Plan,
    how_long: Duration,
) -> Result<(f64, f64)> {
    sink.clear();
    let began = sink.micros();
    let publisher = Publisher::new(server.admin, sink.clock(), plan.bytes);
    let published = runtime.block_on(publisher.flood(plan.publishers, how_long))?;
    let published_for = sink.micros() - began;
    arrived(sink, published, fan)?;
    let delivered_for = sink.last_micros() - began;
    let per_second = |count: u64, micros: u64| count as f64 * 1e6 / micros as f64;
    Ok((per_second(published, published_for), per_second(published * fan as u64, delivered_for)))
}

/// Publishes at a steady pace whatever the answers take. The times from when an event was due to be published until each
/// of its deliveries was received, in milliseconds, sorted.
fn trickle(
    runtime: &Runtime,
    server: &Hookward,
    sink: &Sink,
    fan: usize,
    plan: &Plan,
    how_long: Duration,
) -> Result<Vec<f64>> {
    sink.clear();
    let publisher = Publisher::new(server.admin, sink.clock(), plan.bytes);
    let published = runtime.block_on(publisher.trickle(plan.trickle, how_long))?;
    arrived(sink, published, fan)?;
    Ok(sink.latencies())
}

/// Waits until everything has arrived: each delivery, and none twice.
fn arrived(sink: &Sink, published: u64, fan: usize) -> Result<()> {
    let expected = published * fan as u64;
    ensure!(published > 0, "nothing was published");
    ensure!(world::until(DRAIN, || sink.count() >= expected), "{} of {expected} deliveries arrived", sink.count());
    ensure!(sink.distinct() == expected, "{} deliveries of {expected} arrived, some of them twice", sink.distinct());
    Ok(())
}

fn config(sink: &Sink, fan: usize, concurrency: usize) -> String {
    let destination = |number: usize| {
        format!(
            "[[destination]]\nname = \"sink-{number}\"\ntype = \"http\"\nurl = \"{}\"\nconcurrency = {concurrency}\n\
             sign = {{ scheme = \"standard-webhooks\", secret = \"env:BENCH_SECRET\" }}\nallow_addresses = [\"127.0.0.0/8\"]\n",
            sink.url(number)
        )
    };
    (0..fan).map(destination).collect()
}

/// The middle value, and how far the outermost are apart in hundredths of it.
pub(super) fn median(values: &mut [f64]) -> (f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    (middle, (values[values.len() - 1] - values[0]) / middle * 100.0)
}

pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
