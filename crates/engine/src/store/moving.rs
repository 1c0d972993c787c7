//! Everything that a store keeps, moved into another one, of whichever kind either is: row by row in the order of keys, so
//! that it can be ended anywhere and goes on there, and compared to the last value before the copy counts as one.
//! Owns the course of a copy and what is said of it; how rows are read and written is each kind's `side`.

mod course;
mod digest;
mod table;
mod value;

pub(in crate::store) use course::whole;
pub(crate) use course::{carry_over, finish};
pub(in crate::store) use table::{Column, Table};
pub(in crate::store) use value::{Value, Values, bytes};

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::postgres::Access;
use super::sql::SqlStore;
use super::sql::connection::Cell;
use super::{Copied, StoreError, postgres, sqlite};
use crate::kms::KmsError;
use crate::model::Head;

/// Where a store's data is.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    /// In a file of this data directory.
    Sqlite(PathBuf),
    /// In this PostgreSQL database.
    Postgres(Access),
}

/// Without the password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(directory) => write!(f, "sqlite:{}", directory.display()),
            Self::Postgres(access) => f.write_str(&access.address),
        }
    }
}

/// Why something was not done with a store's data as a whole. Every variant says who has to look at what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// There is nothing where it should come from.
    #[error("there is no database in `{0}`")]
    Missing(String),
    /// It must not be done, or not now.
    #[error("{0}")]
    Refused(String),
    /// The SQLite database does not open.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The PostgreSQL database does not open.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// One of the databases failed.
    #[error("`{database}`: {problem}")]
    Database {
        /// Which.
        database: String,
        /// What it said.
        problem: String,
    },
    /// What was read back is not what was to be copied.
    #[error("the copy in `{database}` is not what it was made of: {problem}; empty it and begin again")]
    Differs {
        /// Where the copy is.
        database: String,
        /// The first difference.
        problem: String,
    },
    /// The key that secrets come under cannot be used now.
    #[error("the secrets cannot be rewrapped: {0}")]
    Kms(#[from] KmsError),
    /// The store failed while secrets were rewrapped.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Whoever watched ended it.
    #[error("it was stopped; the same command goes on from there")]
    Stopped,
}

pub(in crate::store) type Result<T> = std::result::Result<T, MoveError>;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'p> {
    /// What is being done.
    pub stage: Stage,
    /// The table.
    pub table: &'p str,
    /// How many of its rows are done.
    pub rows: u64,
    /// How many it has.
    pub of: u64,
    /// How many rows are done in this stage.
    pub all_rows: u64,
    /// How many there are.
    pub all_of: u64,
}

/// What is being done in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Rows are written.
    Copying,
    /// Rows are read back and compared.
    Verifying,
}

/// Is told of progress, and may end it.
pub type Watch<'w> = dyn FnMut(&Progress<'_>) -> ControlFlow<()> + Send + 'w;

/// What a table's rows come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digested {
    /// The table.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
    /// The SHA-256 of all its values in the order of its key, in hexadecimal.
    pub sha256: String,
}

/// A copy that is what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Every table, the same on both sides.
    pub tables: Vec<Digested>,
    /// The audit log's head, to which its rows were checked.
    pub head: Head,
    /// How many texts had a zero in them, which PostgreSQL cannot hold: they are kept with U+FFFD in its place.
    pub replaced: u64,
}

/// Whether a store is opened in which a copy is not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Unfinished {
    Refused,
    Taken,
}

/// Whether something is done or only said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is done.
    Really,
    /// It is only said what would be done.
    OnlyToSay,
}

/// What brings a schema to the newest known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The schema that there was; 0 of an empty database.
    pub from: u32,
    /// The newest one.
    pub to: u32,
    /// What lies between.
    pub names: Vec<String>,
}

/// Brings the schema at `address` to the newest known, or says how.
///
/// # Errors
///
/// [`MoveError`]; then it is as it was.
pub fn migrate(address: &Address, run: Run) -> Result<Migrated> {
    match address {
        Address::Sqlite(directory) => sqlite::side::migrate(directory, run),
        Address::Postgres(access) => postgres::side::migrate(access, run),
    }
}

