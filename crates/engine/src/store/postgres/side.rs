//! PostgreSQL's side of a copy: rows read in the order of keys by a cursor, and written by `copy`. Owns the connection
//! meanwhile, and the lock that keeps nodes from starting and a second copy from beginning.

use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::session::{cell_at, sayable};
use super::turns::turn;
use super::{Access, OpenError, Way, days, look_over, migrate, pooling, said};
use crate::store::moving::{
    self, Migrated, MoveError, NOTE_TABLE, Note, Result, Run, Table, Value, Values, bytes, failed,
};
use crate::store::sql::connection::Cell;
use crate::store::{Copied, sqlite};

/// A statement of a copy takes as long as it takes, and so does what comes between two.
const SETTINGS: &str =
    "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0; set lock_timeout = '10s'";

/// A snapshot of everything.
const SNAPSHOT: &str = "begin isolation level repeatable read read only";

/// A node that writes itself down every second or so.
pub(super) const SERVING: &str = "select name from nodes where state <> 'gone'
    and seen_at_ms > (extract(epoch from clock_timestamp()) * 1000)::bigint - 10000 order by name limit 1";

/// What gives out a table's places.
const SEQUENCE: &str = "coalesce(pg_get_serial_sequence($1, 'seq'), $1 || '_seq')::regclass";

/// Tables that are read or written under another name than SQLite's: name, read from, written to.
const ELSEWHERE: [(&str, &str, &str); 2] =
    [("secrets", "secrets_used", "secrets"), ("source_totals", "source_totals", "source_totals_folded")];

fn read_from(table: &Table) -> &str {
    let known = ELSEWHERE.iter().find(|(name, ..)| *name == table.name);
    known.map_or(&table.name, |(_, from, _)| from)
}

fn written_to(table: &Table) -> &str {
    let known = ELSEWHERE.iter().find(|(name, ..)| *name == table.name);
    known.map_or(&table.name, |(.., to)| to)
}

/// Rows that are asked for at first, and bytes that are asked for at once when it is known what a row takes.
const FIRST_ROWS: usize = 128;
const BYTES: usize = 4 << 20;
const ROWS: usize = 5_000;

/// A database of PostgreSQL's.
#[derive(Debug)]
pub(in crate::store) struct Side {
    pub(super) client: Client,
    pub(super) way: Arc<Way>,
    /// Whether a snapshot is held.
    is_looking: bool,
    /// The types of a table's columns.
    types: HashMap<String, Vec<Type>>,
}

/// The database at an address, which is left as it is.
pub(in crate::store) fn source(access: &Access) -> Result<Side> {
    let side = Side::open(access)?;
    side.lock()?;
    side.refuse_served()?;
    side.refuse_unfinished()?;
    side.check_schema()?;
    Ok(side)
}

/// The database at an address, with everything but rows.
pub(in crate::store) fn target(access: &Access) -> Result<Side> {
    let mut side = Side::open(access)?;
    side.lock()?;
    side.refuse_served()?;
    match moving::Side::note(&mut side)? {
        None => {
            let Side { client, way, .. } = &mut side;
            way.runtime().block_on(migrate::run(client, &way.name))?;
        }
        Some(_) if side.schema()? == migrate::newest() => {}
        Some(_) => {
            return Err(MoveError::Refused(format!(
                "the copy in `{}` was begun by another version of Hookward: go on with that one, or empty the database",
                side.way.name
            )));
        }
    }
    let Side { client, way, .. } = &mut side;
    let failed = |cause| OpenError::Database { database: way.name.clone(), cause };
    way.runtime().block_on(days::prepare(client)).map_err(failed)?;
    Ok(side)
}

/// Everything as it is at one moment, in a database of SQLite's, which any store can be made of again. Nodes go on.
pub(super) fn copy(way: &Arc<Way>, directory: &Path) -> Result<Copied> {
    let mut side = Side::on(Arc::clone(way))?;
    side.refuse_unfinished()?;
    side.check_schema()?;
    sqlite::backup::copy_of_other(directory, |to| moving::whole(&mut side, to))
}

