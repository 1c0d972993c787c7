//! One connection to PostgreSQL, used by one thread at a time, with the statements prepared on it.
//! Owns deadlines and what is known of the connection's state; how a statement is written for PostgreSQL is `dialect`'s.

use std::borrow::Cow;
use std::cell::{Cell as Held, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future::{join, join_all, join3};
use tokio::runtime::Handle;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::dialect::{self, Written};
use super::floors::Floors;
use super::turns::turn;
use crate::store::sql::connection::{Bound, Cell, Row};
use crate::store::sql::failure::{Failure, Result};

/// How a transaction begins, after `begin`: with a lock on writing, and with the place before the next of each feed, held shared: the
/// lowest that is held is how far the feed can be read. The high bits say which feed.
macro_rules! opening {
    ($lock:literal) => {
        concat!(
            "select ", $lock, "(", turn!(writing), "),
                 (select pg_advisory_xact_lock_shared(
                      (1::bigint << 60) | case when is_called then last_value else last_value - 1 end) from events_seq),
                 (select pg_advisory_xact_lock_shared(
                      (2::bigint << 60) | case when is_called then last_value else last_value - 1 end) from attempts_seq)"
        )
    };
}

/// How long a statement may take, the way there and back included.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whoever is alone waits for all who write, and holds them up; whoever writes beside others does not wait for them.
const OPEN_ALONE: &str = opening!("pg_advisory_xact_lock");
const OPEN_BESIDE: &str = opening!("pg_advisory_xact_lock_shared");

/// A connection. What it does blocks its thread.
#[derive(Debug)]
pub(in crate::store) struct Session {
    client: Client,
    runtime: Handle,
    prepared: RefCell<HashMap<String, Arc<Prepared>>>,
    own: RefCell<HashMap<&'static str, Statement>>,
    changes: Held<u64>,
    state: Held<State>,
    /// What the transaction begins with, until that is on its way: with the first that is asked in it.
    opening: RefCell<Option<Statement>>,
    floors: Arc<Floors>,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    InTransaction,
    /// A statement failed or was not answered: nothing more may be asked of it.
    Broken,
}

/// A statement of PostgreSQL's own with its values: see [`asked`].
pub(in crate::store) struct Asked<'v> {
    pub(in crate::store) sql: &'static str,
    pub(in crate::store) values: Vec<Box<dyn ToSql + Sync + 'v>>,
}

impl Asked<'_> {
    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

/// A statement of PostgreSQL's own with its values.
macro_rules! asked {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::postgres::session::Asked { sql: $sql, values: vec![$(Box::new($value) as _),*] }
    };
}

pub(in crate::store) use asked;

/// A statement of this connection.
#[derive(Debug)]
pub(in crate::store) struct Prepared {
    statement: Option<Statement>,
    written: Written,
}

impl Session {
    pub(super) fn new(client: Client, runtime: Handle, floors: Arc<Floors>) -> Self {
        Self {
            client,
            runtime,
            prepared: RefCell::default(),
            own: RefCell::default(),
            changes: Held::new(0),
            state: Held::new(State::Idle),
            opening: RefCell::default(),
            floors,
        }
    }

    /// What the connections of this store know of where to look for what is due.
    pub(in crate::store) fn floors(&self) -> &Floors {
        &self.floors
    }

    pub(in crate::store) fn total_changes(&self) -> u64 {
        self.changes.get()
    }

    pub(in crate::store) fn is_autocommit(&self) -> bool {
        self.state.get() != State::InTransaction
    }

    /// Whether it can be used for something else.
    pub(in crate::store) fn is_sound(&self) -> bool {
        self.state.get() == State::Idle && !self.client.is_closed()
    }

