//! Leases: the verbs `claim`, `next_due` and `recover`, and what becomes of leases that run out.
//! Owns who may attempt what until when; the end of an attempt is `settle`.

use std::collections::HashMap;

use super::commit::is_active;
use super::connection::{Connection, Row, params};
use super::failure::{Failure, Result};
use super::order::{self, Left};
use super::rows::{self, Cells, all, first};
use super::settle::insert_attempt;
use super::writer::Tx;
use super::{bodies, deliveries, events};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, NodeId};
use crate::model::{Attempt, DeliveryCause, Outcome};
use crate::store::postgres::deliver;
use crate::store::postgres::session::Session;
use crate::store::{Claim, ClaimRequest, Claimed, StoreError, interrupted_attempt_id};

/// A lease that the writer's transaction gave; a `Claim` once that is synced.
#[derive(Debug)]
pub(in crate::store) struct Lease {
    pub(in crate::store) delivery: DeliveryId,
    pub(in crate::store) destination: DestinationId,
    pub(in crate::store) node: NodeId,
    pub(in crate::store) number: u32,
    pub(in crate::store) event_seq: i64,
    /// The delivery whose end this one tells of.
    tells_of: Option<DeliveryId>,
    pub(in crate::store) probe: bool,
    pub(in crate::store) probes: u32,
    pub(in crate::store) ordered: bool,
    pub(in crate::store) skipped: u32,
}

impl Lease {
    /// The lease of a delivery's next attempt.
    fn of(due: &Outstanding, node: NodeId) -> Self {
        let (delivery, destination, event_seq, number) = (due.id, due.destination, due.event_seq, due.attempts + 1);
        let (tells_of, probes, ordered, skipped) = (due.tells_of, due.probes, due.ordered, due.skipped);
        Self { delivery, destination, node, number, event_seq, tells_of, probe: false, probes, ordered, skipped }
    }
}

/// An outstanding delivery as `lease` and `recover` find it.
pub(in crate::store) struct Outstanding {
    pub(in crate::store) seq: i64,
    pub(in crate::store) id: DeliveryId,
    pub(in crate::store) destination: DestinationId,
    pub(in crate::store) event_seq: i64,
    tells_of: Option<DeliveryId>,
    pub(in crate::store) attempts: u32,
    probes: u32,
    /// When its lease began, if it is leased.
    pub(in crate::store) leased_at: Option<Timestamp>,
    /// When its lease ends, if it is leased.
    pub(super) leased_until: Option<Timestamp>,
    /// Whose lease it is, if it is leased.
    node: Option<NodeId>,
    /// It was called off while it was leased.
    pub(in crate::store) called_off: bool,
    /// It stands in the line of an order key.
    ordered: bool,
    skipped: u32,
}

pub(super) fn lease(tx: &Tx<'_>, request: &ClaimRequest) -> Result<Vec<Lease>> {
    let mut leases = Vec::new();
    match tx.connection {
        Connection::Postgres(session) => lease_together(tx.connection, session, request, &mut leases)?,
        Connection::Sqlite(_) => {
            for &(destination, room) in &request.room {
                match is_active(tx.connection, destination)? {
                    true => lease_due(tx.connection, destination, room, request, &mut leases)?,
                    false => hold_due(tx.connection, destination, request.now)?,
                }
            }
        }
    }
    for &destination in &request.probes {
        leases.extend(lease_probe(tx.connection, destination, request)?);
    }
    Ok(leases)
}

/// As for each destination by itself, but looks at all of them at once.
fn lease_together(
    connection: &Connection,
    session: &Session,
    request: &ClaimRequest,
    leases: &mut Vec<Lease>,
) -> Result<()> {
    let due = deliver::lease(session, request)?;
    let mut room_again: HashMap<DestinationId, u32> = HashMap::new();
    for found in &due.found {
        if found.is_plain() {
            leases.push(Lease::of(found, request.node));
        } else if found.called_off {
            end_lease(connection, found, Rest::Due, request.now)?;
            *room_again.entry(found.destination).or_default() += 1;
        } else {
            leases.push(take(connection, found, request.node, request.now, request.until)?);
        }
    }
    for (destination, room) in room_again {
        lease_due(connection, destination, room, request, leases)?;
    }
    due.inactive.into_iter().try_for_each(|destination| hold_due(connection, destination, request.now))
}