/// [`copy`] of the database at an address.
pub(in crate::store) fn copy_at(access: &Access, directory: &Path) -> Result<Copied> {
    copy(&Arc::new(Way::new(access)?), directory)
}

/// Brings the schema to the newest known unless only that is asked: from which, and by which migrations.
pub(in crate::store) fn migrate(access: &Access, run: Run) -> Result<Migrated> {
    let mut side = Side::open(access)?;
    side.refuse_unfinished()?;
    let (found, known) = (side.schema()?, migrate::newest());
    if found > known {
        return Err(OpenError::SchemaTooNew { database: side.way.name.clone(), found, known }.into());
    }
    let names = migrate::after(found).map(str::to_owned).collect();
    if run == Run::Really {
        let Side { client, way, .. } = &mut side;
        way.runtime().block_on(migrate::run(client, &way.name))?;
    }
    let number = |schema| u32::try_from(schema).unwrap_or(0);
    Ok(Migrated { from: number(found), to: number(known), names })
}

/// Refuses a database with a copy in it that is not finished, or with one under way.
pub(super) async fn refuse_copy(client: &Client, name: &str) -> std::result::Result<(), OpenError> {
    let failed = |cause| OpenError::Database { database: name.to_owned(), cause };
    // The server takes a moment to see that whoever held the lock is gone.
    const ASKED: &str = concat!(
        "begin; set local lock_timeout = '2s'; select pg_advisory_xact_lock_shared(",
        turn!(copying),
        "); commit"
    );
    client.batch_execute(ASKED).await.map_err(|error| match error.code() {
        Some(&SqlState::LOCK_NOT_AVAILABLE) => OpenError::BeingCopied(name.to_owned()),
        _ => failed(error),
    })?;
    match note(client).await.map_err(failed)? {
        None => Ok(()),
        Some(note) => Err(OpenError::Unfinished { database: name.to_owned(), origin: note.origin() }),
    }
}

/// The note's text, if there is one.
pub(super) async fn note(client: &Client) -> std::result::Result<Option<moving::NoteText>, tokio_postgres::Error> {
    let known = client.query_one("select to_regclass($1) is not null as known", &[&NOTE_TABLE]).await?;
    if !known.get::<_, bool>("known") {
        return Ok(None);
    }
    let row = client.query_one(&format!("select note from {NOTE_TABLE}"), &[]).await?;
    Ok(Some(moving::NoteText(row.get("note"))))
}

/// The schema of a database; 0 of one without any.
pub(super) async fn schema(client: &Client) -> std::result::Result<i64, tokio_postgres::Error> {
    let known = client.query_one("select to_regclass('migrations') is not null as known", &[]).await?;
    match known.get("known") {
        false => Ok(0),
        true => Ok(client.query_one("select coalesce(max(number), 0) from migrations", &[]).await?.get(0)),
    }
}

impl Side {
    pub(super) fn open(access: &Access) -> Result<Self> {
        Self::on(Arc::new(Way::new(access)?))
    }

    fn on(way: Arc<Way>) -> Result<Self> {
        let client = way.runtime().block_on(async {
            pooling::refuse_shared_sessions(&way).await?;
            let client = way.connect().await?;
            look_over(&client, &way.name).await?;
            let failed = |cause| OpenError::Database { database: way.name.clone(), cause };
            client.batch_execute(SETTINGS).await.map_err(failed)?;
            Ok::<_, OpenError>(client)
        })?;
        Ok(Self { client, way, is_looking: false, types: HashMap::new() })
    }

    /// Waits for an answer.
    pub(super) fn ask<T>(
        &self,
        asked: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        self.way.runtime().block_on(asked).map_err(|error| failed(&self.way.name)(said(&error)))
    }

