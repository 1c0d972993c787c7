//! What strangers write, wherever a page shows it: text, and nothing else. What they do is in `acts`.

mod acts;
mod elsewhere;
mod stage;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use systems::{Receiver, Reply, Request, database, github, http, world};

use super::rig::{EMAIL, PASSWORD, Rig, SECRET};
use crate::bad_inputs::read;
use acts::ACTS;
use stage::{Stage, escaped};

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
    value: String,
}

/// Puts every value of the corpus into every place, and opens every page that shows one.
pub(super) fn run() -> Result<()> {
    let File { case: cases } = read("dashboard/stored.toml")?;
    let directory = tempfile::tempdir()?;
    let echo = |received: &systems::Received| {
        let told = String::from_utf8_lossy(received.body()).into_owned();
        let mut reply = Reply::json(500, &json!({ "told": told }));
        reply.headers.push(("X-Told".to_owned(), received.header("x-github-told").unwrap_or_default().to_owned()));
        reply
    };
    let receiver = Receiver::start_with(echo)?;
    let mut stage = Stage::start(directory.path(), &receiver)?;
    let mut failed = 0;
    let mut tell = |id: &str, why: &str, verdict: Result<()>| {
        println!("dashboard: {} {id}: {why}", if verdict.is_ok() { "ok    " } else { "FAILED" });
        if let Err(problem) = verdict {
            println!("           {problem:#}");
            failed += 1;
        }
    };
    stage.rig.sign_in()?;
    for case in &cases {
        tell(&case.id, &case.why, judge(&stage.rig, case));
    }
    for (id, why, act) in ACTS {
        if id == acts::MOVES_THE_CLOCK && database::is_postgres() {
            println!("dashboard: SKIPPED on PostgreSQL {id}: {why}");
            continue;
        }
        stage.rig.sign_in()?;
        stage.rig.browser.console()?;
        tell(id, why, act(&mut stage).and_then(|()| acts::is_well(&stage.rig, id)));
    }
    ensure!(failed == 0, "{failed} of {} cases failed", cases.len() + ACTS.len());
    ensure!(stage.rig.server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

fn judge(rig: &Rig, case: &Case) -> Result<()> {
    // A header holds no line ends and nothing below a space.
    let header: String = case.value.chars().filter(|letter| !letter.is_control() && letter.is_ascii()).collect();
    let body = json!({ "ref": case.value, "repository": { "full_name": case.value } }).to_string();
    let push = github::push("/in/github", SECRET.as_bytes(), &header, body.as_bytes());
    let push = push.header("User-Agent", &header).header("X-GitHub-Told", &header);
    let answer = rig.server.public(&push)?;
    ensure!(answer.status == 202, "it was answered {} {}", answer.status, answer.text());
    let event = answer.json()["eventId"].as_str().context("an event's id")?.to_owned();
    let refused = github::push("/in/github", b"another secret", &header, body.as_bytes()).header("User-Agent", &header);
    ensure!(rig.server.public(&refused)?.status == 401, "a wrong signature was believed");
    let ended = || {
        let deliveries = rig.server.list(&format!("/api/v1/deliveries?event={event}")).unwrap_or_default();
        deliveries.first().is_some_and(|delivery| delivery["state"] == "exhausted")
    };
    ensure!(world::until(Duration::from_secs(30), ended), "its delivery did not end");
    written(rig, case, &header)?;
    let asked = escaped(&case.value);
    let pages = [
        "/dashboard".to_owned(),
        "/dashboard/events".to_owned(),
        format!("/dashboard/events/{event}"),
        "/dashboard/sources/github".to_owned(),
        "/dashboard/destinations/ci".to_owned(),
        "/dashboard/schemes".to_owned(),
        "/dashboard/schemes/ours".to_owned(),
        "/dashboard/schemes/ours/edit".to_owned(),
        "/dashboard/new-source".to_owned(),
        "/dashboard/audit".to_owned(),
        "/dashboard/settings".to_owned(),
        // What stands in an address stands in the fields of its page.
        format!("/dashboard/events?type={asked}&id={asked}&source={asked}&body={asked}"),
        format!("/dashboard/audit?actor={asked}&action={asked}"),
        format!("/dashboard/confirm?next={asked}"),
    ];
    let mut shown = Vec::new();
    for page in pages.iter().map(String::as_str) {
        rig.open(page)?;
        // What cannot be asked for is refused, which a browser notes.
        let told = rig.browser.console()?;
        let refused = |line: &String| page.contains('?') && line.contains("the server responded with a status of 422");
        ensure!(told.iter().all(refused), "the console of {page} says {told:?}");
        rig.is_quiet().with_context(|| page.to_owned())?;
        let ran = rig.browser.run("return window.__pwned !== undefined || parent.__pwned !== undefined", &[])?;
        ensure!(ran == false, "{page}: it ran");
        let made = "return document.querySelectorAll('main script, main iframe, main img:not([src^=\"/dashboard/assets/\"]), main [onload], main [onerror], \
                    main a[href^=\"javascript:\"], main a[href^=\"data:\"]').length";
        ensure!(rig.browser.run(made, &[])? == 0, "{page}: it became markup");
        if rig.browser.run("return document.body.textContent", &[])?.as_str().unwrap_or_default().contains(&*header) {
            shown.push(page.split('?').next().unwrap_or_default());
        }
    }
    for page in [pages[2].as_str(), "/dashboard/audit", "/dashboard/settings"] {
        ensure!(shown.contains(&page), "{page} does not show it; {shown:?} do");
    }
    Ok(())
}

/// What people write: why they look at a secret, and what their browser is called.
fn written(rig: &Rig, case: &Case, header: &str) -> Result<()> {
    rig.put_scheme(&case.value)?;
    rig.post("/sources/github/secrets/1/reveal", &json!({ "reason": case.value }))?;
    let login = Request::post("/api/v1/login").header("Content-Type", "application/json").header("User-Agent", header);
    let login = login.body(json!({ "email": EMAIL, "password": PASSWORD }).to_string().as_bytes());
    let answer = http::send(rig.server.admin, &login)?;
    ensure!(answer.status == 200, "signing in: {} {}", answer.status, answer.text());
    Ok(())
}
