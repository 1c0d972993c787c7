//! The store's verbs: what the pipeline asks of whatever keeps its data. Tables are the stores' own business.
//! Every verb that changes something is durable (synced) when it returns `Ok`.

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::ids::{AttemptId, DeliveryId, DestinationId, EventId, JobId, NodeId, OrganizationId, RefusedId};
use crate::model::{
    Attempt, AuditEntry, Delivery, DeliveryCause, Destination, DestinationState, Event, EventType, KeptOutput,
    Organization, PassedOver, PrivateScheme, RedeliveryJob, RefusedRequest, SealedSecret, SecretOwner, Source,
};

mod accounts;
mod activity;
mod audit;
mod backup;
mod claims;
mod conditions;
mod erasure;
mod feed;
mod idempotency;
mod lists;
pub mod moving;
mod nodes;
pub mod postgres;
mod sealed;
pub mod sql;
pub mod sqlite;
pub mod status;
pub mod tallies;
mod upkeep;

pub use accounts::{AccountChange, Accounts, Changed, Credential};
pub use activity::{Activities, Activity, ActivityFilter, ActivityLog, Ended, LastAttempt, Standing};
pub use audit::{AuditFilter, AuditLog, AuditRange, AuditRow, KeptRow};
pub use backup::{Backups, Copied};
pub use claims::{
    Cancel, Claim, ClaimRequest, Claimed, Held, Next, PullOrder, PullRequest, Pulled, Settled, Settlement,
};
pub use conditions::{Conditions, Drain, Owed};
pub use erasure::Erasure;
pub use feed::{FeedFilter, Feeds, FollowedAttempt, Stretch};
pub use idempotency::{Idempotency, KeptAnswer, Known, NewRequest, RequestKey};
pub use lists::{Backlog, DeliveryFilter, EventFilter, Listing, Page, RefusedFilter};
pub use nodes::{Knock, Nodes, Sight, Wear, WornTable};
pub use sealed::{Resealed, RewrapNote, SealedPlace, SealedValue, SealedValues};
pub use upkeep::{JobChange, JobStep, KeptOfSource, Look, LookedAt, Old, Retained, Strip, Upkeep};

/// Why a store could not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot write or read now (disk full, queue full, closed). Nothing was changed; try again later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A row that the store's own rules forbid. A bug, or damage from outside.
    #[error("inconsistent data in `{table}`, row {row}: {problem}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The row's id as text.
        row: String,
        /// What is wrong with it.
        problem: String,
    },
    /// What is declared was changed since [`Change::Since`], or what was to be new is there by now. Nothing was changed.
    #[error("what is declared was changed meanwhile")]
    Moved,
    /// The named thing does not exist.
    #[error("there is no {what}")]
    NotFound {
        /// For example ``event `evt_…` ``.
        what: String,
    },
}

/// What identifies an event at its source for some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupKey {
    /// Which of the keys this is.
    pub kind: DedupKind,
    /// `dedup::text_key` of the delivery id or the idempotency key, or the body's SHA-256.
    pub key: Bytes,
    /// Until when it is remembered.
    pub expires_at: Timestamp,
}

/// The kinds of dedup key; equal bytes of different kinds never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DedupKind {
    /// The sender's delivery id.
    DeliveryId,
    /// The SHA-256 of the raw body.
    Body,
    /// A publisher's `Idempotency-Key`.
    Idempotency,
}

/// What to do with an event whose dedup key is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDuplicate {
    /// Keep it as an event with `duplicate_of`, owing nothing.
    Keep,
    /// Write nothing at all.
    Discard,
}

/// An event on its way into the store. Made only by `commit`, from something proven.
#[derive(Debug)]
pub struct NewEvent {
    /// The event; `duplicate_of` is `None`, the store finds out.
    pub event: Event,
    /// Its raw bytes.
    pub body: Bytes,
    /// What makes it the same as an earlier one.
    pub dedup: Vec<DedupKey>,
    /// What to do if it is.
    pub on_duplicate: OnDuplicate,
    /// What it owes if it is new.
    pub deliveries: Vec<NewDelivery>,
    /// Destinations that are not owed it because an expression of theirs failed, and how. Kept if it is new.
    pub failed: Vec<FailedFilter>,
    /// The secret that proved it, whose use is counted in the same transaction.
    pub proven_by: Option<(SecretOwner, u32)>,
    /// The audit entry if it is new.
    pub audit_accepted: AuditEntry,
    /// The audit entry that tells of `failed`, if it is new.
    pub audit_failed: Option<AuditEntry>,
    /// The audit entry if it is a duplicate; the store adds `"duplicate_of": "evt_…"` to its detail.
    pub audit_duplicate: AuditEntry,
}

