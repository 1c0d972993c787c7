//! What a form sends: believed only from a page of our own (the browser says where it comes from) that was made for this
//! session (the form brings its token back). One of both would do; a fault in one is no hole.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::page::Failure;
use super::visitor::Look;
use crate::api::cookie::is_same_origin;

/// The largest form, in bytes.
const FORM_MAX: usize = 256 << 10;

/// What the forms of one session bring along, and no other site can know. Made of the session's own secret, so it needs
/// no place of its own and ends with the session.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token(String);

impl Token {
    /// The token of a session.
    pub(super) fn of(session: &str) -> Self {
        Self(hex::encode(Sha256::new().chain_update("hookward form ").chain_update(session).finalize()))
    }

    fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The fields of a form that somebody who is signed in has sent.
#[derive(Debug)]
pub(super) struct Form<T>(pub(in crate::dashboard) T);

/// A form that says nothing but that it was sent.
#[derive(Debug, Deserialize)]
pub(super) struct Nothing {}

#[derive(Deserialize)]
struct Brought {
    #[serde(default)]
    token: String,
}

impl<A: Sync, T: DeserializeOwned> FromRequest<A> for Form<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &A) -> Result<Self, Failure> {
        let look = request.extensions().get::<Arc<Look>>().cloned();
        let look = look.ok_or_else(|| Failure::forbidden("Sign in first."))?;
        let body = own_form(request).await?;
        let Brought { token } = fields(&body)?;
        if !look.token.is(&token) {
            return Err(Failure::forbidden("This form is not of your session any more: open its page again."));
        }
        Ok(Self(fields(&body)?))
    }
}

/// The fields of a form that somebody has sent who is not signed in.
#[derive(Debug)]
pub(super) struct OpenForm<T>(pub(in crate::dashboard) T);

impl<A: Sync, T: DeserializeOwned> FromRequest<A> for OpenForm<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &A) -> Result<Self, Failure> {
        Ok(Self(fields(&own_form(request).await?)?))
    }
}

/// The bytes of a form that comes from a page of our own.
async fn own_form(request: Request) -> Result<Bytes, Failure> {
    check(request.headers())?;
    let too_large = |_| Failure::invalid(format!("A form has at most {} KiB.", FORM_MAX >> 10));
    axum::body::to_bytes(request.into_body(), FORM_MAX).await.map_err(too_large)
}

fn check(headers: &HeaderMap) -> Result<(), Failure> {
    if is_same_origin(headers) != Some(true) {
        return Err(Failure::forbidden("A form is taken only from a page of this gateway."));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Failure::invalid("A form is sent as application/x-www-form-urlencoded."));
    }
    Ok(())
}

fn fields<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_urlencoded::from_bytes(body).map_err(|error| Failure::invalid(format!("The form cannot be read: {error}.")))
}
