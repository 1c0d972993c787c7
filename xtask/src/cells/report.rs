//! What a replay comes to, in a few numbers and a table. Owns the sums and the print.

use super::replay::{Loss, Move, Outcome, WINDOW_NS};
use super::trace::{Arrival, SECOND};

/// Latencies at a few shares of all, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

impl Latency {
    fn of(mut ns: Vec<u64>) -> Option<Self> {
        ns.sort_unstable();
        let last = ns.len().checked_sub(1)?;
        let at = |share: f64| ns[((ns.len() as f64 * share).ceil() as usize).clamp(1, last + 1) - 1] as f64 / 1e6;
        Some(Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) })
    }
}

impl std::fmt::Display for Latency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms", self.p50, self.p99, self.p999)
    }
}

/// A replay with all that it was of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) arrivals: &'a [Arrival],
    pub(super) places: &'a [usize],
    pub(super) outcome: &'a Outcome,
    /// When the trace began and ended to be replayed.
    pub(super) from_ns: u64,
    pub(super) until_ns: u64,
}

impl Run<'_> {
    fn cell(&self, place: usize) -> usize {
        self.places[self.arrivals[place].organization as usize]
    }

    /// The latencies of the events that `which` chooses by their places.
    fn latency(&self, which: impl Fn(usize) -> bool) -> Option<Latency> {
        let fates = self.outcome.fates.iter().enumerate();
        Latency::of(
            fates
                .filter(|(place, fate)| fate.written_ns.is_some() && which(*place))
                .map(|(_, fate)| fate.commit_ns)
                .collect(),
        )
    }

    /// How much of what it can carry a cell carried while the trace lasted: in all, and in its busiest window.
    pub(super) fn utilisation(&self, cell: usize) -> (f64, f64) {
        let windows = (self.from_ns / WINDOW_NS) as usize..self.until_ns.div_ceil(WINDOW_NS) as usize;
        let shares: Vec<f64> = windows
            .map(|window| {
                let load = self.outcome.load_ns[cell].get(window).copied().unwrap_or(0);
                load as f64 / WINDOW_NS as f64
            })
            .collect();
        let mean = shares.iter().sum::<f64>() * WINDOW_NS as f64 / (self.until_ns - self.from_ns) as f64;
        (mean, shares.iter().copied().fold(0.0, f64::max))
    }

    /// Events of the places that `which` chooses that were refused at their first try or cut off, and all of them.
    fn refused(&self, which: impl Fn(usize) -> bool) -> (u64, u64) {
        let chosen = || (0..self.arrivals.len()).filter(|&place| which(place));
        let refused = chosen().filter(|&place| self.outcome.fates[place].refused > 0).count();
        (refused as u64, chosen().count() as u64)
    }

    fn given_up(&self) -> usize {
        self.outcome.fates.iter().filter(|fate| fate.written_ns.is_none()).count()
    }

    pub(super) fn print(&self) {
        println!("  cell  organizations     events   utilisation   busiest 10 s");
        let mut events_of = vec![0; self.outcome.load_ns.len()];
        (0..self.arrivals.len()).for_each(|place| events_of[self.cell(place)] += 1);
        for (cell, events) in events_of.iter().enumerate() {
            let organizations = self.places.iter().filter(|&&place| place == cell).count();
            let (mean, busiest) = self.utilisation(cell);
            let (mean, busiest) = (mean * 100.0, busiest * 100.0);
            println!("  {cell:>4}  {organizations:>13}  {events:>9}  {mean:>10.1} %  {busiest:>11.1} %");
        }
        if let Some(latency) = self.latency(|_| true) {
            println!("  a commit takes {latency}");
        }
        let (refused, all) = self.refused(|_| true);
        println!("  answered 503 at first: {}; given up: {}", share(refused, all), self.given_up());
    }

    pub(super) fn print_loss(&self, loss: &Loss) {
        let within = |place: usize| (loss.from_ns..loss.until_ns).contains(&self.arrivals[place].at_ns);
        let is_its = |place: usize| self.cell(place) == loss.cell;
        let organizations = |which: &dyn Fn(usize) -> bool| {
            let mut seen = vec![false; self.places.len()];
            let chosen = (0..self.arrivals.len()).filter(|&place| which(place));
            chosen.for_each(|place| seen[self.arrivals[place].organization as usize] = true);
            seen.iter().filter(|seen| **seen).count() as u64
        };
        let (hit, all) = (organizations(&|place| within(place) && is_its(place)), organizations(&within));
        println!("  hit: {} of the organizations that sent something meanwhile", share(hit, all));
        let (_, events) = self.refused(|place| within(place) && is_its(place));
        let (_, of_all) = self.refused(within);
        println!("  and {} of the events; who is elsewhere: {}", share(events, of_all), self.others(loss));
        let late = (0..self.arrivals.len()).filter(|&place| within(place) && is_its(place));
        let mut done: Vec<u64> = late.filter_map(|place| self.outcome.fates[place].written_ns).collect();
        done.sort_unstable();
        let after = |at: Option<&u64>| at.map_or(0.0, |at| at.saturating_sub(loss.until_ns) as f64 / SECOND as f64);
        let (most, last) = (after(done.get(done.len() * 9 / 10)), after(done.last()));
        println!("  once it is back: nine of ten of these are written after {most:.0} s, the last after {last:.0} s");
        let next = |place: usize| {
            is_its(place) && (loss.until_ns..loss.until_ns + 60 * SECOND).contains(&self.arrivals[place].at_ns)
        };
        let (refused, new) = self.refused(next);
        let latency = self.latency(next).map_or(String::new(), |latency| format!(", {latency}"));
        println!("  what is new in the minute after: answered 503 at first {}{latency}", share(refused, new));
        println!("  given up: {}", self.given_up());
    }

    fn others(&self, loss: &Loss) -> String {
        let fates = self.latency(|place| {
            self.cell(place) != loss.cell && (loss.from_ns..loss.until_ns).contains(&self.arrivals[place].at_ns)
        });
        fates.map_or_else(|| "nobody".to_owned(), |latency| latency.to_string())
    }

    pub(super) fn print_move(&self, moving: &Move) {
        let from = self.places[moving.organization as usize];
        let is_its = |place: usize| self.arrivals[place].organization == moving.organization;
        let hit =
            |place: usize| is_its(place) && (moving.from_ns..moving.until_ns).contains(&self.arrivals[place].at_ns);
        let (refused, frozen) = self.refused(hit);
        let last = (0..self.arrivals.len()).filter(|&place| hit(place));
        let last = last.filter_map(|place| self.outcome.fates[place].written_ns).max().unwrap_or(moving.until_ns);
        let late = last.saturating_sub(moving.until_ns) as f64 / SECOND as f64;
        println!(
            "  {refused} of {frozen} events that came meanwhile were answered 503; the last is written {late:.0} s after it"
        );
        for (cell, name) in [(from, "from"), (moving.to, "to")] {
            let share = |from_ns, until_ns| Run { from_ns, until_ns, ..*self }.utilisation(cell).0 * 100.0;
            let (before, after) = (share(self.from_ns, moving.from_ns), share(moving.until_ns, self.until_ns));
            println!("  {name} cell {cell}: {before:.1} % before, {after:.1} % after");
        }
        println!("  given up: {}", self.given_up());
    }
}

