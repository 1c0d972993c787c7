//! One authenticated JSON call to a code host's API, and how its answer becomes a report when it is not a success.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::clock::{Clock, Timestamp};
use crate::destination::Report;
use crate::destination::http::exchange::Trace;
use crate::destination::http::retry_after;
use crate::egress::HttpClient;
use crate::model::{Exchange, Outcome, RESPONSE_EXCERPT_MAX, ReportProvider};

/// The longest answer that is read, in bytes: a page of comments.
const ANSWER_MAX: usize = 8 << 20;

/// How many comments are asked for at once, and how many pages of them are looked through.
const PAGE_LENGTH: usize = 50;
const PAGES_MAX: usize = 20;

/// A call that did not succeed, as the attempt's report.
pub(super) type Failed = Box<Report>;

/// Where an API is, and how it is called.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) client: &'a HttpClient,
    pub(super) base: &'a str,
    pub(super) first_byte: Option<Duration>,
}

/// A code host's API as one attempt uses it.
pub(super) struct Api<'a> {
    place: Place<'a>,
    /// What was exchanged last.
    last: Mutex<Option<Exchange>>,
    provider: ReportProvider,
    authorization: Option<HeaderValue>,
    clock: &'a dyn Clock,
}

/// A comment as both hosts list it.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) body: Option<String>,
}

impl<'a> Api<'a> {
    pub(super) fn new(
        place: Place<'a>,
        provider: ReportProvider,
        signature: &[(String, String)],
        clock: &'a dyn Clock,
    ) -> Self {
        let given = signature.iter().find(|(name, _)| AUTHORIZATION == name.to_ascii_lowercase().as_str());
        let authorization = given.and_then(|(_, value)| {
            let mut value = HeaderValue::from_str(value).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { place, last: Mutex::default(), provider, authorization, clock }
    }

    /// What the last call exchanged: the one that failed, if one did.
    pub(super) fn last(self) -> Option<Exchange> {
        self.last.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends `body` and requires a success; what it answers is not needed.
    pub(super) async fn send(&self, method: Method, path: &str, body: &Value) -> Result<(), Failed> {
        let (status, answer, retry_after) = self.call(&method, path, Some(body)).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(refused(&method, path, status, answer, retry_after)),
        }
    }

    /// Whether `body` was taken; `false` when the host says that this thing is not ours to change, or not there.
    pub(super) async fn change(&self, method: Method, path: &str, body: &Value) -> Result<bool, Failed> {
        let (status, answer, retry_after) = self.call(&method, path, Some(body)).await?;
        match status {
            status if status.is_success() => Ok(true),
            // With these the host also says that we are too fast; then it says when to come back.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND if retry_after.is_none() => Ok(false),
            status => Err(refused(&method, path, status, answer, retry_after)),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failed> {
        let (status, answer, retry_after) = self.call(&Method::GET, path, None).await?;
        if !status.is_success() {
            return Err(refused(&Method::GET, path, status, answer, retry_after));
        }
        serde_json::from_slice(&answer).map_err(|error| {
            let detail = format!("GET {path} answered what its API does not say: {error}");
            Box::new(Report::failed(Outcome::Broken, detail))
        })
    }

    /// The comments below `path` that begin with `mark`, newest first.
    pub(super) async fn marked(&self, path: &str, mark: &str) -> Result<Vec<u64>, Failed> {
        let mut ids = Vec::new();
        for page in 1..=PAGES_MAX {
            let comments: Vec<Comment> = self.get(&format!("{path}?per_page={PAGE_LENGTH}&page={page}")).await?;
            let last = comments.len() < PAGE_LENGTH;
            let ours = comments.into_iter().filter(|comment| is_marked(comment.body.as_deref(), mark));
            ids.extend(ours.map(|comment| comment.id));
            if last {
                break;
            }
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        Ok(ids)
    }

    async fn call(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes, Option<Duration>), Failed> {
        let unusable = |problem: String| Box::new(Report::failed(Outcome::Unusable, problem));
        let content = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::builder().method(method.clone()).uri(format!("{}{path}", self.place.base));
        if let Some(headers) = request.headers_mut() {
            headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Hookward/", env!("CARGO_PKG_VERSION"))));
            let accept = match self.provider {
                ReportProvider::Github => "application/vnd.github+json",
                ReportProvider::Gitlab => "application/json",
            };
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            if self.provider == ReportProvider::Github {
                let name = HeaderName::from_static("x-github-api-version");
                headers.insert(name, HeaderValue::from_static("2022-11-28"));
            }
            if body.is_some() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            }
            if let Some(authorization) = &self.authorization {
                headers.insert(AUTHORIZATION, authorization.clone());
            }
        }
        let mut request =
            request.body(Full::new(content)).map_err(|error| unusable(format!("{method} {path}: {error}")))?;
        let target = format!("{}{}", self.place.base, path.split('?').next().unwrap_or(path));
        let mut trace = Trace::begin(target, &mut request);
        let answer = self.exchange(&mut trace, request).await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(trace.finish());
        let (status, headers, answer) = answer?;
        let answer = answer.map_err(|problem| {
            Box::new(Report::failed(Outcome::Broken, format!("{method} {path} answered {status}: {problem}")))
        })?;
        Ok((status, answer, wait_asked(&headers, self.clock.now())))
    }

    /// The answer, and its body or why that could not be read.
    async fn exchange(
        &self,
        trace: &mut Trace,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Result<Bytes, String>), Failed> {
        let response = trace.send(self.place.client, request, self.place.first_byte).await.map_err(Box::new)?;
        let (head, body) = response.into_parts();
        Ok((head.status, head.headers, read(body).await))
    }
}

/// How long the host asks us to wait: `Retry-After`, or GitHub's own way of saying that the hour's calls are used up.
fn wait_asked(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
    let used_up = number("x-ratelimit-remaining") == Some(0);
    let reset = || number("x-ratelimit-reset").filter(|_| used_up);
    let until_reset = || Some(Timestamp::from_millis(reset()?.checked_mul(1000)?).since(now));
    retry_after::parse(headers, now).or_else(until_reset)
}

/// Both hosts may trim what they are given, or turn its line ends around.
fn is_marked(body: Option<&str>, mark: &str) -> bool {
    body.is_some_and(|body| body.trim_start().starts_with(mark))
}

async fn read(mut body: Incoming) -> Result<Bytes, String> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| format!("the answer broke off: {error}"))?;
        let Some(data) = frame.data_ref() else { continue };
        if whole.len() + data.len() > ANSWER_MAX {
            return Err(format!("the answer is longer than {ANSWER_MAX} bytes"));
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

fn refused(method: &Method, path: &str, status: StatusCode, answer: Bytes, retry_after: Option<Duration>) -> Failed {
    let path = path.split('?').next().unwrap_or(path);
    // A repository that is gone does not make the host gone: no status that would disable the destination.
    let shown = (status != StatusCode::GONE).then_some(status.as_u16());
    Box::new(Report {
        status: shown,
        retry_after,
        excerpt: answer.slice(..answer.len().min(RESPONSE_EXCERPT_MAX)),
        ..Report::failed(Outcome::Status, format!("{method} {path} answered {}", status.as_u16()))
    })
}
