//! Who sent what and when: read from a file, or made up from a seed with few organizations that send much, many that send
//! little, and bursts of every size. Owns the file's form and the distributions; what becomes of it is `replay`'s.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;

/// Nanoseconds of a second.
pub(super) const SECOND: u64 = 1_000_000_000;

/// One request at its first try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival {
    /// Since the trace began.
    pub(super) at_ns: u64,
    /// Its place in [`Trace::organizations`].
    pub(super) organization: u32,
    /// Its body.
    pub(super) bytes: u32,
}

/// Arrivals in order of time.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) organizations: Vec<String>,
    pub(super) arrivals: Vec<Arrival>,
    /// Its length.
    pub(super) span_ns: u64,
}

/// What a trace is made up from.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Shape {
    /// Organizations that send
    #[arg(long, default_value_t = 2000)]
    pub(super) organizations: u32,
    /// Events a second of all of them, on average
    #[arg(long, default_value_t = 20_000.0)]
    pub(super) rate: f64,
    /// How long the trace is
    #[arg(long, default_value_t = 240)]
    pub(super) seconds: u64,
    /// Zipf's exponent: the k-th largest organization sends in proportion to k to the power of minus this
    #[arg(long, default_value_t = 0.9)]
    pub(super) zipf: f64,
    /// The exponent of bursts' sizes (Pareto): the smaller, the larger the largest are; more than 1
    #[arg(long, default_value_t = 1.5)]
    pub(super) burst_tail: f64,
    /// Events in the largest burst; 1 for none
    #[arg(long, default_value_t = 10_000)]
    pub(super) burst_most: u32,
    /// Events a second within a burst
    #[arg(long, default_value_t = 2000.0)]
    pub(super) burst_rate: f64,
}

/// Bodies: a bounded Pareto distribution from a small JSON object to the default limit, 1.5 KiB on average.
const BODY_BYTES: Bounded = Bounded { least: 500.0, most: 26_214_400.0, tail: 1.5 };

impl Trace {
    /// Makes one up; the same seed gives the same trace.
    pub(super) fn made(shape: &Shape, seed: u64) -> Result<Self> {
        ensure!(shape.burst_tail > 1.0, "a tail of 1 or less has no mean");
        ensure!(shape.organizations > 0 && shape.burst_most > 0 && shape.seconds > 0, "a trace of nothing");
        ensure!(shape.rate > 0.0 && shape.burst_rate > 0.0, "rates are more than 0");
        let mut rng = Rng::with_seed(seed);
        let mut weights: Vec<f64> = (1..=shape.organizations).map(|rank| f64::from(rank).powf(-shape.zipf)).collect();
        let all: f64 = weights.iter().sum();
        // Who sends much is nobody that a list's order gives away.
        rng.shuffle(&mut weights);
        let burst = Bounded { least: 1.0, most: f64::from(shape.burst_most), tail: shape.burst_tail };
        let span_ns = shape.seconds * SECOND;
        let mut arrivals = Vec::new();
        for (organization, weight) in (0..).zip(&weights) {
            let bursts_per_second = shape.rate * weight / all / burst.mean_of_whole();
            let mut begin = exponential(&mut rng, bursts_per_second);
            while begin < shape.seconds as f64 {
                let mut at = begin;
                for _ in 0..burst.sample(&mut rng) as u64 {
                    let at_ns = (at * SECOND as f64) as u64;
                    if at_ns < span_ns {
                        let bytes = BODY_BYTES.sample(&mut rng) as u32;
                        arrivals.push(Arrival { at_ns, organization, bytes });
                    }
                    at += exponential(&mut rng, shape.burst_rate);
                }
                begin += exponential(&mut rng, bursts_per_second);
            }
        }
        arrivals.sort_unstable();
        let organizations = (1..=shape.organizations).map(|number| format!("org-{number}")).collect();
        Ok(Self { organizations, arrivals, span_ns })
    }

