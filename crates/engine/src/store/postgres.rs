//! The store that several nodes share: one PostgreSQL database. Owns opening it; what is done with it is [`super::sql`]'s.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::moving::Unfinished;
use super::sql::connection::Connection;
use super::sql::failure::{Failure, Result};
use super::sql::readers::Readers;
use super::sql::writer::Writer;
use super::sql::{FirstStart, Following, Limits, Medium, READERS_DUE, SqlStore};
use super::{Copied, Old, StoreError};
pub use access::Access;
use floors::Floors;
use knocks::Knocks;
use session::Session;

mod access;
mod address;
mod beginning;
pub(in crate::store) mod days;
pub(in crate::store) mod deliver;
mod dialect;
pub(in crate::store) mod ending;
mod floors;
pub(in crate::store) mod ingest;
pub(in crate::store) mod knocks;
mod migrate;
pub(in crate::store) mod places;
#[cfg(test)]
pub(in crate::store) mod plans;
mod pooling;
mod room;
pub(in crate::store) mod session;
pub(in crate::store) mod side;
pub(in crate::store) mod status;
pub(in crate::store) mod turns;

/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(2);

/// What each connection is told: nothing waits for a node that is gone, and nothing for ever. Statements walk indexes, whatever is
/// known of a table that was empty when it was last looked at, and are too short to be compiled.
const SETTINGS: &str =
    "set idle_in_transaction_session_timeout = '2s'; set statement_timeout = '10s'; set lock_timeout = '5s';
    set default_transaction_isolation = 'read committed'; set timezone = 'UTC'; set client_min_messages = 'warning';
    set enable_seqscan = off; set enable_mergejoin = off; set jit = off";

/// What connections for leases are told besides. However many rows the table of what is outstanding had when it was last looked at,
/// they come in the order in which they are due, and from where on they are asked for: all of them are never sorted.
const IN_ORDER: &str = "set enable_sort = off; set enable_bitmapscan = off";

/// What connections for lists are told besides. Each list is planned for what it asks for: a plan for any source, type or state takes
/// what is asked for to be as frequent as the others, and walks all days for what is seldom, or never there.
const AS_ASKED: &str = "set plan_cache_mode = force_custom_plan";

/// Why a database could not be opened. Every variant names the database, and the operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address says nothing that can be used.
    #[error("the database's address cannot be used: {}", address::fault(.0))]
    Address(tokio_postgres::Error),
    /// The authorities that its certificate is held against cannot be read.
    #[error("the certificates in `{}` cannot be used: {problem}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It cannot be reached, or refuses.
    #[error("the database `{database}` cannot be used: {}", address::refusal(cause))]
    Database {
        /// Which, without its password.
        database: String,
        /// What it, or the way to it, said.
        cause: tokio_postgres::Error,
    },
    /// It did not answer in time.
    #[error("the database `{0}` did not answer in time")]
    Silent(String),
    /// Its sessions are handed on from one connection to the next.
    #[error(
        "the database `{0}` is behind a pooler that hands sessions on between transactions, where neither settings nor \
         prepared statements stay: let it pool sessions (PgBouncer: `pool_mode = session`), or name the database itself"
    )]
    SharedSessions(String),
    /// It tells a commit before that is on disk.
    #[error(
        "the database `{0}` has synchronous_commit off, so it would say that events are kept before they are: turn it on"
    )]
    Unsynced(String),
    /// It is older than what is supported.
    #[error("the database `{database}` is PostgreSQL {found}; 14 or later is needed")]
    TooOld {
        /// Which.
        database: String,
        /// Its version.
        found: String,
    },
    /// A copy into it was not finished.
    #[error(
        "the database `{database}` holds a copy of `{origin}` that is not finished: run the same `hookward db` command \
         again, which goes on with it, or empty the database"
    )]
    Unfinished {
        /// Which.
        database: String,
        /// What it is a copy of.
        origin: String,
    },
    /// It is being copied, or copied into.
    #[error("the database `{0}` is being copied, or copied into: wait until `hookward db` is done with it")]
    BeingCopied(String),
    /// A newer Hookward wrote it, and an older one must not go on with it.
    #[error(
        "the database `{database}` is at schema {found}, with which a version that knows only up to {known} must not go on: \
         run that version or a later one"
    )]
    SchemaTooNew {
        /// Which.
        database: String,
        /// Its schema.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// This process cannot make the threads it needs.
    #[error("no thread could be made for the database: {0}")]
    Threads(std::io::Error),
}

