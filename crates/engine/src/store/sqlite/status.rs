//! How a SQLite database stands: see `store::status`.

use std::path::Path;

use rusqlite::Connection;

use super::{OpenError, connection, migrate, side};
use crate::store::moving::{MoveError, failed};
use crate::store::status::{GROWING, Rows, Status};

/// What the database's file has room for.
const PAGES: &str = "select page_count * page_size from pragma_page_count, pragma_page_size";

/// The status of the database in a data directory.
pub(in crate::store) fn status(directory: &Path) -> Result<Status, MoveError> {
    let path = side::existing(directory)?;
    connection::assert_sound_sqlite()?;
    let connection =
        connection::open_reading(&path).map_err(|cause| OpenError::Database { path: path.clone(), cause })?;
    let name = path.display().to_string();
    let schema = migrate::found(&connection).map_err(failed(&name))?;
    let log_bytes = std::fs::metadata(path.with_extension("db-wal")).map_or(0, |log| log.len());
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let look = || -> rusqlite::Result<Status> {
        let (outstanding, oldest_due_at_ms): (i64, _) = match schema {
            0 => (0, None),
            _ => connection.query_row(
                "select count(*), min(due_at_ms) from deliveries where due_at_ms is not null",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?,
        };
        Ok(Status {
            database: name.clone(),
            kept_by: format!("SQLite {}", connection::sqlite_version()),
            schema,
            newest_schema: migrate::newest(),
            size_bytes: log_bytes + number(connection.query_row(PAGES, [], |row| row.get(0))?),
            rows: if schema == 0 { Vec::new() } else { rows(&connection)? },
            outstanding: number(outstanding),
            oldest_due_at_ms,
            oldest_snapshot_s: None,
            dead_rows: None,
            locks: None,
            unfinished_copy_of: side::note(&connection)?.map(|note| note.origin()),
        })
    };
    look().map_err(failed(&name))
}

fn rows(connection: &Connection) -> rusqlite::Result<Vec<Rows>> {
    let count = |table: &'static str| {
        let rows =
            connection.query_row(&format!("select count(*) from \"{table}\""), [], |row| row.get::<_, i64>(0))?;
        Ok(Rows { table, rows: u64::try_from(rows).unwrap_or(0), is_about: false })
    };
    GROWING.into_iter().map(count).collect()
}
