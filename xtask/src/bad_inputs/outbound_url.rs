//! Destinations' URLs: `tests/bad-inputs/outbound/urls.toml`. What is refused stores nothing; what is delivered reaches no
//! address that it may not, in a network namespace where all of these are canaries.
//!
//! `${rep:TEXT*N}` is TEXT, N times.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use systems::{Hookward, Request, Setup, world};

use super::isolated::{self, Network};
use super::names::Answer;
use super::{Tally, is_chosen, read};

/// How long an attempt may take to be made and shown.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    create: Vec<Create>,
    deliver: Vec<Deliver>,
}

/// A URL that is refused when it is declared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    id: String,
    why: String,
    url: String,
    /// What the problem's detail says, so that it is refused for this reason.
    says: String,
}

/// A URL that events are sent to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deliver {
    id: String,
    why: String,
    url: String,
    /// What its declaration is answered.
    #[serde(default = "created")]
    status: u16,
    /// What a refused declaration says.
    #[serde(default)]
    says: String,
    /// Another URL of which the same has to be told.
    twin: Option<String>,
    /// Other names, and what they mean.
    #[serde(default)]
    also: BTreeMap<String, Vec<String>>,
    /// What a receiver at a public address answers to `target`, or to the URL's path.
    answer: Option<String>,
    target: Option<String>,
    /// What may not be shown.
    hides: Option<String>,
    #[serde(default)]
    steps: Vec<Step>,
}

fn created() -> u16 {
    201
}

/// One event, and what comes of its first attempt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// What the URL's host means from now on.
    answers: Vec<String>,
    outcome: String,
    #[serde(default)]
    says: String,
}