    /// Reads lines of `ms organization bytes`, in any order of time.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut places: HashMap<&str, u32> = HashMap::new();
        let mut organizations = Vec::new();
        let mut arrivals = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [ms, name, bytes] = words[..] else {
                ensure!(words.is_empty(), "line {number} is not `ms organization bytes`");
                continue;
            };
            let ms: u64 = ms.parse().with_context(|| format!("line {number}: `{ms}` are no milliseconds"))?;
            let bytes = bytes.parse().with_context(|| format!("line {number}: `{bytes}` are no bytes"))?;
            let organization = *places.entry(name).or_insert_with(|| {
                organizations.push(name.to_owned());
                u32::try_from(organizations.len() - 1).expect("a file of four thousand million names")
            });
            arrivals.push(Arrival { at_ns: ms * (SECOND / 1000), organization, bytes });
        }
        ensure!(!arrivals.is_empty(), "there is no arrival in it");
        arrivals.sort_unstable();
        let span_ns = arrivals.last().map_or(0, |last| last.at_ns + SECOND / 1000);
        Ok(Self { organizations, arrivals, span_ns })
    }

    /// The arrivals in `[from, until)`.
    pub(super) fn between(&self, from_ns: u64, until_ns: u64) -> &[Arrival] {
        let place = |at| self.arrivals.partition_point(|one| one.at_ns < at);
        &self.arrivals[place(from_ns)..place(until_ns)]
    }

    /// How many events each organization sent, most first.
    pub(super) fn largest(&self) -> Vec<(u32, u64)> {
        let mut counts: Vec<(u32, u64)> = (0..).zip(vec![0; self.organizations.len()]).collect();
        for one in &self.arrivals {
            counts[one.organization as usize].1 += 1;
        }
        counts.sort_by_key(|&(place, count)| (std::cmp::Reverse(count), place));
        counts
    }
}

/// A Pareto distribution between two ends.
#[derive(Debug, Clone, Copy)]
struct Bounded {
    least: f64,
    most: f64,
    tail: f64,
}

impl Bounded {
    fn sample(&self, rng: &mut Rng) -> f64 {
        let cut = 1.0 - (self.least / self.most).powf(self.tail);
        self.least * (1.0 - rng.f64() * cut).powf(-1.0 / self.tail)
    }

    /// The mean of a sample's whole part: the sum over k of the chance that a sample is k or more.
    fn mean_of_whole(&self) -> f64 {
        let cut = 1.0 - (self.least / self.most).powf(self.tail);
        let at_least = |k: f64| 1.0 - (1.0 - (self.least / k).powf(self.tail)) / cut;
        let from = self.least.ceil();
        from + (1..).map(|step| from + f64::from(step)).take_while(|k| *k <= self.most).map(at_least).sum::<f64>()
    }
}

/// The time to the next of what happens so often a second, whenever the last was.
pub(super) fn exponential(rng: &mut Rng, per_second: f64) -> f64 {
    -(1.0 - rng.f64()).ln() / per_second
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape() -> Shape {
        Shape {
            organizations: 200,
            rate: 500.0,
            seconds: 200,
            zipf: 1.0,
            burst_tail: 1.5,
            burst_most: 1000,
            burst_rate: 200.0,
        }
    }

    #[test]
    fn a_seed_is_a_trace() {
        let (one, same, other) = (Trace::made(&shape(), 1), Trace::made(&shape(), 1), Trace::made(&shape(), 2));
        let arrivals = |trace: Result<Trace>| trace.unwrap().arrivals;
        let one = arrivals(one);
        assert_eq!(one, arrivals(same));
        assert_ne!(one, arrivals(other));
    }

    #[test]
    fn a_made_trace_has_the_rate_and_the_tail_it_was_asked_for() {
        let trace = Trace::made(&shape(), 7).unwrap();
        let rate = trace.arrivals.len() as f64 / 200.0;
        assert!((rate / 500.0 - 1.0).abs() < 0.1, "{rate} a second");
        // The harmonic number of 200 is 5.88: the largest sends 17 %.
        let share = trace.largest()[0].1 as f64 / trace.arrivals.len() as f64;
        assert!((0.13..0.21).contains(&share), "the largest sends {share}");
    }

    #[test]
    fn the_mean_of_a_bounded_pareto_is_that_of_its_samples() {
        let burst = Bounded { least: 1.0, most: 100.0, tail: 1.5 };
        let mut rng = Rng::with_seed(3);
        let sum: f64 = (0..200_000).map(|_| burst.sample(&mut rng).floor()).sum();
        let (sampled, exact) = (sum / 200_000.0, burst.mean_of_whole());
        assert!((sampled / exact - 1.0).abs() < 0.02, "{sampled} is not {exact}");
    }

    #[test]
    fn a_file_is_read_and_what_is_none_is_refused_with_its_line() {
        let trace = Trace::parse("5 b 10\n2 a 20\n\n2 b 30\n").unwrap();
        assert_eq!(trace.organizations, ["b", "a"]);
        let read: Vec<_> = trace.arrivals.iter().map(|one| (one.at_ns, one.organization, one.bytes)).collect();
        assert_eq!(read, [(2_000_000, 0, 30), (2_000_000, 1, 20), (5_000_000, 0, 10)]);
        assert_eq!(trace.between(2_000_000, 5_000_000).len(), 2);
        let refused = |text| format!("{:#}", Trace::parse(text).unwrap_err());
        assert_eq!(refused("1 a 1\n2 a"), "line 2 is not `ms organization bytes`");
        assert!(refused("1 a x").starts_with("line 1: `x` are no bytes"));
        assert_eq!(refused("\n"), "there is no arrival in it");
    }
}
