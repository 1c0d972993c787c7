//! The dashboard, as a browser without script goes through it: pages that are looked at, forms that are filled in as they
//! stand, cookies that are kept.

mod accounts;
mod activity;
mod installation;
mod resources;
mod roles;
mod templates;

pub(crate) use resources::scheme_file;

use std::collections::BTreeMap;
use std::time::Duration;

use hookward_engine::accounts::{Again, SignedInAs};
use hookward_engine::clock::{Clock, SystemClock};
use hookward_engine::model::Principal;
use hookward_engine::store::sqlite::DATABASE_FILE;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use systems::database;

use crate::support::{Answer, Gateway, raw, send};

/// The password of every user here.
pub(crate) const PASSWORD: &str = "a long enough one";

/// A browser: its cookies, and the gateway that it looks at.
pub(crate) struct Visitor<'g> {
    pub(crate) gateway: &'g Gateway,
    pub(crate) email: String,
    cookies: BTreeMap<String, String>,
}

impl Gateway {
    /// A browser of somebody who is not known.
    pub(crate) fn stranger(&self) -> Visitor<'_> {
        Visitor { gateway: self, email: String::new(), cookies: BTreeMap::new() }
    }

    /// A user with these scopes, who has signed in by the form.
    pub(crate) async fn visitor(&self, email: &str, scopes: &[&str]) -> Visitor<'_> {
        let invited = self.api("POST", "/users", &json!({ "email": email, "scopes": scopes }).to_string()).await;
        assert_eq!(invited.status, 201, "{}", invited.text());
        let accept = json!({ "token": invited.json()["invitation"], "password": PASSWORD }).to_string();
        let json = [("content-type", "application/json")];
        let accepted = send(self.running.admin(), "POST", "/api/v1/invitation", &json, accept.as_bytes()).await;
        assert_eq!(accepted.status, 204, "{}", accepted.text());
        let mut visitor = self.stranger();
        visitor.sign_in(email).await;
        visitor
    }
}

impl Visitor<'_> {
    /// Signs in by the form.
    pub(crate) async fn sign_in(&mut self, email: &str) {
        let fields = [("email", email), ("password", PASSWORD)];
        let answer = self.submit("/dashboard/sign-in", "/dashboard/sign-in", &fields).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/dashboard")), "{}", answer.text());
        email.clone_into(&mut self.email);
    }

    /// Looks at a page.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.exchange("GET", path, &[("accept", "text/html,*/*;q=0.8")], "").await
    }

    /// A page that is there.
    pub(crate) async fn page(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {:?} {}", answer.header("location"), answer.text());
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert!(answer.header("content-security-policy").is_some_and(|policy| !policy.contains("unsafe")), "{path}");
        answer.text()
    }

    /// Sends the form with this action as it stands on the page at `path`, with these fields filled in.
    pub(crate) async fn submit(&mut self, path: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.page(path).await;
        self.submit_on(&page, action, fields).await
    }

    /// The same, where the page is there already.
    pub(crate) async fn submit_on(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Answer {
        let sent = filled_in(page, action, fields);
        self.post(action, &sent, "same-origin").await
    }

    /// Sends fields as a page of `site` makes a browser send them.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(String, String)], site: &str) -> Answer {
        let escaped = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs = fields.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
        let body = pairs.collect::<Vec<_>>().join("&");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", site)];
        self.exchange("POST", path, &headers, &body).await
    }

    /// Goes where an answer leads.
    pub(crate) async fn follow(&mut self, answer: &Answer) -> String {
        assert_eq!(answer.status, 303, "{}", answer.text());
        self.page(answer.header("location").unwrap()).await
    }

    /// Lets more than ten minutes go by since they proved who they are.
    pub(crate) async fn grow_stale(&self) {
        let (_, me) = self.session().await;
        let past = SystemClock::new().now().minus(Duration::from_secs(601)).as_millis();
        let data = self.gateway.directory.path().join("data");
        if let Some(address) = database::address(&data).unwrap() {
            let session = hex::encode(me.session.as_bytes());
            let sql = format!("update sessions set proved_at_ms = {past} where id = '\\x{session}' returning 'done'");
            assert_eq!(database::psql(&address, &sql).unwrap(), b"done\n");
            return;
        }
        let store = rusqlite::Connection::open(data.join(DATABASE_FILE)).unwrap();
        store.busy_timeout(Duration::from_secs(10)).unwrap();
        let sql = "update sessions set proved_at_ms = ?2 where id = ?1";
        assert_eq!(store.execute(sql, rusqlite::params![me.session.as_bytes(), past]).unwrap(), 1);
    }

    /// Proves again who they are, as the page that asks for it does.
    pub(crate) async fn prove_again(&mut self) {
        let (by, me) = self.session().await;
        let again = Again::Password(PASSWORD.to_owned().into());
        let token = self.gateway.running.engine().prove_again(&by, me, again).await.unwrap();
        self.cookies.insert("hookward_session".to_owned(), token.expose().to_owned());
    }

    /// Who they are to the engine.
    pub(crate) async fn session(&self) -> (Principal, SignedInAs) {
        let token = self.cookies.get("hookward_session").expect("the visitor is signed in");
        let proven = self.gateway.running.engine().authenticate(token, "127.0.0.1").await.unwrap().unwrap();
        (proven.principal, proven.signed_in.unwrap())
    }

    /// A cookie that the browser keeps.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    async fn exchange(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: hookward.test\r\nconnection: close\r\n");
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            head += &format!("cookie: {}\r\n", cookies.join("; "));
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n{body}", body.len());
        let text = raw(self.gateway.running.admin(), head.as_bytes()).await;
        let (answered, _) = text.split_once("\r\n\r\n").expect("a whole head");
        for cookie in answered.lines().filter_map(|line| line.strip_prefix("set-cookie: ")) {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match cookie.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        Answer::parse(text.as_bytes())
    }
}

