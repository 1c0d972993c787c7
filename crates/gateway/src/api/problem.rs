//! Problem documents (RFC 9457): a stable code, one sentence, nothing about causes inside.
//! Owns which code has which status; the cause is logged here, once.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use hookward::SchemeError;
use hookward_engine::accounts::AccountError;
use hookward_engine::event_types::Misfit;
use hookward_engine::ids::InvalidId;
use hookward_engine::store::StoreError;
use hookward_engine::{EngineError, PublishError};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;

use crate::declaring::Refused;

macro_rules! codes {
    ($($name:ident $text:literal $status:ident $meaning:literal;)*) => {
        /// What went wrong, for programs. Codes never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
        #[schemars(inline)]
        pub(crate) enum Code {$(
            #[doc = $meaning]
            #[serde(rename = $text)]
            $name,
        )*}

        impl Code {
            /// Its status.
            pub(crate) fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)*
                }
            }

            /// As it stands in a document.
            pub(crate) fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What it means, for people.
            pub(crate) fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)*
                }
            }
        }
    };
}

codes! {
    MalformedRequest "malformed_request" BAD_REQUEST "the body is not JSON, or did not come whole";
    Unauthorized "unauthorized" UNAUTHORIZED "no key, or not one that is valid";
    SecondFactorNeeded "second_factor_needed" UNAUTHORIZED "a code of the second factor is needed as well";
    Forbidden "forbidden" FORBIDDEN "the key lacks the scope that this needs";
    NotFound "not_found" NOT_FOUND "there is no such thing, or it is another organization's";
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "the path does not take that method";
    NotPossible "not_possible" CONFLICT "the thing is in a state in which this cannot be done, or was changed at another node at the same moment";
    IdempotencyConflict "idempotency_conflict" CONFLICT "the `Idempotency-Key` was used for another request";
    IdempotencyUnderWay "idempotency_under_way" CONFLICT "the same request is being carried out now";
    IdempotencyUnfinished "idempotency_unfinished" CONFLICT "the same request was interrupted, so that it may or may not have been carried out";
    IdempotencyShownOnce "idempotency_shown_once" CONFLICT "the same request was carried out, and its answer held a secret that is shown once";
    ConfirmationRequired "confirmation_required" PRECONDITION_REQUIRED "this has to be confirmed, by a body or by `If-Match`";
    Stale "stale" PRECONDITION_FAILED "what `If-Match` names is not the newest any more";
    PayloadTooLarge "payload_too_large" PAYLOAD_TOO_LARGE "the body is larger than is taken here";
    UnsupportedMediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "the body is not sent as `application/json`";
    InvalidQuery "invalid_query" UNPROCESSABLE_ENTITY "the query has a field or a value that is not taken";
    InvalidLimit "invalid_limit" UNPROCESSABLE_ENTITY "`limit` is out of its range";
    InvalidCursor "invalid_cursor" UNPROCESSABLE_ENTITY "`cursor` is not one that this list gave";
    InvalidRequest "invalid_request" UNPROCESSABLE_ENTITY "the body or a header says something that cannot be done";
    SchemeRefused "scheme_refused" UNPROCESSABLE_ENTITY "the scheme file cannot be used";
    PayloadRefused "payload_refused" UNPROCESSABLE_ENTITY "the payload does not fit the schema of its type";
    TooOften "too_often" TOO_MANY_REQUESTS "this was done too often lately: try again later";
    Inconsistent "inconsistent" INTERNAL_SERVER_ERROR "kept data breaks its own rules, and an operator must look";
    Unavailable "unavailable" SERVICE_UNAVAILABLE "the store or the key service does not answer now: try again";
}

impl Code {
    /// The headers that a problem of this status comes with, and what they say.
    pub(crate) fn headers(status: StatusCode) -> &'static [(&'static str, &'static str)] {
        match status {
            StatusCode::UNAUTHORIZED => &[("WWW-Authenticate", "How to authenticate.")],
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                &[("Retry-After", "In how many seconds to try again.")]
            }
            _ => &[],
        }
    }
}