/// A destination that an event passes over because an expression failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedFilter {
    /// Which destination.
    pub destination: DestinationId,
    /// What went wrong, in one sentence.
    pub detail: String,
}

/// A delivery to be owed.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// Its identity.
    pub id: DeliveryId,
    /// To whom.
    pub destination: DestinationId,
    /// When it is first due.
    pub due_at: Timestamp,
    /// Why it exists.
    pub cause: DeliveryCause,
    /// Held from the start, because its destination takes nothing now. The store looks again when it commits: what
    /// counts is the destination's state then.
    pub held: bool,
    /// The value that the destination runs only once for each source, hashed. If an earlier event has it, in a delivery
    /// that is neither exhausted nor called off, this delivery is not made and the event passes the destination over.
    pub once: Option<[u8; 32]>,
    /// The key of which the destination wants only the newest event, hashed together with the source. Outstanding
    /// deliveries with it are superseded: cancelled, or marked so while they are under way.
    pub latest: Option<[u8; 32]>,
    /// The key whose deliveries go out one after the other, hashed. It waits until every earlier one of its destination with
    /// this key is over or parked.
    pub order: Option<[u8; 32]>,
}

/// Proof that an event is on disk. Minted only by a store, after the data is synced; a success answer is made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    event: EventId,
    duplicate: Option<Original>,
    owed: u32,
    superseded: Vec<DeliveryId>,
}

/// The event that a duplicate repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Original {
    /// Its identity.
    pub event: EventId,
    /// Its body's SHA-256: tells an honest repeat from another body under the same key.
    pub body_sha256: [u8; 32],
}

impl Committed {
    /// Only for stores: the event and the `owed` deliveries of it are synced, and `superseded` are marked.
    pub(in crate::store) fn new(event: EventId, owed: u32, superseded: Vec<DeliveryId>) -> Self {
        Self { event, duplicate: None, owed, superseded }
    }

    /// Only for stores: the event repeats `original`, which is synced.
    pub(in crate::store) fn duplicate(event: EventId, original: Original) -> Self {
        Self { event, duplicate: Some(original), owed: 0, superseded: Vec::new() }
    }

    /// The event that was committed, or the record of the duplicate.
    pub fn event(&self) -> EventId {
        self.event
    }

    /// The event that runs: the first one, whether this commit made it or an earlier one did.
    pub fn first_event(&self) -> EventId {
        self.duplicate.as_ref().map_or(self.event, |original| original.event)
    }

    /// How many destinations are owed it: none for a duplicate, and none for an event that nobody wants or has to run.
    pub fn owed(&self) -> u32 {
        self.owed
    }

    /// Deliveries that were under way when this event superseded them. Those that waited are cancelled already.
    pub fn superseded(&self) -> &[DeliveryId] {
        &self.superseded
    }

    /// What this repeats, if it is a duplicate.
    pub fn original(&self) -> Option<&Original> {
        self.duplicate.as_ref()
    }
}

/// How far what all nodes share has come, as numbers that are others whenever it has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Revision {
    /// Rises with every change to what is declared, or to a destination's condition.
    pub declared: i64,
    /// Rises with every [`Store::change`], and with nothing else.
    pub changed: i64,
    /// Rises with every delivery that comes to be owed.
    pub owed: i64,
    /// Another one whenever there is more to be read of a feed.
    pub fed: i64,
}

/// Everything declared, of every organization: what `load` returns.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// All organizations, by name.
    pub organizations: Vec<Organization>,
    /// All sources.
    pub sources: Vec<Source>,
    /// All destinations.
    pub destinations: Vec<Destination>,
    /// All types of events.
    pub event_types: Vec<EventType>,
    /// All private schemes.
    pub schemes: Vec<PrivateScheme>,
    /// All versions of all secrets.
    pub secrets: Vec<SealedSecret>,
}

