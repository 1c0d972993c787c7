//! What handlers take from a request, read in one way everywhere and described in the API's document: the variable
//! parts of a path, a query, a JSON body. What is not as described never reaches a handler.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::body::{Body as HttpBody, HttpBody as _};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use hookward_engine::ids::{
    DeliveryId, EventId, InvalidId, JobId, KeyId, OrganizationId, RefusedId, SessionId, UserId,
};
use http::request::Parts;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_json::{Value, json};

use super::problem::{Code, Problem};
use super::{Api, BATCH_BYTES};
use crate::openapi::{Operation, Takes};

/// The largest body of a request that carries no payload, in bytes.
pub(crate) const BODY_MAX: usize = 2 << 20;

/// The largest body of somebody who has proven nothing yet, in bytes.
const SHORT_MAX: usize = 64 << 10;

/// The variable parts of a path. One that cannot be is one that there is not: 404.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

/// Variable parts of a path that belong together.
pub(crate) trait Segments: Sized {
    /// Reads them, decoded, in their order.
    fn read(segments: &[&str]) -> Result<Self, Problem>;

    /// Their schemas.
    fn schemas() -> Vec<Value>;
}

/// One variable part of a path.
pub(crate) trait Segment: Sized {
    /// Reads it.
    fn read(segment: &str) -> Result<Self, Problem>;

    /// Its schema, with an example and a description.
    fn schema() -> Value;
}

impl Segment for String {
    fn read(segment: &str) -> Result<Self, Problem> {
        Ok(segment.to_owned())
    }

    fn schema() -> Value {
        json!({ "type": "string", "description": "A name.", "examples": ["github"] })
    }
}

/// Numbers here count versions.
impl Segment for u32 {
    fn read(segment: &str) -> Result<Self, Problem> {
        segment.parse().map_err(|_| Problem::new(Code::NotFound, "a version is a whole number"))
    }

    fn schema() -> Value {
        json!({
            "type": "integer", "minimum": 1, "maximum": Self::MAX, "description": "Which version.", "examples": ["1"],
        })
    }
}

macro_rules! ids {
    ($($id:ident),*) => {$(
        impl Segment for $id {
            fn read(segment: &str) -> Result<Self, Problem> {
                segment.parse().map_err(|error: InvalidId| Problem::new(Code::NotFound, error.to_string()))
            }

            fn schema() -> Value {
                id_schema(Self::PREFIX)
            }
        }
    )*};
}

ids!(DeliveryId, EventId, JobId, KeyId, OrganizationId, RefusedId, SessionId, UserId);

fn id_schema(prefix: &str) -> Value {
    json!({
        "type": "string",
        "pattern": format!("^{prefix}_[0-9a-f]{{32}}$"),
        "description": "An id, as an answer gave it.",
        "examples": [format!("{prefix}_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")],
    })
}

impl<T: Segment> Segments for T {
    fn read(segments: &[&str]) -> Result<Self, Problem> {
        let [segment] = segments else { unreachable!("the path has one variable part") };
        T::read(segment)
    }

    fn schemas() -> Vec<Value> {
        vec![T::schema()]
    }
}

impl<A: Segment, B: Segment> Segments for (A, B) {
    fn read(segments: &[&str]) -> Result<Self, Problem> {
        let [a, b] = segments else { unreachable!("the path has two variable parts") };
        Ok((A::read(a)?, B::read(b)?))
    }

    fn schemas() -> Vec<Value> {
        vec![A::schema(), B::schema()]
    }
}

impl<A: Segment, B: Segment, C: Segment> Segments for (A, B, C) {
    fn read(segments: &[&str]) -> Result<Self, Problem> {
        let [a, b, c] = segments else { unreachable!("the path has three variable parts") };
        Ok((A::read(a)?, B::read(b)?, C::read(c)?))
    }

    fn schemas() -> Vec<Value> {
        vec![A::schema(), B::schema(), C::schema()]
    }
}

impl<T: Segments> FromRequestParts<Arc<Api>> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let found = RawPathParams::from_request_parts(parts, api).await;
        let found = found.map_err(|_| Problem::new(Code::NotFound, "the path is not text"))?;
        let segments: Vec<&str> = found.iter().map(|(_, segment)| segment).collect();
        T::read(&segments).map(Self)
    }
}

impl<T: Segments> Takes for Path<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_path(T::schemas());
    }
}

/// The query, all of it: an unknown field is refused, as `T` says with `deny_unknown_fields`.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Api>> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, api).await;
        let refused = |rejection: QueryRejection| {
            let text = rejection.body_text();
            let detail = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::new(Code::InvalidQuery, detail)
        };
        query.map(|axum::extract::Query(fields)| Self(fields)).map_err(refused)
    }
}

impl<T: JsonSchema> Takes for Query<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_query::<T>();
    }
}

/// A JSON body.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        parse(&json_bytes(request, BODY_MAX).await?).map(Self)
    }
}

impl<T: JsonSchema> Takes for Body<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_body::<T>(true);
    }
}

/// A short JSON body, from somebody who has proven nothing yet.
#[derive(Debug)]
pub(crate) struct Short<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Short<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        parse(&json_bytes(request, SHORT_MAX).await?).map(Self)
    }
}

impl<T: JsonSchema> Takes for Short<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_body::<T>(true);
    }
}

