//! One cell's primary: a bounded queue, from which one group after the other is written. Owns the arithmetic of its time;
//! when what happens is `replay`'s.

use std::collections::VecDeque;

/// What a primary's time goes into, and how much may wait for it. The defaults are what docs/scaling.md measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Primary {
    /// Microseconds of a group, however large: the statements' way there and back, and the sync
    #[arg(long, default_value_t = 1000.0)]
    pub(super) group_us: f64,
    /// Microseconds of an event in a group: its rows and their indexes
    #[arg(long, default_value_t = 50.0)]
    pub(super) event_us: f64,
    /// Microseconds of a KiB of an event's body
    #[arg(long, default_value_t = 3.0)]
    pub(super) kib_us: f64,
    /// Microseconds of a delivery: its claim, its attempt's row and its end
    #[arg(long, default_value_t = 50.0)]
    pub(super) delivery_us: f64,
    /// Deliveries that an event owes
    #[arg(long, default_value_t = 1)]
    pub(super) deliveries: u32,
    /// Milliseconds until a receiver has answered
    #[arg(long, default_value_t = 50)]
    pub(super) answer_ms: u64,
    /// Writes in a group at most
    #[arg(long = "group", default_value_t = 256)]
    pub(super) group_entries: u32,
    /// Events that wait or are being written at most; one more is answered 503
    #[arg(long = "queue", default_value_t = 4096)]
    pub(super) queue_entries: usize,
}

impl Primary {
    /// What an event and its deliveries take of a primary's time, without their share of a group.
    pub(super) fn work_us(&self, bytes: u32) -> f64 {
        self.commit_us(bytes) + f64::from(self.deliveries) * self.delivery_us
    }

    fn commit_us(&self, bytes: u32) -> f64 {
        self.event_us + f64::from(bytes) / 1024.0 * self.kib_us
    }

    /// Events a second when every group is full.
    pub(super) fn capacity(&self, mean_bytes: f64) -> f64 {
        let work = self.event_us + mean_bytes / 1024.0 * self.kib_us + f64::from(self.deliveries) * self.delivery_us;
        let writes_per_event = 1.0 + f64::from(self.deliveries);
        1e6 / (work + self.group_us * writes_per_event / f64::from(self.group_entries))
    }
}

/// An event that was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Its place in the trace.
    pub(super) arrival: usize,
    pub(super) bytes: u32,
    /// When this try came.
    pub(super) at_ns: u64,
}

/// What waits to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    Event(Admitted),
    /// So many deliveries whose receivers have answered.
    Deliveries(u32),
}

/// A group that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    /// How long that takes.
    pub(super) takes_ns: u64,
    /// How long it would have taken in full groups. A primary with little to do writes small ones and is never idle for
    /// long; how much of what it can carry it carries is told by this.
    pub(super) load_ns: u64,
}

/// A primary at work.
#[derive(Debug)]
pub(super) struct Cell {
    primary: Primary,
    waiting: VecDeque<Job>,
    /// What is being written; empty when nothing is.
    group: Vec<Job>,
    /// Events among both.
    inside: usize,
    /// Rises when a group is cut short, so that its end is known to be none.
    pub(super) life: u32,
    pub(super) is_down: bool,
}

impl Cell {
    pub(super) fn new(primary: Primary) -> Self {
        Self { primary, waiting: VecDeque::new(), group: Vec::new(), inside: 0, life: 0, is_down: false }
    }

    /// Lets an event in, unless the queue is full or the primary is down: that is a 503.
    pub(super) fn admit(&mut self, event: Admitted) -> bool {
        if self.is_down || self.inside >= self.primary.queue_entries {
            return false;
        }
        self.inside += 1;
        self.waiting.push_back(Job::Event(event));
        true
    }

    /// What is ours waits without a bound: it was let in once.
    pub(super) fn settle(&mut self, deliveries: u32) {
        self.waiting.push_back(Job::Deliveries(deliveries));
    }

