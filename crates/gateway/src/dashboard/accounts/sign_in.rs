//! Signing in and out on pages: a password, a code where there is a second factor, or a provider that vouches.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::accounts::{Login, LoginAnswer, SignedIn, Token};
use http::{Extensions, HeaderMap, StatusCode, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::{Form, Nothing, OpenForm};
use super::super::notice::Notice;
use super::super::page::{self, Failure, Page, Refused};
use super::super::preferences::Preferences;
use super::super::shell::Lone;
use super::super::visitor::Anybody;
use super::first_run;
use crate::api::authorize::{Sender, by_session};
use crate::api::{Api, cookie, login};

#[derive(Debug, Template)]
#[template(path = "dashboard/sign_in.html")]
struct SignIn {
    lone: Lone,
    providers: Vec<String>,
    /// Where to go then.
    next: String,
    organization: String,
    email: String,
    /// A code is needed as well as the password.
    asks_code: bool,
    notice: Option<&'static str>,
    problem: Option<String>,
    /// There is no user yet.
    is_first_run: bool,
}

/// What stands in the address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
    notice: Option<Notice>,
}

/// Who wants to sign in.
#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    next: String,
    #[serde(default)]
    organization: String,
    email: String,
    password: Zeroizing<String>,
    #[serde(default)]
    code: Zeroizing<String>,
}

async fn blank(api: &Api, headers: &HeaderMap, next: &str) -> Result<SignIn, Failure> {
    Ok(SignIn {
        lone: Lone::new(Preferences::read(headers)),
        providers: api.sign_in().providers.names(),
        next: page::own_path(next).to_owned(),
        organization: String::new(),
        email: String::new(),
        asks_code: false,
        notice: None,
        problem: None,
        is_first_run: first_run::is_open(api).await?,
    })
}

/// `GET /dashboard/sign-in`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let notice = asked.notice.map(Notice::says).filter(|says| !says.is_empty());
    Ok(Page(SignIn { notice, ..blank(&api, &headers, &asked.next).await? }).into_response())
}

/// `POST /dashboard/sign-in`
pub(super) async fn sign_in(
    State(api): State<Arc<Api>>,
    sender: Sender,
    extensions: Extensions,
    headers: HeaderMap,
    OpenForm(wanted): OpenForm<Wanted>,
) -> Result<Response, Failure> {
    let Wanted { next, organization, email, password, code } = wanted;
    let organization = if organization.is_empty() { "default".to_owned() } else { organization };
    let origin = login::origin(&sender, &headers);
    let again =
        SignIn { organization: organization.clone(), email: email.clone(), ..blank(&api, &headers, &next).await? };
    let code = (!code.is_empty()).then_some(code);
    let had_code = code.is_some();
    let (status, asks_code, problem) = match api
        .engine()
        .login(Login { organization, email, password, code, origin })
        .await?
    {
        LoginAnswer::In(signed_in) => {
            leave(&api, &headers, &extensions).await?;
            return Ok(begun(&api, &signed_in, &next));
        }
        LoginAnswer::CodeNeeded => {
            (StatusCode::UNAUTHORIZED, true, "Enter your password again, and a code of your second factor.".to_owned())
        }
        LoginAnswer::TooOften(wait) => {
            (StatusCode::TOO_MANY_REQUESTS, had_code, format!("Too many tries: wait {} s.", wait.as_secs() + 1))
        }
        LoginAnswer::Refused => {
            (StatusCode::UNAUTHORIZED, had_code, "The email address, the password or the code is not right.".to_owned())
        }
    };
    Ok(Refused(status, SignIn { asks_code, problem: Some(problem), ..again }).into_response())
}

/// Goes on at `next` with the session that began.
pub(super) fn begun(api: &Api, signed_in: &SignedIn, next: &str) -> Response {
    goes_on(api, &signed_in.token, next)
}

/// Goes on at `next` with the session that is found under `token`.
pub(super) fn goes_on(api: &Api, token: &Token, next: &str) -> Response {
    let cookie = cookie::set(token, api.sign_in().transport);
    ([(header::SET_COOKIE, cookie)], page::see_other(page::own_path(next))).into_response()
}

/// Ends the session that a browser has: another takes its place, and nobody could end it from here any more.
pub(super) async fn leave(api: &Api, headers: &HeaderMap, extensions: &Extensions) -> Result<(), Failure> {
    let before = by_session(api, headers, extensions).await?;
    if let Some((who, me)) = before.and_then(|(who, _)| who.signed_in.map(|me| (who, me))) {
        api.engine().end_session(&who.principal, me, me.session).await?;
    }
    Ok(())
}

/// `POST /dashboard/sign-out`
pub(super) async fn sign_out(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    let principal = &look.who.principal;
    api.engine().end_session(principal, look.signed_in, look.signed_in.session).await?;
    let next = page::see_other(&format!("/dashboard/sign-in?notice={}", Notice::SignedOut.code()));
    Ok(([(header::SET_COOKIE, cookie::clear(api.sign_in().transport))], next).into_response())
}
