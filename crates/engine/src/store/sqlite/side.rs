//! SQLite's side of a copy: rows read and written in the order of keys. Owns the connection meanwhile, and with it the
//! data directory.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::directory::{self, DATABASE_FILE, Lock};
use super::{OpenError, backup, connection, migrate};
use crate::store::Copied;
use crate::store::moving::{self, Migrated, MoveError, NOTE_TABLE, Note, Result, Run, Table, Value, Values, failed};
use crate::store::sql::connection::Cell;

/// What the write-ahead log's file is cut down to.
const WAL_BYTES: u64 = 64 << 20;

/// A database in a file.
#[derive(Debug)]
pub(in crate::store) struct Side {
    connection: Connection,
    name: String,
    _lock: Option<Lock>,
}

/// The data directory, whose database is left as it is.
pub(in crate::store) fn source(directory: &Path) -> Result<Side> {
    let path = existing(directory)?;
    connection::assert_sound_sqlite()?;
    let lock = directory::claim(directory)?;
    let connection =
        connection::open_reading(&path).map_err(|cause| OpenError::Database { path: path.clone(), cause })?;
    refuse_unfinished(&connection, &path)?;
    let found = migrate::found(&connection).map_err(|cause| OpenError::Database { path: path.clone(), cause })?;
    let known = migrate::newest();
    if found > known {
        return Err(OpenError::SchemaTooNew { path, found, known }.into());
    }
    let name = path.display().to_string();
    if found < known {
        return Err(MoveError::Refused(format!(
            "the database `{name}` is at schema {found}, and a copy is made of schema {known}: run `hookward db migrate` on it first"
        )));
    }
    Ok(Side { connection, name, _lock: Some(lock) })
}

/// The data directory, made if need be, with a database that has everything but rows.
pub(in crate::store) fn target(directory: &Path) -> Result<Side> {
    connection::assert_sound_sqlite()?;
    let lock = directory::claim(directory)?;
    let path = directory::prepare_database(directory)?;
    let connection = connection::open_writing(&path, WAL_BYTES)?;
    let name = path.display().to_string();
    let unfinished = note(&connection).map_err(failed(&name))?;
    let found = migrate::found(&connection).map_err(failed(&name))?;
    if unfinished.is_some() && found != migrate::newest() {
        return Err(MoveError::Refused(format!(
            "the copy in `{name}` was begun by another version of Hookward: go on with that one, or remove it"
        )));
    }
    migrate::run(&connection, &path)?;
    // A process that is killed loses nothing by it, and a machine that is no more than the last moments. Rows come before those
    // that they refer to where the other database let them.
    connection
        .execute_batch(
            "pragma synchronous = normal; pragma foreign_keys = off; pragma secure_delete = off; pragma wal_autocheckpoint = 4096",
        )
        .map_err(failed(&name))?;
    Ok(Side { connection, name, _lock: Some(lock) })
}

/// Brings the schema to the newest known unless only that is asked: from which, and by which migrations.
pub(in crate::store) fn migrate(directory: &Path, run: Run) -> Result<Migrated> {
    let path = existing(directory)?;
    connection::assert_sound_sqlite()?;
    let _lock = (run == Run::Really).then(|| directory::claim(directory)).transpose()?;
    let connection = match run {
        Run::Really => connection::open_writing(&path, WAL_BYTES)?,
        Run::OnlyToSay => {
            connection::open_reading(&path).map_err(|cause| OpenError::Database { path: path.clone(), cause })?
        }
    };
    refuse_unfinished(&connection, &path)?;
    let (found, known) = (migrate::found(&connection).map_err(failed(&path.display().to_string()))?, migrate::newest());
    if found > known {
        return Err(OpenError::SchemaTooNew { path, found, known }.into());
    }
    if run == Run::Really {
        migrate::run(&connection, &path)?;
    }
    Ok(Migrated { from: found, to: known, names: migrate::after(found).map(str::to_owned).collect() })
}

