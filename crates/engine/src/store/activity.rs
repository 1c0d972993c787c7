//! What happened, as people look for it: events with how their deliveries stand, found by what is known of either.
//! A look is bounded: it steps over so many rows at most, and says how far it came.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::{Page, StoreError};
use crate::clock::Timestamp;
use crate::ids::{AttemptId, DeliveryId, DestinationId, EventId, OrganizationId, SourceId};
use crate::model::{Delivery, Event, Outcome};

/// Which events, by themselves and by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    /// Only this source's.
    pub source: Option<SourceId>,
    /// Only of this type; `*` stands for any run of characters.
    pub event_type: Option<String>,
    /// Only those that the sender calls so. Originals are found as long as their dedup key is remembered.
    pub delivery_id: Option<String>,
    /// Only duplicates, or only originals.
    pub duplicate: Option<bool>,
    /// Only those received at this time or later.
    pub from: Option<Timestamp>,
    /// Only those received before this time.
    pub until: Option<Timestamp>,
    /// Only those with a delivery to this destination; what follows is then asked of that delivery.
    pub destination: Option<DestinationId>,
    /// Only those of which the latest delivery to some destination is in this state, as in a `DeliveryFilter`.
    pub state: Option<String>,
    /// Only those of which an attempt ended so.
    pub ended: Option<Ended>,
    /// Only what stands after this position: [`Activities::newest`] of an earlier look.
    pub after: Option<i64>,
}

/// How an attempt ended, as far as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// With an answer of one of these statuses.
    Status(RangeInclusive<u16>),
    /// With this outcome.
    Outcome(Outcome),
}

/// An event with how its deliveries stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// `before` of the page that begins behind it.
    pub position: i64,
    /// The event.
    pub event: Event,
    /// The latest delivery to each destination, latest first; of very many the latest ones.
    pub deliveries: Vec<Standing>,
}

/// A delivery and how its last attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The delivery.
    pub delivery: Delivery,
    /// Its last attempt that is over.
    pub last: Option<LastAttempt>,
}

/// How the last attempt of a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAttempt {
    /// How.
    pub outcome: Outcome,
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// What a program ended with.
    pub exit_code: Option<i32>,
}

/// What one look found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Activities {
    /// Newest first: by event; where a destination or a state is asked for that picks few deliveries, by delivery.
    pub items: Vec<Activity>,
    /// `before` of the next look, if there is anything left to look at.
    pub next: Option<i64>,
    /// The end of what was looked at: with `after`, a later look with the same filter finds what came since.
    pub newest: i64,
    /// How far back it looked when it stopped before its page was full.
    pub looked_back_to: Option<Timestamp>,
}

/// Looking at what happened.
#[async_trait]
pub trait ActivityLog: Send + Sync {
    /// One page of what a filter picks.
    async fn activity(
        &self,
        organization: OrganizationId,
        filter: ActivityFilter,
        page: Page,
    ) -> Result<Activities, StoreError>;

    /// How the deliveries of these events stand. Those that are not there are left out.
    async fn standing(
        &self,
        organization: OrganizationId,
        events: Vec<EventId>,
    ) -> Result<Vec<(EventId, Vec<Standing>)>, StoreError>;

    /// The delivery that an attempt was made for.
    async fn delivery_of(&self, organization: OrganizationId, attempt: AttemptId) -> Result<DeliveryId, StoreError>;
}
