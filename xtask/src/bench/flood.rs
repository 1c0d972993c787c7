//! `cargo xtask bench flood`: a steady good sender, alone and beside a flood of bad signatures and 500 slow connections,
//! in interleaved rounds: its 99th percentile may at most double, and the server's memory may grow by less than 64 MiB.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use systems::github::{push, push_body};
use systems::{Client, Setup, world};

use super::load::{Pushes, Target, flood_until};
use crate::run::root;

const SECRET: &str = "flood-benchmark-secret";

const CONFIG: &str = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:BENCH_SECRET\"\n";

/// How many times its quiet value the good sender's 99th percentile may be.
const P99_RATIO_MAX: f64 = 2.0;

/// How much more memory the server may use than before.
const GROWTH_MAX_KIB: u64 = 64 * 1024;

/// Connections that never finish what they began.
const SLOW: usize = 500;

/// How often each of them sends a byte.
const SLOW_EVERY: Duration = Duration::from_millis(500);

/// Connections of the flood, which sends as fast as one core can.
const FLOODING: usize = 16;

/// The two floods: one that keeps its connections, and one that gives each up after about so many refusals.
const FLOODS: [(&str, usize); 2] = [("kept", 1_000_000), ("renewed", 4)];

/// How much time the good sender leaves between two requests.
const PACE: Duration = Duration::from_millis(5);

/// How long and how often.
#[derive(Args)]
pub(crate) struct Plan {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Rounds; each measures quiet and flooded
    #[arg(long, default_value_t = 5)]
    rounds: u32,
}

/// Measures, prints, and fails above the limits or when the good sender was ever answered anything but 202.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let place = root().join("target/xtask/bench");
    std::fs::create_dir_all(&place)?;
    let directory = tempfile::tempdir_in(&place)?;
    let server = Setup::new(directory.path(), CONFIG)?.env("BENCH_SECRET", SECRET).start()?;
    let how_long = Duration::from_secs(plan.seconds);
    let mut next = 1;
    // What any server needs for its first requests is not the flood's doing.
    steady(server.public, &mut next, Duration::from_secs(2))?;
    let before_kib = world::peak_kib(server.pid())?;
    println!("{:<9} {:>5} {:>8} {:>8} {:>8} {:>12}", "flood", "round", "good/s", "p50 ms", "p99 ms", "refused/s");
    let mut quiet = Vec::new();
    let mut flooded = [Vec::new(), Vec::new()];
    for round in 1..=plan.rounds {
        let alone = steady(server.public, &mut next, how_long)?;
        print_line("none", round, &alone, plan.seconds, 0);
        quiet.push(percentile(&alone, 0.99));
        for ((name, life), flooded) in FLOODS.into_iter().zip(&mut flooded) {
            let (beside, refused) = beside_a_flood(server.public, life, &mut next, how_long)?;
            print_line(name, round, &beside, plan.seconds, refused);
            flooded.push(percentile(&beside, 0.99));
            ensure!(refused > 100, "only {refused} bad requests were refused: that was no flood");
        }
    }
    let growth_kib = world::peak_kib(server.pid())?.saturating_sub(before_kib);
    println!("memory grew by {:.1} MiB", growth_kib as f64 / 1024.0);
    let quiet = median(&mut quiet);
    let ratios = flooded.map(|mut flooded| median(&mut flooded) / quiet);
    for ((name, _), ratio) in FLOODS.into_iter().zip(ratios) {
        println!("flood on {name} connections: median p99 is {ratio:.2} of the quiet one");
    }
    ensure!(growth_kib < GROWTH_MAX_KIB, "memory grew by {growth_kib} KiB, less than {GROWTH_MAX_KIB} is allowed");
    let worst = ratios.into_iter().fold(0.0, f64::max);
    ensure!(
        worst <= P99_RATIO_MAX,
        "the good sender's p99 was {worst:.2} of the quiet one, {P99_RATIO_MAX} is allowed"
    );
    Ok(())
}

/// One good request after another at a steady pace; each must be accepted. Their times in milliseconds, sorted.
fn steady(address: SocketAddr, next: &mut u64, how_long: Duration) -> Result<Vec<f64>> {
    let mut client = Client::new(address);
    let mut times = Vec::new();
    let started = world::instant();
    while started.elapsed() < how_long {
        let id = format!("{next:08x}-cccc-4ccc-8ccc-cccccccccccc");
        let request = push("/in/github", SECRET.as_bytes(), &id, &push_body(*next));
        *next += 1;
        let sent = world::instant();
        let response = client.send(&request)?;
        times.push(sent.elapsed().as_secs_f64() * 1000.0);
        ensure!(response.status == 202, "the good sender was answered {} {}", response.status, response.text());
        world::pause(PACE.saturating_sub(sent.elapsed()));
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// The same beside the flood and the slow; also how many of the flood were refused.
fn beside_a_flood(address: SocketAddr, life: usize, next: &mut u64, how_long: Duration) -> Result<(Vec<f64>, u64)> {
    let stop = AtomicBool::new(false);
    let refused = AtomicU64::new(0);
    let target = Target { address, path: "/in/github".to_owned(), status: 401 };
    let pushes = Arc::new(Pushes::new(b"not the secret"));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| dawdle(address, &stop));
        let flood = scope.spawn(|| flood_until(&target, &pushes, (FLOODING, life), &stop, &refused));
        // The flood is in full flow before the good sender is watched.
        world::pause(Duration::from_millis(500));
        let times = steady(address, next, how_long);
        stop.store(true, Ordering::SeqCst);
        for thread in [slow, flood] {
            thread.join().map_err(|_| anyhow!("a hostile sender panicked"))??;
        }
        Ok((times?, refused.load(Ordering::SeqCst)))
    })
}

/// Connections that begin a request and go on byte by byte, half of them in the head, half in the body. One that the
/// server gave up on is opened anew.
fn dawdle(address: SocketAddr, stop: &AtomicBool) -> Result<()> {
    let open = |index: usize| -> Result<TcpStream> {
        let mut stream = systems::http::connect(address)?;
        let head = "POST /in/github HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
        let body = "POST /in/github HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{";
        stream.write_all(if index.is_multiple_of(2) { head } else { body }.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    };
    let mut streams = (0..SLOW).map(open).collect::<Result<Vec<_>>>()?;
    // In turn, as strangers do, and not all in one moment.
    for index in (0..SLOW).cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        match streams[index].write(b"a") {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => streams[index] = open(index)?,
        }
        world::pause(SLOW_EVERY / u32::try_from(SLOW)?);
    }
    Ok(())
}

fn percentile(sorted: &[f64], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_line(name: &str, round: u32, times: &[f64], seconds: u64, refused: u64) {
    println!(
        "{name:<9} {round:>5} {:>8.0} {:>8.2} {:>8.2} {:>12}",
        times.len() as f64 / seconds as f64,
        percentile(times, 0.50),
        percentile(times, 0.99),
        refused / seconds,
    );
}
