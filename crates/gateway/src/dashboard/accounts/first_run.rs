//! The first user of an installation: by a link that `serve` printed, which is turned into a cookie at once so that it does
//! not stay in an address.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{AppendHeaders, IntoResponse, Response};
use hookward_engine::accounts::{AccountError, FirstUser};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Principal;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::OpenForm;
use super::super::notice::Notice;
use super::super::page::{self, Failure, Page, Refused};
use super::super::preferences::Preferences;
use super::super::shell::Lone;
use super::{done, example, sign_in};
use crate::api::authorize::Sender;
use crate::api::{Api, cookie, login};
use crate::first_run::PATH;

/// The cookie that the link becomes.
const COOKIE: &str = "hookward_first_run";

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/first_run.html")]
struct FirstRun {
    lone: Lone,
    email: String,
    /// An example is made as well.
    example: bool,
    problem: Option<String>,
}

/// Who is to be the first user.
#[derive(Deserialize)]
pub(super) struct Wanted {
    email: String,
    password: Zeroizing<String>,
    repeated: Zeroizing<String>,
    example: Option<String>,
}

/// Whether there is no user yet. One that came to be in another way ends it.
pub(super) async fn is_open(api: &Api) -> Result<bool, Failure> {
    let first_run = &api.sign_in().first_run;
    if first_run.is_open() && api.engine().has_user(OrganizationId::DEFAULT).await? {
        first_run.end();
    }
    Ok(first_run.is_open())
}

/// `GET /dashboard/first-run/{link}`
pub(super) async fn open(State(api): State<Arc<Api>>, Path(link): Path<String>) -> Result<Response, Failure> {
    if !is_open(&api).await? || !api.sign_in().first_run.is(&link) {
        return Err(no_link());
    }
    let cookie = cookie::set_brought(COOKIE, &link, api.sign_in().transport);
    Ok(([(header::SET_COOKIE, cookie)], page::see_other(PATH)).into_response())
}

/// `GET /dashboard/first-run`
pub(super) async fn show(State(api): State<Arc<Api>>, headers: HeaderMap) -> Result<Response, Failure> {
    has_link(&api, &headers).await?;
    // Beside what is there already an example is in the way.
    let example = api.engine().sources(OrganizationId::DEFAULT).is_empty();
    let lone = Lone::new(Preferences::read(&headers));
    Ok(Page(FirstRun { lone, email: String::new(), example, problem: None }).into_response())
}

/// `POST /dashboard/first-run`
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    sender: Sender,
    headers: HeaderMap,
    OpenForm(wanted): OpenForm<Wanted>,
) -> Result<Response, Failure> {
    has_link(&api, &headers).await?;
    let Wanted { email, password, repeated, example } = wanted;
    let (lone, example) = (Lone::new(Preferences::read(&headers)), example.is_some());
    let again = FirstRun { lone, email: email.clone(), example, problem: None };
    let refused = |(status, problem): (StatusCode, String)| {
        Ok(Refused(status, FirstRun { problem: Some(problem), ..again }).into_response())
    };
    if password != repeated {
        return refused(Failure::invalid("The two passwords are not the same.").into_words()?);
    }
    let first = FirstUser { email, password, origin: login::origin(&sender, &headers) };
    let signed_in = match api.engine().create_first_user(first).await {
        Ok(signed_in) => signed_in,
        Err(AccountError::Taken(_)) => {
            api.sign_in().first_run.end();
            return Ok(done("/dashboard/sign-in", Notice::HasAUser));
        }
        Err(error) => return refused(Failure::from(error).into_words()?),
    };
    api.sign_in().first_run.end();
    let actor = format!("user:{}", signed_in.user.email);
    let by = Principal { organization: OrganizationId::DEFAULT, actor, address: sender.address };
    let mut notice = Notice::FirstUser;
    if example && let Err(problem) = example::make(&api, &by).await {
        tracing::warn!("the example could not be made: {problem}");
        notice = Notice::NoExample;
    }
    let cookie = cookie::clear_brought(COOKIE, api.sign_in().transport);
    let next = format!("/dashboard?notice={}", notice.code());
    Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), sign_in::begun(&api, &signed_in, &next)).into_response())
}

async fn has_link(api: &Api, headers: &HeaderMap) -> Result<(), Failure> {
    let link = cookie::brought(headers, COOKIE, api.sign_in().transport);
    let is_it = link.is_some_and(|link| api.sign_in().first_run.is(link));
    if is_open(api).await? && is_it { Ok(()) } else { Err(no_link()) }
}

fn no_link() -> Failure {
    Failure::forbidden(
        "This link is not good, or not any more. While there is no user, `hookward serve` prints one when it starts.",
    )
}