    /// Begins the next group, if there is something to write and nothing is being written.
    pub(super) fn begin(&mut self) -> Option<Group> {
        if self.is_down || !self.group.is_empty() || self.waiting.is_empty() {
            return None;
        }
        let mut entries = 0;
        let mut us = 0.0;
        while let Some(&job) = self.waiting.front() {
            let (count, takes) = match job {
                Job::Event(event) => (1, self.primary.commit_us(event.bytes)),
                Job::Deliveries(count) => (count, f64::from(count) * self.primary.delivery_us),
            };
            // What is larger than a group is one of its own.
            if entries > 0 && entries + count > self.primary.group_entries {
                break;
            }
            entries += count;
            us += takes;
            self.waiting.pop_front();
            self.group.push(job);
        }
        let ns = |us: f64| (us * 1000.0).round() as u64;
        let share = self.primary.group_us / f64::from(self.primary.group_entries);
        Some(Group { takes_ns: ns(us + self.primary.group_us), load_ns: ns(us + share * f64::from(entries)) })
    }

    /// The group is on disk: its events are answered.
    pub(super) fn end(&mut self) -> Vec<Admitted> {
        let events: Vec<Admitted> = self.group.drain(..).filter_map(event).collect();
        self.inside -= events.len();
        events
    }

    /// The primary is gone. Nobody is answered whose event was not on disk; what had been is done again later.
    pub(super) fn fail(&mut self) -> Vec<Admitted> {
        self.is_down = true;
        self.life += 1;
        self.inside = 0;
        let jobs: Vec<Job> = self.group.drain(..).chain(self.waiting.drain(..)).collect();
        self.waiting.extend(jobs.iter().filter(|job| event(**job).is_none()));
        jobs.into_iter().filter_map(event).collect()
    }
}

fn event(job: Job) -> Option<Admitted> {
    match job {
        Job::Event(event) => Some(event),
        Job::Deliveries(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIMARY: Primary = Primary {
        group_us: 100.0,
        event_us: 10.0,
        kib_us: 2.0,
        delivery_us: 5.0,
        deliveries: 1,
        answer_ms: 0,
        group_entries: 4,
        queue_entries: 6,
    };

    fn takes(cell: &mut Cell) -> Option<u64> {
        cell.begin().map(|group| group.takes_ns)
    }

    fn admitted(arrival: usize) -> Admitted {
        Admitted { arrival, bytes: 1024, at_ns: 0 }
    }

    #[test]
    fn a_group_costs_its_own_and_what_is_in_it_and_the_queue_is_full_at_its_bound() {
        let mut cell = Cell::new(PRIMARY);
        assert_eq!(cell.begin(), None);
        // Alone it is a quarter of a full group.
        assert!(cell.admit(admitted(0)));
        assert_eq!(cell.begin(), Some(Group { takes_ns: 112_000, load_ns: 37_000 }));
        assert_eq!(cell.end().len(), 1);
        assert!((0..6).all(|arrival| cell.admit(admitted(arrival))));
        assert!(!cell.admit(admitted(6)), "one past the bound");
        cell.settle(2);
        assert_eq!(takes(&mut cell), Some(100_000 + 4 * 12_000), "four of six");
        assert_eq!(cell.begin(), None, "one at a time");
        assert!(!cell.admit(admitted(6)), "what is being written counts");
        assert_eq!(cell.end().iter().map(|one| one.arrival).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(cell.admit(admitted(6)));
        assert_eq!(takes(&mut cell), Some(100_000 + 2 * 12_000 + 2 * 5_000), "two events, two deliveries, and no room");
        assert_eq!(cell.end().len(), 2);
        cell.settle(9);
        assert_eq!((takes(&mut cell), cell.end().len()), (Some(112_000), 1));
        assert_eq!((takes(&mut cell), cell.end().len()), (Some(145_000), 0), "larger than a group");
    }

    #[test]
    fn a_primary_that_fails_answers_nobody_and_keeps_what_it_owes() {
        let mut cell = Cell::new(PRIMARY);
        cell.settle(3);
        (0..3).for_each(|arrival| assert!(cell.admit(admitted(arrival))));
        assert!(cell.begin().is_some());
        let cut: Vec<_> = cell.fail().iter().map(|one| one.arrival).collect();
        assert_eq!(cut, [0, 1, 2]);
        assert!(!cell.admit(admitted(3)));
        assert_eq!(cell.begin(), None);
        cell.is_down = false;
        assert_eq!(takes(&mut cell), Some(115_000), "the three deliveries");
    }

    #[test]
    fn capacity_is_a_full_groups() {
        // Two groups of 4 carry 4 events and their 4 deliveries.
        let us = 2.0 * 100.0 + 4.0 * (10.0 + 2.0 + 5.0);
        assert!((PRIMARY.capacity(1024.0) - 4.0 / us * 1e6).abs() < 1e-6);
    }
}
