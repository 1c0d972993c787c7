//! Where events' raw bytes are. Everything else in the store goes through here, so that they can move out of rows.

use bytes::Bytes;
use rusqlite::{Connection, params};

use super::failure::{Failure, Result};
use super::rows::{Cells, first};
use crate::ids::EventId;

/// Keeps the body of the event at `event_seq`.
pub(super) fn put(connection: &Connection, event_seq: i64, body: &[u8]) -> Result<()> {
    connection
        .prepare_cached("insert into bodies (event_seq, bytes) values (?1, ?2)")?
        .execute(params![event_seq, body])?;
    Ok(())
}

/// The body kept for the event at `body_seq`.
pub(super) fn at(connection: &Connection, body_seq: i64) -> Result<Bytes> {
    let sql = "select event_seq as seq, bytes from bodies where event_seq = ?1";
    first(connection, sql, [body_seq], |row| Cells::new("bodies", row).bytes("bytes"))?
        .ok_or_else(|| Failure::inconsistent("bodies", body_seq.to_string(), "there is no such row".to_owned()))
}

/// An event's body, its own or the one that it shares.
pub(super) fn of_event(connection: &Connection, id: EventId) -> Result<Bytes> {
    let sql = "select seq, coalesce(body_seq, seq) as body_seq from events where id = ?1";
    let seq = first(connection, sql, [id.as_bytes()], |row| Cells::new("events", row).get("body_seq"))?
        .ok_or_else(|| Failure::not_found(format!("event `{id}`")))?;
    at(connection, seq)
}
