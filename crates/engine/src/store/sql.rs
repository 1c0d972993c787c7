//! A store that keeps its data in a SQL database: one writer that commits in groups, a few readers.
//! Owns which verb goes to whom; what each verb does stands in the modules below, and where the database is with whoever
//! opened it: [`super::sqlite`]. Knows no HTTP and no schedule.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Backlog, Backups, Cancel, Change, Claim, ClaimRequest, Claimed, Committed, Copied, DeliveryFilter, Erasure,
    EventFilter, Held, JobChange, JobStep, KeptOfSource, Knock, Listing, Look, NewDelivery, NewEvent, Nodes, Old, Page,
    PullRequest, Pulled, Records, RefusedFilter, Resources, Retained, Settled, Settlement, Sight, Store, StoreError,
    Strip, Upkeep, Wear,
};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId, JobId, NodeId, OrganizationId, RefusedId};
use crate::model::{
    Attempt, AuditEntry, Delivery, Event, JobRange, JobSpec, KeptOutput, Node, PassedOver, RedeliveryJob,
    RefusedRequest,
};
pub use first_start::FirstStart;
pub(in crate::store) use medium::{Following, Medium};
use readers::Readers;
use writer::{Door, Writer};

mod accounts;
mod activity;
pub(in crate::store) mod audit;
pub(in crate::store) mod bodies;
pub(in crate::store) mod claim;
pub(in crate::store) mod commit;
mod conditions;
pub(in crate::store) mod connection;
mod deliveries;
mod erasure;
mod event_types;
pub(in crate::store) mod events;
pub(in crate::store) mod failure;
mod feed;
mod first_start;
mod folding;
pub(in crate::store) mod headers;
mod idempotency;
mod jobs;
pub(in crate::store) mod locks;
mod look;
mod medium;
mod nodes;
mod operate;
mod order;
mod outputs;
mod pull;
pub(in crate::store) mod readers;
mod recovery;
mod refused;
pub(in crate::store) mod resources;
mod retention;
mod routing;
pub(in crate::store) mod rows;
mod schemes;
mod sealed;
pub(in crate::store) mod settle;
pub(in crate::store) mod writer;

/// What a store may use at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Events and audit records waiting for the writer; one more is refused.
    pub queue_entries: usize,
    /// Bytes of bodies waiting for the writer; more are refused.
    pub queue_bytes: usize,
    /// Writes in one transaction.
    pub group_entries: usize,
    /// Bytes of bodies in one transaction; a body larger than this gets one for itself.
    pub group_bytes: usize,
    /// The write-ahead log is started anew when it has grown to this; it exceeds it by what is written meanwhile.
    pub wal_bytes: u64,
    /// Read connections, and so reads under way at once.
    pub readers: usize,
    /// How long somebody at a door waits where nodes share the database, which may be away: then there is an answer, if only that
    /// it is not known yet.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_entries: 4096,
            queue_bytes: 64 << 20,
            group_entries: 256,
            group_bytes: 8 << 20,
            wal_bytes: 64 << 20,
            readers: 4,
            // Within two seconds, the way there and back included.
            patience: Duration::from_millis(1800),
        }
    }
}

/// Reads for attempts under way at once: what goes with leases, and when there is more.
pub(in crate::store) const READERS_DUE: usize = 2;

/// A store in a SQL database.
///
/// Dropping it writes what is queued and joins its threads; there is nothing else to close.
#[derive(Debug)]
pub struct SqlStore {
    // In this order: the writer closes last of the connections, and then the database is let go.
    readers: Readers,
    /// What is attempted does not wait for those who look at lists.
    due: Readers,
    /// Leases have a writer of their own where several may write, and so has what came through the doors.
    leases: Option<Writer>,
    doors: Option<Writer>,
    writer: Writer,
    medium: Box<dyn Medium>,
    copies: Option<PathBuf>,
}

impl SqlStore {
    /// A store of its parts: what is read for lists and for attempts, and who writes.
    pub(in crate::store) fn new([readers, due]: [Readers; 2], writer: Writer, medium: Box<dyn Medium>) -> Self {
        Self { readers, due, leases: None, doors: None, writer, medium, copies: None }
    }

