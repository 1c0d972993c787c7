//! Deliveries with their attempts: listed, shown, called off; what programs wrote.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::Follow;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::{DeliveryId, EventId};
use hookward_engine::model::{Attempt, Delivery, DeliveryCause, DeliveryState, Outcome};
use hookward_engine::store::{Cancel, DeliveryFilter};
use http::header;
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Read, Redeliver};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, time};

/// Which deliveries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    limit: Option<String>,
    cursor: Option<String>,
    event: Option<String>,
    destination: Option<String>,
    state: Option<String>,
}

/// The states by name.
pub(super) const STATES: [&str; 6] = ["pending", "leased", "delivered", "exhausted", "cancelled", "held"];

/// A delivery as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    event: String,
    destination: String,
    state: &'static str,
    /// When it is due, when its lease ends, or since when it is in this state.
    state_at: String,
    cause: Cause,
    attempts_begun: u32,
    created_at: String,
    /// When it was called off while an attempt was under way.
    cancel_at: Option<String>,
    /// The newer event that made it superfluous.
    superseded_by: Option<String>,
    /// Only when one delivery is shown; oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<Tried>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
enum Cause {
    Event,
    Redelivery { of: Option<String> },
    Outcome { of: String },
    Test,
}

#[derive(Debug, Serialize)]
struct Tried {
    id: String,
    number: u32,
    started_at: String,
    duration_ms: u64,
    outcome: Outcome,
    status: Option<u16>,
    /// Of a program that ended with one.
    exit_code: Option<i32>,
    signed_by: Vec<u32>,
    detail: String,
    /// The answer's or the output's first bytes, as text.
    excerpt: String,
}

/// `GET /deliveries`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    query: Result<Query<Filter>, QueryRejection>,
) -> Result<Json<List<Shown>>, Problem> {
    let Query(query) = query?;
    let page = page::page("deliveries", query.limit.as_deref(), query.cursor.as_deref())?;
    if query.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(Problem::new(Code::InvalidQuery, states_known()));
    }
    let destination = query.destination.map(|name| {
        let missing = || Problem::new(Code::NotFound, format!("there is no destination `{}`", name.escape_debug()));
        api.engine.destination(caller.organization, &name).map(|destination| destination.id).ok_or_else(missing)
    });
    let event = query.event.map(|id| id.parse::<EventId>()).transpose()?;
    let filter = DeliveryFilter { event, destination: destination.transpose()?, state: query.state };
    let listing = api.engine.store().deliveries(caller.organization, filter, page).await?;
    Ok(Json(page::show("deliveries", listing, |delivery| shown(delivery, None))))
}

/// `GET /deliveries/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let (delivery, attempts) = api.engine.store().delivery(caller.organization, id.parse()?).await?;
    Ok(Json(shown(delivery, Some(attempts))))
}

/// Of which attempt, and whether to stay while it runs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    attempt: Option<u32>,
    #[serde(default)]
    follow: bool,
}

/// `GET /deliveries/{id}/output`: the bytes that the program wrote, of the attempt under way or of the last one that ran.
/// A reader that follows and falls behind what is kept misses the middle, and a line says so.
pub(crate) async fn output(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<String>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let (id, Query(Which { attempt, follow })) = (id.parse::<DeliveryId>()?, query?);
    // Whose it is, before anything of it is read.
    api.engine.store().delivery(caller.organization, id).await?;
    let body = match api.engine.follow(id, attempt) {
        Some(running) if follow => {
            let part = async |mut running: Follow| Some((Ok::<_, Infallible>(running.next().await?), running));
            Body::from_stream(futures_util::stream::unfold(running, part))
        }
        Some(running) => running.kept().bytes.into(),
        None => {
            let kept = api.engine.store().output(caller.organization, id, attempt).await?;
            let none = || Problem::new(Code::NotFound, format!("there is no output of delivery `{id}` yet"));
            kept.ok_or_else(none)?.bytes.into()
        }
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// `POST /deliveries/{id}/cancel`: at once when it waits; one under way is shown with `cancel_at` until it has ended.
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let id: DeliveryId = id.parse()?;
    let cancel = api.engine.cancel(id, &caller).await?;
    let (delivery, attempts) = api.engine.store().delivery(caller.organization, id).await?;
    if cancel == Cancel::TooLate {
        let state = state(&delivery.state).0;
        return Err(Problem::new(Code::NotPossible, format!("delivery `{id}` is {state}, so it cannot be cancelled")));
    }
    Ok(Json(shown(delivery, Some(attempts))))
}

/// What a state may be, for whoever asked for another.
pub(super) fn states_known() -> String {
    format!("`state` is one of {}", STATES.join(", "))
}

/// A state's name and its time.
pub(super) fn state(state: &DeliveryState) -> (&'static str, Timestamp) {
    match *state {
        DeliveryState::Pending { due_at } => ("pending", due_at),
        DeliveryState::Leased { until, .. } => ("leased", until),
        DeliveryState::Delivered { at } => ("delivered", at),
        DeliveryState::Exhausted { at } => ("exhausted", at),
        DeliveryState::Cancelled { at } => ("cancelled", at),
        DeliveryState::Held { since } => ("held", since),
    }
}

fn shown(delivery: Delivery, attempts: Option<Vec<Attempt>>) -> Shown {
    let (state, state_at) = state(&delivery.state);
    Shown {
        id: delivery.id.to_string(),
        event: delivery.event.to_string(),
        destination: delivery.destination_name,
        state,
        state_at: time(state_at),
        cause: match delivery.cause {
            DeliveryCause::Event => Cause::Event,
            DeliveryCause::Redelivery { of } => Cause::Redelivery { of: of.map(|id| id.to_string()) },
            DeliveryCause::Outcome { of } => Cause::Outcome { of: of.to_string() },
            DeliveryCause::Test => Cause::Test,
        },
        attempts_begun: delivery.attempts,
        created_at: time(delivery.created_at),
        cancel_at: delivery.cancel_at.map(time),
        superseded_by: delivery.superseded_by.map(|event| event.to_string()),
        attempts: attempts.map(|attempts| attempts.into_iter().map(tried).collect()),
    }
}

fn tried(attempt: Attempt) -> Tried {
    Tried {
        id: attempt.id.to_string(),
        number: attempt.number,
        started_at: time(attempt.started_at),
        duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
        outcome: attempt.outcome,
        status: attempt.status,
        exit_code: attempt.exit_code,
        signed_by: attempt.signed_by,
        detail: attempt.detail,
        excerpt: String::from_utf8_lossy(&attempt.excerpt).into_owned(),
    }
}
