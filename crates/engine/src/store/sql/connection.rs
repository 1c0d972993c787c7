//! A connection as the verbs see it, whichever database it leads to: statements, parameters, rows.
//! Owns what goes in and comes out; where a connection comes from is `sqlite`'s and `postgres`' business.
//!
//! Statements are written in what both databases understand, with SQLite's placeholders (`?1`, `:name`). What only one of
//! them says is translated by `postgres::dialect`.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};

use super::failure::Result;
use crate::store::postgres::session::{self, Prepared, Session};

/// A value on its way into a statement or out of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Cell<'v> {
    Null,
    Integer(i64),
    Text(&'v str),
    Blob(&'v [u8]),
}

impl rusqlite::ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What can stand for a placeholder.
pub(in crate::store) trait Bind {
    fn cell(&self) -> Cell<'_>;
}

macro_rules! bind {
    ($($kind:ty => |$value:ident| $cell:expr;)*) => {$(
        impl Bind for $kind {
            fn cell(&self) -> Cell<'_> {
                let $value = self;
                $cell
            }
        }
    )*};
}

bind! {
    i64 => |value| Cell::Integer(*value);
    i32 => |value| Cell::Integer(i64::from(*value));
    u32 => |value| Cell::Integer(i64::from(*value));
    u16 => |value| Cell::Integer(i64::from(*value));
    u8 => |value| Cell::Integer(i64::from(*value));
    bool => |value| Cell::Integer(i64::from(*value));
    str => |value| Cell::Text(value);
    String => |value| Cell::Text(value);
    [u8] => |value| Cell::Blob(value);
    [u8; 16] => |value| Cell::Blob(value);
    [u8; 32] => |value| Cell::Blob(value);
    Vec<u8> => |value| Cell::Blob(value);
}

impl<T: Bind + ?Sized> Bind for &T {
    fn cell(&self) -> Cell<'_> {
        (**self).cell()
    }
}

impl<T: Bind> Bind for Option<T> {
    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, Bind::cell)
    }
}

/// The values of a statement's placeholders.
pub(in crate::store) enum Bound<'v> {
    /// Of `?1`, `?2` and so on.
    Places(Vec<Cell<'v>>),
    /// Of `:name`s.
    Names(Vec<(&'v str, Cell<'v>)>),
}

/// What gives placeholders their values.
pub(in crate::store) trait Params {
    fn bound(&self) -> Bound<'_>;
}

impl<const N: usize> Params for &[&dyn Bind; N] {
    fn bound(&self) -> Bound<'_> {
        Bound::Places(self.iter().map(|value| value.cell()).collect())
    }
}

impl Params for [(); 0] {
    fn bound(&self) -> Bound<'_> {
        Bound::Places(Vec::new())
    }
}

macro_rules! arrays {
    ($($length:literal)*) => {$(
        impl<T: Bind> Params for [T; $length] {
            fn bound(&self) -> Bound<'_> {
                Bound::Places(self.iter().map(Bind::cell).collect())
            }
        }
    )*};
}

arrays!(1 2 3);

impl Params for &[(&str, &dyn Bind)] {
    fn bound(&self) -> Bound<'_> {
        Bound::Names(self.iter().map(|(name, value)| (*name, value.cell())).collect())
    }
}

impl<const N: usize> Params for &[(&str, &dyn Bind); N] {
    fn bound(&self) -> Bound<'_> {
        Bound::Names(self.iter().map(|(name, value)| (*name, value.cell())).collect())
    }
}

/// Values for `?1`, `?2` and so on, of any kinds.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::store::sql::connection::Bind),*]
    };
}

/// Values for `:name`s.
macro_rules! named_params {
    ($($name:literal: $value:expr),* $(,)?) => {
        &[$(($name, &$value as &dyn $crate::store::sql::connection::Bind)),*]
    };
}

pub(in crate::store) use {named_params, params};

