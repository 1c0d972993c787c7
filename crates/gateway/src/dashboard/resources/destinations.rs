//! Destinations on pages: the list, and one with how it fares, when it tries again, how its receiver verifies, and its
//! secrets.

mod facts;
mod operate;
mod snippets;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hookward_engine::clock::Timestamp;
use hookward_engine::model::{
    Destination, DestinationKind, DestinationState, OnHeadFailure, Principal, Scope, Signing,
};
use hookward_engine::store::{Owed, Page as Rows};
use serde::Deserialize;

use super::super::notice::Notice;
use super::super::page::{Failure, Page};
use super::super::pager::{Pager, Place};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::{self, When};
use super::at::{At, page_of};
use super::declare;
use super::panel::{self, Keyholder, Panel};
use super::sources::manager;
use super::table;
use crate::api::caller::Read;
use crate::api::condition::health;
use crate::api::destinations::{authentication, without_query};
use crate::api::secrets::Owners;
use crate::api::{Api, page};
use snippets::{Language, Snippet};

/// Where the list is.
const LIST: &str = "/dashboard/destinations";

/// How many are on one page of the list.
const ROWS: u32 = 50;

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route(LIST, get(list))
        .route("/dashboard/destinations/{name}", get(show))
        .route("/dashboard/destinations/{name}/pause", post(operate::pause))
        .route("/dashboard/destinations/{name}/resume", post(operate::resume))
        .route("/dashboard/destinations/{name}/recover", post(operate::recover))
}

#[derive(Debug, Template)]
#[template(path = "dashboard/destinations.html")]
struct Destinations {
    shell: Shell,
    rows: Vec<Row>,
    pager: Pager,
    may_make: bool,
}

#[derive(Debug)]
struct Row {
    name: String,
    page: String,
    kind: &'static str,
    to: String,
    badges: Vec<(&'static str, &'static str)>,
    outstanding: String,
    held: String,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/destination.html")]
struct One {
    shell: Shell,
    name: String,
    page: String,
    kind: &'static str,
    to: String,
    badges: Vec<(&'static str, &'static str)>,
    is_active: bool,
    /// Why it takes nothing.
    reason: Option<String>,
    health: Vec<(&'static str, When)>,
    owed: Counts,
    attempts: Vec<Try>,
    /// What follows after the last one.
    ends: &'static str,
    jitter_percent: u8,
    facts: Vec<(&'static str, Vec<String>)>,
    signing: Vec<String>,
    authentication: Vec<String>,
    /// Whether its receiver could verify anything.
    is_sent: bool,
    languages: Vec<(Language, bool)>,
    snippet: Option<Snippet>,
    panel: Panel,
    table: String,
    manager: &'static str,
    may_change: bool,
    may_operate: bool,
    problem: Option<String>,
    recovering: operate::Recovering,
}

/// What it is owed.
#[derive(Debug)]
struct Counts {
    outstanding: String,
    held: String,
    has_held: bool,
    waiting: String,
    next: Option<When>,
}

/// An attempt that would be made.
#[derive(Debug)]
struct Try {
    at: When,
    after: String,
}

/// Which part of the list, or which language.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    notice: Option<Notice>,
    #[serde(flatten)]
    place: Place,
    #[serde(default)]
    language: Language,
}

/// `GET /dashboard/destinations`
async fn list(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let mut destinations = api.engine().destinations(visitor.organization);
    destinations.retain(|destination| !destination.is_retired());
    let slice = page::slice(destinations, Rows { before: asked.place.position(), limit: ROWS });
    let owed = api.engine().backlog_of(&slice.items).await?;
    let row = |destination: Destination| {
        let owed = owed.iter().find(|owed| owed.destination == destination.id);
        Row {
            page: page_of(Owners::Destinations, &destination.name),
            kind: kind(&destination.spec.kind),
            to: to(&destination.spec.kind),
            badges: badges(&destination),
            outstanding: words::count(owed.map_or(0, |owed| owed.outstanding + owed.waiting)),
            held: words::count(owed.map_or(0, |owed| owed.held)),
            name: destination.name,
        }
    };
    let rows = slice.items.into_iter().map(row).collect();
    let shell = visitor.shell(&api, Section::Destinations, "Destinations").noticing(asked.notice);
    Ok(Page(Destinations {
        shell,
        rows,
        pager: asked.place.pager(slice.next, LIST),
        may_make: visitor.scopes().contains(Scope::Admin),
    })
    .into_response())
}

/// `GET /dashboard/destinations/{name}`
async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    At(name): At<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    Ok(Page(one(&api, &visitor, &name, asked).await?).into_response())
}

/// The one of this name that is not only remembered.
fn find(api: &Api, by: &Principal, name: &str) -> Result<Destination, Failure> {
    let destination = api.engine().destination(by.organization, name).filter(|one| !one.is_retired());
    destination.ok_or_else(|| Failure::not_found("There is no such destination."))
}

async fn one<S>(api: &Api, visitor: &Visitor<S>, name: &str, asked: Asked) -> Result<One, Failure> {
    let destination = find(api, visitor, name)?;
    let holder = Keyholder::of_destination(&destination);
    let panel = panel::panel(api, visitor, visitor.scopes(), &holder).await?;
    let owed = api.engine().backlog_of(std::slice::from_ref(&destination)).await?;
    let now = api.clock().now();
    let shell = visitor.shell(api, Section::Destinations, name).noticing(asked.notice);
    let spec = &destination.spec;
    let signs = |scheme: &str| !api.engine().sends_secret(visitor.organization, scheme);
    let signing: Vec<_> = spec.signing.iter().filter(|one| one.signs_at(now) && signs(&one.scheme)).collect();
    let at = |one: &Signing| api.engine().scheme_at(visitor.organization, &one.scheme, &one.parameters);
    let main = signing.first().and_then(|one| Some((at(one)?, *one)));
    let scopes = visitor.scopes();
    Ok(One {
        shell,
        page: holder.page(),
        kind: kind(&spec.kind),
        to: to(&spec.kind),
        badges: badges(&destination),
        is_active: destination.state == DestinationState::Active,
        reason: match &destination.state {
            DestinationState::Disabled { reason } => Some(reason.clone()),
            DestinationState::Active | DestinationState::Paused => None,
        },
        health: since(&destination, now),
        owed: counts(owed.first(), now),
        attempts: attempts(&destination, now),
        ends: ends(&destination),
        jitter_percent: spec.retry.jitter_percent,
        facts: facts::facts(&destination),
        signing: signing.iter().map(|one| title(api, visitor, &one.scheme)).collect(),
        authentication: authentication(api.engine(), visitor.organization, spec),
        is_sent: matches!(spec.kind, DestinationKind::Http(_)),
        languages: Language::ALL.map(|language| (language, language == asked.language)).to_vec(),
        snippet: main.and_then(|(scheme, by)| snippets::snippet(&scheme, &by.parameters, asked.language)),
        panel,
        table: table::shown(&destination.declaration.table),
        manager: manager(destination.declaration.manager),
        may_change: declare::may_change(scopes, destination.declaration.manager),
        may_operate: scopes.contains(Scope::Redeliver),
        problem: None,
        recovering: operate::Recovering::default(),
        name: destination.name.clone(),
    })
}

fn title(api: &Api, by: &Principal, scheme: &str) -> String {
    api.engine().scheme(by.organization, scheme).map_or_else(|| scheme.to_owned(), |scheme| scheme.title().to_owned())
}

fn kind(kind: &DestinationKind) -> &'static str {
    match kind {
        DestinationKind::Http(_) => "HTTP",
        DestinationKind::Command(_) => "Program",
        DestinationKind::Report(_) => "Report",
        DestinationKind::Pull(_) => "Pull",
        DestinationKind::Slack(_) => "Slack",
    }
}

