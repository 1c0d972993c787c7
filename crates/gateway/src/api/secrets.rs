//! Secrets of sources and destinations: versions without values, a new one, a look at one, the end of one.
//! A value leaves only through `reveal`, which the audit log has first.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use bytes::Bytes;
use hookward::Secret;
use hookward_engine::model::{Principal, SecretOwner};
use hookward_engine::{NewSecret, SecretInfo};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::caller::{Caller, Read, Reveal, Rotate};
use super::page::List;
use super::problem::{Code, Problem};
use super::{Api, page, time};
use hookward_engine::clock::Timestamp;
use hookward_engine::store::Listing;

/// The longest secret, in bytes.
const SECRET_MAX: usize = 64 << 10;

/// A version as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    version: u32,
    state: &'static str,
    origin: String,
    created_at: String,
    not_before: String,
    not_after: Option<String>,
    revoked_at: Option<String>,
    first_used_at: Option<String>,
    last_used_at: Option<String>,
    uses: u64,
}

/// A new secret that the caller has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    secret: Zeroizing<String>,
    #[serde(default)]
    grace_s: Option<u64>,
}

/// A new secret that the caller may have.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    secret: Option<Zeroizing<String>>,
    #[serde(default)]
    grace_s: Option<u64>,
}

/// Why a value is looked at.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NewVersion {
    version: u32,
}

#[derive(Serialize)]
pub(crate) struct Revealed {
    secret: Zeroizing<String>,
    /// `utf-8`, or `base64` for a value that is not text.
    encoding: &'static str,
}

/// `GET …/secrets`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path((owners, name)): Path<(String, String)>,
) -> Result<Json<List<Shown>>, Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    let items = api.engine.secrets(owner).await?;
    let now = api.clock.now();
    Ok(Json(page::show("secrets", Listing { items, next: None }, |secret| shown(secret, now))))
}

/// `POST …/secrets`
pub(crate) async fn set(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<NewVersion>), Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    let Given { secret, grace_s } = parse(&body?)?;
    put(&api, &caller, owner, Some(secret), grace_s).await
}

/// `POST …/secrets/rotate`
pub(crate) async fn rotate(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<NewVersion>), Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    let Rotation { secret, grace_s } = optional(&body?)?;
    put(&api, &caller, owner, secret, grace_s).await
}

async fn put(
    api: &Api,
    caller: &Principal,
    owner: SecretOwner,
    secret: Option<Zeroizing<String>>,
    grace_s: Option<u64>,
) -> Result<(StatusCode, Json<NewVersion>), Problem> {
    let value = match secret {
        None => NewSecret::Generated,
        Some(text) if text.len() > SECRET_MAX => {
            return Err(Problem::new(Code::InvalidRequest, "a secret has at most 65536 bytes"));
        }
        Some(text) => {
            let empty = |_| Problem::new(Code::InvalidRequest, "a secret cannot be empty");
            NewSecret::Given(Secret::new(text.as_bytes()).map_err(empty)?)
        }
    };
    let version = api.engine.put_secret(owner, value, grace_s.map(Duration::from_secs), caller).await?;
    Ok((StatusCode::CREATED, Json(NewVersion { version })))
}

/// `POST …/secrets/{version}/reveal`
pub(crate) async fn reveal(
    State(api): State<Arc<Api>>,
    caller: Caller<Reveal>,
    Path((owners, name, version)): Path<(String, String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Revealed>, Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    let version = number(&version)?;
    let Reason { reason } = optional(&body?)?;
    let secret = api.engine.reveal(owner, version, &caller, reason.as_deref().unwrap_or("")).await?;
    Ok(Json(match std::str::from_utf8(secret.expose()) {
        Ok(text) => Revealed { secret: Zeroizing::new(text.to_owned()), encoding: "utf-8" },
        Err(_) => {
            use base64::Engine as _;
            let text = base64::engine::general_purpose::STANDARD.encode(secret.expose());
            Revealed { secret: Zeroizing::new(text), encoding: "base64" }
        }
    }))
}

/// `POST …/secrets/{version}/revoke`
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name, version)): Path<(String, String, String)>,
) -> Result<Json<NewVersion>, Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    let version = number(&version)?;
    api.engine.revoke(owner, version, &caller).await?;
    Ok(Json(NewVersion { version }))
}

fn owner(api: &Api, caller: &Principal, owners: &str, name: &str) -> Result<SecretOwner, Problem> {
    let (found, kind) = match owners {
        "sources" => {
            (api.engine.source(caller.organization, name).map(|source| SecretOwner::Source(source.id)), "source")
        }
        "destinations" => (
            api.engine
                .destination(caller.organization, name)
                .map(|destination| SecretOwner::Destination(destination.id)),
            "destination",
        ),
        _ => return Err(Problem::new(Code::NotFound, "there is nothing at this path")),
    };
    found.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no {kind} `{}`", name.escape_debug())))
}

fn number(version: &str) -> Result<u32, Problem> {
    version.parse().map_err(|_| Problem::new(Code::InvalidId, "a secret's version is a whole number"))
}

/// A JSON body. The reader's own words may quote the body, so only the place is told.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        Problem::new(
            Code::InvalidRequest,
            format!("the request's body is not the JSON object wanted here: see {place}"),
        )
    })
}

/// A JSON body that may be absent.
pub(super) fn optional<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() { Ok(T::default()) } else { parse(body) }
}

fn shown(secret: SecretInfo, now: Timestamp) -> Shown {
    let state = match () {
        () if secret.revoked_at.is_some() => "revoked",
        () if secret.is_live(now) => "live",
        () if now < secret.not_before => "future",
        () => "expired",
    };
    Shown {
        version: secret.version,
        state,
        origin: secret.origin,
        created_at: time(secret.created_at),
        not_before: time(secret.not_before),
        not_after: secret.not_after.map(time),
        revoked_at: secret.revoked_at.map(time),
        first_used_at: secret.first_used_at.map(time),
        last_used_at: secret.last_used_at.map(time),
        uses: secret.uses,
    }
}
