//! Events: listed, shown, their exact bytes, published, redelivered.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookward_engine::ids::EventId;
use hookward_engine::model::{Event, PassedOver, PassedOverReason, RequestRecord};
use hookward_engine::store::{DeliveryFilter, EventFilter, Page};
use hookward_engine::{Publish as Publication, Published};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::caller::{Caller, Publish, Read, Redeliver};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, time};

/// Which events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    limit: Option<String>,
    cursor: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    delivery_id: Option<String>,
    duplicate: Option<bool>,
}

/// An event as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    source: String,
    delivery_id: Option<String>,
    received_at: String,
    duplicate_of: Option<String>,
    /// When retention took its body, headers and deliveries.
    stripped_at: Option<String>,
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

#[derive(Debug, Serialize)]
pub(super) struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    remote: String,
}

#[derive(Debug, Serialize)]
struct Passed {
    destination: String,
    /// `filter_failed`: an expression of the destination's failed, and `detail` says how. `once`: `first_event` has the
    /// same value of the destination's `once_per`.
    reason: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_event: Option<String>,
}

#[derive(Debug, Serialize)]
struct Owed {
    id: String,
    destination: String,
    state: &'static str,
}

/// `GET /events`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<List<Shown>>, Problem> {
    let Query(query) = query?;
    let page = page::page("events", query.limit.as_deref(), query.cursor.as_deref())?;
    let source = match &query.source {
        Some(name) => Some(api.engine.source_id(caller.organization, name).await?),
        None => None,
    };
    let Filter { event_type, delivery_id, duplicate, .. } = query;
    let filter = EventFilter { source, event_type, delivery_id, duplicate };
    let listing = api.engine.store().events(caller.organization, filter, page).await?;
    Ok(Json(page::show("events", listing, shown)))
}

/// `GET /events/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let id: EventId = id.parse()?;
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
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let bytes = api.engine.store().body(caller.organization, id.parse()?).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"body\""),
    ];
    Ok((headers, bytes).into_response())
}

/// The payload's text is kept as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    #[serde(rename = "eventId")]
    event_id: String,
}

/// `POST /events`
pub(crate) async fn publish(
    State(api): State<Arc<Api>>,
    caller: Caller<Publish>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Receipt>), Problem> {
    let body = body?;
    let invalid = |error: serde_json::Error| {
        Problem::new(Code::InvalidRequest, format!("the request is not {{\"type\":…,\"payload\":…}}: {error}"))
    };
    let Envelope { event_type, payload } = serde_json::from_slice(&body).map_err(invalid)?;
    let payload = body.slice_ref(payload.get().as_bytes());
    let idempotency_key = idempotency_key(&headers)?;
    let publication = Publication { event_type, payload, idempotency_key, by: (*caller).clone() };
    let (Published::Accepted(committed) | Published::Repeated(committed)) = api.engine.publish(publication).await?;
    Ok((StatusCode::ACCEPTED, Json(Receipt { event_id: committed.first_event().to_string() })))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Problem::new(Code::InvalidRequest, "send `Idempotency-Key` once"));
    }
    let invalid = |_| Problem::new(Code::InvalidRequest, "`Idempotency-Key` is 1 to 255 printable ASCII characters");
    first.map(|value| value.to_str().map(str::to_owned).map_err(invalid)).transpose()
}

/// To whom; absent for everyone who hears such events today.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Redelivery {
    #[serde(default)]
    destination: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Owing {
    deliveries: Vec<String>,
}

/// `POST /events/{id}/redeliver`
pub(crate) async fn redeliver(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Owing>), Problem> {
    let redelivery: Redelivery = super::secrets::optional(&body?)?;
    let ids = api.engine.redeliver(id.parse()?, redelivery.destination.as_deref(), &caller).await?;
    let deliveries = ids.iter().map(ToString::to_string).collect();
    Ok((StatusCode::ACCEPTED, Json(Owing { deliveries })))
}

/// A request as the API shows it.
pub(super) fn request(record: RequestRecord) -> Request {
    let RequestRecord { method, target, headers, remote } = record;
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    let headers = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    Request { method, target, headers, remote }
}

fn shown(event: Event) -> Shown {
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
