//! Which of several nodes that start on a new database may make the master key. Owns their turns; that nothing is sealed yet is
//! the store's to know.
//!
//! The turn is a lock of a connection that is held for nothing else. A node that dies before anything is sealed loses it with
//! its connection, and the next one is the first.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::side::SERVING;
use super::turns::turn;

/// Waits for whoever has the turn, as long as a lock may take.
const TURN: &str = concat!("select pg_advisory_lock(", turn!(beginning), ")");

/// Takes the turn, which `client` has until it is dropped. `None` while another node does not end its own, and where one serves:
/// it has the key, or waits for the operator to bring it.
pub(super) async fn take_turn(client: Client) -> Result<Option<Client>, tokio_postgres::Error> {
    match client.batch_execute(TURN).await {
        Ok(()) => Ok(client.query_opt(SERVING, &[]).await?.is_none().then_some(client)),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
        Err(error) => Err(error),
    }
}
