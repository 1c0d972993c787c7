//! `cargo xtask bench ingest|deliver --store postgres`: what a store that one and three nodes share commits or delivers, beside bare
//! transactions of many rows on the same database, in turn. Owns the database, on disk and vacuumed often, and the floors; what is
//! measured is `hookward-engine`'s example `shared_store`.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::postgres::Cluster;
use crate::run::{output_of, root, run};

/// At least this share of what the bare transactions come to.
const FLOOR: f64 = 0.8;

/// At least this share of itself while somebody holds an old snapshot.
const FLOOR_HELD: f64 = 0.8;

/// Whose benchmark it is.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// How long and how often, on a shared store.
#[derive(Args)]
pub(crate) struct Shared {
    /// Where the events are kept
    #[arg(long, value_enum, default_value = "sqlite")]
    pub(crate) store: Store,
    /// With PostgreSQL: seconds for which a transaction that only reads is held open at the end (0: none is)
    #[arg(long, default_value_t = 600)]
    held: u64,
}

/// What one run came to.
struct Came {
    own: f64,
    ratio: f64,
}

/// Measures, prints, and fails below the floors.
pub(super) fn measure(what: &str, plan: &Shared, seconds: u64, rounds: u32, tasks: usize) -> Result<()> {
    let place = root().join("target/xtask/bench");
    std::fs::create_dir_all(&place)?;
    // On a disk: what a commit costs there is what is asked.
    let cluster =
        Cluster::start_in("bench", &std::env::temp_dir())?.context("there is no PostgreSQL to measure with")?;
    for setting in ["autovacuum_naptime = '5s'", "shared_buffers = '512MB'", "max_wal_size = '4GB'"] {
        cluster.sql(&format!("alter system set {setting}"))?;
    }
    cluster.restart()?;
    run("cargo", &["build", "--release", "--package", "hookward-engine", "--example", "shared_store"])?;
    let example = |nodes: usize, rounds: u32, held: bool| -> Result<Came> {
        let name = format!("{what}_{nodes}{}", if held { "_held" } else { "" });
        cluster.sql(&format!("create database {name}"))?;
        println!("\n{what}, {nodes} node(s){}", if held { ", beside a transaction that is held open" } else { "" });
        let mut command = Command::new(root().join("target/release/examples/shared_store"));
        command.args([what, &format!("{} dbname={name}", cluster.address())]);
        command.args([nodes.to_string(), tasks.to_string(), seconds.to_string(), rounds.to_string()]);
        command.args(held.then_some("snapshot"));
        let said = output_of(&mut command)?;
        print!("{said}");
        let vacuums = "select coalesce(sum(autovacuum_count), 0) from pg_stat_user_tables";
        let vacuums =
            output_of(Command::new("psql").args([&format!("{} dbname={name}", cluster.address()), "-qAtc", vacuums]))?;
        println!("tables were vacuumed {} times meanwhile", vacuums.trim());
        let last = said.lines().last().context("the example said nothing")?;
        let words: Vec<&str> = last.split_whitespace().collect();
        let after =
            |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)?.parse().ok());
        Ok(Came {
            own: after("hookward").context("no rate was said")?,
            ratio: after("ratio").context("no ratio was said")?,
        })
    };
    let one = example(1, rounds, false)?;
    let three = example(3, rounds, false)?;
    let held_rounds = u32::try_from(plan.held / (2 * seconds.max(1))).unwrap_or(u32::MAX);
    let held = (held_rounds > 0).then(|| example(3, held_rounds, true)).transpose()?;
    println!("\nof the bare transactions: {:.3} with one node, {:.3} with three", one.ratio, three.ratio);
    if let Some(held) = &held {
        println!("beside a held transaction: {:.3} of three nodes without", held.own / three.own);
    }
    for came in [&one, &three] {
        ensure!(came.ratio >= FLOOR, "{:.3} of the bare transactions is below the floor of {FLOOR}", came.ratio);
    }
    if let Some(held) = held {
        ensure!(held.own / three.own >= FLOOR_HELD, "a held transaction slows it below {FLOOR_HELD}");
    }
    Ok(())
}