    /// Leases, and what came through the doors, are written beside the rest.
    pub(in crate::store) fn beside(mut self, leases: Writer, doors: Writer) -> Self {
        (self.leases, self.doors) = (Some(leases), Some(doors));
        self
    }

    /// Copies of everything are made in this directory, where the database has no place for them.
    #[must_use]
    pub fn copying_in(mut self, directory: PathBuf) -> Self {
        self.copies = Some(directory);
        self
    }

    /// The write side, for what is one database's own.
    pub(in crate::store) fn writer(&self) -> &Writer {
        &self.writer
    }

    /// How other nodes are followed.
    fn shared(&self) -> Result<Following<'_>, StoreError> {
        self.medium.following().ok_or_else(|| StoreError::Unavailable("nobody else works on it".to_owned()))
    }

    fn doors(&self) -> &Writer {
        self.doors.as_ref().unwrap_or(&self.writer)
    }

    fn leases(&self) -> &Writer {
        self.leases.as_ref().unwrap_or(&self.writer)
    }
}

#[async_trait]
impl Records for SqlStore {
    async fn event(&self, organization: OrganizationId, id: EventId) -> Result<Event, StoreError> {
        self.readers.read(move |connection| events::one(connection, organization, id)).await
    }

    async fn body(&self, organization: OrganizationId, id: EventId) -> Result<Bytes, StoreError> {
        self.readers.read(move |connection| bodies::of_event(connection, organization, id)).await
    }

    async fn events(
        &self,
        organization: OrganizationId,
        filter: EventFilter,
        page: Page,
    ) -> Result<Listing<Event>, StoreError> {
        self.readers.read(move |connection| events::list(connection, organization, &filter, page)).await
    }

    async fn delivery(
        &self,
        organization: OrganizationId,
        id: DeliveryId,
    ) -> Result<(Delivery, Vec<Attempt>), StoreError> {
        self.readers.read(move |connection| deliveries::one(connection, organization, id)).await
    }

    async fn output(
        &self,
        organization: OrganizationId,
        id: DeliveryId,
        number: Option<u32>,
    ) -> Result<Option<KeptOutput>, StoreError> {
        self.readers.read(move |connection| outputs::of_delivery(connection, organization, id, number)).await
    }

    async fn deliveries(
        &self,
        organization: OrganizationId,
        filter: DeliveryFilter,
        page: Page,
    ) -> Result<Listing<Delivery>, StoreError> {
        self.readers.read(move |connection| deliveries::list(connection, organization, &filter, page)).await
    }

    async fn passed_over(&self, organization: OrganizationId, event: EventId) -> Result<Vec<PassedOver>, StoreError> {
        self.readers.read(move |connection| routing::passed_over(connection, organization, event)).await
    }

    async fn refused(&self, organization: OrganizationId, id: RefusedId) -> Result<RefusedRequest, StoreError> {
        self.readers.read(move |connection| refused::one(connection, organization, id)).await
    }

    async fn all_refused(
        &self,
        organization: OrganizationId,
        filter: RefusedFilter,
        page: Page,
    ) -> Result<Listing<RefusedRequest>, StoreError> {
        self.readers.read(move |connection| refused::list(connection, organization, &filter, page)).await
    }

    async fn job(&self, organization: OrganizationId, id: JobId) -> Result<RedeliveryJob, StoreError> {
        self.readers.read(move |connection| jobs::one(connection, organization, id)).await
    }

    async fn jobs(&self, organization: OrganizationId, page: Page) -> Result<Listing<RedeliveryJob>, StoreError> {
        self.readers.read(move |connection| jobs::list(connection, organization, page)).await
    }