/// A destination that takes nothing now: leases that ran out are ended, and what is due is held.
fn hold_due(connection: &Connection, destination: DestinationId, now: Timestamp) -> Result<()> {
    let lost = due(connection, destination, now, u32::MAX)?;
    lost.iter().try_for_each(|lost| end_lease(connection, lost, Rest::Held, now))
}

/// Of what an open breaker holds, the delivery that was due first.
pub(super) const PROBE: &str = "select d.* from deliveries d join destinations n on n.id = d.destination_id
    where d.destination_id = ?1 and d.state = 'held' and d.behind = 0 and d.resume_at_ms is not null
        and n.state = 'active' and n.opened_at_ms is not null and n.probe_at_ms <= ?2
    order by d.resume_at_ms limit 1";

/// Until its lease ends there is no other: that is what the next probe waits for, whatever becomes of this process.
fn lease_probe(connection: &Connection, destination: DestinationId, request: &ClaimRequest) -> Result<Option<Lease>> {
    let parameters = params![destination.as_bytes(), request.now.as_millis()];
    let probe = connection.stepping_over(PROBE);
    let Some(held) = first(connection, &probe, parameters, outstanding)? else { return Ok(None) };
    connection
        .prepare_cached("update destinations set probe_at_ms = ?2 where id = ?1")?
        .execute(params![destination.as_bytes(), request.until.as_millis()])?;
    connection.prepare_cached("update deliveries set probes = probes + 1 where seq = ?1")?.execute([held.seq])?;
    let lease = take(connection, &held, request.node, request.now, request.until)?;
    Ok(Some(Lease { probe: true, probes: held.probes + 1, ..lease }))
}

/// What was called off takes no room: whoever asks gets as many as there are.
fn lease_due(
    connection: &Connection,
    destination: DestinationId,
    mut room: u32,
    request: &ClaimRequest,
    leases: &mut Vec<Lease>,
) -> Result<()> {
    while room > 0 {
        let found = due(connection, destination, request.now, room)?;
        let (called_off, due): (Vec<_>, Vec<_>) = found.iter().partition(|due| due.called_off);
        for due in due {
            leases.push(take(connection, due, request.node, request.now, request.until)?);
        }
        for lost in &called_off {
            end_lease(connection, lost, Rest::Due, request.now)?;
        }
        room = u32::try_from(called_off.len()).unwrap_or(u32::MAX);
    }
    Ok(())
}

/// Pending ones that are due, and leased ones whose lease has run out: they stand where they stood before it.
pub(super) const DUE: &str = "select * from deliveries
    where destination_id = ?1 and due_at_ms is not null and due_at_ms <= ?2
        and (leased_until_ms is null or leased_until_ms <= ?2)
    order by due_at_ms, seq limit ?3";

fn due(connection: &Connection, destination: DestinationId, now: Timestamp, room: u32) -> Result<Vec<Outstanding>> {
    let parameters = params![destination.as_bytes(), now.as_millis(), room];
    all(&mut connection.prepare_cached(&connection.stepping_over(DUE))?, parameters, outstanding)
}

