//! What a person does in a first hour: comes in by the link that was printed, looks at a secret, sees a first request arrive,
//! finds out why a delivery failed, sends it again, rotates the secret, and finds all of it in the audit log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};
use systems::{Browser, Hookward, Receiver, Setup, Size, github};

use super::rig::{self, EMAIL, PASSWORD, SECRET};

/// Goes the whole way.
pub(super) fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let status = Arc::new(AtomicU16::new(500));
    let answer = Arc::clone(&status);
    let receiver = Receiver::start(move |_| answer.load(Ordering::SeqCst))?;
    let setup = Setup::new(directory.path(), &rig::config(&receiver))?.env("SECRET", SECRET);
    let server = setup.start()?;
    let browser = Browser::start(directory.path())?;
    browser.resize(Size { width: 1440, height: 900 })?;
    let origin = format!("http://{}", server.admin);
    let log = std::fs::read_to_string(setup.log())?;
    let link =
        log.split_whitespace().find(|word| word.contains("/dashboard/first-run/")).context("no link was printed")?;
    come_in(&browser, &origin, link)?;
    look_at_the_secret(&browser, &origin)?;
    let event = first_request(&server, &browser)?;
    deliver_again(&browser, &status)?;
    rotate(&server, &browser, &origin)?;
    audit(&browser, &origin, &event)?;
    rig::is_quiet(&browser, &origin)?;
    println!("dashboard: a first hour, from the printed link to the audit log");
    ensure!(server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

fn come_in(browser: &Browser, origin: &str, link: &str) -> Result<()> {
    browser.open(link)?;
    let url = browser.url()?;
    ensure!(url == format!("{origin}/dashboard/first-run"), "the link stays in the address: {url}");
    browser.fill("#email", EMAIL)?;
    browser.fill("[name=password]", PASSWORD)?;
    browser.fill("[name=repeated]", PASSWORD)?;
    browser.click("form button.first")?;
    browser.wait_for("nav.side")?;
    // It is good once.
    browser.open(link)?;
    browser.wait_for_text("This link is not good")?;
    // The page that says so is a 403, which a browser notes.
    browser.console().map(drop)
}

fn look_at_the_secret(browser: &Browser, origin: &str) -> Result<()> {
    browser.open(&format!("{origin}/dashboard/sources/github"))?;
    browser.wait_for_text("Waiting for the first request")?;
    let html = browser.run("return document.documentElement.outerHTML", &[])?;
    ensure!(!html.as_str().unwrap_or_default().contains(SECRET), "the secret is in the page before anybody asked");
    browser.click("#secrets details summary")?;
    browser.fill("#reason-1", "setting up the sender")?;
    browser.click("#secrets details form button.first")?;
    browser.wait_for("#value")?;
    let shown = browser.text_of("#value")?;
    ensure!(shown == SECRET, "`{shown}` is shown");
    ensure!(browser.url()? == format!("{origin}/dashboard/sources/github"), "it led to {}", browser.url()?);
    Ok(())
}

/// A signed request turns the page green by itself. Gives the event's id.
fn first_request(server: &Hookward, browser: &Browser) -> Result<String> {
    let push = github::push("/in/github", SECRET.as_bytes(), "first", &github::push_body(1));
    let answer = server.public(&push)?;
    ensure!(answer.status == 202, "it was answered {} {}", answer.status, answer.text());
    browser.wait_for_text("It works")?;
    browser.click("[data-live] a[href^=\"/dashboard/events/\"]")?;
    browser.wait_for_text("Timeline")?;
    Ok(answer.json()["eventId"].as_str().context("an event's id")?.to_owned())
}

/// The delivery failed; once the receiver is well it is sent again from its page.
fn deliver_again(browser: &Browser, status: &AtomicU16) -> Result<()> {
    browser.wait_for(".owed .badge.bad")?;
    ensure!(browser.text()?.contains("500"), "nothing says why it failed: {}", browser.text()?);
    status.store(200, Ordering::SeqCst);
    browser.click("[data-again]")?;
    browser.wait_for(".owed .badge.ok")
}

fn rotate(server: &Hookward, browser: &Browser, origin: &str) -> Result<()> {
    browser.open(&format!("{origin}/dashboard/sources/github"))?;
    browser.click("#secrets [data-dialog=rotate]")?;
    browser.wait_for("dialog#rotate[open]")?;
    let effect = browser.text_of("dialog#rotate .notice")?;
    ensure!(effect.contains("1 delivery"), "the dialog does not say what it means: {effect}");
    browser.click("dialog#rotate button.first")?;
    browser.wait_for_text("Version 2")?;
    let push = github::push("/in/github", SECRET.as_bytes(), "second", &github::push_body(2));
    let answer = server.public(&push)?;
    ensure!(answer.status == 202, "in the grace the old secret was answered {} {}", answer.status, answer.text());
    Ok(())
}

fn audit(browser: &Browser, origin: &str, event: &str) -> Result<()> {
    browser.open(&format!("{origin}/dashboard/audit"))?;
    let text = browser.text()?;
    for action in ["secret.reveal", "secret.rotate", "event.redeliver", "user.create"] {
        ensure!(text.contains(action), "the audit log does not say `{action}` of {event}: {text}");
    }
    Ok(())
}
