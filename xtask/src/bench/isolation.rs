//! `cargo xtask bench isolation`: how long events take from published to received at a hundred destinations, all of which
//! answer; and at the others of a hundred while one, or fifty, never answer. Many short rounds, interleaved; what counts is
//! the ratio of the middle rounds' 99th percentiles, so that a disk that stalls in a few of them counts for nobody.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use systems::{Hookward, Setup, world};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::deliver::publisher::Publisher;
use super::deliver::sink::Sink;
use super::deliver::{median, percentile};
use crate::run::root;

/// How many destinations hear each event.
const DESTINATIONS: usize = 100;

/// How many of them never answer, and how many times the quiet p99 that of the others may then be.
const CASES: [(usize, f64); 3] = [(0, 1.0), (1, 1.2), (50, 1.5)];

/// How long what was published may take to arrive once nothing more is.
const DRAIN: Duration = Duration::from_secs(60);

/// How long, how often, how much.
#[derive(Args)]
pub(crate) struct Plan {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Rounds; each measures with none, one and fifty that hang
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Events a second, each owed to all hundred
    #[arg(long, default_value_t = 10)]
    events: u32,
    /// Only print, whatever the ratios are
    #[arg(long)]
    only_print: bool,
}

/// A gateway with so many destinations that hang, and what its rounds came to.
struct Case {
    hanging: usize,
    ratio_max: f64,
    server: Hookward,
    sink: Sink,
    /// In milliseconds, of all rounds.
    latencies: Vec<f64>,
    /// Of each round, in milliseconds.
    p99: Vec<f64>,
    _directory: tempfile::TempDir,
}

/// Measures, prints, and fails above the limits or when a delivery is missing.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let abyss = runtime.block_on(hang())?;
    let start = |(hanging, ratio_max)| Case::start(&runtime, &abyss, hanging, ratio_max);
    let mut cases = CASES.into_iter().map(start).collect::<Result<Vec<_>>>()?;
    for case in &mut cases {
        // What any gateway needs for its first deliveries is nobody's doing; and by now whoever hangs is hanging.
        case.measure(&runtime, plan.events, Duration::from_secs(3))?;
    }
    for _ in 0..plan.rounds {
        for case in &mut cases {
            let latencies = case.measure(&runtime, plan.events, Duration::from_secs(plan.seconds))?;
            case.p99.push(percentile(&latencies, 0.99));
            case.latencies.extend(latencies);
        }
    }
    println!("{:<8} {:>10} {:>8} {:>8} {:>8} {:>6}", "hanging", "deliveries", "p50 ms", "longest", "p99 ms", "ratio");
    let mut quiet = f64::NAN;
    let mut failed = Vec::new();
    for Case { hanging, ratio_max, latencies, p99, .. } in &mut cases {
        latencies.sort_unstable_by(f64::total_cmp);
        let [p50, longest] = [0.50, 1.0].map(|share| percentile(latencies, share));
        let (p99, _) = median(p99);
        if *hanging == 0 {
            quiet = p99;
        }
        let ratio = p99 / quiet;
        println!("{hanging:<8} {:>10} {p50:>8.2} {longest:>8.2} {p99:>8.2} {ratio:>6.2}", latencies.len());
        if ratio > *ratio_max {
            failed.push(format!("with {hanging} hanging it was {ratio:.2}, {ratio_max} is allowed"));
        }
    }
    for case in cases {
        case.server.kill()?;
    }
    ensure!(failed.is_empty() || plan.only_print, "{}", failed.join("; "));
    Ok(())
}

impl Case {
    fn start(runtime: &Runtime, abyss: &str, hanging: usize, ratio_max: f64) -> Result<Self> {
        let place = root().join("target/xtask/bench");
        std::fs::create_dir_all(&place)?;
        let directory = tempfile::tempdir_in(&place)?;
        let sink = runtime.block_on(Sink::start())?;
        let destination = |number: usize| {
            // A breaker would soon leave alone whoever hangs: here they hang all the time.
            let (url, more) = match number < hanging {
                true => (abyss.to_owned(), "breaker = false\n"),
                false => (sink.url(number), ""),
            };
            format!(
                "[[destination]]\nname = \"sink-{number}\"\ntype = \"http\"\nurl = \"{url}\"\n{more}\
                 allow_addresses = [\"127.0.0.0/8\"]\n"
            )
        };
        let config: String = (0..DESTINATIONS).map(destination).collect();
        let server = Setup::new(directory.path(), &config)?.start()?;
        Ok(Self { hanging, ratio_max, server, sink, latencies: Vec::new(), p99: Vec::new(), _directory: directory })
    }

    /// Publishes at a steady pace. The times from when an event was due to be published until each of those that answer
    /// received it, in milliseconds, sorted.
    fn measure(&self, runtime: &Runtime, events: u32, how_long: Duration) -> Result<Vec<f64>> {
        self.sink.clear();
        let publisher = Publisher::new(self.server.admin, self.sink.clock(), 1024);
        let published = runtime.block_on(publisher.trickle(events, how_long))?;
        let expected = published * (DESTINATIONS - self.hanging) as u64;
        let all_arrived = world::until(DRAIN, || self.sink.count() >= expected);
        ensure!(all_arrived, "{} of {expected} deliveries arrived", self.sink.count());
        Ok(self.sink.latencies())
    }
}

/// A receiver that takes whatever it is sent and never answers. Gives its URL.
async fn hang() -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let url = format!("http://{}/abyss", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { while stream.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0) {} });
        }
    });
    Ok(url)
}
