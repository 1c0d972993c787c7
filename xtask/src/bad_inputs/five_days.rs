//! OR-025: a receiver that answers 500 for five days, on a clock that moves. Its destination is disabled with a notice,
//! what it is owed by then is held, and everything that failed goes out again once it is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::{Hookward, MovableClock, Receiver, Request, Setup, world};

use super::{Tally, is_chosen};
use crate::run::has_or_installs;

const ID: &str = "OR-025";
const WHY: &str = "a receiver that answers 500 for five days is disabled, and loses nothing";

const DAY: Duration = Duration::from_secs(86_400);
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the case when it is asked for.
pub(super) fn run(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    if !is_chosen(only, ID) {
        return Ok(());
    }
    if systems::database::is_postgres() {
        tally.skip(only, ID, "nodes follow their database's clock, which does not move");
        return Ok(());
    }
    if !has_or_installs("bad-inputs", "faketime", "faketime")? {
        tally.skip(only, ID, "it needs a clock that moves");
        return Ok(());
    }
    tally.add(ID, "500", WHY, judge());
    Ok(())
}

fn judge() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut clock = MovableClock::new(directory.path())?;
    let status = Arc::new(AtomicU16::new(500));
    let answer = Arc::clone(&status);
    let receiver = Receiver::start(move |_| answer.load(Ordering::SeqCst))?;
    let config = format!(
        "[[destination]]\nname = \"ill\"\ntype = \"http\"\nurl = \"{}\"\nevent_types = [\"day\"]\nbreaker = false\n\
         allow_addresses = [\"127.0.0.0/8\"]\nretry = {{ waits = [] }}\n",
        receiver.url("/")
    );
    let mut setup = Setup::new(directory.path(), &config)?;
    for (name, value) in clock.environment() {
        setup = setup.env(name, &value);
    }
    let server = setup.start()?;
    let mut events = Vec::new();
    for day in 0..=5 {
        ensure!(state(&server)? == "active", "it was disabled after {day} days");
        events.push(publish(&server)?);
        let failed = || receiver.count() == events.len() && is(&server, &events[events.len() - 1], "exhausted");
        ensure!(world::until(PATIENCE, failed), "the attempt of day {day} did not end");
        clock.advance(DAY)?;
    }
    let disabled = || state(&server).is_ok_and(|state| state == "disabled");
    ensure!(world::until(PATIENCE, disabled), "after five days of failures it is still {}", state(&server)?);
    let told = || server.list("/api/v1/events?type=hookward.destination.disabled").is_ok_and(|told| told.len() == 1);
    ensure!(world::until(PATIENCE, told), "nobody was told");
    let held = publish(&server)?;
    ensure!(world::until(PATIENCE, || is(&server, &held, "held")), "what it is owed then is not held");
    status.store(200, Ordering::SeqCst);
    post(&server, "/destinations/ill/resume", 200)?;
    for event in &events {
        post(&server, &format!("/events/{event}/redeliver"), 202)?;
    }
    events.push(held);
    let all_delivered = || events.iter().all(|event| is(&server, event, "delivered"));
    ensure!(world::until(PATIENCE, all_delivered), "not everything went out once it was well");
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

fn state(server: &Hookward) -> Result<String> {
    let state = server.get("/api/v1/destinations/ill")?["state"].take();
    Ok(state.as_str().context("a destination has a state")?.to_owned())
}

fn publish(server: &Hookward) -> Result<String> {
    let request = Request::post("/api/v1/events").header("Content-Type", "application/json");
    let answer = server.admin(request.body(json!({ "type": "day", "payload": 1 }).to_string().as_bytes()))?;
    ensure!(answer.status == 202, "publishing: {} {}", answer.status, answer.text());
    Ok(answer.json()["eventId"].as_str().context("an event's id")?.to_owned())
}

/// Whether the newest delivery of an event is in this state.
fn is(server: &Hookward, event: &str, state: &str) -> bool {
    let deliveries = server.list(&format!("/api/v1/deliveries?event={event}")).unwrap_or_default();
    deliveries.first().map(|delivery| &delivery["state"]) == Some(&Value::from(state))
}

fn post(server: &Hookward, path: &str, status: u16) -> Result<()> {
    let answer = server.admin(Request::post(&format!("/api/v1{path}")).header("Content-Type", "application/json"))?;
    ensure!(answer.status == status, "POST {path}: {} {}", answer.status, answer.text());
    Ok(())
}
