//! Types of events, as declared.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::Kind;
use hookward_engine::model::{EventType, Principal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answers::{Created, Done};
use super::caller::{Admin, Caller, Read};
use super::events::Envelope;
use super::extract::{Body, Path, Query, Unread, parse};
use super::page::{self, List};
use super::problem::{Code, Misplaced, Problem};
use super::sources::Paging;
use super::{Api, time};

/// The settings of a new type of events, as an `[[event_type]]` table of a configuration file has them; `schema` and
/// `example` may stand as what they are, or as a text of JSON.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "NewEventType", extend("required" = ["name"], "properties" = { "name": { "type": "string" } }, "examples" = [{ "name": "invoice.paid", "schema": { "type": "object", "required": ["invoice"] } }]))]
pub(crate) struct New(Map<String, Value>);

/// A type of events that an organization publishes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "EventType")]
pub(crate) struct Shown {
    #[schemars(example = &"invoice.paid")]
    name: String,
    /// What such an event tells, for people.
    description: String,
    /// The JSON Schema that payloads have to fit, if there is one.
    schema: Option<Value>,
    /// A payload that such an event may have.
    example: Option<Value>,
    /// Whether receivers should turn to another: it is published all the same.
    deprecated: bool,
    /// `file` or `api`: what a file manages is changed there.
    #[schemars(extend("enum" = ["file", "api"]))]
    managed_by: &'static str,
    created_at: String,
}

/// Whether a payload fits.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PayloadCheck")]
pub(crate) struct Verdict {
    fits: bool,
    /// Where it does not, and why.
    errors: Vec<Misplaced>,
}

/// `GET /event-types`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Paging>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("event_types", query.limit.as_deref(), query.cursor.as_deref())?;
    let mut types = api.engine.event_types(caller.organization);
    types.sort_by_key(|event_type| std::cmp::Reverse(event_type.created_at));
    Ok(Json(page::show("event_types", page::slice(types, page), shown)))
}

/// `GET /event-types/{name}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(name): Path<String>,
) -> Result<Json<Shown>, Problem> {
    find(&api, &caller, &name)
}

fn find(api: &Api, caller: &Principal, name: &str) -> Result<Json<Shown>, Problem> {
    let event_type = api.engine.event_type(caller.organization, name);
    let missing = || Problem::new(Code::NotFound, format!("there is no event type `{}`", name.escape_debug()));
    Ok(Json(shown(event_type.ok_or_else(missing)?)))
}

/// `POST /event-types`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(New(table)): Body<New>,
) -> Result<Created<Shown>, Problem> {
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    api.declaring.create(&caller, Kind::EventType, table).await?;
    Ok(Created(find(&api, &caller, &name)?.0))
}

/// `PATCH /event-types/{name}`
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Json<Shown>, Problem> {
    api.declaring.alter(&caller, Kind::EventType, &name, patch).await?;
    find(&api, &caller, &name)
}

/// `DELETE /event-types/{name}`
pub(crate) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
) -> Result<Done, Problem> {
    api.declaring.retire(&caller, Kind::EventType, &name).await?;
    Ok(Done)
}

/// `POST /event-types/check`
pub(crate) async fn check(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    body: Unread<Envelope<'static>>,
) -> Result<Json<Verdict>, Problem> {
    let Envelope { event_type, payload } = parse(&body.0)?;
    let payload = body.0.slice_ref(payload.get().as_bytes());
    let misfits = api.engine.try_payload(caller.organization, &event_type, &payload).await?;
    Ok(Json(Verdict { fits: misfits.is_empty(), errors: misfits.into_iter().map(Misplaced::from).collect() }))
}

fn shown(event_type: EventType) -> Shown {
    let EventType { name, spec, declaration, created_at, .. } = event_type;
    Shown {
        name,
        description: spec.description,
        schema: spec.schema,
        example: spec.example,
        deprecated: spec.deprecated,
        managed_by: declaration.manager.name(),
        created_at: time(created_at),
    }
}