    /// Begins a transaction, alone or beside others. It says from which places on it may write rows: nobody who reads forward
    /// steps over those before it has ended, though others that began later are done.
    pub(in crate::store) fn begin(&self, beside: bool) -> Result<()> {
        let opening = self.own(if beside { OPEN_BESIDE } else { OPEN_ALONE })?;
        *self.opening.borrow_mut() = Some(opening);
        self.state.set(State::InTransaction);
        Ok(())
    }

    /// The statement for PostgreSQL, prepared unless it is one of a transaction's ends.
    pub(in crate::store) fn prepare(&self, sql: &str) -> Result<Arc<Prepared>> {
        if let Some(known) = self.prepared.borrow().get(sql) {
            return Ok(Arc::clone(known));
        }
        let written = dialect::write(sql);
        let statement = match written.frames {
            true => None,
            false => Some(self.within(self.client.prepare(&written.sql))?),
        };
        let prepared = Arc::new(Prepared { statement, written });
        self.prepared.borrow_mut().insert(sql.to_owned(), Arc::clone(&prepared));
        Ok(prepared)
    }

    pub(in crate::store) fn execute(&self, prepared: &Prepared, bound: &Bound<'_>) -> Result<usize> {
        let Some(statement) = &prepared.statement else {
            let sql = &prepared.written.sql;
            let done = self.within(self.client.batch_execute(sql));
            let ends = sql == "commit" || sql == "rollback";
            if sql == "rollback" {
                self.floors.forget();
            }
            match self.state.get() {
                State::Broken => {}
                // A commit that fails is over as well.
                _ if ends => self.state.set(State::Idle),
                _ if done.is_ok() => self.state.set(State::InTransaction),
                _ => {}
            }
            return done.map(|()| 0);
        };
        let cells = prepared.written.order(bound);
        let values: Vec<&(dyn ToSql + Sync)> = cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
        let changed = self.within(self.client.execute(statement, &values))?;
        self.changes.set(self.changes.get() + changed);
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(in crate::store) fn each(
        &self,
        prepared: &Prepared,
        bound: &Bound<'_>,
        mut each: impl FnMut(&Row<'_>) -> Result<bool>,
    ) -> Result<()> {
        let statement = prepared.statement.as_ref().expect("what frames a transaction returns nothing");
        let cells = prepared.written.order(bound);
        let values: Vec<&(dyn ToSql + Sync)> = cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
        let rows = self.within(self.client.query(statement, &values))?;
        if prepared.written.changes {
            self.changes.set(self.changes.get() + rows.len() as u64);
        }
        for row in &rows {
            if !each(&Row::Postgres(row))? {
                break;
            }
        }
        Ok(())
    }

    /// A statement of PostgreSQL's own, prepared once for each connection.
    fn own(&self, sql: &'static str) -> Result<Statement> {
        if let Some(known) = self.own.borrow().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.within(self.client.prepare(sql))?;
        self.own.borrow_mut().insert(sql, statement.clone());
        Ok(statement)
    }

    /// Runs a statement of PostgreSQL's own.
    pub(in crate::store) fn rows(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let statement = self.own(sql)?;
        let rows = self.within(self.client.query(&statement, values))?;
        self.changes.set(self.changes.get() + 1);
        Ok(rows)
    }

    /// Runs statements one after the other, on one way there and back. What each returned; the first failure is everyone's.
    pub(in crate::store) fn each_of(&self, asked: &[Asked<'_>]) -> Result<Vec<Vec<tokio_postgres::Row>>> {
        let statements = asked.iter().map(|one| self.own(one.sql)).collect::<Result<Vec<_>>>()?;
        let values: Vec<_> = asked.iter().map(Asked::values).collect();
        let queries = statements.iter().zip(&values).map(|(statement, values)| self.client.query(statement, values));
        let answers = self.within(async { Ok(join_all(queries).await) })?;
        self.changes.set(self.changes.get() + 1);
        answers.into_iter().map(|answer| self.within(async { answer })).collect()
    }

    /// Ends the transaction, with a last statement on the same way.
    pub(in crate::store) fn commit(&self, last: Option<&Asked<'_>>) -> Result<()> {
        let statement = last.map(|last| self.own(last.sql)).transpose()?;
        let last = statement.as_ref().zip(last.map(Asked::values));
        let done = self.within(async {
            let commit = self.client.batch_execute("commit");
            let Some((statement, values)) = &last else { return commit.await };
            let (written, committed) = join(self.client.query(*statement, values), commit).await;
            // What ends a transaction that has failed undoes it, and says nothing of that.
            written.and(committed)
        });
        if self.state.get() != State::Broken {
            self.state.set(State::Idle);
        }
        done
    }

    /// Waits for an answer, but not for ever. Whatever goes wrong ends what this connection can be used for, but for a
    /// transaction's rollback.
    fn within<T>(&self, asked: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>) -> Result<T> {
        let opening = self.opening.take();
        let asked = async {
            let Some(opening) = opening else { return asked.await };
            // What fails to open a transaction ends it as well: what is asked after it is not done.
            let (begun, opened, answer) =
                join3(self.client.batch_execute("begin"), self.client.query(&opening, &[]), asked).await;
            begun.and(opened).and(answer)
        };
        let answer = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, asked).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if error.is_closed() || error.as_db_error().is_none() {
                    self.state.set(State::Broken);
                }
                Err(Failure::Postgres(error))
            }
            Err(_) => {
                self.state.set(State::Broken);
                Err(Failure::Late(PATIENCE))
            }
        }
    }
}