pub(in crate::store) fn outstanding(row: &Row<'_>) -> Result<Outstanding> {
    let cells = Cells::new("deliveries", row);
    Ok(Outstanding {
        seq: cells.get("seq")?,
        id: cells.id("id", DeliveryId::from_bytes)?,
        destination: cells.id("destination_id", DestinationId::from_bytes)?,
        event_seq: cells.get("event_seq")?,
        tells_of: match rows::delivery_cause(&cells)? {
            DeliveryCause::Outcome { of } => Some(of),
            DeliveryCause::Event | DeliveryCause::Redelivery { .. } | DeliveryCause::Test => None,
        },
        attempts: cells.unsigned("attempts")?,
        probes: cells.unsigned("probes")?,
        leased_at: if cells.text("state")? == "leased" { Some(cells.time("state_at_ms")?) } else { None },
        leased_until: cells.optional_time("leased_until_ms")?,
        node: cells.optional_id("node", NodeId::from_bytes)?,
        called_off: cells.optional_time("cancel_at_ms")?.is_some(),
        ordered: cells.get::<Option<Vec<u8>>>("order_key")?.is_some(),
        skipped: cells.unsigned("skipped")?,
    })
}

/// Gives the lease of a delivery that is due to `node`.
pub(super) fn take(
    connection: &Connection,
    due: &Outstanding,
    node: NodeId,
    now: Timestamp,
    until: Timestamp,
) -> Result<Lease> {
    keep_lost_attempt(connection, due, now)?;
    let number = due.attempts + 1;
    connection
        .prepare_cached(
            "update deliveries set state = 'leased', state_at_ms = ?2, due_at_ms = coalesce(due_at_ms, ?2),
                leased_until_ms = ?3, node = ?4, attempts = ?5
             where seq = ?1",
        )?
        .execute(params![due.seq, now.as_millis(), until.as_millis(), node.as_bytes(), number])?;
    Ok(Lease::of(due, node))
}

/// What a lease that ended by itself leaves behind: an attempt of which nothing is known but that it began.
pub(super) fn keep_lost_attempt(connection: &Connection, lost: &Outstanding, now: Timestamp) -> Result<()> {
    let Some((started_at, until)) = lost.leased_at.zip(lost.leased_until) else { return Ok(()) };
    let attempt = Attempt {
        id: interrupted_attempt_id(lost.id, lost.attempts),
        number: lost.attempts,
        started_at,
        duration: until.min(now).since(started_at),
        outcome: Outcome::Interrupted,
        signed_by: Vec::new(),
        status: None,
        exit_code: None,
        excerpt: bytes::Bytes::new(),
        detail: "the process ended, or lost its lease, before the attempt did".to_owned(),
        node: lost.node,
        exchange: None,
    };
    insert_attempt(connection, lost.seq, &attempt)
}

/// Where a delivery goes whose lease ended by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is due at once.
    Due,
    /// Its destination takes nothing now.
    Held,
    /// That was its last attempt.
    Exhausted,
}

/// Ends a lease that nobody settled. A delivery that was called off meanwhile is cancelled.
pub(super) fn end_lease(connection: &Connection, lost: &Outstanding, rest: Rest, now: Timestamp) -> Result<()> {
    keep_lost_attempt(connection, lost, now)?;
    let (state, due_at) = match rest {
        _ if lost.called_off => ("cancelled", None),
        Rest::Due => ("pending", Some(now.as_millis())),
        Rest::Held => ("held", None),
        Rest::Exhausted => ("exhausted", None),
    };
    connection
        .prepare_cached(
            "update deliveries set state = ?2, state_at_ms = ?3, due_at_ms = ?4, leased_until_ms = null, node = null,
                resume_at_ms = ?3
             where seq = ?1",
        )?
        .execute(params![lost.seq, state, now.as_millis(), due_at])?;
    if rest == Rest::Exhausted {
        connection.prepare_cached("update deliveries set latest_key = null where seq = ?1")?.execute([lost.seq])?;
    }
    match rest {
        _ if !lost.ordered => Ok(()),
        _ if lost.called_off => order::leave(connection, lost.seq, Left::CalledOff, now),
        Rest::Exhausted => order::leave(connection, lost.seq, Left::GivenUp, now),
        Rest::Due | Rest::Held => Ok(()),
    }
}

