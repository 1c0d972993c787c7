//! The API's cases: `tests/bad-inputs/admin/api.toml`, each with its one answer, and nothing changed unless it says so.
//!
//! `${key}`: the key that asks · `${event}`: one that was delivered · `${foreign_event}`: another organization's ·
//! `${other_key}`: the other organization's only key · `${rep:TEXT*N}` · `${headers:N}`: N fields of a JSON object

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use systems::server::API_KEY;
use systems::{Hookward, Receiver, Request, Response, Setup, http, world};

use super::{Tally, is_chosen, read};

/// A secret that must never be shown but by a reveal.
const SECRET: &str = "admin-canary-0123456789abcdef0123";

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
    /// Who sends it.
    #[serde(default, rename = "as")]
    caller: Caller,
    #[serde(default = "get")]
    method: String,
    target: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// How many of it are sent at once; one of them is answered `status`, all others `others`.
    #[serde(default = "one")]
    at_once: usize,
    status: u16,
    #[serde(default)]
    others: u16,
    /// What the problem's detail says, so that a refusal is one for this reason.
    #[serde(default)]
    says: String,
    /// A header of the answer.
    header: Option<(String, String)>,
    /// The newest audit entry's action afterwards.
    audited: Option<String>,
    /// Whether the answer is an empty list.
    #[serde(default)]
    is_empty: bool,
    #[serde(default)]
    changes: bool,
    /// Whether every event that there was is still there.
    #[serde(default)]
    keeps_events: bool,
}

/// Whose key is sent.
#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Caller {
    #[default]
    Admin,
    Nobody,
    Revoked,
    Truncated,
    Reader,
    Editor,
    /// Who administers another organization.
    Other,
}

fn get() -> String {
    "GET".to_owned()
}

fn one() -> usize {
    1
}

/// A server with something of everything.
struct Rig {
    server: Hookward,
    reader: String,
    editor: String,
    revoked: String,
    other: String,
    other_key: String,
    event: String,
    foreign_event: String,
}

