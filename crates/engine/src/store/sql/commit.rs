//! The verb `commit`: an event, its dedup keys, what it owes and its audit entry. Also the forgetting of dedup keys.
//! Everything is looked up before anything is written, so that an event which cannot be written leaves its group alone.

use super::bodies::Packed;
use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::order::{self, Place};
use super::rows::{self, Cells, cause_columns, first, inserted, integer, json_text};
use super::writer::Tx;
use super::{audit, bodies, headers, locks, routing};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId, SourceId};
use crate::store::postgres::ingest;
use crate::store::{Committed, DedupKey, DedupKind, NewDelivery, NewEvent, OnDuplicate, Original, StoreError};

/// An event that its group's transaction holds; a `Committed` only once that is synced.
#[derive(Debug)]
pub(in crate::store) struct Written {
    event: EventId,
    original: Option<Original>,
    owed: Owed,
}

/// What came of an event's deliveries.
#[derive(Debug, Default)]
struct Owed {
    made: u32,
    superseded: Vec<DeliveryId>,
}

impl Written {
    /// A new event that owes `deliveries`, none of which has to do with another.
    pub(in crate::store) fn new_event(event: EventId, deliveries: usize) -> Self {
        let made = u32::try_from(deliveries).unwrap_or(u32::MAX);
        Self { event, original: None, owed: Owed { made, superseded: Vec::new() } }
    }

    /// For an answer that came back from the writer, which gives it after the sync.
    pub(super) fn into_committed(self) -> Committed {
        match self.original {
            None => Committed::new(self.event, self.owed.made, self.owed.superseded),
            Some(original) => Committed::duplicate(self.event, original),
        }
    }
}

/// An event with everything about it that the writer would only have to format: done on its caller's thread, because
/// there are many of those and one writer.
#[derive(Debug)]
pub(in crate::store) struct Prepared {
    pub(in crate::store) new: NewEvent,
    pub(in crate::store) body: Packed,
    pub(in crate::store) verdict: String,
    pub(in crate::store) headers: Vec<u8>,
    pub(in crate::store) audit_detail: String,
}

impl Prepared {
    pub(super) fn new(new: NewEvent) -> Self {
        let body = bodies::pack(&new.body);
        let verdict = json_text(&new.event.verdict);
        let headers = headers::encode(&new.event.request.headers);
        let audit_detail = json_text(&new.audit_accepted.detail);
        Self { new, body, verdict, headers, audit_detail }
    }
}

/// How often it is looked again who has an event's keys. Where several write, they can be another's who ends without having
/// written.
const LOOKS: u32 = 3;

pub(super) fn write(tx: &mut Tx<'_>, prepared: &Prepared) -> Result<Written> {
    for _ in 0..LOOKS {
        if let Some(written) = write_as_known(tx, prepared)? {
            return Ok(written);
        }
    }
    Err(StoreError::Unavailable("the event's keys go from hand to hand".to_owned()).into())
}

/// Writes several events, in their order.
pub(super) fn write_all(tx: &mut Tx<'_>, events: &[Prepared]) -> Result<Vec<Written>> {
    let mut written: Vec<Option<Written>> = events.iter().map(|_| None).collect();
    if let Connection::Postgres(session) = tx.connection {
        let entangled = events.iter().flat_map(|event| locks::of_event(&event.new));
        locks::hold(tx.connection, entangled.collect())?;
        let events: Vec<_> = events.iter().enumerate().collect();
        for (index, event) in ingest::write(tx, session, &events)? {
            written[index] = Some(event);
        }
    }
    events.iter().zip(written).map(|(event, written)| written.map_or_else(|| write(tx, event), Ok)).collect()
}

