//! Secrets of sources and destinations: versions without values, a new one, a look at one, the end of one.
//! A value leaves only through `reveal`, which the audit log has first.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward::Secret;
use hookward_engine::model::{Principal, SecretOwner};
use hookward_engine::{NewSecret, SecretInfo, Terms};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::caller::{Caller, Read, Reveal, Rotate};
use super::page::List;
use super::problem::{Code, Problem};
use super::{Api, instant, page, time};
use hookward_engine::clock::Timestamp;
use hookward_engine::store::Listing;

/// The longest grace, in seconds: ten years.
const GRACE_MAX_S: u64 = 10 * 366 * 86_400;

/// The longest secret, in bytes, as it is written.
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

/// A new secret, of which the caller may have the value.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct New {
    secret: Option<Zeroizing<String>>,
    /// Of `secret`.
    encoding: Encoding,
    /// How long those before it stay valid beside it.
    grace_s: Option<u64>,
    not_before: Option<String>,
    not_after: Option<String>,
}

/// How a value that may not be text is written.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Encoding {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// With padding.
    Base64,
}

/// Whether it is to be done although the secret is in use.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Force {
    force: bool,
}

/// A new end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// `null` for none.
    not_after: Option<String>,
    #[serde(default)]
    force: bool,
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
    /// `base64` for a value that is not text.
    encoding: Encoding,
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
    let new: New = parse(&body?)?;
    if new.secret.is_none() {
        return Err(Problem::new(Code::InvalidRequest, "give the value as `secret`; `…/rotate` makes one"));
    }
    put(&api, &caller, owner, new).await
}

/// `POST …/secrets/rotate`
pub(crate) async fn rotate(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<NewVersion>), Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    put(&api, &caller, owner, optional(&body?)?).await
}

async fn put(
    api: &Api,
    caller: &Principal,
    owner: SecretOwner,
    new: New,
) -> Result<(StatusCode, Json<NewVersion>), Problem> {
    let value = match new.secret {
        None => NewSecret::Generated,
        Some(text) => NewSecret::Given(value(&text, new.encoding)?),
    };
    if new.grace_s.is_some_and(|grace| grace > GRACE_MAX_S) {
        return Err(Problem::new(Code::InvalidRequest, format!("`grace_s` is 0 to {GRACE_MAX_S}")));
    }
    let terms = Terms {
        grace: new.grace_s.map(Duration::from_secs),
        not_before: new.not_before.map(|text| instant("not_before", &text)).transpose()?,
        not_after: new.not_after.map(|text| instant("not_after", &text)).transpose()?,
        newest: None,
    };
    let version = api.engine.put_secret(owner, value, terms, caller).await?;
    Ok((StatusCode::CREATED, Json(NewVersion { version })))
}

fn value(text: &str, encoding: Encoding) -> Result<Secret, Problem> {
    let invalid = |problem: &str| Problem::new(Code::InvalidRequest, problem);
    if text.len() > SECRET_MAX {
        return Err(invalid("a secret has at most 65536 bytes"));
    }
    let bytes = match encoding {
        Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Base64 => STANDARD.decode(text).map_err(|_| invalid("`secret` is not base64 with padding"))?,
    };
    Secret::new(bytes).map_err(|_| invalid("a secret cannot be empty"))
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
        Ok(text) => Revealed { secret: Zeroizing::new(text.to_owned()), encoding: Encoding::Utf8 },
        Err(_) => Revealed { secret: Zeroizing::new(STANDARD.encode(secret.expose())), encoding: Encoding::Base64 },
    }))
}

/// `POST …/secrets/{version}/revoke`
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name, version)): Path<(String, String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<NewVersion>, Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    let version = number(&version)?;
    let Force { force } = optional(&body?)?;
    api.engine.revoke(owner, version, force, &caller).await?;
    Ok(Json(NewVersion { version }))
}

/// `PATCH …/secrets/{version}`
pub(crate) async fn set_end(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name, version)): Path<(String, String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<NewVersion>, Problem> {
    let owner = owner(&api, &caller, &owners, &name)?;
    let version = number(&version)?;
    let End { not_after, force } = parse(&body?)?;
    let not_after = not_after.map(|text| instant("not_after", &text)).transpose()?;
    api.engine.set_end(owner, version, not_after, force, &caller).await?;
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
