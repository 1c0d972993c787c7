//! Redelivery jobs: made, tried dry, listed, shown, paused, resumed, ended.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookward_engine::ids::JobId;
use hookward_engine::jobs::JobAction;
use hookward_engine::model::{JobSpec, JobState, Principal, RedeliveryJob};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::caller::{Caller, Read, Redeliver};
use super::deliveries::{self, STATES};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::sources::Paging;
use super::{Api, instant, time};

/// Events in a second when the caller does not say.
const RATE: u32 = 50;

/// What to redeliver.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wanted {
    source: Option<String>,
    #[serde(rename = "type", alias = "event_type")]
    event_type: Option<String>,
    from: Option<String>,
    to: Option<String>,
    duplicate: Option<bool>,
    destination: Option<String>,
    state: Option<String>,
    filter: Option<String>,
    rate_per_s: Option<u32>,
    dry_run: bool,
}

/// A job as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
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

/// `POST /redeliveries`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let wanted: Wanted = super::secrets::optional(&body?)?;
    let dry_run = wanted.dry_run;
    let spec = spec(wanted)?;
    if dry_run {
        let matched = api.engine.count_redeliveries(caller.organization, spec).await?;
        return Ok(Json(json!({ "matched": matched })).into_response());
    }
    let job = api.engine.create_job(spec, &caller).await?;
    Ok((StatusCode::ACCEPTED, Json(shown(job))).into_response())
}

/// `GET /redeliveries`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    query: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<List<Shown>>, Problem> {
    let Query(query) = query?;
    let page = page::page("redeliveries", query.limit.as_deref(), query.cursor.as_deref())?;
    let listing = api.engine.store().jobs(caller.organization, page).await?;
    Ok(Json(page::show("redeliveries", listing, shown)))
}

/// `GET /redeliveries/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(shown(api.engine.store().job(caller.organization, id.parse()?).await?)))
}

/// `POST /redeliveries/{id}/pause`
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    act(&api, &caller, &id, JobAction::Pause).await
}

/// `POST /redeliveries/{id}/resume`
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    act(&api, &caller, &id, JobAction::Resume).await
}

/// `POST /redeliveries/{id}/cancel`
pub(crate) async fn cancel(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    act(&api, &caller, &id, JobAction::Cancel).await
}

async fn act(api: &Api, caller: &Principal, id: &str, action: JobAction) -> Result<Json<Shown>, Problem> {
    let id: JobId = id.parse()?;
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
        rate_per_s: wanted.rate_per_s.unwrap_or(RATE),
    })
}

fn shown(job: RedeliveryJob) -> Shown {
    let JobSpec { source, event_type, from, to, duplicate, destination, state, filter, rate_per_s } = job.spec;
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
