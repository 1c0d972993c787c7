//! What was written, in the order of commits: for whoever follows it from a position on.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::ids::{AttemptId, DeliveryId, DestinationId, EventId, OrganizationId, SourceId};
use crate::model::{DeliveryState, Event, Outcome};

/// What of a feed is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FeedFilter {
    /// Only this source's events, and what is owed for them.
    pub source: Option<SourceId>,
    /// Only events of this type, and what is owed for them.
    pub event_type: Option<String>,
    /// Only attempts at this destination.
    pub destination: Option<DestinationId>,
    /// Only events received at this time or later.
    pub from: Option<Timestamp>,
}

/// The next stretch of a feed.
#[derive(Debug, Clone, PartialEq)]
pub struct Stretch<T> {
    /// Oldest first.
    pub items: Vec<T>,
    /// After which position it begins.
    pub began: i64,
    /// Where it goes on: everything up to here was looked at.
    pub position: i64,
    /// Whether there is nothing behind it yet.
    pub is_end: bool,
}

/// An attempt with what it was for.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowedAttempt {
    /// Its id.
    pub id: AttemptId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its place among the delivery's attempts, from 1.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The receiver's HTTP status, if it answered.
    pub status: Option<u16>,
    /// One sentence about the outcome, where there is something to say.
    pub detail: String,
    /// The event.
    pub event: EventId,
    /// Its type.
    pub event_type: String,
    /// Its source's name.
    pub source: String,
    /// The destination's name.
    pub destination: String,
    /// What the delivery is by now.
    pub state: DeliveryState,
}

/// Reading forward. One look reads a bounded stretch, whatever it finds.
#[async_trait]
pub trait Feeds: Send + Sync {
    /// Events committed after a position.
    async fn events_after(
        &self,
        organization: OrganizationId,
        filter: FeedFilter,
        after: i64,
        limit: u32,
    ) -> Result<Stretch<Event>, StoreError>;

    /// Attempts settled after a position.
    async fn attempts_after(
        &self,
        organization: OrganizationId,
        filter: FeedFilter,
        after: i64,
        limit: u32,
    ) -> Result<Stretch<FollowedAttempt>, StoreError>;

    /// The position before the first event received at `from` or later, give or take the minute in which concurrent
    /// events may be out of order; the end of the feed without one.
    async fn event_position(&self, from: Option<Timestamp>) -> Result<i64, StoreError>;

    /// The end of the feed of attempts.
    async fn attempt_position(&self) -> Result<i64, StoreError>;
}
