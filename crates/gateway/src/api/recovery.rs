//! What a destination failed to take or never got, brought back: counted, or begun as a redelivery job, which is then
//! looked after like any other.

use std::sync::Arc;

use axum::extract::State;
use hookward_engine::model::{JobSpec, Recovery};
use schemars::JsonSchema;
use serde::Deserialize;

use super::caller::{Caller, Redeliver};
use super::extract::{Body, Path};
use super::jobs::{self, Made};
use super::problem::Problem;
use super::{Api, instant};

/// What to recover.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRecovery")]
pub(crate) struct Wanted {
    /// `failed`: events whose latest delivery here was exhausted in that time. `missing`: events received in that time that
    /// the destination wants today and neither has nor is owed.
    #[schemars(with = "String", extend("enum" = ["failed", "missing"]))]
    what: Recovery,
    /// From this time on.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Before this time; up to now when absent.
    #[schemars(extend("format" = "date-time"))]
    #[serde(default)]
    until: Option<String>,
    /// Events in a second; 50 when absent.
    #[schemars(range(min = 1, max = 10_000))]
    #[serde(default)]
    rate_per_s: Option<u32>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// `POST /destinations/{name}/recover`
pub(crate) async fn recover(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(name): Path<String>,
    Body(wanted): Body<Wanted>,
) -> Result<Made, Problem> {
    let spec = JobSpec {
        source: None,
        event_type: None,
        from: Some(instant("since", &wanted.since)?),
        to: wanted.until.map(|text| instant("until", &text)).transpose()?,
        duplicate: None,
        destination: Some(name),
        state: None,
        filter: None,
        recover: Some(wanted.what),
        rate_per_s: wanted.rate_per_s.unwrap_or(jobs::RATE),
    };
    jobs::make(&api, &caller, spec, wanted.dry_run).await
}
