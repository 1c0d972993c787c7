//! A code host's API on loopback, as strict as the real ones: a call that they would not take is answered as they
//! would, and remembered as a fault.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::outbound::{Received, Server};

/// The only token that is taken.
pub(crate) const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";

/// Which host it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Github,
    Gitlab,
}

/// A comment: whether its author is the token's owner, and its text.
type Comments = BTreeMap<u64, (bool, String)>;

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) statuses: Vec<Value>,
    pub(crate) check_runs: Vec<Value>,
    pub(crate) comments: Comments,
    /// Each call: method and path.
    pub(crate) calls: Vec<String>,
    /// Calls that the real host would not take.
    pub(crate) faults: Vec<String>,
    /// The next calls are answered with these instead.
    pub(crate) answers: Vec<(u16, &'static str)>,
}

/// A host that ends with the test.
pub(crate) struct CodeHost {
    server: Server,
    pub(crate) state: Arc<Mutex<State>>,
}

impl CodeHost {
    /// A host with one repository, `acme/web`, one commit in it, and pull or merge request 7.
    pub(crate) async fn start(host: Host) -> Self {
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        let server = Server::start(move |mut stream, _| {
            let state = Arc::clone(&shared);
            async move {
                while let Some(received) = Received::read(&mut stream).await {
                    let (status, headers, body) = answer(host, &mut state.lock().unwrap(), &received);
                    let body = if body.is_null() { String::new() } else { body.to_string() };
                    let answer =
                        format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { server: server.await, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/api", self.server.address)
    }

    /// Everything seen so far, without a fault among it.
    pub(crate) fn faultless(&self) -> std::sync::MutexGuard<'_, State> {
        let state = self.state.lock().unwrap();
        assert!(state.faults.is_empty(), "calls that the host does not take: {:?}", state.faults);
        state
    }
}

/// The commit that exists.
pub(crate) const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

type Answer = (u16, &'static str, Value);

fn answer(host: Host, state: &mut State, received: &Received) -> Answer {
    let mut words = received.line.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    state.calls.push(format!("{method} {target}"));
    if !state.answers.is_empty() {
        let (status, headers) = state.answers.remove(0);
        return (status, headers, json!({ "message": "not now" }));
    }
    if let Some(fault) = fault_of_head(host, method, received) {
        state.faults.push(format!("{method} {target}: {fault}"));
        return (401, "", json!({ "message": fault }));
    }
    let body: Value = serde_json::from_slice(&received.body).unwrap_or(Value::Null);
    let outcome = match host {
        Host::Github => github(state, method, target, &body),
        Host::Gitlab => gitlab(state, method, target, &body),
    };
    outcome.unwrap_or_else(|fault| {
        state.faults.push(format!("{method} {target}: {fault}"));
        (422, "", json!({ "message": fault }))
    })
}

fn fault_of_head(host: Host, method: &str, received: &Received) -> Option<String> {
    let one = |name: &str, expected: &str| {
        let values = received.header(name);
        (values != [expected]).then(|| format!("header {name} is {values:?}"))
    };
    let agent = received.header("user-agent").iter().all(|agent| agent.is_empty());
    one("authorization", &format!("Bearer {TOKEN}"))
        .or_else(|| agent.then(|| "no user agent".to_owned()))
        .or_else(|| one("content-type", "application/json").filter(|_| method != "GET"))
        .or_else(|| one("accept", "application/vnd.github+json").filter(|_| host == Host::Github))
        .or_else(|| one("x-github-api-version", "2022-11-28").filter(|_| host == Host::Github))
}

fn github(state: &mut State, method: &str, target: &str, body: &Value) -> Result<Answer, String> {
    let rest = target.strip_prefix("/api/repos/acme/web/").ok_or("no such repository")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let segments: Vec<&str> = path.split('/').collect();
    match (method, segments.as_slice()) {
        ("POST", ["statuses", SHA]) => {
            only(body, &["state", "context", "description", "target_url"])?;
            one_of(body, "state", &["error", "failure", "pending", "success"])?;
            at_most(body, "description", 140)?;
            state.statuses.push(body.clone());
            Ok((201, "", json!({ "id": 1 })))
        }
        ("GET", ["commits", SHA, "check-runs"]) if query.contains("filter=all") => {
            let count = state.check_runs.len();
            Ok((200, "", json!({ "total_count": count, "check_runs": state.check_runs })))
        }
        ("POST", ["check-runs"]) => {
            let id = state.check_runs.len() + 1;
            state.check_runs.push(check_run(body, id)?);
            Ok((201, "", json!({ "id": id })))
        }
        ("PATCH", ["check-runs", id]) => {
            let id: usize = id.parse().map_err(|_| "no such run")?;
            let run = check_run(body, id)?;
            *state.check_runs.get_mut(id - 1).ok_or("no such run")? = run;
            Ok((200, "", json!({ "id": id })))
        }
        ("GET", ["issues", "7", "comments"]) => page(&state.comments, query),
        ("POST", ["issues", "7", "comments"]) => create(&mut state.comments, body),
        ("PATCH", ["issues", "comments", id]) => update(&mut state.comments, id, body),
        _ => Err("no such call".to_owned()),
    }
}

fn check_run(body: &Value, id: usize) -> Result<Value, String> {
    only(body, &["name", "head_sha", "external_id", "status", "conclusion", "output"])?;
    one_of(body, "status", &["completed"])?;
    one_of(body, "conclusion", &["success", "failure", "neutral", "cancelled", "timed_out", "action_required"])?;
    only(&body["output"], &["title", "summary", "text"])?;
    at_most(&body["output"], "summary", 65_535)?;
    let mut run = body.clone();
    run["id"] = json!(id);
    Ok(run)
}

fn gitlab(state: &mut State, method: &str, target: &str, body: &Value) -> Result<Answer, String> {
    let rest = target.strip_prefix("/api/projects/acme%2Fweb/").ok_or("no such project")?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let segments: Vec<&str> = path.split('/').collect();
    match (method, segments.as_slice()) {
        ("POST", ["statuses", SHA]) => {
            only(body, &["state", "name", "description", "target_url", "ref"])?;
            one_of(body, "state", &["pending", "running", "success", "failed", "canceled", "skipped"])?;
            at_most(body, "description", 255)?;
            state.statuses.push(body.clone());
            Ok((201, "", json!({ "id": 1 })))
        }
        ("GET", ["merge_requests", "7", "notes"]) => page(&state.comments, query),
        ("POST", ["merge_requests", "7", "notes"]) => create(&mut state.comments, body),
        ("PUT", ["merge_requests", "7", "notes", id]) => update(&mut state.comments, id, body),
        _ => Err("no such call".to_owned()),
    }
}

fn page(comments: &Comments, query: &str) -> Result<Answer, String> {
    let number = |name: &str| {
        let pair = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
        pair.and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let length = number("per_page").filter(|length| (1..=100).contains(length)).ok_or("per_page is 1 to 100")?;
    let skipped = number("page").ok_or("no page")?.saturating_sub(1) * length;
    let items = comments.iter().skip(skipped).take(length);
    let items: Vec<Value> = items.map(|(id, (_, text))| json!({ "id": id, "body": text })).collect();
    Ok((200, "", json!(items)))
}

fn create(comments: &mut Comments, body: &Value) -> Result<Answer, String> {
    only(body, &["body"])?;
    at_most(body, "body", 65_536)?;
    let id = comments.keys().next_back().map_or(1, |last| last + 1);
    comments.insert(id, (true, body["body"].as_str().unwrap().to_owned()));
    Ok((201, "", json!({ "id": id })))
}

fn update(comments: &mut Comments, id: &str, body: &Value) -> Result<Answer, String> {
    only(body, &["body"])?;
    let comment = id.parse().ok().and_then(|id: u64| comments.get_mut(&id)).ok_or("no such comment")?;
    if !comment.0 {
        return Ok((403, "", json!({ "message": "Resource not accessible" })));
    }
    comment.1 = body["body"].as_str().ok_or("no body")?.to_owned();
    Ok((200, "", json!({})))
}

fn only(body: &Value, known: &[&str]) -> Result<(), String> {
    let body = body.as_object().ok_or("the body is not an object")?;
    match body.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(format!("unknown member {key}")),
    }
}

fn one_of(body: &Value, member: &str, values: &[&str]) -> Result<(), String> {
    let value = body[member].as_str().unwrap_or_default();
    values.contains(&value).then_some(()).ok_or_else(|| format!("{member} is {value:?}"))
}

fn at_most(body: &Value, member: &str, characters: usize) -> Result<(), String> {
    let length = body[member].as_str().map(|text| text.chars().count());
    match length {
        Some(length) if (1..=characters).contains(&length) => Ok(()),
        other => Err(format!("{member} has {other:?} characters")),
    }
}
