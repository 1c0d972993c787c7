//! The check of the audit log's chain: in steps that each answer soon, with what is done so far. A form carries it from one
//! step to the next, so nothing of it is kept here and it can be left at any time.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookward_engine::EngineError;
use hookward_engine::audit::ChainCheck;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Head;
use http::StatusCode;
use serde::Deserialize;

use super::super::form::Form;
use super::super::page::{Failure, Page, Refused};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words;
use crate::api::Api;
use crate::api::caller::Read;

/// Rows that are checked before there is an answer: a fraction of a second.
const STEP: u32 = 10_000;

#[derive(Debug, Template)]
#[template(path = "dashboard/audit_check.html")]
struct Check {
    shell: Shell,
    head: String,
    rows: String,
    data: String,
    published: String,
    published_problem: Option<&'static str>,
    so_far: SoFar,
    operates: bool,
}

/// How far a check is.
#[derive(Debug)]
enum SoFar {
    NotBegun,
    UnderWay { first: String, done: u64, all: u64, percent: u64, check: ChainCheck },
    Sound { first: String, last: String, head: String, is_against: bool },
    Broken { problem: String },
}

/// `GET /dashboard/audit/check`
pub(super) async fn show(State(api): State<Arc<Api>>, visitor: Visitor<Read>) -> Result<Response, Failure> {
    Ok(Page(page(&api, &visitor, SoFar::NotBegun).await?).into_response())
}

async fn page(api: &Api, visitor: &Visitor<Read>, so_far: SoFar) -> Result<Check, Failure> {
    let head = api.engine().audit_head().await?;
    Ok(Check {
        shell: visitor.shell(api, Section::Audit, "Check of the audit log"),
        head: head.to_string(),
        rows: words::count(head.seq.unsigned_abs()),
        data: api.installation().data.display().to_string(),
        published: String::new(),
        published_problem: None,
        so_far,
        operates: visitor.operates(),
    })
}

/// What to check, or how far that is.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// How many of the last rows; all without it.
    #[serde(default)]
    last: String,
    /// A head that was published, or nothing.
    #[serde(default)]
    published: String,
    after: Option<i64>,
    head: Option<String>,
    until: Option<i64>,
}

/// `POST /dashboard/audit/check`: one step.
pub(super) async fn check(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Failure> {
    let Ok(published) = Some(wanted.published.trim()).filter(|text| !text.is_empty()).map(str::parse).transpose()
    else {
        let problem = Some("Write it as it was published: SEQ:HASH, with a hash of 64 digits and letters.");
        let again = page(&api, &visitor, SoFar::NotBegun).await?;
        let again = Check { published: wanted.published, published_problem: problem, ..again };
        return Ok(Refused(StatusCode::UNPROCESSABLE_ENTITY, again).into_response());
    };
    // Everybody's rows follow one another; those of one organization alone do not.
    let organization = (!visitor.operates()).then_some(visitor.organization);
    let so_far = match step(&api, organization, &wanted, published).await {
        // A row that cannot even be read was not written so.
        Err(EngineError::Inconsistent(problem)) => SoFar::Broken { problem },
        so_far => so_far?,
    };
    Ok(Page(Check { published: wanted.published, ..page(&api, &visitor, so_far).await? }).into_response())
}

async fn step(
    api: &Api,
    organization: Option<OrganizationId>,
    wanted: &Wanted,
    published: Option<Head>,
) -> Result<SoFar, EngineError> {
    let head = wanted.head.as_deref().and_then(|head| head.parse().ok());
    let check = match (wanted.after, head, wanted.until) {
        (Some(after), Some(head), Some(until)) => ChainCheck { after, head, until, published },
        _ => api.engine().begin_audit_check(wanted.last.parse().ok(), published).await?,
    };
    Ok(match api.engine().check_audit(organization, check, STEP).await? {
        Err(broken) => SoFar::Broken { problem: broken.to_string() },
        Ok(check) => told(check),
    })
}

fn told(check: ChainCheck) -> SoFar {
    let count = |rows: i64| rows.max(0).unsigned_abs();
    let (done, all) = (count(check.head.seq - check.after), count(check.until - check.after));
    let first = words::count(count(check.after + 1));
    if check.is_done() {
        let (last, head) = (words::count(count(check.head.seq)), check.head.to_string());
        return SoFar::Sound { first, last, head, is_against: check.published.is_some() };
    }
    SoFar::UnderWay { first, done, all, percent: (done * 100).checked_div(all).unwrap_or(100).min(99), check }
}