/// Runs the cases whose id contains `only`, or all of them.
pub(super) fn run(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let file: File = read("admin/api.toml")?;
    let mut chosen = file.case.into_iter().filter(|case| is_chosen(only, &case.id)).peekable();
    if chosen.peek().is_none() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let receiver = Receiver::start(|_| 200)?;
    let rig = Rig::start(directory.path(), &receiver.url("/"))?;
    for case in chosen {
        tally.add(&case.id, &case.status.to_string(), &case.why, rig.judge(&case));
    }
    ensure!(rig.server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

impl Rig {
    fn start(directory: &std::path::Path, receiver: &str) -> Result<Self> {
        let config = format!(
            "[egress]\nallow = [\"127.0.0.0/8\"]\n\n[[destination]]\nname = \"out\"\ntype = \"http\"\nurl = \"{receiver}\"\n"
        );
        let server = Setup::new(directory, &config)?.start()?;
        let admin = Some(API_KEY);
        for name in ["github", "going"] {
            make(&server, admin, "/sources", &json!({ "name": name, "scheme": "github" }))?;
        }
        let masked = json!({ "name": "masked", "type": "http", "url": "https://old.example.com/?x=hidden", "sources": ["github"] });
        make(&server, admin, "/destinations", &masked)?;
        make(&server, admin, "/sources/github/secrets", &json!({ "secret": SECRET }))?;
        make(&server, admin, "/sources/going/secrets", &json!({ "secret": SECRET }))?;
        let key =
            |name: &str, scopes: &[&str]| make(&server, admin, "/keys", &json!({ "name": name, "scopes": scopes }));
        let text = |value: &Value, field: &str| value[field].as_str().map(str::to_owned).context("a text");
        let reader = text(&key("reader", &["read"])?, "key")?;
        let editor = text(&key("editor", &["read", "publish", "admin"])?, "key")?;
        let gone = key("gone", &["read"])?;
        let path = format!("/api/v1/keys/{}", text(&gone, "id")?);
        ensure!(send(&server, admin, &Request::new("DELETE", &path))?.status == 204, "the key cannot be revoked");
        let other = text(&make(&server, admin, "/organizations", &json!({ "name": "other" }))?, "key")?;
        let keys = send(&server, Some(&other), &Request::get("/api/v1/keys"))?.json();
        let other_key = text(&keys["items"][0], "id")?;
        let published = json!({ "type": "x", "payload": 1 });
        let foreign_event = text(&make(&server, Some(&other), "/events", &published)?, "eventId")?;
        let event = text(&make(&server, admin, "/events", &published)?, "eventId")?;
        let is_delivered = || {
            let list = server.get(&format!("/api/v1/deliveries?event={event}&state=delivered"));
            list.is_ok_and(|list| list["items"].as_array().is_some_and(|items| !items.is_empty()))
        };
        ensure!(world::until(Duration::from_secs(20), is_delivered), "the event was not delivered");
        let revoked = text(&gone, "key")?;
        Ok(Self { server, reader, editor, revoked, other, other_key, event, foreign_event })
    }

    fn key(&self, caller: Caller) -> Option<&str> {
        Some(match caller {
            Caller::Nobody => return None,
            Caller::Admin => API_KEY,
            Caller::Revoked => &self.revoked,
            Caller::Truncated => &API_KEY[..API_KEY.len() - 1],
            Caller::Reader => &self.reader,
            Caller::Editor => &self.editor,
            Caller::Other => &self.other,
        })
    }

    fn judge(&self, case: &Case) -> Result<()> {
        let before = self.state()?;
        let request = self.request(case)?;
        let key = self.key(case.caller);
        if case.at_once > 1 {
            self.judge_many(case, &request)?;
        } else {
            check(case, &send(&self.server, key, &request)?)?;
        }
        let after = self.state()?;
        ensure!(case.changes || before == after, "something changed: {before} became {after}");
        if case.keeps_events {
            ensure!(before["events"] == after["events"], "events were lost, or came");
        }
        if let Some(action) = &case.audited {
            let newest = self.server.get("/api/v1/audit?limit=1")?;
            ensure!(newest["items"][0]["action"] == *action, "the newest audit entry is {}", newest["items"][0]);
        }
        let health = http::send(self.server.admin, &Request::get("/healthz"))?;
        ensure!(health.status == 200, "afterwards /healthz is {}", health.status);
        Ok(())
    }

    fn judge_many(&self, case: &Case, request: &Request) -> Result<()> {
        let key = self.key(case.caller);
        let answers: Vec<Result<Response>> = std::thread::scope(|scope| {
            let asked: Vec<_> = (0..case.at_once).map(|_| scope.spawn(|| send(&self.server, key, request))).collect();
            asked.into_iter().map(|one| one.join().expect("sending does not panic")).collect()
        });
        let mut done = 0;
        for answer in answers {
            let status = answer?.status;
            ensure!(status == case.status || status == case.others, "one was answered {status}");
            done += usize::from(status == case.status);
        }
        ensure!(done == 1, "{done} of {} were carried out", case.at_once);
        Ok(())
    }

    fn request(&self, case: &Case) -> Result<Request> {
        let mut request =
            Request::new(&case.method, &self.expand(&case.target)?).body(self.expand(&case.body)?.as_bytes());
        let has_type = case.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !request.body.is_empty() && !has_type {
            request = request.header("Content-Type", "application/json");
        }
        Ok(case.headers.iter().fold(request, |request, (name, value)| request.header(name, value)))
    }

    fn expand(&self, text: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) = after.split_once('}').context("no `}` after `${`")?;
            out += before;
            out += &match name.split_once(':').unwrap_or((name, "")) {
                ("key", _) => API_KEY.to_owned(),
                ("event", _) => self.event.clone(),
                ("foreign_event", _) => self.foreign_event.clone(),
                ("other_key", _) => self.other_key.clone(),
                ("rep", argument) => {
                    let (text, count) = argument.rsplit_once('*').context("`rep` is TEXT*N")?;
                    text.repeat(count.parse()?)
                }
                ("headers", count) => {
                    let fields: Vec<String> = (0..count.parse::<u32>()?).map(|n| format!("\"X-{n}\":\"1\"")).collect();
                    fields.join(",")
                }
                (other, _) => anyhow::bail!("`${{{other}}}` means nothing"),
            };
            rest = tail;
        }
        Ok(out + rest)
    }

    /// What a request may not change: what is declared, the keys, the secrets, the events. Not when things were used.
    fn state(&self) -> Result<Value> {
        let mut state = json!({});
        for (name, path) in [
            ("sources", "/api/v1/sources"),
            ("destinations", "/api/v1/destinations"),
            ("events", "/api/v1/events"),
            ("organizations", "/api/v1/organizations"),
            ("keys", "/api/v1/keys"),
            ("secrets", "/api/v1/sources/github/secrets"),
            ("deliveries", "/api/v1/deliveries"),
        ] {
            let mut items = self.server.get(path)?["items"].take();
            for item in items.as_array_mut().into_iter().flatten() {
                item.as_object_mut().map(|item| item.remove("last_used_at"));
            }
            state[name] = items;
        }
        Ok(state)
    }
}

fn check(case: &Case, answer: &Response) -> Result<()> {
    ensure!(answer.status == case.status, "answered {} {:.300}", answer.status, answer.text());
    if let Some((name, value)) = &case.header {
        ensure!(answer.header(name) == Some(value), "`{name}` is {:?}", answer.header(name));
    }
    if answer.status >= 400 {
        ensure!(answer.header("content-type") == Some("application/problem+json"), "no problem document");
    }
    ensure!(answer.text().contains(&case.says), "the answer is for another reason: {:.400}", answer.text());
    ensure!(!case.is_empty || answer.json()["items"].as_array().is_some_and(Vec::is_empty), "there is something");
    let is_reveal = case.audited.as_deref() == Some("secret.reveal");
    ensure!(is_reveal == answer.text().contains(SECRET), "the secret is shown where it is not asked for, or is not");
    ensure!(!answer.text().contains(API_KEY), "the key is shown");
    Ok(())
}

fn send(server: &Hookward, key: Option<&str>, request: &Request) -> Result<Response> {
    let mut request = request.clone();
    if let Some(key) = key {
        request = request.header("Authorization", &format!("Bearer {key}"));
    }
    http::send(server.admin, &request).with_context(|| format!("{} {:.80}", request.method, request.target))
}

fn make(server: &Hookward, key: Option<&str>, path: &str, body: &Value) -> Result<Value> {
    let request = Request::post(&format!("/api/v1{path}")).header("Content-Type", "application/json");
    let answer = send(server, key, &request.body(body.to_string().as_bytes()))?;
    ensure!(answer.status / 100 == 2, "POST {path}: {} {}", answer.status, answer.text());
    Ok(answer.json())
}
