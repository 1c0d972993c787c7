//! Events: listed, shown, their exact bytes, published, redelivered.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::EventId;
use hookward_engine::model::{Event, PassedOver, PassedOverReason, Principal, RequestRecord};
use hookward_engine::store::{DeliveryFilter, EventFilter, Listing, Page, StoreError};
use hookward_engine::{Publish as Publication, Published};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::answers::{Accepted, Download};
use super::caller::{Caller, Publish, Read, Redeliver};
use super::extract::{Optional, Path, Query, Unread, parse};
use super::idempotency::IdempotencyKey;
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, instant, time};

/// The longest text to search for, in bytes.
const Q_MAX: usize = 1024;

/// Which events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[schemars(with = "Option<page::Limit>")]
    limit: Option<String>,
    #[schemars(with = "Option<page::Cursor>")]
    cursor: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    delivery_id: Option<String>,
    duplicate: Option<bool>,
    /// Received at this time or later.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Received before this time.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// An event's id, a delivery id or a type, exactly: whichever of these there is, in this order.
    #[schemars(length(min = 1, max = 1024))]
    q: Option<String>,
}

/// One accepted, committed, immutable fact.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub(crate) struct Shown {
    #[schemars(example = &"evt_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[serde(rename = "type")]
    #[schemars(example = &"push")]
    event_type: String,
    #[schemars(example = &"github")]
    source: String,
    /// What the sender calls it.
    delivery_id: Option<String>,
    received_at: String,
    /// The event that it repeats; then it owes nothing.
    duplicate_of: Option<String>,
    /// When retention took its body, headers and deliveries.
    stripped_at: Option<String>,
    /// How it was proven, and what the proof covers.
    #[schemars(with = "Verdict")]
    verdict: serde_json::Value,
    request: Request,
    body_len: u64,
    body_sha256: String,
    /// Only when one event is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<Vec<Owed>>,
    /// Destinations that hear it and are not owed it. Only when one event is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    passed_over: Option<Vec<Passed>>,
}

/// How an event was proven. Where a member is absent it was not recorded: of events from before that was, and of those that no
/// signature proves.
#[derive(Serialize, JsonSchema)]
struct Verdict {
    #[schemars(with = "String", extend("enum" = ["verified", "unsigned", "api_key", "engine"]))]
    proof: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<String>,
    /// Which version of the source's secret proved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_version: Option<u32>,
    /// When it was signed, in milliseconds since 1970; null where no time is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binds: Option<Binds>,
    /// Whether experts could make such a proof without the secret: a plain hash over it, or RSA with SHA-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_weak: Option<bool>,
}

/// What a proof covers: whoever captures the request can change everything else.
#[derive(Serialize, JsonSchema)]
struct Binds {
    /// The whole body.
    body: bool,
    /// Some values of the body, which is not covered as a whole: everything else in it may be anybody's.
    #[serde(skip_serializing_if = "Option::is_none")]
    part_of_body: Option<bool>,
    /// The time of signing, which was checked.
    time: bool,
    /// The URL as it was called.
    url: bool,
    /// The sender's delivery id.
    id: bool,
    /// What tells a repeat: a covered id, or a covered body where no two honest ones are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    unique: Option<bool>,
}

/// A request as it came, without what could be used again.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Request {
    #[schemars(example = &"POST")]
    method: String,
    #[schemars(example = &"/in/github")]
    target: String,
    /// Names and values, in their order.
    headers: Vec<(String, String)>,
    /// Where it came from.
    remote: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PassedOver")]
struct Passed {
    destination: String,
    /// `filter_failed`: an expression of the destination's failed, and `detail` says how. `once`: `first_event` has the
    /// same value of the destination's `once_per`.
    #[schemars(extend("enum" = ["filter_failed", "once"]))]
    reason: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Owed {
    #[schemars(example = &"dlv_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    destination: String,
    #[schemars(extend("enum" = ["pending", "leased", "delivered", "exhausted", "cancelled", "held", "waiting"]))]
    state: &'static str,
}

/// `GET /events`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Filter>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("events", query.limit.as_deref(), query.cursor.as_deref())?;
    let source = match &query.source {
        Some(name) => Some(api.engine.source_id(caller.organization, name).await?),
        None => None,
    };
    let Filter { event_type, delivery_id, duplicate, from, until, q, .. } = query;
    let (from, until) = (moment("from", from)?, moment("until", until)?);
    let filter = EventFilter { source, event_type, delivery_id, duplicate, from, until };
    let listing = match q {
        Some(q) => search(&api, &caller, filter, page, q).await?,
        None => api.engine.store().events(caller.organization, filter, page).await?,
    };
    Ok(Json(page::show("events", listing, shown)))
}

/// A time in a query.
pub(super) fn moment(field: &str, text: Option<String>) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| instant(field, &text).map_err(Problem::of_query)).transpose()
}

