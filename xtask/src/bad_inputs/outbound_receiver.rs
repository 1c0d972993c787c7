//! Receivers that misbehave: `tests/bad-inputs/outbound/receivers.toml`, all at once against one server. Every attempt ends as
//! it must, the further ones keep the delivery's id, nothing follows where a receiver points, and the memory stays flat.
//!
//! `${ok}`: an empty 200 · `${canary}`: a URL that nobody may call · `${gzip}`: as much of a gzip bomb as is sent at once ·
//! `${rep:TEXT*N}`: TEXT, N times

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use systems::server::repository;
use systems::{Hookward, Receiver, Request, Setup, http, world};

use super::isolated::{self, Network};
use super::names::Answer;
use super::script::{Behaviour, Script};
use super::{PEAK_KIB_MAX, Tally, is_chosen, read};
use crate::run::has_or_installs;

/// The deadline of an attempt, and the wait between two.
const TIMEOUT: &str = "1500ms";
const WAIT: &str = "1s";

/// How long a case may take.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    why: String,
    /// What is done with each connection in turn, and then from the beginning.
    #[serde(default, rename = "do")]
    behaviours: Vec<Behaviour>,
    /// What is wrong with TLS instead: `expired`, `wrong host`, `stalls`, `1.0`.
    tls: Option<String>,
    /// What each attempt of an event comes to.
    attempts: Vec<Expected>,
    /// How many events are sent, one after the other.
    #[serde(default = "one")]
    events: usize,
    /// The most that the gateway may have taken of it, in bytes, with what lies in the kernel's buffers.
    sends_at_most: Option<u64>,
    /// How many seconds lie between two requests, at least and at most.
    gap_s: Option<[u64; 2]>,
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    outcome: String,
    /// What it may end as just as well, where a race in the kernel decides.
    or: Option<String>,
    status: Option<u16>,
    /// A part of the detail.
    #[serde(default)]
    says: String,
    /// A header of the answer, as it is kept.
    says_header: Option<(String, String)>,
    excerpt_bytes: Option<usize>,
}

/// The case that is a journey and not a receiver: an event that is sent back to where it came from.
const LOOP: (&str, &str) = ("OU-182", "an event that comes back is sent on five times, and then no more");

