//! The PostgreSQL database of a server, where the tests run on that store: one for each data directory, so that a server that
//! is started again finds what it had, and gone when the directory is. Owns which store the tests run on.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::world;

/// Names the cluster, in the words of `psql`, and of Hookward; a database's name may follow.
pub const CLUSTER: &str = "HOOKWARD_TEST_POSTGRES";

/// Says that servers keep their data in that cluster, when it is `postgres`.
pub const STORE: &str = "HOOKWARD_TEST_STORE";

/// The databases that this process made, by the data directories that they stand for.
static MADE: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

/// A test that is about SQLite's own files: whether it has something to look at. If not, it says so, whoever listens.
pub fn has_files(test: &str) -> bool {
    if !is_postgres() {
        return true;
    }
    // Not by a macro, whose output a test's harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "{test}: SKIPPED on PostgreSQL: it is about SQLite's own files");
    false
}

/// Whether servers keep their data in PostgreSQL.
pub fn is_postgres() -> bool {
    world::var(STORE).is_some_and(|store| store == "postgres")
}

/// How long what a killed server was at stays its own, where others might share the database: the longest attempt that it could
/// be at, and time to settle. In a file it is given back by the next start.
pub fn lease(longest_attempt: Duration) -> Duration {
    if is_postgres() { longest_attempt + Duration::from_secs(30) } else { Duration::ZERO }
}

/// Where the server with this data directory has its database, if it is not there: made now, unless it is.
pub fn address(data: &Path) -> Result<Option<String>> {
    if !is_postgres() {
        return Ok(None);
    }
    let cluster = cluster()?;
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever clears a directory away, with all that is beside it, is done with what stands for it.
    let is_gone = |data: &&PathBuf| !data.parent().is_some_and(Path::exists);
    let gone: Vec<PathBuf> = made.keys().filter(is_gone).cloned().collect();
    for database in gone.iter().filter_map(|data| made.remove(data)) {
        psql(&cluster, &format!("drop database if exists {database} with (force)"))?;
    }
    let database = name(data);
    if !made.contains_key(data) {
        // Of another process, and another directory of this name.
        psql(&cluster, &format!("drop database if exists {database} with (force)"))?;
        psql(&cluster, &format!("create database {database}"))?;
        made.insert(data.to_owned(), database.clone());
    }
    Ok(Some(format!("{cluster} dbname={database}")))
}

/// Every row of the database that stands for this directory, table by table, as PostgreSQL writes it to whoever restores it.
pub fn rows(directory: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(database) = made.get(directory) else { return Ok(Vec::new()) };
    let address = format!("{} dbname={database}", cluster()?);
    let tables = "select format('%I.%I', schemaname, tablename) from pg_tables
                  where schemaname not in ('pg_catalog', 'information_schema')";
    let tables = String::from_utf8(psql(&address, tables)?)?;
    let read = |table: &str| {
        let rows = psql(&address, &format!("copy (select * from {table}) to stdout (format binary)"))?;
        Ok((format!("{database}, {table}"), rows))
    };
    tables.lines().map(read).collect()
}

fn cluster() -> Result<String> {
    world::var(CLUSTER).with_context(|| format!("{STORE} is postgres, and {CLUSTER} names none"))
}

fn name(data: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    format!("server_{:016x}", hasher.finish())
}

/// What `psql` prints of some SQL.
pub fn psql(address: &str, sql: &str) -> Result<Vec<u8>> {
    let said = Command::new("psql").args([address, "-qAtc", sql]).output().context("cannot start psql")?;
    ensure!(said.status.success(), "{sql}: {}", String::from_utf8_lossy(&said.stderr));
    Ok(said.stdout)
}
