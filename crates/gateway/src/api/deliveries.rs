//! Deliveries with their attempts: listed, shown, called off; what programs wrote.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use hookward_engine::Follow;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::{DeliveryId, EventId};
use hookward_engine::model::{Attempt, Delivery, DeliveryCause, DeliveryState, Outcome};
use hookward_engine::store::{Cancel, DeliveryFilter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::Text;
use super::caller::{Caller, Read, Redeliver};
use super::events::moment;
use super::exchanges;
use super::extract::{Path, Query};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, time};

/// Which deliveries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[schemars(with = "Option<page::Limit>")]
    limit: Option<String>,
    #[schemars(with = "Option<page::Cursor>")]
    cursor: Option<String>,
    /// An event's id.
    #[schemars(example = &"evt_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    event: Option<String>,
    /// A destination's name.
    destination: Option<String>,
    #[schemars(extend("enum" = ["pending", "leased", "delivered", "exhausted", "cancelled", "held", "waiting"]))]
    state: Option<String>,
    /// Made at this time or later.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Made before this time.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

/// The states by name.
pub(super) const STATES: [&str; 7] = ["pending", "leased", "delivered", "exhausted", "cancelled", "held", "waiting"];

/// One event owed to one destination.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(crate) struct Shown {
    #[schemars(example = &"dlv_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(example = &"evt_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    event: String,
    #[schemars(example = &"ci")]
    destination: String,
    #[schemars(extend("enum" = ["pending", "leased", "delivered", "exhausted", "cancelled", "held", "waiting"]))]
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
    /// It failed and is held, while those behind it in its order key go on; it comes back when its destination resumes.
    parked: bool,
    /// How many of its order key were given up since the last that was delivered.
    skipped: u32,
    /// Only when one delivery is shown; oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<Tried>>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
#[schemars(rename = "DeliveryCause")]
enum Cause {
    Event,
    Redelivery { of: Option<String> },
    Outcome { of: String },
    Test,
}

/// One try of a delivery.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Attempt")]
struct Tried {
    #[schemars(example = &"att_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    number: u32,
    started_at: String,
    /// Of the whole attempt.
    duration_ms: u64,
    #[schemars(with = "String", extend("enum" = [
        "success", "status", "exit", "dns", "connect", "tls", "timeout", "broken", "blocked", "spawn", "checkout",
        "unusable", "interrupted", "cancelled", "released",
    ]))]
    outcome: Outcome,
    /// The status of the answer.
    status: Option<u16>,
    /// Of a program that ended with one.
    exit_code: Option<i32>,
    /// The versions of the secrets that signed it.
    signed_by: Vec<u32>,
    detail: String,
    /// The node that made it.
    node: Option<String>,
    /// What was sent and what came back, where requests are made.
    exchange: Option<exchanges::Shown>,
    /// The answer's or the output's first bytes, as text.
    excerpt: String,
}

/// `GET /deliveries`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Filter>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("deliveries", query.limit.as_deref(), query.cursor.as_deref())?;
    if query.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(Problem::new(Code::InvalidQuery, states_known()));
    }
    let destination = query.destination.map(|name| {
        let missing = || Problem::new(Code::NotFound, format!("there is no destination `{}`", name.escape_debug()));
        api.engine.destination(caller.organization, &name).map(|destination| destination.id).ok_or_else(missing)
    });
    let event = query.event.map(|id| id.parse::<EventId>()).transpose()?;
    let (from, until) = (moment("from", query.from)?, moment("until", query.until)?);
    let filter = DeliveryFilter { event, destination: destination.transpose()?, state: query.state, from, until };
    let listing = api.engine.store().deliveries(caller.organization, filter, page).await?;
    Ok(Json(page::show("deliveries", listing, |delivery| shown(delivery, None))))
}

/// `GET /deliveries/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<DeliveryId>,
) -> Result<Json<Shown>, Problem> {
    let (delivery, attempts) = api.engine.store().delivery(caller.organization, id).await?;
    Ok(Json(shown(delivery, Some(attempts))))
}

/// Of which attempt, and whether to stay while it runs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// The last one that ran a program, unless this says which.
    attempt: Option<u32>,
    /// Whether to stay and hear the rest while it runs.
    #[serde(default)]
    follow: bool,
}

/// `GET /deliveries/{id}/output`: the bytes that the program wrote, of the attempt under way or of the last one that ran.
/// A reader that follows and falls behind what is kept misses the middle, and a line says so.
pub(crate) async fn output(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<DeliveryId>,
    Query(Which { attempt, follow }): Query<Which>,
) -> Result<Text, Problem> {
    // Whose it is, before anything of it is read.
    api.engine.store().delivery(caller.organization, id).await?;
    let body = match api.engine.follow(id, attempt) {
        Some(running) if follow => {
            let part = async |mut running: Follow| Some((Ok::<_, Infallible>(running.next().await?), running));
            HttpBody::from_stream(futures_util::stream::unfold(running, part))
        }
        Some(running) => running.kept().bytes.into(),
        None => {
            let kept = api.engine.store().output(caller.organization, id, attempt).await?;
            let none = || Problem::new(Code::NotFound, format!("there is no output of delivery `{id}` yet"));
            kept.ok_or_else(none)?.bytes.into()
        }
    };
    Ok(Text(body))
}

/// `POST /deliveries/{id}/cancel`: at once when it waits; one under way is shown with `cancel_at` until it has ended.
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<DeliveryId>,
) -> Result<Json<Shown>, Problem> {
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
        DeliveryState::Waiting { since } => ("waiting", since),
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
        parked: delivery.parked,
        skipped: delivery.skipped,
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
        node: attempt.node.map(|node| node.to_string()),
        exchange: attempt.exchange.map(exchanges::shown),
        excerpt: String::from_utf8_lossy(&attempt.excerpt).into_owned(),
    }
}
