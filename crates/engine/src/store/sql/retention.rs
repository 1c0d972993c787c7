//! What retention takes away: everything but the row of an old event first, and the row once no dedup key leads to it.
//! Owns how, and the totals of what is kept; which events are old is the caller's to say.

use std::collections::HashMap;

use super::commit::ID_KINDS;
use super::connection::{Connection, params};
use super::failure::Result;
use super::headers;
use super::rows::{Cells, all, first, integer};
use super::writer::{Kept, Tx};
use crate::clock::Timestamp;
use crate::dedup;
use crate::ids::SourceId;
use crate::store::postgres::days::old;
use crate::store::{KeptOfSource, Retained, Strip};

/// A body that another event still needs keeps its row; that is looked at again after this time.
const SHARED_AGAIN_MS: i64 = 3_600_000;

/// Adds a group's changes to the totals, one statement for each source.
pub(super) fn write_kept(connection: &Connection, kept: &HashMap<SourceId, Kept>) -> Result<()> {
    for (source, kept) in kept {
        let sql = "insert into source_totals (source_id, events, body_bytes) values (?1, ?2, ?3)
                   on conflict (source_id)
                   do update set events = source_totals.events + excluded.events,
                      body_bytes = source_totals.body_bytes + excluded.body_bytes";
        connection.prepare_cached(sql)?.execute(params![source.as_bytes(), kept.events, kept.body_bytes])?;
    }
    Ok(())
}

/// What is kept of each source.
pub(super) fn kept(connection: &Connection) -> Result<Vec<KeptOfSource>> {
    let sql = "select s.id, t.events, t.body_bytes,
                   case when o.name = 'default' then s.name else o.name || '/' || s.name end as name
               from source_totals t
               join sources s on s.id = t.source_id
               join organizations o on o.id = s.organization_id
               order by o.name, s.name";
    all(&mut connection.prepare_cached(sql)?, [], |row| {
        let cells = Cells::new("source_totals", row);
        Ok(KeptOfSource {
            source: cells.id("id", SourceId::from_bytes)?,
            name: cells.get("name")?,
            events: cells.unsigned("events")?,
            body_bytes: cells.unsigned("body_bytes")?,
        })
    })
}

/// The oldest events of a source from a position on that are whole, as `find` reads them.
pub(super) const OLDEST: &str = "select seq, received_at_ms, body_len from events
    where source_id = ?1 and seq > ?2 and stripped_at_ms is null order by seq limit ?3";

/// The events that a step may strip: too old, or too much. Found by a reader, so that the writer looks at nothing else.
#[derive(Debug)]
pub(super) struct Found {
    seqs: Vec<i64>,
    /// Where the next step goes on; `None` when the rest is neither too old nor too much.
    next: Option<i64>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }
}

pub(super) fn find(connection: &Connection, strip: &Strip) -> Result<Found> {
    let snapshot = connection.snapshot()?;
    let sql = "select source_id as id, body_bytes from source_totals where source_id = ?1";
    let total: Option<i64> =
        first(&snapshot, sql, [strip.source.as_bytes()], |row| Cells::new("source_totals", row).get("body_bytes"))?;
    let mut too_much = strip.size_bytes.map_or(0, |most| total.unwrap_or(0).saturating_sub(integer(most)));
    let parameters = params![strip.source.as_bytes(), strip.after, strip.events];
    let oldest = all(&mut snapshot.prepare_cached(OLDEST)?, parameters, |row| {
        let cells = Cells::new("events", row);
        Ok((cells.get::<i64>("seq")?, cells.time("received_at_ms")?, cells.get::<i64>("body_len")?))
    })?;
    let is_all = oldest.len() < strip.events as usize;
    let mut found = Found { seqs: Vec::new(), next: None };
    let mut bytes = 0;
    for (seq, received_at, body_len) in oldest {
        let too_old = strip.before.is_some_and(|before| received_at < before);
        if !too_old && too_much <= 0 {
            return Ok(Found { next: None, ..found });
        }
        found.seqs.push(seq);
        found.next = Some(seq);
        too_much -= body_len;
        bytes += body_len;
        if bytes >= integer(strip.body_bytes) {
            return Ok(found);
        }
    }
    Ok(if is_all { Found { next: None, ..found } } else { found })
}

/// Whether rows may be taken away now: not while a whole day goes, of which every row is counted.
pub(super) fn may_take(connection: &Connection) -> Result<bool> {
    match connection {
        Connection::Sqlite(_) => Ok(true),
        Connection::Postgres(session) => Ok(session.rows(old::BY_ROW, &[])?.iter().all(|row| row.get(0))),
    }
}

pub(super) fn strip(tx: &mut Tx<'_>, source: SourceId, found: &Found, now: Timestamp) -> Result<Retained> {
    if !may_take(tx.connection)? {
        return Ok(Retained { stripped: 0, next: None });
    }
    let (mut stripped, mut bytes) = (0, 0);
    for seq in &found.seqs {
        if let Some(freed) = strip_one(tx.connection, *seq, now)? {
            stripped += 1;
            bytes += freed;
        }
    }
    tx.count_kept(source, -i64::from(stripped), -bytes);
    Ok(Retained { stripped, next: found.next })
}

/// Whether an event may be stripped: it is there, it is whole, and nothing of it is owed any more.
pub(super) const MAY_STRIP: &str = "select seq, source_id, delivery_id, body_len, body_sha256, body_seq from events
    where seq = ?1 and stripped_at_ms is null and not exists (
        select 1 from deliveries d where d.event_seq = ?1 and (d.due_at_ms is not null or d.state = 'held'))";

