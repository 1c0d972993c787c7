//! Brings the database's schema to the newest known, forward only; nodes that start together do it once.
//! Owns the list of migrations, and which versions may go on with what they make of the schema; what they say is in
//! `migrations/postgres/`, under the numbers and names of SQLite's.
//!
//! Nodes are brought to a new version one after the other, so a migration that old nodes can live with (it adds what they
//! do not ask for) says so: `least` is the newest schema that a node has to know to go on. What they cannot live with comes in
//! a later version, when no node is left that needs what it takes away.

use tokio_postgres::Client;

use super::OpenError;
use super::turns::turn;

/// One step. A released one is never edited.
struct Migration {
    number: i64,
    name: &'static str,
    /// A node that knows this schema may go on.
    least: i64,
    sql: &'static str,
}

/// The first stands for all that SQLite's had come to when PostgreSQL joined.
const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 14,
        name: "baseline",
        least: 14,
        sql: include_str!("../../../migrations/postgres/0014_baseline.sql"),
    },
    // Nodes that do not write themselves down would be unknown to the others.
    Migration {
        number: 15,
        name: "nodes",
        least: 15,
        sql: include_str!("../../../migrations/postgres/0015_nodes.sql"),
    },
    // Nodes that do not know when a lease ends would take what others lease for due.
    Migration {
        number: 16,
        name: "leases",
        least: 16,
        sql: include_str!("../../../migrations/postgres/0016_leases.sql"),
    },
];

/// What was applied. `least` is asked for by nodes that do not know the migration.
const TABLE: &str = "create table if not exists migrations (number bigint primary key, name text not null,
    least bigint not null)";

/// Held while the schema is changed: no two nodes do that at once.
const LOCK: &str = concat!("select pg_advisory_xact_lock(", turn!(schema), ")");

/// The newest schema known.
pub(super) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.number)
}

/// The names of the migrations after schema `found`.
pub(super) fn after(found: i64) -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().filter(move |migration| migration.number > found).map(|migration| migration.name)
}

/// Applies every migration that the database does not have yet, in one transaction.
pub(super) async fn run(client: &mut Client, database: &str) -> Result<(), OpenError> {
    let failed = |cause| OpenError::Database { database: database.to_owned(), cause };
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute(LOCK).await.map_err(failed)?;
    transaction.batch_execute(TABLE).await.map_err(failed)?;
    let asked = "select coalesce(max(number), 0), coalesce(max(least), 0) from migrations";
    let row = transaction.query_one(asked, &[]).await.map_err(failed)?;
    let (found, least): (i64, i64) = (row.get(0), row.get(1));
    if least > newest() {
        return Err(OpenError::SchemaTooNew { database: database.to_owned(), found, known: newest() });
    }
    if found > newest() {
        tracing::info!(found, known = newest(), "the database is at a newer schema, with which this version may go on");
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.number > found) {
        transaction.batch_execute(migration.sql).await.map_err(failed)?;
        let said = "insert into migrations (number, name, least) values ($1, $2, $3)";
        transaction.execute(said, &[&migration.number, &migration.name, &migration.least]).await.map_err(failed)?;
        tracing::info!(number = migration.number, name = migration.name, "migrated the database");
    }
    transaction.commit().await.map_err(failed)
}
