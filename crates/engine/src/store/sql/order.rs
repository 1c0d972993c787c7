//! Deliveries of a key go out one after the other. Owns the line of each key at each destination: who is its head, who waits
//! behind it, who stands beside it. That a delivery is over is `settle`'s, `claim`'s and `routing`'s to say; whether its
//! failure ends it, the caller's.
//!
//! A line is the deliveries with one `order_key`. What `behind` says of each:
//!
//! - 0: it is the head. While anybody waits there is exactly one.
//! - 1: it waits. It is held and has no due time, so that whoever claims never steps over it.
//! - 2: it is parked: held, and nobody waits for it. It comes back into the line when its destination resumes.
//! - 3: it is over, and was the last of its line. The next of its key learns from it how many were given up.

use super::commit::is_active;
use super::connection::{Connection, params};
use super::failure::Result;
use super::locks::{self, Lock};
use super::routing::call_off;
use super::rows::{Cells, all, first};
use crate::clock::Timestamp;
use crate::ids::DestinationId;

/// Where a new delivery of a key comes to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// It waits.
    pub(super) behind: bool,
    /// How many of its key were given up before it, as far as that is known now.
    pub(super) skipped: u32,
}

/// How a delivery left its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    Delivered,
    GivenUp,
    CalledOff,
    Parked,
}

pub(super) const HEAD: &str =
    "select seq from deliveries where destination_id = ?1 and order_key = ?2 and behind = 0 limit 1";

/// The place at the end of a key's line.
pub(super) fn join(connection: &Connection, destination: DestinationId, key: &[u8]) -> Result<Place> {
    locks::hold_one(connection, &Lock::Order(destination, key))?;
    let line = params![destination.as_bytes(), key];
    let head = first(connection, HEAD, line, |row| Cells::new("deliveries", row).get::<i64>("seq"))?;
    if head.is_some() {
        return Ok(Place { behind: true, skipped: 0 });
    }
    let sql = "update deliveries set order_key = null, behind = 0
               where destination_id = ?1 and order_key = ?2 and behind = 3
               returning seq, skipped + case when state = 'exhausted' then 1 else 0 end as skipped";
    let skipped = first(connection, sql, line, |row| Cells::new("deliveries", row).unsigned("skipped"))?;
    Ok(Place { behind: false, skipped: skipped.unwrap_or(0) })
}

/// A delivery of a line.
struct Member {
    destination: DestinationId,
    key: Vec<u8>,
    is_head: bool,
    skipped: u32,
}

pub(super) const NEXT: &str = "select seq from deliveries
    where destination_id = ?1 and order_key = ?2 and behind = 1 order by seq limit 1";

/// Lets a delivery leave its line, if it stands in one, and the next come to its head: due at once, or held where the
/// destination takes nothing now. To be called once its row says that it is over or held.
pub(super) fn leave(connection: &Connection, seq: i64, left: Left, at: Timestamp) -> Result<()> {
    let sql = "select seq, destination_id, order_key, behind, skipped from deliveries
               where seq = ?1 and order_key is not null and state <> 'leased'";
    let member = first(connection, sql, [seq], |row| {
        let cells = Cells::new("deliveries", row);
        let is_head = cells.get::<i64>("behind")? == 0;
        let destination = cells.id("destination_id", DestinationId::from_bytes)?;
        Ok(Member { destination, key: cells.get("order_key")?, is_head, skipped: cells.unsigned("skipped")? })
    })?;
    let Some(Member { destination, key, is_head, skipped }) = member else { return Ok(()) };
    locks::hold_one(connection, &Lock::Order(destination, &key))?;
    let stands = |behind: i64, key: Option<&[u8]>| {
        let sql = "update deliveries set behind = ?2, order_key = ?3 where seq = ?1";
        connection.prepare_cached(sql)?.execute(params![seq, behind, key])
    };
    match left {
        Left::Parked => stands(2, Some(&key))?,
        Left::Delivered | Left::GivenUp | Left::CalledOff => stands(0, None)?,
    };
    if !is_head {
        return Ok(());
    }
    let skipped = match left {
        Left::Delivered => 0,
        Left::GivenUp => skipped + 1,
        Left::CalledOff | Left::Parked => skipped,
    };
    let parameters = params![destination.as_bytes(), &key];
    match first(connection, NEXT, parameters, |row| Cells::new("deliveries", row).get::<i64>("seq"))? {
        Some(next) => lead(connection, next, skipped, is_active(connection, destination)?, at),
        // Somebody has to remember it until the next of this key comes.
        None if skipped > 0 && left != Left::Parked => stands(3, Some(&key)).map(drop),
        None => Ok(()),
    }
}

