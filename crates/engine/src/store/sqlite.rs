//! The embedded store: one SQLite file. Owns opening it; what is done with it is [`super::sql`]'s.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::moving::Unfinished;
use super::sql::connection::Connection;
use super::sql::readers::Readers;
use super::sql::writer::Writer;
use super::sql::{Limits, Medium, READERS_DUE, SqlStore};
use super::{Copied, StoreError};
use backup::Copying;
use checkpoint::Checkpoints;

pub(in crate::store) mod backup;
mod checkpoint;
mod connection;
mod directory;
pub(in crate::store) mod migrate;
mod offline;
mod overwriting;
pub(in crate::store) mod side;
pub(in crate::store) mod status;

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
    /// A copy into it was not finished.
    #[error(
        "the database `{}` holds a copy of `{origin}` that is not finished: run the same `hookward db` command again, \
         which goes on with it, or remove it",
        path.display()
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// What it is a copy of.
        origin: String,
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

/// The file, while the store is open.
#[derive(Debug)]
struct Database {
    path: PathBuf,
    copying: Copying,
    _lock: directory::Lock,
}

#[async_trait]
impl Medium for Database {
    async fn copy(&self, _: Option<PathBuf>) -> Result<Copied, StoreError> {
        backup::copy_aside(self.path.clone(), self.copying.clone()).await
    }

    async fn overwrite(&self) -> Result<(), StoreError> {
        overwriting::overwrite_aside(self.path.clone()).await
    }
}

/// Opens the store in `dir`, making the directory (0700) and its files (0600) if they are not there.
pub fn open(dir: &Path) -> Result<SqlStore, OpenError> {
    open_with(dir, &Limits::default())
}

/// Opens the store in `dir`, which this process owns from then on, with limits of one's own.
pub fn open_with(dir: &Path, limits: &Limits) -> Result<SqlStore, OpenError> {
    open_here(dir, limits, Unfinished::Refused)
}

/// Opens the store in `dir` although a copy into it is not finished.
pub(crate) fn open_unfinished(dir: &Path) -> Result<SqlStore, OpenError> {
    open_here(dir, &Limits::default(), Unfinished::Taken)
}

fn open_here(dir: &Path, limits: &Limits, unfinished: Unfinished) -> Result<SqlStore, OpenError> {
    connection::assert_sound_sqlite()?;
    let lock = directory::claim(dir)?;
    let path = directory::prepare_database(dir)?;
    backup::remove_leftovers(dir);
    let failed = |cause| OpenError::Database { path: path.clone(), cause };
    let writing = connection::open_writing(&path, limits.wal_bytes)?;
    if unfinished == Unfinished::Refused {
        side::refuse_unfinished(&writing, &path)?;
    }
    migrate::run(&writing, &path)?;
    let checkpointing = connection::open_writing(&path, limits.wal_bytes)?;
    let page_bytes = connection::page_bytes(&writing).map_err(failed)?;
    let copying = Copying::default();
    let no_thread = |cause| OpenError::Directory { path: dir.to_owned(), cause };
    let mut checkpoints =
        Checkpoints::start(path.clone(), checkpointing, page_bytes, limits.wal_bytes, &copying).map_err(no_thread)?;
    let name = path.display().to_string();
    let between = move |connection: &Connection| {
        if let Connection::Sqlite(connection) = connection {
            checkpoints.keep_bounded(connection);
        }
    };
    let (writable, wal_bytes) = (path.clone(), limits.wal_bytes);
    let reconnect = move || match connection::open_writing(&writable, wal_bytes) {
        Ok(connection) => Ok(Connection::Sqlite(connection)),
        Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
    };
    let writing = Connection::Sqlite(writing);
    let writer = Writer::start(name.clone(), writing, Box::new(reconnect), Box::new(between), limits);
    let writer = writer.map_err(no_thread)?;
    let reading = path.clone();
    let connect = move || Ok(Connection::Sqlite(connection::open_reading(&reading)?));
    let readers =
        [limits.readers, READERS_DUE].map(|count| Readers::new(name.clone(), Box::new(connect.clone()), count));
    Ok(SqlStore::new(readers, writer, Box::new(Database { path, copying, _lock: lock })))
}

/// Bounds the database file of `store` to `bytes` from now on. While it is full, whatever needs more is refused as
/// unavailable and leaves no trace; raising the bound ends that. Not remembered when the store closes.
pub async fn bound_size(store: &SqlStore, bytes: u64) -> Result<(), StoreError> {
    let bound = move |tx: &mut super::sql::writer::Tx<'_>| match tx.connection {
        Connection::Sqlite(connection) => connection::bound_size(connection, bytes),
        Connection::Postgres(_) => Ok(()),
    };
    store.writer().submit(bound).await
}
