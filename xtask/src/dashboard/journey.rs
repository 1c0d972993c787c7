//! What a person does in a first hour: comes in by the link that was printed, makes a source and a destination, looks at the
//! secret, sees a first request arrive, finds out why a delivery failed, sends it again, rotates the secret, and finds all of
//! it in the audit log. On a desk and in a hand, in the light and in the dark, with scripts and without.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};
use systems::{Browser, Hookward, Receiver, Scripts, Setup, Size, github, world};

use super::Extent;
use super::axe::Axe;
use super::panel::Panel;
use super::rig::{self, DESK, EMAIL, HAND, PASSWORD, PATIENCE};

/// How somebody goes.
#[derive(Debug, Clone, Copy)]
struct Way {
    size: Size,
    theme: &'static str,
    scripts: Scripts,
}

/// In the short extent each of two is met with each of the others; in the full one everything is.
const SHORT: [(Size, &str, Scripts); 4] = [
    (DESK, "light", Scripts::On),
    (HAND, "dark", Scripts::On),
    (DESK, "dark", Scripts::Off),
    (HAND, "light", Scripts::Off),
];
const REST: [(Size, &str, Scripts); 4] = [
    (DESK, "dark", Scripts::On),
    (HAND, "light", Scripts::On),
    (DESK, "light", Scripts::Off),
    (HAND, "dark", Scripts::Off),
];

/// Goes the whole way, each time with a gateway that knows nobody.
pub(super) fn run(extent: Extent) -> Result<()> {
    let axe = Axe::install()?;
    let rest: &[_] = if extent == Extent::Full { &REST } else { &[] };
    for &(size, theme, scripts) in SHORT.iter().chain(rest) {
        let way = Way { size, theme, scripts };
        let told =
            format!("{theme}, {} wide, scripts {}", size.width, if scripts == Scripts::On { "on" } else { "off" });
        let directory = tempfile::tempdir()?;
        go(directory.path(), way, &axe).with_context(|| told.clone())?;
        println!("dashboard: a first hour, from the printed link to the audit log ({told})");
    }
    Ok(())
}

/// The key, as WebDriver writes it.
const ENTER: &str = "\u{e007}";

/// One who goes.
struct Person<'a> {
    browser: &'a Browser,
    server: &'a Hookward,
    origin: String,
    way: Way,
    axe: &'a Axe,
}

