//! A source's door: its path, the methods it takes, and what it answers.
//! Owns their rules and their stored form; routing and answering is `ingest`.

use std::collections::BTreeMap;

use hookward::{EventAnswer, Hint, MAX_HINT};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::values::{Range, Size};
use super::{Check, Unmatched, file};

/// The gateway's own settings of a source, kept in its spec's `door`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// The exact path.
    pub path: String,
    /// What tells this source from others on the same path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<HintIs>,
    /// The methods taken; empty means every method.
    pub methods: Vec<String>,
    /// The addresses that may come here; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_addresses: Option<Vec<IpNet>>,
    /// The largest body, in bytes; the gateway's limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<usize>,
    /// What is answered.
    pub answers: Answers,
}

/// A value that a source's requests have in a place of their body. Unproven: it chooses the source whose secrets are tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HintIs {
    /// The place: a JSON pointer.
    pub pointer: String,
    /// What stands there.
    pub value: String,
}

/// What a source answers. `{event_id}` in a body stands for the first event's id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// A new event.
    pub accepted: Answer,
    /// A new event that no destination is owed; answered like any other new event when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<Answer>,
    /// A known one.
    pub duplicate: Answer,
    /// Not believed: the same for every reason.
    pub refused: Answer,
    /// A method that the source does not take.
    pub wrong_method: Answer,
}

/// A status and a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// May be empty.
    pub body: String,
    /// Of the body; not sent when the body is empty.
    pub content_type: String,
}

