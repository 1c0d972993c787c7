//! The shared store's own: a database for each test, in the cluster that `HOOKWARD_TEST_POSTGRES` names.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookward_engine::store::postgres::{self, Access};
use hookward_engine::store::sql::Limits;

use super::support::Shared;

/// The cluster's address, without a database: `cargo xtask ci` starts one. Where there is none, these tests say so.
const CLUSTER: &str = "HOOKWARD_TEST_POSTGRES";

/// A database that is removed at the end of its test.
pub(crate) struct Database {
    cluster: String,
    name: String,
}

impl Database {
    /// What a statement on this database says, a line for each row.
    pub(crate) fn query(&self, sql: &str) -> Vec<String> {
        run(&self.address(), sql)
    }

    /// A new one, where there is a cluster.
    #[expect(clippy::disallowed_methods, reason = "a test is told where the cluster is")]
    pub(crate) fn make() -> Option<Self> {
        let cluster = std::env::var(CLUSTER).ok();
        if cluster.is_none() {
            eprintln!("skipped: `{CLUSTER}` names no PostgreSQL; `cargo xtask ci` starts one");
        }
        cluster.map(Self::new)
    }

    fn new(cluster: String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let database = Self { cluster, name };
        database.maintain(&format!("create database {}", database.name));
        database
    }

    pub(crate) fn address(&self) -> String {
        format!("{} dbname={}", self.cluster, self.name)
    }

    /// A store on it, as one of several nodes has it.
    pub(crate) fn open(&self) -> Shared {
        let limits = Limits { readers: 2, patience: Duration::from_secs(60), ..Limits::default() };
        Arc::new(postgres::open(&Access::to(self.address()), &limits).expect("a store"))
    }

    /// Runs a statement on the cluster's own database.
    fn maintain(&self, sql: &str) {
        run(&self.cluster, sql);
    }

    /// Holds what `sql` locks, until that is dropped.
    pub(crate) fn holding(&self, sql: &str) -> Holding {
        let mut psql = Command::new("psql")
            .args([&self.address(), "-qAt"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql");
        let asked = psql.stdin.as_mut().expect("a pipe");
        writeln!(asked, "begin; {sql}; select 'held';").expect("psql reads");
        let mut line = String::new();
        BufReader::new(psql.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("psql answers");
        assert_eq!(line.trim(), "held");
        Holding(psql)
    }

    /// Waits until so many wait for a lock.
    pub(crate) async fn has_waiting(&self, count: usize) {
        let waiting = "select count(*) from pg_locks where not granted and database =
                           (select oid from pg_database where datname = current_database())";
        while self.query(waiting) != [count.to_string()] {
            tokio::task::yield_now().await;
        }
    }

    /// Ends every connection to it, and lets none in until [`Database::heal`].
    pub(crate) fn cut(&self) {
        self.maintain(&format!("alter database {} allow_connections false", self.name));
        self.maintain(&format!(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{}'",
            self.name
        ));
    }

    /// Lets connections in again.
    pub(crate) fn heal(&self) {
        self.maintain(&format!("alter database {} allow_connections true", self.name));
    }
}

/// A transaction that holds something.
pub(crate) struct Holding(Child);

impl Drop for Holding {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("psql ends");
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.maintain(&format!("drop database {} with (force)", self.name));
    }
}

/// What a statement says, a line for each row.
fn run(address: &str, sql: &str) -> Vec<String> {
    let said = Command::new("psql").args([address, "-qAtc", sql]).output().expect("psql");
    assert!(said.status.success(), "{sql}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).lines().map(str::to_owned).collect()
}

/// A store in a database of its own.
pub(crate) fn open() -> Option<(Shared, Database)> {
    let database = Database::make()?;
    Some((database.open(), database))
}
