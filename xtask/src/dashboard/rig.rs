//! A gateway with something to show, a browser, and a person who is signed in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::{Browser, Hookward, Receiver, Request, Scripts, Setup, Size, Traffic, github};

use super::panel::Panel;

/// Who is signed in.
pub(super) const EMAIL: &str = "ana@example.com";
pub(super) const PASSWORD: &str = "correct horse battery staple";

pub(super) const SECRET: &str = "a secret of the test's own";

/// How long something that is under way may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A window on a desk, and one in a hand.
pub(super) const DESK: Size = Size { width: 1440, height: 900 };
pub(super) const HAND: Size = Size { width: 390, height: 844 };

/// A running gateway and the address of its pages.
pub(super) struct Rig {
    directory: PathBuf,
    pub(super) server: Hookward,
    pub(super) browser: Browser,
    /// `http://127.0.0.1:8081`.
    pub(super) origin: String,
}

/// A source `github`, and a destination `ci` at `receiver` that hears it.
pub(super) fn config(receiver: &Receiver) -> String {
    format!(
        "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:SECRET\"\n\n\
         [[destination]]\nname = \"ci\"\ntype = \"http\"\nurl = \"{}\"\nsources = [\"github\"]\n\
         forward_headers = [\"X-GitHub-*\"]\nretry = {{ waits = [] }}\nallow_addresses = [\"127.0.0.0/8\"]\n",
        receiver.url("/hooks")
    )
}

/// Fails when the browser was told of an error since the last time, asked anybody but the gateway for
/// something, or told anybody where it came from.
pub(super) fn is_quiet(browser: &Browser, origin: &str) -> Result<()> {
    let told = browser.console()?;
    ensure!(told.is_empty(), "the console of {} says {told:?}", browser.url()?);
    let Traffic { requested, referers, .. } = browser.traffic()?;
    let elsewhere: Vec<_> = requested.iter().filter(|url| !url.starts_with(origin)).collect();
    ensure!(elsewhere.is_empty(), "{} asked for {elsewhere:?}", browser.url()?);
    ensure!(referers.is_empty(), "{} told where it comes from: {referers:?}", browser.url()?);
    Ok(())
}

impl Rig {
    /// Starts a gateway with a source, a destination at `receiver`, and a user.
    pub(super) fn start(directory: &Path, receiver: &Receiver) -> Result<Self> {
        let setup = Setup::new(directory, &config(receiver))?.env("SECRET", SECRET);
        Self::of(&setup, directory, Browser::start(directory)?)
    }

    /// Starts a gateway, with a user, for a browser; its profile, or the next one's, is below `directory`.
    pub(super) fn of(setup: &Setup, directory: &Path, browser: Browser) -> Result<Self> {
        let server = setup.start()?;
        let origin = format!("http://{}", server.admin);
        let rig = Self { directory: directory.to_owned(), server, browser, origin };
        rig.make_user()?;
        Ok(rig)
    }

    /// Goes on with a new browser, signed in.
    pub(super) fn renew(&mut self) -> Result<()> {
        self.browser = Browser::start(&self.directory)?;
        self.sign_in()
    }

    /// The secrets of a source or a destination: `sources/github`.
    pub(super) fn panel(&self, owner: &str) -> Panel<'_> {
        Panel::new(&self.browser, format!("{}/dashboard/{owner}", self.origin), Scripts::On)
    }

    /// Ends the gateway, which is to go in order, with nothing wrong on its pages. Gives the browser back.
    pub(super) fn end(self) -> Result<Browser> {
        self.is_quiet()?;
        ensure!(self.server.terminate()?.success(), "the gateway did not end in order");
        Ok(self.browser)
    }

    fn make_user(&self) -> Result<()> {
        let scopes = ["read", "publish", "pull", "redeliver", "reveal", "rotate", "export", "admin"];
        let made = self.post("/users", &json!({ "email": EMAIL, "scopes": scopes }))?;
        let invitation = made["invitation"].as_str().context("an invitation")?;
        self.post("/invitation", &json!({ "token": invitation, "password": PASSWORD })).map(drop)
    }

    /// One request to the API that has to succeed.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = Request::post(&format!("/api/v1{path}")).header("Content-Type", "application/json");
        let answer = self.server.admin(request.body(body.to_string().as_bytes()))?;
        ensure!(answer.status / 100 == 2, "POST {path}: {} {}", answer.status, answer.text());
        Ok(if answer.text().is_empty() { Value::Null } else { answer.json() })
    }

    /// A private scheme, called `ours`, whose title is this.
    pub(super) fn put_scheme(&self, title: &str) -> Result<()> {
        let title: String = title.chars().filter(|letter| !letter.is_control()).collect();
        let toml = format!(
            "name = \"ours\"\ntitle = {}\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
             signature = {{ at = [\"header:x-ours\"], encodings = [\"hex\"] }}\ncontent = \"{{body}}\"\n",
            json!(title)
        );
        let body = json!({ "toml": toml }).to_string();
        let request = Request::new("PUT", "/api/v1/schemes/ours").header("Content-Type", "application/json");
        let answer = self.server.admin(request.body(body.as_bytes()))?;
        ensure!(answer.status == 200, "PUT /schemes/ours: {} {}", answer.status, answer.text());
        Ok(())
    }

    /// A signed push, which is accepted.
    pub(super) fn push(&self, delivery: &str, body: &[u8]) -> Result<()> {
        let answer = self.server.public(&github::push("/in/github", SECRET.as_bytes(), delivery, body))?;
        ensure!(answer.status == 202, "a push was answered {} {}", answer.status, answer.text());
        Ok(())
    }

    /// Signs in by way of the form.
    pub(super) fn sign_in(&self) -> Result<()> {
        self.open("/dashboard/sign-in")?;
        self.browser.fill("#email", EMAIL)?;
        self.browser.fill("#password", PASSWORD)?;
        self.browser.click("form[action=\"/dashboard/sign-in\"] button")?;
        self.browser.wait_for("nav.side")
    }

    /// Opens a page by its path.
    pub(super) fn open(&self, path: &str) -> Result<()> {
        self.browser.open(&format!("{}{path}", self.origin))
    }

    /// Fails when the browser was told of an error since the last time, asked anybody but the gateway for something.
    pub(super) fn is_quiet(&self) -> Result<()> {
        is_quiet(&self.browser, &self.origin)
    }
}