/// `None` when another has the event's keys, who was not done when it was looked.
fn write_as_known(tx: &mut Tx<'_>, prepared: &Prepared) -> Result<Option<Written>> {
    let connection = tx.connection;
    let new = &prepared.new;
    let event = &new.event;
    let (original, owed, body_bytes) = match known(connection, event.source, &new.dedup, event.received_at)? {
        None => match write_new(tx, prepared)? {
            Some(owed) => (None, owed, event.body_len),
            None => return Ok(None),
        },
        Some(known) if new.on_duplicate == OnDuplicate::Discard => {
            let (event, owed) = (known.original.event, Owed::default());
            return Ok(Some(Written { event, original: Some(known.original), owed }));
        }
        Some(known) => {
            let body_bytes = write_duplicate(tx, prepared, &known)?;
            (Some(known.original), Owed::default(), body_bytes)
        }
    };
    tx.count_kept(event.source, 1, integer(body_bytes));
    if let Some((owner, version)) = new.proven_by {
        tx.count_use(owner, version, event.received_at);
    }
    Ok(Some(Written { event: event.id, original, owed }))
}

/// An earlier event under one of the keys.
struct Known {
    original: Original,
    seq: i64,
    body_len: u64,
    /// Whether retention has taken its body.
    is_stripped: bool,
}

fn known(connection: &Connection, source: SourceId, keys: &[DedupKey], now: Timestamp) -> Result<Option<Known>> {
    let sql = "select e.seq, e.id, e.body_sha256, e.body_len, e.stripped_at_ms is not null as is_stripped
               from dedup d join events e on e.seq = d.event_seq
               where d.source_id = ?1 and d.kind = ?2 and d.key = ?3 and d.expires_at_ms > ?4";
    for key in keys {
        let parameters = params![source.as_bytes(), kind_number(key.kind), &key.key[..], now.as_millis()];
        let known = first(connection, sql, parameters, |row| {
            let cells = Cells::new("events", row);
            let event = cells.id("id", EventId::from_bytes)?;
            let original = Original { event, body_sha256: cells.get("body_sha256")? };
            Ok(Known {
                original,
                seq: cells.get("seq")?,
                body_len: cells.unsigned("body_len")?,
                is_stripped: cells.get("is_stripped")?,
            })
        })?;
        if known.is_some() {
            return Ok(known);
        }
    }
    Ok(None)
}

/// `None`, and nothing is written, when the event's keys are another's.
fn write_new(tx: &Tx<'_>, prepared: &Prepared) -> Result<Option<Owed>> {
    let connection = tx.connection;
    let new = &prepared.new;
    let states = takes_deliveries(connection, &new.deliveries)?;
    let ran = |delivery| routing::ran_before(connection, new.event.source, delivery);
    let ran = new.deliveries.iter().map(ran).collect::<Result<Vec<_>>>()?;
    let place = rows::place(connection, EVENTS)?;
    if let Some(place) = place
        && !claim_keys(connection, new, place)?
    {
        return Ok(None);
    }
    let seq = insert_event(connection, prepared, place, None)?;
    bodies::put(connection, seq, &prepared.body)?;
    if place.is_none() {
        new.dedup.iter().try_for_each(|key| remember(connection, new.event.source, key, seq))?;
    }
    let mut owed = Owed::default();
    for ((delivery, taker), ran) in new.deliveries.iter().zip(states).zip(ran) {
        match ran {
            Some(first) => routing::pass_over_once(connection, seq, delivery.destination, first)?,
            None => {
                let at = new.event.received_at;
                owed.superseded.extend(routing::supersede(connection, delivery, new.event.id, at)?);
                let delivery_seq = insert_delivery(connection, seq, delivery, taker, at)?;
                routing::remember_run(connection, new.event.source, delivery, seq, delivery_seq)?;
                owed.made += 1;
            }
        }
    }
    new.failed.iter().try_for_each(|failed| routing::pass_over_failed(connection, seq, failed))?;
    audit::append_with_detail(tx, &new.audit_accepted, &prepared.audit_detail)?;
    new.audit_failed.iter().try_for_each(|entry| audit::append(tx, entry))?;
    Ok(Some(owed))
}

