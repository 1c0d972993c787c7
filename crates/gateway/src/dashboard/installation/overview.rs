//! The first page: how things are.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};

use super::super::notice::Noticed;
use super::super::page::{Failure, Page};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words;
use crate::api::Api;
use crate::api::caller::Read;

#[derive(Debug, Template)]
#[template(path = "dashboard/overview.html")]
struct Overview {
    shell: Shell,
    outstanding: String,
}

/// `GET /dashboard`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(noticed): Query<Noticed>,
) -> Result<Response, Failure> {
    let backlog = api.engine().store().backlog().await?;
    let shell = visitor.shell(&api, Section::Overview, "Overview").noticing(noticed.notice);
    Ok(Page(Overview { shell, outstanding: words::count(backlog.outstanding) }).into_response())
}