    async fn kept(&self) -> Result<Vec<KeptOfSource>, StoreError> {
        self.readers.read(retention::kept).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.writer.is_running()?;
        self.doors().is_running()?;
        self.leases().is_running()?;
        self.readers.read(deliveries::backlog).await
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn commit(&self, event: NewEvent) -> Result<Committed, StoreError> {
        let written = self.doors().commit(commit::Prepared::new(event)).await;
        // `Written` becomes `Committed` only here, after the writer has answered that the group is synced.
        written.map(commit::Written::into_committed)
    }

    async fn commit_all(&self, events: Vec<NewEvent>) -> Result<Vec<Committed>, StoreError> {
        let door = Door { body_bytes: events.iter().map(|event| event.body.len()).sum() };
        // Packing is quick for one event and not for a thousand.
        let prepare = move || events.into_iter().map(commit::Prepared::new).collect::<Vec<_>>();
        let prepared = tokio::task::spawn_blocking(prepare).await;
        let prepared = prepared.map_err(|_| StoreError::Unavailable("the events could not be packed".to_owned()))?;
        let written = self.doors().submit_at_door(door, move |tx| commit::write_all(tx, &prepared)).await?;
        Ok(written.into_iter().map(commit::Written::into_committed).collect())
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, StoreError> {
        let leases = self.leases().submit_beside(move |tx| claim::lease(tx, &request)).await?;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.due.read(move |connection| claim::load(connection, &leases)).await
    }

    async fn pull(&self, request: PullRequest) -> Result<Pulled, StoreError> {
        let pull::Leases { leases, free_at } = self.writer.submit_beside(move |tx| pull::lease(tx, &request)).await?;
        if leases.is_empty() {
            return Ok(Pulled { claimed: Vec::new(), free_at });
        }
        let claimed = self.due.read(move |connection| claim::load(connection, &leases)).await?;
        Ok(Pulled { claimed, free_at })
    }

    async fn held_by_consumers(&self, leases: Vec<(DeliveryId, u32)>) -> Result<Vec<Option<Held>>, StoreError> {
        self.due.read(move |connection| pull::held(connection, &leases)).await
    }

    async fn extend(&self, claims: Vec<Claim>, now: Timestamp, until: Timestamp) -> Result<Vec<Settled>, StoreError> {
        self.writer.submit_beside(move |tx| pull::extend(tx, &claims, now, until)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.writer.settle(settlements).await
    }

    async fn next_due(&self, destinations: Vec<DestinationId>) -> Result<Vec<Option<Timestamp>>, StoreError> {
        self.due.read(move |connection| claim::next_due(connection, &destinations)).await
    }

    async fn recover(&self, node: NodeId, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.submit(move |tx| claim::recover(tx, node, now)).await
    }

    async fn give_back(&self, node: NodeId, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.submit(move |tx| claim::give_back(tx, node, now)).await
    }

    async fn redeliver(
        &self,
        event: EventId,
        deliveries: Vec<NewDelivery>,
        audit: AuditEntry,
    ) -> Result<(), StoreError> {
        self.writer.submit(move |tx| operate::redeliver(tx, event, &deliveries, &audit)).await
    }

    async fn cancel(&self, delivery: DeliveryId, now: Timestamp, audit: AuditEntry) -> Result<Cancel, StoreError> {
        self.writer.submit(move |tx| operate::cancel(tx, delivery, now, &audit)).await
    }

    async fn change(&self, changes: Vec<Change>, audit: Vec<AuditEntry>) -> Result<(), StoreError> {
        self.writer.submit(move |tx| resources::change(tx, &changes, &audit)).await
    }

    async fn load(&self) -> Result<Resources, StoreError> {
        self.readers.read(resources::load).await
    }

    async fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.to_owned();
        self.readers.read(move |connection| resources::meta(connection, &name)).await
    }

    async fn record(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
        let door = Door { body_bytes: 0 };
        self.doors().submit_at_door(door, move |tx| audit::append_all(tx, &entries)).await
    }

    async fn forget(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.writer.submit_beside(move |tx| commit::forget(tx, now, limit)).await
    }
}

#[async_trait]
impl Upkeep for SqlStore {
    async fn refuse(&self, refused: Vec<RefusedRequest>, audit: Vec<AuditEntry>, keep: u32) -> Result<(), StoreError> {
        let door = Door { body_bytes: refused.iter().map(|refused| refused.body_start.len()).sum() };
        self.doors().submit_at_door(door, move |tx| refused::write(tx, &refused, &audit, keep)).await
    }

    async fn range(&self) -> Result<JobRange, StoreError> {
        self.readers.read(jobs::range).await
    }

    async fn create_job(&self, id: JobId, spec: JobSpec, audit: AuditEntry) -> Result<RedeliveryJob, StoreError> {
        self.writer.submit(move |tx| jobs::create(tx, id, &spec, &audit)).await
    }

    async fn running_jobs(&self) -> Result<Vec<RedeliveryJob>, StoreError> {
        self.readers.read(jobs::running).await
    }

    async fn look(
        &self,
        organization: OrganizationId,
        spec: JobSpec,
        range: JobRange,
        rows: u32,
        matches: u32,
    ) -> Result<Look, StoreError> {
        self.readers.read(move |connection| jobs::look(connection, organization, &spec, range, rows, matches)).await
    }

    async fn advance(&self, step: JobStep) -> Result<Option<RedeliveryJob>, StoreError> {
        self.writer.submit(move |tx| jobs::advance(tx, &step)).await
    }

    async fn change_job(&self, change: JobChange) -> Result<bool, StoreError> {
        self.writer.submit(move |tx| jobs::change(tx, &change)).await
    }

    async fn strip(&self, strip: Strip) -> Result<Retained, StoreError> {
        let (source, now) = (strip.source, strip.now);
        let found = self.readers.read(move |connection| retention::find(connection, &strip)).await?;
        if found.is_empty() {
            return Ok(Retained { stripped: 0, next: None });
        }
        self.writer.submit(move |tx| retention::strip(tx, source, &found, now)).await
    }

    async fn remove_rows(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.writer.submit(move |tx| retention::remove_rows(tx, now, limit)).await
    }

    async fn fold(&self) -> Result<(), StoreError> {
        match self.medium.following() {
            Some(_) => self.writer.submit(move |tx| folding::fold(tx.connection)).await,
            None => Ok(()),
        }
    }

    async fn make_room(&self) -> Result<(), StoreError> {
        self.medium.make_room().await
    }

    async fn drop_days(&self, old: Old) -> Result<Option<u32>, StoreError> {
        self.medium.drop_days(old).await
    }
}

#[async_trait]
impl Nodes for SqlStore {
    fn is_shared(&self) -> bool {
        self.medium.following().is_some()
    }

    async fn sight(&self) -> Result<Sight, StoreError> {
        let Following { connection, schema, .. } = self.shared()?;
        connection.read(move |connection| nodes::sight(connection, schema)).await
    }

    async fn knock(&self, from: NodeId, knock: Knock) -> Result<(), StoreError> {
        self.shared()?.knocks.knock(from, &knock).await
    }

    async fn heard(&self, own: NodeId) -> Result<Knock, StoreError> {
        self.shared()?.knocks.heard(own).await
    }

    async fn check_in(&self, node: Node) -> Result<(), StoreError> {
        match self.medium.following() {
            Some(Following { connection, .. }) => {
                connection.read(move |connection| nodes::check_in(connection, &node)).await
            }
            None => self.writer.submit(move |tx| nodes::check_in(tx.connection, &node)).await,
        }
    }

    async fn nodes(&self) -> Result<Vec<Node>, StoreError> {
        self.readers.read(nodes::list).await
    }

    async fn wear(&self) -> Result<Option<Wear>, StoreError> {
        self.readers.read(nodes::wear).await
    }
}

#[async_trait]
impl Erasure for SqlStore {
    async fn erase_events(&self, organization: OrganizationId, limit: u32) -> Result<bool, StoreError> {
        self.writer.submit(move |tx| erasure::events(tx, organization, limit)).await
    }

    async fn erase_rest(&self, organization: OrganizationId) -> Result<(), StoreError> {
        self.writer.submit(move |tx| erasure::rest(tx, organization)).await?;
        self.overwrite().await
    }

    async fn overwrite(&self) -> Result<(), StoreError> {
        self.medium.overwrite().await
    }

    async fn erase_row(&self, organization: OrganizationId, audit: AuditEntry) -> Result<bool, StoreError> {
        self.writer.submit(move |tx| erasure::row(tx, organization, &audit)).await
    }
}

#[async_trait]
impl Backups for SqlStore {
    async fn copy(&self) -> Result<Copied, StoreError> {
        self.medium.copy(self.copies.clone()).await
    }
}

#[cfg(test)]
mod tests;
