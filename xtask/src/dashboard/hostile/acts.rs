//! What is done to the dashboard: forms from elsewhere, sessions that are planted or kept, guesses at passwords, looks at a
//! secret without a proof, paths out of the files. Each act is driven against a running gateway.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::github::{self, push_body};
use systems::{Hookward, Request, Response, Setup, http, world};

use super::super::rig::{EMAIL, PASSWORD, Rig, SECRET};
use super::elsewhere;
use super::stage::{Stage, Who};

/// An act, and what it must come to.
type Act = fn(&mut Stage) -> Result<()>;

/// The act that moves the clock, which only a gateway with a clock of its own goes by: nodes follow their database's.
pub(super) const MOVES_THE_CLOCK: &str = "DB-036";

/// Every act: its id in the corpus, what must hold, how it is done. The last moves the clock.
pub(super) const ACTS: [(&str, &str, Act); 11] = [
    ("DB-020", "a body is saved, never shown", body_is_saved),
    ("DB-022", "nothing is changed by opening an address", elsewhere::addresses_change_nothing),
    ("DB-024", "a form from another page is refused, in a sandbox as well", elsewhere::forms_are_refused),
    ("DB-026", "a session that was planted is worth nothing", planted_session),
    ("DB-027", "a session that is over stays over", sessions_end),
    ("DB-028", "a cookie is for this host, over TLS, and for no script", cookie_flags),
    ("DB-029", "a thousand guesses at one password are ten, and its owner still comes in", guesses),
    ("DB-030", "a thousand guesses from one address are twenty, and others come in", spray),
    ("DB-035", "a secret that was shown is gone with the page, and after its time", secret_is_gone),
    ("DB-040", "no path leads out of the files", no_way_out),
    (MOVES_THE_CLOCK, "who proved nothing for ten minutes proves it again before a look", step_up),
];

/// The exact bytes come as a file, from the page and from the API.
fn body_is_saved(stage: &mut Stage) -> Result<()> {
    let rig = &stage.rig;
    let body = b"<!doctype html><script>window.__pwned=1</script>";
    let answer = rig.server.public(&github::push("/in/github", SECRET.as_bytes(), "DB-020", body))?;
    ensure!(answer.status == 202, "it was answered {} {}", answer.status, answer.text());
    let event = answer.json()["eventId"].as_str().context("an event's id")?.to_owned();
    let who = Who::of(rig)?;
    let path = format!("/dashboard/events/{event}/body");
    for path in [path.clone(), format!("/api/v1/events/{event}/body")] {
        let saved = who.send(rig, Request::get(&path))?;
        ensure!(saved.status == 200 && saved.message.body == body, "{path}: {} {}", saved.status, saved.text());
        has(&saved, "content-type", "application/octet-stream")?;
        has(&saved, "x-content-type-options", "nosniff")?;
        has(&saved, "content-disposition", "attachment")?;
        has(&saved, "content-security-policy", "sandbox")?;
    }
    rig.open(&format!("/dashboard/events/{event}"))?;
    rig.browser.click("a[download]")?;
    rig.open(&path)?;
    ensure!(rig.browser.url()?.ends_with(&event), "the body was opened as {}", rig.browser.url()?);
    ensure!(rig.browser.run("return window.__pwned === undefined", &[])? == true, "it ran");
    rig.is_quiet()
}

fn has(answer: &Response, header: &str, wanted: &str) -> Result<()> {
    let value = answer.header(header).unwrap_or_default();
    ensure!(value.contains(wanted), "`{header}: {value}` does not say {wanted}");
    Ok(())
}

