//! Refused requests on pages: why one was not believed, which only the operator is told, and what came.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::RefusedId;
use hookward_engine::model::{RefusedAt, RefusedRequest};
use serde_json::Value;

use super::super::page::{Failure, Page, sentence};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::{self, When};
use super::at::{At, page_of};
use crate::api::Api;
use crate::api::caller::Read;
use crate::api::refusals::as_text;
use crate::api::secrets::Owners;

/// The page.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/dashboard/refusals/{id}", get(show))
}

/// One of a list.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) page: String,
    pub(super) reason: String,
    pub(super) explanation: String,
    /// What was found out about it, and whether that is proven.
    pub(super) finding: Option<(String, bool)>,
    /// The parts of the request that it is about.
    pub(super) places: String,
    pub(super) at: When,
    pub(super) remote: String,
    /// How many like it came in the same moment, where there were more.
    pub(super) count: Option<String>,
}

/// As lists show them.
pub(super) fn rows(refused: Vec<RefusedRequest>, now: Timestamp) -> Vec<Refusal> {
    refused.iter().map(|refused| row(refused, now)).collect()
}

fn row(refused: &RefusedRequest, now: Timestamp) -> Refusal {
    let places = refused.detail["places"].as_array().into_iter().flatten().filter_map(|place| place.as_str());
    Refusal {
        page: format!("/dashboard/refusals/{}", refused.id),
        reason: refused.reason.clone(),
        explanation: sentence(&refused.explanation),
        finding: finding(&refused.detail["findings"][0]),
        places: places.collect::<Vec<_>>().join(", "),
        at: When::new(refused.at, now),
        remote: refused.request.remote.clone(),
        count: (refused.count > 1).then(|| words::count(refused.count)),
    }
}

/// A finding as a sentence, and whether it is proven.
fn finding(found: &Value) -> Option<(String, bool)> {
    Some((sentence(found["explanation"].as_str()?), found["evidence"] == "proven"))
}

#[derive(Debug, Template)]
#[template(path = "dashboard/refusal.html")]
struct One {
    shell: Shell,
    /// The source's page and its name, where it is known whose it was.
    source: Option<(String, String)>,
    refusal: Refusal,
    line: String,
    headers: Vec<(String, String)>,
    len: String,
    body: String,
    is_text: bool,
    is_cut: bool,
}

/// `GET /dashboard/refusals/{id}`
async fn show(State(api): State<Arc<Api>>, visitor: Visitor<Read>, At(id): At<RefusedId>) -> Result<Response, Failure> {
    let refused = api.engine().store().refused(visitor.organization, id).await?;
    let refusal = row(&refused, api.clock().now());
    let (body, encoding) = as_text(&refused.body_start);
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let shown = One {
        shell: visitor.shell(&api, Section::Sources, "A refused request"),
        source: match refused.refused_at {
            RefusedAt::Source(name) => Some((page_of(Owners::Sources, &name), name)),
            RefusedAt::Path(_) => None,
        },
        refusal,
        line: format!("{} {}", refused.request.method, refused.request.target),
        headers: refused.request.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
        len: words::bytes(refused.body_len),
        is_cut: refused.body_len > refused.body_start.len() as u64,
        is_text: encoding == "utf-8",
        body,
    };
    Ok(Page(shown).into_response())
}