/// The newest entry of the audit log with this action, as JSON.
pub(crate) async fn audited(gateway: &Gateway, action: &str) -> serde_json::Value {
    let log = gateway.get("/audit?limit=20").await;
    let entry = log["items"].as_array().unwrap().iter().find(|entry| entry["action"] == action);
    entry.unwrap_or_else(|| panic!("no `{action}` in {log}")).clone()
}

/// What a browser sends of the form with this action, when these fields are filled in: they have to be there.
pub(crate) fn filled_in(page: &str, action: &str, fields: &[(&str, &str)]) -> Vec<(String, String)> {
    let start = format!("action=\"{action}\"");
    let at = page.find(&start).unwrap_or_else(|| panic!("no form for {action} in {page}"));
    let form = &page[at..];
    let form = &form[..form.find("</form>").expect("forms end")];
    let controls = controls(form);
    for (name, _) in fields {
        assert!(controls.iter().any(|control| control.name == *name), "no field `{name}` in {form}");
    }
    let given = |control: &Control| fields.iter().find(|(name, _)| *name == control.name).map(|(_, value)| *value);
    let mut sent = Vec::new();
    for control in controls {
        let value = match (given(&control), control.is_choice) {
            // A box or one of several: it is the value that says which.
            (Some(value), true) => (value == control.value).then(|| value.to_owned()),
            (Some(value), false) => Some(value.to_owned()),
            (None, _) => control.is_sent.then_some(control.value),
        };
        sent.extend(value.map(|value| (control.name, value)));
    }
    sent
}

/// Something in a form that has a name.
struct Control {
    name: String,
    value: String,
    /// A box to tick, one of several to choose, or a button.
    is_choice: bool,
    /// Whether it is sent as it stands.
    is_sent: bool,
}

fn controls(form: &str) -> Vec<Control> {
    let mut found = Vec::new();
    for (tag, rest) in form.split('<').skip(1).filter_map(|part| part.split_once('>')) {
        let kind = tag.split_whitespace().next().unwrap_or_default();
        if kind == "option" {
            let select: &mut Control = found.last_mut().expect("an option is in a select");
            let is_first = !select.is_sent;
            if is_first || has(tag, "selected") {
                select.value = attribute(tag, "value").unwrap_or_else(|| text(rest));
                select.is_sent = true;
            }
            continue;
        }
        let Some(name) = attribute(tag, "name").filter(|_| !has(tag, "disabled")) else { continue };
        let written = attribute(tag, "value");
        let (value, is_choice, is_sent) = match (kind, attribute(tag, "type").as_deref()) {
            ("input", Some("checkbox" | "radio")) => (written.unwrap_or("on".to_owned()), true, has(tag, "checked")),
            ("input", _) => (written.unwrap_or_default(), false, true),
            ("textarea", _) => (text(rest), false, true),
            ("select", _) => (String::new(), false, false),
            ("button", _) => (written.unwrap_or_default(), true, false),
            _ => continue,
        };
        found.push(Control { name, value, is_choice, is_sent });
    }
    found
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(text(rest.split('"').next()?))
}

fn has(tag: &str, name: &str) -> bool {
    tag.split_whitespace().any(|word| word == name)
}

/// Text as it is read, with what stands for a letter of markup turned back.
pub(crate) fn text(html: &str) -> String {
    let pairs = [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&"), ("&amp;", "&")];
    pairs.iter().fold(html.to_owned(), |text, (written, is)| text.replace(written, is))
}

/// What stands in the element with this id.
pub(crate) fn shown(page: &str, id: &str) -> String {
    let (_, rest) = page.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("no `{id}` in {page}"));
    text(rest.split_once('>').unwrap().1.split('<').next().unwrap())
}