/// Signing in makes a new session, whatever the browser had; signing out ends it.
fn planted_session(stage: &mut Stage) -> Result<()> {
    let rig = &stage.rig;
    let name = Who::of(rig)?.name;
    rig.open("/dashboard/sign-in")?;
    rig.browser.set_cookie(&name, "session.planted")?;
    rig.sign_in()?;
    let first = Who::of(rig)?;
    ensure!(first.value != "session.planted", "the planted session is in use");
    let planted = Who { name, value: "session.planted".to_owned() };
    ensure!(planted.is_known(rig)? == 401, "the planted session is somebody's");
    rig.sign_in()?;
    let second = Who::of(rig)?;
    ensure!(first != second, "two times signing in are one session");
    ensure!(first.is_known(rig)? == 401 && second.is_known(rig)? == 200, "the session before is still good");
    rig.browser.focus("form[action=\"/dashboard/sign-out\"] button")?;
    rig.browser.press("\u{e007}")?;
    rig.browser.wait_for("#password")?;
    ensure!(Who::of(rig).is_err(), "the browser keeps the session");
    ensure!(second.is_known(rig)? == 401, "the session is good after signing out");
    Ok(())
}

/// Signing out, a new password and an administrator each end sessions on the server.
fn sessions_end(stage: &mut Stage) -> Result<()> {
    let rig = &stage.rig;
    let email = "sessions@example.com";
    let user = stage.user(email)?;
    let begin = || Who::sign_in(&rig.server, email, PASSWORD, "198.51.100.27");
    let (first, second, third) = (begin()?, begin()?, begin()?);
    for who in [&first, &second, &third] {
        ensure!(who.is_known(rig)? == 200, "a session that began is not good");
    }
    let own = |path: &str, body: Value| {
        let request =
            Request::post(path).header("Content-Type", "application/json").header("Sec-Fetch-Site", "same-origin");
        request.body(body.to_string().as_bytes())
    };
    let out = first.send(rig, own("/api/v1/logout", json!({})))?;
    ensure!(out.status / 100 == 2 && first.is_known(rig)? == 401, "it is good after signing out");
    let password = "another correct horse battery";
    let changed = second.send(rig, own("/api/v1/me/password", json!({ "current": PASSWORD, "new": password })))?;
    ensure!(changed.status / 100 == 2, "{} {}", changed.status, changed.text());
    ensure!(third.is_known(rig)? == 401, "another session is good after the password changed");
    let fourth = Who::sign_in(&rig.server, email, password, "198.51.100.27")?;
    let disable = Request::new("PATCH", &format!("/api/v1/users/{user}")).header("Content-Type", "application/json");
    let disabled = rig.server.admin(disable.body(json!({ "disabled": true }).to_string().as_bytes()))?;
    ensure!(disabled.status == 200, "{} {}", disabled.status, disabled.text());
    for who in [&second, &fourth] {
        ensure!(who.is_known(rig)? == 401, "a session is good after its user was disabled");
        let page = who.send(rig, Request::get("/dashboard/events"))?;
        has(&page, "location", "/dashboard/sign-in")?;
    }
    Ok(())
}

