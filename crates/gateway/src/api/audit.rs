//! The audit log: listed newest first, taken out oldest first, and the head of its chain.

pub(crate) mod line;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use hookward_engine::audit::{AuditExport, Chain};
use hookward_engine::clock::Timestamp;
use hookward_engine::store::{AuditFilter, AuditRow};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::Lines;
use super::caller::{Caller, Export, Read};
use super::extract::Query;
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, instant, time};

/// Which entries.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[schemars(with = "Option<page::Limit>")]
    limit: Option<String>,
    #[schemars(with = "Option<page::Cursor>")]
    cursor: Option<String>,
    /// Who, exactly.
    actor: Option<String>,
    /// Which act, exactly: `secret.reveal`.
    action: Option<String>,
    target: Option<String>,
    /// Not before this time.
    since: Option<String>,
    /// The same under another name.
    from: Option<String>,
    /// Before this time.
    until: Option<String>,
}

/// An audit entry as the API shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditEntry")]
pub(crate) struct Shown {
    seq: i64,
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Who: `key:<name>`, `user:<email>`, `source:<name>`, `config` or `system`.
    #[schemars(example = &"key:bootstrap")]
    actor: String,
    /// Where from; empty for what the gateway does by itself.
    address: String,
    #[schemars(example = &"secret.rotate")]
    action: String,
    #[schemars(example = &"source:github")]
    target: String,
    /// What else there is to know, by action.
    #[schemars(extend("type" = "object"))]
    detail: serde_json::Value,
    /// The SHA-256 of this row and all before it.
    hash: String,
}

/// `GET /audit`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Filter>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("audit", query.limit.as_deref(), query.cursor.as_deref())?;
    if query.since.is_some() && query.from.is_some() {
        return Err(Problem::new(Code::InvalidQuery, "`since` and `from` are the same: give one of them"));
    }
    let filter = AuditFilter {
        actor: query.actor,
        action: query.action,
        target: query.target,
        since: query.since.or(query.from).map(|text| moment("since", &text)).transpose()?,
        until: query.until.map(|text| moment("until", &text)).transpose()?,
    };
    let listing = api.engine.store().audit_matching(caller.organization, filter, page).await?;
    Ok(Json(page::show("audit", listing, shown)))
}

/// A time as RFC 3339, or as whole seconds since the Unix epoch.
fn moment(field: &str, text: &str) -> Result<Timestamp, Problem> {
    match text.parse::<u32>() {
        Ok(seconds) => Ok(Timestamp::from_millis(i64::from(seconds) * 1000)),
        Err(_) => instant(field, text).map_err(Problem::of_query),
    }
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
        hash: row.hash.to_string(),
    }
}

/// The chain's head as the API shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditHead")]
pub(crate) struct ShownHead {
    seq: i64,
    hash: String,
    /// Both, as `hookward audit verify --head` takes them.
    head: String,
}

/// `GET /audit/head`
pub(crate) async fn head(State(api): State<Arc<Api>>, _caller: Caller<Read>) -> Result<Json<ShownHead>, Problem> {
    let head = api.engine.audit_head().await?;
    Ok(Json(ShownHead { seq: head.seq, hash: head.hash.to_string(), head: head.to_string() }))
}

/// Which rows to take out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    #[serde(default)]
    chain: Which,
    /// Only those after this position.
    #[serde(default)]
    after: u32,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Which {
    /// The organization's own.
    #[default]
    Own,
    /// Everybody's, for the operator.
    All,
}

/// `GET /audit/export`: a line of JSON for each row, oldest first, with the hash before it, so that each can be checked by
/// itself.
pub(crate) async fn export(
    State(api): State<Arc<Api>>,
    caller: Caller<Export>,
    Query(Range { chain, after }): Query<Range>,
) -> Result<Lines, Problem> {
    let (chain, caller) = match chain {
        Which::Own => (Chain::Own, caller),
        Which::All => (Chain::All, caller.operator()?),
    };
    Ok(Lines(lines(api.engine.export_audit(&caller, chain, after.into()).await?)))
}

/// An export as an answer's body.
pub(crate) fn lines(export: AuditExport) -> Body {
    Body::from_stream(futures_util::stream::unfold(Some(export), |export| async {
        let mut export = export?;
        match next(&mut export).await {
            Ok(Some(lines)) => Some((Ok(lines), Some(export))),
            Ok(None) => None,
            // The answer breaks off, so that nobody takes it for all there was.
            Err(problem) => Some((Err(std::io::Error::other(problem)), None)),
        }
    }))
}

async fn next(export: &mut AuditExport) -> Result<Option<Bytes>, String> {
    let rows = export.next().await.map_err(|error| error.to_string());
    let lines = rows.and_then(|rows| rows.iter().map(line::write).collect::<Result<String, _>>());
    match lines {
        Ok(lines) if lines.is_empty() => Ok(None),
        Ok(lines) => Ok(Some(lines.into())),
        Err(problem) => {
            tracing::error!(problem, "an export of the audit log broke off");
            Err(problem)
        }
    }
}