/// A JSON body that need not be there.
#[derive(Debug)]
pub(crate) struct Optional<T>(pub(crate) Option<T>);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Optional<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        let body = json_bytes(request, BODY_MAX).await?;
        if body.is_empty() { Ok(Self(None)) } else { parse(&body).map(|value| Self(Some(value))) }
    }
}

impl<T: JsonSchema> Takes for Optional<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_body::<T>(false);
    }
}

/// A JSON body as large as an event may be, described as `T`; the handler reads it, because it keeps some of its bytes.
#[derive(Debug)]
pub(crate) struct Unread<T>(pub(crate) Bytes, PhantomData<T>);

impl<T> FromRequest<Arc<Api>> for Unread<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        Ok(Self(json_bytes(request, api.body_bytes()).await?, PhantomData))
    }
}

impl<T: JsonSchema> Takes for Unread<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_body::<T>(true);
    }
}

/// A JSON body as large as a batch of events may be; read by its handler, likewise.
#[derive(Debug)]
pub(crate) struct Batch<T>(pub(crate) Bytes, PhantomData<T>);

impl<T> FromRequest<Arc<Api>> for Batch<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Api>) -> Result<Self, Problem> {
        if request.headers().contains_key("idempotency-key") {
            let detail = "a batch has no `Idempotency-Key`: give each event an `idempotency_key`";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Ok(Self(json_bytes(request, BATCH_BYTES).await?, PhantomData))
    }
}

impl<T: JsonSchema> Takes for Batch<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_body::<T>(true);
    }
}

/// The bytes of a body that says it is JSON, or of none.
async fn json_bytes(request: Request, max: usize) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    let body = read(body, max).await?;
    if body.is_empty() || is_json(&parts.headers) {
        return Ok(body);
    }
    Err(Problem::new(Code::UnsupportedMediaType, "send the body with `Content-Type: application/json`"))
}

/// Reads a body of at most `max` bytes; one that is announced to be larger is not read at all.
pub(super) async fn read(body: HttpBody, max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::PayloadTooLarge, format!("the request's body is larger than {max} bytes"));
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    match Limited::new(body, max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Code::MalformedRequest, "the request's body did not come whole")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let media_type = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// Reads JSON. What cannot be read at all is 400, what says something else than is wanted 422. The reader's own words
/// may quote a value, which may be a secret: of these only what was expected, and where, is told.
pub(super) fn parse<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Problem> {
    // Fields are told by name, never by their place in a list.
    if body.trim_ascii_start().starts_with(b"[") && serde_json::from_slice::<IgnoredAny>(body).is_ok() {
        return Err(Problem::new(Code::InvalidRequest, "expected an object (line 1, column 1)"));
    }
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        if error.classify() != Category::Data {
            return Problem::new(Code::MalformedRequest, format!("the request's body is not JSON: see {place}"));
        }
        let words = error.to_string();
        let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(words, _)| words);
        let quotes = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant "];
        let told = match words.rsplit_once(", expected ") {
            Some((_, expected)) if quotes.iter().any(|start| words.starts_with(start)) => {
                format!("expected {expected}")
            }
            _ => words.to_owned(),
        };
        Problem::new(Code::InvalidRequest, format!("{told} ({place})"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "it is only read into")]
    struct Given {
        secret: String,
        grace_s: Option<u64>,
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_without_quoting_it() {
        let told = |body: &str| parse::<Given>(body.as_bytes()).unwrap_err();
        let malformed =
            |text: &str| Problem::new(Code::MalformedRequest, format!("the request's body is not JSON: see {text}"));
        let invalid = |text: &str| Problem::new(Code::InvalidRequest, text);
        assert_eq!(told(""), malformed("line 1, column 0"));
        assert_eq!(told(r#"{"secret":"hunter2""#), malformed("line 1, column 19"));
        assert_eq!(told(r#"{"secret":7}"#), invalid("expected a string (line 1, column 11)"));
        assert_eq!(told(r#"{"secret":"x","grace_s":"hunter2"}"#), invalid("expected u64 (line 1, column 33)"));
        assert_eq!(told(r#"{"secret":"x","grace_s":1e99}"#), invalid("expected u64 (line 1, column 28)"));
        assert_eq!(told(r#" ["x", 1]"#), invalid("expected an object (line 1, column 1)"));
        assert_eq!(told("["), malformed("line 1, column 1"));
        assert_eq!(told("{}"), invalid("missing field `secret` (line 1, column 2)"));
        let unknown = "unknown field `is_admin`, expected `secret` or `grace_s` (line 1, column 11)";
        assert_eq!(told(r#"{"is_admin":1}"#), invalid(unknown));
    }

    #[test]
    fn only_json_is_json() {
        let kind = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, http::HeaderValue::from_static(value));
            }
            is_json(&headers)
        };
        assert!(kind(&["application/json"]) && kind(&["Application/JSON; charset=utf-8"]));
        for other in [&[][..], &["text/plain"], &["application/jsonp"], &["application/json", "text/plain"]] {
            assert!(!kind(other), "{other:?}");
        }
    }

    #[test]
    fn an_id_that_cannot_be_is_none_that_there_is() {
        assert!(<EventId as Segment>::read("evt_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e").is_ok());
        for bad in ["", "x", "99999999999999999999999999", "\0", "dlv_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e"] {
            assert!(<EventId as Segment>::read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(EventId::schema()["pattern"], "^evt_[0-9a-f]{32}$");
    }
}
