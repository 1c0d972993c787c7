//! Refused requests, for finding out why a sender's requests are not believed: listed, shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookward_engine::ids::RefusedId;
use hookward_engine::model::{RefusedAt, RefusedRequest};
use hookward_engine::store::RefusedFilter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Read};
use super::events::Request;
use super::extract::{Path, Query};
use super::page::{self, List};
use super::problem::Problem;
use super::{Api, time};

/// Which refused requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    #[schemars(with = "Option<page::Limit>")]
    limit: Option<String>,
    #[schemars(with = "Option<page::Cursor>")]
    cursor: Option<String>,
    /// A source's name, or the path of requests whose source could not be told.
    source: Option<String>,
    /// A refusal's id, such as `signature-mismatch`.
    reason: Option<String>,
}

/// A request that was not believed.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "RefusedRequest")]
pub(crate) struct Shown {
    #[schemars(example = &"ref_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    source: Option<String>,
    /// Where it was refused when no source could be told.
    path: Option<String>,
    refused_at: String,
    reason: String,
    explanation: String,
    /// The scheme, the places of the request that the reason is about, the skew in seconds; and `findings`: what was found out about
    /// it, each with `evidence` (`proven` or `suspected`), its `causes` and one sentence.
    #[schemars(extend("type" = "object"))]
    detail: serde_json::Value,
    remote: String,
    /// How many like it came in the same moment.
    count: u64,
    /// Only when one is shown.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    whole: Option<Whole>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WholeRequest")]
struct Whole {
    request: Request,
    body_len: u64,
    /// The body's first bytes, as text where they are text.
    body_start: String,
    #[schemars(extend("enum" = ["utf-8", "base64"]))]
    body_start_encoding: &'static str,
}

/// `GET /refusals`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Filter>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("refusals", query.limit.as_deref(), query.cursor.as_deref())?;
    if let Some(source) = query.source.as_deref().filter(|source| !source.starts_with('/')) {
        api.engine.source_id(caller.organization, source).await?;
    }
    let filter = RefusedFilter { door: query.source, reason: query.reason };
    let listing = api.engine.store().all_refused(caller.organization, filter, page).await?;
    Ok(Json(page::show("refusals", listing, |refused| shown(refused, false))))
}

/// `GET /refusals/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(id): Path<RefusedId>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(shown(api.engine.store().refused(caller.organization, id).await?, true)))
}

fn shown(refused: RefusedRequest, in_full: bool) -> Shown {
    let (source, path) = match refused.refused_at {
        RefusedAt::Source(name) => (Some(name), None),
        RefusedAt::Path(path) => (None, Some(path)),
    };
    let remote = refused.request.remote.clone();
    let whole = in_full.then(|| {
        let (body_start, body_start_encoding) = as_text(&refused.body_start);
        let request = super::events::request(refused.request);
        Whole { request, body_len: refused.body_len, body_start, body_start_encoding }
    });
    Shown {
        id: refused.id.to_string(),
        source,
        path,
        refused_at: time(refused.at),
        reason: refused.reason,
        explanation: refused.explanation,
        detail: refused.detail,
        remote,
        count: refused.count,
        whole,
    }
}

/// A start of something as text, if it is text up to a character that is cut off at its end.
pub(crate) fn as_text(start: &[u8]) -> (String, &'static str) {
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok(),
        Err(_) => None,
    };
    text.map_or_else(|| (STANDARD.encode(start), "base64"), |text| (text.to_owned(), "utf-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_cut_inside_a_character_is_still_text() {
        let text = "naïve".as_bytes();
        assert_eq!(as_text(text), ("naïve".to_owned(), "utf-8"));
        assert_eq!(as_text(&text[..3]), ("na".to_owned(), "utf-8"));
        assert_eq!(as_text(&[0xff, 0x00]), ("/wA=".to_owned(), "base64"));
    }
}
