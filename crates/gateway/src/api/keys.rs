//! API keys: made, shown once, listed without what proves them, revoked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::accounts::{NewKey, Token};
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::KeyId;
use hookward_engine::model::{ApiKey, Scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answers::{CreatedOnce, Done};
use super::caller::{Admin, Caller};
use super::extract::{Body, Path, Query};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::sources::Paging;
use super::{Api, time};

/// A key to be made.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewKey")]
pub(crate) struct Wanted {
    #[schemars(example = &"deploy")]
    name: String,
    #[schemars(with = "Vec<String>", example = ["read", "publish"])]
    scopes: Scopes,
    #[serde(default)]
    #[schemars(example = &"2036-01-31T09:30:00Z")]
    expires_at: Option<String>,
}

/// A key as the API shows it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Key")]
pub(crate) struct Shown {
    #[schemars(example = &"key_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(example = &"deploy")]
    name: String,
    /// What it begins with, before a `_`.
    #[schemars(example = &"qlens")]
    prefix: String,
    last_four: String,
    #[schemars(with = "Vec<String>", example = ["read", "publish"])]
    scopes: Scopes,
    #[schemars(extend("enum" = ["live", "expired", "revoked"]))]
    state: &'static str,
    created_by: String,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
    revoked_at: Option<String>,
}

/// A key that was made. Its text is in this answer only.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MadeKey")]
pub(crate) struct Made {
    #[schemars(with = "String")]
    key: Zeroizing<String>,
    #[serde(flatten)]
    shown: Shown,
}

/// `POST /keys`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(Wanted { name, scopes, expires_at }): Body<Wanted>,
) -> Result<CreatedOnce<Made>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let expires_at = expires_at.as_deref().map(moment).transpose()?;
    let new = NewKey { name, scopes, expires_at };
    let (key, token) = api.engine.create_key(&caller, caller.scopes(), new).await?;
    Ok(made(key, &token, api.clock.now()))
}

/// `GET /keys`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Query(query): Query<Paging>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("keys", query.limit.as_deref(), query.cursor.as_deref())?;
    let now = api.clock.now();
    let keys = api.engine.keys(caller.organization, page).await?;
    Ok(Json(page::show("keys", keys, |key| shown(key, now))))
}

/// `GET /keys/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<KeyId>,
) -> Result<Json<Shown>, Problem> {
    let key = api.engine.key(caller.organization, id).await?;
    Ok(Json(shown(key, api.clock.now())))
}

/// `DELETE /keys/{id}`
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<KeyId>,
) -> Result<Done, Problem> {
    api.engine.revoke_key(&caller, id).await?;
    Ok(Done)
}

/// A point in time as callers write it.
fn moment(text: &str) -> Result<Timestamp, Problem> {
    let at: Result<jiff::Timestamp, _> = text.parse();
    let at =
        at.map_err(|_| Problem::new(Code::InvalidRequest, "`expires_at` is a time such as 2026-01-31T09:30:00Z"))?;
    Ok(Timestamp::from_millis(at.as_millisecond()))
}

/// A key with its text.
pub(super) fn made(key: ApiKey, token: &Token, now: Timestamp) -> CreatedOnce<Made> {
    let id = key.id.to_string();
    CreatedOnce { answer: Made { key: Zeroizing::new(token.expose().to_owned()), shown: shown(key, now) }, id }
}

fn shown(key: ApiKey, now: Timestamp) -> Shown {
    let state = match () {
        () if key.revoked_at.is_some() => "revoked",
        () if key.is_live(now) => "live",
        () => "expired",
    };
    Shown {
        id: key.id.to_string(),
        name: key.name,
        prefix: key.prefix,
        last_four: key.last_four,
        scopes: key.scopes,
        state,
        created_by: key.created_by,
        created_at: time(key.created_at),
        expires_at: key.expires_at.map(time),
        last_used_at: key.last_used_at.map(time),
        revoked_at: key.revoked_at.map(time),
    }
}
