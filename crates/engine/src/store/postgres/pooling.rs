//! Whether a connection is one session of the database. A pooler that hands sessions on between transactions (PgBouncer's
//! `pool_mode = transaction`) loses what each is told and every prepared statement, and gives them to others. Owns how that is
//! found out; it leaves nothing behind in a session that may be somebody else's.

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{CONNECT, OpenError, Way};

/// How often two connections are looked at. A pooler gives away at once what another has just let go of; while others
/// take it, the numbers change instead.
const ROUNDS: usize = 4;

/// Refuses a way to the database on which connections share sessions.
pub(super) async fn refuse_shared_sessions(way: &Way) -> Result<(), OpenError> {
    let failed = |cause| OpenError::Database { database: way.name.clone(), cause };
    let shared = timeout(CONNECT, are_shared(way)).await;
    match shared.map_err(|_| OpenError::Silent(way.name.clone()))?.map_err(failed)? {
        true => Err(OpenError::SharedSessions(way.name.clone())),
        false => Ok(()),
    }
}

/// Whether two connections that are both open have the same session, or one has several after each other.
async fn are_shared(way: &Way) -> Result<bool, tokio_postgres::Error> {
    let (one, other) = (way.dial().await?, way.dial().await?);
    let mut seen = None;
    for _ in 0..ROUNDS {
        let first = session(&one, "select pg_backend_pid()").await?;
        let second = session(&other, "begin; select pg_backend_pid(); rollback").await?;
        let known = seen.get_or_insert_with(|| (first.clone(), second.clone()));
        if first == second || *known != (first, second) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn session(client: &Client, sql: &str) -> Result<Option<String>, tokio_postgres::Error> {
    let said = client.simple_query(sql).await?;
    Ok(said.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }))
}
