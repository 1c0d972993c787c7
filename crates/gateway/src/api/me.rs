//! One's own account: who one is, and for people password, second factor, recovery codes and sessions.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::ids::SessionId;
use hookward_engine::model::{self, Scopes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answers::Done;
use super::caller::{Anybody, Person};
use super::extract::{Body, Path};
use super::problem::Problem;
use super::{Api, time, users};

/// Who calls.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Me {
    actor: String,
    organization: Organization,
    #[schemars(with = "Vec<String>", example = ["read", "publish"])]
    scopes: Scopes,
    /// The user, when it is a person.
    user: Option<users::Shown>,
    recovery_codes_left: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "OwnOrganization")]
struct Organization {
    #[schemars(example = &"org_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    name: String,
}

/// A session as its user sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Session {
    #[schemars(example = &"ses_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    /// Whether it is the one that asks.
    is_this: bool,
    address: String,
    agent: String,
    created_at: String,
    last_seen_at: String,
    ends_at: String,
}

/// One's own sessions.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Sessions {
    items: Vec<Session>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    #[schemars(with = "String")]
    current: Zeroizing<String>,
    #[schemars(with = "String")]
    new: Zeroizing<String>,
}

/// That it is really the user who asks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Really {
    #[schemars(with = "String")]
    password: Zeroizing<String>,
    /// Where there is a second factor.
    #[serde(default)]
    #[schemars(with = "String")]
    code: Zeroizing<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SecondFactorCode")]
pub(crate) struct Code {
    #[schemars(with = "String")]
    code: Zeroizing<String>,
}

/// A second factor to be confirmed, for an authenticator app.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Started {
    #[schemars(with = "String")]
    uri: Zeroizing<String>,
}

/// Recovery codes, in this answer only.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RecoveryCodes {
    #[schemars(with = "Vec<String>")]
    recovery_codes: Vec<Zeroizing<String>>,
}

/// `GET /me`
pub(crate) async fn show(State(api): State<Arc<Api>>, caller: Anybody) -> Result<Json<Me>, Problem> {
    let organization = api.engine.organization(caller.organization);
    let (user, recovery_codes_left) = match caller.signed_in() {
        None => (None, None),
        Some(me) => {
            let user = api.engine.own_user(&caller, me).await?;
            (Some(users::shown(user)), Some(api.engine.recovery_codes_left(me).await?))
        }
    };
    Ok(Json(Me {
        actor: caller.actor.clone(),
        organization: Organization {
            id: caller.organization.to_string(),
            name: organization.map(|organization| organization.name).unwrap_or_default(),
        },
        scopes: caller.scopes(),
        user,
        recovery_codes_left,
    }))
}

/// `POST /me/password`
pub(crate) async fn change_password(
    State(api): State<Arc<Api>>,
    person: Person,
    Body(NewPassword { current, new }): Body<NewPassword>,
) -> Result<Done, Problem> {
    api.engine.change_password(&person, person.signed_in, current, new).await?;
    Ok(Done)
}

/// `POST /me/totp`
pub(crate) async fn start_totp(
    State(api): State<Arc<Api>>,
    person: Person,
    Body(Really { password, .. }): Body<Really>,
) -> Result<Json<Started>, Problem> {
    let started = api.engine.start_totp(&person, person.signed_in, password).await?;
    Ok(Json(Started { uri: started.uri }))
}

/// `POST /me/totp/confirm`
pub(crate) async fn confirm_totp(
    State(api): State<Arc<Api>>,
    person: Person,
    Body(Code { code }): Body<Code>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let recovery_codes = api.engine.confirm_totp(&person, person.signed_in, &code).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// `POST /me/totp/remove`
pub(crate) async fn remove_totp(
    State(api): State<Arc<Api>>,
    person: Person,
    Body(Really { password, code }): Body<Really>,
) -> Result<Done, Problem> {
    api.engine.remove_totp(&person, person.signed_in, password, &code).await?;
    Ok(Done)
}

/// `POST /me/recovery-codes`
pub(crate) async fn renew_recovery_codes(
    State(api): State<Arc<Api>>,
    person: Person,
    Body(Really { password, code }): Body<Really>,
) -> Result<Json<RecoveryCodes>, Problem> {
    let recovery_codes = api.engine.renew_recovery_codes(&person, person.signed_in, password, &code).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// `GET /me/sessions`
pub(crate) async fn sessions(State(api): State<Arc<Api>>, person: Person) -> Result<Json<Sessions>, Problem> {
    let me = person.signed_in;
    let sessions = api.engine.own_sessions(me).await?;
    Ok(Json(Sessions { items: sessions.iter().map(|one| session(one, me.session)).collect() }))
}

/// `DELETE /me/sessions/{id}`
pub(crate) async fn end_session(
    State(api): State<Arc<Api>>,
    person: Person,
    Path(id): Path<SessionId>,
) -> Result<Done, Problem> {
    api.engine.end_session(&person, person.signed_in, id).await?;
    Ok(Done)
}

/// A session as its user sees it from the session `this`.
pub(super) fn session(session: &model::Session, this: SessionId) -> Session {
    Session {
        id: session.id.to_string(),
        is_this: session.id == this,
        address: session.address.clone(),
        agent: session.agent.clone(),
        created_at: time(session.created_at),
        last_seen_at: time(session.last_seen_at),
        ends_at: time(session.ends_at),
    }
}
