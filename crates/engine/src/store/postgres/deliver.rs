//! Many leases, and the ends of many attempts, in a few statements. What has to do with other deliveries (order, keys of which
//! the newest counts, whoever is told) is left to `claim` and `settle`, which go one by one.
//! Owns nothing of what is decided: that is theirs, word for word.

use std::collections::{HashMap, HashSet};

use super::session::{Asked, Session, asked, sayable};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, NodeId};
use crate::store::sql::bodies;
use crate::store::sql::claim::{Lease, Outstanding, outstanding};
use crate::store::sql::connection::Row;
use crate::store::sql::events;
use crate::store::sql::failure::{Failure, Result};
use crate::store::sql::headers;
use crate::store::sql::rows::{Cells, integer, json_text, outcome_text};
use crate::store::{Claim, Claimed, Next, Settled, Settlement};

/// What several destinations are owed by now.
pub(in crate::store) struct Due {
    /// Of each that takes deliveries as much as there is room for, the longest due first.
    pub(in crate::store) found: Vec<Outstanding>,
    /// Those that take none.
    pub(in crate::store) inactive: Vec<DestinationId>,
}

/// Looks for what is due, pending or with a lease that has run out, and steps over what others are looking at.
pub(in crate::store) fn due(session: &Session, room: &[(DestinationId, u32)], now: Timestamp) -> Result<Due> {
    if room.is_empty() {
        return Ok(Due { found: Vec::new(), inactive: Vec::new() });
    }
    let destinations = || room.iter().map(|(destination, _)| destination.as_bytes().to_vec()).collect::<Vec<_>>();
    let rooms: Vec<i64> = room.iter().map(|(_, room)| i64::from(*room)).collect();
    let found = "select d.* from unnest($1::bytea[], $2::bigint[]) as asked (destination_id, room)
                 join destinations n on n.id = asked.destination_id and n.state = 'active' and n.opened_at_ms is null
                 cross join lateral (
                     select * from deliveries o where o.destination_id = asked.destination_id and o.due_at_ms is not null
                         and o.due_at_ms <= $3 order by o.due_at_ms, o.seq limit asked.room for update skip locked) as d";
    let known = "select id, state = 'active' and opened_at_ms is null from destinations where id = any($1)";
    let asked = [asked!(found, destinations(), rooms, now.as_millis()), asked!(known, destinations())];
    let answers = session.each_of(&asked)?;
    let id = |row: &tokio_postgres::Row| row.get::<_, &[u8]>(0).try_into().map(DestinationId::from_bytes).ok();
    let known: HashMap<DestinationId, bool> =
        answers[1].iter().filter_map(|row| Some((id(row)?, row.get(1)))).collect();
    if let Some((unknown, _)) = room.iter().find(|(destination, _)| !known.contains_key(destination)) {
        return Err(Failure::not_found(format!("destination `{unknown}`")));
    }
    Ok(Due {
        found: answers[0].iter().map(|row| outstanding(&Row::Postgres(row))).collect::<Result<_>>()?,
        inactive: known.into_iter().filter(|(_, is_active)| !is_active).map(|(destination, _)| destination).collect(),
    })
}

/// Gives the leases of deliveries that are pending to `node`.
pub(in crate::store) fn take(
    session: &Session,
    due: &[&Outstanding],
    node: NodeId,
    now: Timestamp,
    until: Timestamp,
) -> Result<()> {
    let seqs: Vec<i64> = due.iter().map(|one| one.seq).collect();
    let sql =
        "update deliveries set state = 'leased', state_at_ms = $2, due_at_ms = $3, node = $4, attempts = attempts + 1
               where seq = any($1) and due_at_ms is not null";
    session.rows(sql, &[&seqs, &now.as_millis(), &until.as_millis(), &&node.as_bytes()[..]]).map(drop)
}