/// The duplicate's own keys are not remembered: most delivery ids are not signed, and a captured request sent again
/// under the id of a request that is still to come would make that one a duplicate.
///
/// Returns how many bytes of body were kept.
fn write_duplicate(tx: &Tx<'_>, prepared: &Prepared, known: &Known) -> Result<u64> {
    let connection = tx.connection;
    let new = &prepared.new;
    let same_body = known.original.body_sha256 == new.event.body_sha256 && known.body_len == new.event.body_len;
    let shared = (same_body && !known.is_stripped).then_some(known.seq);
    let place = rows::place(connection, EVENTS)?;
    let seq = insert_event(connection, prepared, place, Some((known.original.event, shared)))?;
    if shared.is_none() {
        bodies::put(connection, seq, &prepared.body)?;
    }
    audit::append_with(tx, &new.audit_duplicate, "duplicate_of", known.original.event.to_string())?;
    Ok(if shared.is_none() { new.event.body_len } else { 0 })
}

fn insert_event(
    connection: &Connection,
    prepared: &Prepared,
    place: Option<i64>,
    duplicate: Option<(EventId, Option<i64>)>,
) -> Result<i64> {
    let event = &prepared.new.event;
    let request = &event.request;
    inserted(
        connection,
        "insert into events (seq, id, organization_id, source_id, source_name, event_type, delivery_id, received_at_ms,
                verdict, method, target, remote, headers, body_len, body_sha256, duplicate_of, body_seq)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        params![
            place,
            event.id.as_bytes(),
            event.organization.as_bytes(),
            event.source.as_bytes(),
            event.source_name,
            event.event_type,
            event.delivery_id,
            event.received_at.as_millis(),
            prepared.verdict,
            request.method,
            request.target,
            request.remote,
            prepared.headers,
            integer(event.body_len),
            event.body_sha256,
            duplicate.as_ref().map(|(original, _)| original.as_bytes()),
            duplicate.and_then(|(_, shared)| shared),
        ],
    )
}

/// Where events' places come from, if they are not given with the row.
const EVENTS: &str = "events_seq";

/// Remembers an event's keys, unless one of them is another's by now: then none is. Waits for whoever is about to have one.
fn claim_keys(connection: &Connection, new: &NewEvent, place: i64) -> Result<bool> {
    let source = new.event.source;
    let mut claim = connection.prepare_cached(
        "insert into dedup (source_id, kind, key, event_seq, expires_at_ms) values (?1, ?2, ?3, ?4, ?5)
         on conflict (source_id, kind, key)
         do update set event_seq = excluded.event_seq, expires_at_ms = excluded.expires_at_ms
         where dedup.expires_at_ms <= ?6",
    )?;
    for (at, key) in new.dedup.iter().enumerate() {
        let (kind, expires_at) = (kind_number(key.kind), key.expires_at.as_millis());
        let now = new.event.received_at.as_millis();
        let claimed = claim.execute(params![source.as_bytes(), kind, &key.key[..], place, expires_at, now])?;
        if claimed == 0 {
            let sql = "delete from dedup where source_id = ?1 and kind = ?2 and key = ?3 and event_seq = ?4";
            for key in &new.dedup[..at] {
                let claimed = params![source.as_bytes(), kind_number(key.kind), &key.key[..], place];
                connection.prepare_cached(sql)?.execute(claimed)?;
            }
            return Ok(false);
        }
    }
    Ok(true)
}

/// Remembers a key. One that is there already has expired, and gives way.
fn remember(connection: &Connection, source: SourceId, key: &DedupKey, event_seq: i64) -> Result<()> {
    connection
        .prepare_cached(
            "insert into dedup (source_id, kind, key, event_seq, expires_at_ms) values (?1, ?2, ?3, ?4, ?5)
             on conflict (source_id, kind, key)
             do update set event_seq = excluded.event_seq, expires_at_ms = excluded.expires_at_ms",
        )?
        .execute(params![
            source.as_bytes(),
            kind_number(key.kind),
            &key.key[..],
            event_seq,
            key.expires_at.as_millis()
        ])?;
    Ok(())
}