    fn lock(&self) -> Result<()> {
        let name = &self.way.name;
        let sql = format!("set lock_timeout = '3s'; select pg_advisory_lock({}); {SETTINGS}", turn!(copying));
        self.way.runtime().block_on(self.client.batch_execute(&sql)).map_err(|error| match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                MoveError::Refused(format!("another copy from or into `{name}` is under way"))
            }
            _ => failed(name)(said(&error)),
        })
    }

    /// A node that was killed counts for some moments more.
    fn refuse_served(&self) -> Result<()> {
        let known = self.ask(self.client.query_one("select to_regclass('nodes') is not null as known", &[]))?;
        if !known.get::<_, bool>("known") {
            return Ok(());
        }
        match self.ask(self.client.query_opt(SERVING, &[]))? {
            None => Ok(()),
            Some(node) => Err(MoveError::Refused(format!(
                "the database `{}` is served by the node {}: stop it (one that was killed counts for ten seconds more)",
                self.way.name,
                node.get::<_, String>("name")
            ))),
        }
    }

    fn refuse_unfinished(&self) -> Result<()> {
        match self.ask(note(&self.client))? {
            None => Ok(()),
            Some(note) => Err(OpenError::Unfinished { database: self.way.name.clone(), origin: note.origin() }.into()),
        }
    }

    pub(super) fn schema(&self) -> Result<i64> {
        self.ask(schema(&self.client))
    }

    fn check_schema(&self) -> Result<()> {
        let (database, found, known) = (self.way.name.clone(), self.schema()?, migrate::newest());
        match found {
            0 => Err(MoveError::Missing(database)),
            _ if found == known => Ok(()),
            _ if found > known => Err(OpenError::SchemaTooNew { database, found, known }.into()),
            _ => Err(MoveError::Refused(format!(
                "the database `{database}` is at schema {found}, and a copy is made of schema {known}: run \
                 `hookward db migrate` on it first"
            ))),
        }
    }

    /// All or nothing.
    fn transaction(
        &mut self,
        change: impl AsyncFnOnce(&Client) -> std::result::Result<(), tokio_postgres::Error>,
    ) -> Result<()> {
        self.end_look()?;
        let client = &self.client;
        self.ask(async {
            client.batch_execute("begin").await?;
            match change(client).await {
                Ok(()) => client.batch_execute("commit").await,
                Err(error) => {
                    // The connection may be gone, and the transaction with it.
                    let _ = client.batch_execute("rollback").await;
                    Err(error)
                }
            }
        })
    }

    fn end_look(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_looking) {
            self.ask(self.client.batch_execute("commit"))?;
        }
        Ok(())
    }

    /// The types of the columns that rows are written to.
    fn types_of(&mut self, table: &Table) -> Result<Vec<Type>> {
        if let Some(types) = self.types.get(&table.name) {
            return Ok(types.clone());
        }
        let sql = format!("select {} from \"{}\" where false", table.list(), written_to(table));
        let statement = self.ask(self.client.prepare(&sql))?;
        let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
        self.types.insert(table.name.clone(), types.clone());
        Ok(types)
    }

    /// Hands over what the cursor has, a few megabytes at once.
    fn fetch(&self, table: &Table, each: &mut dyn FnMut(&[Cell<'_>]) -> Result<bool>) -> Result<()> {
        let mut wanted = FIRST_ROWS;
        loop {
            let rows = self.ask(self.client.query(&format!("fetch {wanted} from moving"), &[]))?;
            let mut taken = 0;
            for row in &rows {
                let cell = |index: usize| {
                    let column = &table.columns[index].name;
                    let unfit =
                        |problem| failed(&self.way.name)(format!("`{}`, column `{column}`: {problem}", table.name));
                    cell_at(row, index).map_err(unfit)
                };
                let cells = (0..table.columns.len()).map(cell).collect::<Result<Vec<_>>>()?;
                taken += bytes(&cells);
                if !each(&cells)? {
                    return Ok(());
                }
            }
            if rows.len() < wanted {
                return Ok(());
            }
            wanted = (BYTES / (taken / rows.len()).max(1)).clamp(1, ROWS);
        }
    }
}

async fn keep(client: &Client, note: &Note) -> std::result::Result<(), tokio_postgres::Error> {
    client.execute(&format!("update {NOTE_TABLE} set note = $1"), &[&sayable(&note.text())]).await.map(drop)
}

impl moving::Side for Side {
    fn name(&self) -> &str {
        &self.way.name
    }

    fn holds_zeros(&self) -> bool {
        false
    }

    fn look(&mut self) -> Result<()> {
        self.end_look()?;
        self.ask(self.client.batch_execute(SNAPSHOT))?;
        self.is_looking = true;
        Ok(())
    }

    fn each(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
        each: &mut dyn FnMut(&[Cell<'_>]) -> Result<bool>,
    ) -> Result<()> {
        let looked = self.is_looking;
        if !looked {
            moving::Side::look(self)?;
        }
        // Keys are in the order of their bytes, whatever the database's language is.
        let column = |column: &moving::Column| match column.is_text {
            true => format!("\"{}\" collate \"C\"", column.name),
            false => format!("\"{}\"", column.name),
        };
        let key = table.key().map(column).collect::<Vec<_>>().join(", ");
        let beyond = match after {
            None => String::new(),
            Some(after) => {
                let places: Vec<_> = (1..=after.len()).map(|place| format!("${place}")).collect();
                format!(" where ({key}) > ({})", places.join(", "))
            }
        };
        let select = format!("select {} from \"{}\"{beyond} order by {key}", table.list(), read_from(table));
        let cells: Vec<Cell<'_>> = after.unwrap_or_default().iter().map(Value::cell).collect();
        let values: Vec<&(dyn ToSql + Sync)> = cells.iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
        self.ask(self.client.execute(&format!("declare moving no scroll cursor for {select}"), &values))?;
        let handed = self.fetch(table, each);
        match looked {
            true => self.ask(self.client.batch_execute("close moving"))?,
            false => self.end_look()?,
        }
        handed
    }

    fn count(&mut self, table: &Table) -> Result<u64> {
        let row = self.ask(self.client.query_one(&format!("select count(*) from \"{}\"", read_from(table)), &[]))?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    fn last_place(&mut self, table: &Table) -> Result<i64> {
        let largest = format!("select coalesce(max(seq), 0) from \"{}\"", table.name);
        let largest: i64 = self.ask(self.client.query_one(&largest, &[]))?.get(0);
        if !table.gives_places() {
            return Ok(largest);
        }
        let given = format!("select coalesce(pg_sequence_last_value({SEQUENCE}), 0)");
        let given: i64 = self.ask(self.client.query_one(&given, &[&table.name]))?.get(0);
        Ok(largest.max(given))
    }

    fn note(&mut self) -> Result<Option<Note>> {
        self.ask(note(&self.client))?.map(|text| text.read(&self.way.name)).transpose()
    }

    fn begin(&mut self, note: &Note, emptied: &[&Table]) -> Result<()> {
        self.transaction(async |client| {
            client.batch_execute(&format!("create table {NOTE_TABLE} (note text not null)")).await?;
            let text = note.text();
            client.execute(&format!("insert into {NOTE_TABLE} (note) values ($1)"), &[&text]).await?;
            for table in emptied {
                client.batch_execute(&format!("delete from \"{}\"", written_to(table))).await?;
            }
            Ok(())
        })
    }

    fn write(&mut self, table: &Table, rows: &Values, note: &Note) -> Result<()> {
        let types = self.types_of(table)?;
        let sql = format!("copy \"{}\" ({}) from stdin (format binary)", written_to(table), table.list());
        self.transaction(async |client| {
            let sink = client.copy_in(&sql).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
            for row in rows.rows() {
                let cells: Vec<Cell<'_>> = row.iter().map(Value::cell).collect();
                writer.as_mut().write_raw(&cells).await?;
            }
            writer.finish().await?;
            keep(client, note).await
        })
    }

    fn keep(&mut self, note: &Note) -> Result<()> {
        self.transaction(async |client| keep(client, note).await)
    }

    fn finish(&mut self, places: &[(&Table, i64)]) -> Result<()> {
        let mut further = Vec::new();
        for (table, place) in places {
            // Places that were given out here before are not given out again either.
            let last = moving::Side::last_place(self, table)?.max(*place);
            further.push((table.name.as_str(), last));
        }
        self.transaction(async |client| {
            for (table, last) in further.iter().filter(|(_, last)| *last > 0) {
                client.execute(&format!("select setval({SEQUENCE}, $2)"), &[table, last]).await?;
            }
            client.batch_execute(&format!("drop table {NOTE_TABLE}")).await
        })?;
        self.ask(self.client.batch_execute("analyze"))
    }
}
