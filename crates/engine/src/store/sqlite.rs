//! The embedded store: one SQLite file, one writer that commits in groups, a few readers.
//! Owns opening it and its limits; what each verb does stands in the modules below. Knows no HTTP and no schedule.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Backlog, Cancel, Change, Claim, ClaimRequest, Claimed, Committed, DeliveryFilter, Erasure, EventFilter, Held,
    JobChange, JobStep, KeptOfSource, Listing, Look, NewDelivery, NewEvent, Page, PullRequest, Pulled, Records,
    RefusedFilter, Resources, Retained, Settled, Settlement, Store, StoreError, Strip, Upkeep,
};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId, JobId, NodeId, OrganizationId, RefusedId};
use crate::model::{
    Attempt, AuditEntry, Delivery, Event, JobRange, JobSpec, KeptOutput, PassedOver, RedeliveryJob, RefusedRequest,
};
use backup::Copying;
use checkpoint::Checkpoints;
use readers::Readers;
use writer::{Door, Writer};

mod accounts;
mod activity;
mod audit;
mod backup;
mod bodies;
mod checkpoint;
mod claim;
mod commit;
mod conditions;
mod connection;
mod deliveries;
mod directory;
mod erasure;
mod event_types;
mod events;
mod failure;
mod feed;
mod headers;
mod idempotency;
mod jobs;
mod migrate;
mod offline;
mod operate;
mod order;
mod outputs;
mod pull;
mod readers;
mod recovery;
mod refused;
mod resources;
mod retention;
mod routing;
mod rows;
mod schemes;
mod sealed;
mod settle;
mod writer;

pub use connection::{MINIMUM_SQLITE, sqlite_version};
pub use directory::{DATABASE_FILE, LOCK_FILE};
pub use offline::{Examined, check_audit, examine};

/// Why a data directory could not be opened. Every variant names the path, and the operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be made, read or written.
    #[error("the data directory `{}` cannot be used: {cause}", path.display())]
    Directory {
        /// What could not be used.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Anybody on the machine could put other files in the place of the database, and this process may not prevent it.
    #[error(
        "the data directory `{}` is writable by everybody (mode {mode:04o}): \
         `chmod go-w` it, or name a directory below it, which is then made for its owner only",
        path.display()
    )]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process has it open.
    #[error("the data directory `{}` is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// This build carries a SQLite with a known fault.
    #[error("SQLite {found} can lose commits; {MINIMUM_SQLITE} or later is needed")]
    SqliteTooOld {
        /// The version linked in.
        found: String,
    },
    /// SQLite cannot use the file: damaged, not a database, full disk.
    #[error("the database `{}` cannot be opened: {cause}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        cause: rusqlite::Error,
    },
    /// SQLite cannot keep its write-ahead log there, as on most network file systems.
    #[error("the database `{}` is on a file system that cannot hold a write-ahead log", path.display())]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold together.
    #[error("the database `{}` is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing that is wrong.
        problem: String,
    },
    /// An older Hookward wrote it, and only looking at it must not change it.
    #[error(
        "the database `{}` is at schema {found}, and there is no chain to check before {known}: start `hookward serve` on it once, which \
         brings it up to date",
        path.display()
    )]
    SchemaTooOld {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The first schema that can be looked at.
        known: u32,
    },
    /// A newer Hookward wrote it. Going back is not possible; run that version or a later one.
    #[error("the database `{}` is at schema {found}, but this version knows only up to {known}", path.display())]
    SchemaTooNew {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema known here.
        known: u32,
    },
}

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
        }
    }
}

/// A store in one directory, owned by this process while it is open.
///
/// Dropping it writes what is queued and joins its threads; there is nothing else to close.
#[derive(Debug)]
pub struct SqliteStore {
    // In this order: the writer closes last, so that it empties the write-ahead log, and then the lock goes.
    readers: Readers,
    writer: Writer,
    path: PathBuf,
    copying: Copying,
    _lock: directory::Lock,
}

impl SqliteStore {
    /// Opens the store in `dir`, making the directory (0700) and its files (0600) if they are not there.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::open_with(dir, &Limits::default())
    }

    /// Opens the store in `dir` with limits of one's own.
    pub fn open_with(dir: &Path, limits: &Limits) -> Result<Self, OpenError> {
        connection::assert_sound_sqlite()?;
        let lock = directory::claim(dir)?;
        let path = directory::prepare_database(dir)?;
        backup::remove_leftovers(dir);
        let failed = |cause| OpenError::Database { path: path.clone(), cause };
        let writing = connection::open_writing(&path, limits.wal_bytes)?;
        migrate::run(&writing, &path)?;
        let checkpointing = connection::open_writing(&path, limits.wal_bytes)?;
        let readers = Readers::new(path.clone(), limits.readers);
        let page_bytes = connection::page_bytes(&writing).map_err(failed)?;
        let copying = Copying::default();
        let checkpoints = Checkpoints::start(path.clone(), checkpointing, page_bytes, limits.wal_bytes, &copying);
        let writer = checkpoints
            .and_then(|checkpoints| Writer::start(path.clone(), writing, checkpoints, limits))
            .map_err(|cause| OpenError::Directory { path: dir.to_owned(), cause })?;
        Ok(Self { readers, writer, path, copying, _lock: lock })
    }

    /// Bounds the database file to `bytes` from now on. While it is full, whatever needs more is refused as
    /// unavailable and leaves no trace; raising the bound ends that. Not remembered when the store closes.
    pub async fn bound_size(&self, bytes: u64) -> Result<(), StoreError> {
        self.writer.submit(move |tx| connection::bound_size(tx.connection, bytes)).await
    }
}