impl Answer {
    /// An answer in JSON.
    pub fn json(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), content_type: "application/json".to_owned() }
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            accepted: Answer::json(202, r#"{"status":"accepted","eventId":"{event_id}"}"#),
            ignored: None,
            duplicate: Answer::json(200, r#"{"status":"duplicate","eventId":"{event_id}"}"#),
            refused: Answer::json(401, r#"{"error":"Unauthorized"}"#),
            wrong_method: Answer::json(405, r#"{"error":"Method not allowed"}"#),
        }
    }
}

/// Which statuses an answer may have.
#[derive(Clone, Copy)]
enum Class {
    Success,
    ClientError,
}

/// What a source answers: what it says itself, else what its provider insists on, else what is built in.
pub(super) fn answers(check: &mut Check<'_>, file: file::Answers, demanded: Option<&EventAnswer>) -> Answers {
    let mut built_in = Answers::default();
    if let Some(EventAnswer { status, body, content_type }) = demanded {
        let answer = Answer { status: *status, body: body.clone(), content_type: content_type.clone() };
        built_in = Answers { accepted: answer.clone(), duplicate: answer, ..built_in };
    }
    Answers {
        accepted: answer(check, file.accepted, Class::Success).unwrap_or(built_in.accepted),
        ignored: answer(check, file.ignored, Class::Success),
        duplicate: answer(check, file.duplicate, Class::Success).unwrap_or(built_in.duplicate),
        refused: answer(check, file.refused, Class::ClientError).unwrap_or(built_in.refused),
        wrong_method: answer(check, file.wrong_method, Class::ClientError).unwrap_or(built_in.wrong_method),
    }
}

fn answer(check: &mut Check<'_>, file: Option<file::Answer>, class: Class) -> Option<Answer> {
    let file::Answer { status, body, content_type } = file?;
    let (allowed, words) = match class {
        Class::Success => (200..300, "2xx, because the event is safe"),
        Class::ClientError => (400..500, "4xx, because nothing was stored"),
    };
    if !allowed.contains(status.get_ref()) {
        check.problem(&status, format!("status {} is not possible here: this answer is {words}", status.get_ref()));
    }
    if *status.get_ref() == 204 && !body.is_empty() {
        check.problem(&status, "an answer with status 204 has no body");
    }
    if let Some(kind) = content_type.as_ref().filter(|kind| http::HeaderValue::from_str(kind.get_ref()).is_err()) {
        check.problem(kind, format!("`{}` is not a content type", kind.get_ref().escape_debug()));
    }
    let content_type = content_type.map_or_else(|| "application/json".to_owned(), Spanned::into_inner);
    Some(Answer { status: status.into_inner(), body, content_type })
}

pub(super) fn unmatched(check: &mut Check<'_>, files: Vec<file::Unmatched>) -> Vec<Unmatched> {
    let mut all = Vec::new();
    for file in files {
        if !file.prefix.get_ref().starts_with('/') {
            check.problem(&file.prefix, format!("prefix `{}` does not begin with `/`", file.prefix.get_ref()));
        }
        let answer = answer(check, Some(file.answer.into_inner()), Class::ClientError);
        all.extend(answer.map(|answer| Unmatched { prefix: file.prefix.into_inner(), answer }));
    }
    all.sort_by_key(|unmatched| std::cmp::Reverse(unmatched.prefix.len()));
    all
}

/// Paths that the listener answers itself.
const RESERVED: [&str; 2] = ["/healthz", "/readyz"];

/// Checks a source's path: matched byte for byte, so it must be one that requests can have.
pub(super) fn path(check: &mut Check<'_>, path: &Spanned<String>) {
    let text = path.get_ref();
    let problem = if !text.starts_with('/') {
        "it does not begin with `/`"
    } else if text.contains(['?', '#']) {
        "it contains `?` or `#`"
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        "it contains a blank or something that is not ASCII: write it percent-encoded, as it is requested"
    } else if text.split('/').any(|segment| matches!(segment, "." | "..")) || text.contains("//") {
        "it contains an empty, `.` or `..` segment"
    } else if RESERVED.contains(&text.as_str()) {
        "the listener answers it itself"
    } else {
        return;
    };
    check.problem(path, format!("path `{}` cannot be used: {problem}", text.escape_debug()));
}

/// Checks the methods a source takes. `["*"]` is every method, kept as an empty list.
pub(super) fn methods(check: &mut Check<'_>, methods: Option<Spanned<Vec<Spanned<String>>>>) -> Vec<String> {
    let Some(methods) = methods else { return vec!["POST".to_owned()] };
    if methods.get_ref().is_empty() {
        check.problem(&methods, "a source takes at least one method; write [\"*\"] for every method");
    }
    let list = methods.into_inner();
    if let [only] = list.as_slice()
        && only.get_ref() == "*"
    {
        return Vec::new();
    }
    for method in &list {
        let text = method.get_ref();
        let known =
            !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        if !known || text == "CONNECT" {
            check.problem(method, format!("`{}` is not a method; write one like \"POST\"", text.escape_debug()));
        }
    }
    list.into_iter().map(Spanned::into_inner).collect()
}

/// Checks the addresses that may come to a source.
pub(super) fn allow_addresses(check: &mut Check<'_>, ranges: Option<Spanned<Vec<Range>>>) -> Option<Vec<IpNet>> {
    let ranges = ranges?;
    if ranges.get_ref().is_empty() {
        check.problem(&ranges, "nobody could come to a source without addresses: leave `allow_addresses` out for all");
    }
    Some(ranges.into_inner().into_iter().map(|range| range.0).collect())
}

/// Checks a source's own limit on bodies: no wider than everybody's.
pub(super) fn body_bytes(check: &mut Check<'_>, size: &Spanned<Size>) -> usize {
    let bytes = size.get_ref().0;
    let most = check.around.body_bytes;
    if bytes == 0 || bytes > most {
        check.problem(size, format!("`body_bytes` of a source is from 1 to that in [limits], which is {most}"));
    }
    bytes
}

/// Checks what tells a source from others on its path: one place, and a value that could stand there.
pub(super) fn hint(check: &mut Check<'_>, hint: Option<Spanned<BTreeMap<String, String>>>) -> Option<HintIs> {
    let hint = hint?;
    let mut places = hint.get_ref().iter();
    let (Some((pointer, value)), None) = (places.next(), places.next()) else {
        check.problem(&hint, "a hint is one place and its value, like { \"/repository/full_name\" = \"acme/web\" }");
        return None;
    };
    if let Err(error) = Hint::new(pointer) {
        check.problem(&hint, format!("this hint cannot be used: {error}"));
    }
    if value.is_empty() || value.len() > MAX_HINT {
        check.problem(&hint, format!("a hint's value has 1 to {MAX_HINT} bytes"));
    }
    Some(HintIs { pointer: pointer.clone(), value: value.clone() })
}

/// Checks a source against those that have the same path. What is decided before a body says whose a request is must be the
/// same for all of them.
pub(super) fn shared(
    check: &mut Check<'_>,
    at: &Spanned<String>,
    name: &str,
    door: &Door,
    neighbours: &[&(String, Door)],
) {
    let Some((other, first)) = neighbours.first() else { return };
    let path = &door.path;
    let (Some(hint), Some(first_hint)) = (&door.hint, &first.hint) else {
        let message = format!("path `{path}` is already that of source `{other}`");
        check.conflict(at, format!("{message}; sources share a path only when each has a `hint`"));
        return;
    };
    for (equal, what) in [
        (hint.pointer == first_hint.pointer, "place in `hint`"),
        (door.methods == first.methods, "`methods`"),
        (door.allow_addresses == first.allow_addresses, "`allow_addresses`"),
        (door.body_bytes == first.body_bytes, "`body_bytes`"),
        (door.answers.refused == first.answers.refused, "`answers.refused`"),
        (door.answers.wrong_method == first.answers.wrong_method, "`answers.wrong_method`"),
    ] {
        if !equal {
            let sources = format!("sources `{other}` and `{name}` share path `{path}`");
            check.problem(at, format!("{sources}, so they need the same {what}"));
        }
    }
    if let Some((twin, _)) = neighbours.iter().find(|(_, other)| other.hint == door.hint) {
        let value = hint.value.escape_debug();
        check.conflict(
            at,
            format!("sources `{twin}` and `{name}` share path `{path}` and have the same hint `{value}`"),
        );
    }
}
