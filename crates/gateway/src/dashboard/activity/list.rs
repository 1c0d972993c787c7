//! The list of events: what an address asks for, one page of it, and word of what came since. Rows that are shown stay
//! where they are; what is new waits behind a link, and what becomes of deliveries is shown in its place.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::{AttemptId, DeliveryId, EventId};
use hookward_engine::model::{PUBLISH, Principal, Scope};
use hookward_engine::store::{Activities, Activity, ActivityFilter, Page as Span, Standing, StoreError};
use hookward_engine::{EngineError, activity};
use http::StatusCode;

use super::body::visible;
use super::filters::{Asked, SPANS, Wrong};
use super::marks::{self, Mark, OUTCOMES, STATES};
use super::path_of;
use crate::api::caller::Read;
use crate::api::{Api, page as cursors};
use crate::dashboard::page::{Failure, Page, Refused, see_other};
use crate::dashboard::pager::Pager;
use crate::dashboard::shell::{Section, Shell};
use crate::dashboard::visitor::Visitor;
use crate::dashboard::words::{self, When};

/// What the cursors of this list are called.
pub(super) const LIST: &str = "activity";

/// How many events an expression is asked about, as the page says it.
const ASKED: u32 = activity::ASKED_MAX;

/// How many new ones are counted, and how many rows are kept current, at most.
const COUNTED: u32 = 50;

/// How many deliveries of an event stand in its row.
const IN_ROW: usize = 3;

#[derive(Debug, Template)]
#[template(path = "dashboard/events.html")]
struct List {
    shell: Shell,
    asked: Asked,
    choices: Choices,
    wrong: Option<Wrong>,
    found: Found,
    /// What the rows' form comes back to.
    back: String,
    may_redeliver: bool,
}

/// What can be chosen in the filters.
#[derive(Debug)]
struct Choices {
    states: [(&'static str, &'static str); 7],
    spans: [(&'static str, &'static str, u64); 5],
    sources: Vec<String>,
    destinations: Vec<String>,
}

/// One page of the list.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<Row>,
    pager: Pager,
    /// The address that tells what came since; only the first page has one.
    news: Option<String>,
    /// How far back it looked, when it stopped before its page was full.
    looked_back_to: Option<When>,
    /// What the expression could not say.
    failed: Option<String>,
}

/// One event.
#[derive(Debug)]
struct Row {
    id: String,
    path: String,
    event_type: String,
    source: String,
    is_published: bool,
    received: When,
    delivery_id: Option<String>,
    size: String,
    standing: StandingCell,
}

/// How its deliveries stand.
#[derive(Debug)]
struct StandingCell {
    is_duplicate: bool,
    is_stripped: bool,
    deliveries: Vec<Stand>,
    /// How many more there are.
    more: usize,
}

#[derive(Debug)]
struct Stand {
    destination: String,
    mark: Mark,
    why: Option<String>,
}

/// What came since.
#[derive(Debug, Template)]
#[template(path = "dashboard/events_new.html")]
struct News {
    /// `3`, `50+`; nothing when there is none.
    count: Option<String>,
    path: String,
    cells: Vec<(EventId, StandingCell)>,
}

/// `GET /dashboard/events`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let now = api.clock().now();
    let looked = match named(&api, &visitor, &asked).await? {
        Named::Event(path) => return Ok(see_other(&path)),
        Named::Nothing => Err(Wrong::new("q", "There is nothing with this id.")),
        Named::Other => look(&api, &visitor, &asked, now).await?,
    };
    let (found, wrong) = match looked {
        Ok(found) => (found, None),
        Err(wrong) => (Found::default(), Some(wrong)),
    };
    let names = |names: &mut dyn Iterator<Item = String>| {
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let engine = api.engine();
    let choices = Choices {
        states: STATES,
        spans: SPANS,
        sources: names(&mut engine.sources(visitor.organization).into_iter().map(|source| source.name)),
        destinations: names(&mut engine.destinations(visitor.organization).into_iter().map(|to| to.name)),
    };
    let is_wrong = wrong.is_some();
    let here = [("before", asked.place.before.as_str()), ("newer", asked.place.newer.as_str())];
    let here: Vec<_> = here.into_iter().filter(|(_, at)| !at.is_empty()).collect();
    let list = List {
        shell: visitor.shell(&api, Section::Events, "Events").noticing(asked.notice),
        back: asked.path(&here),
        asked,
        choices,
        wrong,
        found,
        may_redeliver: visitor.scopes().contains(Scope::Redeliver),
    };
    Ok(if is_wrong {
        Refused(StatusCode::UNPROCESSABLE_ENTITY, list).into_response()
    } else {
        Page(list).into_response()
    })
}

/// `GET /dashboard/events/new`: a part of the list, fetched again and again.
pub(super) async fn news(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let now = api.clock().now();
    let gone = |wrong: Wrong| Failure::invalid(wrong.says);
    let mut filter = asked.filter(&api, &visitor, now).await.map_err(gone)?;
    filter.after = Some(cursors::position(LIST, &asked.after)?);
    let page = Span { before: None, limit: COUNTED };
    let (found, _) = ask(&api, &visitor, filter, &asked.body, page).await?;
    let count = found.items.len();
    let more = if found.next.is_some() { "+" } else { "" };
    let ids = asked.shown.split(',').filter_map(|id| id.parse::<EventId>().ok()).take(COUNTED as usize).collect();
    let standing = api.engine().store().standing(visitor.organization, ids).await?;
    // What is a duplicate owes nothing until it is redelivered, and then its row says that.
    let cell = |(id, standing): (EventId, Vec<Standing>)| (id, StandingCell::new(false, false, standing));
    let news = News {
        count: (count > 0).then(|| format!("{count}{more}")),
        path: asked.path(&[]),
        cells: standing.into_iter().map(cell).collect(),
    };
    Ok(Page(news).into_response())
}

