//! `cargo xtask bench …`: measured figures, always of release builds. Each benchmark is a module below.

mod dashboard;
mod deliver;
mod flood;
mod ingest;
mod isolation;
mod lists;
mod load;
mod rivals;
mod shared;
mod verify;

use std::process::Command as Process;

use anyhow::Result;
use clap::Subcommand;

use crate::run::{root, run, run_with};

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Signed pushes into Hookward, beside nginx and adnanh/webhook; with `--store postgres` commits of several nodes, beside bare ones
    Ingest(ingest::Plan),
    /// A good sender alone, and beside a flood of bad signatures and slow connections
    Flood(flood::Plan),
    /// Events published until they are received, beside a bare client that sends the same requests; with `--store postgres`
    /// leases and settlements of several nodes, beside bare ones
    Deliver(deliver::Plan),
    /// The bare client of `deliver`
    #[command(hide = true)]
    Bare(deliver::Bare),
    /// A hundred destinations, of which none, one or fifty never answer
    Isolation(isolation::Plan),
    /// The dashboard's pages over 100,000 events, against the 50 ms that a page may take
    Dashboard(dashboard::Plan),
    /// Pages of the API's lists over ten million events on PostgreSQL, against the 50 ms that a page may take, and a day that is dropped
    Lists(lists::Plan),
    /// Verification, beside a bare HMAC of the same bytes and the crates standardwebhooks and svix
    Verify,
}

/// Measures, in a release build of this program: a debug build makes one and hands over.
pub(crate) fn execute(bench: &Bench) -> Result<()> {
    if cfg!(debug_assertions) && !matches!(bench, Bench::Verify) {
        run("cargo", &["build", "--release", "--package", "hookward-gateway", "--package", "xtask"])?;
        let arguments = std::env::args_os().skip(1);
        return run_with(Process::new(root().join("target/release/xtask")).args(arguments));
    }
    match bench {
        Bench::Ingest(plan) => ingest::run(plan),
        Bench::Flood(plan) => flood::run(plan),
        Bench::Deliver(plan) => deliver::run(plan),
        Bench::Bare(plan) => deliver::run_bare(plan),
        Bench::Isolation(plan) => isolation::run(plan),
        Bench::Dashboard(plan) => dashboard::run(plan),
        Bench::Lists(plan) => lists::run(plan),
        Bench::Verify => verify::run_all(),
    }
}
