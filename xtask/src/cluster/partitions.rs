//! Nodes in network namespaces of their own, killed, stopped, or partitioned: from PostgreSQL alone or from everybody, in one
//! direction or in both, past their leases and past what they may still act on. Owns what a node that is cut off may do: refuse.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use systems::github::{push, push_body};
use systems::{Hookward, Request, http, world};

use super::losses::{ANSWER_MAX, RECOVERY_MAX, recover};
use super::network::{Cable, LOSSES, Loss};
use super::nodes::{LEASE, NODES, Nodes, VALIDITY};
use super::pauses::{self, Pauses, past_lease};
use crate::crash::load::delivery_id;
use crate::crash::{Moments, SECRET};

/// What was on its way when packets began to be lost may still have been heard.
const LATE_MAX: Duration = Duration::from_millis(500);

/// Kinds of what befalls a node: all losses, and what needs no network.
const KINDS: usize = LOSSES.len() + 2;

/// So many of them, the last of which, one for each node, come at the same moment.
pub(super) fn run(nodes: &Nodes<Cable>, count: u32, seed: u64) -> Result<Pauses> {
    let Some(before) = count.checked_sub(NODES as u32) else { return pauses::run(nodes, count, seed, befall) };
    let mut done = pauses::run(nodes, before, seed, befall)?;
    done.add(all_at_once(nodes, seed)?);
    Ok(done)
}

/// Each kind in turn, and every second time past what a node may act on.
fn befall(nodes: &Nodes<Cable>, node: usize, number: u32, moments: &mut Moments) -> Result<Pauses> {
    let (turn, kind) = (number as usize / KINDS, number as usize % KINDS);
    match LOSSES.get(kind) {
        Some(loss) if (turn + kind) % 2 == 0 => partition(nodes, node, *loss, past_lease(moments)),
        Some(loss) => {
            let length = VALIDITY + LATE_MAX + Duration::from_millis(moments.below(1_500));
            partition(nodes, node, *loss, length)
        }
        None if kind == LOSSES.len() => pauses::kill(nodes, node, moments),
        None => pauses::stop(nodes, node, moments),
    }
}

/// Loses packets for so long.
fn partition(nodes: &Nodes<Cable>, node: usize, loss: Loss, length: Duration) -> Result<Pauses> {
    let cable = nodes.reach(node);
    cable.lose(loss)?;
    let since = world::instant();
    world::pause(length);
    let is_outdated = length > VALIDITY;
    if is_outdated {
        nodes.ask(node, |server| cable.within(|| refuses(server)))?;
    }
    let last = nodes.last_attempt(node);
    cable.mend()?;
    keeps_to_its_leases(node, loss, since, last)?;
    nodes.ask(node, |server| cable.within(|| comes_back(server)))?;
    Ok(Pauses { partitioned: 1, outdated: u32::from(is_outdated), ..Pauses::default() })
}

/// What a node that has heard nothing for too long says, to whom reaches it.
fn refuses(server: &Hookward) -> Result<()> {
    let ready = http::send(server.admin, &Request::get("/readyz"))?;
    ensure!(
        ready.status == 503 && ready.text().contains("has not been heard"),
        "a node that is cut off says that it is ready, or not why it is not: {} {}",
        ready.status,
        ready.text()
    );
    // None that a sender makes.
    let number = u64::from(u32::MAX);
    let request = push("/in/github", SECRET.as_bytes(), &delivery_id(number), &push_body(number));
    let asked = world::instant();
    let answer = http::send(server.public, &request)?;
    let took = asked.elapsed();
    ensure!(answer.status == 503, "a node that is cut off answered {}: {}", answer.status, answer.text());
    ensure!(answer.header("retry-after").is_some(), "a node that is cut off did not say when to come again");
    ensure!(took <= ANSWER_MAX, "a node that is cut off took {took:.1?} to say so");
    let listed = server.admin(Request::get("/api/v1/sources"))?;
    ensure!(listed.status == 503, "the API of a node that is cut off answered {}", listed.status);
    Ok(())
}

/// What it had leased before it may have attempted, as long as that was its own.
fn keeps_to_its_leases(node: usize, loss: Loss, since: Instant, last: Option<Instant>) -> Result<()> {
    let Some(late) = last.and_then(|last| last.checked_duration_since(since)) else { return Ok(()) };
    ensure!(late <= LEASE, "node {node} was cut off ({loss:?}) and made an attempt {late:.1?} later");
    Ok(())
}

fn comes_back(server: &Hookward) -> Result<()> {
    let is_ready = || http::send(server.admin, &Request::get("/readyz")).is_ok_and(|answer| answer.status == 200);
    ensure!(world::until(RECOVERY_MAX, is_ready), "a node that is reached again was not ready in {RECOVERY_MAX:?}");
    Ok(())
}

/// One node is killed, one stopped and one unplugged, and all three come back.
fn all_at_once(nodes: &Nodes<Cable>, seed: u64) -> Result<Pauses> {
    let mut moments = Moments(seed | 1);
    let turn = usize::try_from(moments.below(NODES as u64))?;
    let [killed, stopped, unplugged] = [0, 1, 2].map(|place| (turn + place) % NODES);
    nodes.signal(stopped, Signal::SIGSTOP)?;
    nodes.reach(unplugged).lose(Loss::Unplugged)?;
    nodes.kill(killed)?;
    world::pause(past_lease(&mut moments));
    nodes.signal(stopped, Signal::SIGCONT)?;
    nodes.reach(unplugged).mend()?;
    nodes.revive(killed)?;
    recover(nodes, "all three were away")?;
    Ok(Pauses { killed: 1, stopped: 1, partitioned: 1, ..Pauses::default() })
}
