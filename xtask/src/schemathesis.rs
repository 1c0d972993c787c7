//! `cargo xtask schemathesis`: requests made up from the description of the API, good ones and bad ones, at a running server
//! with data. Nothing may be answered that the description does not have, nothing with a fault of the server, and nothing
//! to whoever does not say who they are. Owns the installation of the program and the data; the requests are the program's.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use systems::github::push;
use systems::server::API_KEY;
use systems::{Hookward, Request, Setup, database};

use crate::run::{has_or_installs, output, root, run_with};

const VERSION: &str = "4.32.5";

/// Everything but that whatever fits the description is accepted: a cursor of random letters is none.
const EXCLUDED: &str = "positive_data_acceptance,missing_required_header,object_level_authorization";

/// What breaks the rules is refused, for whichever reason comes first; of a batch each event by itself.
const RULES: &str = r#"
[checks.negative_data_rejection]
expected-statuses = ["4xx", 503]

[[operations]]
include-path = "/api/v1/events/batch"
checks.negative_data_rejection.expected-statuses = ["4xx", 207, 503]
"#;

/// The least number of cases that count as a run.
const CASES_MIN: u64 = 2000;

const CONFIG: &str = r#"
[[source]]
name = "github"
scheme = "github"
secret = "env:SECRET"

[[destination]]
name = "ci"
type = "http"
url = "https://ci.example.com/hooks"
"#;

/// How much is tried.
#[derive(Args)]
pub(crate) struct Plan {
    /// Made-up requests for each operation in each phase, at most
    #[arg(long, default_value_t = 25)]
    examples: u32,
    /// What everything that is made up follows from
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

impl Plan {
    /// What every change goes through.
    pub(crate) fn short() -> Self {
        Self { examples: 10, seed: 1 }
    }
}

/// Runs it, or says visibly why not.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    if !has_or_installs("schemathesis", "python3", "python3-venv")? {
        return Ok(());
    }
    let program = install()?;
    let directory = tempfile::tempdir()?;
    let server = Setup::new(directory.path(), CONFIG)?.env("SECRET", "a secret of the test's own").start()?;
    fill(&server)?;
    let report = directory.path().join("report.ndjson");
    std::fs::write(directory.path().join("schemathesis.toml"), RULES)?;
    // A PostgreSQL database is backed up by its own tools, and the API says so with a 503.
    let excluded: &[&str] = if database::is_postgres() { &["--exclude-path", "/api/v1/backup"] } else { &[] };
    let ran = run_with(
        Command::new(program)
            .args(["run", &format!("http://{}/api/openapi.json", server.admin)])
            .args(["--header", &format!("Authorization: Bearer {API_KEY}")])
            .args(excluded)
            .args(["--checks", "all", "--exclude-checks", EXCLUDED])
            .args(["--max-examples", &plan.examples.to_string(), "--seed", &plan.seed.to_string()])
            // Python compiles in one thread at a time or not at all.
            .args(["--workers", "1", "--no-shrink", "--continue-on-failure", "--warnings", "off"])
            .args(["--suppress-health-check", "all", "--request-timeout", "30"])
            .args(["--report", "ndjson", "--report-ndjson-path"])
            .arg(&report)
            .current_dir(directory.path()),
    );
    let cases = count(&std::fs::read_to_string(&report).context("it left no report")?);
    println!("schemathesis: {cases} requests");
    ran?;
    ensure!(cases >= CASES_MIN, "only {cases} requests were made, at least {CASES_MIN} are wanted");
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

/// The program, installed below `target` at the version above.
fn install() -> Result<PathBuf> {
    let place = root().join("target/xtask/schemathesis");
    let program = place.join("bin/schemathesis");
    let is_there = program.exists()
        && output(&program.display().to_string(), &["--version"]).is_ok_and(|version| version.contains(VERSION));
    if !is_there {
        run_with(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&place))?;
        let package = format!("schemathesis=={VERSION}");
        run_with(Command::new(place.join("bin/pip")).args(["install", "--quiet", &package]))?;
    }
    Ok(program)
}

/// Something of everything, so that there is something to find.
fn fill(server: &Hookward) -> Result<()> {
    for n in 0..20 {
        let body = json!({ "n": n }).to_string();
        server.public(&push("/in/github", b"a secret of the test's own", &format!("d{n}"), body.as_bytes()))?;
    }
    server.public(&Request::post("/in/github").body(b"refused"))?;
    let post = |path: &str, body: Value| -> Result<()> {
        let request = Request::post(path).header("Content-Type", "application/json");
        let answer = server.admin(request.body(body.to_string().as_bytes()))?;
        ensure!(answer.status / 100 == 2, "POST {path}: {} {}", answer.status, answer.text());
        Ok(())
    };
    post("/api/v1/sources", json!({ "name": "made", "scheme": "github" }))?;
    post("/api/v1/keys", json!({ "name": "reader", "scopes": ["read"] }))?;
    post("/api/v1/users", json!({ "email": "ana@example.com", "scopes": ["read"] }))?;
    post("/api/v1/organizations", json!({ "name": "other" }))?;
    post("/api/v1/destinations/ci/pause", json!({}))?;
    post("/api/v1/redeliveries", json!({ "rate_per_s": 10 }))
}

/// The requests in a report.
fn count(report: &str) -> u64 {
    let recorded = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let in_one = |event: Value| match event.pointer("/ScenarioFinished/recorder/interactions") {
        Some(Value::Object(interactions)) => interactions.len() as u64,
        _ => 0,
    };
    recorded.map(in_one).sum()
}
