//! The store's housekeeping verbs: what is kept for operators beside the pipeline's way, and what is cleaned up after it.

use std::collections::HashMap;

use async_trait::async_trait;

use super::{NewDelivery, StoreError};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, EventId, JobId, OrganizationId, SourceId};
use crate::model::{AuditEntry, JobRange, JobSpec, JobState, RedeliveryJob, RefusedRequest};

/// Events that a job looked at, and where it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Those that match, oldest first.
    pub events: Vec<LookedAt>,
    /// How many there were, matching or not.
    pub looked_at: u64,
    /// Where the next look begins; past the range's end when there is nothing left.
    pub next: i64,
}

/// An event that matches a job's filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedAt {
    /// The event.
    pub event: EventId,
    /// Its source.
    pub source_id: SourceId,
    /// Its source's name.
    pub source: String,
    /// Its type.
    pub event_type: String,
    /// The destinations at which its deliveries are as the job asks (a state, or what it recovers); `None` when it asks
    /// nothing of them.
    pub at: Option<Vec<DestinationId>>,
}

/// One step of a job, from one look.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStep {
    /// Which job.
    pub job: JobId,
    /// Where the look began: the step is written only if the job still stands there, and runs.
    pub from: i64,
    /// Where the job goes on.
    pub next: i64,
    /// How many events the look saw.
    pub looked_at: u64,
    /// What is to be redelivered, by event.
    pub deliveries: Vec<(EventId, Vec<NewDelivery>)>,
    /// When.
    pub now: Timestamp,
    /// The audit entry for the step that is the last.
    pub audit_done: AuditEntry,
}

/// A change of a job's state, by an operator or because it failed.
#[derive(Debug, Clone, PartialEq)]
pub struct JobChange {
    /// Which job.
    pub job: JobId,
    /// The states that it may be in.
    pub from: Vec<JobState>,
    /// The state that it comes into.
    pub to: JobState,
    /// Why it failed; empty otherwise.
    pub problem: String,
    /// Who did it, and when.
    pub audit: AuditEntry,
}

/// Events of one source that are to be stripped: the oldest first, a few at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strip {
    /// Whose.
    pub source: SourceId,
    /// Only those after this position.
    pub after: i64,
    /// Those received before this time.
    pub before: Option<Timestamp>,
    /// Those without which the bodies kept of the source would be no more than this, in bytes.
    pub size_bytes: Option<u64>,
    /// At most this many.
    pub events: u32,
    /// No more once their bodies have this many bytes.
    pub body_bytes: u64,
    /// When.
    pub now: Timestamp,
}

/// What came of a [`Strip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retained {
    /// How many events were stripped; those that are still owed were not.
    pub stripped: u32,
    /// Where to go on; `None` when the rest is neither too old nor too much.
    pub next: Option<i64>,
}

/// What is too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// Of each source, events received before this time. Of sources that are not here everything stays.
    pub before: HashMap<SourceId, Timestamp>,
    /// When.
    pub now: Timestamp,
}

/// What is kept of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOfSource {
    /// The source.
    pub source: SourceId,
    /// Its name; that of an organization other than the default one with the organization's before it: `acme/github`.
    pub name: String,
    /// Events that are not stripped.
    pub events: u64,
    /// Bytes of their bodies as they were received; a body that several share counts once.
    pub body_bytes: u64,
}

/// Housekeeping: nothing here is on an event's way.
#[async_trait]
pub trait Upkeep: Send + Sync + std::fmt::Debug {
    /// Keeps refused requests with their audit entries. Of each door the newest `keep` stay; older ones go in the same
    /// transaction.
    async fn refuse(&self, refused: Vec<RefusedRequest>, audit: Vec<AuditEntry>, keep: u32) -> Result<(), StoreError>;

    /// The positions of all events of now.
    async fn range(&self) -> Result<JobRange, StoreError>;

    /// Makes a job over all events of now of the organization that its audit entry names.
    async fn create_job(&self, id: JobId, spec: JobSpec, audit: AuditEntry) -> Result<RedeliveryJob, StoreError>;

    /// Jobs that go on, oldest first.
    async fn running_jobs(&self) -> Result<Vec<RedeliveryJob>, StoreError>;

    /// Looks at an organization's events from `range.next` on, at most `rows` of them and until `matches` were found. Events that retention
    /// has stripped do not match.
    async fn look(
        &self,
        organization: OrganizationId,
        spec: JobSpec,
        range: JobRange,
        rows: u32,
        matches: u32,
    ) -> Result<Look, StoreError>;

    /// Makes a step's deliveries and moves the job on, in one transaction. What the job asks of an event's deliveries is
    /// looked at again. `None` when the job does not stand where the step began or does not run: nothing was written.
    async fn advance(&self, step: JobStep) -> Result<Option<RedeliveryJob>, StoreError>;

    /// Changes a job's state. `Ok(false)` when it is in none of the states from which it may.
    async fn change_job(&self, change: JobChange) -> Result<bool, StoreError>;

    /// Strips old events of a source: body, headers, deliveries, attempts and outputs go, the row stays so that a repeat
    /// is still known. An event of which something is outstanding or held is passed over.
    async fn strip(&self, strip: Strip) -> Result<Retained, StoreError>;

    /// Removes the rows of stripped events to which no unexpired dedup key leads, and whose body nobody shares, at most
    /// `limit` in one step. Returns how many it looked at.
    async fn remove_rows(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError>;

    /// Adds up what several nodes count side by side: how much is kept, and how often secrets are used. What is counted does not
    /// depend on it, but how long that takes does. To be called every now and then.
    async fn fold(&self) -> Result<(), StoreError>;

    /// Makes room for what the coming days bring, where a store has to. To be called every now and then: what nobody
    /// called for is kept where there is room, but retention finds it less quickly.
    async fn make_room(&self) -> Result<(), StoreError>;

    /// Drops past days as a whole: of such a day everything is too old and nothing is outstanding or held. Rows of events to
    /// which an unexpired dedup key leads stay, stripped, and so do bodies that later events share. Returns how many days
    /// went; `None` on a store that has no days.
    async fn drop_days(&self, old: Old) -> Result<Option<u32>, StoreError>;
}
