//! What an operator does to deliveries: the verbs `redeliver` and `cancel`.

use rusqlite::{Connection, params};

use super::audit;
use super::commit::{insert_delivery, takes_deliveries};
use super::failure::{Failure, Result};
use super::rows::{Cells, first};
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId};
use crate::model::{AuditEntry, DeliveryCause};
use crate::store::NewDelivery;

pub(super) fn redeliver(tx: &Tx<'_>, event: EventId, deliveries: &[NewDelivery], audit: &AuditEntry) -> Result<()> {
    let connection = tx.connection;
    let event_seq = first(connection, "select seq from events where id = ?1", [event.as_bytes()], |row| {
        Cells::new("events", row).get("seq")
    })?
    .ok_or_else(|| Failure::not_found(format!("event `{event}`")))?;
    let states = takes_deliveries(connection, deliveries)?;
    for (delivery, active) in deliveries.iter().zip(states) {
        let cause = match delivery.cause {
            DeliveryCause::Redelivery { of: None } => {
                DeliveryCause::Redelivery { of: latest(connection, event_seq, delivery.destination)? }
            }
            ref cause => cause.clone(),
        };
        let delivery = NewDelivery { cause, ..delivery.clone() };
        insert_delivery(connection, event_seq, &delivery, active, audit.at)?;
    }
    audit::append(connection, audit)
}

fn latest(connection: &Connection, event_seq: i64, destination: DestinationId) -> Result<Option<DeliveryId>> {
    let sql = "select seq, id from deliveries where event_seq = ?1 and +destination_id = ?2 order by seq desc limit 1";
    first(connection, sql, params![event_seq, destination.as_bytes()], |row| {
        Cells::new("deliveries", row).id("id", DeliveryId::from_bytes)
    })
}

pub(super) fn cancel(tx: &Tx<'_>, delivery: DeliveryId, now: Timestamp, audit: &AuditEntry) -> Result<bool> {
    let changed = tx
        .connection
        .prepare_cached(
            "update deliveries set state = 'cancelled', state_at_ms = ?2, due_at_ms = null
             where id = ?1 and state in ('pending', 'held')",
        )?
        .execute(params![delivery.as_bytes(), now.as_millis()])?;
    if changed == 1 {
        audit::append(tx.connection, audit)?;
        return Ok(true);
    }
    let sql = "select seq from deliveries where id = ?1";
    let found =
        first(tx.connection, sql, [delivery.as_bytes()], |row| Cells::new("deliveries", row).get::<i64>("seq"))?;
    found.map(|_| false).ok_or_else(|| Failure::not_found(format!("delivery `{delivery}`")))
}
