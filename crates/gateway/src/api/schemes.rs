//! Schemes: the catalog's, those of the served file, and an organization's own, which are changed here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward::{Binds, Scheme};
use hookward_engine::Kind;
use hookward_engine::model::Principal;
use hookward_engine::schemes::{Hidden, KnownScheme, SchemeOrigin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::Done;
use super::caller::{Admin, Caller, Read};
use super::extract::{Body, Path, Query};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::{Api, time};

/// A scheme file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SchemeFile")]
pub(crate) struct Sent {
    /// Its text, in TOML; `hookward schemes show NAME` prints one.
    #[schemars(example = &"name = \"acme\"\ntitle = \"Acme\"\n\n[[proof]]\nalgorithm = \"hmac-sha256\"\nsignature = { at = [\"header:X-Acme-Signature\"], encodings = [\"hex\"] }\ncontent = \"{body}\"\n")]
    toml: String,
    /// Whether a new one may have the name of one of the catalog, which it then hides. What had its name before the catalog did
    /// keeps it.
    #[serde(default)]
    replaces_catalog: bool,
}

/// Which of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Only private ones, or only the catalog's.
    #[schemars(with = "Option<bool>")]
    private: Option<String>,
    #[schemars(with = "Option<page::Limit>")]
    limit: Option<String>,
    #[schemars(with = "Option<page::Cursor>")]
    cursor: Option<String>,
}

/// How one provider signs.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Scheme")]
pub(crate) struct Shown {
    #[schemars(example = &"github")]
    pub(crate) name: String,
    /// The provider's name for people; null for a private one that cannot be used.
    pub(crate) title: Option<String>,
    /// The provider's own description.
    docs: Option<String>,
    /// Whether it is the organization's own, or of the file that the installation runs with.
    pub(crate) private: bool,
    /// `file` or `api`: what a file manages is changed there. `catalog` for one that comes with Hookward.
    #[schemars(extend("enum" = ["catalog", "file", "api"]))]
    pub(crate) managed_by: &'static str,
    /// What of the same name it is used instead of.
    #[schemars(extend("enum" = ["catalog", "file", null]))]
    pub(crate) hides: Option<&'static str>,
    /// What proofs are computed with, the strongest first.
    pub(crate) algorithms: Vec<&'static str>,
    /// Whether experts could make one of its proofs without the key.
    weak: bool,
    /// What nobody can change without the secret.
    pub(crate) binds: Bound,
    /// What may be said for each endpoint, or has to be.
    pub(crate) parameters: Vec<Left>,
    /// How far from now a signed time may be.
    tolerance_s: Option<u64>,
    /// Whether two honest requests never have the same body.
    body_is_unique: bool,
    /// Every header that verification reads.
    signature_headers: Vec<String>,
    /// How often a private one was given.
    pub(crate) version: Option<u32>,
    /// Why a private one, which an earlier version of Hookward took, cannot be used any more.
    pub(crate) problem: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// What a scheme leaves to be said.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SchemeParameter")]
pub(crate) struct Left {
    pub(crate) name: String,
    pub(crate) meaning: String,
    pub(crate) required: bool,
}

/// What is bound by every proof.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "SchemeBinds")]
pub(crate) struct Bound {
    pub(crate) body: bool,
    /// Some values of the body, which is not bound as a whole.
    pub(crate) part_of_body: bool,
    pub(crate) time: bool,
    pub(crate) url: bool,
    /// The delivery's id, where one is sent.
    pub(crate) id: bool,
    /// What tells a repeat.
    unique: bool,
}

/// A scheme in full.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "WholeScheme")]
pub(crate) struct Whole {
    #[serde(flatten)]
    shown: Shown,
    /// Its file; null for one of the file that the installation runs with, where it stands.
    toml: Option<String>,
    /// The sources and destinations that use it.
    used_by: Vec<String>,
}

/// `GET /schemes`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Asked>,
) -> Result<Json<List<Shown>>, Problem> {
    let private = match query.private.as_deref() {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(Problem::new(Code::InvalidQuery, "`private` is true or false")),
    };
    let page = page::page("schemes", query.limit.as_deref(), query.cursor.as_deref())?;
    let mut known = api.engine.schemes(caller.organization);
    known.retain(|known| private.is_none_or(|private| private == (known.origin != SchemeOrigin::Catalog)));
    Ok(Json(page::show("schemes", page::slice(known, page), shown)))
}

