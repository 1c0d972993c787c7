//! `cargo xtask addresses`: the judge of addresses against a table that was written without it.
//! Owns running the two; the table is `xtask/addresses/table.py`, where it is stricter than Python on purpose is written
//! there as data, and the comparison is the engine's example `judge`.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::run::{has_or_installs, output_of, root};

/// What the random part of the table is made from, and how much is asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Repeats the random addresses of another run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl Plan {
    /// What CI asks for.
    pub(crate) fn short() -> Self {
        Self { seed: 1 }
    }
}

/// How many addresses there are at least: three of each IPv4 /16, and a million that carry one.
const ADDRESSES_MIN: u64 = 3 * 65_536 + 1_000_000;

/// Compares the two; there may be no difference.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    if !has_or_installs("addresses", "python3", "python3")? {
        return Ok(());
    }
    let mut table = Command::new("python3")
        .arg(root().join("xtask/addresses/table.py"))
        .arg(plan.seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start python3")?;
    let verdicts = table.stdout.take().context("its output was asked for")?;
    let mut judge = Command::new("cargo");
    judge.args(["run", "--quiet", "--package", "hookward-engine", "--example", "judge"]);
    let said = output_of(judge.current_dir(root()).stdin(verdicts))?;
    ensure!(table.wait()?.success(), "the table was not finished");
    for line in said.lines().take(20) {
        println!("addresses: {line}");
    }
    let last = said.lines().last().context("nothing was compared")?;
    let count: u64 = last.split(' ').next().unwrap_or_default().parse()?;
    ensure!(count >= ADDRESSES_MIN, "only {count} addresses were compared");
    ensure!(last.ends_with(" 0 differences"), "the judge and the table disagree (seed {}): {last}", plan.seed);
    Ok(())
}
