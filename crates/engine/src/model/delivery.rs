//! One event owed to one destination: where it stands, and each try of it.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::durations::optional_micros;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, DeliveryId, DestinationId, EventId, NodeId};

/// One event owed to one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its identity, the same in every attempt.
    pub id: DeliveryId,
    /// The event owed.
    pub event: EventId,
    /// To whom.
    pub destination: DestinationId,
    /// That destination's name.
    pub destination_name: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it exists.
    pub cause: DeliveryCause,
    /// Attempts begun so far.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was called off while an attempt was under way; unless that succeeds, its end makes it cancelled.
    pub cancel_at: Option<Timestamp>,
    /// The newer event that made it superfluous.
    pub superseded_by: Option<EventId>,
    /// It is held because its attempts failed, and those behind it in its order key went on.
    pub parked: bool,
    /// How many deliveries of its order key were given up since the last that was delivered.
    pub skipped: u32,
    /// How many of its attempts looked whether the destination is back: they do not count for the schedule.
    pub probes: u32,
}

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waiting for its time.
    Pending {
        /// When it may be attempted.
        due_at: Timestamp,
    },
    /// A node is attempting it.
    Leased {
        /// When the lease ends by itself.
        until: Timestamp,
        /// Whose lease it is.
        node: NodeId,
    },
    /// A destination took it.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// It used its last attempt.
    Exhausted {
        /// When.
        at: Timestamp,
    },
    /// An operator called it off, or a newer event superseded it.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// Its destination is paused, disabled or left alone for a while, or it is parked: kept, and drained on resume.
    Held {
        /// Since when.
        since: Timestamp,
    },
    /// An earlier delivery of its order key is not over.
    Waiting {
        /// Since when.
        since: Timestamp,
    },
}

/// Why a delivery exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryCause {
    /// The event itself.
    Event,
    /// An operator asked for it again.
    Redelivery {
        /// The earlier delivery to the same destination, if there was one.
        of: Option<DeliveryId>,
    },
    /// It tells how another delivery of the event ended.
    Outcome {
        /// That delivery.
        of: DeliveryId,
    },
    /// A test sent from the product.
    Test,
}

/// One try of a delivery, as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its identity.
    pub id: AttemptId,
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Versions of the destination's secrets that signed it, newest first.
    pub signed_by: Vec<u32>,
    /// The HTTP status, when an answer came.
    pub status: Option<u16>,
    /// The program's exit status, when it ended with one.
    pub exit_code: Option<i32>,
    /// The first bytes of the answer or of the program's output, at most `RESPONSE_EXCERPT_MAX`.
    pub excerpt: Bytes,
    /// One sentence: what went wrong, empty on success.
    pub detail: String,
    /// Who made it; `None` for what is not known any more.
    pub node: Option<NodeId>,
    /// What was sent and what came back, where requests are made.
    pub exchange: Option<Exchange>,
}

/// One request and the head of its answer, without credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchange {
    /// How it was asked: `POST`, …
    pub method: String,
    /// Where the request went, without its query.
    pub target: String,
    /// The request's headers; credentials in them are redacted.
    pub request_headers: Vec<(String, Bytes)>,
    /// The answer's headers, as many as are kept; empty when none came.
    pub response_headers: Vec<(String, Bytes)>,
    /// How long each stage took.
    pub timings: Timings,
}

/// How long the stages of an exchange took, as far as they were reached. A connection that was kept from an earlier
/// exchange has none of the first three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// Finding the addresses.
    #[serde(default, rename = "resolve_us", with = "optional_micros", skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Duration>,
    /// TCP.
    #[serde(default, rename = "connect_us", with = "optional_micros", skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// TLS.
    #[serde(default, rename = "tls_us", with = "optional_micros", skip_serializing_if = "Option::is_none")]
    pub tls: Option<Duration>,
    /// From the last byte of the request that was sent before it, to the answer's first.
    #[serde(default, rename = "first_byte_us", with = "optional_micros", skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Duration>,
}

/// How a delivery ended, for whoever tells of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Concluded {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its destination's name.
    pub destination: String,
    /// Its last attempt.
    pub attempt: Attempt,
}

/// What a program wrote during an attempt: all of it, or its two ends with a line between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOutput {
    /// How much it wrote.
    pub total_bytes: u64,
    /// What is kept of it.
    pub bytes: Bytes,
}

/// The most that is kept with an attempt of a response body or a program's output, in bytes.
pub const RESPONSE_EXCERPT_MAX: usize = 16 * 1024;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A 2xx answer, or exit status 0.
    Success,
    /// An answer that is not 2xx.
    Status,
    /// The program ended with another status, or by a signal.
    Exit,
    /// The name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The deadline passed.
    Timeout,
    /// The connection broke before a whole answer.
    Broken,
    /// The egress guard refused the address.
    Blocked,
    /// The program could not be started.
    Spawn,
    /// The event's commit could not be fetched or checked out.
    Checkout,
    /// There was no usable secret to sign with, or settings that cannot work.
    Unusable,
    /// The process ended before the attempt did; nothing is known of its effect.
    Interrupted,
    /// It was called off while it ran.
    Cancelled,
    /// A consumer gave it back.
    Released,
}
