//! The way to a provider and back, as a browser goes it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderMap, header};
use serde::Deserialize;

use super::super::page::{self, Failure, Page};
use super::super::preferences::Preferences;
use super::super::shell::Lone;
use crate::api::authorize::{Sender, by_session};
use crate::api::{Api, extract, oidc};
use crate::oidc::Purpose;

/// The longest path that is remembered on the way, in bytes. Cookies have room for 4 KiB.
const NEXT_MAX: usize = 1024;

/// What stands in the address.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    next: String,
    /// The provider is to ask who it is although it knows them.
    again: Option<String>,
}

/// Where somebody arrives. The session's cookie is `Strict`: a browser keeps it back from whatever the provider's page led
/// to, redirects included. A page of our own that leads on is no longer the provider's.
#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/arrived.html")]
struct Arrived {
    lone: Lone,
    next: String,
}

/// `GET /auth/oidc/{name}`
pub(super) async fn send(
    State(api): State<Arc<Api>>,
    sender: Sender,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let replaces = match by_session(&api, &headers, &extensions).await {
        Ok(found) => found.and_then(|(who, _)| Some(who.signed_in?.session)),
        Err(problem) => return Err(Failure::from(problem).into_response()),
    };
    let next = Some(page::own_path(&asked.next)).filter(|next| next.len() <= NEXT_MAX);
    let purpose = Purpose { next: next.unwrap_or_default().to_owned(), replaces, again: asked.again.is_some() };
    match oidc::send(&api, &sender, &name, purpose).await {
        Ok(sent) => Ok(sent),
        Err(problem) if wants_page(&headers) => Err(Failure::from(problem).into_response()),
        Err(problem) => Err(problem.into_response()),
    }
}

/// `GET /auth/oidc/{name}/callback`
pub(super) async fn come_back(
    State(api): State<Arc<Api>>,
    sender: Sender,
    Path(name): Path<String>,
    headers: HeaderMap,
    extract::Query(brought): extract::Query<oidc::Brought>,
) -> Response {
    match oidc::come_back(&api, &sender, &name, &headers, brought).await {
        Ok(arrived) if wants_page(&headers) => {
            let (lone, next) = (Lone::new(Preferences::read(&headers)), page::own_path(&arrived.next).to_owned());
            (arrived.cookies(), Page(Arrived { lone, next })).into_response()
        }
        Ok(arrived) => arrived.into_json(),
        Err(problem) if wants_page(&headers) => Failure::from(problem).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Whether it is a browser that asks, for somebody to look at the answer.
fn wants_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
    accepts.flat_map(|accept| accept.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}