/// An event on its way out.
struct Going {
    seq: i64,
    source: [u8; 16],
    delivery_id: Option<String>,
    body_len: i64,
    body_sha256: [u8; 32],
    body_seq: Option<i64>,
}

/// Returns how many bytes of bodies went; `None` when it may not be stripped.
fn strip_one(connection: &Connection, seq: i64, now: Timestamp) -> Result<Option<i64>> {
    let going = first(connection, MAY_STRIP, [seq], |row| {
        let cells = Cells::new("events", row);
        Ok(Going {
            seq,
            source: cells.get("source_id")?,
            delivery_id: cells.get("delivery_id")?,
            body_len: cells.get("body_len")?,
            body_sha256: cells.get("body_sha256")?,
            body_seq: cells.get("body_seq")?,
        })
    })?;
    let Some(going) = going else { return Ok(None) };
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([seq]);
    // What ran well still counts as having run; what did not gave its value back.
    run("delete from once where event_seq = ?1 and delivery_seq in
            (select seq from deliveries where event_seq = ?1 and state <> 'delivered')")?;
    run("delete from outputs where delivery_seq in (select seq from deliveries where event_seq = ?1)")?;
    run("delete from attempts where delivery_seq in (select seq from deliveries where event_seq = ?1)")?;
    run("delete from deliveries where event_seq = ?1")?;
    run("delete from passed_over where event_seq = ?1")?;
    let row_until = last_key_expires(connection, &going, now)?;
    connection
        .prepare_cached(
            "update events set stripped_at_ms = ?2, row_until_ms = ?3, headers = ?4, body_seq = null where seq = ?1",
        )?
        .execute(params![seq, now.as_millis(), row_until, headers::encode(&[])])?;
    drop_body(connection, &going).map(Some)
}

/// Drops the body that an event owned or shared, unless another whole event needs it. Returns how many bytes went.
fn drop_body(connection: &Connection, going: &Going) -> Result<i64> {
    let at = going.body_seq.unwrap_or(going.seq);
    // Stripped events share nothing, so that the first entry found is one that needs it.
    let sql = "select seq from events where body_seq = ?1
               union all select seq from events where seq = ?1 and stripped_at_ms is null limit 1";
    let needed: Option<i64> = first(connection, sql, [at], |row| Cells::new("events", row).get("seq"))?;
    if needed.is_some() {
        return Ok(0);
    }
    let dropped = connection.prepare_cached("delete from bodies where event_seq = ?1")?.execute([at])?;
    Ok(if dropped == 1 { going.body_len } else { 0 })
}

/// When the last dedup key that leads to the event expires; now, if none does. Its keys are made of what its row says.
fn last_key_expires(connection: &Connection, going: &Going, now: Timestamp) -> Result<i64> {
    let by_id = format!(
        "select max(expires_at_ms) as last from dedup
         where source_id = ?1 and kind in ({ID_KINDS}) and key = ?2 and event_seq = ?3"
    );
    let by_body = "select max(expires_at_ms) as last from dedup where source_id = ?1 and kind = 2 and key = ?2 and event_seq = ?3";
    let expiry = |sql: &str, key: &[u8]| -> Result<Option<i64>> {
        first(connection, sql, params![going.source, key, going.seq], |row| Cells::new("dedup", row).get("last"))
            .map(Option::flatten)
    };
    let id = match &going.delivery_id {
        Some(id) => expiry(&by_id, &dedup::text_key(id))?,
        None => None,
    };
    let body = expiry(by_body, &going.body_sha256)?;
    Ok(id.max(body).unwrap_or(i64::MIN).max(now.as_millis()))
}

/// Stripped events whose last dedup key has expired.
pub(super) const ROWS_OVER: &str =
    "select seq, source_id from events where row_until_ms <= ?1 order by row_until_ms limit ?2";

/// Removes rows of stripped events that nothing leads to any more. Returns how many it looked at.
pub(super) fn remove_rows(tx: &Tx<'_>, now: Timestamp, limit: u32) -> Result<u32> {
    let connection = tx.connection;
    if !may_take(connection)? {
        return Ok(0);
    }
    let over = all(&mut connection.prepare_cached(ROWS_OVER)?, params![now.as_millis(), limit], |row| {
        Cells::new("events", row).get::<i64>("seq")
    })?;
    for seq in &over {
        let shared = first(connection, "select event_seq as seq from bodies where event_seq = ?1", [seq], |row| {
            Cells::new("bodies", row).get::<i64>("seq")
        })?;
        if shared.is_some() {
            let again = now.as_millis().saturating_add(SHARED_AGAIN_MS);
            connection
                .prepare_cached("update events set row_until_ms = ?2 where seq = ?1")?
                .execute(params![seq, again])?;
            continue;
        }
        connection.prepare_cached("delete from once where event_seq = ?1")?.execute([seq])?;
        connection.prepare_cached("delete from events where seq = ?1")?.execute([seq])?;
    }
    Ok(u32::try_from(over.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn retention_walks_indexes_only() {
        for sql in [OLDEST, MAY_STRIP, ROWS_OVER] {
            let plan = plan(sql);
            let detour = |step: &String| step.starts_with("SCAN") || step.starts_with("USE TEMP");
            assert!(!plan.iter().any(detour), "{plan:?}");
        }
    }
}
