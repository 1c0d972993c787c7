//! Proving again who one is, before what is grave: by the password, a code of the second factor, or a provider.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::accounts::{AccountError, Again};
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::Form;
use super::super::page::{self, Failure, Page, Refused};
use super::super::shell::Lone;
use super::super::visitor::{Anybody, Look};
use super::sign_in;
use crate::api::Api;

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/confirm.html")]
struct Confirm {
    lone: Lone,
    token: String,
    /// Where to go then.
    next: String,
    /// The user's address.
    who: String,
    has_password: bool,
    has_code: bool,
    providers: Vec<String>,
    problem: Option<String>,
}

/// What stands in the address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
}

/// What is shown once more: a code if there is one, else the password.
#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default)]
    next: String,
    #[serde(default)]
    password: Zeroizing<String>,
    #[serde(default)]
    code: Zeroizing<String>,
}

async fn blank(api: &Api, look: &Look, next: &str) -> Result<Confirm, Failure> {
    let principal = &look.who.principal;
    let user = api.engine().own_user(principal, look.signed_in).await?;
    let organization = api.engine().organization(principal.organization);
    let providers = organization.map(|organization| api.sign_in().providers.names_for(&organization.name));
    Ok(Confirm {
        lone: Lone::new(look.preferences),
        token: look.token.to_string(),
        next: page::own_path(next).to_owned(),
        has_password: user.password.is_some(),
        has_code: user.totp.is_some_and(|totp| totp.confirmed_at.is_some()),
        who: user.email,
        providers: providers.unwrap_or_default(),
        problem: None,
    })
}

/// `GET /dashboard/confirm`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    Ok(Page(blank(&api, &look, &asked.next).await?).into_response())
}

/// `POST /dashboard/confirm`
pub(super) async fn confirm(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(shown): Form<Shown>,
) -> Result<Response, Failure> {
    let Shown { next, password, code } = shown;
    let again = if code.is_empty() { Again::Password(password) } else { Again::Code(code) };
    let (status, problem) = match api.engine().prove_again(&look.who.principal, look.signed_in, again).await {
        Ok(token) => return Ok(sign_in::goes_on(&api, &token, &next)),
        Err(AccountError::WrongPassword) => (StatusCode::FORBIDDEN, "The password is not right.".to_owned()),
        Err(AccountError::WrongCode) => {
            (StatusCode::FORBIDDEN, "The code is not right, or was used before.".to_owned())
        }
        Err(AccountError::TooOften(wait)) => {
            (StatusCode::TOO_MANY_REQUESTS, format!("Too many tries: wait {} s.", wait.as_secs() + 1))
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Refused(status, Confirm { problem: Some(problem), ..blank(&api, &look, &next).await? }).into_response())
}
