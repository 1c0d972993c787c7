//! Secrets of sources and destinations: versions without values, a new one, a look at one, the end of one.
//! A value leaves only through `reveal`, which the audit log has first.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookward::Secret;
use hookward_engine::model::{Principal, SecretOwner};
use hookward_engine::{NewSecret, SecretInfo, Terms};
use http::request::Parts;
use http::{HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answers::{Created, Tagged};
use super::caller::{Caller, Read, Reveal, Rotate};
use super::extract::{Body, Optional, Path, Segment};
use super::page::List;
use super::problem::{Code, Problem};
use super::{Api, instant, page, time};
use crate::openapi::{Operation, Takes};
use hookward_engine::clock::Timestamp;
use hookward_engine::store::Listing;

/// The longest grace, in seconds: ten years.
pub(crate) const GRACE_MAX_S: u64 = 10 * 366 * 86_400;

/// The longest secret, in bytes, as it is written.
const SECRET_MAX: usize = 64 << 10;

/// Whose secrets, in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    Sources,
    Destinations,
}

impl Segment for Owners {
    fn read(segment: &str) -> Result<Self, Problem> {
        match segment {
            "sources" => Ok(Self::Sources),
            "destinations" => Ok(Self::Destinations),
            _ => Err(Problem::new(Code::NotFound, "there is nothing at this path")),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "enum": ["sources", "destinations"], "description": "Whose secrets." })
    }
}

/// A version of a secret, without its value.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Secret")]
pub(crate) struct Shown {
    version: u32,
    /// Which of a destination's schemes it is a key of; or the setting that it holds, like `oauth2`. Null at a source.
    #[schemars(example = &"qlens")]
    scheme: Option<String>,
    #[schemars(extend("enum" = ["live", "future", "expired", "revoked"]))]
    state: &'static str,
    /// How it came here.
    #[schemars(example = &"generated")]
    origin: String,
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    not_before: String,
    #[schemars(extend("format" = "date-time"))]
    not_after: Option<String>,
    revoked_at: Option<String>,
    first_used_at: Option<String>,
    last_used_at: Option<String>,
    /// When an attempt that it signed last succeeded.
    last_accepted_at: Option<String>,
    uses: u64,
}

/// A new secret, of which the caller may have the value.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "NewSecret")]
pub(crate) struct New {
    /// Made in the scheme's own format when it is absent, where that is possible.
    #[schemars(with = "Option<String>", length(min = 1, max = 65_536))]
    secret: Option<Zeroizing<String>>,
    /// Of `secret`.
    encoding: Encoding,
    /// Which of a destination's schemes it is for, or which setting; the first scheme when it is absent. Only secrets for
    /// the same end.
    #[schemars(example = &"qlens")]
    scheme: Option<String>,
    /// How long those before it stay valid beside it.
    #[schemars(range(max = 316_224_000))]
    grace_s: Option<u64>,
    #[schemars(extend("format" = "date-time"))]
    not_before: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    not_after: Option<String>,
}

/// How a value that may not be text is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// With padding.
    Base64,
}

/// Whether it is to be done although the secret is in use.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Force {
    force: bool,
}

/// A new end.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecretEnd")]
pub(crate) struct End {
    /// `null` for none.
    #[schemars(extend("format" = "date-time"))]
    not_after: Option<String>,
    #[serde(default)]
    force: bool,
}

/// Why a value is looked at.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NewVersion {
    version: u32,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Revealed {
    #[schemars(with = "String")]
    secret: Zeroizing<String>,
    /// `base64` for a value that is not text.
    encoding: Encoding,
}

/// Which version a caller takes for the newest: `If-Match`, in the form of the list's `ETag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfMatch {
    Absent,
    /// `*`.
    Any,
    Version(u32),
    /// Something that no list gave.
    Nothing,
}

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut values = parts.headers.get_all(header::IF_MATCH).iter();
        Ok(match (values.next().map(HeaderValue::as_bytes), values.next()) {
            (None, _) => Self::Absent,
            (Some(b"*"), None) => Self::Any,
            (Some(value), None) => version(value).map_or(Self::Nothing, Self::Version),
            (Some(_), Some(_)) => Self::Nothing,
        })
    }
}

fn version(tag: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(tag).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    digits.parse().ok().filter(|version: &u32| version.to_string() == digits)
}

impl Takes for IfMatch {
    fn describe(operation: &mut Operation<'_>) {
        let description = "The list's `ETag`: nothing is done when another version is the newest by now.";
        operation
            .takes_header("If-Match", json!({ "type": "string", "description": description, "examples": ["\"2\""] }));
        operation.may(Code::Stale);
        operation.may(Code::ConfirmationRequired);
    }
}

/// `GET …/secrets`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path((owners, name)): Path<(Owners, String)>,
) -> Result<Tagged<Json<List<Shown>>>, Problem> {
    let owner = owner(&api, &caller, owners, &name)?;
    let items = api.engine.secrets(owner).await?;
    let now = api.clock.now();
    let newest = items.first().map_or(0, |newest| newest.version);
    let list = Json(page::show("secrets", Listing { items, next: None }, |secret| shown(secret, now)));
    Ok(Tagged(newest, list))
}