/// A share in percent, with a digit more where it is small.
pub(super) fn share(part: u64, all: u64) -> String {
    match part as f64 / all.max(1) as f64 * 100.0 {
        percent if percent > 0.0 && percent < 1.0 => format!("{percent:.3} %"),
        percent => format!("{percent:.1} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::replay::Fate;
    use super::*;

    #[test]
    fn a_percentile_is_the_smallest_that_so_many_do_not_exceed() {
        let latency = Latency::of((1..=1000).rev().map(|ms| ms * 1_000_000).collect()).unwrap();
        assert_eq!(latency, Latency { p50: 500.0, p99: 990.0, p999: 999.0 });
        let one = Latency::of(vec![7_000_000]).unwrap();
        assert_eq!(one, Latency { p50: 7.0, p99: 7.0, p999: 7.0 });
        assert_eq!(Latency::of(Vec::new()), None);
    }

    #[test]
    fn utilisation_is_of_the_time_that_the_trace_lasted() {
        let outcome =
            Outcome { fates: vec![Fate::default()], load_ns: vec![vec![9 * SECOND, 5 * SECOND, 0, 10 * SECOND]] };
        let arrivals = [Arrival { at_ns: 0, organization: 0, bytes: 0 }];
        let run = |from_ns, until_ns| Run { arrivals: &arrivals, places: &[0], outcome: &outcome, from_ns, until_ns };
        assert_eq!(run(10 * SECOND, 30 * SECOND).utilisation(0), (0.25, 0.5));
        assert_eq!(run(0, 40 * SECOND).utilisation(0), (0.6, 1.0));
    }

    #[test]
    fn a_small_share_keeps_its_digits() {
        assert_eq!([share(1, 4), share(1, 4000), share(0, 0)], ["25.0 %", "0.025 %", "0.0 %"]);
    }
}