/// Runs the cases whose id contains `only`, or all of them.
pub(super) fn run(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let File { mut create, mut deliver } = read("outbound/urls.toml")?;
    create.retain(|case| is_chosen(only, &case.id));
    deliver.retain(|case| is_chosen(only, &case.id));
    let directory = tempfile::tempdir()?;
    if create.is_empty() && deliver.is_empty() {
        return Ok(());
    }
    if isolated::is_available()? {
        return isolated::within(directory.path(), |network| {
            let server = start(directory.path())?;
            for case in &create {
                tally.add(&case.id, "422", &case.why, judge_refused(&server, case, Some(network)));
            }
            for case in &deliver {
                tally.add(&case.id, &outcomes(case), &case.why, judge_delivered(&server, case, network));
            }
            ensure!(server.terminate()?.success(), "the server did not end in order");
            Ok(())
        });
    }
    let server = start(directory.path())?;
    for case in &create {
        tally.add(&case.id, "422", &case.why, judge_refused(&server, case, None));
    }
    for case in &deliver {
        tally.skip(only, &case.id, "it needs a network namespace");
    }
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

/// A server that nothing is allowed to, told of proxies that nobody may use.
fn start(directory: &std::path::Path) -> Result<Hookward> {
    let mut setup = Setup::new(directory, "")?;
    for (name, proxy) in [
        ("HTTP_PROXY", "http://127.0.0.1:3128"),
        ("http_proxy", "http://127.0.0.1:3128"),
        ("HTTPS_PROXY", "http://127.0.0.1:3128"),
        ("https_proxy", "http://127.0.0.1:3128"),
        ("ALL_PROXY", "socks5://127.0.0.1:1080"),
        ("all_proxy", "socks5://127.0.0.1:1080"),
    ] {
        setup = setup.env(name, proxy);
    }
    setup.start()
}

fn judge_refused(server: &Hookward, case: &Create, network: Option<&Network>) -> Result<()> {
    let before = server.get("/api/v1/destinations")?;
    let (status, detail) = declare(server, &case.id, &expand(&case.url)?)?;
    ensure!(status == 422, "answered {status} {detail:.300}");
    ensure!(detail.contains(&case.says), "refused for another reason: {detail:.300}");
    ensure!(server.get("/api/v1/destinations")? == before, "something was stored all the same");
    no_hits(network)
}

fn judge_delivered(server: &Hookward, case: &Deliver, network: &Network) -> Result<()> {
    let target = case.target.clone().unwrap_or_else(|| format!("/{}", case.id));
    if let Some(answer) = &case.answer {
        network.answer(&target, expand(answer)?.into_bytes());
    }
    for (name, answers) in &case.also {
        network.names.set(name, Answer::parse(answers)?);
    }
    network.names.asked();
    let (status, detail) = declare(server, &case.id, &case.url)?;
    ensure!(status == case.status, "declaring it was answered {status} {detail:.300}");
    ensure!(detail.contains(&case.says), "declaring it was answered {detail:.300}");
    if let Some(twin) = &case.twin {
        let (status, detail) = declare(server, &format!("{}-twin", case.id), twin)?;
        ensure!(status == case.status, "declaring its twin was answered {status} {detail:.300}");
    }
    let mut successes = 0;
    for (index, step) in case.steps.iter().enumerate() {
        judge_step(server, case, step, network).with_context(|| format!("step {}", index + 1))?;
        successes += usize::from(step.outcome == "success");
    }
    let expected = if case.answer.is_some() { case.steps.len() } else { successes };
    let got = network.requests(&target).len();
    ensure!(got == expected, "{got} requests came to public addresses instead of {expected}");
    let lured: Vec<String> = network.names.asked().into_iter().filter(|name| name.ends_with("lure.test")).collect();
    ensure!(lured.is_empty(), "the search list was used: {lured:?}");
    no_hits(Some(network))
}

fn judge_step(server: &Hookward, case: &Deliver, step: &Step, network: &Network) -> Result<()> {
    let host = case.url.split('/').nth(2).context("a host")?;
    network.names.set(host.split(':').next().unwrap_or(host), Answer::parse(&step.answers)?);
    let attempts = first_attempts(server, &case.id, if case.twin.is_some() { 2 } else { 1 })?;
    for attempt in &attempts {
        let (outcome, detail) = (&attempt["outcome"], attempt["detail"].as_str().unwrap_or_default());
        ensure!(*outcome == step.outcome.as_str(), "the attempt ended as {outcome}: {detail}");
        ensure!(detail.contains(&step.says), "the attempt ended for another reason: {detail}");
        ensure!(*detail == attempts[0]["detail"], "what is told differs: {attempts:?}");
        if let Some(hidden) = &case.hides {
            let shown = server.get(&format!("/api/v1/destinations/{}", case.id.to_lowercase()))?;
            ensure!(!attempt.to_string().contains(hidden), "the attempt shows it: {attempt}");
            ensure!(!shown.to_string().contains(hidden), "the destination shows it: {shown}");
        }
    }
    Ok(())
}

/// Publishes an event for the case's destinations and waits for the first attempt at each.
fn first_attempts(server: &Hookward, id: &str, count: usize) -> Result<Vec<Value>> {
    let body = json!({ "type": id.to_lowercase(), "payload": { "case": id } }).to_string();
    let request = Request::post("/api/v1/events").header("Content-Type", "application/json").body(body.as_bytes());
    let answer = server.admin(request)?;
    ensure!(answer.status == 202, "publishing was answered {} {}", answer.status, answer.text());
    let event = answer.json()["eventId"].as_str().context("an event's id")?.to_owned();
    let mut attempts = Vec::new();
    let made = || {
        attempts = attempts_of(server, &event).unwrap_or_default();
        attempts.len() == count
    };
    ensure!(world::until(PATIENCE, made), "there is no attempt after {PATIENCE:?}");
    Ok(attempts)
}

/// The first attempt of each delivery of the event.
fn attempts_of(server: &Hookward, event: &str) -> Result<Vec<Value>> {
    let mut attempts = Vec::new();
    for delivery in server.list(&format!("/api/v1/deliveries?event={event}"))? {
        let id = delivery["id"].as_str().context("a delivery's id")?;
        let mut shown = server.get(&format!("/api/v1/deliveries/{id}"))?;
        if let Some(first) = shown["attempts"].get_mut(0) {
            attempts.push(first.take());
        }
    }
    Ok(attempts)
}

/// Declares a destination named after the case, which hears events of that type only. The answer's status and its text.
fn declare(server: &Hookward, id: &str, url: &str) -> Result<(u16, String)> {
    let event_type = id.trim_end_matches("-twin").to_lowercase();
    let table = json!({ "name": id.to_lowercase(), "type": "http", "url": url, "event_types": [event_type] });
    let request = Request::post("/api/v1/destinations").header("Content-Type", "application/json");
    let answer = server.admin(request.body(table.to_string().as_bytes()))?;
    Ok((answer.status, answer.text()))
}

fn no_hits(network: Option<&Network>) -> Result<()> {
    let hits = network.map(Network::hits).unwrap_or_default();
    ensure!(hits.is_empty(), "there were connections to {hits:?}");
    Ok(())
}

fn outcomes(case: &Deliver) -> String {
    match &case.steps[..] {
        [] => case.status.to_string(),
        steps => steps.iter().map(|step| step.outcome.as_str()).collect::<Vec<_>>().join(", "),
    }
}

fn expand(text: &str) -> Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${rep:") {
        let (inside, tail) = after.split_once('}').context("a `}`")?;
        let (repeated, count) = inside.rsplit_once('*').context("`rep` is TEXT*N")?;
        out += before;
        out += &repeated.repeat(count.parse()?);
        rest = tail;
    }
    Ok(out + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_there_once_and_says_why() {
        let file: File = read("outbound/urls.toml").unwrap();
        let ids = file.create.iter().map(|case| &case.id).chain(file.deliver.iter().map(|case| &case.id));
        let mut ids: Vec<&String> = ids.collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), count), (count, 80));
        assert!(file.create.iter().all(|case| !case.why.is_empty() && !case.says.is_empty()));
    }
}
