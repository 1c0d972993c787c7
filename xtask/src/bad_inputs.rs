//! `cargo xtask bad-inputs`: the corpus of `tests/bad-inputs` against the running binary, one line for each case.
//! Every case pins one answer; after every case the server is healthy and the next valid request is accepted.

mod admin;
mod cli;
mod config;
mod corpus;
mod expand;
mod five_days;
mod isolated;
mod kms;
mod names;
mod outbound_receiver;
mod outbound_url;
mod script;
mod wire;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use systems::github::push;
use systems::{Hookward, Request, Response, Setup, world};

use crate::run::root;
use corpus::{Case, Stores};
use expand::{Expander, Which, secret};

/// Short deadlines, so that a slow sender is refused while somebody waits for the result.
const CONFIG: &str = r#"
[limits]
header_timeout = "700ms"
body_timeout = "1200ms"
idle_timeout = "2s"
"#;

/// Each scheme is a source of its own name.
const SOURCES: [&str; 7] =
    ["github", "standard-webhooks", "standard-webhooks-ed25519", "stripe", "qflow", "gitlab-token", "bearer"];

/// What the server may have used at most, in KiB, after bodies at the limit and endless ones.
const PEAK_KIB_MAX: u64 = 400 * 1024;

/// Runs the cases whose id contains `only`, or all of them.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let mut tally = Tally::default();
    requests(only, &mut tally)?;
    admin::run(only, &mut tally)?;
    config::run(only, &mut tally)?;
    cli::run(only, &mut tally)?;
    kms::run(only, &mut tally)?;
    outbound_url::run(only, &mut tally)?;
    outbound_receiver::run(only, &mut tally)?;
    five_days::run(only, &mut tally)?;
    let Tally { cases, failed, skipped } = tally;
    ensure!(cases + skipped > 0, "no case is called so");
    println!("bad-inputs: {cases} cases, {failed} failed, {skipped} not applicable");
    ensure!(failed == 0, "{failed} of {cases} cases failed");
    Ok(())
}

/// How the cases ended.
#[derive(Default)]
struct Tally {
    cases: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    /// Prints how a case ended.
    fn add(&mut self, id: &str, what: &str, why: &str, verdict: Result<()>) {
        self.cases += 1;
        let mark = if verdict.is_ok() { "ok    " } else { "FAILED" };
        println!("bad-inputs: {mark} {id} ({what}): {why}");
        if let Err(problem) = verdict {
            println!("            {problem:#}");
            self.failed += 1;
        }
    }

    /// Says of a case that it is about something that there is not. It counts as neither.
    fn skip(&mut self, only: Option<&str>, id: &str, why: &str) {
        if is_chosen(only, id) {
            self.skipped += 1;
            println!("bad-inputs: not applicable {id}: {why}");
        }
    }
}

/// Whether a case of this id is asked for.
fn is_chosen(only: Option<&str>, id: &str) -> bool {
    only.is_none_or(|part| id.contains(part))
}

/// What a file of `tests/bad-inputs` says.
pub(crate) fn read<T: DeserializeOwned>(file: impl AsRef<Path>) -> Result<T> {
    let path = root().join("tests/bad-inputs").join(file);
    let read = || -> Result<T> { Ok(toml::from_str(&std::fs::read_to_string(&path)?)?) };
    read().with_context(|| path.display().to_string())
}

/// The requests to a source, one after the other against one server.
fn requests(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let cases = corpus::load()?;
    let chosen: Vec<&Case> = cases.iter().filter(|case| is_chosen(only, &case.id)).collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let server = start(directory.path())?;
    for case in &chosen {
        tally.add(&case.id, &statuses(case), &case.why, judge(&server, case));
    }
    let peak = world::peak_kib(server.pid())?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    println!("bad-inputs: peak memory {} MiB", peak / 1024);
    ensure!(peak <= PEAK_KIB_MAX, "the server grew to {peak} KiB, at most {PEAK_KIB_MAX}");
    Ok(())
}

/// A server on which every source has an expired, a previous and a newest secret.
fn start(directory: &Path) -> Result<Hookward> {
    let mut config = CONFIG.to_owned();
    for source in SOURCES {
        config += &format!("\n[[source]]\nname = \"{source}\"\nscheme = \"{source}\"\n");
        match source {
            "bearer" => config += "methods = [\"*\"]\n",
            "github" => config += "rate = { requests = 1000, per = \"10s\" }\n",
            _ => {}
        }
    }
    config += "\n[[source]]\nname = \"github-other\"\nscheme = \"github\"\n";
    config += "\n[[source]]\nname = \"hinted\"\nscheme = \"github\"\nhint = { \"/repository\" = \"ours\" }\n";
    config += "\n[[source]]\nname = \"nobody-set-a-secret\"\nscheme = \"github\"\n";
    let server = Setup::new(directory, &config)?.start()?;
    for source in SOURCES {
        for which in [Which::Expired, Which::Old, Which::Active] {
            let grace_s = if which == Which::Active { 3600 } else { 0 };
            set_secret(&server, source, &secret(source, which), grace_s)?;
        }
    }
    set_secret(&server, "hinted", &secret("github", Which::Active), 0)?;
    set_secret(&server, "github-other", &secret("github", Which::Other), 0)?;
    Ok(server)
}

