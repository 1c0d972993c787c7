//! What acts are done with: a gateway behind a proxy that says where requests come from, on a clock that moves; sessions, as
//! whoever has their cookie.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::{Browser, Hookward, MovableClock, Receiver, Request, Response, Setup, http};

use super::super::rig::{self, DESK, PASSWORD, Rig, SECRET};

/// A gateway, a browser, and a clock.
pub(super) struct Stage {
    pub(super) rig: Rig,
    pub(super) clock: MovableClock,
    pub(super) directory: PathBuf,
}

impl Stage {
    /// Starts all of it.
    pub(super) fn start(directory: &Path, receiver: &Receiver) -> Result<Self> {
        let clock = MovableClock::new(directory)?;
        let config = format!("[admin]\ntrusted_proxies = [\"127.0.0.0/8\"]\n\n{}", rig::config(receiver));
        let setup = Setup::new(directory, &config)?.env("SECRET", SECRET);
        let setup = clock.environment().into_iter().fold(setup, |setup, (name, value)| setup.env(name, &value));
        let rig = Rig::of(&setup, directory, Browser::start(directory)?)?;
        rig.browser.resize(DESK)?;
        Ok(Self { rig, clock, directory: directory.to_owned() })
    }

    /// Makes another user, with a password. Gives its id.
    pub(super) fn user(&self, email: &str) -> Result<String> {
        invite(&self.rig.server, email)
    }
}

/// Makes a user who has a password. Gives its id.
pub(super) fn invite(server: &Hookward, email: &str) -> Result<String> {
    let made = post(server, "/api/v1/users", &json!({ "email": email, "scopes": ["read"] }))?;
    post(server, "/api/v1/invitation", &json!({ "token": made["invitation"], "password": PASSWORD }))?;
    Ok(made["id"].as_str().or(made["user"]["id"].as_str()).context("a user has an id")?.to_owned())
}

fn post(server: &Hookward, path: &str, body: &Value) -> Result<Value> {
    let request = Request::post(path).header("Content-Type", "application/json");
    let answer = server.admin(request.body(body.to_string().as_bytes()))?;
    ensure!(answer.status / 100 == 2, "POST {path}: {} {}", answer.status, answer.text());
    Ok(answer.json())
}

/// A form as a page of the gateway sends it.
pub(super) fn form(path: &str, fields: &[(&str, String)]) -> Request {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    Request::post(path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Sec-Fetch-Site", "same-origin")
        .body(fields.join("&").as_bytes())
}

/// Text as a part of an address or of a form.
pub(super) fn escaped(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(escaped).collect()
}

/// Whoever has this cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) name: String,
    pub(super) value: String,
}

impl Who {
    /// Who is signed in in the browser.
    pub(super) fn of(rig: &Rig) -> Result<Self> {
        let text = |cookie: &Value, field: &str| cookie[field].as_str().unwrap_or_default().to_owned();
        let cookies = rig.browser.cookies()?;
        let session = cookies.iter().find(|cookie| text(cookie, "name").ends_with("hookward_session"));
        let session = session.context("the browser has no session")?;
        Ok(Self { name: text(session, "name"), value: text(session, "value") })
    }

    /// The answer to a password, by way of the API.
    pub(super) fn login(server: &Hookward, email: &str, password: &str, address: &str) -> Result<Response> {
        let request = Request::post("/api/v1/login")
            .header("Content-Type", "application/json")
            .header("X-Forwarded-For", address);
        let body = json!({ "email": email, "password": password }).to_string();
        Ok(http::send(server.admin, &request.body(body.as_bytes()))?)
    }

    /// Signs in.
    pub(super) fn sign_in(server: &Hookward, email: &str, password: &str, address: &str) -> Result<Self> {
        let answer = Self::login(server, email, password, address)?;
        ensure!(answer.status == 200, "signing in: {} {}", answer.status, answer.text());
        let cookie = answer.header("set-cookie").context("a cookie is set")?;
        let (name, rest) = cookie.split_once('=').context("a cookie has a name")?;
        Ok(Self { name: name.to_owned(), value: rest.split(';').next().unwrap_or_default().to_owned() })
    }

    /// Sends a request with the cookie.
    pub(super) fn send(&self, rig: &Rig, request: Request) -> Result<Response> {
        let request = request.header("Cookie", &format!("{}={}", self.name, self.value));
        Ok(http::send(rig.server.admin, &request)?)
    }

    /// How the API answers whoever has it: 200 or 401.
    pub(super) fn is_known(&self, rig: &Rig) -> Result<u16> {
        Ok(self.send(rig, Request::get("/api/v1/me"))?.status)
    }
}
