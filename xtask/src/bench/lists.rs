//! `cargo xtask bench lists`: pages of the API's lists over ten million events of thirty days on a PostgreSQL of its own, first,
//! in the middle and last, once with nothing in memory and then again and again; and a past day that is dropped meanwhile. Owns
//! what stands in the database, which SQL makes from a few events that came the usual way.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use systems::{Hookward, Receiver, Request, Setup, world};

use super::deliver::{median, percentile};
use crate::postgres::Cluster;
use crate::run::{output_of, root};

/// How long a page may take once it was looked at.
const LIMIT_MS: f64 = 50.0;

/// How long the few events may take that all others are made from.
const DRAIN: Duration = Duration::from_secs(30);

/// How long retention may take to see that a day is too old: it looks once a minute.
const DROP: Duration = Duration::from_secs(600);

/// Of days: see `store/postgres/days.rs`.
const BITS: u32 = 38;

const SOURCES: [&str; 3] = ["github", "billing", "rare"];

/// A list, and what its cursor counts: places of events, of deliveries, or rows of the audit log.
const LISTS: [(&str, Counts); 18] = [
    ("events", Counts::Events),
    ("events?source=github", Counts::Events),
    ("events?source=rare", Counts::Events),
    ("events?type=push", Counts::Events),
    ("events?type=release", Counts::Events),
    ("events?source=rare&type=release", Counts::Events),
    ("events?duplicate=true", Counts::Events),
    ("events?limit=250", Counts::Events),
    ("deliveries", Counts::Deliveries),
    ("deliveries?destination=ci", Counts::Deliveries),
    ("deliveries?destination=dead", Counts::Deliveries),
    ("deliveries?state=delivered", Counts::Deliveries),
    ("deliveries?state=exhausted", Counts::Deliveries),
    ("deliveries?destination=ci&state=exhausted", Counts::Deliveries),
    ("audit", Counts::Audit),
    ("audit?action=webhook.deliver", Counts::Audit),
    ("audit?target=source:rare", Counts::Audit),
    ("audit?actor=nobody", Counts::Audit),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Events,
    Deliveries,
    Audit,
}

/// How much and how often.
#[derive(Args)]
pub(crate) struct Plan {
    /// Events in the database
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Past days that they are from
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// How often each page is asked for
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// A database that was filled before, in place of one that is made and filled
    #[arg(long)]
    filled: Option<String>,
}

/// Measures, prints, and fails when the median of a page is above the limit.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let place = root().join("target/xtask/bench");
    std::fs::create_dir_all(&place)?;
    let directory = tempfile::tempdir_in(&place)?;
    let receiver = Receiver::start(|request| if request.target.starts_with("/dead") { 503 } else { 204 })?;
    let cluster = match plan.filled {
        Some(_) => None,
        // On a disk, which is what memory is too small for.
        None => {
            Some(Cluster::start_in("bench", &std::env::temp_dir())?.context("there is no PostgreSQL to measure with")?)
        }
    };
    let address = match (&plan.filled, &cluster) {
        (Some(address), _) => address.clone(),
        (None, Some(cluster)) => filled(cluster, directory.path(), &receiver, plan)?,
        (None, None) => unreachable!("it is one or the other"),
    };
    let server = Setup::new(directory.path(), &config(&address, &receiver, ""))?.start()?;
    let worst = pages(&server, &address, plan)?;
    ensure!(server.terminate()?.success(), "the gateway did not end in order");
    drop_a_day(directory.path(), &address, &receiver, plan)?;
    ensure!(worst <= LIMIT_MS, "a page takes {worst:.1} ms, {LIMIT_MS} ms are allowed");
    Ok(())
}