/// An answer that says why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Code,
    detail: String,
    /// Where a payload does not fit.
    errors: Vec<Misplaced>,
    /// Where a scheme file is wrong.
    place: Option<Place>,
    /// When to try again, if later helps.
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of this code; `detail` is one sentence for the caller.
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let retry_after_s = (code == Code::Unavailable).then_some(5);
        Self { code, detail: detail.into(), errors: Vec::new(), place: None, retry_after_s }
    }

    /// A payload does not fit in these places.
    pub(crate) fn misfits(misfits: Vec<Misfit>) -> Self {
        let errors: Vec<_> = misfits.into_iter().map(Misplaced::from).collect();
        let told = errors.iter().map(|error| format!("`{}`: {}", error.pointer.escape_debug(), error.detail));
        let detail = format!("the payload does not fit its type: {}", told.collect::<Vec<_>>().join("; "));
        Self { errors, ..Self::new(Code::PayloadRefused, detail) }
    }

    /// Its code, for an answer that tells of several things.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The status that it is answered with.
    pub(crate) fn status(&self) -> StatusCode {
        self.code.status()
    }

    /// In how many seconds to try again, if later helps.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_s
    }

    /// One sentence, which begins small and has no stop.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// What it says and where, likewise.
    pub(crate) fn into_words(self) -> (String, Vec<Misplaced>) {
        (self.detail, self.errors)
    }

    /// The same, said of a query.
    pub(crate) fn of_query(self) -> Self {
        Self { code: Code::InvalidQuery, ..self }
    }

    /// The caller may come again after `wait`.
    pub(crate) fn too_often(detail: impl Into<String>, wait: Duration) -> Self {
        let retry_after_s = Some(wait.as_secs() + 1);
        Self { retry_after_s, ..Self::new(Code::TooOften, detail) }
    }
}

/// What went wrong (RFC 9457).
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// For programs: it never changes its meaning.
    code: Code,
    /// For people: one sentence.
    detail: &'a str,
    /// Where a payload does not fit; only with `payload_refused`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Misplaced],
    /// Where a scheme file is wrong; only with `scheme_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a Place>,
}

/// A place in a text that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "SchemeError")]
pub(crate) struct Place {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, in characters from 1.
    pub(crate) column: usize,
    /// The known name nearest to one that is not known.
    nearest: Option<String>,
}

/// A place in a payload that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "PayloadError")]
pub(crate) struct Misplaced {
    /// The JSON pointer to it in the payload; empty for the whole.
    #[schemars(example = &"/amount")]
    pub(crate) pointer: String,
    /// Why.
    pub(crate) detail: String,
}

impl From<Misfit> for Misplaced {
    fn from(misfit: Misfit) -> Self {
        Self { pointer: misfit.pointer, detail: misfit.message }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let title = status.canonical_reason().unwrap_or("");
        let Self { code, detail, errors, place, .. } = &self;
        let place = place.as_ref();
        let document =
            Document { kind: "about:blank", title, status: status.as_u16(), code: *code, detail, errors, place };
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
            EngineError::Moved => Self::new(Code::NotPossible, EngineError::Moved.to_string()),
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
            Refused::Scheme(error) => return error.into(),
            Refused::Problems(problems) => problems,
        };
        let is_conflict = problems.iter().all(|problem| problem.is_conflict);
        let told: Vec<String> =
            problems.into_iter().map(|problem| format!("`{}`: {}", problem.pointer, problem.message)).collect();
        Self::new(if is_conflict { Code::NotPossible } else { Code::InvalidRequest }, told.join("; "))
    }
}

impl From<SchemeError> for Problem {
    fn from(error: SchemeError) -> Self {
        let told = Self::new(Code::SchemeRefused, error.to_string());
        Self { place: Some(Place { line: error.line, column: error.column, nearest: error.nearest }), ..told }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Moved => EngineError::Moved.into(),
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
            PublishError::Misfits(misfits) => Self::misfits(misfits),
            PublishError::IdempotencyConflict { .. } => Self::new(Code::IdempotencyConflict, error.to_string()),
            PublishError::Unavailable(cause) => unavailable(&cause),
        }
    }
}

/// In a path an id is read by `extract`; this is one in a query.
impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::new(Code::InvalidQuery, error.to_string())
    }
}
