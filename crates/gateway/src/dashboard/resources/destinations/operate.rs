//! What is done with a destination while it runs: paused, resumed with what was held, brought back what it failed to take.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookward_engine::EngineError;
use hookward_engine::model::{DestinationState, JobSpec, Recovery};
use hookward_engine::store::Drain;
use http::StatusCode;
use serde::Deserialize;

use super::super::super::form::{Form, Nothing};
use super::super::super::notice::Notice;
use super::super::super::page::{self, Failure, Refused};
use super::super::super::visitor::Visitor;
use super::super::super::words;
use super::super::at::{At, page_of};
use super::{Asked, One, find, one};
use crate::api::caller::Redeliver;
use crate::api::secrets::Owners;
use crate::api::{Api, instant, jobs};
use crate::config::parse_lapse;

/// What becomes of the deliveries that were held.
#[derive(Debug, Deserialize)]
pub(super) struct Resuming {
    #[serde(default)]
    held: Held,
    /// How many a second, if not all at once.
    #[serde(default)]
    per_s: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    /// Due at once.
    #[default]
    Release,
    /// Due one after the other.
    Spread,
    /// Cancelled.
    Drop,
}

/// What to bring back, as it was asked.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Recovering {
    #[serde(default)]
    pub(super) what: What,
    /// A lapse before now, or a time.
    #[serde(default)]
    pub(super) since: String,
    #[serde(default)]
    count: bool,
    /// How many there are, once they were counted.
    #[serde(skip)]
    pub(super) counted: Option<String>,
}

/// Which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    #[default]
    Failed,
    Missing,
}

fn back(name: &str, notice: Notice) -> Response {
    page::see_other(&format!("{}?notice={}", page_of(Owners::Destinations, name), notice.code()))
}

/// `POST /dashboard/destinations/{name}/pause`
pub(super) async fn pause(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    At(name): At<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    find(&api, &visitor, &name)?;
    api.engine().set_destination_state(&name, DestinationState::Paused, &visitor).await?;
    Ok(back(&name, Notice::Paused))
}

/// `POST /dashboard/destinations/{name}/resume`
pub(super) async fn resume(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    At(name): At<String>,
    Form(resuming): Form<Resuming>,
) -> Result<Response, Failure> {
    find(&api, &visitor, &name)?;
    let drain = match (resuming.held, resuming.per_s.trim().parse()) {
        (Held::Release, _) => Drain::AtOnce,
        (Held::Drop, _) => Drain::Drop,
        (Held::Spread, Ok(per_s)) => Drain::Spread { per_s },
        (Held::Spread, Err(_)) => {
            return again(&api, &visitor, &name, "Say how many deliveries a second, in a whole number.".to_owned())
                .await;
        }
    };
    match api.engine().resume_destination(&name, drain, &visitor).await {
        Ok(_) if drain == Drain::Drop => Ok(back(&name, Notice::Dropped)),
        Ok(_) => Ok(back(&name, Notice::Resumed)),
        Err(EngineError::Invalid(problem)) => again(&api, &visitor, &name, page::sentence(&problem)).await,
        Err(error) => Err(error.into()),
    }
}

/// `POST /dashboard/destinations/{name}/recover`
pub(super) async fn recover(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Redeliver>,
    At(name): At<String>,
    Form(recovering): Form<Recovering>,
) -> Result<Response, Failure> {
    find(&api, &visitor, &name)?;
    let now = api.clock().now();
    let since = recovering.since.trim();
    let from = match parse_lapse(since).map(|lapse| now.minus(lapse)) {
        Some(from) => from,
        None => match instant("since", since) {
            Ok(from) => from,
            Err(_) => {
                let problem = "Say since when: a lapse like 24h or 7d, or a time like 2026-01-31T09:30:00Z.".to_owned();
                return again(&api, &visitor, &name, problem).await;
            }
        },
    };
    let recover = match recovering.what {
        What::Failed => Recovery::Failed,
        What::Missing => Recovery::Missing,
    };
    let spec = JobSpec {
        source: None,
        event_type: None,
        from: Some(from),
        to: None,
        duplicate: None,
        destination: Some(name.clone()),
        state: None,
        filter: None,
        recover: Some(recover),
        rate_per_s: jobs::RATE,
    };
    if recovering.count {
        let counted = api.engine().count_redeliveries(visitor.organization, spec).await?;
        let recovering = Recovering { counted: Some(words::count(counted)), ..recovering };
        return Ok(
            page::Page(One { recovering, ..one(&api, &visitor, &name, Asked::default()).await? }).into_response()
        );
    }
    match api.engine().create_job(spec, &visitor).await {
        Ok(_) => Ok(back(&name, Notice::Recovering)),
        Err(EngineError::Invalid(problem) | EngineError::Conflict(problem)) => {
            again(&api, &visitor, &name, page::sentence(&problem)).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The page again, with what is wrong.
async fn again(api: &Api, visitor: &Visitor<Redeliver>, name: &str, problem: String) -> Result<Response, Failure> {
    let page = One { problem: Some(problem), ..one(api, visitor, name, Asked::default()).await? };
    Ok(Refused(StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
}
