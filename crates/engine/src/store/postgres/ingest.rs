//! A group's events in a few statements of many rows. What needs a look at other deliveries (values that run once, keys of
//! which the newest counts, order) is left to `commit`, which goes one by one; so is a duplicate.
//! Owns nothing of what is decided: that is `commit`'s, word for word.

use std::collections::{HashMap, HashSet};

use super::session::{Asked, Session, asked, sayable};
use crate::ids::{DeliveryId, DestinationId, SourceId};
use crate::model::Event;
use crate::store::sql::audit;
use crate::store::sql::commit::{Prepared, Taker, Written, kind_number};
use crate::store::sql::failure::Result;
use crate::store::sql::rows::{cause_columns, integer};
use crate::store::sql::writer::Tx;
use crate::store::{DedupKind, NewEvent};

/// An event, and which of the group's it is.
type Chosen<'e> = (usize, &'e Prepared);

/// A key of `dedup`.
type Key<'e> = (SourceId, DedupKind, &'e [u8]);

fn keys(new: &NewEvent) -> impl Iterator<Item = Key<'_>> {
    new.dedup.iter().map(|key| (new.event.source, key.kind, &key.key[..]))
}

/// Whether nothing about an event depends on other deliveries.
fn is_plain(new: &NewEvent) -> bool {
    new.deliveries.iter().all(|one| one.once.is_none() && one.latest.is_none() && one.order.is_none())
}

/// Writes the events that can be written together; says of which of them, by their index. The others are as they were.
pub(in crate::store) fn write(
    tx: &mut Tx<'_>,
    session: &Session,
    group: &[(usize, &Prepared)],
) -> Result<Vec<(usize, Written)>> {
    let mut taken = HashSet::new();
    let mut chosen: Vec<(usize, &Prepared)> = Vec::with_capacity(group.len());
    for &(index, prepared) in group {
        // Of those that share a key the first is written here, and is found by the others.
        if is_plain(&prepared.new) && keys(&prepared.new).all(|key| !taken.contains(&key)) {
            taken.extend(keys(&prepared.new));
            chosen.push((index, prepared));
        }
    }
    let takers = takers(session, &chosen)?;
    let has_takers =
        |prepared: &Prepared| prepared.new.deliveries.iter().all(|one| takers.contains_key(&one.destination));
    chosen.retain(|(_, prepared)| has_takers(prepared));
    let (chosen, seqs) = claim(session, &chosen)?;
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let mut written = vec![events(&chosen, &seqs), bodies(&chosen, &seqs)];
    written.extend(deliveries(&chosen, &seqs, &takers));
    written.extend(passed_over(&chosen, &seqs));
    session.each_of(&written)?;
    for (_, prepared) in &chosen {
        audit::append_with_detail(tx, &prepared.new.audit_accepted, &prepared.audit_detail)?;
        prepared.new.audit_failed.iter().try_for_each(|entry| audit::append(tx, entry))?;
    }
    Ok(chosen
        .iter()
        .map(|(index, prepared)| {
            let event = &prepared.new.event;
            tx.count_kept(event.source, 1, integer(event.body_len));
            if let Some((owner, version)) = prepared.new.proven_by {
                tx.count_use(owner, version, event.received_at);
            }
            (*index, Written::new_event(event.id, prepared.new.deliveries.len()))
        })
        .collect())
}