/// One connection, used by one thread at a time.
#[derive(Debug)]
pub(in crate::store) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(Box<Session>),
}

impl Connection {
    /// The statement, prepared once for each connection.
    pub(in crate::store) fn prepare_cached(&self, sql: &str) -> Result<Statement<'_>> {
        match self {
            Self::Sqlite(connection) => Ok(Statement::Sqlite(connection.prepare_cached(sql)?)),
            Self::Postgres(session) => Ok(Statement::Postgres(session, session.prepare(sql)?)),
        }
    }

    /// How many rows were ever changed over this connection.
    pub(in crate::store) fn total_changes(&self) -> u64 {
        match self {
            Self::Sqlite(connection) => connection.total_changes(),
            Self::Postgres(session) => session.total_changes(),
        }
    }

    /// Whether no transaction is open.
    pub(in crate::store) fn is_autocommit(&self) -> bool {
        match self {
            Self::Sqlite(connection) => connection.is_autocommit(),
            Self::Postgres(session) => session.is_autocommit(),
        }
    }

    /// Whether it can be used for something else.
    pub(in crate::store) fn is_sound(&self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(session) => session.is_sound(),
        }
    }

    /// Begins a transaction that writes. Where several write to one database, it is alone unless all that it does goes well
    /// `beside` others of its kind, which hold what must not happen twice at once themselves.
    pub(in crate::store) fn begin(&self, beside: bool) -> Result<()> {
        match self {
            Self::Sqlite(connection) => Ok(connection.prepare_cached("begin immediate")?.execute([]).map(drop)?),
            Self::Postgres(session) => session.begin(beside),
        }
    }

    /// `sql`, so that the rows found are this transaction's until it ends. Waits for whoever has one, and finds what became
    /// of it.
    pub(in crate::store) fn locking<'s>(&self, sql: &'s str) -> Cow<'s, str> {
        self.ending(sql, " for update")
    }

    /// `sql`, so that the rows found are this transaction's until it ends, without those that are another's.
    pub(in crate::store) fn stepping_over<'s>(&self, sql: &'s str) -> Cow<'s, str> {
        self.ending(sql, " for update skip locked")
    }

    /// What several connections need and one does not, at the end of `sql` or of the selection in brackets that ends it.
    fn ending<'s>(&self, sql: &'s str, ending: &str) -> Cow<'s, str> {
        match (self, sql.strip_suffix(')')) {
            (Self::Sqlite(_), _) => sql.into(),
            (Self::Postgres(_), Some(open)) => format!("{open}{ending})").into(),
            (Self::Postgres(_), None) => format!("{sql}{ending}").into(),
        }
    }

    /// A transaction that only reads: everything is of one moment until it is dropped.
    pub(in crate::store) fn snapshot(&self) -> Result<Snapshot<'_>> {
        self.prepare_cached("begin")?.execute([])?;
        Ok(Snapshot { connection: self })
    }
}

/// See [`Connection::snapshot`].
#[derive(Debug)]
pub(in crate::store) struct Snapshot<'c> {
    connection: &'c Connection,
}

impl Deref for Snapshot<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self.connection.prepare_cached("rollback").and_then(|mut statement| statement.execute([]));
        if let Err(error) = ended {
            tracing::warn!(%error, "a read could not be ended");
        }
    }
}

