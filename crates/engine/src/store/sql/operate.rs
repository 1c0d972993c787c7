//! What an operator does to deliveries: the verbs `redeliver` and `cancel`.

use super::commit::{insert_delivery, takes_deliveries};
use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::routing::call_off;
use super::rows::{Cells, first};
use super::writer::Tx;
use super::{audit, bodies, order};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId};
use crate::model::{AuditEntry, DeliveryCause};
use crate::store::{Cancel, NewDelivery};

pub(super) fn redeliver(tx: &Tx<'_>, event: EventId, deliveries: &[NewDelivery], audit: &AuditEntry) -> Result<()> {
    let connection = tx.connection;
    let sql = "select seq, stripped_at_ms is null as is_whole from events where id = ?1 and +organization_id = ?2";
    let found = first(connection, sql, [event.as_bytes(), audit.organization.as_bytes()], |row| {
        let cells = Cells::new("events", row);
        Ok((cells.get::<i64>("seq")?, cells.get::<bool>("is_whole")?))
    })?;
    let (event_seq, is_whole) = found.ok_or_else(|| Failure::not_found(format!("event `{event}`")))?;
    if !is_whole {
        return Err(bodies::removed(event));
    }
    let states = takes_deliveries(connection, deliveries)?;
    for (delivery, taker) in deliveries.iter().zip(states) {
        let cause = match delivery.cause {
            DeliveryCause::Redelivery { of: None } => {
                DeliveryCause::Redelivery { of: latest(connection, event_seq, delivery.destination)? }
            }
            ref cause => cause.clone(),
        };
        order::replace_parked(connection, event_seq, delivery.destination, audit.at)?;
        let delivery = NewDelivery { cause, ..delivery.clone() };
        insert_delivery(connection, event_seq, &delivery, taker, audit.at)?;
    }
    audit::append(tx, audit)
}

pub(super) fn latest(
    connection: &Connection,
    event_seq: i64,
    destination: DestinationId,
) -> Result<Option<DeliveryId>> {
    let sql = "select seq, id from deliveries where event_seq = ?1 and +destination_id = ?2 order by seq desc limit 1";
    first(connection, sql, params![event_seq, destination.as_bytes()], |row| {
        Cells::new("deliveries", row).id("id", DeliveryId::from_bytes)
    })
}

pub(super) fn cancel(tx: &Tx<'_>, delivery: DeliveryId, now: Timestamp, audit: &AuditEntry) -> Result<Cancel> {
    let sql = "select seq, state from deliveries where id = ?1 and +organization_id = ?2";
    let found = first(tx.connection, sql, [delivery.as_bytes(), audit.organization.as_bytes()], |row| {
        let cells = Cells::new("deliveries", row);
        let cancel = match cells.text("state")? {
            "pending" | "held" => Cancel::Done,
            "leased" => Cancel::UnderWay,
            _ => Cancel::TooLate,
        };
        Ok((cells.get("seq")?, cancel))
    })?;
    let (seq, cancel) = found.ok_or_else(|| Failure::not_found(format!("delivery `{delivery}`")))?;
    if cancel != Cancel::TooLate {
        call_off(tx.connection, seq, now, None)?;
        audit::append(tx, audit)?;
    }
    Ok(cancel)
}