fn config(address: &str, receiver: &Receiver, of_github: &str) -> String {
    let mut config = format!("[database]\naddress = \"{address}\"\n");
    for source in SOURCES {
        let more = if source == "github" { of_github } else { "" };
        let _ = write!(config, "[[source]]\nname = \"{source}\"\nunsigned = true\n{more}");
    }
    for (name, path, sources, waits) in [
        ("ci", "/ok", "\"github\", \"billing\", \"rare\"", "\"5s\""),
        ("archive", "/ok", "\"billing\"", "\"5s\""),
        ("dead", "/dead", "\"rare\"", ""),
    ] {
        let url = receiver.url(path);
        let _ = write!(
            config,
            "[[destination]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"{url}\"\nsources = [{sources}]\n\
             retry = {{ waits = [{waits}] }}\nallow_addresses = [\"127.0.0.0/8\"]\n"
        );
    }
    config
}

fn psql(address: &str, arguments: &[&str]) -> Result<String> {
    output_of(Command::new("psql").args([address, "-qAt", "-v", "ON_ERROR_STOP=1"]).args(arguments))
}

/// A database with so many events. An event of each source comes in and is delivered; all others are made like them.
fn filled(cluster: &Cluster, directory: &Path, receiver: &Receiver, plan: &Plan) -> Result<String> {
    for setting in ["shared_buffers = '512MB'", "max_wal_size = '8GB'", "max_locks_per_transaction = 256"] {
        cluster.sql(&format!("alter system set {setting}"))?;
    }
    cluster.restart()?;
    cluster.sql("create database lists")?;
    let address = format!("{} dbname=lists", cluster.address());
    let server = Setup::new(directory, &config(&address, receiver, ""))?.start()?;
    for source in SOURCES {
        let body = format!("{{\"text\":\"{}\"}}", "a sender's words, ".repeat(7));
        let answer = server.public(&Request::post(&format!("/in/{source}")).body(body.as_bytes()))?;
        ensure!(answer.status == 202, "{source}: {} {}", answer.status, answer.text());
    }
    let is_over = || server.get("/api/v1/deliveries?state=exhausted").is_ok_and(|page| page["items"][0].is_object());
    ensure!(world::until(DRAIN, is_over), "the first events are not delivered");
    ensure!(server.terminate()?.success(), "the gateway did not end in order");
    let began = world::instant();
    let scripts = root().join("xtask/src/bench/lists");
    let script = |name: &str| scripts.join(name).to_string_lossy().into_owned();
    let room = format!("select set_config('bench.days', '{}', false)", plan.days);
    psql(&address, &["-c", &room, "-f", &script("room.sql")])?;
    let today: u64 = psql(&address, &["-c", "select now_ms() / 86400000 - 18262"])?.trim().parse()?;
    let count = format!("count={}", plan.events / plan.days.max(1));
    for day in today - plan.days..today {
        psql(&address, &["-v", &format!("day={day}"), "-v", &count, "-f", &script("day.sql")])?;
    }
    psql(&address, &["-c", "vacuum (analyze)"])?;
    println!("{} events of {} days were made in {:.0} s", plan.events, plan.days, began.elapsed().as_secs_f64());
    Ok(address)
}

/// Where the pages begin: at the newest, in the middle and near the oldest.
fn places(address: &str, counts: Counts) -> Result<[Option<i64>; 3]> {
    let asked = match counts {
        Counts::Audit => "select max(seq) / 2, 60 from audit".to_owned(),
        Counts::Events | Counts::Deliveries => {
            let table = if counts == Counts::Events { "events" } else { "deliveries" };
            let first = format!("(select seq from {table} order by seq limit 1)");
            let last = format!("(select seq from {table} order by seq desc limit 1)");
            format!("select ((({first} >> {BITS}) + ({last} >> {BITS})) / 2 << {BITS}) + 1000, {first} + 200000")
        }
    };
    let said = psql(address, &["-c", &asked])?;
    let (middle, end) = said.trim().split_once('|').context("two places")?;
    Ok([None, Some(middle.parse()?), Some(end.parse()?)])
}