/// On loopback, where there is no TLS, a browser keeps it from scripts and from other sites; elsewhere it has all there is.
fn cookie_flags(stage: &mut Stage) -> Result<()> {
    let browser = &stage.rig.browser;
    let cookies = browser.cookies()?;
    let session = cookies.iter().find(|cookie| cookie["name"].as_str().is_some_and(|name| name.ends_with("session")));
    let session = session.context("a session's cookie")?;
    ensure!(session["httpOnly"] == true && session["sameSite"] == "Strict", "{session}");
    let seen = browser.run("return document.cookie", &[])?;
    ensure!(!seen.as_str().unwrap_or_default().contains("session"), "scripts see {seen}");
    let place = stage.directory.join("behind-tls");
    std::fs::create_dir_all(&place)?;
    let server = Setup::new(&place, "[admin]\norigin = \"https://hooks.example.com\"\n")?.start()?;
    super::stage::invite(&server, EMAIL)?;
    let set = Who::login(&server, EMAIL, PASSWORD, "198.51.100.28")?;
    let cookie = set.header("set-cookie").context("a cookie is set")?;
    ensure!(cookie.starts_with("__Host-hookward_session="), "{cookie:.40}");
    let flags: Vec<&str> = cookie.split("; ").skip(1).collect();
    for flag in ["Secure", "HttpOnly", "SameSite=Strict", "Path=/"] {
        ensure!(flags.contains(&flag), "{flag} is not among {flags:?}");
    }
    ensure!(!flags.iter().any(|flag| flag.starts_with("Domain")), "{flags:?}");
    ensure!(server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

/// Guesses at signing in from one address: how many were looked at, and that all others were put off.
fn guess(server: &Hookward, email: impl Fn(u32) -> String, address: &str) -> Result<usize> {
    let mut looked_at = 0;
    for number in 0..1000 {
        let fields = [("email", email(number)), ("password", format!("guess {number}"))];
        let answer = http::send(
            server.admin,
            &super::stage::form("/dashboard/sign-in", &fields).header("X-Forwarded-For", address),
        )?;
        ensure!([401, 429].contains(&answer.status), "guess {number} was answered {}", answer.status);
        looked_at += usize::from(answer.status == 401);
    }
    Ok(looked_at)
}

fn guesses(stage: &mut Stage) -> Result<()> {
    let server = &stage.rig.server;
    let email = "guessed@example.com";
    stage.user(email)?;
    let home = "198.51.100.29";
    Who::sign_in(server, email, PASSWORD, home)?;
    let looked_at = guess(server, |_| email.to_owned(), "203.0.113.29")?;
    ensure!((1..=10).contains(&looked_at), "{looked_at} guesses were looked at");
    let right = Who::login(server, email, PASSWORD, "203.0.113.29")?;
    ensure!(right.status == 429, "who guessed comes in at last: {}", right.status);
    Who::sign_in(server, email, PASSWORD, home).context("who was signed in there")?;
    // From anywhere else its owner waits, and not for long.
    let put_off = Who::login(server, email, PASSWORD, "192.0.2.29")?;
    let wait: u64 = put_off.header("retry-after").and_then(|wait| wait.parse().ok()).unwrap_or_default();
    ensure!(put_off.status == 429 && (1..=900).contains(&wait), "{} after {wait} s", put_off.status);
    Ok(())
}

fn spray(stage: &mut Stage) -> Result<()> {
    let server = &stage.rig.server;
    let email = "bystander@example.com";
    stage.user(email)?;
    let looked_at = guess(server, |number| format!("user{number}@example.com"), "203.0.113.30")?;
    // Twenty at once, and one more in ten seconds.
    ensure!((1..=40).contains(&looked_at), "{looked_at} guesses were looked at");
    Who::sign_in(server, email, PASSWORD, "198.51.100.30").map(drop)
}

/// Nothing keeps the value: not the page that was left, not a store of the browser's, not the way back; and the page itself
/// only for its time.
fn secret_is_gone(stage: &mut Stage) -> Result<()> {
    const TIMES: u32 = 20;
    let rig = &stage.rig;
    let panel = rig.panel("sources/github");
    let value = panel.reveal(1)?;
    ensure!(value == SECRET, "`{value}` is shown");
    let kept = "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, history.state, location.href])";
    let kept = rig.browser.run(kept, &[])?;
    ensure!(!kept.as_str().unwrap_or_default().contains(&value), "it is kept in {kept}");
    panel.leave(&value)?;
    let who = Who::of(rig)?;
    let token = rig.browser.run("return document.querySelector('[name=token]').value", &[])?;
    let fields = [("token", token.as_str().unwrap_or_default().to_owned()), ("reason", "looking".to_owned())];
    let shown = who.send(rig, super::stage::form("/dashboard/sources/github/secrets/1/reveal", &fields))?;
    ensure!(shown.status == 200 && shown.text().replace("&#39;", "'").contains(&value), "{}", shown.status);
    has(&shown, "cache-control", "no-store")?;
    has(&shown, "referrer-policy", "no-referrer")?;
    has(&shown, "refresh", "30;")?;
    rig.browser.hurry(TIMES)?;
    panel.reveal(1)?;
    let started = world::instant();
    let gone = || rig.browser.html().is_ok_and(|html| !html.contains(SECRET));
    ensure!(world::until(super::super::rig::PATIENCE, gone), "it is still shown after its time");
    let after = started.elapsed() * TIMES;
    ensure!((20..=120).contains(&after.as_secs()), "it was gone after {} s", after.as_secs());
    rig.is_quiet()
}

/// Files are three, by name.
fn no_way_out(stage: &mut Stage) -> Result<()> {
    let rig = &stage.rig;
    let who = Who::of(rig)?;
    let script = rig.browser.run("return document.querySelector('script').getAttribute('src')", &[])?;
    let script = script.as_str().context("a script")?;
    let files = script.rsplit_once('/').context("a path")?.0;
    ensure!(who.send(rig, Request::get(script))?.status == 200, "{script} is not there");
    for name in [
        "..%2f..%2fdb.sqlite",
        "..%2F..%2F..%2Fhookward.toml",
        "%2e%2e/",
        "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "../../../../etc/passwd",
        "..%5c..%5cdb.sqlite",
        "%252e%252e%252fdb.sqlite",
        "dashboard.js%00.css",
        "dashboard.js/",
        "",
    ] {
        for path in [format!("{files}/{name}"), format!("/dashboard/assets/{name}"), format!("/assets/{name}")] {
            let answer = who.send(rig, Request::get(&path))?;
            ensure!(answer.status == 404, "{path}: {} {:.100}", answer.status, answer.text());
        }
    }
    Ok(())
}

/// Ten minutes after the last proof neither a page nor the API shows a secret before another one.
fn step_up(stage: &mut Stage) -> Result<()> {
    stage.clock.advance(std::time::Duration::from_secs(11 * 60))?;
    let rig = &stage.rig;
    let who = Who::of(rig)?;
    let looks = || rig.server.list("/api/v1/audit?action=secret.reveal").map(|rows| rows.len());
    let before = looks()?;
    for path in ["reveal", "rotate"] {
        let path = if path == "reveal" { "1/reveal" } else { path };
        let request = Request::post(&format!("/api/v1/sources/github/secrets/{path}"))
            .header("Content-Type", "application/json")
            .header("Sec-Fetch-Site", "same-origin");
        let answer = who.send(rig, request.body(b"{}"))?;
        ensure!([401, 403].contains(&answer.status), "the API: {path}: {}", answer.status);
    }
    let details = "#secrets details:has(form[action$=\"/secrets/1/reveal\"])";
    rig.open("/dashboard/sources/github")?;
    rig.browser.click(&format!("{details} summary"))?;
    rig.browser.fill(&format!("{details} [name=reason]"), "looking")?;
    rig.browser.click(&format!("{details} button.first"))?;
    rig.browser.wait_for_text("Confirm it is you")?;
    ensure!(!rig.browser.html()?.contains(SECRET), "it is shown all the same");
    ensure!(looks()? == before, "a look that there was not is in the audit log");
    rig.browser.fill("#password", PASSWORD)?;
    rig.browser.click("form[action=\"/dashboard/confirm\"] button.first")?;
    rig.browser.wait_for("#secrets")?;
    ensure!(rig.panel("sources/github").reveal(1)? == SECRET, "another value is shown");
    ensure!(looks()? == before + 1, "the look is not in the audit log");
    rig.is_quiet()
}

/// A signed request is still taken: the gateway came to no harm.
pub(super) fn is_well(rig: &Rig, id: &str) -> Result<()> {
    let push = github::push("/in/github", SECRET.as_bytes(), &format!("after-{id}"), &push_body(id.len() as u64));
    let answer = rig.server.public(&push)?;
    ensure!(answer.status / 100 == 2, "the next request was answered {}", answer.status);
    Ok(())
}
