//! Connections to the database file: their settings, and the SQLite that serves them.
//! Owns pragmas; who uses which connection is `writer`, `checkpoint` and `readers`.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::OpenError;
use super::failure::Failure;

/// Older versions have a race between commits and a starting-over write-ahead log that loses commits.
pub const MINIMUM_SQLITE: &str = "3.51.3";
const MINIMUM_SQLITE_NUMBER: i32 = 3_051_003;

/// How long to wait for a lock that another connection holds: readers at a restarting log, a backup tool.
const LOCK_WAIT: Duration = Duration::from_millis(250);

/// More statements than there are in this store, so that each is prepared once for each connection.
const STATEMENTS: usize = 128;

pub(super) fn assert_sound_sqlite() -> Result<(), OpenError> {
    if rusqlite::version_number() < MINIMUM_SQLITE_NUMBER {
        return Err(OpenError::SqliteTooOld { found: rusqlite::version().to_owned() });
    }
    Ok(())
}

/// A connection that writes, and that syncs every commit before it returns.
pub(super) fn open_writing(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | COMMON)?;
    connection.busy_timeout(LOCK_WAIT)?;
    let mode: String = connection.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
    assert_eq!(mode, "wal", "a database file on a local disk takes the write-ahead log");
    // 64 MiB of cache; checkpoints are `checkpoint`'s alone; a log that outgrew its bound shrinks when it starts anew.
    connection.execute_batch(
        "pragma synchronous = full; pragma foreign_keys = on; pragma cache_size = -65536; pragma mmap_size = 0;
         pragma wal_autocheckpoint = 0; pragma temp_store = memory; pragma trusted_schema = off;",
    )?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// A connection that cannot write.
pub(super) fn open_reading(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | COMMON)?;
    connection.busy_timeout(LOCK_WAIT)?;
    connection.execute_batch(
        "pragma query_only = on; pragma cache_size = -8192; pragma mmap_size = 0; pragma temp_store = memory;
         pragma trusted_schema = off;",
    )?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Each connection is used by one thread at a time.
const COMMON: OpenFlags = OpenFlags::SQLITE_OPEN_NO_MUTEX;

/// The size of the database's pages.
pub(super) fn page_bytes(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("pragma page_size", [], |row| row.get(0))
}

/// Sets the most that the database file may grow to, rounded down to whole pages.
pub(super) fn bound_size(connection: &Connection, bytes: u64) -> Result<(), Failure> {
    let pages = bytes / u64::from(page_bytes(connection)?);
    // SQLite's own ceiling is 2^32 - 2 pages; zero would ask for the present bound.
    let pages = pages.clamp(1, 4_294_967_294);
    connection.query_row(&format!("pragma max_page_count = {pages}"), [], |_| Ok(()))?;
    Ok(())
}