/// A copy of the directory's database, which another process may be using.
pub(in crate::store) fn copy(directory: &Path) -> Result<Copied> {
    let path = existing(directory)?;
    connection::assert_sound_sqlite()?;
    let connection =
        connection::open_reading(&path).map_err(|cause| OpenError::Database { path: path.clone(), cause })?;
    refuse_unfinished(&connection, &path)?;
    backup::copy(&path).map_err(failed(&path.display().to_string()))
}

/// A database in memory that was just made.
pub(in crate::store) fn in_memory() -> Result<Side> {
    let name = "in memory".to_owned();
    Ok(Side { connection: migrate::in_memory().map_err(failed(&name))?, name, _lock: None })
}

/// Refuses a database with a copy in it that is not finished.
pub(in crate::store) fn refuse_unfinished(connection: &Connection, path: &Path) -> std::result::Result<(), OpenError> {
    let failed = |cause| OpenError::Database { path: path.to_owned(), cause };
    match note(connection).map_err(failed)? {
        None => Ok(()),
        Some(note) => Err(OpenError::Unfinished { path: path.to_owned(), origin: note.origin() }),
    }
}

/// The database in a directory that has one.
pub(in crate::store) fn existing(directory: &Path) -> Result<PathBuf> {
    let path = directory.join(DATABASE_FILE);
    match path.is_file() {
        true => Ok(path),
        false => Err(MoveError::Missing(directory.display().to_string())),
    }
}

