//! A group's events in a few statements of many rows. What needs a look at other deliveries (values that run once, keys of
//! which the newest counts, order) is left to `commit`, which goes one by one; so is a duplicate.
//! Owns nothing of what is decided: that is `commit`'s, word for word.

use std::collections::{HashMap, HashSet};

use super::session::{Session, sayable};
use crate::ids::{DeliveryId, DestinationId, SourceId};
use crate::model::Facts;
use crate::store::sql::audit;
use crate::store::sql::commit::{Prepared, Taker, Written, kind_number};
use crate::store::sql::failure::Result;
use crate::store::sql::rows::{cause_columns, integer};
use crate::store::sql::writer::Tx;
use crate::store::{DedupKind, NewEvent};

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
    events: &[(usize, &Prepared)],
) -> Result<Vec<(usize, Written)>> {
    let mut taken = HashSet::new();
    let mut chosen: Vec<(usize, &Prepared)> = Vec::with_capacity(events.len());
    for &(index, prepared) in events {
        // Of those that share a key the first is written here, and is found by the others.
        if is_plain(&prepared.new) && keys(&prepared.new).all(|key| !taken.contains(&key)) {
            taken.extend(keys(&prepared.new));
            chosen.push((index, prepared));
        }
    }
    let known = known(session, &chosen)?;
    let takers = takers(session, &chosen)?;
    let is_new = |prepared: &Prepared| keys(&prepared.new).all(|key| !known.contains(&(key.0, key.1, key.2.to_vec())));
    let has_takers =
        |prepared: &Prepared| prepared.new.deliveries.iter().all(|one| takers.contains_key(&one.destination));
    chosen.retain(|(_, prepared)| is_new(prepared) && has_takers(prepared));
    if chosen.is_empty() {
        return Ok(Vec::new());
    }
    let seqs = insert_events(session, &chosen)?;
    insert_bodies(session, &chosen, &seqs)?;
    insert_keys(session, &chosen, &seqs)?;
    insert_deliveries(session, &chosen, &seqs, &takers)?;
    insert_failed(session, &chosen, &seqs)?;
    append_audit(tx, session, &chosen)?;
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

/// Which of the events' keys are remembered.
fn known(session: &Session, chosen: &[(usize, &Prepared)]) -> Result<HashSet<(SourceId, DedupKind, Vec<u8>)>> {
    let (mut sources, mut kinds, mut bytes, mut now) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (_, prepared) in chosen {
        for (source, kind, key) in keys(&prepared.new) {
            sources.push(source.as_bytes().to_vec());
            kinds.push(kind_number(kind));
            bytes.push(key);
            now.push(prepared.new.event.received_at.as_millis());
        }
    }
    if bytes.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "select d.source_id, d.kind, d.key from unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bigint[])
                   as asked (source_id, kind, key, now_ms)
               join dedup d on d.source_id = asked.source_id and d.kind = asked.kind and d.key = asked.key
               where d.expires_at_ms > asked.now_ms";
    let rows = session.rows(sql, &[&sources, &kinds, &bytes, &now])?;
    let source = |row: &tokio_postgres::Row| row.get::<_, &[u8]>(0).try_into().map(SourceId::from_bytes).ok();
    let kind = |row: &tokio_postgres::Row| match row.get::<_, i16>(1) {
        1 => DedupKind::DeliveryId,
        2 => DedupKind::Body,
        _ => DedupKind::Idempotency,
    };
    Ok(rows.iter().filter_map(|row| Some((source(row)?, kind(row), row.get::<_, Vec<u8>>(2)))).collect())
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

/// The events' places, in the order given.
fn insert_events(session: &Session, chosen: &[(usize, &Prepared)]) -> Result<Vec<i64>> {
    let new = || chosen.iter().map(|(_, prepared)| &prepared.new.event);
    let bytes = |of: fn(&crate::model::Event) -> &[u8]| new().map(of).collect::<Vec<&[u8]>>();
    let texts = |of: fn(&crate::model::Event) -> &str| new().map(|event| sayable(of(event))).collect::<Vec<_>>();
    let delivery_ids: Vec<_> = new().map(|event| event.delivery_id.as_deref().map(sayable)).collect();
    let received: Vec<i64> = new().map(|event| event.received_at.as_millis()).collect();
    let verdicts: Vec<_> = chosen.iter().map(|(_, prepared)| sayable(&prepared.verdict)).collect();
    let headers: Vec<&[u8]> = chosen.iter().map(|(_, prepared)| &prepared.headers[..]).collect();
    let lengths: Vec<i64> = new().map(|event| integer(event.body_len)).collect();
    let sql = "with place as (select nextval('events_seq') as seq, row.* from unnest($1::bytea[], $2::bytea[], $3::bytea[],
                   $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[],
                   $12::bytea[], $13::bigint[], $14::bytea[]) with ordinality as row (id, organization_id, source_id,
                   source_name, event_type, delivery_id, received_at_ms, verdict, method, target, remote, headers, body_len,
                   body_sha256, ordinal)),
               written as (insert into events (seq, id, organization_id, source_id, source_name, event_type, delivery_id,
                   received_at_ms, verdict, method, target, remote, headers, body_len, body_sha256)
                   select seq, id, organization_id, source_id, source_name, event_type, delivery_id, received_at_ms, verdict,
                       method, target, remote, headers, body_len, body_sha256 from place)
               select seq from place order by ordinal";
    let rows = session.rows(
        sql,
        &[
            &bytes(|event| event.id.as_bytes()),
            &bytes(|event| event.organization.as_bytes()),
            &bytes(|event| event.source.as_bytes()),
            &texts(|event| &event.source_name),
            &texts(|event| &event.event_type),
            &delivery_ids,
            &received,
            &verdicts,
            &texts(|event| &event.request.method),
            &texts(|event| &event.request.target),
            &texts(|event| &event.request.remote),
            &headers,
            &lengths,
            &bytes(|event| &event.body_sha256),
        ],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn insert_bodies(session: &Session, chosen: &[(usize, &Prepared)], seqs: &[i64]) -> Result<()> {
    let packing: Vec<i16> = chosen.iter().map(|(_, prepared)| i16::from(prepared.body.is_packed())).collect();
    let bytes: Vec<&[u8]> = chosen.iter().map(|(_, prepared)| prepared.body.columns().1).collect();
    let sql = "insert into bodies (event_seq, packing, bytes) select * from unnest($1::bigint[], $2::smallint[], $3::bytea[])";
    session.rows(sql, &[&seqs, &packing, &bytes]).map(drop)
}

/// Remembers keys. One that is there already has expired, and gives way.
fn insert_keys(session: &Session, chosen: &[(usize, &Prepared)], seqs: &[i64]) -> Result<()> {
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((_, prepared), seq) in chosen.iter().zip(seqs) {
        for key in &prepared.new.dedup {
            columns.0.push(&prepared.new.event.source.as_bytes()[..]);
            columns.1.push(i16::try_from(kind_number(key.kind)).unwrap_or(0));
            columns.2.push(&key.key[..]);
            columns.3.push(*seq);
            columns.4.push(key.expires_at.as_millis());
        }
    }
    if columns.0.is_empty() {
        return Ok(());
    }
    let sql = "insert into dedup (source_id, kind, key, event_seq, expires_at_ms)
               select * from unnest($1::bytea[], $2::smallint[], $3::bytea[], $4::bigint[], $5::bigint[])
               on conflict (source_id, kind, key)
               do update set event_seq = excluded.event_seq, expires_at_ms = excluded.expires_at_ms";
    session.rows(sql, &[&columns.0, &columns.1, &columns.2, &columns.3, &columns.4]).map(drop)
}

fn insert_deliveries(
    session: &Session,
    chosen: &[(usize, &Prepared)],
    seqs: &[i64],
    takers: &HashMap<DestinationId, Taker>,
) -> Result<()> {
    let owed = || {
        chosen.iter().zip(seqs).flat_map(|((_, new), seq)| new.new.deliveries.iter().map(move |one| (new, *seq, one)))
    };
    if owed().next().is_none() {
        return Ok(());
    }
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
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 10] =
        [&ids, &events, &destinations, &causes, &causes_of, &made, &due, &active, &pulled, &organizations];
    session.rows(sql, &values).map(drop)
}

fn insert_failed(session: &Session, chosen: &[(usize, &Prepared)], seqs: &[i64]) -> Result<()> {
    let failed =
        || chosen.iter().zip(seqs).flat_map(|((_, new), seq)| new.new.failed.iter().map(move |one| (*seq, one)));
    if failed().next().is_none() {
        return Ok(());
    }
    let events: Vec<i64> = failed().map(|(seq, _)| seq).collect();
    let destinations: Vec<&[u8]> = failed().map(|(_, one)| &one.destination.as_bytes()[..]).collect();
    let details: Vec<_> = failed().map(|(_, one)| sayable(&one.detail)).collect();
    let sql = "insert into passed_over (event_seq, destination_id, reason, detail)
               select event_seq, destination_id, 'filter_failed', detail
               from unnest($1::bigint[], $2::bytea[], $3::text[]) as row (event_seq, destination_id, detail)";
    session.rows(sql, &[&events, &destinations, &details]).map(drop)
}

fn append_audit(tx: &Tx<'_>, session: &Session, chosen: &[(usize, &Prepared)]) -> Result<()> {
    let mut head = audit::head_of(tx)?;
    let (mut seqs, mut hashes, mut entries, mut details) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (_, prepared) in chosen {
        let accepted = (&prepared.new.audit_accepted, prepared.audit_detail.clone());
        let failed = prepared.new.audit_failed.as_ref().map(|entry| (entry, entry.detail.to_string()));
        for (entry, detail) in std::iter::once(accepted).chain(failed) {
            let (actor, address, target) = (sayable(&entry.actor), sayable(&entry.address), sayable(&entry.target));
            let detail = sayable(&detail).into_owned();
            head = head.then(&Facts {
                organization: entry.organization.as_bytes(),
                at_ms: entry.at.as_millis(),
                actor: actor.as_bytes(),
                address: address.as_bytes(),
                action: entry.action.as_bytes(),
                target: target.as_bytes(),
                detail: detail.as_bytes(),
            });
            seqs.push(head.seq);
            hashes.push(head.hash.as_bytes().to_vec());
            entries.push((entry, actor, address, target));
            details.push(detail);
        }
    }
    let organizations: Vec<&[u8]> = entries.iter().map(|(entry, ..)| &entry.organization.as_bytes()[..]).collect();
    let times: Vec<i64> = entries.iter().map(|(entry, ..)| entry.at.as_millis()).collect();
    let actors: Vec<&str> = entries.iter().map(|(_, actor, ..)| &**actor).collect();
    let addresses: Vec<&str> = entries.iter().map(|(_, _, address, _)| &**address).collect();
    let actions: Vec<&str> = entries.iter().map(|(entry, ..)| &*entry.action).collect();
    let targets: Vec<&str> = entries.iter().map(|(.., target)| &**target).collect();
    let sql = "insert into audit (seq, organization_id, at_ms, actor, address, action, target, detail, hash)
               select * from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                   $8::text[], $9::bytea[])";
    session.rows(sql, &[&seqs, &organizations, &times, &actors, &addresses, &actions, &targets, &details, &hashes])?;
    tx.audit_head.set(Some(head));
    Ok(())
}
