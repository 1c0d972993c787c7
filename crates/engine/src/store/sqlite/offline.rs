//! Looking at a database without owning it: a copy that is to be put in place, or one that another process has open.
//! Owns what is checked there; nothing is written.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Row};

use super::directory::DATABASE_FILE;
use super::{OpenError, connection, migrate};
use crate::model::{Broken, ChainRow, Checked, Facts, Head, Verifier};

/// What a database turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Its schema.
    pub schema: u32,
    /// Its audit log's head.
    pub head: Head,
    /// The rows of its audit log.
    pub audit_rows: u64,
}

/// Checks a database file by itself: SQLite's own structures, its schema, its audit log.
///
/// # Errors
///
/// [`OpenError`], the first thing that is wrong.
pub fn examine(path: &Path) -> Result<Examined, OpenError> {
    let (connection, schema) = open(path)?;
    let failed = |cause| OpenError::Database { path: path.to_owned(), cause };
    let verdict: String = connection.query_row("pragma integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged { path: path.to_owned(), problem: verdict });
    }
    let checked = check(&connection, Verifier::whole()).map_err(failed)?;
    let checked = checked
        .map_err(|broken| OpenError::Damaged { path: path.to_owned(), problem: format!("its audit log: {broken}") })?;
    Ok(Examined { schema, head: checked.head, audit_rows: checked.rows })
}

/// Checks the audit log of the data directory `dir`, which another process may be writing to: the rows that are there when
/// the check begins.
///
/// # Errors
///
/// [`OpenError`] when it cannot be read; what is wrong with the log itself is an answer.
pub fn check_audit(dir: &Path, verifier: Verifier) -> Result<Result<Checked, Broken>, OpenError> {
    let path = dir.join(DATABASE_FILE);
    let (connection, _) = open(&path)?;
    check(&connection, verifier).map_err(|cause| OpenError::Database { path, cause })
}

fn open(path: &Path) -> Result<(Connection, u32), OpenError> {
    let failed = |cause| OpenError::Database { path: path.to_owned(), cause };
    connection::assert_sound_sqlite()?;
    let connection = connection::open_reading(path).map_err(failed)?;
    let schema = connection
        .query_row("select coalesce(max(number), 0) from migrations", [], |row| row.get(0))
        .map_err(failed)?;
    let path: PathBuf = path.to_owned();
    let (chained, newest) = (migrate::number_of("audit_chain"), migrate::newest());
    if schema > newest {
        return Err(OpenError::SchemaTooNew { path, found: schema, known: newest });
    }
    if schema < chained {
        return Err(OpenError::SchemaTooOld { path, found: schema, known: chained });
    }
    Ok((connection, schema))
}

/// One statement is one snapshot, whatever is appended meanwhile.
fn check(connection: &Connection, mut verifier: Verifier) -> rusqlite::Result<Result<Checked, Broken>> {
    let mut statement = connection.prepare("select * from audit order by seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Err(broken) = check_row(&mut verifier, row)? {
            return Ok(Err(broken));
        }
    }
    Ok(verifier.finish())
}

fn check_row(verifier: &mut Verifier, row: &Row<'_>) -> rusqlite::Result<Result<(), Broken>> {
    // Whatever the bytes are, they are hashed as they stand.
    let bytes = |column| row.get_ref(column)?.as_bytes().map_err(rusqlite::Error::from);
    let facts = Facts {
        organization: bytes("organization_id")?,
        at_ms: row.get("at_ms")?,
        actor: bytes("actor")?,
        address: bytes("address")?,
        action: bytes("action")?,
        target: bytes("target")?,
        detail: bytes("detail")?,
    };
    Ok(verifier.check(&ChainRow { seq: row.get("seq")?, facts, prev: None, hash: bytes("hash")? }))
}
