//! Nodes that are killed, stopped past their leases, or cut off from PostgreSQL past them, at random moments, two at a time at most.
//! Owns the order; how packets are lost is `way`'s and `partitions`'.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;
use systems::world;

use super::nodes::{LEASE, NODES, Nodes, Reach};
use super::way::Way;
use crate::crash::Moments;

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Pauses {
    pub(super) killed: u32,
    pub(super) stopped: u32,
    /// Cut off, and what it had said arrived late.
    pub(super) late: u32,
    /// Cut off, and what it had said was lost.
    pub(super) lost: u32,
    /// Cut off from PostgreSQL, or from everybody, by packets that were dropped.
    pub(super) partitioned: u32,
    /// Those of them that lasted longer than what a node knows is valid.
    pub(super) outdated: u32,
}

impl Pauses {
    pub(super) fn add(&mut self, other: Self) {
        self.killed += other.killed;
        self.stopped += other.stopped;
        self.late += other.late;
        self.lost += other.lost;
        self.partitioned += other.partitioned;
        self.outdated += other.outdated;
    }
}

/// Somebody has to be there to take over.
const AT_A_TIME: u32 = 2;

/// Lets something befall a node, whose kind is as its number says.
pub(super) type Befall<R> = fn(&Nodes<R>, usize, u32, &mut Moments) -> Result<Pauses>;

/// So many of them.
pub(super) fn run<R: Reach>(nodes: &Nodes<R>, count: u32, seed: u64, befall: Befall<R>) -> Result<Pauses> {
    let begun = AtomicU32::new(0);
    let under_way = Mutex::new(0_u32);
    let done = Mutex::new(Pauses::default());
    let one_after_the_other = |node: usize| -> Result<()> {
        let mut moments = Moments(seed ^ (node as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        loop {
            // A node that was away has to be there for a while: else nobody would be.
            world::pause(Duration::from_millis(1_000 + moments.below(2_000)));
            let number = begun.fetch_add(1, Ordering::SeqCst);
            if number >= count {
                return Ok(());
            }
            while !take(&under_way) {
                world::pause(Duration::from_millis(10));
            }
            let done_now = befall(nodes, node, number, &mut moments);
            *under_way.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            done.lock().unwrap_or_else(PoisonError::into_inner).add(done_now?);
        }
    };
    std::thread::scope(|scope| {
        let one = &one_after_the_other;
        let threads: Vec<_> = (0..NODES).map(|node| scope.spawn(move || one(node))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("it panicked"))?)
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn take(under_way: &Mutex<u32>) -> bool {
    let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = *under_way < AT_A_TIME;
    *under_way += u32::from(is_free);
    is_free
}

/// A while that no lease outlasts.
pub(super) fn past_lease(moments: &mut Moments) -> Duration {
    LEASE + Duration::from_millis(100 + moments.below(1_200))
}

/// Kills a node, and starts it again after a while.
pub(super) fn kill<R: Reach>(nodes: &Nodes<R>, node: usize, moments: &mut Moments) -> Result<Pauses> {
    nodes.kill(node)?;
    world::pause(Duration::from_millis(moments.below(3_000)));
    nodes.revive(node)?;
    Ok(Pauses { killed: 1, ..Pauses::default() })
}

/// Stops a node where it is, past its leases.
pub(super) fn stop<R: Reach>(nodes: &Nodes<R>, node: usize, moments: &mut Moments) -> Result<Pauses> {
    nodes.signal(node, Signal::SIGSTOP)?;
    world::pause(past_lease(moments));
    nodes.signal(node, Signal::SIGCONT)?;
    Ok(Pauses { stopped: 1, ..Pauses::default() })
}

/// Each kind in turn, where a node has a way to PostgreSQL.
pub(super) fn befall(nodes: &Nodes<Way>, node: usize, number: u32, moments: &mut Moments) -> Result<Pauses> {
    let none = Pauses::default();
    match number % 4 {
        0 => kill(nodes, node, moments),
        1 => stop(nodes, node, moments),
        2 => {
            nodes.reach(node).hold();
            world::pause(past_lease(moments));
            nodes.reach(node).release();
            Ok(Pauses { late: 1, ..none })
        }
        _ => {
            nodes.reach(node).hold();
            world::pause(past_lease(moments));
            nodes.reach(node).lose();
            Ok(Pauses { lost: 1, ..none })
        }
    }
}
