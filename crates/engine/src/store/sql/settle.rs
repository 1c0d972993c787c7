//! The verb `settle`: the end of an attempt, fenced by its claim.
//! Owns what becomes of the delivery and of its destination; the decision itself comes from the caller.

use super::commit::{insert_delivery, is_active, takes_deliveries};
use super::connection::{Connection, params};
use super::failure::Result;
use super::headers;
use super::locks::{self, Lock};
use super::order::{self, Left};
use super::outputs::{self, PackedOutput};
use super::resources::disable;
use super::rows::{Cells, first, integer, json_text, outcome_text};
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::ids::NodeId;
use crate::model::{Attempt, Outcome, SecretOwner};
use crate::store::postgres::deliver;
use crate::store::{Claim, Next, Settled, Settlement};

/// The end of an attempt as it is written.
#[derive(Debug)]
pub(in crate::store) struct End {
    pub(in crate::store) settlement: Settlement,
    /// Its output, packed.
    pub(in crate::store) output: Option<PackedOutput>,
}

impl From<Settlement> for End {
    fn from(settlement: Settlement) -> Self {
        Self { output: settlement.output.as_ref().map(outputs::pack), settlement }
    }
}

/// Settles each.
pub(super) fn write(tx: &mut Tx<'_>, ends: &[&End]) -> Result<Vec<Settled>> {
    let mut together = vec![false; ends.len()];
    if let Connection::Postgres(session) = tx.connection {
        together = deliver::settle(session, ends)?;
        let left = ends.iter().zip(&together).filter(|(_, is_settled)| !**is_settled).map(|(end, _)| &end.settlement);
        let lines = deliver::lines(session, left)?;
        let lines = lines.iter().map(|(destination, key)| Lock::Order(*destination, key).number());
        locks::hold(tx.connection, lines.collect())?;
    }
    let settled: Vec<_> = ends
        .iter()
        .zip(together)
        .map(|(end, is_settled)| if is_settled { Ok(Settled::Written) } else { settle_one(tx, end) })
        .collect::<Result<_>>()?;
    for (End { settlement, .. }, settled) in ends.iter().zip(&settled) {
        if *settled == Settled::Written {
            let owner = SecretOwner::Destination(settlement.claim.destination());
            for &version in &settlement.attempt.signed_by {
                tx.count_use(owner, version, settlement.attempt.started_at);
                if settlement.attempt.outcome == Outcome::Success {
                    let ended_at = settlement.attempt.started_at.plus(settlement.attempt.duration);
                    tx.count_accepted(owner, version, ended_at);
                }
            }
        }
    }
    Ok(settled)
}

fn settle_one(tx: &Tx<'_>, End { settlement, output }: &End) -> Result<Settled> {
    let connection = tx.connection;
    let claim = &settlement.claim;
    let Some(leased) = leased(connection, claim)? else { return Ok(Settled::LeaseLost) };
    let seq = leased.seq;
    let ended_at = settlement.attempt.started_at.plus(settlement.attempt.duration);
    // The attempt's number is its place among the delivery's attempts, and the claim is what fixes that.
    insert_attempt(connection, seq, &Attempt { number: claim.number(), ..settlement.attempt.clone() })?;
    if let Some(output) = output {
        outputs::put(connection, seq, claim.number(), output)?;
    }
    if let Some(reason) = &settlement.disable {
        disable(tx, claim.destination(), reason, ended_at)?;
    }
    let next = if leased.called_off && settlement.next != Next::Delivered { Next::Cancelled } else { settlement.next };
    let (state, due_at) = match next {
        Next::Delivered => ("delivered", None),
        Next::Exhausted => ("exhausted", None),
        Next::Held | Next::Parked => ("held", None),
        Next::Cancelled => ("cancelled", None),
        Next::Again { due_at } if is_active(connection, claim.destination())? => ("pending", Some(due_at)),
        Next::Again { .. } => ("held", None),
    };
    // What is held only because of its destination is due then when that takes deliveries again.
    let resume_at = match next {
        Next::Again { due_at } => Some(due_at.as_millis()),
        _ => None,
    };
    connection
        .prepare_cached(
            "update deliveries set state = ?2, state_at_ms = ?3, due_at_ms = ?4, leased_until_ms = null, node = null,
                resume_at_ms = ?5
             where seq = ?1",
        )?
        .execute(params![seq, state, ended_at.as_millis(), due_at.map(Timestamp::as_millis), resume_at])?;
    if leased.keyed && !matches!(next, Next::Again { .. } | Next::Held | Next::Parked) {
        connection.prepare_cached("update deliveries set latest_key = null where seq = ?1")?.execute([seq])?;
    }
    let left = match next {
        Next::Delivered => Some(Left::Delivered),
        Next::Exhausted => Some(Left::GivenUp),
        Next::Cancelled => Some(Left::CalledOff),
        Next::Parked => Some(Left::Parked),
        Next::Again { .. } | Next::Held => None,
    };
    if let Some(left) = left.filter(|_| leased.ordered) {
        order::leave(connection, seq, left, ended_at)?;
    }
    if matches!(next, Next::Delivered | Next::Exhausted) {
        let states = takes_deliveries(connection, &settlement.then)?;
        for (delivery, taker) in settlement.then.iter().zip(states) {
            insert_delivery(connection, leased.event_seq, delivery, taker, ended_at)?;
        }
    }
    Ok(Settled::Written)
}

/// A delivery under lease.
struct Leased {
    seq: i64,
    event_seq: i64,
    /// It is to be cancelled, unless this attempt delivered it.
    called_off: bool,
    /// It has a `latest_key`, which it loses when it ends.
    keyed: bool,
    /// It has an `order_key`: others wait for its end.
    ordered: bool,
}

/// The delivery's row, if this claim still holds its lease. A lease past its end holds until another takes it.
fn leased(connection: &Connection, claim: &Claim) -> Result<Option<Leased>> {
    let sql = "select seq, event_seq, cancel_at_ms is not null as called_off, latest_key is not null as keyed,
                   order_key is not null as ordered
               from deliveries where id = ?1 and due_at_ms is not null and state = 'leased' and node = ?2 and attempts = ?3";
    let (delivery, node) = (claim.delivery(), claim.node());
    let parameters = params![delivery.as_bytes(), node.as_bytes(), claim.number()];
    first(connection, &connection.locking(sql), parameters, |row| {
        let cells = Cells::new("deliveries", row);
        Ok(Leased {
            seq: cells.get("seq")?,
            event_seq: cells.get("event_seq")?,
            called_off: cells.get("called_off")?,
            keyed: cells.get("keyed")?,
            ordered: cells.get("ordered")?,
        })
    })
}

pub(super) fn insert_attempt(connection: &Connection, delivery_seq: i64, attempt: &Attempt) -> Result<()> {
    let exchange = attempt.exchange.as_ref();
    connection
        .prepare_cached(
            "insert into attempts (delivery_seq, number, id, started_at_ms, duration_ms, outcome, signed_by, status,
                exit_code, excerpt, detail, node, target, request_headers, response_headers, timings)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
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
            attempt.exit_code,
            &attempt.excerpt[..],
            attempt.detail,
            attempt.node.as_ref().map(NodeId::as_bytes),
            exchange.map(|exchange| format!("{} {}", exchange.method, exchange.target)),
            exchange.map(|exchange| headers::encode(&exchange.request_headers)),
            exchange.map(|exchange| headers::encode(&exchange.response_headers)),
            exchange.map(|exchange| json_text(&exchange.timings)),
        ])?;
    Ok(())
}
