//! Owns what a handler is given: the proven bytes, or what they say. Reads nothing that was not proven; proving is the layer's.

use std::future::Future;
use std::ops::Deref;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::Proven;
use crate::verify::Verified;

/// A payload with its proof. It reads the bytes that [`SignedLayer`](super::SignedLayer) proved, not what anything in between made
/// of the request's body, and reads them only then. Without the layer nothing is proven and the answer is 500.
///
/// `T` is whatever deserializes from JSON, or [`Text`], or [`Raw`].
#[derive(Clone, Debug)]
pub struct Signed<T> {
    /// What was signed.
    pub payload: T,
    /// Who signed, and what the proof covers.
    pub proof: Verified<'static>,
}

/// A payload as its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw(pub Bytes);

/// A payload as text in UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

/// What proven bytes can be read as.
pub trait Payload: Send + Sized {
    /// Reads them; `None` if they are something else.
    fn read(body: &Bytes) -> Option<Self>;
}

impl Payload for Raw {
    fn read(body: &Bytes) -> Option<Self> {
        Some(Self(body.clone()))
    }
}

impl Payload for Text {
    fn read(body: &Bytes) -> Option<Self> {
        std::str::from_utf8(body).ok().map(|text| Self(text.to_owned()))
    }
}

impl<T: DeserializeOwned + Send> Payload for T {
    fn read(body: &Bytes) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }
}

/// Why a handler got no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedRejection {
    /// The route has no [`SignedLayer`](super::SignedLayer). Whoever wrote it must act.
    #[error("nothing proved this request: the route has no SignedLayer")]
    NotProven,
    /// The bytes are proven and are no `T`.
    #[error("the payload is not what this endpoint reads")]
    Unreadable,
}

impl IntoResponse for SignedRejection {
    fn into_response(self) -> Response {
        match self {
            Self::NotProven => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Self::Unreadable => (StatusCode::UNPROCESSABLE_ENTITY, self.to_string()).into_response(),
        }
    }
}

impl<S: Sync, T: Payload> FromRequestParts<S> for Signed<T> {
    type Rejection = SignedRejection;

    fn from_request_parts(parts: &mut Parts, _: &S) -> impl Future<Output = Result<Self, SignedRejection>> + Send {
        std::future::ready(match parts.extensions.get::<Proven>() {
            None => Err(SignedRejection::NotProven),
            Some(proven) => match T::read(&proven.body) {
                None => Err(SignedRejection::Unreadable),
                Some(payload) => Ok(Self { payload, proof: proven.proof.clone() }),
            },
        })
    }
}

impl<T> Deref for Signed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.payload
    }
}