/// Makes one that waited the head of its line.
fn lead(connection: &Connection, seq: i64, skipped: u32, is_active: bool, at: Timestamp) -> Result<()> {
    let now = at.as_millis();
    let (state, due_at, resume_at) = if is_active { ("pending", Some(now), None) } else { ("held", None, Some(now)) };
    connection
        .prepare_cached(
            "update deliveries set behind = 0, skipped = ?2, state = ?3, state_at_ms = ?4, due_at_ms = ?5,
                resume_at_ms = ?6 where seq = ?1",
        )?
        .execute(params![seq, skipped, state, now, due_at, resume_at])?;
    Ok(())
}

/// Lets those that were parked at a destination back into their lines, each in its old place. Who comes to lead is held
/// still: for whoever resumes the destination to release.
pub(super) fn rejoin(connection: &Connection, destination: DestinationId) -> Result<()> {
    let leading = "update deliveries set behind = 0 where seq in (
                       select min(p.seq) from deliveries p
                       where p.destination_id = ?1 and p.state = 'held' and p.behind = 2
                       group by p.order_key
                       having not exists (select 1 from deliveries h
                                          where h.destination_id = ?1 and h.order_key = p.order_key and h.behind = 0))";
    let waiting = "update deliveries set behind = 1
                   where destination_id = ?1 and state = 'held' and behind = 2";
    for sql in [leading, waiting] {
        connection.prepare_cached(sql)?.execute([destination.as_bytes()])?;
    }
    Ok(())
}

/// Dissolves every line of a destination that keeps no order any more: what waited or was parked is due in the order in
/// which it came to that, or held where the destination takes nothing now.
pub(super) fn dissolve(connection: &Connection, destination: DestinationId) -> Result<()> {
    let free = "update deliveries
                set state = case when n.takes then 'pending' else 'held' end,
                    due_at_ms = case when n.takes then state_at_ms end,
                    resume_at_ms = case when not n.takes then state_at_ms end
                from (select state = 'active' and opened_at_ms is null as takes from destinations where id = ?1) as n
                where destination_id = ?1 and order_key is not null and (behind = 1 or behind = 2)";
    let forget =
        "update deliveries set order_key = null, behind = 0 where destination_id = ?1 and order_key is not null";
    for sql in [free, forget] {
        connection.prepare_cached(sql)?.execute([destination.as_bytes()])?;
    }
    Ok(())
}

/// Calls off what is parked of an event at a destination, because a redelivery takes its place.
pub(super) fn replace_parked(
    connection: &Connection,
    event_seq: i64,
    destination: DestinationId,
    now: Timestamp,
) -> Result<()> {
    let sql = "select seq from deliveries where event_seq = ?1 and +destination_id = ?2 and behind = 2";
    let parked = all(&mut connection.prepare_cached(sql)?, params![event_seq, destination.as_bytes()], |row| {
        Cells::new("deliveries", row).get::<i64>("seq")
    })?;
    parked.into_iter().try_for_each(|seq| call_off(connection, seq, now, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn whoever_joins_or_leaves_a_line_walks_no_part_of_it() {
        for sql in [HEAD, NEXT] {
            let plan = plan(sql);
            assert_eq!(plan.len(), 1, "{plan:?}");
            let index = "INDEX deliveries_ordered (destination_id=? AND order_key=? AND behind=?)";
            assert!(plan[0].contains(index), "{plan:?}");
        }
    }
}
