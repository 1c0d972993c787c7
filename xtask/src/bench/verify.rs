//! `cargo xtask bench verify`: what verification costs beside a bare HMAC and other verifiers, and what the command costs as a process.
//! Owns the starting and the processes: the library is measured by a package outside the workspace, so that the verifiers it is compared
//! with are compiled and locked for nothing else.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use systems::world;

use crate::run::{root, run};

/// So often each process is started.
const ROUNDS: usize = 51;

/// The promises about whole processes, in milliseconds.
const STARTS_WITHIN_MS: f64 = 20.0;
const VERIFIES_WITHIN_MS: f64 = 30.0;

/// GitHub's own example.
const SECRET: &str = "It's a Secret to Everybody";
const BODY: &str = "Hello, World!";
const HEADERS: &str = "X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n";

/// Builds both and runs them; it fails when the library or the command is slower than promised.
pub(crate) fn run_all() -> Result<()> {
    let processes = processes();
    let manifest = "xtask/verify-bench/Cargo.toml";
    run("cargo", &["run", "--release", "--manifest-path", manifest, "--target-dir", "target/verify-bench"])?;
    processes
}

/// Starts the command as people do, and prints how long that takes.
fn processes() -> Result<()> {
    run("cargo", &["build", "--release", "--package", "hookward-gateway"])?;
    let program = root().join("target/release/hookward");
    let place = tempfile::tempdir()?;
    for (name, text) in [("secret", SECRET), ("headers", HEADERS), ("body", BODY)] {
        fs::write(place.path().join(name), text)?;
    }
    let verify = ["verify", "--scheme", "github", "--secret-file", "secret", "--headers", "headers", "--body", "body"]
        .as_slice();
    let measured: [(&[&str], f64); 3] =
        [(&["--version"], STARTS_WITHIN_MS), (&["schemes", "list"], STARTS_WITHIN_MS), (verify, VERIFIES_WITHIN_MS)];
    println!("The command as a process, of {ROUNDS} starts");
    println!("{:<44} {:>10} {:>16}", "", "median ms", "least ms");
    let mut broken = Vec::new();
    for (arguments, promised) in measured {
        let times = times(&program, arguments, place.path())?;
        let (least, median) = (times[0], times[ROUNDS / 2]);
        println!("{:<44} {median:>10.1} {least:>16.1}", format!("hookward {}", arguments[0]));
        // Whatever else the machine does makes a start longer, never shorter.
        if least > promised {
            broken.push(format!("`hookward {}` takes {least:.1} ms, more than the promised {promised}", arguments[0]));
        }
    }
    println!();
    ensure!(broken.is_empty(), "{}", broken.join("; "));
    Ok(())
}

/// How long each start took until the end, in milliseconds, the shortest first.
fn times(program: &Path, arguments: &[&str], place: &Path) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let started = world::instant();
        let mut command = Command::new(program);
        let status = command.args(arguments).current_dir(place).stdout(Stdio::null()).status();
        let status = status.with_context(|| format!("cannot start {}", program.display()))?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        ensure!(status.success(), "`hookward {}` ended with {status}", arguments.join(" "));
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
