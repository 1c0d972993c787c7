//! `cargo xtask cells`: what becomes of organizations that are spread over several installations, by simulation. Nothing is
//! measured here: a primary's costs are given, a trace of requests is read or made up, and the same seed prints the same.
//! Owns the course of the three looks (each policy, the loss of a cell, a move); docs/scaling.md says what follows.

mod placement;
mod primary;
mod replay;
mod report;
mod trace;

use std::path::PathBuf;

use anyhow::{Result, ensure};

use placement::{Policy, least};
use primary::Primary;
use replay::{Happening, Loss, Move, Outcome, Senders, replay};
use report::{Run, share};
use trace::{SECOND, Shape, Trace};

/// What to simulate.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Cells, each with one primary
    #[arg(long, default_value_t = 4)]
    cells: usize,
    /// Repeats another run's trace and the moments at which senders try again
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A file of lines `ms organization bytes` in place of a made trace
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// The first part of the trace, in which organizations' loads are measured; the rest is replayed
    #[arg(long, default_value_t = 0.25)]
    measured: f64,
    /// How much of a cell's time the policy `first cell with room` gives away
    #[arg(long, default_value_t = 0.6)]
    fill: f64,
    /// For how many seconds the busiest cell is lost
    #[arg(long, default_value_t = 60)]
    lost_s: u64,
    /// For how many seconds an organization that moves is refused
    #[arg(long, default_value_t = 5)]
    frozen_s: u64,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    primary: Primary,
    #[command(flatten)]
    senders: Senders,
}

/// A trace of which the first part was measured.
struct Course<'a> {
    plan: &'a Plan,
    trace: &'a Trace,
    from_ns: u64,
    /// What each organization takes of a cell's time.
    loads: Vec<f64>,
}

/// Simulates, and prints.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.cells > 0, "there is at least one cell");
    ensure!((0.01..=0.9).contains(&plan.measured), "the measured part is between 0.01 and 0.9 of the trace");
    ensure!(plan.primary.group_entries > 0 && plan.senders.tries > 0, "a group has an entry, and an event a try");
    let trace = match &plan.trace {
        Some(file) => Trace::read(file)?,
        None => Trace::made(&plan.shape, plan.seed)?,
    };
    let course = Course::new(plan, &trace);
    course.introduce();
    let mut last = None;
    for policy in Policy::ALL {
        let places = policy.place(&trace.organizations, &course.loads, plan.cells, plan.fill);
        println!("\nplacement: {}", policy.name());
        let outcome = course.replay(&places, Happening::default());
        course.run(&places, &outcome).print();
        last = Some((places, outcome));
    }
    let (places, outcome) = last.expect("there is a policy");
    course.lose(&places, &outcome);
    if plan.cells > 1 {
        course.move_largest(&places, &outcome);
    }
    Ok(())
}

impl<'a> Course<'a> {
    fn new(plan: &'a Plan, trace: &'a Trace) -> Self {
        let from_ns = (trace.span_ns as f64 * plan.measured) as u64;
        let mut loads = vec![0.0; trace.organizations.len()];
        for one in trace.between(0, from_ns) {
            loads[one.organization as usize] += plan.primary.work_us(one.bytes) * 1000.0 / from_ns as f64;
        }
        Self { plan, trace, from_ns, loads }
    }

    fn introduce(&self) {
        let Self { plan, trace, .. } = self;
        let (all, seconds) = (trace.arrivals.len() as u64, trace.span_ns as f64 / SECOND as f64);
        let bytes: u64 = trace.arrivals.iter().map(|one| u64::from(one.bytes)).sum();
        let (mean_bytes, rate) = (bytes as f64 / all as f64, all as f64 / seconds);
        let largest = trace.largest();
        let ten: u64 = largest.iter().take(10).map(|(_, count)| count).sum();
        println!(
            "cells: seed {}, {all} events in {seconds:.0} s ({rate:.0} a second) of {mean_bytes:.0} bytes",
            plan.seed
        );
        let first = share(largest[0].1, all);
        println!("  {} organizations; the largest sends {first}, the largest ten {}", largest.len(), share(ten, all));
        let capacity = plan.primary.capacity(mean_bytes);
        let needed = rate / capacity;
        println!(
            "  a primary carries {capacity:.0} events a second with their deliveries; this takes {needed:.2} of them"
        );
        let heaviest = self.loads.iter().copied().fold(0.0, f64::max);
        println!(
            "  the heaviest organization takes {:.1} % of one: a cell is the most that it can have",
            heaviest * 100.0
        );
    }

    fn replay(&self, places: &[usize], happening: Happening) -> Outcome {
        let Self { plan, trace, from_ns, .. } = self;
        let arrivals = trace.between(*from_ns, trace.span_ns);
        replay(arrivals, places, plan.cells, (&plan.primary, &plan.senders), happening, plan.seed)
    }

    fn run<'r>(&'r self, places: &'r [usize], outcome: &'r Outcome) -> Run<'r> {
        let (from_ns, until_ns) = (self.from_ns, self.trace.span_ns);
        Run { arrivals: self.trace.between(from_ns, until_ns), places, outcome, from_ns, until_ns }
    }

    /// Where in what is replayed something happens.
    fn at(&self, share: f64) -> u64 {
        self.from_ns + ((self.trace.span_ns - self.from_ns) as f64 * share) as u64
    }

    fn busy(&self, places: &[usize], outcome: &Outcome) -> Vec<f64> {
        (0..self.plan.cells).map(|cell| self.run(places, outcome).utilisation(cell).0).collect()
    }

    /// The busiest cell is gone for a while.
    fn lose(&self, places: &[usize], quiet: &Outcome) {
        let idle: Vec<f64> = self.busy(places, quiet).iter().map(|busy| -busy).collect();
        let from_ns = self.at(0.25);
        let loss = Loss { cell: least(&idle), from_ns, until_ns: from_ns + self.plan.lost_s * SECOND };
        println!("\ncell {} is lost for {} s ({})", loss.cell, self.plan.lost_s, Policy::LargestFirst.name());
        let outcome = self.replay(places, Happening { loss: Some(loss), moving: None });
        self.run(places, &outcome).print_loss(&loss);
    }

    /// The heaviest organization goes to the least busy of the other cells.
    fn move_largest(&self, places: &[usize], quiet: &Outcome) {
        let idle: Vec<f64> = self.loads.iter().map(|load| -load).collect();
        let organization = least(&idle);
        let mut busy = self.busy(places, quiet);
        busy[places[organization]] = f64::INFINITY;
        let from_ns = self.at(0.5);
        let until_ns = from_ns + self.plan.frozen_s * SECOND;
        let to = least(&busy);
        let moving = Move { organization: organization as u32, to, from_ns, until_ns };
        let name = &self.trace.organizations[organization];
        println!("\n`{name}`, the heaviest organization, moves; for {} s it is refused", self.plan.frozen_s);
        let outcome = self.replay(places, Happening { loss: None, moving: Some(moving) });
        self.run(places, &outcome).print_move(&moving);
    }
}
