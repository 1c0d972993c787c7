//! `cargo xtask cluster`: several nodes on one PostgreSQL, under load, while nodes are killed, stopped and cut off, commits are
//! cut, and PostgreSQL is restarted and overloaded. At the end: nothing that was answered is lost, nothing exists twice, no
//! lease that was lost wrote anything, and every second attempt is accounted for.
//! Owns the order and the table of what was done; each thing that is done has a module.

mod account;
mod losses;
mod nodes;
mod pauses;
mod protocol;
mod way;

use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use systems::database::CLUSTER;
use systems::world;

use account::Account;
use nodes::Nodes;
use pauses::Pauses;

use crate::crash;
use crate::crash::reckoning::reckon;
use crate::postgres::Cluster;
use crate::run::{output_of, run_with};

/// How much is done to the same nodes before there is a reckoning.
const PAUSES_MAX: u32 = 50;
const CUTS_MAX: u32 = 50;
const RESTARTS_MAX: u32 = 10;

/// How often to do what.
#[derive(Args, Clone)]
pub(crate) struct Plan {
    /// Races for leases in the store itself; the tests run a few hundred
    #[arg(long, default_value_t = 10_000)]
    races: u32,
    /// Nodes killed, stopped past their lease, or cut off past it
    #[arg(long, default_value_t = 1_000)]
    pauses: u32,
    /// Connections cut during a commit of events
    #[arg(long, default_value_t = 500)]
    cuts: u32,
    /// Immediate restarts of PostgreSQL
    #[arg(long, default_value_t = 100)]
    restarts: u32,
    /// Times that PostgreSQL is overloaded, in each of four ways
    #[arg(long, default_value_t = 20)]
    overloads: u32,
    /// Where the random moments come from; the same seed gives the same moments
    #[arg(long)]
    seed: Option<u64>,
}

impl Plan {
    /// The short run of `cargo xtask ci`, whose tests had their races.
    pub(crate) fn short() -> Self {
        Self { races: 0, pauses: 6, cuts: 12, restarts: 3, overloads: 1, seed: None }
    }

    fn rounds(&self) -> u32 {
        let rounds = self.pauses.div_ceil(PAUSES_MAX).max(self.cuts.div_ceil(CUTS_MAX));
        rounds.max(self.restarts.div_ceil(RESTARTS_MAX)).max(self.overloads).max(1)
    }
}

/// What was done, and what came of it.
#[derive(Default)]
struct Done {
    pauses: Pauses,
    cuts: u32,
    restarts: u32,
    overloads: u32,
    accepted: usize,
    /// Settlements that came too late and wrote nothing.
    refused: usize,
    account: Account,
}

/// Does as planned, and reckons after each round.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let Some(cluster) = Cluster::start("cluster")? else { return Ok(()) };
    let seed = plan.seed.unwrap_or_else(world::unix_seconds);
    println!(
        "cluster: {} races, {} pauses, {} cuts, {} restarts, {} times four overloads, seed {seed}",
        plan.races, plan.pauses, plan.cuts, plan.restarts, plan.overloads
    );
    if plan.races > 0 {
        race(&cluster, plan.races)?;
    }
    let mut done = Done::default();
    let rounds = plan.rounds();
    for round in 0..rounds {
        let share = |of: u32| of * (round + 1) / rounds - of * round / rounds;
        let part = Plan {
            races: 0,
            pauses: share(plan.pauses),
            cuts: share(plan.cuts),
            restarts: share(plan.restarts),
            overloads: share(plan.overloads),
            seed: Some(seed.wrapping_add(u64::from(round).wrapping_mul(0x2545_f491_4f6c_dd1d))),
        };
        println!("cluster: round {} of {rounds}", round + 1);
        let database = format!("round_{round}");
        play(&cluster, &part, &database, &mut done).with_context(|| format!("round {} of seed {seed}", round + 1))?;
        cluster.sql(&format!("drop database {database} with (force)"))?;
    }
    print_table(&done);
    Ok(())
}

/// The store's own test, as often as is asked.
fn race(cluster: &Cluster, races: u32) -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "--package", "hookward-engine", "--test", "it", "store::races", "--", "--nocapture"]);
    run_with(command.env(CLUSTER, cluster.address()).env("HOOKWARD_TEST_RACES", races.to_string()))
}

/// One round, from new nodes to their reckoning.
fn play(cluster: &Cluster, plan: &Plan, database: &str, done: &mut Done) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let seed = plan.seed.unwrap_or_default();
    let nodes = Nodes::start(cluster, directory.path(), database)?;
    let mut torture = || -> Result<Account> {
        let position = nodes.ask(0, account::position)?;
        nodes.open_doors()?;
        done.pauses.add(pauses::run(&nodes, plan.pauses, seed)?);
        losses::cut(&nodes, plan.cuts, seed)?;
        done.cuts += plan.cuts;
        losses::restart(&nodes, cluster, plan.restarts, seed)?;
        done.restarts += plan.restarts;
        for _ in 0..plan.overloads {
            done.overloads += losses::overload(&nodes, cluster)?;
        }
        let answered = nodes.load.stop()?;
        done.accepted += answered.len();
        nodes.ask(0, |server| {
            crash::drain("cluster", server)?;
            let received = nodes.deliveries.lock().expect("no holder of this lock panics");
            reckon("cluster", server, &answered, &received)?;
            account::settle(server, &position, &received)
        })
    };
    let account = torture().inspect_err(|_| keep(directory.path()))?;
    println!("cluster: {account:?}");
    done.account.add(account);
    done.refused += nodes.lost_leases()?;
    Ok(())
}

/// Leaves what the nodes printed where it can be read.
fn keep(directory: &std::path::Path) {
    let place = crate::run::root().join("target/xtask/cluster");
    let _ = std::fs::create_dir_all(&place);
    let mut copy = Command::new("cp");
    copy.arg("-rT").arg(directory).arg(&place);
    match output_of(&mut copy) {
        Ok(_) => println!("cluster: what the nodes printed is in {}", place.display()),
        Err(error) => println!("cluster: what the nodes printed could not be kept: {error:#}"),
    }
}

fn print_table(done: &Done) {
    let Done { pauses, cuts, restarts, overloads, accepted, refused, account } = done;
    let rows: [(&str, u64); 14] = [
        ("nodes killed", pauses.killed.into()),
        ("nodes stopped past their lease", pauses.stopped.into()),
        ("nodes cut off past it, heard late", pauses.late.into()),
        ("nodes cut off past it, never heard", pauses.lost.into()),
        ("connections cut during COMMIT", (*cuts).into()),
        ("immediate restarts of PostgreSQL", (*restarts).into()),
        ("overloads", (*overloads).into()),
        ("events accepted", *accepted as u64),
        ("deliveries", account.deliveries as u64),
        ("attempts", account.attempts as u64),
        ("leases that ran out", account.expired as u64),
        ("attempts that failed", account.failed as u64),
        ("duplicates at the receiver", account.duplicates as u64),
        ("settled too late: wrote nothing", *refused as u64),
    ];
    for (what, count) in rows {
        println!("{what:<36} {count:>8}");
    }
    println!("nothing that was accepted was lost, changed or kept twice, and no lease that was lost wrote anything");
}
