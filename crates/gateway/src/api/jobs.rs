//! Redelivery jobs: made, tried dry, listed, shown, paused, resumed, ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookward_engine::ids::JobId;
use hookward_engine::jobs::JobAction;
use hookward_engine::model::{JobSpec, JobState, Principal, Recovery, RedeliveryJob};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::answers::Accepted;
use super::caller::{Caller, Read, Redeliver};
use super::deliveries::{self, STATES};
use super::extract::{Optional, Path, Query};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::sources::Paging;
use super::{Api, instant, time};
use crate::openapi::{Answers, Operation};

/// Events in a second when the caller does not say.
pub(crate) const RATE: u32 = 50;

/// What to redeliver.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewRedelivery")]
pub(crate) struct Wanted {
    source: Option<String>,
    #[serde(rename = "type", alias = "event_type")]
    event_type: Option<String>,
    /// Received at this time or later.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Received before this time.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
    duplicate: Option<bool>,
    /// To this one only, whatever its filter says.
    destination: Option<String>,
    /// Only where the latest delivery is in this state.
    #[schemars(extend("enum" = ["pending", "leased", "delivered", "exhausted", "cancelled", "held", "waiting", null]))]
    state: Option<String>,
    /// An expression in CEL that is true for the events wanted.
    filter: Option<String>,
    /// Events in a second.
    #[schemars(range(min = 1, max = 10_000))]
    rate_per_s: Option<u32>,
    /// Only count.
    dry_run: bool,
}

/// A redelivery job.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Redelivery")]
pub(crate) struct Shown {
    #[schemars(example = &"job_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(with = "String", extend("enum" = ["running", "paused", "done", "cancelled", "failed"]))]
    state: JobState,
    /// Why it failed.
    problem: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    duplicate: Option<bool>,
    destination: Option<String>,
    in_state: Option<String>,
    filter: Option<String>,
    /// What it brings back to its destination, if it recovers.
    #[schemars(with = "Option<String>", extend("enum" = ["failed", "missing", null]))]
    recovers: Option<Recovery>,
    rate_per_s: u32,
    looked_at: u64,
    matched: u64,
    redelivered: u64,
    /// How much of its range of events is done.
    percent: u8,
    actor: String,
    created_at: String,
    updated_at: String,
}

/// How many events there are.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Matched {
    matched: u64,
}

/// 202 with the job, or 200 with what it would be about.
#[derive(Debug)]
pub(crate) enum Made {
    Job(Box<Shown>),
    Dry(Matched),
}

impl IntoResponse for Made {
    fn into_response(self) -> Response {
        match self {
            Self::Job(job) => Accepted(job).into_response(),
            Self::Dry(matched) => Json(matched).into_response(),
        }
    }
}

impl Answers for Made {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<Matched>(StatusCode::OK);
        operation.answers::<Shown>(StatusCode::ACCEPTED);
    }
}

/// `POST /redeliveries`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Optional(wanted): Optional<Wanted>,
) -> Result<Made, Problem> {
    let wanted = wanted.unwrap_or_default();
    let dry_run = wanted.dry_run;
    make(&api, &caller, spec(wanted)?, dry_run).await
}

/// Makes a job, or only counts.
pub(super) async fn make(api: &Api, caller: &Principal, spec: JobSpec, dry_run: bool) -> Result<Made, Problem> {
    if dry_run {
        let matched = api.engine.count_redeliveries(caller.organization, spec).await?;
        return Ok(Made::Dry(Matched { matched }));
    }
    let job = api.engine.create_job(spec, caller).await?;
    Ok(Made::Job(Box::new(shown(job))))
}

/// `GET /redeliveries`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Paging>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("redeliveries", query.limit.as_deref(), query.cursor.as_deref())?;
    let listing = api.engine.store().jobs(caller.organization, page).await?;
    Ok(Json(page::show("redeliveries", listing, shown)))
}

/// `GET /redeliveries/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<JobId>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(shown(api.engine.store().job(caller.organization, id).await?)))
}

/// `POST /redeliveries/{id}/pause`
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<JobId>,
) -> Result<Json<Shown>, Problem> {
    act(&api, &caller, id, JobAction::Pause).await
}

/// `POST /redeliveries/{id}/resume`
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<JobId>,
) -> Result<Json<Shown>, Problem> {
    act(&api, &caller, id, JobAction::Resume).await
}

/// `POST /redeliveries/{id}/cancel`
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<JobId>,
) -> Result<Json<Shown>, Problem> {
    act(&api, &caller, id, JobAction::Cancel).await
}

async fn act(api: &Api, caller: &Principal, id: JobId, action: JobAction) -> Result<Json<Shown>, Problem> {
    let changed = api.engine.act_on_job(id, action, caller).await?;
    let job = api.engine.store().job(caller.organization, id).await?;
    if !changed {
        let state = json!(job.state);
        let state = state.as_str().unwrap_or_default();
        return Err(Problem::new(Code::NotPossible, format!("job `{id}` is {state}, so it cannot do that")));
    }
    Ok(Json(shown(job)))
}

fn spec(wanted: Wanted) -> Result<JobSpec, Problem> {
    if wanted.state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(Problem::new(Code::InvalidRequest, deliveries::states_known()));
    }
    Ok(JobSpec {
        source: wanted.source,
        event_type: wanted.event_type,
        from: wanted.from.map(|text| instant("from", &text)).transpose()?,
        to: wanted.to.map(|text| instant("to", &text)).transpose()?,
        duplicate: wanted.duplicate,
        destination: wanted.destination,
        state: wanted.state,
        filter: wanted.filter,
        recover: None,
        rate_per_s: wanted.rate_per_s.unwrap_or(RATE),
    })
}

fn shown(job: RedeliveryJob) -> Shown {
    let JobSpec { source, event_type, from, to, duplicate, destination, state, filter, recover, rate_per_s } = job.spec;
    Shown {
        id: job.id.to_string(),
        state: job.state,
        problem: Some(job.problem).filter(|problem| !problem.is_empty()),
        source,
        event_type,
        from: from.map(time),
        to: to.map(time),
        duplicate,
        destination,
        in_state: state,
        filter,
        recovers: recover,
        rate_per_s,
        looked_at: job.looked_at,
        matched: job.matched,
        redelivered: job.redelivered,
        percent: job.range.percent(),
        actor: job.actor,
        created_at: time(job.created_at),
        updated_at: time(job.updated_at),
    }
}