/// Gives the events their places and remembers their keys, but for those of which a key is known, or another's who was quicker:
/// they are left out. Waits for whoever is about to have a key.
fn claim<'e>(session: &Session, chosen: &[Chosen<'e>]) -> Result<(Vec<Chosen<'e>>, Vec<i64>)> {
    let count = integer(chosen.len());
    let rows = session.rows("select nextval('events_seq') from generate_series(1::bigint, $1::bigint)", &[&count])?;
    let seqs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let mut wanted: Vec<(Key<'_>, usize, i64)> = Vec::new();
    for (at, (_, prepared)) in chosen.iter().enumerate() {
        for (key, remembered) in keys(&prepared.new).zip(&prepared.new.dedup) {
            wanted.push((key, at, remembered.expires_at.as_millis()));
        }
    }
    if wanted.is_empty() {
        return Ok((chosen.to_vec(), seqs));
    }
    // Two groups that share keys meet at the first of them, and never wait for each other.
    wanted.sort_by_key(|((source, kind, key), ..)| (*source.as_bytes(), kind_number(*kind), *key));
    let columns = KeyColumns::of(&wanted, &seqs);
    let expires: Vec<i64> = wanted.iter().map(|(.., expires_at)| *expires_at).collect();
    let now = chosen.iter().map(|(_, prepared)| prepared.new.event.received_at.as_millis()).min();
    let sql = "insert into dedup (source_id, kind, key, event_seq, expires_at_ms)
               select * from unnest($1::bytea[], $2::smallint[], $3::bytea[], $4::bigint[], $5::bigint[])
               on conflict (source_id, kind, key)
               do update set event_seq = excluded.event_seq, expires_at_ms = excluded.expires_at_ms
               where dedup.expires_at_ms <= $6
               returning source_id, kind, key";
    let KeyColumns { sources, kinds, bytes, events } = &columns;
    let rows = session.rows(sql, &[sources, kinds, bytes, events, &expires, &now])?;
    if rows.len() == wanted.len() {
        return Ok((chosen.to_vec(), seqs));
    }
    let claimed: HashSet<(&[u8], i16, &[u8])> =
        rows.iter().map(|row| (row.get(0), row.get::<_, i16>(1), row.get(2))).collect();
    let is_claimed = |place: usize| claimed.contains(&(sources[place], kinds[place], bytes[place]));
    let lost: HashSet<usize> = (0..wanted.len()).filter(|place| !is_claimed(*place)).map(|at| wanted[at].1).collect();
    let given_back: Vec<_> = (0..wanted.len())
        .filter(|place| is_claimed(*place) && lost.contains(&wanted[*place].1))
        .map(|place| wanted[place])
        .collect();
    if !given_back.is_empty() {
        let KeyColumns { sources, kinds, bytes, events } = KeyColumns::of(&given_back, &seqs);
        let sql = "delete from dedup d using unnest($1::bytea[], $2::smallint[], $3::bytea[], $4::bigint[])
                       as back (source_id, kind, key, event_seq)
                   where d.source_id = back.source_id and d.kind = back.kind and d.key = back.key
                       and d.event_seq = back.event_seq";
        session.rows(sql, &[&sources, &kinds, &bytes, &events])?;
    }
    Ok(chosen.iter().zip(seqs).enumerate().filter(|(at, _)| !lost.contains(at)).map(|(_, one)| one).unzip())
}

/// Keys of events that are at these places, as columns.
struct KeyColumns<'e> {
    sources: Vec<&'e [u8]>,
    kinds: Vec<i16>,
    bytes: Vec<&'e [u8]>,
    events: Vec<i64>,
}

impl<'e> KeyColumns<'e> {
    fn of(wanted: &'e [(Key<'e>, usize, i64)], seqs: &[i64]) -> Self {
        let mut columns = Self { sources: vec![], kinds: vec![], bytes: vec![], events: vec![] };
        for ((source, kind, key), event, _) in wanted {
            columns.sources.push(&source.as_bytes()[..]);
            columns.kinds.push(i16::try_from(kind_number(*kind)).unwrap_or(0));
            columns.bytes.push(key);
            columns.events.push(seqs[*event]);
        }
        columns
    }
}

fn takers(session: &Session, chosen: &[(usize, &Prepared)]) -> Result<HashMap<DestinationId, Taker>> {
    let wanted = chosen.iter().flat_map(|(_, prepared)| &prepared.new.deliveries).map(|one| one.destination);
    let wanted: HashSet<DestinationId> = wanted.collect();
    if wanted.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<&[u8]> = wanted.iter().map(|id| &id.as_bytes()[..]).collect();
    let sql = "select id, state = 'active' and opened_at_ms is null, pulled = 1, organization_id
               from destinations where id = any($1)";
    let rows = session.rows(sql, &[&ids])?;
    let taker = |row: &tokio_postgres::Row| {
        let id = DestinationId::from_bytes(row.get::<_, &[u8]>(0).try_into().ok()?);
        let organization = row.get::<_, &[u8]>(3).try_into().ok()?;
        Some((id, Taker { active: row.get(1), pulled: row.get(2), organization }))
    };
    Ok(rows.iter().filter_map(taker).collect())
}

fn events<'e>(chosen: &[Chosen<'e>], seqs: &'e [i64]) -> Asked<'e> {
    let new = || chosen.iter().map(|&(_, prepared)| &prepared.new.event);
    let bytes = |of: fn(&'e Event) -> &'e [u8]| new().map(of).collect::<Vec<&[u8]>>();
    let texts = |of: fn(&'e Event) -> &'e str| new().map(|event| sayable(of(event))).collect::<Vec<_>>();
    let delivery_ids: Vec<_> = new().map(|event| event.delivery_id.as_deref().map(sayable)).collect();
    let received: Vec<i64> = new().map(|event| event.received_at.as_millis()).collect();
    let verdicts: Vec<_> = chosen.iter().map(|&(_, prepared)| sayable(&prepared.verdict)).collect();
    let headers: Vec<&[u8]> = chosen.iter().map(|&(_, prepared)| &prepared.headers[..]).collect();
    let lengths: Vec<i64> = new().map(|event| integer(event.body_len)).collect();
    let sql = "insert into events (id, organization_id, source_id, source_name, event_type, delivery_id, received_at_ms, verdict,
                   method, target, remote, headers, body_len, body_sha256, seq)
               select * from unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::bigint[],
                   $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bigint[], $14::bytea[], $15::bigint[])";
    asked!(
        sql,
        bytes(|event| event.id.as_bytes()),
        bytes(|event| event.organization.as_bytes()),
        bytes(|event| event.source.as_bytes()),
        texts(|event| &event.source_name),
        texts(|event| &event.event_type),
        delivery_ids,
        received,
        verdicts,
        texts(|event| &event.request.method),
        texts(|event| &event.request.target),
        texts(|event| &event.request.remote),
        headers,
        lengths,
        bytes(|event| &event.body_sha256),
        seqs,
    )
}