/// Runs the cases whose id contains `only`, or all of them.
pub(super) fn run(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let File { case: mut cases } = read("outbound/receivers.toml")?;
    cases.retain(|case| is_chosen(only, &case.id));
    let is_looped = is_chosen(only, LOOP.0);
    if cases.is_empty() && !is_looped {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    if isolated::is_available()? && has_or_installs("bad-inputs", "openssl", "openssl")? {
        return isolated::within(directory.path(), |network| {
            network.names.set("receiver.test", Answer::parse(&["127.0.0.1".to_owned()])?);
            network.names.set("wrong.test", Answer::parse(&["127.0.0.1".to_owned()])?);
            all(directory.path(), &cases, is_looped, Some(network), tally)
        });
    }
    for case in cases.iter().filter(|case| case.tls.is_some()) {
        tally.skip(only, &case.id, "its certificate is for a name, which needs a network namespace");
    }
    cases.retain(|case| case.tls.is_none());
    all(directory.path(), &cases, is_looped, None, tally)
}

fn all(directory: &Path, cases: &[Case], is_looped: bool, network: Option<&Network>, tally: &mut Tally) -> Result<()> {
    let server = start(directory)?;
    let canary = Receiver::start(|_| 200)?;
    let judged: Vec<Result<()>> = std::thread::scope(|scope| {
        let (server, canary) = (&server, &canary);
        let begin = |(number, case)| scope.spawn(move || judge(server, case, number, canary));
        let running: Vec<_> = cases.iter().enumerate().map(begin).collect();
        running.into_iter().map(|one| one.join().expect("no case panics")).collect()
    });
    for (case, judged) in cases.iter().zip(judged) {
        let outcomes = case.attempts.iter().map(|expected| expected.outcome.as_str()).collect::<Vec<_>>().join(", ");
        tally.add(&case.id, &outcomes, &case.why, judged);
    }
    if is_looped {
        tally.add(LOOP.0, "unusable", LOOP.1, judge_loop(&server));
    }
    ensure!(canary.count() == 0, "something was sent to where a receiver pointed");
    let hits = network.map(Network::hits).unwrap_or_default();
    ensure!(hits.is_empty(), "there were connections to {hits:?}");
    let health = server.public(&Request::get("/healthz"))?;
    ensure!(health.status == 200, "afterwards /healthz is {}", health.status);
    let peak = world::peak_kib(server.pid())?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    println!("bad-inputs: peak memory {} MiB", peak / 1024);
    ensure!(peak <= PEAK_KIB_MAX / 2, "the server grew to {peak} KiB, at most {}", PEAK_KIB_MAX / 2);
    Ok(())
}

fn start(directory: &Path) -> Result<Hookward> {
    let authority = repository("crates/engine/tests/it/tls/root.pem");
    let config = format!(
        "[egress]\nallow = [\"127.0.0.0/8\"]\nextra_roots = {:?}\n\n[[source]]\nname = \"loop\"\nunsigned = true\n",
        authority.display().to_string()
    );
    Setup::new(directory, &config)?.start()
}

fn judge(server: &Hookward, case: &Case, number: usize, canary: &Receiver) -> Result<()> {
    let script = Script::start(&case.behaviours, &canary.url("/"))?;
    let (url, _peer) = match &case.tls {
        None => (format!("http://{}/{}", script.address(), case.id), None),
        Some(tls) => over_tls(tls, 7100 + u16::try_from(number)?)?,
    };
    let waits = vec![WAIT; case.attempts.len() - 1];
    let table = json!({
        "name": case.id.to_lowercase(), "type": "http", "url": url, "event_types": [case.id],
        "timeout": TIMEOUT, "retry": { "waits": waits, "jitter_percent": 0 },
    });
    make(server, "/destinations", &table, 201)?;
    for event in 1..=case.events {
        judge_event(server, case).with_context(|| format!("event {event}"))?;
    }
    let arrivals = script.arrivals();
    if let Some([least, most]) = case.gap_s {
        for pair in arrivals.windows(2) {
            let gap = pair[1].at.duration_since(pair[0].at).as_secs_f64();
            ensure!(gap > least as f64 - 0.1 && gap < most as f64, "{gap:.1} s lay between two requests");
        }
    }
    if let Some(most) = case.sends_at_most {
        ensure!(script.sent() <= most, "{} bytes were taken", script.sent());
    }
    let mut ids: Vec<&str> = arrivals.iter().map(|arrival| arrival.delivery.as_str()).collect();
    ids.dedup();
    ensure!(ids.len() <= case.events, "attempts of {} events came under the ids {ids:?}", case.events);
    Ok(())
}

/// Publishes an event and holds its attempts against what is expected.
fn judge_event(server: &Hookward, case: &Case) -> Result<()> {
    let published = make(server, "/events", &json!({ "type": case.id, "payload": { "case": case.id } }), 202)?;
    let event = published["eventId"].as_str().context("an event's id")?;
    let mut attempts: Vec<Value> = Vec::new();
    let all_made = || {
        attempts = attempts_of(server, event).unwrap_or_default();
        attempts.len() >= case.attempts.len()
    };
    ensure!(world::until(PATIENCE, all_made), "only {} attempts after {PATIENCE:?}: {attempts:?}", attempts.len());
    ensure!(attempts.len() == case.attempts.len(), "there were {} attempts", attempts.len());
    for (index, (attempt, expected)) in attempts.iter().zip(&case.attempts).enumerate() {
        check(attempt, expected).with_context(|| format!("attempt {}", index + 1))?;
    }
    Ok(())
}

fn check(attempt: &Value, expected: &Expected) -> Result<()> {
    let detail = attempt["detail"].as_str().unwrap_or_default();
    let outcome = attempt["outcome"].as_str().unwrap_or_default();
    let is_expected = outcome == expected.outcome || expected.or.as_deref() == Some(outcome);
    ensure!(is_expected, "it ended as {outcome}: {detail}");
    ensure!(detail.contains(&expected.says), "it ended for another reason: {detail}");
    if let Some(status) = expected.status {
        ensure!(attempt["status"] == status, "its status is {}", attempt["status"]);
    }
    if let Some(bytes) = expected.excerpt_bytes {
        let kept = attempt["excerpt"].as_str().unwrap_or_default().len();
        ensure!(kept == bytes, "{kept} bytes of the body were kept");
    }
    if let Some(header) = &expected.says_header {
        let kept = attempt["exchange"]["response_headers"].as_array().context("an exchange")?;
        ensure!(kept.contains(&json!([header.0, header.1])), "its answer's headers are {kept:?}");
    }
    // A second and a half, and what a busy machine adds.
    let took = attempt["duration_ms"].as_u64().unwrap_or(u64::MAX);
    ensure!(took < 10_000, "it took {took} ms");
    Ok(())
}

/// The attempts of the event's only delivery.
fn attempts_of(server: &Hookward, event: &str) -> Result<Vec<Value>> {
    let deliveries = server.list(&format!("/api/v1/deliveries?event={event}"))?;
    let id = deliveries.first().and_then(|delivery| delivery["id"].as_str()).context("no delivery yet")?;
    match server.get(&format!("/api/v1/deliveries/{id}"))?["attempts"].take() {
        Value::Array(attempts) => Ok(attempts),
        other => bail!("attempts are {other}"),
    }
}

fn make(server: &Hookward, path: &str, body: &Value, status: u16) -> Result<Value> {
    let request = Request::post(&format!("/api/v1{path}")).header("Content-Type", "application/json");
    let answer = server.admin(request.body(body.to_string().as_bytes()))?;
    ensure!(answer.status == status, "POST {path}: {} {}", answer.status, answer.text());
    Ok(answer.json())
}

/// A program that ends with the case.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A server whose TLS is not as it should be, and its URL.
fn over_tls(what: &str, port: u16) -> Result<(String, Option<Peer>)> {
    let tls = |name: &str| repository(&format!("crates/engine/tests/it/tls/{name}")).display().to_string();
    let (host, certificate, more): (_, _, &[&str]) = match what {
        "expired" => ("receiver.test", "expired.pem", &[]),
        "wrong host" => ("wrong.test", "server.pem", &[]),
        "1.0" => ("receiver.test", "server.pem", &["-tls1", "-cipher", "ALL:@SECLEVEL=0"]),
        "stalls" => {
            let listener = TcpListener::bind(("127.0.0.1", port))?;
            // Connections are made by the kernel, and nobody takes them.
            std::thread::spawn(move || {
                let _open = listener;
                world::pause(PATIENCE);
            });
            return Ok((format!("https://receiver.test:{port}/"), None));
        }
        other => bail!("nothing is known to be wrong with TLS called `{other}`"),
    };
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-www", "-accept", &format!("127.0.0.1:{port}")]);
    command.args(["-cert", &tls(certificate), "-key", &tls("server.key")]).args(more);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let peer = Peer(child);
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    ensure!(world::until(Duration::from_secs(20), listens), "openssl does not listen");
    Ok((format!("https://{host}:{port}/"), Some(peer)))
}

/// A destination that posts what it gets back to the source it came from, a little longer each time.
fn judge_loop(server: &Hookward) -> Result<()> {
    let (public, relayed) = (server.public, Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&relayed);
    let relay = Receiver::start(move |received| {
        count.fetch_add(1, Ordering::SeqCst);
        let hop = received.header("hookward-hop").unwrap_or_default();
        let longer = [received.body(), b" "].concat();
        let back = Request::post("/in/loop").header("Hookward-Hop", hop).body(&longer);
        http::send(public, &back).map_or(502, |answer| answer.status)
    })?;
    let table = json!({
        "name": "relay", "type": "http", "url": relay.url("/"), "sources": ["loop"], "retry": { "waits": [] },
    });
    make(server, "/destinations", &table, 201)?;
    ensure!(server.public(&Request::post("/in/loop").body(b"round"))?.status == 202, "the first was not taken");
    let mut ended = Vec::new();
    let stopped = || {
        let exhausted = server.list("/api/v1/deliveries?destination=relay&state=exhausted");
        ended = exhausted.unwrap_or_default();
        !ended.is_empty()
    };
    ensure!(world::until(PATIENCE, stopped), "it goes round and round: {} times", relayed.load(Ordering::SeqCst));
    let id = ended[0]["id"].as_str().context("a delivery's id")?;
    let attempt = server.get(&format!("/api/v1/deliveries/{id}"))?["attempts"][0].take();
    ensure!(attempt["outcome"] == "unusable", "it ended otherwise: {attempt}");
    let detail = attempt["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("already passed 5 gateways"), "it ended for another reason: {detail}");
    let count = relayed.load(Ordering::SeqCst);
    ensure!(count == 5, "it went round {count} times");
    Ok(())
}
