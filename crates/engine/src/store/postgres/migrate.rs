//! Brings the database's schema to the newest known, forward only; nodes that start together do it once.
//! Owns the list of migrations; what they say is in `migrations/postgres/`, under the numbers and names of SQLite's.

use tokio_postgres::Client;

use super::OpenError;

/// One step. A released one is never edited.
struct Migration {
    number: i64,
    name: &'static str,
    sql: &'static str,
}

/// The first stands for all that SQLite's had come to when PostgreSQL joined.
const MIGRATIONS: &[Migration] =
    &[Migration { number: 14, name: "baseline", sql: include_str!("../../../migrations/postgres/0014_baseline.sql") }];

/// Held while the schema is changed: no two nodes do that at once.
const LOCK: &str = "select pg_advisory_xact_lock(1752133483, 1)";

/// The newest schema known.
fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.number)
}

/// Applies every migration that the database does not have yet, in one transaction. Returns whether it had none.
pub(super) async fn run(client: &mut Client, database: &str) -> Result<bool, OpenError> {
    let failed = |cause| OpenError::Database { database: database.to_owned(), cause };
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.batch_execute(LOCK).await.map_err(failed)?;
    transaction
        .batch_execute("create table if not exists migrations (number bigint primary key, name text not null)")
        .await
        .map_err(failed)?;
    let row = transaction.query_one("select coalesce(max(number), 0) from migrations", &[]).await.map_err(failed)?;
    let found: i64 = row.get(0);
    if found > newest() {
        return Err(OpenError::SchemaTooNew { database: database.to_owned(), found, known: newest() });
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.number > found) {
        transaction.batch_execute(migration.sql).await.map_err(failed)?;
        let said = "insert into migrations (number, name) values ($1, $2)";
        transaction.execute(said, &[&migration.number, &migration.name]).await.map_err(failed)?;
        tracing::info!(number = migration.number, name = migration.name, "migrated the database");
    }
    transaction.commit().await.map_err(failed)?;
    Ok(found == 0)
}
