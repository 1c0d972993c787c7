//! Sources on pages: the list, and one with its set-up, its rules, what it refused, and its secrets.

mod checks;
mod steps;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hookward::Scheme;
use hookward_engine::clock::Timestamp;
use hookward_engine::model::{Manager, Principal, Proof, Scope, Source};
use hookward_engine::store::{EventFilter, Page as Rows, RefusedFilter};
use hookward_engine::{Engine, EngineError};
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
use super::refusals::{self, Refusal};
use super::table;
use crate::api::caller::Read;
use crate::api::secrets::Owners;
use crate::api::{Api, page};
use crate::config::{Answer, Door};

/// Where the list is.
const LIST: &str = "/dashboard/sources";

/// How many are on one page of the list.
const ROWS: u32 = 50;

/// How many refusals a source's page shows.
const REFUSALS: u32 = 8;

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route(LIST, get(list))
        .route("/dashboard/sources/{name}", get(show))
        .route("/dashboard/sources/{name}/first", get(first))
}

#[derive(Debug, Template)]
#[template(path = "dashboard/sources.html")]
struct Sources {
    shell: Shell,
    rows: Vec<Row>,
    pager: Pager,
    may_make: bool,
}

#[derive(Debug)]
struct Row {
    name: String,
    page: String,
    proof: String,
    is_unsigned: bool,
    path: String,
    latest: Option<When>,
    manager: &'static str,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/source.html")]
struct One {
    shell: Shell,
    name: String,
    page: String,
    url: String,
    /// Whether senders see the listener under that origin for sure.
    is_origin_known: bool,
    proof: String,
    docs: Option<String>,
    is_unsigned: bool,
    manager: &'static str,
    may_change: bool,
    first: First,
    steps: Vec<steps::Step>,
    check: Option<checks::Check>,
    rules: Vec<(&'static str, Vec<String>)>,
    refusals: Vec<Refusal>,
    panel: Panel,
    table: String,
}

/// Whether anything came yet: the part of the page that stays current.
#[derive(Debug, Template)]
#[template(path = "dashboard/source_first.html")]
struct First {
    event: Option<Came>,
    refusal: Option<Refusal>,
}

/// The newest event.
#[derive(Debug)]
struct Came {
    id: String,
    event_type: String,
    at: When,
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
struct Listed {
    notice: Option<Notice>,
    #[serde(flatten)]
    place: Place,
}

/// `GET /dashboard/sources`
async fn list(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(listed): Query<Listed>,
) -> Result<Response, Failure> {
    let sources = api.engine().sources(visitor.organization);
    let slice = page::slice(sources, Rows { before: listed.place.position(), limit: ROWS });
    let mut rows = Vec::with_capacity(slice.items.len());
    for source in slice.items {
        let latest = newest(&api, &visitor, &source).await?;
        rows.push(Row {
            page: page_of(Owners::Sources, &source.name),
            proof: proof(api.engine(), &source).0,
            is_unsigned: source.spec.proof == Proof::Unsigned,
            path: door(&source).map_or_else(String::new, |door| door.path),
            latest: latest.map(|event| When::new(event.received_at, api.clock().now())),
            manager: manager(source.declaration.manager),
            name: source.name,
        });
    }
    let shell = visitor.shell(&api, Section::Sources, "Sources").noticing(listed.notice);
    Ok(Page(Sources {
        shell,
        rows,
        pager: listed.place.pager(slice.next, LIST),
        may_make: visitor.scopes().contains(Scope::Admin),
    })
    .into_response())
}

/// `GET /dashboard/sources/{name}`
async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    At(name): At<String>,
    Query(listed): Query<Listed>,
) -> Result<Response, Failure> {
    let source = find(&api, &visitor, &name)?;
    let holder = Keyholder::of_source(&source);
    let panel = panel::panel(&api, &visitor, visitor.scopes(), &holder).await?;
    let shell = visitor.shell(&api, Section::Sources, &name).noticing(listed.notice);
    let door = door(&source);
    let path = door.as_ref().map_or("", |door| &door.path);
    let url = format!("{}{path}", api.public().origin);
    let (words, scheme) = proof(api.engine(), &source);
    let filter = RefusedFilter { door: Some(name.clone()), reason: None };
    let refused =
        api.engine().store().all_refused(visitor.organization, filter, Rows { before: None, limit: REFUSALS });
    let refusals = refusals::rows(refused.await?.items, api.clock().now());
    let shown = One {
        shell,
        page: holder.page(),
        is_origin_known: api.public().is_configured,
        proof: words,
        docs: scheme.as_ref().and_then(|scheme| scheme.docs()).map(str::to_owned),
        is_unsigned: source.spec.proof == Proof::Unsigned,
        manager: manager(source.declaration.manager),
        may_change: declare::may_change(visitor.scopes(), source.declaration.manager),
        first: waiting(&api, &visitor, &source).await?,
        steps: steps::steps(scheme.as_deref(), &url),
        check: checks::check(&source, scheme.as_deref(), &url, door.as_ref()),
        rules: rules(&source, door.as_ref()),
        refusals,
        panel,
        table: table::shown(&source.declaration.table),
        url,
        name,
    };
    Ok(Page(shown).into_response())
}

/// `GET /dashboard/sources/{name}/first`
async fn first(State(api): State<Arc<Api>>, visitor: Visitor<Read>, At(name): At<String>) -> Result<Response, Failure> {
    let source = find(&api, &visitor, &name)?;
    Ok(Page(waiting(&api, &visitor, &source).await?).into_response())
}

fn find(api: &Api, by: &Principal, name: &str) -> Result<Source, Failure> {
    let source = api.engine().source(by.organization, name);
    source.ok_or_else(|| Failure::not_found("There is no such source."))
}

async fn newest(
    api: &Api,
    by: &Principal,
    source: &Source,
) -> Result<Option<hookward_engine::model::Event>, EngineError> {
    let filter = EventFilter { source: Some(source.id), ..EventFilter::default() };
    let events = api.engine().store().events(by.organization, filter, Rows { before: None, limit: 1 }).await?;
    Ok(events.items.into_iter().next())
}

async fn waiting(api: &Api, by: &Principal, source: &Source) -> Result<First, EngineError> {
    let now = api.clock().now();
    let event = newest(api, by, source).await?;
    let filter = RefusedFilter { door: Some(source.name.clone()), reason: None };
    let refused = api.engine().store().all_refused(by.organization, filter, Rows { before: None, limit: 1 }).await?;
    // What was refused before the last request that was not is over.
    let is_newer = |at: Timestamp| event.as_ref().is_none_or(|event| event.received_at < at);
    let refused = refused.items.into_iter().filter(|refused| is_newer(refused.at)).collect();
    Ok(First {
        refusal: refusals::rows(refused, now).pop(),
        event: event.map(|event| Came {
            id: event.id.to_string(),
            event_type: event.event_type,
            at: When::new(event.received_at, now),
        }),
    })
}

/// What stands at its path.
fn door(source: &Source) -> Option<Door> {
    serde_json::from_value(source.spec.door.clone()).ok()
}

/// How it is shown that a request is authentic, in words; and the scheme, where there is one.
fn proof(engine: &Engine, source: &Source) -> (String, Option<Arc<Scheme>>) {
    match &source.spec.proof {
        Proof::Scheme { name, parameters } => {
            let scheme = engine.scheme_at(source.organization, name, parameters);
            (scheme.as_ref().map_or_else(|| name.clone(), |scheme| scheme.title().to_owned()), scheme)
        }
        Proof::ApiKey => ("An API key".to_owned(), None),
        Proof::Engine => ("Hookward itself".to_owned(), None),
        Proof::Unsigned => ("Nothing: every request is believed".to_owned(), None),
    }
}

/// Where something is changed.
pub(super) fn manager(manager: Manager) -> &'static str {
    match manager {
        Manager::File => "the configuration file",
        Manager::Api => "the dashboard and the API",
    }
}

/// What it does with requests, setting by setting.
fn rules(source: &Source, door: Option<&Door>) -> Vec<(&'static str, Vec<String>)> {
    let spec = &source.spec;
    let mut rules = Vec::new();
    if let Proof::Scheme { parameters, .. } = &spec.proof
        && !parameters.is_empty()
    {
        rules.push(("Said to its scheme", words::pairs(parameters)));
    }
    if let Some(door) = door {
        let all = "every method".to_owned();
        rules.push(("Methods", vec![if door.methods.is_empty() { all } else { door.methods.join(", ") }]));
        if let Some(hint) = &door.hint {
            rules.push(("Told apart by", vec![format!("{} = {}", hint.pointer, hint.value)]));
        }
        if let Some(ranges) = &door.allow_addresses {
            rules.push(("Only from", ranges.iter().map(ToString::to_string).collect()));
        }
        if let Some(bytes) = door.body_bytes {
            rules.push(("Largest body", vec![words::bytes(bytes as u64)]));
        }
        let Answer { status, body, .. } = &door.answers.accepted;
        rules.push(("A new event is answered", vec![format!("{status} {body}")]));
    }
    let mut same = Vec::new();
    if !spec.dedup.id_headers.is_empty() {
        same.push(format!("the delivery id in {}", spec.dedup.id_headers.join(", or ")));
    } else if matches!(spec.proof, Proof::Scheme { .. }) {
        same.push("the provider's delivery id, where it sends one".to_owned());
    }
    same.extend(spec.dedup.body.then(|| "an equal body".to_owned()));
    same.push(format!("remembered for {}", words::lapse(spec.dedup.window)));
    rules.push(("The same event", same));
    let types = if spec.event_types.is_empty() { vec!["all".to_owned()] } else { spec.event_types.clone() };
    rules.push(("Event types", types));
    rules.extend(spec.filter.clone().map(|filter| ("Filter", vec![filter])));
    if let Some(rate) = spec.rate {
        let (requests, per) = (words::count(rate.requests.into()), words::lapse(rate.per));
        rules.push(("Rate", vec![format!("{requests} in {per}, at most {} at once", words::count(rate.burst.into()))]));
    }
    let age = spec.retention.age.map(|age| format!("for {}", words::lapse(age)));
    let size = spec.retention.size_bytes.map(|size| format!("up to {}", words::bytes(size)));
    let kept: Vec<_> = age.into_iter().chain(size).collect();
    rules.push(("Events are kept", if kept.is_empty() { vec!["for ever".to_owned()] } else { kept }));
    if matches!(spec.proof, Proof::Scheme { .. }) {
        rules.push((
            "After a rotation",
            vec![match spec.grace.is_zero() {
                true => "the old secret ends at once".to_owned(),
                false => format!("the old secret works for {}", words::lapse(spec.grace)),
            }],
        ));
    }
    rules
}
