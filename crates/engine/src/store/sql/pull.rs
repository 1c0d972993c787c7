//! The verbs `pull`, `held_by_consumers` and `extend`: leases that consumers hold, in the order of commits.
//! Owns that order; how a lease begins and ends is `claim`'s, and what a consumer's answer leads to is `settle`'s.

use super::claim::{Lease, Outstanding, Rest, end_lease, outstanding, take};
use super::commit::taker;
use super::connection::{Connection, params};
use super::failure::Result;
use super::locks::{self, Lock};
use super::rows::{Cells, all, first};
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId, NodeId};
use crate::store::{Claim, Held, PullOrder, PullRequest, Settled};

/// What the writer's transaction gave.
#[derive(Debug, Default)]
pub(super) struct Leases {
    pub(super) leases: Vec<Lease>,
    pub(super) free_at: Option<Timestamp>,
}

/// How many outstanding deliveries are looked at in one step.
const STEP: u32 = 100;

/// What is outstanding at a destination after `?2`, oldest first.
pub(super) const IN_ORDER: &str = "select * from deliveries
    where destination_id = ?1 and pulled = 1 and due_at_ms is not null and seq > ?2 order by seq limit ?3";

pub(super) fn lease(tx: &Tx<'_>, request: &PullRequest) -> Result<Leases> {
    let connection = tx.connection;
    locks::hold_one(connection, &Lock::Pull(request.destination))?;
    let mut given = Leases::default();
    let taker = taker(connection, request.destination)?;
    if !taker.active || !taker.pulled {
        return Ok(given);
    }
    let (mut after, mut bytes) = (0, 0_u64);
    loop {
        let parameters = params![request.destination.as_bytes(), after, STEP];
        let step = all(&mut connection.prepare_cached(&connection.locking(IN_ORDER))?, parameters, outstanding)?;
        for one in &step {
            after = one.seq;
            if let Some(until) = one.leased_until.filter(|until| *until > request.now) {
                given.free_at = given.free_at.into_iter().chain([until]).min();
                match request.order {
                    PullOrder::Strict => return Ok(given),
                    PullOrder::Loose => continue,
                }
            }
            if one.called_off || one.attempts >= request.attempts_max {
                end_lease(connection, one, Rest::Exhausted, request.now)?;
                continue;
            }
            bytes = bytes.saturating_add(body_len(connection, one)?);
            if !given.leases.is_empty() && bytes > request.bytes_max {
                return Ok(given);
            }
            given.leases.push(take(connection, one, NodeId::CONSUMERS, request.now, request.until)?);
            if given.leases.len() >= request.max as usize {
                return Ok(given);
            }
        }
        if step.len() < STEP as usize {
            return Ok(given);
        }
    }
}

fn body_len(connection: &Connection, one: &Outstanding) -> Result<u64> {
    let sql = "select seq, body_len from events where seq = ?1";
    let len = first(connection, sql, [one.event_seq], |row| Cells::new("events", row).unsigned("body_len"))?;
    Ok(len.unwrap_or(0))
}

pub(super) fn held(connection: &Connection, leases: &[(DeliveryId, u32)]) -> Result<Vec<Option<Held>>> {
    let sql = "select d.seq, d.destination_id, d.state_at_ms, e.id as event_id
               from deliveries d join events e on e.seq = d.event_seq
               where d.id = ?1 and d.due_at_ms is not null and d.state = 'leased' and d.node = ?2 and d.attempts = ?3";
    let one = |(delivery, number): &(DeliveryId, u32)| {
        let parameters = params![delivery.as_bytes(), NodeId::CONSUMERS.as_bytes(), number];
        first(connection, sql, parameters, |row| {
            let cells = Cells::new("deliveries", row);
            let destination = cells.id("destination_id", DestinationId::from_bytes)?;
            let claim = Claim::new(*delivery, destination, NodeId::CONSUMERS, *number);
            let event = cells.id("event_id", EventId::from_bytes)?;
            Ok(Held { claim, event, since: cells.time("state_at_ms")? })
        })
    };
    leases.iter().map(one).collect()
}

pub(super) fn extend(tx: &Tx<'_>, claims: &[Claim], now: Timestamp, until: Timestamp) -> Result<Vec<Settled>> {
    claims.iter().map(|claim| extend_one(tx.connection, claim, now, until)).collect()
}

fn extend_one(connection: &Connection, claim: &Claim, now: Timestamp, until: Timestamp) -> Result<Settled> {
    let sql = "select * from deliveries where id = ?1 and due_at_ms is not null and state = 'leased' and node = ?2 and attempts = ?3";
    let (delivery, node) = (claim.delivery(), claim.node());
    let parameters = params![delivery.as_bytes(), node.as_bytes(), claim.number()];
    let Some(leased) = first(connection, &connection.locking(sql), parameters, outstanding)? else {
        return Ok(Settled::LeaseLost);
    };
    if leased.called_off {
        end_lease(connection, &leased, Rest::Due, now)?;
        return Ok(Settled::LeaseLost);
    }
    connection
        .prepare_cached("update deliveries set leased_until_ms = ?2 where seq = ?1")?
        .execute(params![leased.seq, until.as_millis()])?;
    Ok(Settled::Written)
}
