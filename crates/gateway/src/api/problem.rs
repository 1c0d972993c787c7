//! Problem documents (RFC 9457): a stable code, one sentence, nothing about causes inside.
//! Owns which code has which status; the cause is logged here, once.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::response::{IntoResponse, Response};
use hookward_engine::accounts::AccountError;
use hookward_engine::ids::InvalidId;
use hookward_engine::store::StoreError;
use hookward_engine::{EngineError, PublishError};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::declaring::Refused;

/// What went wrong, for programs. Codes never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Code {
    Unauthorized,
    SecondFactorNeeded,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    InvalidQuery,
    InvalidLimit,
    InvalidCursor,
    InvalidId,
    InvalidRequest,
    IdempotencyConflict,
    NotPossible,
    Stale,
    PayloadTooLarge,
    TooOften,
    Unavailable,
    Inconsistent,
}

impl Code {
    fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized | Self::SecondFactorNeeded => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::InvalidQuery | Self::InvalidLimit | Self::InvalidCursor | Self::InvalidId | Self::InvalidRequest => {
                StatusCode::BAD_REQUEST
            }
            Self::IdempotencyConflict | Self::NotPossible => StatusCode::CONFLICT,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooOften => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Inconsistent => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// An answer that says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    /// When to try again, if later helps.
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of this code; `detail` is one sentence for the caller.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after_s = (code == Code::Unavailable).then_some(5);
        Self { code, detail: detail.into(), retry_after_s }
    }

    /// The caller may come again after `wait`.
    pub(crate) fn too_often(detail: impl Into<String>, wait: Duration) -> Self {
        Self { code: Code::TooOften, detail: detail.into(), retry_after_s: Some(wait.as_secs() + 1) }
    }
}

/// The document's shape.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    code: Code,
    detail: &'a str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let title = status.canonical_reason().unwrap_or("");
        let document =
            Document { kind: "about:blank", title, status: status.as_u16(), code: self.code, detail: &self.detail };
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn unavailable(cause: &str) -> Problem {
    tracing::error!(cause, "answered 503 to an API request");
    Problem::new(Code::Unavailable, "the store or the key service does not answer now; try again")
}

fn inconsistent(cause: &str) -> Problem {
    tracing::error!(cause, "answered 500 to an API request");
    Problem::new(Code::Inconsistent, "kept data breaks its own rules; the log says which")
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound(_) => Self::new(Code::NotFound, error.to_string()),
            EngineError::Invalid(problem) => Self::new(Code::InvalidRequest, problem),
            EngineError::Conflict(problem) => Self::new(Code::NotPossible, problem),
            EngineError::Stale(problem) => Self::new(Code::Stale, problem),
            EngineError::TooOften { retry_after, .. } => Self::too_often(error.to_string(), retry_after),
            EngineError::Unavailable(cause) => unavailable(&cause),
            EngineError::Inconsistent(cause) => inconsistent(&cause),
        }
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let words = error.to_string();
        match error {
            AccountError::Engine(error) => error.into(),
            AccountError::Scopes => Self::new(Code::Forbidden, words),
            AccountError::Taken(_) | AccountError::LastAdmin => Self::new(Code::NotPossible, words),
            AccountError::WrongPassword | AccountError::WrongCode => Self::new(Code::Forbidden, words),
            AccountError::TooOften(wait) => Self::too_often(words, wait),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let problems = match refused {
            Refused::Engine(error) => return error.into(),
            Refused::Problems(problems) => problems,
        };
        let is_conflict = problems.iter().all(|problem| problem.is_conflict);
        let told: Vec<String> =
            problems.into_iter().map(|problem| format!("`{}`: {}", problem.pointer, problem.message)).collect();
        Self::new(if is_conflict { Code::NotPossible } else { Code::InvalidRequest }, told.join("; "))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => Self::new(Code::NotFound, error.to_string()),
            StoreError::Unavailable(cause) => unavailable(&cause),
            StoreError::Inconsistent { .. } => inconsistent(&error.to_string()),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Invalid(problem) => Self::new(Code::InvalidRequest, problem),
            PublishError::IdempotencyConflict { .. } => Self::new(Code::IdempotencyConflict, error.to_string()),
            PublishError::Unavailable(cause) => unavailable(&cause),
        }
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::new(Code::InvalidId, error.to_string())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        let text = rejection.body_text();
        let detail = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Self::new(Code::InvalidQuery, detail)
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Self::new(Code::PayloadTooLarge, "the request body is larger than `limits.body_bytes` allows");
        }
        Self::new(Code::InvalidRequest, "the request body did not come whole")
    }
}