/// The note's text, if there is one.
pub(in crate::store) fn note(connection: &Connection) -> rusqlite::Result<Option<moving::NoteText>> {
    let known = "select 1 from sqlite_schema where type = 'table' and name = ?1";
    if connection.query_row(known, [NOTE_TABLE], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let text = connection.query_row(&format!("select note from {NOTE_TABLE}"), [], |row| row.get(0))?;
    Ok(Some(moving::NoteText(text)))
}

impl Side {
    /// A database in a file that is lost if this process ends.
    pub(super) fn unkept(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let open = || {
            let connection = Connection::open(path)?;
            connection
                .execute_batch("pragma journal_mode = off; pragma synchronous = off; pragma foreign_keys = off")?;
            migrate::make(&connection)?;
            connection.execute_batch("pragma foreign_keys = off")?;
            Ok(connection)
        };
        let connection = open().map_err(|error: rusqlite::Error| failed(&name)(error))?;
        Ok(Self { connection, name, _lock: None })
    }

    pub(super) fn into_connection(self) -> Connection {
        self.connection
    }

    /// All or nothing.
    fn transaction(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<()> {
        let run = || {
            let transaction = self.connection.unchecked_transaction()?;
            change(&transaction)?;
            transaction.commit()
        };
        run().map_err(failed(&self.name))
    }

    fn number(&self, sql: &str) -> Result<i64> {
        self.connection.query_row(sql, [], |row| row.get(0)).map_err(failed(&self.name))
    }
}

fn keep(connection: &Connection, note: &Note) -> rusqlite::Result<()> {
    connection.prepare_cached(&format!("update {NOTE_TABLE} set note = ?1"))?.execute([note.text()]).map(drop)
}

impl moving::Side for Side {
    fn name(&self) -> &str {
        &self.name
    }

    fn holds_zeros(&self) -> bool {
        true
    }

    /// Nobody else writes: the directory is this process's, or the database is.
    fn look(&mut self) -> Result<()> {
        Ok(())
    }

    fn each(
        &mut self,
        table: &Table,
        after: Option<&[Value]>,
        each: &mut dyn FnMut(&[Cell<'_>]) -> Result<bool>,
    ) -> Result<()> {
        let key = table.key().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ");
        let beyond = match after {
            None => String::new(),
            Some(after) => format!(" where ({key}) > ({})", vec!["?"; after.len()].join(", ")),
        };
        let sql = format!("select {} from \"{}\"{beyond} order by {key}", table.list(), table.name);
        let name = &self.name;
        let mut statement = self.connection.prepare(&sql).map_err(failed(name))?;
        let parameters = after.unwrap_or_default().iter().map(Value::cell);
        let mut rows = statement.query(params_from_iter(parameters)).map_err(failed(name))?;
        while let Some(row) = rows.next().map_err(failed(name))? {
            let cell = |index: usize| {
                let unfit = |problem: &dyn std::fmt::Display| {
                    failed(name)(format!("`{}`, column `{}`: {problem}", table.name, table.columns[index].name))
                };
                match row.get_ref(index).map_err(|error| unfit(&error))? {
                    ValueRef::Null => Ok(Cell::Null),
                    ValueRef::Integer(value) => Ok(Cell::Integer(value)),
                    ValueRef::Real(_) => Err(unfit(&"it is a fraction")),
                    ValueRef::Text(text) => std::str::from_utf8(text).map(Cell::Text).map_err(|error| unfit(&error)),
                    ValueRef::Blob(bytes) => Ok(Cell::Blob(bytes)),
                }
            };
            let cells = (0..table.columns.len()).map(cell).collect::<Result<Vec<_>>>()?;
            if !each(&cells)? {
                break;
            }
        }
        Ok(())
    }

    fn count(&mut self, table: &Table) -> Result<u64> {
        let rows = self.number(&format!("select count(*) from \"{}\"", table.name))?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    fn last_place(&mut self, table: &Table) -> Result<i64> {
        let largest = self.number(&format!("select coalesce(max(seq), 0) from \"{}\"", table.name))?;
        let given = "select seq from sqlite_sequence where name = ?1";
        let given = self.connection.query_row(given, [&table.name], |row| row.get(0)).optional();
        Ok(largest.max(given.map_err(failed(&self.name))?.unwrap_or(0)))
    }

    fn note(&mut self) -> Result<Option<Note>> {
        note(&self.connection).map_err(failed(&self.name))?.map(|text| text.read(&self.name)).transpose()
    }

    fn begin(&mut self, note: &Note, emptied: &[&Table]) -> Result<()> {
        self.transaction(|connection| {
            connection.execute_batch(&format!("create table {NOTE_TABLE} (note text not null) strict"))?;
            connection.execute(&format!("insert into {NOTE_TABLE} (note) values (?1)"), [note.text()])?;
            for table in emptied {
                connection.execute(&format!("delete from \"{}\"", table.name), [])?;
            }
            Ok(())
        })
    }

    fn write(&mut self, table: &Table, rows: &Values, note: &Note) -> Result<()> {
        let places = vec!["?"; table.columns.len()].join(", ");
        let sql = format!("insert into \"{}\" ({}) values ({places})", table.name, table.list());
        self.transaction(|connection| {
            let mut insert = connection.prepare_cached(&sql)?;
            for row in rows.rows() {
                insert.execute(params_from_iter(row.iter().map(Value::cell)))?;
            }
            keep(connection, note)
        })
    }

    fn keep(&mut self, note: &Note) -> Result<()> {
        self.transaction(|connection| keep(connection, note))
    }

    fn finish(&mut self, places: &[(&Table, i64)]) -> Result<()> {
        self.transaction(|connection| {
            for (table, place) in places {
                // Only a table that gives a place never twice has a row here, and only once it gave one.
                let gives = "select sql like '%autoincrement%' from sqlite_schema where type = 'table' and name = ?1";
                if !connection.query_row(gives, [&table.name], |row| row.get(0))? {
                    continue;
                }
                connection.execute("delete from sqlite_sequence where name = ?1", [&table.name])?;
                connection.execute("insert into sqlite_sequence (name, seq) values (?1, ?2)", (&table.name, place))?;
            }
            connection.execute_batch(&format!("drop table {NOTE_TABLE}"))
        })?;
        let checkpointed = self.connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
        checkpointed.map_err(failed(&self.name))
    }
}