#[async_trait]
impl Records for SqliteStore {
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
        self.readers.read(deliveries::backlog).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, event: NewEvent) -> Result<Committed, StoreError> {
        let door = Door { body_bytes: event.body.len() };
        let prepared = commit::Prepared::new(event);
        let written = self.writer.submit_at_door(door, move |tx| commit::write(tx, &prepared)).await;
        // `Written` becomes `Committed` only here, after the writer has answered that the group is synced.
        written.map(commit::Written::into_committed)
    }

    async fn commit_all(&self, events: Vec<NewEvent>) -> Result<Vec<Committed>, StoreError> {
        let door = Door { body_bytes: events.iter().map(|event| event.body.len()).sum() };
        // Packing is quick for one event and not for a thousand.
        let prepare = move || events.into_iter().map(commit::Prepared::new).collect::<Vec<_>>();
        let prepared = tokio::task::spawn_blocking(prepare).await;
        let prepared = prepared.map_err(|_| StoreError::Unavailable("the events could not be packed".to_owned()))?;
        let write = move |tx: &mut writer::Tx<'_>| prepared.iter().map(|event| commit::write(tx, event)).collect();
        let written: Vec<commit::Written> = self.writer.submit_at_door(door, write).await?;
        Ok(written.into_iter().map(commit::Written::into_committed).collect())
    }

    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claimed>, StoreError> {
        let leases = self.writer.submit(move |tx| claim::lease(tx, &request)).await?;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.readers.read(move |connection| claim::load(connection, &leases)).await
    }

    async fn pull(&self, request: PullRequest) -> Result<Pulled, StoreError> {
        let pull::Leases { leases, free_at } = self.writer.submit(move |tx| pull::lease(tx, &request)).await?;
        if leases.is_empty() {
            return Ok(Pulled { claimed: Vec::new(), free_at });
        }
        let claimed = self.readers.read(move |connection| claim::load(connection, &leases)).await?;
        Ok(Pulled { claimed, free_at })
    }

    async fn held_by_consumers(&self, leases: Vec<(DeliveryId, u32)>) -> Result<Vec<Option<Held>>, StoreError> {
        self.readers.read(move |connection| pull::held(connection, &leases)).await
    }

    async fn extend(&self, claims: Vec<Claim>, now: Timestamp, until: Timestamp) -> Result<Vec<Settled>, StoreError> {
        self.writer.submit(move |tx| pull::extend(tx, &claims, now, until)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let outputs: Vec<_> = settlements.iter().map(|one| one.output.as_ref().map(outputs::pack)).collect();
        self.writer.submit(move |tx| settle::write(tx, &settlements, &outputs)).await
    }

    async fn next_due(&self, destinations: Vec<DestinationId>) -> Result<Vec<Option<Timestamp>>, StoreError> {
        self.readers.read(move |connection| claim::next_due(connection, &destinations)).await
    }

    async fn recover(&self, node: NodeId, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.submit(move |tx| claim::recover(tx, node, now)).await
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
        self.writer.submit_at_door(door, move |tx| audit::append_all(tx, &entries)).await
    }

    async fn forget(&self, now: Timestamp, limit: u32) -> Result<u32, StoreError> {
        self.writer.submit(move |tx| commit::forget(tx, now, limit)).await
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    async fn refuse(&self, refused: Vec<RefusedRequest>, audit: Vec<AuditEntry>, keep: u32) -> Result<(), StoreError> {
        let door = Door { body_bytes: refused.iter().map(|refused| refused.body_start.len()).sum() };
        self.writer.submit_at_door(door, move |tx| refused::write(tx, &refused, &audit, keep)).await
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
}

#[async_trait]
impl Erasure for SqliteStore {
    async fn erase_events(&self, organization: OrganizationId, limit: u32) -> Result<bool, StoreError> {
        self.writer.submit(move |tx| erasure::events(tx, organization, limit)).await
    }

    async fn erase_rest(&self, organization: OrganizationId) -> Result<(), StoreError> {
        self.writer.submit(move |tx| erasure::rest(tx, organization)).await?;
        self.overwrite().await
    }

    async fn overwrite(&self) -> Result<(), StoreError> {
        erasure::overwrite_aside(self.path.clone()).await
    }

    async fn erase_row(&self, organization: OrganizationId, audit: AuditEntry) -> Result<bool, StoreError> {
        self.writer.submit(move |tx| erasure::row(tx, organization, &audit)).await
    }
}
