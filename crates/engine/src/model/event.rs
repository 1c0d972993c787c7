//! One accepted, committed, immutable fact, and the request that brought it.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::ids::{DestinationId, EventId, OrganizationId, SourceId};

/// One accepted, committed, immutable fact, without its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its identity.
    pub id: EventId,
    /// Who owns it.
    pub organization: OrganizationId,
    /// The door it came through.
    pub source: SourceId,
    /// That door's name; the API's own door is `publish`.
    pub source_name: String,
    /// The event type; empty when the sender named none.
    pub event_type: String,
    /// The sender's own id for this delivery, if it has one.
    pub delivery_id: Option<String>,
    /// When it was committed.
    pub received_at: Timestamp,
    /// What was proven about it. JSON object, shape owned by `receive`.
    pub verdict: serde_json::Value,
    /// The request line and headers as kept: credentials redacted.
    pub request: RequestRecord,
    /// The body's length in bytes.
    pub body_len: u64,
    /// The body's SHA-256.
    pub body_sha256: [u8; 32],
    /// The event that this one repeats, if it is a duplicate.
    pub duplicate_of: Option<EventId>,
    /// When retention took its body, headers, deliveries and attempts; `None` while they are there.
    pub stripped_at: Option<Timestamp>,
}

/// A destination that hears an event and is not owed it, where that is worth saying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Which destination.
    pub destination: DestinationId,
    /// That destination's name.
    pub destination_name: String,
    /// Why.
    pub reason: PassedOverReason,
}

/// Why a destination is not owed an event that it hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PassedOverReason {
    /// An expression that decides about it could not be evaluated.
    FilterFailed {
        /// What went wrong, in one sentence.
        detail: String,
    },
    /// An earlier event with the same `once_per` value has it.
    Once {
        /// That event.
        first: EventId,
    },
}

/// What stands in a kept request where a credential stood. A header whose value contains it is never forwarded.
pub const REDACTED: &str = "[redacted]";

/// The parts of a request worth keeping, credentials already redacted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestRecord {
    /// `POST`, …
    pub method: String,
    /// Path and query, without credentials.
    pub target: String,
    /// In order of arrival; names lower case; values as they came (any bytes but CR, LF, NUL).
    pub headers: Vec<(String, Bytes)>,
    /// The peer's address as the gateway saw it.
    pub remote: String,
}
