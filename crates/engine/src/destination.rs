//! One try, one outcome: what every destination kind takes and gives back.
//! Knows no store, no schedule, no retry. Each kind is a module below.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::ids::{DeliveryId, EventId};
use crate::model::{Outcome, RequestRecord};

/// What one attempt has to carry.
#[derive(Debug)]
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
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status, when an answer came.
    pub status: Option<u16>,
    /// `Retry-After` as the answer gave it, from now; not yet clamped.
    pub retry_after: Option<Duration>,
    /// The first bytes of the answer or the output.
    pub excerpt: Bytes,
    /// One sentence: what went wrong, empty on success.
    pub detail: String,
}
