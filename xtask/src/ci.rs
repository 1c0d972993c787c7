//! `cargo xtask ci`: every check in order, each timed, the first failure ends it, a summary closes it.
//! Owns the order only, and on which store what is looked at keeps its data. One build profile and one set of features serve all
//! steps, so that everything is compiled once; what comes after the tests needs nothing of the others and runs two at a time.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::Value;
use systems::{database, world};

use crate::postgres::Cluster;
use crate::run::{EVERYTHING, has_or_installs, output_of, root, run, run_with};
use crate::{
    access, addresses, bad_inputs, bindings, cluster, constant_time, crash, dashboard, fuzz, interop, leaks, octokit,
    oidc, readme, receivers, reference, replays, rewrap, rotations, schemathesis, switches, tidy, vectors,
};

struct Step {
    name: &'static str,
    run: fn() -> Result<()>,
}

/// Where servers keep their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// In a file
    Sqlite,
    /// In a cluster that is started for the occasion
    Postgres,
}

/// What is built, and everything that is quick to fail.
const IN_ORDER: &[Step] = &[
    Step { name: "format", run: || run("cargo", &["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: tidy::run },
    Step { name: "clippy", run: clippy },
    BUILD,
    PROGRAMS,
    Step { name: "tests", run: tests },
];

const BUILD: Step = Step { name: "build", run: || cargo_with_everything("build", &["--all-targets"]) };
const PROGRAMS: Step = Step { name: "programs", run: programs };

/// All that comes before where only servers on PostgreSQL are looked at.
const IN_ORDER_ON_POSTGRES: &[Step] = &[BUILD, PROGRAMS];

/// Checks of what was built, from outside, each with servers of its own. The longest come first.
const SIDE_BY_SIDE: &[Step] = &[
    Step { name: "rewrap", run: || rewrap::run_all(&rewrap::Plan::short()) },
    Step { name: "addresses", run: || addresses::run(&addresses::Plan::short()) },
    Step { name: "bad inputs", run: || bad_inputs::run(None) },
    Step { name: "dashboard", run: || dashboard::run(None, dashboard::Extent::Short) },
    Step { name: "leaks", run: leaks::run },
    Step { name: "bindings", run: || bindings::run_all().and_then(|()| interop::run()) },
    Step { name: "fuzz", run: || fuzz::run(&fuzz::Plan::short()) },
    Step { name: "constant time", run: constant_time::run_all },
    Step { name: "schemathesis", run: || schemathesis::run(&schemathesis::Plan::short()) },
    Step { name: "docs", run: docs },
    Step { name: "octokit", run: octokit::run },
    Step { name: "receivers", run: || receivers::run(None) },
    Step { name: "cluster", run: || cluster::run(&cluster::Plan::short()) },
    Step { name: "crash", run: || crash::run(&crash::Plan::short()) },
    Step { name: "rotations", run: || rotations::run(&rotations::Plan::short()) },
    Step { name: "switches", run: || switches::run(&switches::Plan::short()) },
    Step { name: "replays", run: || replays::run(&replays::Plan::short()) },
    Step { name: "demo", run: demo },
    Step { name: "readme", run: readme::run },
    Step { name: "oidc", run: oidc::run },
    Step { name: "access", run: access::run },
    Step { name: "reference", run: || reference::run(true) },
    Step { name: "vectors", run: || vectors::run(true) },
];

/// Those that are done with all servers on PostgreSQL as well, every time: the browser's, the five systems', the API's.
const ON_POSTGRES: &[Step] = &[
    Step { name: "dashboard", run: || dashboard::run(None, dashboard::Extent::Short) },
    Step { name: "systems", run: || tests_of("systems") },
    Step { name: "schemathesis", run: || schemathesis::run(&schemathesis::Plan::short()) },
];

/// What else asks something of a store: on PostgreSQL where that alone is looked at, because it takes long. What moves a
/// server's clock, or holds it to the moment, is not among them: nodes follow their database's clock.
const ONLY_ON_POSTGRES: &[Step] = &[
    Step { name: "gateway", run: || tests_of("hookward-gateway") },
    Step { name: "bad inputs", run: || bad_inputs::run(None) },
    Step { name: "leaks", run: leaks::run },
    Step { name: "crash", run: || crash::run(&crash::Plan::short()) },
    Step { name: "octokit", run: octokit::run },
    Step { name: "rewrap", run: || rewrap::run_all(&rewrap::Plan::short()) },
    Step { name: "replays", run: || replays::run(&replays::Plan::short()) },
    Step { name: "oidc", run: oidc::run },
];

/// How many of these run at a time: most of their time goes by in waiting for a disk, a clock or another process.
const AT_A_TIME: usize = 2;

/// What is to be done.
struct Plan {
    in_order: &'static [Step],
    side_by_side: Vec<(&'static Step, Store)>,
}

impl Plan {
    /// What there is to do for servers on one store, or on both.
    fn of(store: Option<Store>) -> Self {
        let on = |store, steps: &'static [Step]| steps.iter().map(move |step| (step, store));
        let (sqlite, postgres) = (on(Store::Sqlite, SIDE_BY_SIDE), on(Store::Postgres, ON_POSTGRES));
        match store {
            // The longest first, of both.
            None => Self { in_order: IN_ORDER, side_by_side: postgres.chain(sqlite).collect() },
            Some(Store::Sqlite) => Self { in_order: IN_ORDER, side_by_side: sqlite.collect() },
            Some(Store::Postgres) => {
                let all = postgres.chain(on(Store::Postgres, ONLY_ON_POSTGRES));
                Self { in_order: IN_ORDER_ON_POSTGRES, side_by_side: all.collect() }
            }
        }
    }
}

/// A step that is over.
struct Done {
    name: String,
    took: Duration,
    result: Result<()>,
}

/// Runs every step: those of one store, or of both.
pub(crate) fn run_all(store: Option<Store>) -> Result<()> {
    let started = world::instant();
    let mut plan = Plan::of(store);
    let mut done: Vec<Done> = Vec::new();
    for step in plan.in_order {
        println!("\n==> {}", step.name);
        let started = world::instant();
        let result = (step.run)();
        done.push(Done { name: step.name.to_owned(), took: started.elapsed(), result });
        if done.iter().any(|step| step.result.is_err()) {
            break;
        }
    }
    if done.iter().all(|step| step.result.is_ok()) {
        let cluster = if store == Some(Store::Sqlite) { None } else { Cluster::start("PostgreSQL")? };
        if cluster.is_none() {
            plan.side_by_side.retain(|(_, store)| *store == Store::Sqlite);
        }
        done.extend(side_by_side(&plan, cluster.as_ref())?);
    }
    print_summary(&done, plan.in_order.len() + plan.side_by_side.len() - done.len(), started.elapsed());
    let failed = done.into_iter().find_map(|step| step.result.err().map(|error| (step.name, error)));
    failed.map_or(Ok(()), |(name, error)| Err(error).with_context(|| format!("step `{name}` failed")))
}

/// Runs one of the steps that need nothing of the others, by its name, on the store that the environment names.
pub(crate) fn run_one(name: &str) -> Result<()> {
    let step = SIDE_BY_SIDE.iter().chain(ON_POSTGRES).chain(ONLY_ON_POSTGRES).find(|step| step.name == name);
    (step.with_context(|| format!("there is no step `{name}`"))?.run)()
}

/// Each step is a process of its own, because what it prints is shown in one piece. None begins after one that failed.
fn side_by_side(plan: &Plan, cluster: Option<&Cluster>) -> Result<Vec<Done>> {
    let directory = root().join("target/xtask/ci");
    fs::create_dir_all(&directory)?;
    let waiting = Mutex::new(plan.side_by_side.iter().collect::<VecDeque<_>>());
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = lock(&waiting).pop_front();
            let Some((step, store)) = next else { break };
            let (name, cluster) = match store {
                Store::Sqlite => (step.name.to_owned(), None),
                Store::Postgres => (format!("{}, PostgreSQL", step.name), cluster),
            };
            let started = world::instant();
            let output = directory.join(name.replace(", ", "-").replace(' ', "-"));
            let result = run_apart(step, cluster, &output);
            let mut done = lock(&done);
            println!("\n==> {name}");
            print!("{}", fs::read_to_string(&output).unwrap_or_default());
            if let Err(error) = &result {
                println!("{error:#}");
                lock(&waiting).clear();
            }
            done.push(Done { name, took: started.elapsed(), result });
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// With servers on PostgreSQL where a cluster is given.
fn run_apart(step: &Step, cluster: Option<&Cluster>, output: &Path) -> Result<()> {
    let file = fs::File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
    // The build replaced this program: its file is another one of the same name by now.
    let mut command = Command::new(std::env::current_exe()?.with_file_name("xtask"));
    command.args(["step", step.name]).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    match cluster {
        Some(cluster) => command.env(database::STORE, "postgres").env(database::CLUSTER, cluster.address()),
        None => command.env_remove(database::STORE).env_remove(database::CLUSTER),
    };
    let status = command.status()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

fn clippy() -> Result<()> {
    run("cargo", &["clippy", "--workspace", "--features", "hookward/axum", "--all-targets", "--", "-D", "warnings"])?;
    // The library by itself, without what its features bring.
    run("cargo", &["clippy", "--package", "hookward", "--no-default-features", "--", "-D", "warnings"])
}

/// With a PostgreSQL for those of the shared store; all servers are on SQLite.
fn tests() -> Result<()> {
    let cluster = Cluster::start("tests")?;
    let mut command = with_everything("test");
    command.env_remove(database::STORE);
    if let Some(cluster) = &cluster {
        command.env(database::CLUSTER, cluster.address());
    }
    run_with(command.arg("--no-fail-fast"))
}

/// The integration tests of one package, as they were built with all the others.
fn tests_of(package: &str) -> Result<()> {
    let mut built = with_everything("test");
    let built = output_of(built.args(["--test", "it", "--no-run", "--message-format", "json"]).current_dir(root()))?;
    let messages = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let place = |message: Value| {
        let manifest = PathBuf::from(message["manifest_path"].as_str()?);
        Some((PathBuf::from(message["executable"].as_str()?), manifest.parent()?.to_owned()))
    };
    let mut places = messages.filter(|message| message["package_id"].as_str().is_some_and(|id| is_of(id, package)));
    let (program, directory) = places.find_map(place).with_context(|| format!("`{package}` has no tests"))?;
    run_with(Command::new(program).current_dir(directory))
}

/// Whether this is a package's id: `path+file:///…/<directory>#<name>@<version>`, without the name if the directory has it.
fn is_of(id: &str, package: &str) -> bool {
    let (path, end) = id.split_once('#').unwrap_or((id, ""));
    let name = end.split_once('@').map_or_else(|| path.rsplit('/').next().unwrap_or_default(), |(name, _)| name);
    name == package
}

fn with_everything(command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args([command, "--workspace", "--features", EVERYTHING]);
    cargo
}

fn cargo_with_everything(command: &str, arguments: &[&str]) -> Result<()> {
    run_with(with_everything(command).args(arguments))
}

/// What tests start besides the product. The others need programs of their own and say so.
fn programs() -> Result<()> {
    const NEEDED: [(&str, &str); 12] = [
        ("curl", "curl"),
        ("faketime", "faketime"),
        ("git", "git"),
        ("openssl", "openssl"),
        // What verifies deliveries in each language; mono stands in for .NET, which Debian does not have.
        ("node", "nodejs"),
        ("python3", "python3"),
        ("php", "php-cli"),
        ("ruby", "ruby"),
        ("go", "golang-go"),
        ("javac", "default-jdk-headless"),
        ("mcs", "mono-mcs"),
        ("mono", "mono-runtime"),
    ];
    for (program, package) in NEEDED {
        has_or_installs("tests", program, package)?;
    }
    Ok(())
}

/// The demonstration that a newcomer runs first, which checks every one of its own steps.
fn demo() -> Result<()> {
    run_with(Command::new(systems::server::binary()?).args(["demo", "--once"]))
}

fn docs() -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["doc", "--workspace", "--features", "hookward/axum", "--no-deps", "--document-private-items"]);
    run_with(command.env("RUSTDOCFLAGS", "-D warnings"))
}

fn print_summary(done: &[Done], left: usize, took: Duration) {
    println!("\n==> summary");
    for step in done {
        let verdict = if step.result.is_ok() { "ok" } else { "FAILED" };
        println!("{:<24} {verdict:<7} {:>7.1} s", step.name, step.took.as_secs_f64());
    }
    let verdict = if left == 0 && done.iter().all(|step| step.result.is_ok()) { "ok" } else { "FAILED" };
    println!("{:<24} {verdict:<7} {:>7.1} s", "total", took.as_secs_f64());
    if left > 0 {
        println!("not run: {left} further steps");
    }
}
