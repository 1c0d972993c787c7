//! One try, one outcome: what every destination kind takes and gives back.
//! Knows no store, no schedule, no retry. Each kind is a module below.

pub mod command;
pub mod http;
pub mod oauth2;
pub mod report;
pub mod slack;

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::egress::{Blocked, CertificateProblem, UrlProblem};
use crate::ids::{DeliveryId, EventId};
use crate::model::{Concluded, Exchange, KeptOutput, Outcome, RequestRecord};
use crate::output::Output;

use slack::template::TemplateError;

/// Settings of a destination that can never work: whoever wrote them has to change them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// The URL is not one that is delivered to. The URL itself is not repeated: it may carry a token.
    #[error("url: {0}")]
    Url(#[from] UrlProblem),
    /// The URL names an address that the egress guard refuses.
    #[error("url: {0}")]
    Blocked(#[from] Blocked),
    /// A header that cannot be forwarded or set.
    #[error("header `{name}` {problem}")]
    Header {
        /// The header as it was written.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The extra certificates are not PEM certificates.
    #[error("extra root certificates: {0}")]
    Roots(String),
    /// The command or its environment cannot be handed to the operating system.
    #[error("command: {0}")]
    Command(String),
    /// No access token can be had.
    #[error("oauth2: {0}")]
    OAuth2(String),
    /// The certificate cannot be shown.
    #[error("mtls: {0}")]
    Certificate(#[from] CertificateProblem),
    /// What is to be posted cannot be made.
    #[error("template: {0}")]
    Template(TemplateError),
}

/// What one attempt has to carry.
#[derive(Debug, Clone)]
pub struct Parcel<'a> {
    /// The event's identity.
    pub event: EventId,
    /// The delivery's identity: the same in every attempt.
    pub delivery: DeliveryId,
    /// 1 for the first attempt.
    pub number: u32,
    /// The event type; may be empty.
    pub event_type: &'a str,
    /// The source's name.
    pub source: &'a str,
    /// The sender's own delivery id, if any.
    pub delivery_id: Option<&'a str>,
    /// When the event was accepted.
    pub received_at: Timestamp,
    /// The request as kept.
    pub request: &'a RequestRecord,
    /// The raw bytes.
    pub body: Bytes,
    /// Headers of a new signature, made for this attempt.
    pub signature: Vec<(String, String)>,
    /// The end of another delivery, for an attempt that tells of it.
    pub concluded: Option<&'a Concluded>,
    /// How many events of its order key were given up since the last that was delivered.
    pub skipped: u32,
    /// Cancelled when the attempt is to end early.
    pub called_off: &'a CancellationToken,
    /// Takes what a program writes.
    pub output: &'a Output,
}

impl Parcel<'_> {
    /// The JSON text that the event's body is, or that it carries in a form; whether it is JSON is for its reader to find
    /// out.
    fn json_text(&self) -> Cow<'_, [u8]> {
        let content_type = self.request.headers.iter().find(|(name, _)| name == "content-type");
        let content_type = content_type.map(|(_, value)| value.as_ref());
        hookward::json_text(content_type, &self.body).unwrap_or_default()
    }
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status, when an answer came.
    pub status: Option<u16>,
    /// The program's exit status, when it ended with one.
    pub exit_code: Option<i32>,
    /// `Retry-After` as the answer gave it, from now; not yet clamped.
    pub retry_after: Option<Duration>,
    /// The first bytes of the answer or the output.
    pub excerpt: Bytes,
    /// One sentence: what went wrong, empty on success.
    pub detail: String,
    /// What the program wrote, if one was started.
    pub output: Option<KeptOutput>,
    /// What was sent and what came back, where a request was made.
    pub exchange: Option<Exchange>,
}

impl Report {
    /// A try that ended without an answer.
    pub fn failed(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            status: None,
            exit_code: None,
            retry_after: None,
            excerpt: Bytes::new(),
            detail: detail.into(),
            output: None,
            exchange: None,
        }
    }
}

/// A time as people and programs read it: RFC 3339, to the millisecond.
fn rfc3339(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