/// The value of a column, read as what it is.
pub(in crate::store) fn cell<'r>(row: &'r tokio_postgres::Row, column: &str) -> std::result::Result<Cell<'r>, String> {
    let columns = row.columns();
    let index = columns.iter().position(|one| one.name() == column).ok_or("there is no such column")?;
    cell_at(row, index)
}

/// The value of the column at `index`.
pub(in crate::store) fn cell_at(row: &tokio_postgres::Row, index: usize) -> std::result::Result<Cell<'_>, String> {
    let integer = |value: Option<i64>| value.map_or(Cell::Null, Cell::Integer);
    let read = match *row.columns()[index].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(index).map(integer),
        Type::INT4 => row.try_get::<_, Option<i32>>(index).map(|value| integer(value.map(i64::from))),
        Type::INT2 => row.try_get::<_, Option<i16>>(index).map(|value| integer(value.map(i64::from))),
        Type::BOOL => row.try_get::<_, Option<bool>>(index).map(|value| integer(value.map(i64::from))),
        Type::BYTEA => row.try_get::<_, Option<&[u8]>>(index).map(|value| value.map_or(Cell::Null, Cell::Blob)),
        _ => row.try_get::<_, Option<&str>>(index).map(|value| value.map_or(Cell::Null, Cell::Text)),
    };
    read.map_err(|error| error.to_string())
}

/// Text as PostgreSQL can hold it, which is without a zero: that is kept as the character that stands for what cannot be said.
pub(in crate::store) fn sayable(text: &str) -> Cow<'_, str> {
    match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}").into(),
        false => text.into(),
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (*self, kind) {
            (Cell::Null, _) => Ok(IsNull::Yes),
            (Cell::Integer(value), &Type::INT8) => value.to_sql(kind, out),
            (Cell::Integer(value), &Type::INT4) => i32::try_from(value)?.to_sql(kind, out),
            (Cell::Integer(value), &Type::INT2) => i16::try_from(value)?.to_sql(kind, out),
            (Cell::Integer(value), &Type::BOOL) => (value != 0).to_sql(kind, out),
            (Cell::Blob(bytes), &Type::BYTEA) => bytes.to_sql(kind, out),
            (Cell::Text(text), &Type::TEXT | &Type::VARCHAR | &Type::NAME) => sayable(text).to_sql(kind, out),
            (cell, kind) => Err(format!("{cell:?} is no {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
