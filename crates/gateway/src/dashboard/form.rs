//! What a form sends: believed only from a page of our own (the browser says where it comes from) that was made for this
//! session (the form brings its token back). One of both would do; a fault in one is no hole.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use hookward_engine::clock::Timestamp;
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

/// What to say of a text that is no [`moment`].
pub(super) const NOT_A_TIME: &str = "Write a time like 2026-01-31T09:30, in UTC.";

/// A time as a browser's field or a person writes it: without an offset it is in UTC. `Ok(None)` for none.
pub(super) fn moment(text: &str) -> Result<Option<Timestamp>, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let with_offset = text.parse::<jiff::Timestamp>();
    let at = with_offset.or_else(|_| {
        let civil: jiff::civil::DateTime = text.parse()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp())
    });
    at.map(|at| Some(Timestamp::from_millis(at.as_millisecond()))).map_err(|_| NOT_A_TIME)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_a_browser_or_a_person_writes_it() {
        let at = |millis| Ok(Some(Timestamp::from_millis(millis)));
        assert_eq!(moment(" "), Ok(None));
        assert_eq!(moment("1970-01-02T00:00"), at(86_400_000));
        assert_eq!(moment("1970-01-02T00:00:01.5"), at(86_401_500));
        assert_eq!(moment("1970-01-02"), at(86_400_000));
        assert_eq!(moment("1970-01-02T01:00:00+01:00"), at(86_400_000));
        for wrong in ["yesterday", "12:00", "2026-13-01T00:00", "<b>"] {
            assert_eq!(moment(wrong), Err(NOT_A_TIME), "{wrong}");
        }
    }
}