/// What the store knows of a destination when a delivery to it is made.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Taker {
    /// It takes deliveries now: it is active, and its breaker is not open.
    pub(in crate::store) active: bool,
    /// Its consumers lease what they are owed.
    pub(in crate::store) pulled: bool,
    /// Whose it is.
    pub(in crate::store) organization: [u8; 16],
}

/// The destination of each delivery, in order.
pub(super) fn takes_deliveries(connection: &Connection, deliveries: &[NewDelivery]) -> Result<Vec<Taker>> {
    deliveries.iter().map(|delivery| taker(connection, delivery.destination)).collect()
}

pub(super) fn is_active(connection: &Connection, destination: DestinationId) -> Result<bool> {
    taker(connection, destination).map(|taker| taker.active)
}

pub(super) fn taker(connection: &Connection, destination: DestinationId) -> Result<Taker> {
    let sql = "select state = 'active' and opened_at_ms is null as active, pulled, organization_id from destinations where id = ?1";
    let found = first(connection, sql, [destination.as_bytes()], |row| {
        let cells = Cells::new("destinations", row);
        let organization = cells.get("organization_id")?;
        Ok(Taker { active: cells.get("active")?, pulled: cells.get("pulled")?, organization })
    })?;
    found.ok_or_else(|| Failure::not_found(format!("destination `{destination}`")))
}

/// The destination's state here decides whether the delivery is held, since the caller's knowledge may be older. Returns
/// its `seq`.
pub(super) fn insert_delivery(
    connection: &Connection,
    event_seq: i64,
    delivery: &NewDelivery,
    taker: Taker,
    now: Timestamp,
) -> Result<i64> {
    let (cause, cause_of) = cause_columns(&delivery.cause);
    // Consumers have their own order.
    let order_key = delivery.order.as_ref().filter(|_| !taker.pulled);
    let place = order_key.map(|key| order::join(connection, delivery.destination, key)).transpose()?;
    let Place { behind, skipped } = place.unwrap_or(Place { behind: false, skipped: 0 });
    let is_due = taker.active && !behind;
    let (state, due_at_ms) = if is_due { ("pending", Some(delivery.due_at.as_millis())) } else { ("held", None) };
    inserted(
        connection,
            "insert into deliveries
                (id, event_seq, destination_id, cause, cause_of, created_at_ms, state, state_at_ms, due_at_ms, latest_key,
                pulled, organization_id, resume_at_ms, order_key, behind, skipped)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        params![
            delivery.id.as_bytes(),
            event_seq,
            delivery.destination.as_bytes(),
            cause,
            cause_of,
            now.as_millis(),
            state,
            due_at_ms,
            delivery.latest.as_ref().map(<[u8; 32]>::as_slice),
            taker.pulled,
            taker.organization,
            (!taker.active && !behind).then(|| delivery.due_at.as_millis()),
            order_key.map(<[u8; 32]>::as_slice),
            behind,
            skipped,
        ],
    )
}

pub(super) const FORGET: &str = "delete from dedup where (source_id, kind, key) in
    (select source_id, kind, key from dedup where expires_at_ms <= ?1 order by expires_at_ms limit ?2)";

pub(super) fn forget(tx: &Tx<'_>, now: Timestamp, limit: u32) -> Result<u32> {
    let forgotten =
        tx.connection.prepare_cached(&tx.connection.stepping_over(FORGET))?.execute(params![now.as_millis(), limit])?;
    Ok(u32::try_from(forgotten).unwrap_or(u32::MAX))
}

/// The kinds whose key is a text that the sender chose: see [`kind_number`].
pub(super) const ID_KINDS: &str = "1, 3";

pub(in crate::store) fn kind_number(kind: DedupKind) -> i64 {
    match kind {
        DedupKind::DeliveryId => 1,
        DedupKind::Body => 2,
        DedupKind::Idempotency => 3,
    }
}
