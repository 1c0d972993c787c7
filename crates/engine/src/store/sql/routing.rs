//! What a commit decides about each delivery besides its destination's state: values that run once, keys of which only
//! the newest counts, and destinations passed over. Owns the tables `once` and `passed_over`, and the calling off of
//! deliveries; that an attempt under way is stopped is not the store's business.

use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::locks::{self, Lock};
use super::order::{self, Left};
use super::rows::{Cells, all, first};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId, OrganizationId, SourceId};
use crate::model::{PassedOver, PassedOverReason};
use crate::store::{FailedFilter, NewDelivery};

/// The event that has a delivery's `once` value already, in a delivery that still counts.
pub(super) fn ran_before(connection: &Connection, source: SourceId, delivery: &NewDelivery) -> Result<Option<EventId>> {
    let Some(key) = &delivery.once else { return Ok(None) };
    locks::hold_one(connection, &Lock::Once(delivery.destination, source, key))?;
    // A delivery that retention has taken away had ended well: nothing that might still run is taken.
    let sql = "select e.id from once o join events e on e.seq = o.event_seq
               left join deliveries d on d.seq = o.delivery_seq
               where o.destination_id = ?1 and o.source_id = ?2 and o.key = ?3
                   and (d.seq is null or d.state = 'delivered'
                       or (d.cancel_at_ms is null and d.state <> 'cancelled' and d.state <> 'exhausted'))";
    first(connection, sql, params![delivery.destination.as_bytes(), source.as_bytes(), &key[..]], |row| {
        Cells::new("once", row).id("id", EventId::from_bytes)
    })
}

/// Remembers that `delivery` runs its `once` value. A row that is there already no longer counts, and gives way.
pub(super) fn remember_run(
    connection: &Connection,
    source: SourceId,
    delivery: &NewDelivery,
    event_seq: i64,
    delivery_seq: i64,
) -> Result<()> {
    let Some(key) = &delivery.once else { return Ok(()) };
    connection
        .prepare_cached(
            "insert into once (destination_id, source_id, key, event_seq, delivery_seq) values (?1, ?2, ?3, ?4, ?5)
             on conflict (destination_id, source_id, key)
             do update set event_seq = excluded.event_seq, delivery_seq = excluded.delivery_seq",
        )?
        .execute(params![delivery.destination.as_bytes(), source.as_bytes(), &key[..], event_seq, delivery_seq])?;
    Ok(())
}

/// Calls off every outstanding delivery with `delivery`'s `latest` key, on behalf of the newer `event`. Returns those
/// that are under way.
pub(super) fn supersede(
    connection: &Connection,
    delivery: &NewDelivery,
    event: EventId,
    now: Timestamp,
) -> Result<Vec<DeliveryId>> {
    let Some(key) = &delivery.latest else { return Ok(Vec::new()) };
    locks::hold_one(connection, &Lock::Latest(delivery.destination, key))?;
    let sql = "select seq, id, state from deliveries where destination_id = ?1 and latest_key = ?2";
    let older = all(&mut connection.prepare_cached(sql)?, params![delivery.destination.as_bytes(), &key[..]], |row| {
        let cells = Cells::new("deliveries", row);
        let under_way = cells.text("state")? == "leased";
        Ok((cells.get::<i64>("seq")?, cells.id("id", DeliveryId::from_bytes)?, under_way))
    })?;
    let mut leased = Vec::new();
    for (seq, id, under_way) in older {
        call_off(connection, seq, now, Some(event))?;
        leased.extend(under_way.then_some(id));
    }
    Ok(leased)
}

/// Cancels a delivery that waits, and marks one that is leased. Whoever called it off first is on record.
pub(super) fn call_off(
    connection: &Connection,
    seq: i64,
    now: Timestamp,
    superseded_by: Option<EventId>,
) -> Result<()> {
    connection
        .prepare_cached(
            "update deliveries
             set cancel_at_ms = case when state = 'leased' then coalesce(cancel_at_ms, ?2) end,
                 state_at_ms = case when state = 'leased' then state_at_ms else ?2 end,
                 due_at_ms = case when state = 'leased' then due_at_ms end,
                 state = case when state = 'leased' then state else 'cancelled' end,
                 superseded_by = coalesce(superseded_by, ?3), latest_key = null
             where seq = ?1",
        )?
        .execute(params![seq, now.as_millis(), superseded_by.as_ref().map(EventId::as_bytes)])?;
    // One that is leased leaves its line at the end of that.
    order::leave(connection, seq, Left::CalledOff, now)
}

/// Writes down that an expression of a destination failed on an event.
pub(super) fn pass_over_failed(connection: &Connection, event_seq: i64, failed: &FailedFilter) -> Result<()> {
    insert(connection, event_seq, failed.destination, "filter_failed", &failed.detail, None)
}

/// Writes down that `first` has the value that a destination runs once.
pub(super) fn pass_over_once(
    connection: &Connection,
    event_seq: i64,
    destination: DestinationId,
    first: EventId,
) -> Result<()> {
    insert(connection, event_seq, destination, "once", "", Some(first))
}

fn insert(
    connection: &Connection,
    event_seq: i64,
    destination: DestinationId,
    reason: &str,
    detail: &str,
    first_event: Option<EventId>,
) -> Result<()> {
    connection
        .prepare_cached(
            "insert into passed_over (event_seq, destination_id, reason, detail, first_event)
             values (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            event_seq,
            destination.as_bytes(),
            reason,
            detail,
            first_event.as_ref().map(EventId::as_bytes)
        ])?;
    Ok(())
}

pub(super) fn passed_over(
    connection: &Connection,
    organization: OrganizationId,
    event: EventId,
) -> Result<Vec<PassedOver>> {
    // One transaction, so that the rows are those of an event that is there.
    let snapshot = connection.snapshot()?;
    let sql = "select seq from events where id = ?1 and +organization_id = ?2";
    let event_seq: i64 =
        first(&snapshot, sql, [event.as_bytes(), organization.as_bytes()], |row| Cells::new("events", row).get("seq"))?
            .ok_or_else(|| Failure::not_found(format!("event `{event}`")))?;
    let sql = "select p.*, n.name, p.event_seq as seq from passed_over p
               join destinations n on n.id = p.destination_id where p.event_seq = ?1 order by n.name";
    all(&mut snapshot.prepare_cached(sql)?, [event_seq], |row| {
        let cells = Cells::new("passed_over", row);
        let reason = match (cells.text("reason")?, cells.optional_id("first_event", EventId::from_bytes)?) {
            ("filter_failed", None) => PassedOverReason::FilterFailed { detail: cells.get("detail")? },
            ("once", Some(first)) => PassedOverReason::Once { first },
            (other, _) => return Err(cells.problem(format!("column `reason` is `{other}`, which means nothing here"))),
        };
        let destination = cells.id("destination_id", DestinationId::from_bytes)?;
        Ok(PassedOver { destination, destination_name: cells.get("name")?, reason })
    })
}
