//! One event: what was proven of it, what it is, and what becomes of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::EventId;
use hookward_engine::model::{DestinationKind, Event, PUBLISH, RequestRecord, Scope};
use hookward_engine::store::StoreError;
use serde::Deserialize;

use super::body::{self, View};
use super::curl::{self, Again, Content, INLINE_MAX};
use super::progress::{self, Chosen, Progress};
use super::{id, path_of};
use crate::api::Api;
use crate::api::caller::Read;
use crate::dashboard::notice::Notice;
use crate::dashboard::page::{Failure, Page, escaped};
use crate::dashboard::shell::{Section, Shell};
use crate::dashboard::visitor::Visitor;
use crate::dashboard::words::{self, When};

/// What of an event is looked at, and how.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Looked {
    delivery: Option<String>,
    attempt: Option<u32>,
    /// `pretty`, `raw` or `hex`.
    body: Option<String>,
    notice: Option<Notice>,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/event.html")]
struct Shown {
    shell: Shell,
    event: About,
    verdict: Verdict,
    progress: Progress,
    headers: Vec<(String, String)>,
    body: Option<Body>,
    curl: Option<String>,
    /// To whom it may be redelivered.
    destinations: Vec<String>,
    may_redeliver: bool,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/event_progress.html")]
struct Fragment {
    shell: Shell,
    progress: Progress,
}

/// The event itself.
#[derive(Debug)]
struct About {
    id: String,
    path: String,
    event_type: String,
    source: String,
    source_path: Option<String>,
    is_published: bool,
    delivery_id: Option<String>,
    received: When,
    /// The original's id and path.
    duplicate_of: Option<(String, String)>,
    stripped: Option<When>,
    /// The request's method and target, and where it came from; what is published or told by Hookward itself has none.
    request: Option<(String, String)>,
    size: String,
    sha256: String,
}

/// How it was proven.
#[derive(Debug, Default)]
struct Verdict {
    kind: &'static str,
    word: &'static str,
    says: String,
    scheme: Option<String>,
    key_version: Option<u64>,
    signed: Option<When>,
    /// What the proof covers, and how strong it is.
    covers: Vec<Covers>,
}

/// One thing that a proof says.
#[derive(Debug)]
struct Covers {
    what: &'static str,
    kind: &'static str,
    word: &'static str,
    /// What follows from it; empty where nothing does.
    follows: &'static str,
}

/// Its body.
#[derive(Debug)]
struct Body {
    /// Name, address, whether it is this one.
    views: Vec<(&'static str, String, bool)>,
    shown: body::Shown,
    download: String,
}

/// `GET /dashboard/events/{id}`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Path(event): Path<String>,
    Query(looked): Query<Looked>,
) -> Result<Response, Failure> {
    let event: EventId = id(&event, "event")?;
    let event = api.engine().store().event(visitor.organization, event).await?;
    let bytes = bytes_of(&api, &event).await?;
    let chosen = Chosen { delivery: looked.delivery.clone(), attempt: looked.attempt };
    let content = bytes.as_ref().map_or(Content::None, Content::Bytes);
    let progress = progress::of(&api, &event, content, &chosen, visitor.scopes()).await?;
    let now = api.clock().now();
    let title = if event.event_type.is_empty() { "Event".to_owned() } else { body::visible(&event.event_type) };
    let destinations = api.engine().destinations(visitor.organization).into_iter();
    let destinations = destinations.filter(|to| !matches!(to.spec.kind, DestinationKind::Report(_)));
    let mut destinations: Vec<String> = destinations.map(|to| to.name).collect();
    destinations.sort();
    let known = api.engine().source(visitor.organization, &event.source_name).is_some();
    let shown = Shown {
        shell: visitor.shell(&api, Section::Events, title).noticing(looked.notice),
        verdict: verdict(&event, now),
        curl: bytes.as_ref().filter(|_| is_of_request(&event.request)).map(|bytes| again(&event, bytes)),
        headers: progress::headers(&event.request.headers),
        body: bytes.as_ref().map(|bytes| body_of(&event, bytes, &looked)),
        event: about(event, known, now),
        progress,
        destinations,
        may_redeliver: visitor.scopes().contains(Scope::Redeliver),
    };
    Ok(Page(shown).into_response())
}

/// `GET /dashboard/events/{id}/progress`: a part of the page, fetched again and again.
pub(super) async fn progress(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Path(event): Path<String>,
    Query(chosen): Query<Chosen>,
) -> Result<Response, Failure> {
    let event: EventId = id(&event, "event")?;
    let event = api.engine().store().event(visitor.organization, event).await?;
    // What does not stand in the page is not read again and again.
    let is_long = event.body_len > INLINE_MAX as u64;
    let bytes = if is_long { None } else { bytes_of(&api, &event).await? };
    let content = bytes.as_ref().map_or(if is_long { Content::Long } else { Content::None }, Content::Bytes);
    let progress = progress::of(&api, &event, content, &chosen, visitor.scopes()).await?;
    let shell = visitor.shell(&api, Section::Events, "");
    Ok(Page(Fragment { shell, progress }).into_response())
}

fn is_of_request(request: &RequestRecord) -> bool {
    !request.method.is_empty()
}

/// The body, as long as retention left it.
async fn bytes_of(api: &Api, event: &Event) -> Result<Option<Bytes>, Failure> {
    match api.engine().store().body(event.organization, event.id).await {
        Err(StoreError::NotFound { .. }) => Ok(None),
        found => Ok(Some(found?)),
    }
}

fn about(event: Event, source_is_known: bool, now: Timestamp) -> About {
    let source_path = source_is_known.then(|| format!("/dashboard/sources/{}", escaped(&event.source_name)));
    About {
        id: event.id.to_string(),
        path: path_of(event.id),
        is_published: event.source_name == PUBLISH,
        event_type: body::visible(&event.event_type),
        source: event.source_name,
        source_path,
        delivery_id: event.delivery_id.as_deref().map(body::visible),
        received: When::new(event.received_at, now),
        duplicate_of: event.duplicate_of.map(|id| (id.to_string(), path_of(id))),
        stripped: event.stripped_at.map(|at| When::new(at, now)),
        request: is_of_request(&event.request).then(|| {
            let line = format!("{} {}", event.request.method, event.request.target);
            (body::visible(&line), event.request.remote)
        }),
        size: words::bytes(event.body_len),
        sha256: hex::encode(event.body_sha256),
    }
}

/// The verdict as `receive` wrote it down.
fn verdict(event: &Event, now: Timestamp) -> Verdict {
    let told = &event.verdict;
    let source = &event.source_name;
    match told["proof"].as_str() {
        Some("verified") => {
            let key_version = told["key_version"].as_u64();
            let version = key_version.map(|version| format!("version {version} of ")).unwrap_or_default();
            Verdict {
                kind: "ok",
                word: "Verified",
                says: format!("The sender holds {version}the secret of {source}."),
                scheme: told["scheme"].as_str().map(str::to_owned),
                key_version,
                signed: told["signed_at_ms"].as_i64().map(|at| When::new(Timestamp::from_millis(at), now)),
                covers: covers(told),
            }
        }
        Some("unsigned") => Verdict {
            kind: "warn",
            word: "Unsigned",
            says: format!("Source {source} takes requests from anybody: nothing proves who sent this one."),
            ..Verdict::default()
        },
        Some("api_key") => Verdict {
            kind: "ok",
            word: "API key",
            says: "It was published with an API key.".to_owned(),
            ..Verdict::default()
        },
        Some("engine") => {
            Verdict { kind: "info", word: "Own", says: "Hookward tells of itself.".to_owned(), ..Verdict::default() }
        }
        _ => Verdict {
            kind: "",
            word: "Unknown",
            says: "Nothing is kept of how it was proven.".to_owned(),
            ..Verdict::default()
        },
    }
}

/// What the proof covers, in words. What events from before do not tell is said to be unknown, never to be good or bad.
fn covers(told: &serde_json::Value) -> Vec<Covers> {
    let of = |what: &str| told["binds"][what].as_bool();
    let bound = |what, is_bound: Option<bool>, follows| match is_bound {
        Some(true) => Covers { what, kind: "ok", word: "Covered", follows },
        Some(false) => Covers { what, kind: "", word: "Not covered", follows: "" },
        None => Covers { what, kind: "", word: "Not recorded", follows: "" },
    };
    let body = match of("part_of_body") {
        Some(true) => {
            let follows = "Some values of it are covered; everything else in it may be anybody's.";
            Covers { what: "Body", kind: "warn", word: "In part", follows }
        }
        _ => bound("Body", of("body"), "Nobody who captures a request can change this."),
    };
    let repeat = match of("unique") {
        Some(true) => {
            let follows = "It is known again, however it is sent.";
            Covers { what: "A repeat", kind: "ok", word: "Can be told", follows }
        }
        Some(false) => {
            let follows = "Nothing that is covered tells one from a new request.";
            Covers { what: "A repeat", kind: "", word: "Cannot be told", follows }
        }
        None => bound("A repeat", None, ""),
    };
    let strength = match told["is_weak"].as_bool() {
        Some(true) => {
            let follows = "Experts could make it without the secret: a plain hash over it, or RSA with SHA-1.";
            Covers { what: "Proof", kind: "warn", word: "Weak", follows }
        }
        Some(false) => {
            Covers { what: "Proof", kind: "ok", word: "Sound", follows: "Nobody makes it without the secret." }
        }
        None => bound("Proof", None, ""),
    };
    vec![
        body,
        bound("Time of signing", of("time"), "An old request cannot be sent again."),
        bound("URL", of("url"), "It was meant for this address."),
        bound("Delivery id", of("id"), "It cannot be sent again under another id."),
        repeat,
        strength,
    ]
}

fn content_type(event: &Event) -> String {
    let header = event.request.headers.iter().find(|(name, _)| name == "content-type");
    header.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

fn body_of(event: &Event, bytes: &Bytes, looked: &Looked) -> Body {
    let wanted = View::ALL.into_iter().find(|view| Some(view.code()) == looked.body.as_deref());
    let shown = body::show(bytes, &content_type(event), wanted);
    let path = path_of(event.id);
    let delivery = looked.delivery.as_deref().map(|id| format!("&delivery={}", escaped(id)));
    let attempt = looked.attempt.map(|number| format!("&attempt={number}"));
    let kept = delivery.unwrap_or_default() + &attempt.unwrap_or_default();
    let view = |view: View| (view.name(), format!("{path}?body={}{kept}#body", view.code()), view == shown.view);
    Body { views: View::ALL.into_iter().map(view).collect(), download: format!("{path}/body"), shown }
}

/// The request as it came.
fn again(event: &Event, bytes: &Bytes) -> String {
    let request = &event.request;
    let url = curl::url_of(&request.headers, &request.target);
    let file = format!("{}.body", event.id);
    let (method, headers) = (request.method.as_str(), &request.headers[..]);
    curl::command(&Again { method, url: &url, headers, body: Content::Bytes(bytes), file: &file })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(told: &serde_json::Value) -> Vec<&'static str> {
        covers(told).into_iter().map(|said| said.word).collect()
    }

    #[test]
    fn what_was_not_recorded_is_said_to_be_neither_good_nor_bad() {
        let before = json!({ "binds": { "body": true, "time": false, "url": false, "id": false } });
        let same = ["Covered", "Not covered", "Not covered", "Not covered"];
        assert_eq!(words(&before), [&same[..], &["Not recorded", "Not recorded"]].concat());
        let binds =
            json!({ "body": false, "part_of_body": true, "time": true, "url": true, "id": true, "unique": true });
        let told = json!({ "binds": binds, "is_weak": false });
        assert_eq!(words(&told), ["In part", "Covered", "Covered", "Covered", "Can be told", "Sound"]);
        let binds =
            json!({ "body": false, "part_of_body": false, "time": false, "url": false, "id": false, "unique": false });
        let told = json!({ "binds": binds, "is_weak": true });
        assert_eq!(words(&told), [&["Not covered"; 4][..], &["Cannot be told", "Weak"]].concat());
    }
}
