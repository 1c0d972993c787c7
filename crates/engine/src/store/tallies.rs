//! What happened, counted: by minute for some hours, by hour for a month and a bit. Counts are made of the feeds behind the
//! traffic, and whoever reads them has what is newer counted on top.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::ids::{DestinationId, OrganizationId};
use crate::tally::Latencies;

/// The spans that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Kept for seven hours.
    Minute,
    /// Kept for 35 days.
    Hour,
}

impl Span {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// How long one lasts.
    pub const fn length(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(60),
            Self::Hour => Duration::from_secs(3600),
        }
    }

    /// For how long counts are kept.
    pub const fn kept(self) -> Duration {
        match self {
            Self::Minute => Duration::from_secs(7 * 3600),
            Self::Hour => Duration::from_secs(35 * 86_400),
        }
    }
}

/// Which counts are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Of which spans they are made.
    pub span: Span,
    /// Where the first step begins.
    pub from: Timestamp,
    /// How long a step is: a multiple of the span's length.
    pub step: Duration,
}

/// What one door was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// New events.
    pub accepted: u64,
    /// Repeats of earlier ones.
    pub duplicates: u64,
    /// Requests that were not believed.
    pub refused: u64,
}

/// What came of attempts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempted {
    /// Those that delivered.
    pub succeeded: u64,
    /// Those that did not. What was called off, given back or interrupted is neither.
    pub failed: u64,
}

/// What came of attempts at one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtDestination {
    /// How many.
    pub attempted: Attempted,
    /// The last one that failed.
    pub failure: Option<LastFailure>,
}

/// The last attempt at a destination that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastFailure {
    /// When it ended.
    pub at: Timestamp,
    /// How, in one sentence.
    pub reason: String,
}

/// What happened in one step of a window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// At all doors.
    pub received: Received,
    /// At all destinations.
    pub attempted: Attempted,
    /// How long attempts took that a receiver answered, over HTTP.
    pub latencies: Latencies,
}

/// What was counted of an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tallied {
    /// The steps in which something happened, by their beginning.
    pub steps: BTreeMap<Timestamp, Step>,
    /// By door: a source's name, or a path at which no source could be told.
    pub doors: BTreeMap<String, Received>,
    /// By destination.
    pub destinations: BTreeMap<DestinationId, AtDestination>,
    /// When the oldest delivery was made that is pending or under way.
    pub oldest_outstanding: Option<Timestamp>,
    /// Whether there is more that is not counted yet, because so much came so quickly.
    pub is_behind: bool,
}

/// Counts of what happened.
#[async_trait]
pub trait Tallies: Send + Sync + std::fmt::Debug {
    /// What was counted of an organization, and what came since.
    async fn tallied(&self, organization: OrganizationId, window: Window) -> Result<Tallied, StoreError>;
}

/// The counting itself.
#[async_trait]
pub trait Tallying: Tallies {
    /// Counts a stretch of what is not counted yet, and forgets counts that are too old at `now`. Returns whether there is
    /// more.
    async fn tally(&self, now: Timestamp) -> Result<bool, StoreError>;
}
