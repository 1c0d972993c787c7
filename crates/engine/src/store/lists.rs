//! Pages of lists, what is asked of them, and counts.

use crate::clock::Timestamp;
use crate::ids::{DestinationId, EventId, SourceId};

/// Where a page of a list starts and how long it is. Lists are newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only rows older than this position; `None` starts at the newest.
    pub before: Option<i64>,
    /// At most this many, 1 to 250.
    pub limit: u32,
}

impl Page {
    /// The most rows that a page has.
    pub const LIMIT_MAX: u32 = 250;

    /// Only rows before this position.
    pub(in crate::store) fn below(self) -> i64 {
        self.before.unwrap_or(i64::MAX)
    }

    /// How many rows to read: one more than the page shows, to know whether there is another page.
    pub(in crate::store) fn rows(self) -> u32 {
        self.limit.clamp(1, Self::LIMIT_MAX) + 1
    }

    /// The page out of the rows read, each with its position.
    pub(in crate::store) fn listing<T>(self, mut rows: Vec<(i64, T)>) -> Listing<T> {
        let more = rows.len() == self.rows() as usize;
        if more {
            rows.pop();
        }
        let next = rows.last().filter(|_| more).map(|(position, _)| *position);
        Listing { items: rows.into_iter().map(|(_, item)| item).collect(), next }
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// `before` of the next page, if there is one. Where what is asked for is seldom a page has fewer rows than its limit, or none,
    /// and the next one goes on behind what was looked at.
    pub next: Option<i64>,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only this source's.
    pub source: Option<SourceId>,
    /// Only this type.
    pub event_type: Option<String>,
    /// Only those with this delivery id. Originals are found as long as their dedup key is remembered.
    pub delivery_id: Option<String>,
    /// Only duplicates, or only originals.
    pub duplicate: Option<bool>,
    /// Only those received at this time or later.
    pub from: Option<Timestamp>,
    /// Only those received before this time.
    pub until: Option<Timestamp>,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Only this event's.
    pub event: Option<EventId>,
    /// Only this destination's.
    pub destination: Option<DestinationId>,
    /// Only in this state: `pending`, `leased`, `delivered`, `exhausted`, `cancelled`, `held`,
    /// `waiting`.
    pub state: Option<String>,
    /// Only those made at this time or later.
    pub from: Option<Timestamp>,
    /// Only those made before this time.
    pub until: Option<Timestamp>,
}

/// Which refused requests to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedFilter {
    /// Only those at this door: a source's name, or a path.
    pub door: Option<String>,
    /// Only those with this refusal's id.
    pub reason: Option<String>,
}

/// Counts for metrics and readiness.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Deliveries pending or leased.
    pub outstanding: u64,
    /// Deliveries held.
    pub held: u64,
    /// Deliveries that wait behind another of their order key.
    pub waiting: u64,
    /// The earliest due time among the pending.
    pub oldest_due: Option<Timestamp>,
}
