//! Connections to the database file: their settings, and the SQLite that serves them.
//! Owns pragmas; who uses which connection is `writer`, `checkpoint` and `readers`.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::OpenError;
use crate::store::sql::failure::Failure;

/// Older versions have a race between commits and a starting-over write-ahead log that loses commits.
pub const MINIMUM_SQLITE: &str = "3.51.3";
const MINIMUM_SQLITE_NUMBER: i32 = 3_051_003;

/// How long to wait for a lock that another connection holds: readers at a restarting log, a backup tool.
const LOCK_WAIT: Duration = Duration::from_millis(500);

/// More statements than there are in this store, so that each is prepared once for each connection.
const STATEMENTS: usize = 128;

/// The version of the SQLite that is linked in.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

pub(super) fn assert_sound_sqlite() -> Result<(), OpenError> {
    if rusqlite::version_number() < MINIMUM_SQLITE_NUMBER {
        return Err(OpenError::SqliteTooOld { found: rusqlite::version().to_owned() });
    }
    Ok(())
}

/// A connection that writes, and that syncs every commit before it returns. `wal_bytes` is what the write-ahead log's
/// file is cut down to when the log starts anew.
pub(super) fn open_writing(path: &Path, wal_bytes: u64) -> Result<Connection, OpenError> {
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | COMMON)?;
        prepare(&connection)?;
        let mode: String = connection.query_row("pragma journal_mode = wal", [], |row| row.get(0))?;
        // 32 MiB of cache; checkpoints are `checkpoint`'s alone; what is removed is overwritten.
        connection.execute_batch(
            "pragma synchronous = full; pragma foreign_keys = on; pragma cache_size = -32768; pragma mmap_size = 0;
             pragma secure_delete = on;
             pragma wal_autocheckpoint = 0; pragma temp_store = memory; pragma trusted_schema = off;",
        )?;
        let limit = i64::try_from(wal_bytes).unwrap_or(i64::MAX);
        connection.query_row(&format!("pragma journal_size_limit = {limit}"), [], |_| Ok(()))?;
        Ok((connection, mode))
    };
    match open() {
        Ok((connection, mode)) if mode == "wal" => Ok(connection),
        Ok(_) => Err(OpenError::NoWriteAheadLog { path: path.to_owned() }),
        Err(cause) => Err(OpenError::Database { path: path.to_owned(), cause }),
    }
}

/// A connection that cannot write.
pub(super) fn open_reading(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | COMMON)?;
    prepare(&connection)?;
    connection.execute_batch(
        "pragma query_only = on; pragma cache_size = -8192; pragma mmap_size = 0; pragma temp_store = memory;
         pragma trusted_schema = off;",
    )?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(LOCK_WAIT)?;
    // Plans may not depend on the values bound: SQLite would make one anew for every event.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
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
