//! All events that the filters of the list pick, owed again: first how many they are, then, when that is meant, the deed.
//! Both are bounded, and say so: a job at a destination's page, or of the command line, has no such bound.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::EventId;
use hookward_engine::store::Page as Span;
use http::StatusCode;
use serde::Deserialize;

use super::acts::redeliver_each;
use super::filters::Asked;
use super::list::{LIST, ask};
use crate::api::caller::Redeliver;
use crate::api::{Api, page as cursors};
use crate::dashboard::form::Form;
use crate::dashboard::page::{Failure, Page, Refused};
use crate::dashboard::shell::{Section, Shell};
use crate::dashboard::visitor::Visitor;
use crate::dashboard::words::{self, When};

/// How many events are redelivered at once, at most.
const ALL_MAX: usize = 1_000;

/// How many looks that takes, at most: each steps over a bounded number of rows.
const LOOKS_MAX: usize = 10;

#[derive(Debug, Template)]
#[template(path = "dashboard/events_all.html")]
struct All {
    shell: Shell,
    /// The filters, by name.
    fields: Vec<(String, String)>,
    /// To whom; to everyone who hears such events when it is empty.
    destination: String,
    /// The position of what was newest when they were counted.
    newest: String,
    count: usize,
    counted: String,
    /// Why there may be more.
    more: Option<More>,
    back: String,
    /// The number is another one than the form said.
    has_changed: bool,
}

/// Why a look ended before everything was looked at.
#[derive(Debug)]
enum More {
    /// There are as many as are redelivered at once.
    Full,
    /// It stepped over as many rows as it may.
    LookedBackTo(When),
}

/// What matches.
struct Matching {
    events: Vec<EventId>,
    newest: String,
    more: Option<More>,
}

/// The list as it was when it was counted, and the number that was shown then.
#[derive(Debug, Deserialize)]
pub(super) struct Meant {
    /// As [`All::newest`].
    newest: String,
    count: usize,
    #[serde(flatten)]
    asked: Asked,
}

/// Finds what matches, up to the position `newest`, which is now's where it is empty: what comes later was not meant.
async fn matching(api: &Api, visitor: &Visitor<Redeliver>, asked: &Asked, newest: &str) -> Result<Matching, Failure> {
    if !asked.is_narrow() {
        return Err(Failure::invalid("Choose a filter first."));
    }
    let now = api.clock().now();
    let filter = asked.filter(api, visitor, now).await.map_err(|wrong| Failure::invalid(wrong.says))?;
    let mut newest = match newest {
        "" => None,
        newest => Some(cursors::position(LIST, newest)?),
    };
    let mut before = newest.map(|newest| newest.saturating_add(1));
    let mut found = Matching { events: Vec::new(), newest: String::new(), more: None };
    for _ in 0..LOOKS_MAX {
        let page = Span { before, limit: Span::LIMIT_MAX };
        let (step, _) = ask(api, visitor, filter.clone(), &asked.body, page).await?;
        newest = newest.or(Some(step.newest));
        found.events.extend(step.items.iter().map(|activity| activity.event.id));
        before = step.next;
        found.more = step.looked_back_to.map(|at: Timestamp| More::LookedBackTo(When::new(at, now)));
        if before.is_none() || found.events.len() >= ALL_MAX {
            break;
        }
    }
    if found.events.len() > ALL_MAX || (before.is_some() && found.more.is_none()) {
        found.more = Some(More::Full);
    }
    found.events.truncate(ALL_MAX);
    found.newest = cursors::cursor(LIST, newest.unwrap_or_default());
    Ok(found)
}

fn page(api: &Api, visitor: &Visitor<Redeliver>, asked: &Asked, found: Matching, has_changed: bool) -> All {
    All {
        shell: visitor.shell(api, Section::Events, "Redeliver all that match"),
        fields: asked.fields().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        destination: asked.destination.clone(),
        newest: found.newest,
        count: found.events.len(),
        counted: words::count(found.events.len() as u64),
        more: found.more,
        back: asked.path(&[]),
        has_changed,
    }
}

/// `GET /dashboard/events/redeliver-all`
pub(super) async fn confirm(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let found = matching(&api, &visitor, &asked, "").await?;
    Ok(Page(page(&api, &visitor, &asked, found, false)).into_response())
}

/// `POST /dashboard/events/redeliver-all`
pub(super) async fn redeliver(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    Form(Meant { newest, count, asked }): Form<Meant>,
) -> Result<Response, Failure> {
    let found = matching(&api, &visitor, &asked, &newest).await?;
    if found.events.len() != count {
        return Ok(Refused(StatusCode::CONFLICT, page(&api, &visitor, &asked, found, true)).into_response());
    }
    let to = Some(asked.destination.as_str()).filter(|name| !name.is_empty());
    redeliver_each(&api, &visitor, &found.events, to, asked.path(&[])).await
}