fn set_secret(server: &Hookward, source: &str, value: &str, grace_s: u32) -> Result<()> {
    let body = json!({ "secret": value, "grace_s": grace_s }).to_string();
    let request = Request::post(&format!("/api/v1/sources/{source}/secrets"))
        .header("Content-Type", "application/json")
        .body(body.as_bytes());
    let response = server.admin(request)?;
    ensure!(response.status / 100 == 2, "cannot set the secret of {source}: {} {}", response.status, response.text());
    Ok(())
}

/// One case: its requests one after the other, then the proof that the server took no harm.
fn judge(server: &Hookward, case: &Case) -> Result<()> {
    let expander = Expander::new(&case.id);
    judge_step(server, case, &expander)?;
    for (index, step) in case.then.iter().enumerate() {
        judge_step(server, step, &expander).with_context(|| format!("step {}", index + 2))?;
    }
    let health = server.public(&Request::get("/healthz"))?;
    ensure!(health.status == 200, "afterwards /healthz is {}", health.status);
    let unique = expander.unique("afterwards");
    let valid = push("/in/github", secret("github", Which::Active).as_bytes(), &unique, unique.as_bytes());
    let next = server.public(&valid)?;
    ensure!(next.status == 202, "the next valid request was answered {} {}", next.status, next.text());
    Ok(())
}

fn judge_step(server: &Hookward, case: &Case, expander: &Expander) -> Result<()> {
    let before = newest_events(server)?;
    let prepared = wire::prepare(case, expander)?;
    for time in 1..=case.times {
        let answer = wire::exchange(server.public, case, &prepared)?;
        check_answer(case, answer.as_ref()).with_context(|| format!("time {time}"))?;
    }
    let after = newest_events(server)?;
    check_stored(server, case, &prepared.body, &before, &after)
}

fn check_answer(case: &Case, answer: Option<&Response>) -> Result<()> {
    let Some(answer) = answer else {
        ensure!(case.status == 0, "the connection closed without an answer instead of {}", case.status);
        return Ok(());
    };
    ensure!(answer.status == case.status, "answered {} {:.200}", answer.status, answer.text());
    match answer.status {
        401 if case.method != "HEAD" => {
            ensure!(answer.text() == r#"{"error":"Unauthorized"}"#, "a 401 that says more: {}", answer.text());
        }
        405 => ensure!(answer.header("allow").is_some(), "a 405 without Allow"),
        _ => {}
    }
    ensure!(answer.header("access-control-allow-origin").is_none(), "an answer that invites other origins");
    Ok(())
}

/// The newest events, newest first: enough to see what one request changed.
fn newest_events(server: &Hookward) -> Result<Vec<Value>> {
    let mut page = server.get("/api/v1/events?limit=3")?;
    match page["items"].take() {
        Value::Array(items) => Ok(items),
        other => bail!("the list of events has no items: {other}"),
    }
}

fn check_stored(server: &Hookward, case: &Case, body: &[u8], before: &[Value], after: &[Value]) -> Result<()> {
    let newest_before = before.first().map(|event| &event["id"]);
    let added = after.iter().take_while(|event| Some(&event["id"]) != newest_before).count();
    let expected = usize::from(case.stores != Stores::Nothing);
    ensure!(added == expected, "{added} events were stored instead of {expected}");
    if case.stores == Stores::Nothing {
        return Ok(());
    }
    let event = &after[0];
    let is_duplicate = !event["duplicate_of"].is_null();
    ensure!(is_duplicate == (case.stores == Stores::Duplicate), "stored as the wrong kind: {event}");
    let id = event["id"].as_str().context("an event without id")?;
    let stored = server.admin(Request::get(&format!("/api/v1/events/{id}/body")))?;
    ensure!(stored.message.body == body, "the stored bytes differ from the bytes sent");
    Ok(())
}

fn statuses(case: &Case) -> String {
    let all = std::iter::once(case.status).chain(case.then.iter().map(|step| step.status));
    let text = |status| if status == 0 { "closed".to_owned() } else { format!("{status}") };
    all.map(text).collect::<Vec<_>>().join(", ")
}