/// What goes with the leases. Read after the writer's transaction, so that it stays short.
pub(super) fn load(connection: &Connection, leases: &[Lease]) -> Result<Vec<Claimed>> {
    let mut claimed = Vec::with_capacity(leases.len());
    let mut singly: Vec<&Lease> = leases.iter().collect();
    if let Connection::Postgres(session) = connection {
        let (bare, telling) = singly.into_iter().partition::<Vec<_>, _>(|lease| lease.tells_of.is_none());
        claimed = deliver::load(session, &bare)?;
        singly = telling;
    }
    for lease in singly {
        match load_one(connection, lease) {
            Ok(one) => claimed.push(one),
            // A damaged event must not hold up the others; its lease runs out and the next claim says this again.
            Err(Failure::Answer(error @ StoreError::Inconsistent { .. })) => {
                tracing::error!(delivery = %lease.delivery, %error, "a delivery cannot be attempted");
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(claimed)
}

fn load_one(connection: &Connection, lease: &Lease) -> Result<Claimed> {
    let (event, body_seq) = events::at(connection, lease.event_seq)?;
    let claim = Claim::new(lease.delivery, lease.destination, lease.node, lease.number);
    let concluded = lease.tells_of.map(|of| deliveries::concluded(connection, event.organization, of)).transpose()?;
    let &Lease { probe, probes, ordered, skipped, .. } = lease;
    let body = bodies::at(connection, body_seq)?;
    Ok(Claimed { claim, event, body, concluded, probe, probes, ordered, skipped })
}

pub(super) fn next_due(connection: &Connection, destinations: &[DestinationId]) -> Result<Vec<Option<Timestamp>>> {
    // A lease ends when it does, but nothing that comes after what is pending first is looked for before that.
    let sql = "with pending as (
                   select due_at_ms from deliveries
                   where destination_id = ?1 and due_at_ms is not null and due_at_ms >= ?2 and +state = 'pending'
                   order by due_at_ms limit 1)
               select min(at_ms) as at_ms from (
                   select due_at_ms as at_ms from pending
                   union all
                   select leased_until_ms as at_ms from deliveries
                   where destination_id = ?1 and due_at_ms is not null and due_at_ms >= ?2
                       and due_at_ms <= coalesce((select due_at_ms from pending), 9223372036854775807)) as next";
    let due = |destination: &DestinationId| {
        let floor = match connection {
            Connection::Sqlite(_) => None,
            Connection::Postgres(session) => session.floors().with_end(*destination),
        };
        let from = floor.map_or(i64::MIN, |(floor, _)| floor.as_millis());
        let due = first(connection, sql, params![destination.as_bytes(), from], |row| {
            Cells::new("deliveries", row).optional_time("at_ms")
        })?;
        // What lies below the floor is looked for when that ends.
        Ok(due.flatten().into_iter().chain(floor.map(|(_, until)| until)).min())
    };
    destinations.iter().map(due).collect()
}

pub(super) fn recover(tx: &Tx<'_>, node: NodeId, now: Timestamp) -> Result<u64> {
    // A consumer outlives the process that gave it a lease.
    let sql = "select * from deliveries
               where due_at_ms is not null and state = 'leased' and node <> ?1 and node <> ?2";
    let parameters = [node.as_bytes(), NodeId::CONSUMERS.as_bytes()];
    let lost = all(&mut tx.connection.prepare_cached(sql)?, parameters, outstanding)?;
    end_all(tx.connection, &lost, now)
}

pub(super) fn give_back(tx: &Tx<'_>, node: NodeId, now: Timestamp) -> Result<u64> {
    let sql = "select * from deliveries where due_at_ms is not null and state = 'leased' and node = ?1";
    let held = all(&mut tx.connection.prepare_cached(sql)?, [node.as_bytes()], outstanding)?;
    end_all(tx.connection, &held, now)
}

fn end_all(connection: &Connection, lost: &[Outstanding], now: Timestamp) -> Result<u64> {
    for lost in lost {
        let rest = if is_active(connection, lost.destination)? { Rest::Due } else { Rest::Held };
        end_lease(connection, lost, rest, now)?;
    }
    Ok(lost.len() as u64)
}
