//! `cargo xtask ci`: every check in order, each timed, the first failure ends it, a summary closes it.
//! Owns the order only. One build profile serves all steps, so that dependencies are compiled once.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use systems::world;

use crate::run::{has_or_installs, run, run_with};
use crate::{
    addresses, bad_inputs, constant_time, crash, leaks, octokit, oidc, readme, receivers, replays, rewrap, rotations,
    schemathesis, switches, tidy,
};

struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: &[Step] = &[
    Step { name: "format", run: || run("cargo", &["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: tidy::run },
    Step { name: "clippy", run: clippy },
    Step { name: "build", run: || run("cargo", &["build", "--workspace", "--all-targets"]) },
    Step { name: "programs", run: programs },
    Step { name: "tests", run: || run("cargo", &["test", "--workspace"]) },
    Step { name: "docs", run: docs },
    Step { name: "demo", run: demo },
    Step { name: "readme", run: readme::run },
    Step { name: "crash", run: || crash::run(&crash::Plan::short()) },
    Step { name: "replays", run: || replays::run(&replays::Plan::short()) },
    Step { name: "rotations", run: || rotations::run(&rotations::Plan::short()) },
    Step { name: "switches", run: || switches::run(&switches::Plan::short()) },
    Step { name: "octokit", run: octokit::run },
    Step { name: "oidc", run: oidc::run },
    Step { name: "receivers", run: || receivers::run(None) },
    Step { name: "addresses", run: || addresses::run(&addresses::Plan::short()) },
    Step { name: "bad inputs", run: || bad_inputs::run(None) },
    Step { name: "constant time", run: constant_time::run_all },
    Step { name: "schemathesis", run: || schemathesis::run(&schemathesis::Plan::short()) },
    Step { name: "leaks", run: leaks::run },
    Step { name: "rewrap", run: || rewrap::run_all(&rewrap::Plan::short()) },
];

/// Runs every step.
pub(crate) fn run_all() -> Result<()> {
    let mut done: Vec<(&str, Duration)> = Vec::new();
    for step in STEPS {
        println!("\n==> {}", step.name);
        let started = world::instant();
        let result = (step.run)();
        done.push((step.name, started.elapsed()));
        if let Err(error) = result {
            print_summary(&done, Some(step.name));
            return Err(error).with_context(|| format!("step `{}` failed", step.name));
        }
    }
    print_summary(&done, None);
    Ok(())
}

fn clippy() -> Result<()> {
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])
}

/// What tests start besides the product. The others need programs of their own and say so.
fn programs() -> Result<()> {
    for program in ["curl", "faketime", "git", "openssl"] {
        has_or_installs("tests", program, program)?;
    }
    Ok(())
}

/// The demonstration that a newcomer runs first, which checks every one of its own steps.
fn demo() -> Result<()> {
    run_with(Command::new(systems::server::binary()?).args(["demo", "--once"]))
}

fn docs() -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["doc", "--workspace", "--no-deps", "--document-private-items"]);
    run_with(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn print_summary(done: &[(&str, Duration)], failed: Option<&str>) {
    println!("\n==> summary");
    for (name, took) in done {
        let verdict = if failed == Some(*name) { "FAILED" } else { "ok" };
        println!("{name:<14} {verdict:<7} {:>7.1} s", took.as_secs_f64());
    }
    let total: Duration = done.iter().map(|(_, took)| *took).sum();
    println!("{:<14} {:<7} {:>7.1} s", "total", if failed.is_some() { "FAILED" } else { "ok" }, total.as_secs_f64());
    let left = STEPS.len() - done.len();
    if left > 0 {
        println!("not run: {left} further steps");
    }
}
