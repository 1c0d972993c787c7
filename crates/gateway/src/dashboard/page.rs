//! What a page answers with: a whole document, a way elsewhere, or why there is neither.

use askama::Template;
use axum::response::{IntoResponse, Response};
use hookward_engine::EngineError;
use hookward_engine::accounts::AccountError;
use hookward_engine::store::StoreError;
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::preferences::Preferences;
use super::shell::Lone;
use crate::api::problem::Problem;

/// What stands unescaped in a part of a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A document.
#[derive(Debug)]
pub(super) struct Page<T>(pub(in crate::dashboard) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        with_status(StatusCode::OK, &self.0)
    }
}

/// A document that says why something was not done, with the status for it.
#[derive(Debug)]
pub(super) struct Refused<T>(pub(in crate::dashboard) StatusCode, pub(in crate::dashboard) T);

impl<T: Template> IntoResponse for Refused<T> {
    fn into_response(self) -> Response {
        with_status(self.0, &self.1)
    }
}

fn with_status(status: StatusCode, template: &impl Template) -> Response {
    let html = template.render().expect("a template writes into memory");
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], html).into_response()
}

/// Goes on at another page: what follows a form that was taken.
pub(super) fn see_other(path: &str) -> Response {
    let to = HeaderValue::from_str(path).expect("paths are escaped");
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Goes to where one signs in, and from there back.
pub(super) fn sign_in_first(back: Option<&str>) -> Response {
    match back {
        Some(back) if back != "/dashboard" => see_other(&format!("/dashboard/sign-in?next={}", escaped(back))),
        _ => see_other("/dashboard/sign-in"),
    }
}

/// A path of the dashboard that came from outside, or its first page if it is anything else.
pub(super) fn own_path(path: &str) -> &str {
    let is_inside = path == "/dashboard" || path.starts_with("/dashboard/") || path.starts_with("/dashboard?");
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_inside && is_plain { path } else { "/dashboard" }
}

/// An address at `path` that says these things besides.
pub(super) fn address(path: &str, query: &[(&str, &str)]) -> String {
    let query = serde_urlencoded::to_string(query).expect("pairs of texts can be written");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Text as a part of a path or a query.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// A sentence of the engine or the API, which begins small and ends without a stop, as pages write them.
pub(super) fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Failure {
    /// A small page of its own says so.
    Said {
        /// How it is answered.
        status: StatusCode,
        /// One sentence.
        detail: String,
        /// When to try again, if later helps.
        retry_after_s: Option<u64>,
    },
    /// Something else comes first, at this path.
    First(String),
}

#[derive(Template)]
#[template(path = "dashboard/failure.html")]
struct Shown<'a> {
    lone: Lone,
    title: &'a str,
    detail: &'a str,
}

impl Failure {
    /// There is nothing there, or it is somebody else's.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::said(StatusCode::NOT_FOUND, detail)
    }

    /// It is there, and not for this visitor.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::said(StatusCode::FORBIDDEN, detail)
    }

    /// What to say beside a form that may be sent again, with the status for it, if what was sent is what is wrong. Other
    /// failures stay failures.
    pub(super) fn into_words(self) -> Result<(StatusCode, String), Self> {
        match self {
            Self::Said { status, detail, .. } if status.is_client_error() && status != StatusCode::NOT_FOUND => {
                Ok((status, detail))
            }
            other => Err(other),
        }
    }

    /// It is answered with this status.
    pub(super) fn said(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::Said { status, detail: detail.into(), retry_after_s: None }
    }

    /// It cannot be understood.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::said(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, detail, retry_after_s) = match self {
            Self::First(path) => return see_other(&path),
            Self::Said { status, detail, retry_after_s } => (status, detail, retry_after_s),
        };
        let title = match status {
            StatusCode::NOT_FOUND => "Not here",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::TOO_MANY_REQUESTS => "Too often",
            status if status.is_server_error() => "Not now",
            _ => "That did not work",
        };
        let mut response =
            with_status(status, &Shown { lone: Lone::new(Preferences::default()), title, detail: &detail });
        if let Some(seconds) = retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let (status, retry_after_s) = (problem.status(), problem.retry_after_s());
        Self::Said { status, detail: sentence(problem.detail()), retry_after_s }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Problem::from(error).into()
    }
}

impl From<AccountError> for Failure {
    fn from(error: AccountError) -> Self {
        Problem::from(error).into()
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Problem::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for own in ["/dashboard", "/dashboard/events?source=a%20b", "/dashboard?notice=x"] {
            assert_eq!(own_path(own), own);
        }
        for other in
            ["", "https://evil.example", "//evil.example", "/dashboards", "/dashboard/\\evil", "/dashboard/\r\nx: y"]
        {
            assert_eq!(own_path(other), "/dashboard", "{other:?}");
        }
    }
}
