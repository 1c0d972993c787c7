//! How a store's database stands, for whoever looks after it: nothing is changed, and it may be served meanwhile.
//! Owns what is said; how it is found is each kind's `status`.

use serde::Serialize;

use super::moving::{Address, MoveError};
use super::{postgres, sqlite};

/// The tables that grow.
pub(in crate::store) const GROWING: [&str; 6] = ["events", "bodies", "dedup", "deliveries", "attempts", "audit"];

/// How a database stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where it is, without a password.
    pub database: String,
    /// What keeps it, with its version.
    pub kept_by: String,
    /// Its schema; 0 when it has none yet.
    pub schema: u32,
    /// The newest schema that this version of Hookward knows.
    pub newest_schema: u32,
    /// What it takes on disk.
    pub size_bytes: u64,
    /// How many rows the tables have that grow.
    pub rows: Vec<Rows>,
    /// Deliveries that are due at some time or under way.
    pub outstanding: u64,
    /// The earliest time at which one of them is or was due.
    pub oldest_due_at_ms: Option<i64>,
    /// How old the oldest transaction is that keeps what was removed from being cleaned up.
    pub oldest_snapshot_s: Option<u64>,
    /// Rows that were changed or removed and still take room.
    pub dead_rows: Option<u64>,
    /// How many locks there is room for, where parts of tables take one each.
    pub locks: Option<LockRoom>,
    /// What the copy into it is of that is not finished.
    pub unfinished_copy_of: Option<String>,
}

/// How many locks a database can hold at once, and how many a list takes: one for each part of the large tables, and each index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LockRoom {
    /// What one list takes.
    pub of_a_list: u64,
    /// What all connections may hold together.
    pub room: u64,
}

/// How many rows a table has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rows {
    /// The table.
    pub table: &'static str,
    /// How many.
    pub rows: u64,
    /// Whether they were not counted, but kept count of by the database.
    pub is_about: bool,
}

/// How the database at `address` stands.
///
/// # Errors
///
/// [`MoveError`] when it cannot be read.
pub fn status(address: &Address) -> Result<Status, MoveError> {
    match address {
        Address::Sqlite(directory) => sqlite::status::status(directory),
        Address::Postgres(access) => postgres::status::status(access),
    }
}
