//! The audit log, newest first.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use hookward_engine::store::AuditRow;
use serde::Serialize;

use super::caller::{Caller, Read};
use super::page::{self, List};
use super::problem::Problem;
use super::sources::Paging;
use super::{Api, time};

/// An audit entry as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    seq: i64,
    at: String,
    actor: String,
    /// Where from; empty for what the gateway does by itself.
    address: String,
    action: String,
    target: String,
    detail: serde_json::Value,
}

/// `GET /audit`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    query: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<List<Shown>>, Problem> {
    let Query(query) = query?;
    let page = page::page("audit", query.limit.as_deref(), query.cursor.as_deref())?;
    let listing = api.engine.store().audit(caller.organization, page).await?;
    Ok(Json(page::show("audit", listing, shown)))
}

fn shown(row: AuditRow) -> Shown {
    let entry = row.entry;
    Shown {
        seq: row.seq,
        at: time(entry.at),
        actor: entry.actor,
        address: entry.address,
        action: entry.action,
        target: entry.target,
        detail: entry.detail,
    }
}