/// The way to the database.
struct Way {
    config: Config,
    tls: MakeRustlsConnect,
    /// What its connections run on. Threads that ask block; nothing else runs here.
    runtime: Option<Runtime>,
    name: String,
    floors: Arc<Floors>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Way").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        // Whoever lets go of the store may be a task, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Way {
    fn new(access: &Access) -> std::result::Result<Self, OpenError> {
        let (config, tls) = (access.config()?, access.tls()?);
        let name = address::name(&config);
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("hookward-postgres").enable_all().build();
        let runtime = Some(runtime.map_err(OpenError::Threads)?);
        Ok(Self { config, tls, runtime, name, floors: Arc::default() })
    }

    fn runtime(&self) -> &Handle {
        self.runtime.as_ref().map(Runtime::handle).expect("it is there until it is dropped")
    }

    /// A connection as it comes.
    async fn dial(&self) -> std::result::Result<Client, tokio_postgres::Error> {
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection with its settings.
    async fn connect(&self) -> std::result::Result<Client, OpenError> {
        let failed = |cause| OpenError::Database { database: self.name.clone(), cause };
        let connect = async {
            let client = self.dial().await?;
            client.batch_execute(SETTINGS).await?;
            Ok(client)
        };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(client) => client.map_err(failed),
            Err(_) => Err(OpenError::Silent(self.name.clone())),
        }
    }

    /// A connection for a thread that may block, which is told this besides.
    fn session(&self, told: &str) -> Result<Connection> {
        let client = self.runtime().block_on(self.connect());
        let client = client.map_err(|error| Failure::Answer(StoreError::Unavailable(error.to_string())))?;
        self.runtime().block_on(client.batch_execute(told)).map_err(Failure::Postgres)?;
        Ok(Connection::Postgres(Box::new(Session::new(client, self.runtime().clone(), Arc::clone(&self.floors)))))
    }
}

/// The database, while the store is open.
#[derive(Debug)]
struct Database {
    way: Arc<Way>,
    following: Readers,
    knocks: Knocks,
}

impl Database {
    /// Does something over a connection of its own.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(&mut Client, &str) -> std::result::Result<T, StoreError>,
    ) -> std::result::Result<T, StoreError> {
        let mut client = self.way.connect().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        work(&mut client, &self.way.name).await
    }
}

fn unavailable(name: &str, error: &tokio_postgres::Error) -> StoreError {
    StoreError::Unavailable(format!("`{name}`: {}", said(error)))
}

#[async_trait]
impl Medium for Database {
    fn following(&self) -> Option<Following<'_>> {
        Some(Following { connection: &self.following, schema: migrate::newest(), knocks: &self.knocks })
    }

    async fn begin(&self) -> std::result::Result<Option<FirstStart>, StoreError> {
        let client = self.way.connect().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let turn = beginning::take_turn(client).await.map_err(|error| unavailable(&self.way.name, &error))?;
        Ok(turn.map(|client| FirstStart::holding(Box::new(client))))
    }

    async fn copy(&self, directory: Option<PathBuf>) -> std::result::Result<Copied, StoreError> {
        let unavailable = |error: &dyn std::fmt::Display| StoreError::Unavailable(error.to_string());
        let directory = directory.ok_or_else(|| unavailable(&"there is no directory to make a copy in"))?;
        let way = Arc::clone(&self.way);
        let task = tokio::task::spawn_blocking(move || side::copy(&way, &directory));
        task.await.map_err(|error| unavailable(&error))?.map_err(|error| unavailable(&error))
    }

    /// What is removed is overwritten by PostgreSQL as it sees fit.
    async fn overwrite(&self) -> std::result::Result<(), StoreError> {
        Ok(())
    }

    async fn make_room(&self) -> std::result::Result<(), StoreError> {
        let make = async |client: &mut Client, name: &str| {
            let made = async {
                days::prepare(client).await?;
                days::measure(client).await
            };
            made.await.map_err(|error| unavailable(name, &error))
        };
        self.aside(make).await
    }

    async fn drop_days(&self, old: Old) -> std::result::Result<Option<u32>, StoreError> {
        let drop = async |client: &mut Client, name: &str| {
            days::old::drop_old(client, &old).await.map(Some).map_err(|error| unavailable(name, &error))
        };
        self.aside(drop).await
    }
}

