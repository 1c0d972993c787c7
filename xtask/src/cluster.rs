//! `cargo xtask cluster`: several nodes on one PostgreSQL, under load, while nodes are killed, stopped and cut off, commits are
//! cut, and PostgreSQL is restarted and overloaded. At the end: nothing that was answered is lost, nothing exists twice, no
//! lease that was lost wrote anything, and every second attempt is accounted for.
//! Owns the order and the table of what was done; each thing that is done has a module.

mod account;
mod losses;
mod network;
mod nodes;
mod partitions;
mod pauses;
mod protocol;
mod way;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use systems::database::CLUSTER;
use systems::world;

use account::Account;
use network::Cable;
use nodes::{Nodes, Reach};
use pauses::Pauses;
use way::Way;

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
    #[arg(long, default_value_t = 700)]
    pauses: u32,
    /// The same to nodes in network namespaces of their own, whose packets are dropped
    #[arg(long, default_value_t = 300)]
    partitions: u32,
    /// Connections cut during a commit of events
    #[arg(long, default_value_t = 500)]
    cuts: u32,
    /// Immediate restarts of PostgreSQL
    #[arg(long, default_value_t = 100)]
    restarts: u32,
    /// Times that PostgreSQL is overloaded, in each of four ways
    #[arg(long, default_value_t = 20)]
    overloads: u32,
    /// Lanes, each with a PostgreSQL and nodes of its own, that share all this: most of it is waiting
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    lanes: u32,
    /// Where the random moments come from; the same seed gives the same moments
    #[arg(long)]
    seed: Option<u64>,
}

impl Plan {
    /// The short run of `cargo xtask ci`, whose tests had their races.
    pub(crate) fn short() -> Self {
        Self { races: 0, pauses: 4, partitions: 9, cuts: 12, restarts: 3, overloads: 1, lanes: 1, seed: None }
    }

    fn rounds(&self) -> u32 {
        let pauses = self.pauses.max(self.partitions).div_ceil(PAUSES_MAX);
        pauses.max(self.cuts.div_ceil(CUTS_MAX)).max(self.restarts.div_ceil(RESTARTS_MAX)).max(self.overloads).max(1)
    }

    /// What there is to do in one round of them all.
    fn part(&self, round: u32, seed: u64) -> Self {
        let rounds = self.rounds();
        let share = |of: u32| of * (round + 1) / rounds - of * round / rounds;
        Self {
            races: 0,
            pauses: share(self.pauses),
            partitions: share(self.partitions),
            cuts: share(self.cuts),
            restarts: share(self.restarts),
            overloads: share(self.overloads),
            lanes: 1,
            seed: Some(seed.wrapping_add(u64::from(round).wrapping_mul(0x2545_f491_4f6c_dd1d))),
        }
    }
}

/// What was done, and what came of it.
#[derive(Default)]
struct Done {
    pauses: Pauses,
    /// Those of them that befell nodes in network namespaces.
    apart: u32,
    cuts: u32,
    restarts: u32,
    overloads: u32,
    accepted: usize,
    /// Settlements that came too late and wrote nothing.
    refused: usize,
    account: Account,
}

impl Done {
    fn add(&mut self, other: Self) {
        self.pauses.add(other.pauses);
        self.apart += other.apart;
        self.cuts += other.cuts;
        self.restarts += other.restarts;
        self.overloads += other.overloads;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.account.add(other.account);
    }
}

/// Does as planned, and reckons after each round.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    let seed = plan.seed.unwrap_or_else(world::unix_seconds);
    println!(
        "cluster: {} races, {} pauses, {} in namespaces, {} cuts, {} restarts, {} times four overloads, seed {seed}",
        plan.races, plan.pauses, plan.partitions, plan.cuts, plan.restarts, plan.overloads
    );
    if plan.races > 0 && !race(plan.races)? {
        return Ok(());
    }
    let (next, done) = (AtomicU32::new(0), Mutex::default());
    let one = || {
        lane(plan, seed, &next, &done).inspect_err(|error| {
            println!("cluster: FAILED: {error:#}");
            // Nobody begins another round.
            next.store(plan.rounds(), Ordering::SeqCst);
        })
    };
    let ends: Vec<Result<()>> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..plan.lanes).map(|_| scope.spawn(one)).collect();
        lanes.into_iter().map(|lane| lane.join().map_err(|_| anyhow!("a lane panicked"))?).collect()
    });
    print_table(&done.into_inner().unwrap_or_else(PoisonError::into_inner));
    ends.into_iter().collect::<Result<()>>()?;
    println!("nothing that was accepted was lost, changed or kept twice, and no lease that was lost wrote anything");
    Ok(())
}

