//! The PostgreSQL database of a server, where the tests run on that store: one for each data directory, so that a server that
//! is started again finds what it had.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::world;

/// Names the cluster, in the words of `psql`; and says that servers keep their data there.
const CLUSTER: &str = "HOOKWARD_TEST_POSTGRES";
const STORE: &str = "HOOKWARD_TEST_STORE";

/// The options of `hookward serve` that name the database of the server with this data directory.
pub(crate) fn of(data: &Path) -> Result<Vec<String>> {
    if world::var(STORE).is_none_or(|store| store != "postgres") {
        return Ok(Vec::new());
    }
    let cluster = world::var(CLUSTER).with_context(|| format!("{STORE} is postgres, and {CLUSTER} names none"))?;
    let mut hasher = DefaultHasher::new();
    data.hash(&mut hasher);
    let name = format!("server_{:016x}", hasher.finish());
    let created = psql(&cluster, &format!("create database {name}"))?;
    ensure!(created.is_empty() || created.contains("already exists"), "create database: {created}");
    Ok(vec!["--database".to_owned(), format!("{cluster} dbname={name}")])
}

/// What `psql` had to complain of.
fn psql(cluster: &str, sql: &str) -> Result<String> {
    let said = Command::new("psql").args([cluster, "-qAtc", sql]).output().context("cannot start psql")?;
    Ok(String::from_utf8_lossy(&said.stderr).into_owned())
}
