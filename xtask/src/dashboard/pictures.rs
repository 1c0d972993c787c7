//! The pictures of the README: the main pages with something to see on them, in the light and in the dark.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use systems::{Receiver, Size, github, world};

use super::rig::{Rig, SECRET};
use crate::run::root;

const WINDOW: Size = Size { width: 1280, height: 860 };

/// Writes `docs/pictures/PAGE-THEME.png`.
pub(super) fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    // One in five deliveries fails, as somebody's do.
    let receiver = Receiver::start(|received| if received.body().len().is_multiple_of(5) { 503 } else { 200 })?;
    let rig = Rig::start(directory.path(), &receiver)?;
    let event = fill(&rig)?;
    rig.browser.resize(WINDOW)?;
    rig.sign_in()?;
    let pages = [
        ("overview", "/dashboard?span=1h".to_owned()),
        ("events", "/dashboard/events".to_owned()),
        ("event", format!("/dashboard/events/{event}")),
        ("source", "/dashboard/sources/github".to_owned()),
    ];
    let place = root().join("docs/pictures");
    std::fs::create_dir_all(&place)?;
    for (name, path) in &pages {
        for theme in ["light", "dark"] {
            rig.browser.prefer(theme)?;
            rig.open(path)?;
            rig.browser.wait_for("main h1")?;
            std::fs::write(place.join(format!("{name}-{theme}.png")), rig.browser.screenshot()?)?;
        }
    }
    println!("dashboard: {} pictures in docs/pictures", pages.len() * 2);
    ensure!(rig.server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

/// Something to see. Gives the id of an event whose delivery failed.
fn fill(rig: &Rig) -> Result<String> {
    let kinds = ["push", "pull_request", "issues", "release", "check_run"];
    for number in 0..48_usize {
        let body = json!({
            "ref": "refs/heads/main", "repository": { "full_name": "acme/shop" }, "pusher": { "name": "ana" },
            "note": "x".repeat(number * 7 % 40),
        });
        let body = body.to_string();
        let key = if number % 9 == 8 { "a secret that was rotated" } else { SECRET };
        let id = format!("72d3162e-cc78-11e3-81ab-4c9367dc{:04}", number - usize::from(number % 11 == 10));
        let event = github::event(kinds[number % 5], "/in/github", key.as_bytes(), &id, body.as_bytes());
        rig.server.public(&event)?;
    }
    let mut failed = None;
    let ended = || {
        let exhausted = rig.server.list("/api/v1/deliveries?state=exhausted").unwrap_or_default();
        failed = exhausted.first().and_then(|delivery| Some(delivery["event"].as_str()?.to_owned()));
        let outstanding = rig.server.list("/api/v1/deliveries?state=pending").unwrap_or_default();
        failed.is_some() && outstanding.is_empty()
    };
    world::until(Duration::from_secs(30), ended);
    failed.context("no delivery failed")
}