fn bodies<'e>(chosen: &[Chosen<'e>], seqs: &'e [i64]) -> Asked<'e> {
    let packing: Vec<i16> = chosen.iter().map(|(_, prepared)| i16::from(prepared.body.is_packed())).collect();
    let bytes: Vec<&[u8]> = chosen.iter().map(|&(_, prepared)| prepared.body.columns().1).collect();
    let sql = "insert into bodies (event_seq, packing, bytes) select * from unnest($1::bigint[], $2::smallint[], $3::bytea[])";
    asked!(sql, seqs, packing, bytes)
}

fn deliveries<'e>(chosen: &[Chosen<'e>], seqs: &[i64], takers: &'e HashMap<DestinationId, Taker>) -> Option<Asked<'e>> {
    let owed = || {
        chosen.iter().zip(seqs).flat_map(|(&(_, new), seq)| new.new.deliveries.iter().map(move |one| (new, *seq, one)))
    };
    owed().next()?;
    let id = |id: &DeliveryId| id.as_bytes().to_vec();
    let ids: Vec<Vec<u8>> = owed().map(|(_, _, one)| id(&one.id)).collect();
    let events: Vec<i64> = owed().map(|(_, seq, _)| seq).collect();
    let destinations: Vec<&[u8]> = owed().map(|(_, _, one)| &one.destination.as_bytes()[..]).collect();
    let causes: Vec<&str> = owed().map(|(_, _, one)| cause_columns(&one.cause).0).collect();
    let causes_of: Vec<Option<&[u8]>> =
        owed().map(|(_, _, one)| cause_columns(&one.cause).1.map(|id| &id[..])).collect();
    let made: Vec<i64> = owed().map(|(new, _, _)| new.new.event.received_at.as_millis()).collect();
    let due: Vec<i64> = owed().map(|(_, _, one)| one.due_at.as_millis()).collect();
    let taker = |one: &DestinationId| &takers[one];
    let active: Vec<bool> = owed().map(|(_, _, one)| taker(&one.destination).active).collect();
    let pulled: Vec<i16> = owed().map(|(_, _, one)| i16::from(taker(&one.destination).pulled)).collect();
    let organizations: Vec<&[u8]> = owed().map(|(_, _, one)| &taker(&one.destination).organization[..]).collect();
    let sql =
        "insert into deliveries (id, event_seq, destination_id, cause, cause_of, created_at_ms, state, state_at_ms,
                   due_at_ms, resume_at_ms, pulled, organization_id)
               select id, event_seq, destination_id, cause, cause_of, made_at_ms,
                   case when active then 'pending' else 'held' end, made_at_ms,
                   case when active then due_at_ms end, case when not active then due_at_ms end, pulled, organization_id
               from unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::text[], $5::bytea[], $6::bigint[], $7::bigint[],
                   $8::boolean[], $9::smallint[], $10::bytea[])
                   as row (id, event_seq, destination_id, cause, cause_of, made_at_ms, due_at_ms, active, pulled,
                       organization_id)";
    Some(asked!(sql, ids, events, destinations, causes, causes_of, made, due, active, pulled, organizations))
}

fn passed_over<'e>(chosen: &[Chosen<'e>], seqs: &[i64]) -> Option<Asked<'e>> {
    let failed =
        || chosen.iter().zip(seqs).flat_map(|(&(_, new), seq)| new.new.failed.iter().map(move |one| (*seq, one)));
    failed().next()?;
    let events: Vec<i64> = failed().map(|(seq, _)| seq).collect();
    let destinations: Vec<&[u8]> = failed().map(|(_, one)| &one.destination.as_bytes()[..]).collect();
    let details: Vec<_> = failed().map(|(_, one)| sayable(&one.detail)).collect();
    let sql = "insert into passed_over (event_seq, destination_id, reason, detail)
               select event_seq, destination_id, 'filter_failed', detail
               from unnest($1::bigint[], $2::bytea[], $3::text[]) as row (event_seq, destination_id, detail)";
    Some(asked!(sql, events, destinations, details))
}
