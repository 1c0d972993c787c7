//! The first password of whoever was invited, or whose account was reset: by a link, which is turned into a cookie at once
//! so that it does not stay in an address.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use hookward_engine::accounts::{AccountError, Login, LoginAnswer};
use hookward_engine::model::User;
use http::{Extensions, HeaderMap, StatusCode, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::OpenForm;
use super::super::notice::Notice;
use super::super::page::{self, Failure, Page, Refused};
use super::super::preferences::Preferences;
use super::super::shell::Lone;
use super::{done, sign_in};
use crate::api::authorize::Sender;
use crate::api::{Api, cookie, login};

/// Where the form is; the link's text comes after it.
const PATH: &str = "/dashboard/invitation";

/// The cookie that the link becomes.
const COOKIE: &str = "hookward_invitation";

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/invitation.html")]
struct Invited {
    lone: Lone,
    email: String,
    organization: String,
    /// By way of whom they may come in instead.
    providers: Vec<String>,
    problem: Option<String>,
}

/// The first password.
#[derive(Deserialize)]
pub(super) struct Wanted {
    password: Zeroizing<String>,
    repeated: Zeroizing<String>,
}

/// Where an invitation leads.
pub(super) fn link(invitation: &str) -> String {
    format!("{PATH}/{invitation}")
}

/// `GET /dashboard/invitation/{link}`. That it was opened spends nothing: what looks at links before people do may look.
pub(super) async fn open(State(api): State<Arc<Api>>, Path(link): Path<String>) -> Result<Response, Failure> {
    if api.engine().invited(&link).await?.is_none() {
        return Err(no_link());
    }
    let cookie = cookie::set_brought(COOKIE, &link, api.sign_in().transport);
    Ok(([(header::SET_COOKIE, cookie)], page::see_other(PATH)).into_response())
}

/// `GET /dashboard/invitation`
pub(super) async fn show(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Failure> {
    let (_, user) = invited(&api, &headers).await?;
    Ok(Page(blank(&api, &headers, &user)).into_response())
}

/// `POST /dashboard/invitation`
pub(super) async fn accept(
    State(api): State<Arc<Api>>,
    sender: Sender,
    extensions: Extensions,
    headers: HeaderMap,
    OpenForm(wanted): OpenForm<Wanted>,
) -> Result<Response, Failure> {
    let engine = api.engine();
    engine.try_from_address(&sender.address).map_err(AccountError::TooOften)?;
    let (invitation, user) = invited(&api, &headers).await?;
    let Wanted { password, repeated } = wanted;
    let again = blank(&api, &headers, &user);
    let organization = again.organization.clone();
    let refused = |(status, problem): (StatusCode, String)| {
        Ok(Refused(status, Invited { problem: Some(problem), ..again }).into_response())
    };
    if password != repeated {
        return refused(Failure::invalid("The two passwords are not the same.").into_words()?);
    }
    match engine.accept_invitation(invitation, password.clone(), &sender.address).await {
        Ok(true) => engine.forgive_address(&sender.address),
        Ok(false) => return Err(no_link()),
        Err(error) => return refused(Failure::from(error).into_words()?),
    }
    let origin = login::origin(&sender, &headers);
    let login = Login { organization, email: user.email, password, code: None, origin };
    let cookie = cookie::clear_brought(COOKIE, api.sign_in().transport);
    let next = match engine.login(login).await? {
        LoginAnswer::In(signed_in) => {
            sign_in::leave(&api, &headers, &extensions).await?;
            sign_in::begun(&api, &signed_in, "/dashboard")
        }
        // Somebody tried too often under this address: the password is set all the same.
        _ => done("/dashboard/sign-in", Notice::PasswordSet),
    };
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), next).into_response())
}

/// The invitation that a browser brings, and whose it is.
async fn invited<'h>(api: &Api, headers: &'h HeaderMap) -> Result<(&'h str, User), Failure> {
    let invitation = cookie::brought(headers, COOKIE, api.sign_in().transport).ok_or_else(no_link)?;
    let user = api.engine().invited(invitation).await?;
    Ok((invitation, user.ok_or_else(no_link)?))
}

fn blank(api: &Api, headers: &HeaderMap, user: &User) -> Invited {
    let organization = api.engine().organization(user.organization).map(|organization| organization.name);
    let organization = organization.unwrap_or_default();
    Invited {
        lone: Lone::new(Preferences::read(headers)),
        email: user.email.clone(),
        providers: api.sign_in().providers.names_for(&organization),
        organization,
        problem: None,
    }
}

fn no_link() -> Failure {
    Failure::forbidden("This is no invitation, or it was used or is over: ask for another.")
}