/// What an id is of.
enum Named {
    /// An event, which has a page.
    Event(String),
    /// Nothing that there is.
    Nothing,
    /// No id of ours.
    Other,
}

async fn named(api: &Api, by: &Principal, asked: &Asked) -> Result<Named, Failure> {
    let (store, organization, text) = (api.engine().store(), by.organization, asked.q.trim());
    let delivery = if let Ok(event) = text.parse::<EventId>() {
        return match store.event(organization, event).await {
            Err(StoreError::NotFound { .. }) => Ok(Named::Nothing),
            found => Ok(Named::Event(path_of(found?.id))),
        };
    } else if let Ok(attempt) = text.parse::<AttemptId>() {
        match store.delivery_of(organization, attempt).await {
            Err(StoreError::NotFound { .. }) => return Ok(Named::Nothing),
            found => found?,
        }
    } else if let Ok(delivery) = text.parse::<DeliveryId>() {
        delivery
    } else {
        return Ok(Named::Other);
    };
    match store.delivery(organization, delivery).await {
        Err(StoreError::NotFound { .. }) => Ok(Named::Nothing),
        found => {
            let (delivery, attempts) = found?;
            let path = format!("{}?delivery={}", path_of(delivery.event), delivery.id);
            let attempt = attempts.iter().find(|attempt| attempt.id.to_string() == text);
            let attempt = attempt.map(|attempt| format!("&attempt={}", attempt.number)).unwrap_or_default();
            Ok(Named::Event(path + &attempt))
        }
    }
}

async fn look(api: &Api, by: &Principal, asked: &Asked, now: Timestamp) -> Result<Result<Found, Wrong>, Failure> {
    let filter = match asked.filter(api, by, now).await {
        Ok(filter) => filter,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let before = Some(asked.place.before.as_str()).filter(|before| !before.is_empty());
    let page = cursors::page(LIST, None, before)?;
    let (found, failed) = match ask(api, by, filter, &asked.body, page).await {
        Ok(found) => found,
        Err(EngineError::Invalid(problem)) => {
            return Ok(Err(Wrong::new("body", format!("This is no expression: {problem}."))));
        }
        Err(error) => return Err(error.into()),
    };
    let unsettled = |activity: &&Activity| activity.deliveries.iter().any(|one| !marks::is_over(&one.delivery));
    let shown: Vec<String> =
        found.items.iter().filter(unsettled).map(|activity| activity.event.id.to_string()).collect();
    let newest = cursors::cursor(LIST, found.newest);
    let news = || asked.path_at("/dashboard/events/new", &[("after", newest.as_str()), ("shown", &shown.join(","))]);
    Ok(Ok(Found {
        pager: asked.place.pager_with(found.next.map(|next| cursors::cursor(LIST, next)), |place| asked.path(place)),
        news: before.is_none().then(news),
        looked_back_to: found.looked_back_to.map(|at| When::new(at, now)),
        failed,
        rows: found.items.into_iter().map(|activity| row(activity, now)).collect(),
    }))
}

/// What the engine finds, and what an expression could not say.
pub(super) async fn ask(
    api: &Api,
    by: &Principal,
    filter: ActivityFilter,
    expression: &str,
    page: Span,
) -> Result<(Activities, Option<String>), EngineError> {
    if expression.is_empty() {
        return Ok((api.engine().store().activity(by.organization, filter, page).await?, None));
    }
    let activity::Sifted { found, failed, failure } =
        api.engine().sift(by.organization, filter, expression, page).await?;
    let events = if failed == 1 { "1 event".to_owned() } else { format!("{} events", words::count(failed.into())) };
    let failed =
        (failed > 0).then(|| format!("The expression has no value for {events} looked at. The first: {failure}."));
    Ok((found, failed))
}

fn row(activity: Activity, now: Timestamp) -> Row {
    let Activity { event, deliveries, .. } = activity;
    Row {
        id: event.id.to_string(),
        path: path_of(event.id),
        event_type: visible(&event.event_type),
        is_published: event.source_name == PUBLISH,
        source: event.source_name,
        received: When::new(event.received_at, now),
        delivery_id: event.delivery_id.as_deref().map(visible),
        size: words::bytes(event.body_len),
        standing: StandingCell::new(event.duplicate_of.is_some(), event.stripped_at.is_some(), deliveries),
    }
}

impl StandingCell {
    fn new(is_duplicate: bool, is_stripped: bool, deliveries: Vec<Standing>) -> Self {
        let more = deliveries.len().saturating_sub(IN_ROW);
        let mut deliveries = deliveries;
        // What is not well is seen first.
        deliveries.sort_by_key(|standing| match marks::of_delivery(&standing.delivery).kind {
            "bad" => 0,
            "wait" => 1,
            "held" => 2,
            _ => 3,
        });
        let stand = |standing: Standing| {
            let mark = marks::of_delivery(&standing.delivery);
            let why = marks::why(&standing).filter(|_| mark.kind != "ok");
            Stand { destination: standing.delivery.destination_name, mark, why }
        };
        let deliveries = deliveries.into_iter().take(IN_ROW).map(stand).collect();
        Self { is_duplicate, is_stripped, deliveries, more }
    }
}
