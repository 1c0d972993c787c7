//! Users, for who administers an organization: invited, listed, changed, reset, removed.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::accounts::{NewUser, Token, UserPatch};
use hookward_engine::ids::UserId;
use hookward_engine::model::{Scopes, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answers::{CreatedOnce, Done};
use super::caller::{Admin, Caller};
use super::extract::{Body, Path, Query};
use super::page::{self, List};
use super::problem::Problem;
use super::sources::Paging;
use super::{Api, time};

/// A user to be invited.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewUser")]
pub(crate) struct Wanted {
    #[schemars(example = &"ana@example.com")]
    email: String,
    #[schemars(with = "Vec<String>", example = ["read", "publish"])]
    scopes: Scopes,
}

/// What is to be different.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UserChange")]
pub(crate) struct Changes {
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>", example = ["read", "publish"])]
    scopes: Option<Scopes>,
    #[serde(default)]
    disabled: Option<bool>,
}

/// A person who signs in.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(crate) struct Shown {
    #[schemars(example = &"usr_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(example = &"ana@example.com")]
    email: String,
    #[schemars(with = "Vec<String>", example = ["read", "publish"])]
    scopes: Scopes,
    #[schemars(extend("enum" = ["active", "disabled"]))]
    state: &'static str,
    has_password: bool,
    has_second_factor: bool,
    created_by: String,
    created_at: String,
    last_login_at: Option<String>,
    disabled_at: Option<String>,
}

/// A user with the right to set a password, which is in this answer only.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Invitation {
    #[schemars(with = "String")]
    invitation: Zeroizing<String>,
    user: Shown,
}

/// `POST /users`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(Wanted { email, scopes }): Body<Wanted>,
) -> Result<CreatedOnce<Invitation>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let (user, token) = api.engine.invite(&caller, caller.scopes(), NewUser { email, scopes }).await?;
    let id = user.id.to_string();
    Ok(CreatedOnce { answer: invitation(user, &token), id })
}

/// `GET /users`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Query(query): Query<Paging>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("users", query.limit.as_deref(), query.cursor.as_deref())?;
    Ok(Json(page::show("users", api.engine.users(caller.organization, page).await?, shown)))
}

/// `GET /users/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<UserId>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(shown(api.engine.user(caller.organization, id).await?)))
}

/// `PATCH /users/{id}`
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<UserId>,
    Body(Changes { scopes, disabled }): Body<Changes>,
) -> Result<Json<Shown>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let patch = UserPatch { scopes, disabled };
    Ok(Json(shown(api.engine.change_user(&caller, caller.scopes(), id, patch).await?)))
}

/// `POST /users/{id}/reset`
pub(crate) async fn reset(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<UserId>,
) -> Result<Json<Invitation>, Problem> {
    let caller = caller.recently_proven(&api)?;
    let (user, token) = api.engine.reset_user(&caller, caller.scopes(), id).await?;
    Ok(Json(invitation(user, &token)))
}

/// `DELETE /users/{id}`
pub(crate) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<UserId>,
) -> Result<Done, Problem> {
    api.engine.remove_user(&caller, id).await?;
    Ok(Done)
}

fn invitation(user: User, token: &Token) -> Invitation {
    Invitation { invitation: Zeroizing::new(token.expose().to_owned()), user: shown(user) }
}

pub(super) fn shown(user: User) -> Shown {
    Shown {
        id: user.id.to_string(),
        email: user.email,
        scopes: user.scopes,
        state: if user.disabled_at.is_some() { "disabled" } else { "active" },
        has_password: user.password.is_some(),
        has_second_factor: user.totp.is_some_and(|totp| totp.confirmed_at.is_some()),
        created_by: user.created_by,
        created_at: time(user.created_at),
        last_login_at: user.last_login_at.map(time),
        disabled_at: user.disabled_at.map(time),
    }
}
