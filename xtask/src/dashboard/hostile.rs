//! What strangers write, wherever a page shows it: text, and nothing else.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use systems::{Receiver, Reply, Size, github, world};

use super::rig::{Rig, SECRET};
use crate::bad_inputs::read;

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
    let rig = Rig::start(directory.path(), &receiver)?;
    rig.browser.resize(Size { width: 1440, height: 900 })?;
    rig.sign_in()?;
    let mut failed = 0;
    for case in &cases {
        let verdict = judge(&rig, case);
        let mark = if verdict.is_ok() { "ok    " } else { "FAILED" };
        println!("dashboard: {mark} {}: {}", case.id, case.why);
        if let Err(problem) = verdict {
            println!("           {problem:#}");
            failed += 1;
        }
    }
    ensure!(failed == 0, "{failed} of {} cases failed", cases.len());
    ensure!(rig.server.terminate()?.success(), "the gateway did not end in order");
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
    let pages = [
        "/dashboard".to_owned(),
        "/dashboard/events".to_owned(),
        format!("/dashboard/events/{event}"),
        "/dashboard/sources/github".to_owned(),
        "/dashboard/destinations/ci".to_owned(),
        "/dashboard/audit".to_owned(),
    ];
    let mut shown = false;
    for page in &pages {
        rig.open(page)?;
        rig.is_quiet().with_context(|| page.clone())?;
        let ran = rig.browser.run("return window.__pwned !== undefined || parent.__pwned !== undefined", &[])?;
        ensure!(ran == false, "{page}: it ran");
        let made = "return document.querySelectorAll('main script, main iframe, main img, main [onload], main [onerror], \
                    main a[href^=\"javascript:\"], main a[href^=\"data:\"]').length";
        ensure!(rig.browser.run(made, &[])? == 0, "{page}: it became markup");
        shown |=
            rig.browser.run("return document.body.textContent", &[])?.as_str().unwrap_or_default().contains(&*header);
    }
    ensure!(shown, "no page shows it at all");
    Ok(())
}
