//! How far the feeds can be read while several transactions give out places side by side. Owns the end of what is settled; that
//! whoever writes says where he may do so is `session`'s, at the beginning of each transaction.

use super::session::Session;
use crate::store::sql::failure::Result;

/// What is read forward, by its places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Feed {
    Events,
    Attempts,
}

/// The lowest place that somebody holds who writes to the feed of this number: see `session`'s `opening!`.
const HELD: &str = "select min(((classid::bigint & 268435455) << 32) | objid::bigint) from pg_locks
    where locktype = 'advisory' and objsubid = 1 and classid::bigint >> 28 = $1
        and database = (select oid from pg_database where datname = current_database())";

/// The last place before which nobody writes any more: all that will ever stand at it or before it can be seen by whatever
/// statement follows.
///
/// Whoever writes holds the last place that was given when it began, and so gets later ones. Asked in this order: a place
/// that is given once the end was read lies behind it, and who has one before it has held his since before that. Somebody who is
/// late to hold it may seem to write before what was `known` to be settled, but does not.
pub(in crate::store) fn settled(session: &Session, feed: Feed, known: i64) -> Result<i64> {
    let (end, number) = match feed {
        Feed::Events => ("select case when is_called then last_value else last_value - 1 end from events_seq", 1_i64),
        Feed::Attempts => ("select case when is_called then last_value else last_value - 1 end from attempts_seq", 2),
    };
    let place = |rows: Vec<tokio_postgres::Row>| rows.first().and_then(|row| row.get::<_, Option<i64>>(0));
    let end = place(session.rows(end, &[])?).unwrap_or(0);
    let held = place(session.rows(HELD, &[&number])?);
    Ok(held.map_or(end, |held| held.min(end)).max(known.min(end)))
}