/// Where it goes, without what may be a credential.
fn to(kind: &DestinationKind) -> String {
    match kind {
        DestinationKind::Http(http) => without_query(&http.url),
        DestinationKind::Command(command) => command.argv.join(" "),
        DestinationKind::Report(report) => format!("how {} ends, to {}", report.of, report.api_url),
        DestinationKind::Pull(_) => "taken by consumers over the API".to_owned(),
        DestinationKind::Slack(_) => "an incoming webhook".to_owned(),
    }
}

fn badges(destination: &Destination) -> Vec<(&'static str, &'static str)> {
    let state = match &destination.state {
        DestinationState::Active => None,
        DestinationState::Paused => Some(("held", "Paused")),
        DestinationState::Disabled { .. } => Some(("bad", "Disabled")),
    };
    let health = match health(&destination.condition) {
        "open" => ("bad", "Left alone"),
        "recovering" => ("info", "Recovering"),
        "failing" => ("wait", "Failing"),
        _ => ("ok", "Healthy"),
    };
    // How one is that takes nothing is not known now.
    let health = Some(health).filter(|health| state.is_none() || health.0 != "ok");
    state.into_iter().chain(health).collect()
}

fn since(destination: &Destination, now: Timestamp) -> Vec<(&'static str, When)> {
    let condition = &destination.condition;
    let failing = condition.failing_since.map(|at| ("Failing since", at));
    let open = condition.open.iter().flat_map(|open| [("Left alone since", open.since), ("Next probe", open.probe_at)]);
    let recovering = condition.recovering.map(|recovering| ("Back since", recovering.since));
    let all = failing.into_iter().chain(open).chain(recovering);
    all.map(|(name, at)| (name, When::new(at, now))).collect()
}

fn counts(owed: Option<&Owed>, now: Timestamp) -> Counts {
    let count = |number: Option<u64>| words::count(number.unwrap_or(0));
    Counts {
        outstanding: count(owed.map(|owed| owed.outstanding)),
        held: count(owed.map(|owed| owed.held)),
        has_held: owed.is_some_and(|owed| owed.held > 0),
        waiting: count(owed.map(|owed| owed.waiting)),
        next: owed.and_then(|owed| owed.next_due).map(|at| When::new(at, now)),
    }
}

/// When a delivery made now would be tried, if every attempt failed.
fn attempts(destination: &Destination, now: Timestamp) -> Vec<Try> {
    let waits = destination.spec.retry.waits_s.iter().copied().map(std::time::Duration::from_secs);
    let mut at = now;
    let mut attempts = vec![Try { at: When::new(at, now), after: "at once".to_owned() }];
    for wait in waits {
        at = at.plus(wait);
        attempts.push(Try { at: When::new(at, now), after: format!("{} later", words::lapse(wait)) });
    }
    attempts
}

fn ends(destination: &Destination) -> &'static str {
    match destination.spec.order.as_ref().map(|order| order.on_failure) {
        Some(OnHeadFailure::Block) => {
            "Then again at the last wait, until it is delivered or called off: those behind it wait."
        }
        Some(OnHeadFailure::Park { .. }) => "After its failures it is held beside its line, and the next one goes on.",
        Some(OnHeadFailure::Skip) => "Then it is exhausted, and the next one of its line goes on, marked.",
        None => "Then it is exhausted: kept, and one redelivery away.",
    }
}