/// What goes with leases that tell of nothing else. One whose event is damaged is left out: its lease runs out, and the next
/// claim says this again.
pub(in crate::store) fn load(session: &Session, leases: &[&Lease]) -> Result<Vec<Claimed>> {
    let seqs: Vec<i64> = leases.iter().map(|lease| lease.event_seq).collect();
    let sql = "select e.*, b.packing, b.bytes from events e
               left join bodies b on b.event_seq = coalesce(e.body_seq, e.seq) where e.seq = any($1)";
    let rows = session.rows(sql, &[&seqs])?;
    let mut found: HashMap<i64, &tokio_postgres::Row> = HashMap::new();
    for row in &rows {
        found.insert(row.get("seq"), row);
    }
    let mut claimed = Vec::with_capacity(leases.len());
    for lease in leases {
        let loaded = found.get(&lease.event_seq).map(|row| {
            let row = Row::Postgres(row);
            let (event, body) = (events::parse(&row)?, bodies::unpacked(&Cells::new("bodies", &row))?);
            let claim = Claim::new(lease.delivery, lease.destination, lease.node, lease.number);
            let &Lease { probe, probes, ordered, skipped, .. } = *lease;
            Ok(Claimed { claim, event, body, concluded: None, probe, probes, ordered, skipped })
        });
        match loaded {
            Some(Ok(one)) => claimed.push(one),
            Some(Err(failure)) => {
                let error: Failure = failure;
                tracing::error!(delivery = %lease.delivery, %error, "a delivery cannot be attempted");
            }
            None => tracing::error!(delivery = %lease.delivery, "a delivery's event is missing"),
        }
    }
    Ok(claimed)
}

/// A settlement whose lease still holds, and where.
struct Held<'s> {
    index: usize,
    seq: i64,
    is_active: bool,
    settlement: &'s Settlement,
}

/// The lines in which any of these stand, each with the destination and the key.
pub(in crate::store) fn lines(session: &Session, settlements: &[Settlement]) -> Result<Vec<(DestinationId, Vec<u8>)>> {
    let ids: Vec<Vec<u8>> = settlements.iter().map(|one| one.claim.delivery().as_bytes().to_vec()).collect();
    let sql = "select destination_id, order_key from deliveries where id = any($1) and order_key is not null";
    let line = |row: &tokio_postgres::Row| {
        Some((DestinationId::from_bytes(row.get::<_, &[u8]>(0).try_into().ok()?), row.get::<_, Vec<u8>>(1)))
    };
    Ok(session.rows(sql, &[&ids])?.iter().filter_map(line).collect())
}

/// Settles what is plain of `settlements`; what is `None` is as it was.
pub(in crate::store) fn settle(
    session: &Session,
    settlements: &[Settlement],
    has_output: impl Fn(usize) -> bool,
) -> Result<Vec<Option<Settled>>> {
    let mut answers = vec![None; settlements.len()];
    let mut seen = HashSet::new();
    let plain = |(index, one): &(usize, &Settlement)| {
        seen.insert(one.claim.delivery()) && one.disable.is_none() && one.then.is_empty() && !has_output(*index)
    };
    let plain: Vec<(usize, &Settlement)> = settlements.iter().enumerate().filter(plain).collect();
    // A few go one by one as quickly.
    if plain.len() < 3 {
        return Ok(answers);
    }
    plain.iter().for_each(|(index, _)| answers[*index] = Some(Settled::LeaseLost));
    let held = held(session, &plain, &mut answers)?;
    if held.is_empty() {
        return Ok(answers);
    }
    session.each_of(&[attempts(&held), end(&held)])?;
    held.iter().for_each(|held| answers[held.index] = Some(Settled::Written));
    Ok(answers)
}

fn held<'s>(
    session: &Session,
    plain: &[(usize, &'s Settlement)],
    answers: &mut [Option<Settled>],
) -> Result<Vec<Held<'s>>> {
    let ids: Vec<Vec<u8>> = plain.iter().map(|(_, one)| one.claim.delivery().as_bytes().to_vec()).collect();
    let nodes: Vec<Vec<u8>> = plain.iter().map(|(_, one)| one.claim.node().as_bytes().to_vec()).collect();
    let numbers: Vec<i64> = plain.iter().map(|(_, one)| i64::from(one.claim.number())).collect();
    let sql = "select asked.ordinal, d.seq, n.state = 'active' and n.opened_at_ms is null,
                   d.cancel_at_ms is not null or d.latest_key is not null or d.order_key is not null
               from unnest($1::bytea[], $2::bytea[], $3::bigint[]) with ordinality as asked (id, node, number, ordinal)
               join deliveries d on d.id = asked.id
               join destinations n on n.id = d.destination_id
               where d.due_at_ms is not null and d.state = 'leased' and d.node = asked.node and d.attempts = asked.number
               for update of d";
    let mut held = Vec::with_capacity(plain.len());
    for row in session.rows(sql, &[&ids, &nodes, &numbers])? {
        let place = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
        let Some(&(index, settlement)) = plain.get(place) else { continue };
        match row.get(3) {
            true => answers[index] = None,
            false => held.push(Held { index, seq: row.get(1), is_active: row.get(2), settlement }),
        }
    }
    Ok(held)
}

