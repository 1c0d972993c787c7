//! What handlers answer with besides `Json`: each says its status and its shape to the API's document.

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::openapi::{Answers, Operation};

/// 201: it was made.
#[derive(Debug)]
pub(crate) struct Created<T>(pub(crate) T);

/// 201: it was made, and its secret is in this answer only.
#[derive(Debug)]
pub(crate) struct CreatedOnce<T> {
    /// The answer.
    pub(crate) answer: T,
    /// The id of what was made, which may be told again.
    pub(crate) id: String,
}

/// Goes with a response that may not be kept: the id of what was made.
#[derive(Debug, Clone)]
pub(super) struct ShownOnce(pub(super) String);

/// 202: it will be done.
#[derive(Debug)]
pub(crate) struct Accepted<T>(pub(crate) T);

/// 204: it was done, and there is nothing to say.
#[derive(Debug)]
pub(crate) struct Done;

/// An answer that sets a cookie as well, or takes it away.
#[derive(Debug)]
pub(crate) struct WithCookie<T>(pub(crate) HeaderValue, pub(crate) T);

/// An answer with the version of what it shows, as `ETag`.
#[derive(Debug)]
pub(crate) struct Tagged<T>(pub(crate) u32, pub(crate) T);

/// Lines of JSON, which come bit by bit.
#[derive(Debug)]
pub(crate) struct Lines(pub(crate) Body);

/// Exact bytes, never for a browser to interpret.
#[derive(Debug)]
pub(crate) struct Download(pub(crate) Bytes);

/// Text, which may come bit by bit.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) Body);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, Json(self.0)).into_response()
    }
}

impl<T: JsonSchema> Answers for Created<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<T>(StatusCode::CREATED);
    }
}

impl<T: Serialize> IntoResponse for CreatedOnce<T> {
    fn into_response(self) -> Response {
        let mut response = Created(self.answer).into_response();
        response.extensions_mut().insert(ShownOnce(self.id));
        response
    }
}

impl<T: JsonSchema> Answers for CreatedOnce<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<T>(StatusCode::CREATED);
    }
}

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, Json(self.0)).into_response()
    }
}

impl<T: JsonSchema> Answers for Accepted<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<T>(StatusCode::ACCEPTED);
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

impl Answers for Done {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_nothing(StatusCode::NO_CONTENT);
    }
}

impl<T: IntoResponse> IntoResponse for WithCookie<T> {
    fn into_response(self) -> Response {
        ([(header::SET_COOKIE, self.0)], self.1).into_response()
    }
}

impl<T: Answers> Answers for WithCookie<T> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}

impl<T: IntoResponse> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, format!("\"{}\"", self.0))], self.1).into_response()
    }
}

impl<T: Answers> Answers for Tagged<T> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
        operation.answers_header(StatusCode::OK, "ETag", "The newest version, for `If-Match`.");
    }
}

impl IntoResponse for Lines {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/x-ndjson")], self.0).into_response()
    }
}

impl Answers for Lines {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_as(StatusCode::OK, "application/x-ndjson", json!({ "type": "string" }));
    }
}

impl IntoResponse for Download {
    fn into_response(self) -> Response {
        let headers = [
            (header::CONTENT_TYPE, "application/octet-stream"),
            (header::CONTENT_DISPOSITION, "attachment; filename=\"body\""),
            (header::CONTENT_SECURITY_POLICY, "sandbox"),
        ];
        (headers, self.0).into_response()
    }
}

impl Answers for Download {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_as(StatusCode::OK, "application/octet-stream", json!({}));
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], self.0).into_response()
    }
}

impl Answers for Text {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_as(StatusCode::OK, "text/plain", json!({ "type": "string" }));
    }
}