/// `POST …/secrets`
pub(crate) async fn set(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name)): Path<(Owners, String)>,
    Body(new): Body<New>,
) -> Result<Created<NewVersion>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let owner = owner(&api, &caller, owners, &name)?;
    if new.secret.is_none() {
        return Err(Problem::new(Code::InvalidRequest, "give the value as `secret`; `…/rotate` makes one"));
    }
    put(&api, &caller, owner, new, None).await
}

/// `POST …/secrets/rotate`
pub(crate) async fn rotate(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name)): Path<(Owners, String)>,
    confirmed: IfMatch,
    Optional(new): Optional<New>,
) -> Result<Created<NewVersion>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let owner = owner(&api, &caller, owners, &name)?;
    if new.is_none() && confirmed == IfMatch::Absent {
        let how = "confirm the rotation: send a body, `{}` at least, or the list's `ETag` as `If-Match`";
        return Err(Problem::new(Code::ConfirmationRequired, how));
    }
    let newest = match confirmed {
        IfMatch::Absent | IfMatch::Any => None,
        IfMatch::Version(version) => Some(version),
        IfMatch::Nothing => return Err(Problem::new(Code::Stale, "`If-Match` is not an `ETag` that the list gave")),
    };
    put(&api, &caller, owner, new.unwrap_or_default(), newest).await
}

async fn put(
    api: &Api,
    caller: &Principal,
    owner: SecretOwner,
    new: New,
    newest: Option<u32>,
) -> Result<Created<NewVersion>, Problem> {
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
        newest,
    };
    let version = api.engine.put_secret(owner, new.scheme.as_deref(), value, terms, caller).await?;
    Ok(Created(NewVersion { version }))
}

/// A secret as somebody wrote it.
pub(crate) fn value(text: &str, encoding: Encoding) -> Result<Secret, Problem> {
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
    Path((owners, name, version)): Path<(Owners, String, u32)>,
    Optional(reason): Optional<Reason>,
) -> Result<Json<Revealed>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let owner = owner(&api, &caller, owners, &name)?;
    let Reason { reason } = reason.unwrap_or_default();
    let secret = api.engine.reveal(owner, version, &caller, reason.as_deref().unwrap_or("")).await?;
    let (secret, encoding) = written(&secret);
    Ok(Json(Revealed { secret, encoding }))
}

/// A secret as text, if it is text, and in base64 otherwise.
pub(crate) fn written(secret: &Secret) -> (Zeroizing<String>, Encoding) {
    match std::str::from_utf8(secret.expose()) {
        Ok(text) => (Zeroizing::new(text.to_owned()), Encoding::Utf8),
        Err(_) => (Zeroizing::new(STANDARD.encode(secret.expose())), Encoding::Base64),
    }
}

/// `POST …/secrets/{version}/revoke`
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name, version)): Path<(Owners, String, u32)>,
    Optional(force): Optional<Force>,
) -> Result<Json<NewVersion>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let owner = owner(&api, &caller, owners, &name)?;
    let Force { force } = force.unwrap_or_default();
    api.engine.revoke(owner, version, force, &caller).await?;
    Ok(Json(NewVersion { version }))
}

/// `PATCH …/secrets/{version}`
pub(crate) async fn set_end(
    State(api): State<Arc<Api>>,
    caller: Caller<Rotate>,
    Path((owners, name, version)): Path<(Owners, String, u32)>,
    Body(End { not_after, force }): Body<End>,
) -> Result<Json<NewVersion>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let owner = owner(&api, &caller, owners, &name)?;
    let not_after = not_after.map(|text| instant("not_after", &text)).transpose()?;
    api.engine.set_end(owner, version, not_after, force, &caller).await?;
    Ok(Json(NewVersion { version }))
}

fn owner(api: &Api, caller: &Principal, owners: Owners, name: &str) -> Result<SecretOwner, Problem> {
    let (found, kind) = match owners {
        Owners::Sources => {
            (api.engine.source(caller.organization, name).map(|source| SecretOwner::Source(source.id)), "source")
        }
        Owners::Destinations => (
            api.engine
                .destination(caller.organization, name)
                .map(|destination| SecretOwner::Destination(destination.id)),
            "destination",
        ),
    };
    found.ok_or_else(|| Problem::new(Code::NotFound, format!("there is no {kind} `{}`", name.escape_debug())))
}

/// What a version is at `now`, in a word.
pub(crate) fn state(secret: &SecretInfo, now: Timestamp) -> &'static str {
    match () {
        () if secret.revoked_at.is_some() => "revoked",
        () if secret.is_live(now) => "live",
        () if now < secret.not_before => "future",
        () => "expired",
    }
}

fn shown(secret: SecretInfo, now: Timestamp) -> Shown {
    let state = state(&secret, now);
    Shown {
        version: secret.version,
        scheme: Some(secret.purpose).filter(|purpose| !purpose.is_empty()),
        state,
        origin: secret.origin,
        created_at: time(secret.created_at),
        not_before: time(secret.not_before),
        not_after: secret.not_after.map(time),
        revoked_at: secret.revoked_at.map(time),
        first_used_at: secret.first_used_at.map(time),
        last_used_at: secret.last_used_at.map(time),
        last_accepted_at: secret.last_accepted_at.map(time),
        uses: secret.uses,
    }
}
