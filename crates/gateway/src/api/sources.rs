//! Sources, as declared. Secrets have endpoints of their own.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use hookward_engine::model::{Proof, Source};
use serde::{Deserialize, Serialize};

use super::caller::{Caller, Read};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, time};

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    pub(super) limit: Option<String>,
    pub(super) cursor: Option<String>,
}

/// A source as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    name: String,
    scheme: Option<String>,
    proof: &'static str,
    door: serde_json::Value,
    dedup: Dedup,
    event_types: Vec<String>,
    filter: Option<String>,
    rate: Option<Rate>,
    grace_s: u64,
    retention: Retention,
    created_at: String,
    removed_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Rate {
    requests: u32,
    per_ms: u64,
    burst: u32,
}

#[derive(Debug, Serialize)]
struct Dedup {
    body: bool,
    id_headers: Vec<String>,
    window_s: u64,
}

/// For ever, where it says nothing.
#[derive(Debug, Serialize)]
struct Retention {
    age_s: Option<u64>,
    size_bytes: Option<u64>,
}

/// `GET /sources`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    query: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<List<Shown>>, Problem> {
    let Query(query) = query?;
    let page = page::page("sources", query.limit.as_deref(), query.cursor.as_deref())?;
    let mut sources = api.engine.sources(caller.organization);
    sources.sort_by_key(|source| std::cmp::Reverse(source.created_at));
    Ok(Json(page::show("sources", page::slice(sources, page), shown)))
}

/// `GET /sources/{name}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(name): Path<String>,
) -> Result<Json<Shown>, Problem> {
    let source = api.engine.source(caller.organization, &name);
    let missing = || Problem::new(Code::NotFound, format!("there is no source `{}`", name.escape_debug()));
    Ok(Json(shown(source.ok_or_else(missing)?)))
}

fn shown(source: Source) -> Shown {
    let (proof, scheme) = match source.spec.proof {
        Proof::Scheme { name } => ("scheme", Some(name)),
        Proof::ApiKey => ("api_key", None),
        Proof::Engine => ("engine", None),
        Proof::Unsigned => ("unsigned", None),
    };
    let dedup = source.spec.dedup;
    Shown {
        id: source.id.to_string(),
        name: source.name,
        scheme,
        proof,
        door: source.spec.door,
        dedup: Dedup { body: dedup.body, id_headers: dedup.id_headers, window_s: dedup.window.as_secs() },
        event_types: source.spec.event_types,
        filter: source.spec.filter,
        rate: source.spec.rate.map(|rate| Rate {
            requests: rate.requests,
            per_ms: u64::try_from(rate.per.as_millis()).unwrap_or(u64::MAX),
            burst: rate.burst,
        }),
        grace_s: source.spec.grace.as_secs(),
        retention: Retention {
            age_s: source.spec.retention.age.map(|age| age.as_secs()),
            size_bytes: source.spec.retention.size_bytes,
        },
        created_at: time(source.created_at),
        removed_at: source.removed_at.map(time),
    }
}
