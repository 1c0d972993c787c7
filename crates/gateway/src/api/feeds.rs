//! Feeds: events and attempts in the order of commits, from a position on, with a wait for what comes next.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hookward_engine::feed::{Ask, ITEMS_MAX, Start, WAIT_MAX};
use hookward_engine::model::Outcome;
use hookward_engine::store::{FeedFilter, FollowedAttempt, Stretch};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Read};
use super::events::{Shown as Event, shown as event};
use super::extract::Query;
use super::page;
use super::problem::{Code, Problem};
use super::{Api, instant, time};

/// What of a feed, and from where on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `next` of the answer before. Without it, and without `from`, the answer is only where the feed ends now.
    after: Option<String>,
    /// Only events received at this time or later; without `after` it begins with the first of them.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    /// Only attempts at this destination.
    destination: Option<String>,
    /// Items at most.
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// How long to wait when there is nothing.
    #[schemars(range(max = 30))]
    wait_s: Option<u64>,
}

/// The next stretch of a feed, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Feed")]
pub(crate) struct Feed<T> {
    items: Vec<T>,
    /// After which position it begins: `after` as it was asked for, or where `from` leads.
    #[schemars(example = &"MS5ldmVudF9mZWVkLjQw")]
    after: String,
    /// Where it goes on.
    #[schemars(example = &"MS5ldmVudF9mZWVkLjQy")]
    next: String,
}

/// An attempt, and what it was for.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "FollowedAttempt")]
pub(crate) struct Attempt {
    id: String,
    number: u32,
    started_at: String,
    duration_ms: u64,
    /// How it ended.
    #[schemars(with = "String")]
    outcome: Outcome,
    status: Option<u16>,
    detail: String,
    delivery: String,
    /// What the delivery is by now.
    state: &'static str,
    destination: String,
    event: String,
    event_type: String,
    source: String,
}

/// The lists that positions are of.
const EVENTS: &str = "event_feed";
const ATTEMPTS: &str = "attempt_feed";

/// `GET /feeds/events`
pub(crate) async fn events(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Feed<Event>>, Problem> {
    if wanted.destination.is_some() {
        return Err(Problem::new(Code::InvalidQuery, "`destination` is for the feed of attempts"));
    }
    let ask = ask(&api, &caller, wanted, EVENTS).await?;
    Ok(Json(feed(api.engine.follow_events(caller.organization, ask).await?, EVENTS, event)))
}

/// `GET /feeds/attempts`
pub(crate) async fn attempts(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Feed<Attempt>>, Problem> {
    if wanted.from.is_some() {
        return Err(Problem::new(Code::InvalidQuery, "`from` is for the feed of events"));
    }
    let ask = ask(&api, &caller, wanted, ATTEMPTS).await?;
    Ok(Json(feed(api.engine.follow_attempts(caller.organization, ask).await?, ATTEMPTS, attempt)))
}

async fn ask(api: &Api, caller: &Caller<Read>, wanted: Wanted, list: &str) -> Result<Ask, Problem> {
    let Wanted { after, from, source, event_type, destination, limit, wait_s } = wanted;
    let limit = limit.unwrap_or(ITEMS_MAX);
    if !(1..=ITEMS_MAX).contains(&limit) {
        return Err(Problem::new(Code::InvalidLimit, format!("`limit` is a whole number from 1 to {ITEMS_MAX}")));
    }
    let wait = Duration::from_secs(wait_s.unwrap_or(0));
    if wait > WAIT_MAX {
        return Err(Problem::new(Code::InvalidQuery, format!("`wait_s` is at most {}", WAIT_MAX.as_secs())));
    }
    let from = from.map(|text| instant("from", &text).map_err(Problem::of_query)).transpose()?;
    let source = match source {
        Some(name) => Some(api.engine.source_id(caller.organization, &name).await?),
        None => None,
    };
    let missing =
        |name: &str| Problem::new(Code::NotFound, format!("there is no destination `{}`", name.escape_debug()));
    let destination = match destination {
        Some(name) => Some(api.engine.destination(caller.organization, &name).ok_or_else(|| missing(&name))?.id),
        None => None,
    };
    let start = match (after, from) {
        (Some(after), _) => Start::After(page::position(list, &after)?),
        (None, Some(from)) => Start::At(from),
        (None, None) => Start::Now,
    };
    Ok(Ask { start, filter: FeedFilter { source, event_type, destination, from }, limit, wait })
}

fn feed<T, S>(stretch: Stretch<T>, list: &str, show: impl FnMut(T) -> S) -> Feed<S> {
    let (after, next) = (page::cursor(list, stretch.began), page::cursor(list, stretch.position));
    Feed { items: stretch.items.into_iter().map(show).collect(), after, next }
}

fn attempt(followed: FollowedAttempt) -> Attempt {
    Attempt {
        id: followed.id.to_string(),
        number: followed.number,
        started_at: time(followed.started_at),
        duration_ms: u64::try_from(followed.duration.as_millis()).unwrap_or(u64::MAX),
        outcome: followed.outcome,
        status: followed.status,
        detail: followed.detail,
        delivery: followed.delivery.to_string(),
        state: super::deliveries::state(&followed.state).0,
        destination: followed.destination,
        event: followed.event.to_string(),
        event_type: followed.event_type,
        source: followed.source,
    }
}