/// The events that `q` names: one by its id, else those of a delivery id, else those of a type.
async fn search(
    api: &Api,
    caller: &Principal,
    filter: EventFilter,
    page: Page,
    q: String,
) -> Result<Listing<Event>, Problem> {
    if filter.event_type.is_some() || filter.delivery_id.is_some() {
        return Err(Problem::new(Code::InvalidQuery, "`q` stands for `type` and `delivery_id`: give it without them"));
    }
    if q.is_empty() || q.len() > Q_MAX {
        return Err(Problem::new(Code::InvalidQuery, format!("`q` is 1 to {Q_MAX} bytes")));
    }
    let store = api.engine.store();
    if let Ok(id) = q.parse::<EventId>() {
        let event = match store.event(caller.organization, id).await {
            Err(StoreError::NotFound { .. }) => None,
            found => Some(found?),
        };
        let items = event.into_iter().filter(|event| matches(event, &filter)).collect();
        return Ok(Listing { items, next: None });
    }
    let by_delivery_id = EventFilter { delivery_id: Some(q.clone()), ..filter.clone() };
    let first = store.events(caller.organization, by_delivery_id.clone(), Page { before: None, limit: 1 }).await?;
    let found = if first.items.is_empty() { EventFilter { event_type: Some(q), ..filter } } else { by_delivery_id };
    Ok(store.events(caller.organization, found, page).await?)
}

/// Whether an event is among those that a filter without type and delivery id lets through.
fn matches(event: &Event, filter: &EventFilter) -> bool {
    filter.source.is_none_or(|source| source == event.source)
        && filter.duplicate.is_none_or(|duplicate| duplicate == event.duplicate_of.is_some())
        && filter.from.is_none_or(|from| event.received_at >= from)
        && filter.until.is_none_or(|until| event.received_at < until)
}

/// `GET /events/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<EventId>,
) -> Result<Json<Shown>, Problem> {
    let mut event = shown(api.engine.store().event(caller.organization, id).await?);
    let filter = DeliveryFilter { event: Some(id), ..DeliveryFilter::default() };
    let deliveries =
        api.engine.store().deliveries(caller.organization, filter, Page { before: None, limit: 250 }).await?;
    let owed = deliveries.items.into_iter().map(|delivery| Owed {
        id: delivery.id.to_string(),
        destination: delivery.destination_name,
        state: super::deliveries::state(&delivery.state).0,
    });
    event.deliveries = Some(owed.collect());
    event.passed_over =
        Some(api.engine.store().passed_over(caller.organization, id).await?.into_iter().map(passed).collect());
    Ok(Json(event))
}

/// `GET /events/{id}/body`: the exact bytes, whatever they are, never for a browser to interpret.
pub(crate) async fn body(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<EventId>,
) -> Result<Download, Problem> {
    Ok(Download(api.engine.store().body(caller.organization, id).await?))
}

/// An event to publish.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Publication")]
pub(crate) struct Envelope<'a> {
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9._:/-]*$"), example = &"invoice.paid")]
    pub(super) event_type: String,
    /// Any JSON; its text is delivered exactly as it stands.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Value", example = serde_json::json!({ "invoice": 42 }))]
    pub(super) payload: &'a RawValue,
}

/// What was published.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Published")]
pub(crate) struct Receipt {
    #[serde(rename = "eventId")]
    #[schemars(example = &"evt_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    event_id: String,
}

/// `POST /events`
pub(crate) async fn publish(
    State(api): State<Arc<Api>>,
    caller: Caller<Publish>,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    body: Unread<Envelope<'static>>,
) -> Result<Accepted<Receipt>, Problem> {
    let Envelope { event_type, payload } = parse(&body.0)?;
    let payload = body.0.slice_ref(payload.get().as_bytes());
    let publication = Publication { event_type, payload, idempotency_key, by: (*caller).clone() };
    let (Published::Accepted(committed) | Published::Repeated(committed)) = api.engine.publish(publication).await?;
    Ok(Accepted(Receipt { event_id: committed.first_event().to_string() }))
}

/// To whom; absent for everyone who hears such events today.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RedeliverTo")]
pub(crate) struct Redelivery {
    #[serde(default)]
    #[schemars(example = &"ci")]
    destination: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Owing {
    /// The ids of the new deliveries.
    deliveries: Vec<String>,
}

/// `POST /events/{id}/redeliver`
pub(crate) async fn redeliver(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<EventId>,
    Optional(redelivery): Optional<Redelivery>,
) -> Result<Accepted<Owing>, Problem> {
    let redelivery = redelivery.unwrap_or_default();
    let ids = api.engine.redeliver(id, redelivery.destination.as_deref(), &caller).await?;
    let deliveries = ids.iter().map(ToString::to_string).collect();
    Ok(Accepted(Owing { deliveries }))
}

/// A request as the API shows it.
pub(super) fn request(record: RequestRecord) -> Request {
    let RequestRecord { method, target, headers, remote } = record;
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    let headers = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    Request { method, target, headers, remote }
}

pub(super) fn shown(event: Event) -> Shown {
    Shown {
        id: event.id.to_string(),
        event_type: event.event_type,
        source: event.source_name,
        delivery_id: event.delivery_id,
        received_at: time(event.received_at),
        duplicate_of: event.duplicate_of.map(|id| id.to_string()),
        stripped_at: event.stripped_at.map(time),
        verdict: event.verdict,
        request: request(event.request),
        body_len: event.body_len,
        body_sha256: hex::encode(event.body_sha256),
        deliveries: None,
        passed_over: None,
    }
}

fn passed(passed: PassedOver) -> Passed {
    let destination = passed.destination_name;
    match passed.reason {
        PassedOverReason::FilterFailed { detail } => {
            Passed { destination, reason: "filter_failed", detail, first_event: None }
        }
        PassedOverReason::Once { first } => {
            let detail = format!("`once_per` has the same value as for event `{first}`");
            Passed { destination, reason: "once", detail, first_event: Some(first.to_string()) }
        }
    }
}