/// A prepared statement.
pub(in crate::store) enum Statement<'c> {
    Sqlite(rusqlite::CachedStatement<'c>),
    Postgres(&'c Session, Arc<Prepared>),
}

impl Statement<'_> {
    /// Runs a statement to its end; returns how many rows it changed.
    pub(in crate::store) fn execute(&mut self, parameters: impl Params) -> Result<usize> {
        match self {
            Self::Sqlite(statement) => Ok(match parameters.bound() {
                Bound::Places(cells) => statement.execute(rusqlite::params_from_iter(cells))?,
                Bound::Names(cells) => statement.execute(&named(&cells)[..])?,
            }),
            Self::Postgres(session, prepared) => session.execute(prepared, &parameters.bound()),
        }
    }

    /// Hands each row to `each` until that says `false`.
    pub(in crate::store) fn each(
        &mut self,
        parameters: impl Params,
        mut each: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        match self {
            Self::Sqlite(statement) => {
                let bound = parameters.bound();
                let mut rows = match &bound {
                    Bound::Places(cells) => statement.query(rusqlite::params_from_iter(cells))?,
                    Bound::Names(cells) => statement.query(&named(cells)[..])?,
                };
                while let Some(row) = rows.next()? {
                    if !each(&Row::Sqlite(row))? {
                        break;
                    }
                }
                Ok(())
            }
            Self::Postgres(session, prepared) => session.each(prepared, &parameters.bound(), each),
        }
    }
}

fn named<'v>(cells: &'v [(&'v str, Cell<'v>)]) -> Vec<(&'v str, &'v dyn rusqlite::ToSql)> {
    cells.iter().map(|(name, cell)| (*name, cell as &dyn rusqlite::ToSql)).collect()
}

/// A row, while the statement stands on it.
pub(in crate::store) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres(&'r tokio_postgres::Row),
}

impl Row<'_> {
    /// The value of a column. The error says what is wrong with it.
    pub(in crate::store) fn cell(&self, column: &str) -> std::result::Result<Cell<'_>, String> {
        match self {
            Self::Sqlite(row) => match row.get_ref(column).map_err(|error| error.to_string())? {
                ValueRef::Null => Ok(Cell::Null),
                ValueRef::Integer(value) => Ok(Cell::Integer(value)),
                ValueRef::Real(_) => Err("it is a fraction".to_owned()),
                ValueRef::Text(text) => std::str::from_utf8(text).map(Cell::Text).map_err(|error| error.to_string()),
                ValueRef::Blob(bytes) => Ok(Cell::Blob(bytes)),
            },
            Self::Postgres(row) => session::cell(row, column),
        }
    }

    /// The value of a column as a type of ours.
    pub(in crate::store) fn get<T: FromCell>(&self, column: &str) -> std::result::Result<T, String> {
        self.cell(column).and_then(T::from_cell)
    }
}

/// What a column's value can become.
pub(in crate::store) trait FromCell: Sized {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, String>;
}

fn unfit<T>(cell: Cell<'_>, wanted: &str) -> std::result::Result<T, String> {
    let found = match cell {
        Cell::Null => "null",
        Cell::Integer(_) => "an integer",
        Cell::Text(_) => "text",
        Cell::Blob(_) => "bytes",
    };
    Err(format!("it is {found}, not {wanted}"))
}

macro_rules! integers {
    ($($kind:ty)*) => {$(
        impl FromCell for $kind {
            fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, String> {
                match cell {
                    Cell::Integer(value) => value.try_into().map_err(|_| format!("{value} is out of range")),
                    other => unfit(other, "an integer"),
                }
            }
        }
    )*};
}

integers!(i64 i32 u32 u16 u8);

impl FromCell for bool {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, String> {
        i64::from_cell(cell).map(|value| value != 0)
    }
}

impl FromCell for String {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, String> {
        match cell {
            Cell::Text(text) => Ok(text.to_owned()),
            other => unfit(other, "text"),
        }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, String> {
        match cell {
            Cell::Blob(bytes) => Ok(bytes.to_vec()),
            other => unfit(other, "bytes"),
        }
    }
}

impl<const N: usize> FromCell for [u8; N] {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, String> {
        match cell {
            Cell::Blob(bytes) => bytes.try_into().map_err(|_| format!("it has {} bytes, not {N}", bytes.len())),
            other => unfit(other, "bytes"),
        }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: Cell<'_>) -> std::result::Result<Self, String> {
        match cell {
            Cell::Null => Ok(None),
            other => T::from_cell(other).map(Some),
        }
    }
}
