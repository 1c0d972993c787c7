//! The verb `settle`: the end of an attempt, fenced by its claim.
//! Owns what becomes of the delivery and of its destination; the decision itself comes from the caller.

use rusqlite::{Connection, params};

use super::commit::{insert_delivery, is_active, takes_deliveries};
use super::failure::Result;
use super::resources::disable;
use super::rows::{Cells, first, integer, json_text, outcome_text};
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::model::{Attempt, SecretOwner};
use crate::store::{Claim, Next, Settled, Settlement};

pub(super) fn write(tx: &mut Tx<'_>, settlements: &[Settlement]) -> Result<Vec<Settled>> {
    let settled: Vec<_> =
        settlements.iter().map(|settlement| settle_one(tx.connection, settlement)).collect::<Result<_>>()?;
    for (settlement, settled) in settlements.iter().zip(&settled) {
        if *settled == Settled::Written {
            let owner = SecretOwner::Destination(settlement.claim.destination());
            for &version in &settlement.attempt.signed_by {
                tx.count_use(owner, version, settlement.attempt.started_at);
            }
        }
    }
    Ok(settled)
}

fn settle_one(connection: &Connection, settlement: &Settlement) -> Result<Settled> {
    let claim = &settlement.claim;
    let Some((seq, event_seq)) = leased_seq(connection, claim)? else { return Ok(Settled::LeaseLost) };
    let ended_at = settlement.attempt.started_at.plus(settlement.attempt.duration);
    // The attempt's number is its place among the delivery's attempts, and the claim is what fixes that.
    insert_attempt(connection, seq, &Attempt { number: claim.number(), ..settlement.attempt.clone() })?;
    if let Some(reason) = &settlement.disable {
        disable(connection, claim.destination(), reason, ended_at)?;
    }
    let (state, due_at) = match settlement.next {
        Next::Delivered => ("delivered", None),
        Next::Exhausted => ("exhausted", None),
        Next::Held => ("held", None),
        Next::Again { due_at } if is_active(connection, claim.destination())? => ("pending", Some(due_at)),
        Next::Again { .. } => ("held", None),
    };
    connection
        .prepare_cached(
            "update deliveries set state = ?2, state_at_ms = ?3, due_at_ms = ?4, node = null where seq = ?1",
        )?
        .execute(params![seq, state, ended_at.as_millis(), due_at.map(Timestamp::as_millis)])?;
    if matches!(settlement.next, Next::Delivered | Next::Exhausted) {
        let states = takes_deliveries(connection, &settlement.then)?;
        for (delivery, active) in settlement.then.iter().zip(states) {
            insert_delivery(connection, event_seq, delivery, active, ended_at)?;
        }
    }
    Ok(Settled::Written)
}

/// The delivery's row and its event's, if this claim still holds its lease. A lease past its end holds until another takes it.
fn leased_seq(connection: &Connection, claim: &Claim) -> Result<Option<(i64, i64)>> {
    let sql =
        "select seq, event_seq from deliveries where id = ?1 and state = 'leased' and node = ?2 and attempts = ?3";
    let (delivery, node) = (claim.delivery(), claim.node());
    let parameters = params![delivery.as_bytes(), node.as_bytes(), claim.number()];
    first(connection, sql, parameters, |row| {
        let cells = Cells::new("deliveries", row);
        Ok((cells.get("seq")?, cells.get("event_seq")?))
    })
}

pub(super) fn insert_attempt(connection: &Connection, delivery_seq: i64, attempt: &Attempt) -> Result<()> {
    connection
        .prepare_cached(
            "insert into attempts (delivery_seq, number, id, started_at_ms, duration_ms, outcome, signed_by, status,
                excerpt, detail)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            delivery_seq,
            attempt.number,
            attempt.id.as_bytes(),
            attempt.started_at.as_millis(),
            integer(attempt.duration.as_millis()),
            outcome_text(attempt.outcome),
            json_text(&attempt.signed_by),
            attempt.status,
            &attempt.excerpt[..],
            attempt.detail,
        ])?;
    Ok(())
}
