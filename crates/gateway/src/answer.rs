//! Answers to senders, prepared once so that a request costs no formatting.
//! Owns how a configured answer becomes a response; which answer is given is `ingest`'s decision.

use bytes::Bytes;
use hookward::Handshake;
use hookward_engine::store::Committed;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use crate::config::Answer;

/// A response whose body is whole.
pub(crate) type Whole = Response<Full<Bytes>>;

/// What stands for the event's id in a configured body.
const EVENT_ID: &str = "{event_id}";

/// An answer that is ready to be sent.
#[derive(Debug)]
pub(crate) struct Prepared {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    extra: Option<(HeaderName, HeaderValue)>,
    /// The body's text around the places where the event's id stands.
    pieces: Vec<String>,
    constant: Bytes,
}

impl Prepared {
    /// Prepares `answer`, or says what makes it impossible.
    pub(crate) fn new(answer: &Answer) -> Result<Self, String> {
        let status = StatusCode::from_u16(answer.status).map_err(|_| format!("status {} is none", answer.status))?;
        let kind = HeaderValue::from_str(&answer.content_type)
            .map_err(|_| format!("`{}` is not a content type", answer.content_type.escape_debug()))?;
        Ok(Self {
            status,
            content_type: Some(kind).filter(|_| !answer.body.is_empty()),
            extra: None,
            pieces: answer.body.split(EVENT_ID).map(str::to_owned).collect(),
            constant: Bytes::copy_from_slice(answer.body.as_bytes()),
        })
    }

    /// An answer of our own, in JSON.
    pub(crate) fn error(status: StatusCode, words: &str) -> Self {
        let body = format!(r#"{{"error":"{words}"}}"#);
        Self::new(&Answer::json(status.as_u16(), &body)).expect("a status, and plain words")
    }

    /// The same with one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.extra = Some((name, value));
        self
    }

    /// Its status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The answer about an event that is on disk: an ingest's success is made of nothing else.
    pub(crate) fn about(&self, committed: &Committed) -> Whole {
        match self.pieces.as_slice() {
            [_] => self.send(),
            pieces => self.respond(pieces.join(&committed.first_event().to_string()).into()),
        }
    }

    /// The answer about nothing in particular.
    pub(crate) fn send(&self) -> Whole {
        self.respond(self.constant.clone())
    }

    fn respond(&self, body: Bytes) -> Whole {
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if let Some(kind) = &self.content_type {
            headers.insert(header::CONTENT_TYPE, kind.clone());
        }
        if let Some((name, value)) = &self.extra {
            headers.insert(name.clone(), value.clone());
        }
        response
    }
}

/// What a provider wants to hear. Whatever it asked with is never read as markup.
pub(crate) fn handshake(answer: Handshake) -> Whole {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    let headers = response.headers_mut();
    if let Some(kind) = answer.content_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for (name, value) in answer.headers {
        let name = HeaderName::try_from(name).expect("checked when the scheme was read");
        headers.insert(name, HeaderValue::try_from(value).expect("plain text, by the scheme"));
    }
    response
}

/// Marks a response as the last on its connection.
pub(crate) fn closing(mut response: Whole) -> Whole {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
