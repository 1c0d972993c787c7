//! Sources, as declared. Secrets have endpoints of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::Kind;
use hookward_engine::model::{Principal, Proof, Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answers::{Created, Done};
use super::caller::{Admin, Caller, Read};
use super::extract::{Body, Path, Query};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, time};

/// Which page.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paging {
    #[schemars(with = "Option<page::Limit>")]
    pub(super) limit: Option<String>,
    #[schemars(with = "Option<page::Cursor>")]
    pub(super) cursor: Option<String>,
}

/// The settings of a new source, as a `[[source]]` table of a configuration file has them.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "NewSource", extend("required" = ["name"], "properties" = { "name": { "type": "string" } }, "examples" = [{ "name": "github", "scheme": "github" }]))]
pub(crate) struct New(Map<String, Value>);

/// A door in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Source")]
pub(crate) struct Shown {
    #[schemars(example = &"src_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(example = &"github")]
    name: String,
    #[schemars(example = &"github")]
    scheme: Option<String>,
    /// What its scheme leaves to be said for each endpoint, such as an app key or, as `url`, the URL that was registered.
    parameters: BTreeMap<String, String>,
    /// How a request shows that it is authentic.
    #[schemars(extend("enum" = ["scheme", "api_key", "engine", "unsigned"]))]
    proof: &'static str,
    /// What stands at its path; null for sources inside.
    door: Value,
    dedup: Dedup,
    event_types: Vec<String>,
    filter: Option<String>,
    rate: Option<Rate>,
    /// How long the previous secret stays valid after a rotation, unless the rotation says.
    grace_s: u64,
    retention: Retention,
    /// `file` or `api`: what a file manages is changed there.
    #[schemars(extend("enum" = ["file", "api"]))]
    managed_by: &'static str,
    /// The table that was declared, without what may be a credential.
    #[schemars(extend("type" = "object"))]
    declared: Value,
    created_at: String,
    removed_at: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Rate {
    requests: u32,
    per_ms: u64,
    burst: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Dedup {
    body: bool,
    id_headers: Vec<String>,
    window_s: u64,
}

/// For ever, where it says nothing.
#[derive(Debug, Serialize, JsonSchema)]
struct Retention {
    age_s: Option<u64>,
    size_bytes: Option<u64>,
}

/// `GET /sources`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Paging>,
) -> Result<Json<List<Shown>>, Problem> {
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
    find(&api, &caller, &name)
}

fn find(api: &Api, caller: &Principal, name: &str) -> Result<Json<Shown>, Problem> {
    let source = api.engine.source(caller.organization, name);
    let missing = || Problem::new(Code::NotFound, format!("there is no source `{}`", name.escape_debug()));
    Ok(Json(shown(source.ok_or_else(missing)?)))
}

/// `POST /sources`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(New(table)): Body<New>,
) -> Result<Created<Shown>, Problem> {
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    api.declaring.create(&caller, Kind::Source, table).await?;
    Ok(Created(find(&api, &caller, &name)?.0))
}

/// `PATCH /sources/{name}`
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Json<Shown>, Problem> {
    api.declaring.alter(&caller, Kind::Source, &name, patch).await?;
    find(&api, &caller, &name)
}

/// `DELETE /sources/{name}`
pub(crate) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
) -> Result<Done, Problem> {
    api.declaring.retire(&caller, Kind::Source, &name).await?;
    Ok(Done)
}

fn shown(source: Source) -> Shown {
    let (proof, scheme, parameters) = match source.spec.proof {
        Proof::Scheme { name, parameters } => ("scheme", Some(name), parameters),
        Proof::ApiKey => ("api_key", None, BTreeMap::new()),
        Proof::Engine => ("engine", None, BTreeMap::new()),
        Proof::Unsigned => ("unsigned", None, BTreeMap::new()),
    };
    let dedup = source.spec.dedup;
    Shown {
        id: source.id.to_string(),
        name: source.name,
        scheme,
        parameters,
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
        managed_by: source.declaration.manager.name(),
        declared: hookward_engine::shown(&source.declaration.table),
        created_at: time(source.created_at),
        removed_at: source.removed_at.map(time),
    }
}