/// A change to what is declared, with its audit entry, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Change nothing if [`Revision::changed`] is another one by now; only a shared store looks.
    Since(i64),
    /// Insert the organization, or replace the key prefix and `erasing_at` of the one with this id.
    PutOrganization(Organization),
    /// Insert the source, if its organization is there and has none of this name; else nothing is changed, and the answer is
    /// [`StoreError::Moved`].
    PutNewSource(Source),
    /// Insert the source, or replace the spec and `removed_at` of the one with this id.
    PutSource(Source),
    /// Insert the destination, or replace the spec of the one with this id. Its state is not touched. If it keeps no order,
    /// what waited or was parked because of one is due.
    PutDestination(Box<Destination>),
    /// Change a destination's state. Leaving `Active` holds its pending deliveries; entering it makes the held ones due at
    /// once, of each order key the first one: those that were parked are in line again, in their old place.
    SetDestinationState(DestinationId, DestinationState),
    /// Insert the type of event, or replace the one of this name.
    PutEventType(EventType),
    /// Remove an organization's type of event.
    RemoveEventType(OrganizationId, String),
    /// Insert the private scheme, or replace the one of this name.
    PutScheme(PrivateScheme),
    /// Remove an organization's private scheme.
    RemoveScheme(OrganizationId, String),
    /// Insert a version of a secret.
    PutSecret(SealedSecret),
    /// Change a version's end, or revoke it.
    RetireSecret {
        /// Whose.
        owner: SecretOwner,
        /// Which.
        version: u32,
        /// Its new end.
        not_after: Option<Timestamp>,
        /// When it was revoked, if it was.
        revoked_at: Option<Timestamp>,
    },
    /// Keep a small named value of the engine's own where there is none yet, or an empty one; else nothing is changed, and the
    /// answer is [`StoreError::Moved`].
    PutNewMeta {
        /// Its name.
        name: String,
        /// Its bytes.
        value: Vec<u8>,
    },
    /// Keep a small named value of the engine's own (`installation key`, seed fingerprints).
    PutMeta {
        /// Its name.
        name: String,
        /// Its bytes.
        value: Vec<u8>,
    },
}

/// What a store has to show: everything here only reads, so it is what the API and the dashboard are given.
/// Whoever asks says for which organization: what is another's is not found.
#[async_trait]
pub trait Records: ActivityLog + AuditLog + Feeds + tallies::Tallies {
    /// One event.
    async fn event(&self, organization: OrganizationId, id: EventId) -> Result<Event, StoreError>;

    /// An event's raw bytes (a duplicate's are its original's when they were equal); `NotFound` once it is stripped.
    async fn body(&self, organization: OrganizationId, id: EventId) -> Result<Bytes, StoreError>;

    /// Events, newest first.
    async fn events(
        &self,
        organization: OrganizationId,
        filter: EventFilter,
        page: Page,
    ) -> Result<Listing<Event>, StoreError>;

    /// One delivery and its attempts, oldest attempt first.
    async fn delivery(
        &self,
        organization: OrganizationId,
        id: DeliveryId,
    ) -> Result<(Delivery, Vec<Attempt>), StoreError>;

    /// What the program wrote during an attempt: the last one that ran a program, unless `number` says which.
    async fn output(
        &self,
        organization: OrganizationId,
        id: DeliveryId,
        number: Option<u32>,
    ) -> Result<Option<KeptOutput>, StoreError>;

    /// Deliveries, newest first.
    async fn deliveries(
        &self,
        organization: OrganizationId,
        filter: DeliveryFilter,
        page: Page,
    ) -> Result<Listing<Delivery>, StoreError>;

    /// The destinations that hear an event and are not owed it, by name.
    async fn passed_over(&self, organization: OrganizationId, event: EventId) -> Result<Vec<PassedOver>, StoreError>;

    /// One refused request.
    async fn refused(&self, organization: OrganizationId, id: RefusedId) -> Result<RefusedRequest, StoreError>;

    /// Refused requests, newest first.
    async fn all_refused(
        &self,
        organization: OrganizationId,
        filter: RefusedFilter,
        page: Page,
    ) -> Result<Listing<RefusedRequest>, StoreError>;

    /// One redelivery job.
    async fn job(&self, organization: OrganizationId, id: JobId) -> Result<RedeliveryJob, StoreError>;

    /// Redelivery jobs, newest first.
    async fn jobs(&self, organization: OrganizationId, page: Page) -> Result<Listing<RedeliveryJob>, StoreError>;

    /// What is kept of each source, by name.
    async fn kept(&self) -> Result<Vec<KeptOfSource>, StoreError>;

    /// Counts; also the proof that the store answers.
    async fn backlog(&self) -> Result<Backlog, StoreError>;
}