fn attempts<'s>(held: &[Held<'s>]) -> Asked<'s> {
    let attempts = || held.iter().map(|held| &held.settlement.attempt);
    let exchanges = || attempts().map(|attempt| attempt.exchange.as_ref());
    let seqs: Vec<i64> = held.iter().map(|held| held.seq).collect();
    let numbers: Vec<i64> = held.iter().map(|held| i64::from(held.settlement.claim.number())).collect();
    let ids: Vec<Vec<u8>> = attempts().map(|attempt| attempt.id.as_bytes().to_vec()).collect();
    let started: Vec<i64> = attempts().map(|attempt| attempt.started_at.as_millis()).collect();
    let took: Vec<i64> = attempts().map(|attempt| integer(attempt.duration.as_millis())).collect();
    let outcomes: Vec<&str> = attempts().map(|attempt| outcome_text(attempt.outcome)).collect();
    let signed: Vec<String> = attempts().map(|attempt| json_text(&attempt.signed_by)).collect();
    let statuses: Vec<Option<i64>> = attempts().map(|attempt| attempt.status.map(i64::from)).collect();
    let codes: Vec<Option<i64>> = attempts().map(|attempt| attempt.exit_code.map(i64::from)).collect();
    let excerpts: Vec<&[u8]> = attempts().map(|attempt| &attempt.excerpt[..]).collect();
    let details: Vec<String> = attempts().map(|attempt| sayable(&attempt.detail).into_owned()).collect();
    let nodes: Vec<Option<Vec<u8>>> = attempts().map(|one| one.node.map(|node| node.as_bytes().to_vec())).collect();
    let targets: Vec<Option<String>> =
        exchanges().map(|one| one.map(|one| sayable(&format!("{} {}", one.method, one.target)).into_owned())).collect();
    let requests: Vec<Option<Vec<u8>>> =
        exchanges().map(|one| one.map(|one| headers::encode(&one.request_headers))).collect();
    let answered: Vec<Option<Vec<u8>>> =
        exchanges().map(|one| one.map(|one| headers::encode(&one.response_headers))).collect();
    let timings: Vec<Option<String>> = exchanges().map(|one| one.map(|one| json_text(&one.timings))).collect();
    let sql = "insert into attempts (delivery_seq, number, id, started_at_ms, duration_ms, outcome, signed_by, status,
                   exit_code, excerpt, detail, node, target, request_headers, response_headers, timings)
               select * from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::text[],
                   $7::text[], $8::bigint[], $9::bigint[], $10::bytea[], $11::text[], $12::bytea[], $13::text[],
                   $14::bytea[], $15::bytea[], $16::text[])";
    asked!(
        sql, seqs, numbers, ids, started, took, outcomes, signed, statuses, codes, excerpts, details, nodes, targets,
        requests, answered, timings
    )
}

/// Writes what becomes of each delivery: see `settle`.
fn end<'s>(held: &[Held<'s>]) -> Asked<'s> {
    let (mut seqs, mut states, mut ended, mut due, mut resume) = (vec![], vec![], vec![], vec![], vec![]);
    for Held { seq, is_active, settlement, .. } in held {
        let (state, due_at, resume_at) = match settlement.next {
            Next::Delivered => ("delivered", None, None),
            Next::Exhausted => ("exhausted", None, None),
            Next::Held | Next::Parked => ("held", None, None),
            Next::Cancelled => ("cancelled", None, None),
            Next::Again { due_at } if *is_active => ("pending", Some(due_at.as_millis()), Some(due_at.as_millis())),
            Next::Again { due_at } => ("held", None, Some(due_at.as_millis())),
        };
        seqs.push(*seq);
        states.push(state);
        ended.push(settlement.attempt.started_at.plus(settlement.attempt.duration).as_millis());
        due.push(due_at);
        resume.push(resume_at);
    }
    let sql = "update deliveries d set state = one.state, state_at_ms = one.ended, due_at_ms = one.due, node = null,
                   resume_at_ms = one.resume
               from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                   as one (seq, state, ended, due, resume)
               where d.seq = one.seq and d.due_at_ms is not null";
    asked!(sql, seqs, states, ended, due, resume)
}