fn pages(server: &Hookward, address: &str, plan: &Plan) -> Result<f64> {
    println!("{:<46} {:<7} {:>8} {:>8} {:>8}", "list", "page", "first ms", "p50 ms", "max ms");
    let mut worst: f64 = 0.0;
    for (list, counts) in LISTS {
        for (page, before) in ["newest", "middle", "oldest"].into_iter().zip(places(address, counts)?) {
            let kind = list.split('?').next().unwrap_or(list);
            let joint = if list.contains('?') { '&' } else { '?' };
            let cursor = before.map(|before| URL_SAFE_NO_PAD.encode(format!("1.{kind}.{before}")));
            let cursor = cursor.map(|cursor| format!("{joint}cursor={cursor}")).unwrap_or_default();
            let times = times(server, &format!("/api/v1/{list}{cursor}"), plan.rounds)?;
            let (first, mut rest) = (times[0], times[1..].to_vec());
            let (middle, _) = median(&mut rest);
            println!("{list:<46} {page:<7} {first:>8.1} {middle:>8.1} {:>8.1}", percentile(&rest, 1.0));
            worst = worst.max(middle);
        }
    }
    // The day after the oldest, which everything younger stands before.
    let sql = format!(
        "select to_char(to_timestamp(((seq >> {BITS}) + 18263) * 86400) at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')
         from events order by seq limit 1"
    );
    let until = psql(address, &["-c", &sql])?.trim().to_owned();
    for list in ["events", "deliveries", "deliveries?state=exhausted", "audit"] {
        let joint = if list.contains('?') { '&' } else { '?' };
        let times = times(server, &format!("/api/v1/{list}{joint}until={until}"), plan.rounds)?;
        let (first, mut rest) = (times[0], times[1..].to_vec());
        let (middle, _) = median(&mut rest);
        println!("{list:<46} {:<7} {first:>8.1} {middle:>8.1} {:>8.1}", "until", percentile(&rest, 1.0));
        worst = worst.max(middle);
    }
    println!("the slowest page takes {worst:.1} ms, {:.2} of {LIMIT_MS} ms", worst / LIMIT_MS);
    Ok(worst)
}

fn times(server: &Hookward, path: &str, rounds: usize) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(rounds + 1);
    for _ in 0..=rounds.max(1) {
        let asked = world::instant();
        server.get(path)?;
        times.push(asked.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(times)
}

/// Lets the oldest days grow too old, and looks at a list until they are gone.
fn drop_a_day(directory: &Path, address: &str, receiver: &Receiver, plan: &Plan) -> Result<()> {
    let first = || -> Result<i64> {
        Ok(psql(address, &["-c", &format!("select seq >> {BITS} from events order by seq limit 1")])?.trim().parse()?)
    };
    let (before, days) = (first()?, plan.days.saturating_sub(1).max(1));
    let age = format!("[retention]\nage = \"{days}d\"\n");
    let server = Setup::new(directory, &(age + &config(address, receiver, "")))?.start()?;
    let over = AtomicBool::new(false);
    let (took, mut times) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut all = Vec::new();
            while !over.load(Ordering::Relaxed) {
                all.extend(times(&server, "/api/v1/events?source=github", 1)?);
            }
            anyhow::Ok(all)
        });
        let began = world::instant();
        let is_gone = world::until(DROP, || first().is_ok_and(|first| first > before));
        over.store(true, Ordering::Relaxed);
        let took = began.elapsed();
        ensure!(is_gone, "the oldest day is still there after {DROP:?}");
        Ok((took, looking.join().map_err(|_| anyhow::anyhow!("who looks at the list panicked"))??))
    })?;
    let (middle, _) = median(&mut times);
    println!(
        "a day of {} events is gone {:.1} s after the start; a list beside it takes p50 {middle:.1} ms, max {:.1} ms",
        plan.events / plan.days.max(1),
        took.as_secs_f64(),
        percentile(&times, 1.0)
    );
    ensure!(server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}