/// What keeps the engine's data: the pipeline's verbs; housekeeping is [`Upkeep`]'s, who may is [`Accounts`]'. One suite of tests holds every
/// implementation to these words.
#[async_trait]
pub trait Store:
    Records + Upkeep + Accounts + Backups + Conditions + Erasure + SealedValues + Idempotency + Nodes + tallies::Tallying
{
    /// Commits an event, its dedup keys, the deliveries it owes and its audit entry in one transaction, grouped with
    /// whatever else is waiting. Returns after the sync. Of the deliveries of one order key to one destination, at most one
    /// is ever due or leased: the others wait, and when it is over or parked, in whichever verb, the oldest of them is due
    /// in the same transaction.
    async fn commit(&self, event: NewEvent) -> Result<Committed, StoreError>;

    /// Commits several events in one transaction, as if one came after the other. Answers are in the order given.
    async fn commit_all(&self, events: Vec<NewEvent>) -> Result<Vec<Committed>, StoreError>;

    /// Leases due deliveries to a node, oldest due first, within each destination's room.
    /// Leases that have run out count as due; the attempt they lost is kept as `Interrupted`. A delivery that was called
    /// off meanwhile is cancelled instead, here and in `recover`.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, StoreError>;

    /// Leases deliveries of a destination of the kind `pull` to a consumer, in the order of commits. A lease that ran out
    /// is kept as `Interrupted`, and its delivery is leased again, or exhausted if that was its last attempt.
    async fn pull(&self, request: PullRequest) -> Result<Pulled, StoreError>;

    /// The claims of consumers' leases, given by delivery and attempt number, where they still hold.
    async fn held_by_consumers(&self, leases: Vec<(DeliveryId, u32)>) -> Result<Vec<Option<Held>>, StoreError>;

    /// Lets leases hold until another time. A delivery that was called off is cancelled instead, and its lease lost.
    async fn extend(&self, claims: Vec<Claim>, now: Timestamp, until: Timestamp) -> Result<Vec<Settled>, StoreError>;

    /// Writes the ends of attempts, with what programs wrote. Each is fenced by its claim; answers are in the order
    /// given. A delivery that was called off meanwhile is cancelled, whatever was to come next, unless this attempt delivered it.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError>;

    /// The earliest time at which each of these destinations has something to claim (a due time or a lease's end), or an earlier
    /// one at which the store is to be asked again, whether it has something or not.
    async fn next_due(&self, destinations: Vec<DestinationId>) -> Result<Vec<Option<Timestamp>>, StoreError>;

    /// Ends every lease not held by `node` or a consumer, because no other node can be alive (a store with one owner).
    /// The attempts they lost are kept as `Interrupted`; the deliveries are due at `now`.
    async fn recover(&self, node: NodeId, now: Timestamp) -> Result<u64, StoreError>;

    /// Ends every lease that `node` holds, because it stops: as [`Store::recover`] ends others'. Another node need not wait until
    /// they run out.
    async fn give_back(&self, node: NodeId, now: Timestamp) -> Result<u64, StoreError>;

    /// Adds deliveries of an existing event, with the audit entry. `Redelivery{of}` is filled in by the store when it is `None`.
    /// One takes the place of what is parked of the event at its destination, which is cancelled.
    async fn redeliver(
        &self,
        event: EventId,
        deliveries: Vec<NewDelivery>,
        audit: AuditEntry,
    ) -> Result<(), StoreError>;

    /// Calls off a delivery: at once when it waits, by a mark when an attempt is under way.
    async fn cancel(&self, delivery: DeliveryId, now: Timestamp, audit: AuditEntry) -> Result<Cancel, StoreError>;

    /// Applies changes to what is declared and writes the audit entries, all or nothing.
    async fn change(&self, changes: Vec<Change>, audit: Vec<AuditEntry>) -> Result<(), StoreError>;

    /// Everything declared.
    async fn load(&self) -> Result<Resources, StoreError>;

    /// A small named value of the engine's own.
    async fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes audit entries for things that changed nothing else (reveals).
    async fn record(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError>;

    /// Forgets dedup keys that expired before `now`, at most `limit` in one step. Returns how many.
    async fn forget(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError>;
}

/// Attempt ids for attempts that no process lived to record are derived from the delivery and the number, so that
/// stores need no entropy of their own.
pub fn interrupted_attempt_id(delivery: DeliveryId, number: u32) -> AttemptId {
    let mut bytes = *delivery.as_bytes();
    for (byte, n) in bytes[12..].iter_mut().zip(number.to_be_bytes()) {
        *byte ^= n;
    }
    AttemptId::from_bytes(bytes)
}