/// The store's own test, as often as is asked; `false` where there is no PostgreSQL.
fn race(races: u32) -> Result<bool> {
    let Some(cluster) = Cluster::start("cluster")? else { return Ok(false) };
    let mut command = Command::new("cargo");
    command.args(["test", "--package", "hookward-engine", "--test", "it", "store::races", "--", "--nocapture"]);
    run_with(command.env(CLUSTER, cluster.address()).env("HOOKWARD_TEST_RACES", races.to_string()))?;
    Ok(true)
}

/// Plays one round after the other, on a PostgreSQL of its own, in a network of its own if there may be one.
fn lane(plan: &Plan, seed: u64, next: &AtomicU32, done: &Mutex<Done>) -> Result<()> {
    let has_network = plan.partitions > 0 && network::enter()?;
    let Some(cluster) = Cluster::start_listening("cluster", has_network.then_some(network::LISTENS))? else {
        return Ok(());
    };
    loop {
        let round = next.fetch_add(1, Ordering::SeqCst);
        if round >= plan.rounds() {
            return Ok(());
        }
        println!("cluster: round {} of {}", round + 1, plan.rounds());
        let part = plan.part(round, seed);
        let play = || -> Result<()> {
            play(&cluster, &format!("round_{round}"), done, |nodes| lose(nodes, &cluster, &part))?;
            if has_network && part.partitions > 0 {
                play(&cluster, &format!("round_{round}_apart"), done, |nodes| separate(nodes, &part))?;
            }
            Ok(())
        };
        play().with_context(|| format!("round {} of seed {seed}", round + 1))?;
    }
}

/// What befalls nodes with ways to PostgreSQL.
fn lose(nodes: &Nodes<Way>, cluster: &Cluster, part: &Plan) -> Result<Done> {
    let seed = part.seed.unwrap_or_default();
    let pauses = pauses::run(nodes, part.pauses, seed, pauses::befall)?;
    losses::cut(nodes, part.cuts, seed)?;
    losses::restart(nodes, cluster, part.restarts, seed)?;
    let mut done = Done { pauses, cuts: part.cuts, restarts: part.restarts, ..Done::default() };
    for _ in 0..part.overloads {
        done.overloads += losses::overload(nodes, cluster)?;
    }
    Ok(done)
}

/// What befalls nodes in network namespaces.
fn separate(nodes: &Nodes<Cable>, part: &Plan) -> Result<Done> {
    let pauses = partitions::run(nodes, part.partitions, part.seed.unwrap_or_default())?;
    Ok(Done { apart: part.partitions, pauses, ..Done::default() })
}

/// New nodes, what befalls them, and their reckoning.
fn play<R: Reach>(
    cluster: &Cluster,
    database: &str,
    done: &Mutex<Done>,
    torture: impl FnOnce(&Nodes<R>) -> Result<Done>,
) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let nodes = Nodes::start(cluster, directory.path(), database)?;
    let all = || -> Result<Done> {
        let position = nodes.ask(0, account::position)?;
        nodes.open_doors()?;
        let mut now = torture(&nodes)?;
        let answered = nodes.load.stop()?;
        now.accepted = answered.len();
        now.account = nodes.ask(0, |server| {
            crash::drain("cluster", server)?;
            let received = nodes.deliveries.lock().expect("no holder of this lock panics");
            reckon("cluster", server, &answered, &received)?;
            account::settle(server, &position, &received)
        })?;
        now.refused = nodes.lost_leases()?;
        Ok(now)
    };
    let now = all().inspect_err(|_| keep(directory.path(), database))?;
    println!("cluster: {:?}", now.account);
    done.lock().unwrap_or_else(PoisonError::into_inner).add(now);
    drop(nodes);
    cluster.sql(&format!("drop database {database} with (force)")).map(drop)
}

/// Leaves what the nodes printed where it can be read.
fn keep(directory: &std::path::Path, database: &str) {
    let place = crate::run::root().join("target/xtask/cluster").join(database);
    let _ = std::fs::create_dir_all(&place);
    let mut copy = Command::new("cp");
    copy.arg("-rT").arg(directory).arg(&place);
    match output_of(&mut copy) {
        Ok(_) => println!("cluster: what the nodes printed is in {}", place.display()),
        Err(error) => println!("cluster: what the nodes printed could not be kept: {error:#}"),
    }
}

fn print_table(done: &Done) {
    let Done { pauses, apart, cuts, restarts, overloads, accepted, refused, account } = done;
    let rows: [(&str, u64); 17] = [
        ("nodes killed", pauses.killed.into()),
        ("nodes stopped past their lease", pauses.stopped.into()),
        ("nodes cut off past it, heard late", pauses.late.into()),
        ("nodes cut off past it, never heard", pauses.lost.into()),
        ("nodes partitioned past it", pauses.partitioned.into()),
        ("… past what they may still act on", pauses.outdated.into()),
        ("of these all in network namespaces", (*apart).into()),
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
}
