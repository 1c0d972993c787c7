//! Pages of others in the same browser: what they lead to, and what they send, changes nothing.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use systems::{Receiver, Reply, Request, github, world};

use super::super::rig::{PATIENCE, Rig, SECRET};
use super::stage::{Stage, Who, form};

/// Pages that have every kind of form.
const PAGES: [&str; 10] = [
    "/dashboard/events",
    "/dashboard/sources/github",
    "/dashboard/sources/github/secrets/rotate",
    "/dashboard/sources/github/secrets/set",
    "/dashboard/destinations/ci",
    "/dashboard/keys/new",
    "/dashboard/users/new",
    "/dashboard/settings",
    "/dashboard/encryption",
    "/dashboard/new-scheme",
];

/// An event with a delivery, so that there is something to send again.
fn event(rig: &Rig, delivery: &str) -> Result<String> {
    let answer = rig.server.public(&github::push("/in/github", SECRET.as_bytes(), delivery, delivery.as_bytes()))?;
    ensure!(answer.status == 202, "it was answered {} {}", answer.status, answer.text());
    Ok(answer.json()["eventId"].as_str().context("an event's id")?.to_owned())
}

/// Everything that was ever done, but for signing in: what changed is in here.
fn done(rig: &Rig) -> Result<usize> {
    let rows = rig.server.list("/api/v1/audit")?;
    Ok(rows.iter().filter(|row| row["action"] != "user.login").count())
}

/// A page at another address, under either name of this machine; with a policy of its own, if it has one.
fn elsewhere(html: String, policy: Option<&'static str>) -> Result<Receiver> {
    let page = move |_: &systems::Received| {
        let policy = policy.map(|policy| ("Content-Security-Policy".to_owned(), policy.to_owned()));
        let kind = ("Content-Type".to_owned(), "text/html".to_owned());
        Reply { status: 200, headers: [kind].into_iter().chain(policy).collect(), body: html.clone().into_bytes() }
    };
    Ok(Receiver::start_with(page)?)
}

/// Every address that a form is sent to, opened: by hand, by a picture on another site, and by a link there.
pub(super) fn addresses_change_nothing(stage: &mut Stage) -> Result<()> {
    let rig = &stage.rig;
    let event = event(rig, "DB-022")?;
    let mut actions = BTreeSet::new();
    for page in PAGES.iter().map(|page| (*page).to_owned()).chain([format!("/dashboard/events/{event}")]) {
        rig.open(&page)?;
        let found =
            "return [...document.querySelectorAll('form[method=post]')].map(form => form.getAttribute('action'))";
        let found = rig.browser.run(found, &[])?;
        actions.extend(found.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    }
    ensure!(actions.len() >= 15, "only {actions:?}");
    let (who, before) = (Who::of(rig)?, done(rig)?);
    for action in &actions {
        let answer = who.send(rig, Request::get(action).header("Sec-Fetch-Site", "cross-site"))?;
        // There may be a page under the same address, which asks first.
        ensure!([200, 404, 405].contains(&answer.status), "GET {action}: {}", answer.status);
    }
    let picture = |action: &String| format!("<img src=\"{}{action}\">", rig.origin);
    let pictures: String = actions.iter().map(picture).collect();
    let link = format!("<a id=\"go\" href=\"{}/dashboard/events/{event}/redeliver\">go</a>", rig.origin);
    let page = elsewhere(format!("<!doctype html><title>other</title>{pictures}{link}"), None)?;
    rig.browser.open(&format!("http://localhost:{}/", page.address().port()))?;
    rig.browser.click("#go")?;
    rig.browser.wait_for_text("does not take that method")?;
    ensure!(done(rig)? == before, "something was done");
    forget(rig)
}

/// With the cookie, with the very token of the session: what does not come from a page of the gateway is refused.
pub(super) fn forms_are_refused(stage: &mut Stage) -> Result<()> {
    let rig = &stage.rig;
    let event = event(rig, "DB-024")?;
    rig.open(&format!("/dashboard/events/{event}"))?;
    let token = rig.browser.run("return document.querySelector('[name=token]').value", &[])?;
    let token = token.as_str().context("a token")?.to_owned();
    let path = format!("/dashboard/events/{event}/redeliver");
    let who = Who::of(rig)?;
    let before = done(rig)?;
    let own = form(&path, &[("token", token.clone())]);
    let from = |name: &str, value: &str| {
        let mut request = own.clone();
        request.headers.retain(|(header, _)| header != "Sec-Fetch-Site");
        request.header(name, value)
    };
    let others = [
        ("Origin", "null"),
        ("Origin", "https://evil.example"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ];
    for (name, value) in others {
        let answer = who.send(rig, from(name, value))?;
        ensure!(answer.status == 403, "`{name}: {value}` was answered {}", answer.status);
    }
    // A page on another port is of the same site, so that a browser sends the cookie along; one in a sandbox has no origin.
    let fields = format!(
        "<form method=\"post\" action=\"{}{path}\"><input name=\"token\" value=\"{token}\"></form>",
        rig.origin
    );
    let send =
        format!("<!doctype html>{fields}<script>onload = () => setTimeout(() => document.forms[0].submit())</script>");
    let boxed = format!(
        "<!doctype html><iframe sandbox=\"allow-scripts allow-forms\" srcdoc=\"{}\" onload=\"window.loads = (window.loads ?? 0) + 1\">",
        send.replace('"', "&quot;")
    );
    let open = elsewhere(send.clone(), None)?;
    let sandbox = elsewhere(send, Some("sandbox allow-scripts allow-forms"))?;
    for (page, wanted) in [(open, &[403][..]), (sandbox, &[303, 403])] {
        rig.browser.traffic()?;
        rig.browser.open(&page.url("/"))?;
        let mut answered = Vec::new();
        let sent = || {
            let traffic = rig.browser.traffic().unwrap_or_default();
            answered.extend(traffic.answered.into_iter().filter(|(url, _)| url.ends_with("/redeliver")));
            !answered.is_empty()
        };
        ensure!(world::until(PATIENCE, sent), "nothing was sent");
        ensure!(answered.iter().all(|(_, status)| wanted.contains(status)), "it was answered {answered:?}");
    }
    let boxed = elsewhere(boxed, None)?;
    rig.browser.open(&boxed.url("/"))?;
    let answered = || rig.browser.run("return window.loads > 1", &[]).is_ok_and(|loads| loads == true);
    ensure!(world::until(PATIENCE, answered), "the frame sent nothing");
    ensure!(done(rig)? == before, "it was sent again");
    let answer = who.send(rig, own)?;
    ensure!(answer.status == 303 && done(rig)? > before, "one of our own was answered {}", answer.status);
    forget(rig)
}

/// What a page elsewhere asked for, and was refused, is not the gateway's.
fn forget(rig: &Rig) -> Result<()> {
    rig.open("/dashboard")?;
    rig.browser.console()?;
    rig.browser.traffic().map(drop)
}