/// A copy of everything at `address` as it is now, which may be served meanwhile: a file made in `directory` that has no
/// name.
///
/// # Errors
///
/// [`MoveError`]; then there is none.
pub fn snapshot(address: &Address, directory: &Path) -> Result<Copied> {
    match address {
        Address::Sqlite(data) => sqlite::side::copy(data),
        Address::Postgres(access) => postgres::side::copy_at(access, directory),
    }
}

/// Opens the store at `address`, where a copy into it may be unfinished.
pub(crate) fn open_unfinished(address: &Address) -> Result<SqlStore> {
    Ok(match address {
        Address::Sqlite(directory) => sqlite::open_unfinished(directory)?,
        Address::Postgres(access) => postgres::open_unfinished(access)?,
    })
}

/// The table in which a store holds the note of a copy into it. It is there as long as the copy is unfinished.
pub(in crate::store) const NOTE_TABLE: &str = "unfinished_copy";

/// What a store knows of a copy into it that is unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct Note {
    /// What it is a copy of, in words.
    origin: String,
    /// What shows that the origin is still what it was.
    fingerprint: String,
    /// The table that is being copied; those before it are done. None when all are.
    table: Option<String>,
    /// The key of the last row of it that is here.
    after: Option<Vec<Value>>,
    /// How many of its rows are here.
    rows: u64,
    /// How many texts were changed.
    replaced: u64,
    /// What was compared, once it was.
    tables: Option<Vec<Digested>>,
}

impl Note {
    /// As a store holds it.
    pub(in crate::store) fn text(&self) -> String {
        serde_json::to_string(self).expect("a note is JSON")
    }
}

/// A note as a store holds it.
#[derive(Debug)]
pub(in crate::store) struct NoteText(pub(in crate::store) String);

impl NoteText {
    pub(in crate::store) fn read(&self, database: &str) -> Result<Note> {
        serde_json::from_str(&self.0).map_err(|error| MoveError::Database {
            database: database.to_owned(),
            problem: format!("the note of a copy into it cannot be read: {error}"),
        })
    }

    /// What it is a copy of, as far as can be told.
    pub(in crate::store) fn origin(&self) -> String {
        serde_json::from_str::<Note>(&self.0).map_or_else(|_| "another database".to_owned(), |note| note.origin)
    }
}

/// One of a copy's two databases.
pub(in crate::store) trait Side: Send {
    /// What messages call it.
    fn name(&self) -> &str;

    /// Whether a text may have a zero in it here.
    fn holds_zeros(&self) -> bool;

    /// Everything that is read from now on is of this moment.
    fn look(&mut self) -> Result<()>;

    /// Hands over the rows of a table in the order of its key, those after a key, until `each` says `false`.
    fn each(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
        each: &mut dyn FnMut(&[Cell<'_>]) -> Result<bool>,
    ) -> Result<()>;

    /// How many rows a table has.
    fn count(&mut self, table: &Table) -> Result<u64>;

    /// The last place (`seq`) that was ever given out in a table that gives them out; 0 when none was.
    fn last_place(&mut self, table: &Table) -> Result<i64>;

    /// The note of a copy into it that is unfinished.
    fn note(&mut self) -> Result<Option<Note>>;

    /// Begins a copy: makes the note and removes what these tables have had since they were made, all or nothing.
    fn begin(&mut self, note: &Note, emptied: &[&Table]) -> Result<()>;

    /// Writes rows and the note, all or nothing.
    fn write(&mut self, table: &Table, rows: &Values, note: &Note) -> Result<()>;

    /// Writes the note.
    fn keep(&mut self, note: &Note) -> Result<()>;

    /// Ends a copy: places go on after these, and there is no note any more.
    fn finish(&mut self, places: &[(&Table, i64)]) -> Result<()>;
}

/// How an error names `database`.
pub(in crate::store) fn failed<E: fmt::Display>(database: &str) -> impl Fn(E) -> MoveError {
    move |error| MoveError::Database { database: database.to_owned(), problem: error.to_string() }
}
