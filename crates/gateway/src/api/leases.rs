//! What consumers of `pull` destinations ask for: leases, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hookward_engine::pull::{Answer, Ask, Lease};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Pull};
use super::extract::{Body, Optional, Path};
use super::problem::Problem;
use super::{Api, time};

const VISIBILITY_S: u64 = 30;

/// How much, and for how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewLease")]
pub(crate) struct Wanted {
    /// Deliveries at most.
    #[schemars(range(min = 1, max = 100))]
    max: Option<u32>,
    /// How long they are the consumer's.
    visibility_s: Option<u64>,
    /// How long to wait until there is one.
    #[schemars(range(max = 20))]
    wait_s: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}List")]
pub(crate) struct Items<T> {
    items: Vec<T>,
}

/// A delivery under lease.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Lease")]
pub(crate) struct Leased {
    /// What it is ended, extended or released by.
    lease: String,
    leased_until: String,
    delivery: String,
    attempt: u32,
    event: String,
    event_type: String,
    source: String,
    delivery_id: Option<String>,
    received_at: String,
    headers: Vec<(String, String)>,
    body_base64: String,
}

/// Which leases.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Leases")]
pub(crate) struct Named {
    leases: Vec<String>,
    #[serde(default)]
    visibility_s: Option<u64>,
}

/// What came of one lease.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "LeaseResult")]
pub(crate) struct Ended {
    lease: String,
    #[schemars(extend("enum" = ["acknowledged", "released", "exhausted", "extended", "lease_lost"]))]
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    leased_until: Option<String>,
}

/// `POST /destinations/{name}/lease`
pub(crate) async fn lease(
    State(api): State<Arc<Api>>,
    caller: Caller<Pull>,
    Path(name): Path<String>,
    Optional(wanted): Optional<Wanted>,
) -> Result<Json<Items<Leased>>, Problem> {
    let wanted = wanted.unwrap_or_default();
    let ask = Ask {
        max: wanted.max.unwrap_or(1),
        visibility: Duration::from_secs(wanted.visibility_s.unwrap_or(VISIBILITY_S)),
        wait: Duration::from_secs(wanted.wait_s),
    };
    let leases = api.engine.lease(caller.organization, &name, ask).await?;
    Ok(Json(Items { items: leases.into_iter().map(leased).collect() }))
}

/// `POST /leases/ack`
pub(crate) async fn acknowledge(
    State(api): State<Arc<Api>>,
    caller: Caller<Pull>,
    Body(named): Body<Named>,
) -> Result<Json<Items<Ended>>, Problem> {
    let answers = api.engine.acknowledge(caller.organization, &named.leases).await?;
    Ok(ended(named.leases, answers))
}

/// `POST /leases/release`
pub(crate) async fn release(
    State(api): State<Arc<Api>>,
    caller: Caller<Pull>,
    Body(named): Body<Named>,
) -> Result<Json<Items<Ended>>, Problem> {
    let answers = api.engine.release(caller.organization, &named.leases).await?;
    Ok(ended(named.leases, answers))
}

/// `POST /leases/extend`
pub(crate) async fn extend(
    State(api): State<Arc<Api>>,
    caller: Caller<Pull>,
    Body(named): Body<Named>,
) -> Result<Json<Items<Ended>>, Problem> {
    let visibility = Duration::from_secs(named.visibility_s.unwrap_or(VISIBILITY_S));
    let answers = api.engine.extend(caller.organization, &named.leases, visibility).await?;
    Ok(ended(named.leases, answers))
}

fn ended(leases: Vec<String>, answers: Vec<Answer>) -> Json<Items<Ended>> {
    let one = |(lease, answer): (String, Answer)| {
        let (result, leased_until) = match answer {
            Answer::Acknowledged => ("acknowledged", None),
            Answer::Released => ("released", None),
            Answer::Exhausted => ("exhausted", None),
            Answer::Extended { until } => ("extended", Some(time(until))),
            Answer::LeaseLost => ("lease_lost", None),
        };
        Ended { lease, result, leased_until }
    };
    Json(Items { items: leases.into_iter().zip(answers).map(one).collect() })
}

fn leased(lease: Lease) -> Leased {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    let headers = lease.event.request.headers.iter();
    Leased {
        lease: lease.token,
        leased_until: time(lease.until),
        delivery: lease.delivery.to_string(),
        attempt: lease.attempt,
        event: lease.event.id.to_string(),
        headers: headers.map(|(name, value)| (name.clone(), text(value))).collect(),
        event_type: lease.event.event_type,
        source: lease.event.source_name,
        delivery_id: lease.event.delivery_id,
        received_at: time(lease.event.received_at),
        body_base64: BASE64_STANDARD.encode(&lease.body),
    }
}
