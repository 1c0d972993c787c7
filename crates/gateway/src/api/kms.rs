//! The keys that seal all secrets, for whoever operates the installation: how they are, and everything under the current one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::ShutSecret;
use hookward_engine::kms::KmsError;
use hookward_engine::rewrap::{KmsStatus, Rewrap};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::Accepted;
use super::caller::{Admin, Caller};
use super::extract::Optional;
use super::problem::{Code, Problem};
use super::{Api, time};

/// How the keys are.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KeyService")]
pub(crate) struct Shown {
    /// The key that wraps.
    key_id: String,
    /// Keys that only unwrap.
    previous: Vec<String>,
    /// How many sealed values each key wraps.
    sealed: BTreeMap<String, u64>,
    /// Secrets in force whose key is in memory.
    open: usize,
    /// Secrets in force whose key is not.
    shut: usize,
    /// What the KMS at hand will never open: it has to be entered again.
    enter_again: Vec<ShownShut>,
    /// What waits for the KMS.
    waiting: Vec<ShownShut>,
}

/// A secret that is not open.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ShutSecret")]
pub(crate) struct ShownShut {
    organization: String,
    owner: String,
    version: u32,
    /// The key that it is sealed under; absent where that is not known.
    key_id: Option<String>,
    problem: String,
}

/// A rewrap as the API shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Rewrap")]
pub(crate) struct ShownRewrap {
    #[schemars(extend("enum" = ["running", "waiting", "done"]))]
    state: &'static str,
    to: String,
    total: u64,
    done: u64,
    /// What does not open, and so stays under its key.
    skipped: u64,
    percent: u64,
    /// What it waits for.
    problem: Option<String>,
    actor: String,
    started_at: String,
    ended_at: Option<String>,
}

/// What came of a test.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KeyServiceTest")]
pub(crate) struct Tested {
    key_id: String,
    duration_ms: u64,
}

/// How to rewrap.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewRewrap")]
pub(crate) struct Wanted {
    give_up_lost: bool,
}

/// `GET /kms`
pub(crate) async fn show(State(api): State<Arc<Api>>, caller: Caller<Admin>) -> Result<Json<Shown>, Problem> {
    caller.operator()?;
    let KmsStatus { key_id, previous, sealed, open, shut } = api.engine.kms_status().await?;
    let is_waiting = |secret: &ShutSecret| matches!(secret.error, KmsError::Unavailable(_));
    let (waiting, enter_again): (Vec<_>, Vec<_>) = api.engine.shut_secrets().into_iter().partition(is_waiting);
    let shown = |secrets: Vec<ShutSecret>| secrets.into_iter().map(|secret| shown_shut(&api, secret)).collect();
    let (waiting, enter_again) = (shown(waiting), shown(enter_again));
    Ok(Json(Shown { key_id, previous, sealed: sealed.into_iter().collect(), open, shut, enter_again, waiting }))
}

/// `POST /kms/test`
pub(crate) async fn test(State(api): State<Arc<Api>>, caller: Caller<Admin>) -> Result<Json<Tested>, Problem> {
    let caller = caller.operator()?;
    let took = match api.engine.test_kms(&caller).await {
        // Whoever operates the installation is told what its log would say.
        Err(hookward_engine::EngineError::Unavailable(problem)) => {
            return Err(Problem::new(Code::Unavailable, problem));
        }
        result => result?,
    };
    let key_id = api.engine.kms_status().await?.key_id;
    Ok(Json(Tested { key_id, duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }))
}

/// `POST /kms/rewrap`: begins it, or says how far the one under way is.
pub(crate) async fn start_rewrap(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Optional(wanted): Optional<Wanted>,
) -> Result<Accepted<ShownRewrap>, Problem> {
    let caller = caller.operator()?;
    let wanted = wanted.unwrap_or_default();
    let rewrap = api.engine.start_rewrap(&caller, wanted.give_up_lost).await?;
    Ok(Accepted(shown_rewrap(rewrap)))
}

/// `GET /kms/rewrap`: the last one.
pub(crate) async fn rewrap(State(api): State<Arc<Api>>, caller: Caller<Admin>) -> Result<Json<ShownRewrap>, Problem> {
    caller.operator()?;
    let rewrap = api.engine.rewrap().await?;
    let rewrap = rewrap.ok_or_else(|| Problem::new(Code::NotFound, "nothing was rewrapped yet"))?;
    Ok(Json(shown_rewrap(rewrap)))
}

fn shown_shut(api: &Api, secret: ShutSecret) -> ShownShut {
    let ShutSecret { organization, owner, version, key_id, error } = secret;
    let name = api.engine.organization(organization).map_or_else(|| organization.to_string(), |found| found.name);
    let key_id = (!key_id.is_empty()).then_some(key_id);
    ShownShut { organization: name, owner, version, key_id, problem: error.to_string() }
}

fn shown_rewrap(rewrap: Rewrap) -> ShownRewrap {
    let (state, percent) = (state(&rewrap), percent(&rewrap));
    let Rewrap { to, total, done, skipped, problem, actor, started_at, ended_at, .. } = rewrap;
    let (started_at, ended_at) = (time(started_at), ended_at.map(time));
    ShownRewrap { state, to, total, done, skipped, percent, problem, actor, started_at, ended_at }
}

/// Where a rewrap stands, in a word.
pub(crate) fn state(rewrap: &Rewrap) -> &'static str {
    match (rewrap.running, &rewrap.problem) {
        (true, Some(_)) => "waiting",
        (true, None) => "running",
        (false, _) => "done",
    }
}

/// How far a rewrap is; all of it only once it has ended.
pub(crate) fn percent(rewrap: &Rewrap) -> u64 {
    let Rewrap { running, total, done, .. } = *rewrap;
    if running && total > 0 { (done * 100 / total).min(99) } else { 100 }
}
