//! Users, for who administers an organization: invited, listed, changed, reset, removed.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use hookward_engine::accounts::{NewUser, Token, UserPatch};
use hookward_engine::ids::UserId;
use hookward_engine::model::{Scopes, User};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::caller::{Admin, Caller};
use super::page::{self, List};
use super::problem::Problem;
use super::secrets::parse;
use super::sources::Paging;
use super::{Api, time};

/// A user to be invited.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    email: String,
    scopes: Scopes,
}

/// What is to be different.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default)]
    scopes: Option<Scopes>,
    #[serde(default)]
    disabled: Option<bool>,
}

/// A user as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    email: String,
    scopes: Scopes,
    state: &'static str,
    has_password: bool,
    has_second_factor: bool,
    created_by: String,
    created_at: String,
    last_login_at: Option<String>,
    disabled_at: Option<String>,
}

/// A user with the right to set a password, which is in this answer only.
#[derive(Serialize)]
pub(crate) struct Invitation {
    invitation: Zeroizing<String>,
    user: Shown,
}

/// `POST /users`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Invitation>), Problem> {
    let Wanted { email, scopes } = parse(&body?)?;
    let (user, token) = api.engine.invite(&caller, caller.scopes(), NewUser { email, scopes }).await?;
    Ok((StatusCode::CREATED, Json(invitation(user, &token))))
}

/// `GET /users`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    query: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<List<Shown>>, Problem> {
    let Query(query) = query?;
    let page = page::page("users", query.limit.as_deref(), query.cursor.as_deref())?;
    Ok(Json(page::show("users", api.engine.users(caller.organization, page).await?, shown)))
}

/// `GET /users/{id}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(shown(api.engine.user(caller.organization, id.parse::<UserId>()?).await?)))
}

/// `PATCH /users/{id}`
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Shown>, Problem> {
    let Changes { scopes, disabled } = parse(&body?)?;
    let patch = UserPatch { scopes, disabled };
    Ok(Json(shown(api.engine.change_user(&caller, caller.scopes(), id.parse()?, patch).await?)))
}

/// `POST /users/{id}/reset`
pub(crate) async fn reset(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<String>,
) -> Result<Json<Invitation>, Problem> {
    let (user, token) = api.engine.reset_user(&caller, caller.scopes(), id.parse()?).await?;
    Ok(Json(invitation(user, &token)))
}

/// `DELETE /users/{id}`
pub(crate) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    api.engine.remove_user(&caller, id.parse()?).await?;
    Ok(StatusCode::NO_CONTENT)
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
