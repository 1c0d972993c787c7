//! Replays a trace over cells: events arrive, wait, are written in groups, or are answered 503 and come again as their senders
//! see fit. Owns the order of what happens; a primary's time is `primary`'s, and what came of it is summed up by `report`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;

use super::primary::{Admitted, Cell, Primary};
use super::trace::{Arrival, SECOND};

/// Load is counted by windows of this length.
pub(super) const WINDOW_NS: u64 = 10 * SECOND;

/// What senders do after a 503.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Senders {
    /// Seconds until a sender's second try, which is what Retry-After says; doubled for each further one
    #[arg(long, default_value_t = 5)]
    pub(super) retry_s: u64,
    /// Seconds between two tries at most
    #[arg(long, default_value_t = 300)]
    pub(super) retry_most_s: u64,
    /// Tries of an event at most
    #[arg(long, default_value_t = 12)]
    pub(super) tries: u8,
}

impl Senders {
    /// How long a sender waits after its `tries`-th refusal: up to half more than it must.
    fn pause_ns(&self, tries: u8, rng: &mut Rng) -> u64 {
        let doubled = self.retry_s.saturating_mul(1 << u32::from(tries - 1).min(20)).min(self.retry_most_s);
        ((doubled * SECOND) as f64 * (1.0 + rng.f64() / 2.0)) as u64
    }
}

/// A cell that is gone for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub(super) cell: usize,
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
}

/// An organization that goes to another cell. It is refused while the last of it is copied.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) organization: u32,
    pub(super) to: usize,
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
}

/// What goes differently than on other days.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Happening {
    pub(super) loss: Option<Loss>,
    pub(super) moving: Option<Move>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// When it was on disk; `None` if its sender gave up.
    pub(super) written_ns: Option<u64>,
    /// From the try that was accepted to its answer.
    pub(super) commit_ns: u64,
    /// Tries that were not answered with a 2xx.
    pub(super) refused: u8,
}

/// All that came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    /// In the order of the arrivals.
    pub(super) fates: Vec<Fate>,
    /// Of each cell: what it began to write in each window since the trace's begin, as time of full groups.
    pub(super) load_ns: Vec<Vec<u64>>,
}

/// What comes later than the arrival that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Later {
    Down { cell: usize },
    Up { cell: usize },
    Written { cell: usize, life: u32 },
    Settled { cell: usize, deliveries: u32 },
    Again { arrival: usize },
}

struct Replay<'a> {
    arrivals: &'a [Arrival],
    places: &'a [usize],
    primary: &'a Primary,
    senders: &'a Senders,
    happening: Happening,
    cells: Vec<Cell>,
    fates: Vec<Fate>,
    load_ns: Vec<Vec<u64>>,
    /// Earliest first; of what comes at once, in the order in which it was said.
    later: BinaryHeap<Reverse<(u64, u64, Later)>>,
    said: u64,
    rng: Rng,
}

/// Runs until the last event is written or given up. `places` are the cells of the organizations.
pub(super) fn replay(
    arrivals: &[Arrival],
    places: &[usize],
    cells: usize,
    (primary, senders): (&Primary, &Senders),
    happening: Happening,
    seed: u64,
) -> Outcome {
    let mut replay = Replay {
        arrivals,
        places,
        primary,
        senders,
        happening,
        cells: (0..cells).map(|_| Cell::new(*primary)).collect(),
        fates: vec![Fate::default(); arrivals.len()],
        load_ns: vec![Vec::new(); cells],
        later: BinaryHeap::new(),
        said: 0,
        rng: Rng::with_seed(seed),
    };
    if let Some(Loss { cell, from_ns, until_ns }) = happening.loss {
        replay.at(from_ns, Later::Down { cell });
        replay.at(until_ns, Later::Up { cell });
    }
    let mut next = 0;
    loop {
        let later = replay.later.peek().map(|Reverse((at, ..))| *at);
        match (arrivals.get(next).map(|one| one.at_ns), later) {
            (Some(arrives), later) if later.is_none_or(|later| arrives <= later) => {
                replay.arrive(arrives, next);
                next += 1;
            }
            (_, Some(_)) => replay.step(),
            (_, None) => break,
        }
    }
    Outcome { fates: replay.fates, load_ns: replay.load_ns }
}

impl Replay<'_> {
    fn at(&mut self, at_ns: u64, what: Later) {
        self.said += 1;
        self.later.push(Reverse((at_ns, self.said, what)));
    }

    fn step(&mut self) {
        let Some(Reverse((now, _, what))) = self.later.pop() else { return };
        match what {
            Later::Again { arrival } => self.arrive(now, arrival),
            Later::Written { cell, life } if life == self.cells[cell].life => self.written(now, cell),
            // The group of a primary that failed meanwhile.
            Later::Written { .. } => {}
            Later::Settled { cell, deliveries } => {
                self.cells[cell].settle(deliveries);
                self.begin(now, cell);
            }
            Later::Down { cell } => {
                let cut = self.cells[cell].fail();
                cut.iter().for_each(|one| self.refuse(now, one.arrival));
            }
            Later::Up { cell } => {
                self.cells[cell].is_down = false;
                self.begin(now, cell);
            }
        }
    }

    fn arrive(&mut self, now: u64, arrival: usize) {
        let one = self.arrivals[arrival];
        let Some(cell) = self.cell_of(now, one.organization) else { return self.refuse(now, arrival) };
        match self.cells[cell].admit(Admitted { arrival, bytes: one.bytes, at_ns: now }) {
            true => self.begin(now, cell),
            false => self.refuse(now, arrival),
        }
    }

    /// Where an organization's requests go now; nowhere while it moves.
    fn cell_of(&self, now: u64, organization: u32) -> Option<usize> {
        let home = self.places[organization as usize];
        match self.happening.moving {
            Some(moving) if moving.organization == organization => match now {
                now if now < moving.from_ns => Some(home),
                now if now < moving.until_ns => None,
                _ => Some(moving.to),
            },
            _ => Some(home),
        }
    }

    fn begin(&mut self, now: u64, cell: usize) {
        let Some(group) = self.cells[cell].begin() else { return };
        let life = self.cells[cell].life;
        self.at(now + group.takes_ns, Later::Written { cell, life });
        let window = (now / WINDOW_NS) as usize;
        let load = &mut self.load_ns[cell];
        load.resize(load.len().max(window + 1), 0);
        load[window] += group.load_ns;
    }

    fn written(&mut self, now: u64, cell: usize) {
        let events = self.cells[cell].end();
        for event in &events {
            let fate = &mut self.fates[event.arrival];
            (fate.written_ns, fate.commit_ns) = (Some(now), now - event.at_ns);
        }
        let owed = u32::try_from(events.len()).expect("no more than a group") * self.primary.deliveries;
        if owed > 0 {
            self.at(now + self.primary.answer_ms * (SECOND / 1000), Later::Settled { cell, deliveries: owed });
        }
        self.begin(now, cell);
    }

    fn refuse(&mut self, now: u64, arrival: usize) {
        let fate = &mut self.fates[arrival];
        fate.refused += 1;
        let refused = fate.refused;
        if refused < self.senders.tries {
            let pause = self.senders.pause_ns(refused, &mut self.rng);
            self.at(now + pause, Later::Again { arrival });
        }
    }
}

#[cfg(test)]
mod tests;