fn go(directory: &Path, way: Way, axe: &Axe) -> Result<()> {
    let status = Arc::new(AtomicU16::new(500));
    let answer = Arc::clone(&status);
    let receiver = Receiver::start(move |_| answer.load(Ordering::SeqCst))?;
    let setup = Setup::new(directory, "")?;
    let server = setup.start()?;
    let browser = Browser::start(directory)?;
    browser.resize(way.size)?;
    // The other theme is what the system has: what is chosen counts.
    browser.prefer(if way.theme == "dark" { "light" } else { "dark" })?;
    browser.scripts(way.scripts)?;
    let origin = format!("http://{}", server.admin);
    let person = Person { browser: &browser, server: &server, origin, way, axe };
    let log = std::fs::read_to_string(setup.log())?;
    let link =
        log.split_whitespace().find(|word| word.contains("/dashboard/first-run/")).context("no link was printed")?;
    person.come_in(link)?;
    person.choose_theme()?;
    person.make("source", &[("name", "github"), ("scheme", "github")], "")?;
    let url = receiver.url("/hooks");
    let rest = "allow_addresses = [\"127.0.0.0/8\"]\nretry = { waits = [] }";
    person.make("destination", &[("name", "ci"), ("type", "http"), ("url", &url), ("sources", "github")], rest)?;
    let secret = person.make_a_secret()?;
    let event = person.first_request(&secret)?;
    person.deliver_again(&event, &status)?;
    person.rotate(&secret)?;
    person.audit()?;
    ensure!(server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

impl Person<'_> {
    fn open(&self, path: &str) -> Result<()> {
        self.browser.open(&format!("{}{path}", self.origin))
    }

    /// What a step ends with: nothing was wrong with any page of it, and the one that is there fits the window and the rules.
    fn is_well(&self) -> Result<()> {
        rig::is_quiet(self.browser, &self.origin)?;
        if self.way.scripts == Scripts::On {
            let broken = self.axe.here(self.browser)?;
            ensure!(broken.is_empty(), "{}: {broken:?}", self.browser.url()?);
        }
        let wide = self.browser.run("return document.documentElement.scrollWidth - window.innerWidth", &[])?;
        ensure!(wide.as_i64().is_some_and(|wide| wide <= 0), "{} is {wide} pixels too wide", self.browser.url()?);
        Ok(())
    }

    /// Waits until the page shows something: by itself where scripts run, and when it is loaded again where not.
    fn is_shown(&self, selector: &str, text: &str) -> Result<()> {
        let shows =
            || self.browser.text_if_any(selector).is_ok_and(|found| found.is_some_and(|found| found.contains(text)));
        let shown = world::until(PATIENCE, || {
            shows() || self.way.scripts == Scripts::Off && self.browser.reload().is_ok() && shows()
        });
        ensure!(shown, "no `{selector}` says `{text}` at {}: {}", self.browser.url()?, self.browser.text()?);
        Ok(())
    }

    fn come_in(&self, link: &str) -> Result<()> {
        let browser = self.browser;
        browser.open(link)?;
        let url = browser.url()?;
        ensure!(url == format!("{}/dashboard/first-run", self.origin), "the link stays in the address: {url}");
        browser.fill("#email", EMAIL)?;
        browser.fill("[name=password]", PASSWORD)?;
        browser.fill("[name=repeated]", PASSWORD)?;
        self.is_well()?;
        browser.click("form button.first")?;
        browser.wait_for("nav.side")?;
        self.is_well()?;
        // It is good once.
        browser.open(link)?;
        browser.wait_for_text("This link is not good")?;
        // The page that says so is a 403, which a browser notes.
        browser.console().map(drop)
    }

    /// Chooses a theme on the page, against what the system says.
    fn choose_theme(&self) -> Result<()> {
        let browser = self.browser;
        self.open("/dashboard")?;
        if self.way.size == HAND {
            browser.click("nav.side summary")?;
        }
        // By keyboard: what is beside a page on a desk and behind a button in a hand is hidden in a driver's eyes.
        browser.focus("#theme")?;
        browser.press(&self.way.theme[..1])?;
        if self.way.scripts == Scripts::Off {
            browser.focus("form.looks button")?;
            browser.press(ENTER)?;
        }
        browser.wait_for(&format!("html[data-theme={}]", self.way.theme))?;
        let ground = browser.run("return getComputedStyle(document.body).backgroundColor", &[])?;
        let ground = ground.as_str().unwrap_or_default();
        let first = ground.split(['(', ',']).nth(1).and_then(|red| red.trim().parse::<u32>().ok());
        let is_dark = first.with_context(|| format!("`{ground}` is a colour"))? < 128;
        ensure!(is_dark == (self.way.theme == "dark"), "{} is {ground}", self.way.theme);
        self.is_well()
    }

    /// Makes a source or a destination by its form.
    fn make(&self, one: &str, fields: &[(&str, &str)], rest: &str) -> Result<()> {
        let browser = self.browser;
        self.open(&format!("/dashboard/new-{one}"))?;
        for (field, value) in fields {
            if browser.count(&format!("select#{field}"))? > 0 {
                browser.choose(&format!("#{field}"), value)?;
            } else {
                browser.fill(&format!("#{field}"), value)?;
            }
        }
        browser.fill("#rest", rest)?;
        self.is_well()?;
        browser.click("main form button.first")?;
        browser.wait_for("main > .notice[role=status]")?;
        ensure!(browser.url()?.contains(&format!("/dashboard/{one}s/")), "it led to {}", browser.url()?);
        self.is_well()
    }

    fn panel(&self) -> Panel<'_> {
        Panel::new(self.browser, format!("{}/dashboard/sources/github", self.origin), self.way.scripts)
    }

    /// The source's first secret is made here, and looked at.
    fn make_a_secret(&self) -> Result<String> {
        self.open("/dashboard/sources/github")?;
        self.browser.wait_for_text("Waiting for the first request")?;
        let panel = self.panel();
        panel.ask()?;
        let secret = panel.reveal(panel.rotate()?)?;
        self.is_well()?;
        Ok(secret)
    }

    /// A signed request turns the page green. Gives the event's id.
    fn first_request(&self, secret: &str) -> Result<String> {
        self.open("/dashboard/sources/github")?;
        let push = github::push("/in/github", secret.as_bytes(), "first", &github::push_body(1));
        let answer = self.server.public(&push)?;
        ensure!(answer.status == 202, "it was answered {} {}", answer.status, answer.text());
        self.is_shown("[data-live] .notice", "It works")?;
        self.is_well()?;
        self.browser.click("[data-live] a[href^=\"/dashboard/events/\"]")?;
        self.browser.wait_for_text("Timeline")?;
        Ok(answer.json()["eventId"].as_str().context("an event's id")?.to_owned())
    }

    /// The delivery failed; once the receiver is well it is sent again from its page.
    fn deliver_again(&self, event: &str, status: &AtomicU16) -> Result<()> {
        ensure!(self.browser.url()?.contains(event), "the page is not that of {event}: {}", self.browser.url()?);
        self.is_shown(".owed .badge.bad", "")?;
        ensure!(self.browser.text()?.contains("500"), "nothing says why it failed: {}", self.browser.text()?);
        self.is_well()?;
        status.store(200, Ordering::SeqCst);
        self.browser.click("[data-again]")?;
        self.is_shown(".owed .badge.ok", "")?;
        self.is_well()
    }

    /// The dialog says what it means in numbers; in the grace both secrets are believed.
    fn rotate(&self, old: &str) -> Result<()> {
        let panel = self.panel();
        let effect = panel.ask()?;
        ensure!(effect.contains("1 delivery"), "the dialog does not say what it means: {effect}");
        self.is_well()?;
        let new = panel.reveal(panel.rotate()?)?;
        for (delivery, secret) in [("second", old), ("third", &new)] {
            let body = github::push_body(delivery.len() as u64);
            let answer = self.server.public(&github::push("/in/github", secret.as_bytes(), delivery, &body))?;
            ensure!(answer.status == 202, "the {delivery} request was answered {} {}", answer.status, answer.text());
        }
        self.is_well()
    }

    fn audit(&self) -> Result<()> {
        self.open("/dashboard/audit")?;
        let text = self.browser.text()?;
        let acts =
            ["user.create", "source.create", "destination.create", "secret.reveal", "secret.rotate", "event.redeliver"];
        for action in acts {
            ensure!(text.contains(action), "the audit log does not say `{action}`: {text}");
        }
        self.is_well()
    }
}