/// `GET /schemes/{name}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(name): Path<String>,
) -> Result<Json<Whole>, Problem> {
    find(&api, &caller, &name)
}

fn find(api: &Api, caller: &Principal, name: &str) -> Result<Json<Whole>, Problem> {
    let known = api.engine.known_scheme(caller.organization, name);
    let missing = || Problem::new(Code::NotFound, format!("there is no scheme `{}`", name.escape_debug()));
    let known = known.ok_or_else(missing)?;
    let toml = file(&known);
    Ok(Json(Whole { shown: shown(known), toml, used_by: api.engine.scheme_users(caller.organization, name) }))
}

/// `PUT /schemes/{name}`
pub(crate) async fn put(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
    Body(Sent { toml, replaces_catalog }): Body<Sent>,
) -> Result<Json<Whole>, Problem> {
    api.declaring.put_scheme(&caller, &name, toml, replaces_catalog).await?;
    find(&api, &caller, &name)
}

/// `DELETE /schemes/{name}`
pub(crate) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
) -> Result<Done, Problem> {
    api.declaring.retire(&caller, Kind::Scheme, &name).await?;
    Ok(Done)
}

/// The text of its file, where it is known.
pub(crate) fn file(known: &KnownScheme) -> Option<String> {
    match &known.origin {
        SchemeOrigin::Catalog => hookward::catalog::source(&known.name).map(str::to_owned),
        SchemeOrigin::ServedFile => None,
        SchemeOrigin::Private(own) => Some(own.toml.clone()),
    }
}

/// As lists have it.
pub(crate) fn shown(known: KnownScheme) -> Shown {
    let KnownScheme { name, origin, hides, scheme } = known;
    let (managed_by, own) = match origin {
        SchemeOrigin::Catalog => ("catalog", None),
        SchemeOrigin::ServedFile => ("file", None),
        SchemeOrigin::Private(own) => (own.declaration.manager.name(), Some(own)),
    };
    let problem = scheme.as_ref().err().map(ToString::to_string);
    let scheme = scheme.ok();
    let scheme = scheme.as_deref();
    let names = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    Shown {
        name,
        title: scheme.map(|scheme| scheme.title().to_owned()),
        docs: scheme.and_then(|scheme| scheme.docs()).map(str::to_owned),
        private: managed_by != "catalog",
        managed_by,
        hides: hides.map(|hidden| match hidden {
            Hidden::Catalog => "catalog",
            Hidden::ServedFile => "file",
        }),
        algorithms: scheme.map(|scheme| scheme.algorithms()).unwrap_or_default(),
        weak: scheme.is_some_and(|scheme| scheme.is_weak()),
        binds: scheme.map(|scheme| bound(scheme.binds())).unwrap_or_default(),
        parameters: scheme.map(left).unwrap_or_default(),
        tolerance_s: scheme.and_then(|scheme| scheme.tolerance()).map(|tolerance| tolerance.as_secs()),
        body_is_unique: scheme.is_some_and(|scheme| scheme.body_is_unique()),
        signature_headers: scheme.map(|scheme| names(scheme.signature_headers())).unwrap_or_default(),
        version: own.as_ref().map(|own| own.version),
        problem,
        created_at: own.as_ref().map(|own| time(own.created_at)),
        updated_at: own.as_ref().map(|own| time(own.updated_at)),
    }
}

fn left(scheme: &Scheme) -> Vec<Left> {
    let left = scheme.takes().into_iter();
    let left = left.map(|one| Left { name: one.name.into(), meaning: one.meaning.into(), required: one.is_required });
    left.collect()
}

fn bound(binds: Binds) -> Bound {
    let Binds { body, time, url, id, part_of_body, unique } = binds;
    Bound { body, part_of_body, time, url, id, unique }
}
