//! Nodes that are killed, stopped past their leases, or cut off from PostgreSQL past them, at random moments, two at a time at most.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;
use systems::world;

use super::nodes::{LEASE, NODES, Nodes};
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
}

impl Pauses {
    pub(super) fn add(&mut self, other: Self) {
        self.killed += other.killed;
        self.stopped += other.stopped;
        self.late += other.late;
        self.lost += other.lost;
    }
}

/// Somebody has to be there to take over.
const AT_A_TIME: u32 = 2;

/// So many of them.
pub(super) fn run(nodes: &Nodes, count: u32, seed: u64) -> Result<Pauses> {
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

/// Each kind in turn.
fn befall(nodes: &Nodes, node: usize, number: u32, moments: &mut Moments) -> Result<Pauses> {
    let past_lease = LEASE + Duration::from_millis(100 + moments.below(1_200));
    let none = Pauses::default();
    match number % 4 {
        0 => {
            nodes.kill(node)?;
            world::pause(Duration::from_millis(moments.below(3_000)));
            nodes.revive(node)?;
            Ok(Pauses { killed: 1, ..none })
        }
        1 => {
            nodes.signal(node, Signal::SIGSTOP)?;
            world::pause(past_lease);
            nodes.signal(node, Signal::SIGCONT)?;
            Ok(Pauses { stopped: 1, ..none })
        }
        2 => {
            nodes.way(node).hold();
            world::pause(past_lease);
            nodes.way(node).release();
            Ok(Pauses { late: 1, ..none })
        }
        _ => {
            nodes.way(node).hold();
            world::pause(past_lease);
            nodes.way(node).lose();
            Ok(Pauses { lost: 1, ..none })
        }
    }
}