/// Whether `address` can be one of a database: `postgres://user@host:port/database`, without a password.
///
/// # Errors
///
/// What is wrong with it, in a sentence.
pub fn check_address(address: &str) -> std::result::Result<(), String> {
    address::check(address)
}

/// Opens the store that `access` leads to, bringing its schema up to date. Waits for the database, which takes some moments.
pub fn open(access: &Access, limits: &Limits) -> std::result::Result<SqlStore, OpenError> {
    let refused = Unfinished::Refused;
    // Whoever opens a store may be a task, which cannot wait for others.
    std::thread::scope(|scope| {
        scope.spawn(|| open_here(access, limits, refused)).join().expect("opening does not panic")
    })
}

/// Opens the store that `access` leads to although a copy into it is not finished.
pub(crate) fn open_unfinished(access: &Access) -> std::result::Result<SqlStore, OpenError> {
    let limits = Limits::default();
    let open = || open_here(access, &limits, Unfinished::Taken);
    std::thread::scope(|scope| scope.spawn(open).join().expect("opening does not panic"))
}

fn open_here(access: &Access, limits: &Limits, unfinished: Unfinished) -> std::result::Result<SqlStore, OpenError> {
    let way = Arc::new(Way::new(access)?);
    let name = way.name.clone();
    way.runtime().block_on(async {
        pooling::refuse_shared_sessions(&way).await?;
        let mut client = way.connect().await?;
        look_over(&client, &name).await?;
        if unfinished == Unfinished::Refused {
            side::refuse_copy(&client, &name).await?;
        }
        migrate::run(&mut client, &name).await?;
        let failed = |cause| OpenError::Database { database: name.clone(), cause };
        days::prepare(&mut client).await.map_err(failed)?;
        room::warn(&client, &name).await.map_err(failed)
    })?;
    let connect = |told: &'static str| {
        let way = Arc::clone(&way);
        Box::new(move || way.session(told))
    };
    let writer = |told| {
        let writing = way.session(told).map_err(|_| OpenError::Silent(name.clone()))?;
        Writer::start(name.clone(), writing, connect(told), Box::new(|_| ()), limits).map_err(OpenError::Threads)
    };
    let (inner, leases, doors) = (writer("")?, writer(IN_ORDER)?, writer("")?.answering_within(limits.patience));
    let readers = |told, count| Readers::new(name.clone(), connect(told), count);
    let following = readers("", 1);
    let store = SqlStore::new(
        [readers(AS_ASKED, limits.readers), readers(IN_ORDER, READERS_DUE)],
        inner,
        Box::new(Database { knocks: Knocks::new(Arc::clone(&way)), way: Arc::clone(&way), following }),
    );
    Ok(store.beside(leases, doors))
}

/// What PostgreSQL said, without the statement's values.
pub(in crate::store) fn said(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}

/// Whether it is the connection, the server's state or another's lock, and not the statement's own doing.
pub(in crate::store) fn is_environmental(error: &tokio_postgres::Error) -> bool {
    // Connections, transactions that met, resources, states and locks, an operator, the system: classes of SQLSTATE.
    const CLASSES: [&str; 8] = ["08", "25", "40", "53", "55", "57", "58", "XX"];
    error.code().is_none_or(|code| CLASSES.iter().any(|class| code.code().starts_with(class)))
}

/// Refuses a database that cannot keep the store's promises.
async fn look_over(client: &Client, name: &str) -> std::result::Result<(), OpenError> {
    let asked =
        "select current_setting('server_version_num')::int as number, current_setting('server_version') as version,
                     current_setting('synchronous_commit') = 'off' or current_setting('fsync') = 'off' as unsynced";
    let row = client.query_one(asked, &[]).await;
    let row = row.map_err(|cause| OpenError::Database { database: name.to_owned(), cause })?;
    if row.get::<_, i32>("number") < 140_000 {
        return Err(OpenError::TooOld { database: name.to_owned(), found: row.get("version") });
    }
    match row.get("unsynced") {
        true => Err(OpenError::Unsynced(name.to_owned())),
        false => Ok(()),
    }
}
