//! What befalls PostgreSQL and the way to it while the nodes run on: commits that are cut, restarts, overload.
//! Owns what a sender may expect meanwhile: an answer in time, and never less than an honest 503.

use std::time::Duration;

use anyhow::{Result, ensure};
use systems::world;

use super::nodes::{NODES, Nodes, Reach};
use super::way::{CUTS, Way};
use crate::crash::Moments;
use crate::crash::load::Heard;
use crate::postgres::Cluster;

/// The longest that any answer may take: what is promised, and a second for a machine that does all this at once.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(3);

/// How long the nodes may take to accept again, each of them, once nothing is wrong any more.
pub(super) const RECOVERY_MAX: Duration = Duration::from_secs(20);

/// How long each kind of overload lasts.
const OVERLOAD: Duration = Duration::from_secs(4);

/// How long a piece of an answer takes on a slow way.
const SLOWNESS: Duration = Duration::from_millis(400);

/// Cuts commits of events, each at another node and in another way than the last.
pub(super) fn cut(nodes: &Nodes<Way>, count: u32, seed: u64) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let mut moments = Moments(seed | 1);
    nodes.load.heard();
    for number in 0..count as usize {
        let way = nodes.reach(number % NODES);
        way.trap(CUTS[number / NODES % CUTS.len()]);
        let was_cut = world::until(RECOVERY_MAX, || way.has_cut());
        way.disarm();
        ensure!(was_cut, "no commit of an event went by at a node within {RECOVERY_MAX:?}");
        world::pause(Duration::from_millis(5 + moments.below(60)));
    }
    judge(&nodes.load.heard(), "cuts")?;
    recover(nodes, "cuts")
}

/// Restarts PostgreSQL as if its machine had failed, while everything goes on.
pub(super) fn restart(nodes: &Nodes<Way>, cluster: &Cluster, count: u32, seed: u64) -> Result<()> {
    let mut moments = Moments(seed | 1);
    for _ in 0..count {
        nodes.load.heard();
        cluster.restart()?;
        let heard = nodes.load.heard();
        judge(&heard, "a restart")?;
        recover(nodes, "a restart")?;
        world::pause(Duration::from_millis(moments.below(500)));
    }
    Ok(())
}

/// A way in which PostgreSQL has no time for anybody.
struct Overload {
    name: &'static str,
    begin: fn(&Nodes<Way>, &Cluster) -> Result<()>,
    end: fn(&Nodes<Way>, &Cluster) -> Result<()>,
    /// Whether something can be accepted all the same.
    is_total: bool,
}

const OVERLOADS: [Overload; 4] = [
    Overload { name: "PostgreSQL stands still", begin: |_, it| it.freeze(), end: |_, it| it.thaw(), is_total: true },
    Overload {
        name: "no connection is free",
        begin: |_, it| connections(it, 0),
        end: |_, it| connections(it, -1),
        is_total: true,
    },
    Overload {
        name: "packets are lost",
        begin: |nodes, _| each(nodes, Way::hold),
        end: |nodes, _| each(nodes, Way::release),
        is_total: true,
    },
    Overload {
        name: "every answer is slow",
        begin: |nodes, _| each(nodes, |way| way.delay(SLOWNESS)),
        end: |nodes, _| each(nodes, |way| way.delay(Duration::ZERO)),
        is_total: false,
    },
];

/// Overloads PostgreSQL in every way, one after the other; says in how many.
pub(super) fn overload(nodes: &Nodes<Way>, cluster: &Cluster) -> Result<u32> {
    for one in &OVERLOADS {
        (one.begin)(nodes, cluster)?;
        // What was under way when it began may still end well.
        world::pause(Duration::from_millis(200));
        nodes.load.heard();
        world::pause(OVERLOAD);
        let heard = nodes.load.heard();
        (one.end)(nodes, cluster)?;
        println!(
            "cluster: {}: {} accepted, {} told to come again, the longest wait {:.1?}",
            one.name,
            heard.accepted.iter().sum::<u64>(),
            heard.unavailable,
            heard.longest
        );
        judge(&heard, one.name)?;
        ensure!(!one.is_total || heard.unavailable > 0, "{}: nobody was told to come again", one.name);
        recover(nodes, one.name)?;
    }
    Ok(u32::try_from(OVERLOADS.len())?)
}

fn each(nodes: &Nodes<Way>, change: impl Fn(&Way)) -> Result<()> {
    nodes.reaches().for_each(change);
    Ok(())
}

/// Lets the nodes' user have so many connections, and takes those from it that it has.
fn connections(cluster: &Cluster, most: i32) -> Result<()> {
    cluster.sql(&format!("alter role hookward connection limit {most}"))?;
    cluster.sql("select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'hookward'").map(drop)
}

/// Waits until every node accepts again.
pub(super) fn recover<R: Reach>(nodes: &Nodes<R>, after: &str) -> Result<()> {
    nodes.load.heard();
    let accepts = || nodes.load.look(|heard| heard.accepted.iter().all(|count| *count > 0));
    ensure!(world::until(RECOVERY_MAX, accepts), "after {after} a node accepted nothing within {RECOVERY_MAX:?}");
    Ok(())
}

fn judge(heard: &Heard, during: &str) -> Result<()> {
    let Heard { longest, without_when, broken, .. } = heard;
    ensure!(
        *longest <= ANSWER_MAX,
        "{during}: a sender waited {longest:.1?} for its answer; {ANSWER_MAX:?} is allowed"
    );
    ensure!(*without_when == 0, "{during}: {without_when} answers of 503 had no Retry-After");
    ensure!(*broken == 0, "{during}: {broken} requests were answered by the end of their connection");
    Ok(())
}
