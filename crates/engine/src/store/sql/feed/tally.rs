//! Counting the feeds: a stretch of each is read, and what comes of it is added to the counts in a transaction of its own that
//! also says how far that is. Owns what counts as what; when it is done is the engine's.

use std::collections::HashMap;

use async_trait::async_trait;

use super::super::connection::{Connection, params};
use super::super::failure::Result;
use super::super::locks::{self, Lock};
use super::super::rows::{self, Cells, all, first, integer};
use super::super::writer::Tx;
use super::super::{SqlStore, audit};
use super::{STRETCH, attempt_end, event_end, reach};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, OrganizationId};
use crate::model::{OWN, Outcome};
use crate::store::StoreError;
use crate::store::tallies::{
    AtDestination, Attempted, LastFailure, Received, Span, Tallied, Tallies, Tallying, Window,
};
use crate::tally::place;

/// How much of what an attempt said is kept, in bytes.
const FAILURE_MAX: usize = 200;

#[async_trait]
impl Tallies for SqlStore {
    async fn tallied(&self, organization: OrganizationId, window: Window) -> std::result::Result<Tallied, StoreError> {
        self.readers.read(move |connection| tallied(connection, organization, window)).await
    }
}

#[async_trait]
impl Tallying for SqlStore {
    async fn tally(&self, now: Timestamp) -> std::result::Result<bool, StoreError> {
        let counts = self.readers.read(snapshot_and_count).await?;
        if counts.after == counts.before {
            return Ok(false);
        }
        let has_more = counts.has_more;
        self.writer.submit_beside(move |tx| write(tx, &counts, now)).await?;
        Ok(has_more)
    }
}

/// How far each feed is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Positions {
    events: i64,
    attempts: i64,
    audit: i64,
}

/// Whose, and in which minute.
type Minute = (OrganizationId, i64);

/// What a stretch of each feed came to.
#[derive(Debug, Default)]
struct Counts {
    before: Positions,
    after: Positions,
    has_more: bool,
    received: HashMap<(Minute, String), Received>,
    attempted: HashMap<(Minute, DestinationId), AtDestination>,
    latencies: HashMap<(Minute, u8), u64>,
}

fn beginning(at_ms: i64, span_ms: i64) -> i64 {
    at_ms - at_ms.rem_euclid(span_ms)
}

fn millis(span: Span) -> i64 {
    integer(span.length().as_millis())
}

fn positions(connection: &Connection) -> Result<Positions> {
    let mut positions = Positions::default();
    let sql = "select feed, position from tally_positions";
    let found = all(&mut connection.prepare_cached(sql)?, [], |row| {
        let cells = Cells::new("tally_positions", row);
        Ok((cells.get::<String>("feed")?, cells.get::<i64>("position")?))
    })?;
    for (feed, position) in found {
        match feed.as_str() {
            "events" => positions.events = position,
            "attempts" => positions.attempts = position,
            _ => positions.audit = position,
        }
    }
    Ok(positions)
}

fn snapshot_and_count(connection: &Connection) -> Result<Counts> {
    let ends = ends(connection)?;
    count(&*connection.snapshot()?, ends)
}

/// Where the feeds end. To be asked before the snapshot that is counted begins.
fn ends(connection: &Connection) -> Result<Positions> {
    Ok(Positions {
        events: event_end(connection)?,
        attempts: attempt_end(connection)?,
        audit: audit::head(connection)?.seq,
    })
}

/// Counts the next stretch of each feed, without writing anything.
fn count(connection: &Connection, ends: Positions) -> Result<Counts> {
    let before = positions(connection)?;
    let begin = match connection {
        // Retention may have taken the newest attempts, whose positions are given again.
        Connection::Sqlite(_) => Positions { attempts: before.attempts.min(ends.attempts), ..before },
        Connection::Postgres(_) => before,
    };
    // Another may have counted further meanwhile.
    let ends = Positions {
        events: ends.events.max(begin.events),
        attempts: ends.attempts.max(begin.attempts),
        audit: ends.audit.max(begin.audit),
    };
    // Some milliseconds of a reader.
    let after = Positions {
        events: reach(connection, "events", begin.events, ends.events)?,
        attempts: reach(connection, "attempts", begin.attempts, ends.attempts)?,
        audit: ends.audit.min(begin.audit.saturating_add(STRETCH)),
    };
    let mut counts = Counts { before, after, has_more: after != ends, ..Counts::default() };
    counts.add_events(connection, begin.events)?;
    counts.add_attempts(connection, begin.attempts)?;
    counts.add_refusals(connection, begin.audit)?;
    Ok(counts)
}

pub(in crate::store::sql) const EVENTS: &str =
    "select seq, organization_id, source_name, received_at_ms, duplicate_of is not null as is_duplicate
    from events where seq > ?1 and seq <= ?2";

pub(in crate::store::sql) const ATTEMPTS: &str =
    "select a.seq, d.organization_id, d.destination_id, a.started_at_ms + a.duration_ms as ended_at_ms,
        a.duration_ms, a.outcome, a.status, a.detail, a.status is not null as is_answered
    from attempts a join deliveries d on d.seq = a.delivery_seq where a.seq > ?1 and a.seq <= ?2";

const REFUSALS: &str =
    "select seq, organization_id, target, at_ms, cast(json_extract(detail, '$.count') as bigint) as count
    from audit where seq > ?1 and seq <= ?2 and action = 'webhook.refused'";

impl Counts {
    fn received(&mut self, minute: Minute, door: &str) -> &mut Received {
        self.received.entry((minute, door.to_owned())).or_default()
    }

    fn add_events(&mut self, connection: &Connection, begin: i64) -> Result<()> {
        let after = self.after.events;
        connection.prepare_cached(EVENTS)?.each([begin, after], |row| {
            let cells = Cells::new("events", row);
            // What Hookward tells operators is not what came.
            let door = cells.text("source_name")?;
            if door == OWN {
                return Ok(true);
            }
            let received = self.received(minute(&cells, "received_at_ms")?, door);
            match cells.get("is_duplicate")? {
                true => received.duplicates += 1,
                false => received.accepted += 1,
            }
            Ok(true)
        })
    }

    fn add_attempts(&mut self, connection: &Connection, begin: i64) -> Result<()> {
        let after = self.after.attempts;
        connection.prepare_cached(ATTEMPTS)?.each([begin, after], |row| {
            let cells = Cells::new("attempts", row);
            let minute = minute(&cells, "ended_at_ms")?;
            let outcome = cells.parsed("outcome", rows::outcome)?;
            let destination = cells.id("destination_id", DestinationId::from_bytes)?;
            if cells.get("is_answered")? {
                *self.latencies.entry((minute, place(cells.duration_ms("duration_ms")?))).or_default() += 1;
            }
            let counted = self.attempted.entry((minute, destination)).or_default();
            match outcome {
                Outcome::Success => counted.attempted.succeeded += 1,
                Outcome::Interrupted | Outcome::Cancelled | Outcome::Released => {}
                _ => {
                    counted.attempted.failed += 1;
                    let failure = LastFailure { at: cells.time("ended_at_ms")?, reason: reason(&cells)? };
                    if counted.failure.as_ref().is_none_or(|known| known.at <= failure.at) {
                        counted.failure = Some(failure);
                    }
                }
            }
            Ok(true)
        })
    }

    fn add_refusals(&mut self, connection: &Connection, begin: i64) -> Result<()> {
        let after = self.after.audit;
        connection.prepare_cached(REFUSALS)?.each([begin, after], |row| {
            let cells = Cells::new("audit", row);
            let target = cells.text("target")?;
            let door = target.split_once(':').map_or(target, |(_, door)| door);
            let count: Option<i64> = cells.get("count")?;
            let received = self.received(minute(&cells, "at_ms")?, door);
            received.refused += count.unwrap_or(1).max(0).unsigned_abs();
            Ok(true)
        })
    }
}

fn minute(cells: &Cells<'_, '_>, at: &'static str) -> Result<Minute> {
    let organization = cells.id("organization_id", OrganizationId::from_bytes)?;
    Ok((organization, beginning(cells.get(at)?, millis(Span::Minute))))
}

/// What a failed attempt said, or how it ended where it said nothing.
fn reason(cells: &Cells<'_, '_>) -> Result<String> {
    let (detail, status) = (cells.text("detail")?, cells.get::<Option<u16>>("status")?);
    let mut reason = match (detail, status) {
        ("", Some(status)) => format!("it answered {status}"),
        ("", None) => cells.get("outcome")?,
        (detail, _) => detail.to_owned(),
    };
    reason.truncate(reason.floor_char_boundary(FAILURE_MAX));
    Ok(reason)
}

const ADD_RECEIVED: &str = "insert into received_tallies
    (organization_id, span_ms, begins_at_ms, door, accepted, duplicates, refused) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    on conflict (organization_id, span_ms, begins_at_ms, door) do update
        set accepted = received_tallies.accepted + excluded.accepted,
            duplicates = received_tallies.duplicates + excluded.duplicates,
            refused = received_tallies.refused + excluded.refused";

const ADD_ATTEMPTED: &str = "insert into attempted_tallies
    (organization_id, span_ms, begins_at_ms, destination_id, succeeded, failed, failed_at_ms, failure)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    on conflict (organization_id, span_ms, begins_at_ms, destination_id) do update
        set succeeded = attempted_tallies.succeeded + excluded.succeeded,
            failed = attempted_tallies.failed + excluded.failed,
            failed_at_ms = max(coalesce(attempted_tallies.failed_at_ms, excluded.failed_at_ms),
                coalesce(excluded.failed_at_ms, attempted_tallies.failed_at_ms)),
            failure = case
                when excluded.failed_at_ms >= coalesce(attempted_tallies.failed_at_ms, excluded.failed_at_ms)
                then excluded.failure else attempted_tallies.failure end";

const ADD_LATENCY: &str = "insert into latency_tallies (organization_id, span_ms, begins_at_ms, place, count)
    values (?1, ?2, ?3, ?4, ?5) on conflict (organization_id, span_ms, begins_at_ms, place)
    do update set count = latency_tallies.count + excluded.count";

/// Counts that are too old, of every organization there is, so that the primary key is walked.
const FORGET: [&str; 3] = [
    "delete from received_tallies
        where organization_id in (select id from organizations) and span_ms = ?1 and begins_at_ms < ?2",
    "delete from attempted_tallies
        where organization_id in (select id from organizations) and span_ms = ?1 and begins_at_ms < ?2",
    "delete from latency_tallies
        where organization_id in (select id from organizations) and span_ms = ?1 and begins_at_ms < ?2",
];

/// Adds counts to what there is. Another that was quicker has counted the same: then nothing is written.
fn write(tx: &Tx<'_>, counts: &Counts, now: Timestamp) -> Result<()> {
    let connection = tx.connection;
    locks::hold_one(connection, &Lock::Tallies)?;
    if positions(connection)? != counts.before {
        return Ok(());
    }
    let sql = "select id from organizations where erasing_at_ms is null";
    let there = all(&mut connection.prepare_cached(sql)?, [], |row| {
        Cells::new("organizations", row).id("id", OrganizationId::from_bytes)
    })?;
    for span in Span::ALL {
        let (length, oldest) = (millis(span), now.minus(span.kept()).as_millis());
        // Of what is being erased nothing is counted any more, and what would be forgotten at once is not either.
        let wanted = |(organization, at): &Minute| there.contains(organization) && beginning(*at, length) >= oldest;
        for (((organization, at), door), received) in &counts.received {
            if wanted(&(*organization, *at)) {
                let Received { accepted, duplicates, refused } = received;
                let (id, begins) = (organization.as_bytes(), beginning(*at, length));
                connection.prepare_cached(ADD_RECEIVED)?.execute(params![
                    id,
                    length,
                    begins,
                    door,
                    integer(*accepted),
                    integer(*duplicates),
                    integer(*refused)
                ])?;
            }
        }
        for (((organization, at), destination), counted) in &counts.attempted {
            if wanted(&(*organization, *at)) {
                let Attempted { succeeded, failed } = counted.attempted;
                let failure = counted.failure.as_ref();
                connection.prepare_cached(ADD_ATTEMPTED)?.execute(params![
                    organization.as_bytes(),
                    length,
                    beginning(*at, length),
                    destination.as_bytes(),
                    integer(succeeded),
                    integer(failed),
                    failure.map(|failure| failure.at.as_millis()),
                    failure.map(|failure| &failure.reason),
                ])?;
            }
        }
        for (((organization, at), place), count) in &counts.latencies {
            if wanted(&(*organization, *at)) {
                let (id, begins) = (organization.as_bytes(), beginning(*at, length));
                connection.prepare_cached(ADD_LATENCY)?.execute(params![id, length, begins, place, integer(*count)])?;
            }
        }
        for sql in FORGET {
            connection.prepare_cached(sql)?.execute([length, oldest])?;
        }
    }
    let Positions { events, attempts, audit } = counts.after;
    for (feed, position) in [("events", events), ("attempts", attempts), ("audit", audit)] {
        let sql = "insert into tally_positions (feed, position) values (?1, ?2)
                   on conflict (feed) do update set position = excluded.position";
        connection.prepare_cached(sql)?.execute(params![feed, position])?;
    }
    Ok(())
}

const STEPS_RECEIVED: &str =
    "select ?3 + (begins_at_ms - ?3) / ?4 * ?4 as step, cast(sum(accepted) as bigint) as accepted,
        cast(sum(duplicates) as bigint) as duplicates, cast(sum(refused) as bigint) as refused
    from received_tallies where organization_id = ?1 and span_ms = ?2 and begins_at_ms >= ?3 group by step";

const STEPS_ATTEMPTED: &str =
    "select ?3 + (begins_at_ms - ?3) / ?4 * ?4 as step, cast(sum(succeeded) as bigint) as succeeded,
        cast(sum(failed) as bigint) as failed
    from attempted_tallies where organization_id = ?1 and span_ms = ?2 and begins_at_ms >= ?3 group by step";

const STEPS_LATENCY: &str =
    "select ?3 + (begins_at_ms - ?3) / ?4 * ?4 as step, place, cast(sum(count) as bigint) as count
    from latency_tallies where organization_id = ?1 and span_ms = ?2 and begins_at_ms >= ?3 group by step, place";

const DOORS: &str = "select door, cast(sum(accepted) as bigint) as accepted, cast(sum(duplicates) as bigint) as duplicates, cast(sum(refused) as bigint) as refused
    from received_tallies where organization_id = ?1 and span_ms = ?2 and begins_at_ms >= ?3 group by door";

/// With the latest failure of each.
const DESTINATIONS: &str = "select t.destination_id, cast(sum(t.succeeded) as bigint) as succeeded, cast(sum(t.failed) as bigint) as failed,
        max(t.failed_at_ms) as failed_at_ms,
        (select f.failure from attempted_tallies f
         where f.organization_id = ?1 and f.span_ms = ?2 and f.begins_at_ms >= ?3 and f.destination_id = t.destination_id
             and f.failed_at_ms is not null
         order by f.failed_at_ms desc limit 1) as failure
    from attempted_tallies t where t.organization_id = ?1 and t.span_ms = ?2 and t.begins_at_ms >= ?3
    group by t.destination_id";

/// Of each destination the oldest of what is outstanding, which is all that this index holds.
pub(in crate::store::sql) const OLDEST: &str = "select min(d.created_at_ms) as created_at_ms from destinations n
    join deliveries d on d.seq = (select min(o.seq) from deliveries o indexed by deliveries_outstanding
        where o.destination_id = n.id and o.due_at_ms is not null)
    where n.organization_id = ?1";

fn tallied(connection: &Connection, organization: OrganizationId, window: Window) -> Result<Tallied> {
    let ends = ends(connection)?;
    // One snapshot: what was counted, and what was not by then.
    let snapshot = connection.snapshot()?;
    let mut tallied = Tallied::default();
    let (from, step) = (window.from.as_millis(), integer(window.step.as_millis()).max(1));
    let (id, span) = (organization.as_bytes(), millis(window.span));
    let mut statement = snapshot.prepare_cached(STEPS_RECEIVED)?;
    for (at, found) in all(&mut statement, params![id, span, from, step], |row| {
        let cells = Cells::new("received_tallies", row);
        Ok((cells.time("step")?, received(&cells)?))
    })? {
        tallied.steps.entry(at).or_default().received = found;
    }
    let mut statement = snapshot.prepare_cached(STEPS_ATTEMPTED)?;
    for (at, found) in all(&mut statement, params![id, span, from, step], |row| {
        let cells = Cells::new("attempted_tallies", row);
        Ok((cells.time("step")?, attempted(&cells)?))
    })? {
        tallied.steps.entry(at).or_default().attempted = found;
    }
    let mut statement = snapshot.prepare_cached(STEPS_LATENCY)?;
    for (at, place, count) in all(&mut statement, params![id, span, from, step], |row| {
        let cells = Cells::new("latency_tallies", row);
        Ok((cells.time("step")?, cells.get("place")?, cells.unsigned("count")?))
    })? {
        tallied.steps.entry(at).or_default().latencies.add(place, count);
    }
    let doors = all(&mut snapshot.prepare_cached(DOORS)?, params![id, span, from], |row| {
        let cells = Cells::new("received_tallies", row);
        Ok((cells.get("door")?, received(&cells)?))
    })?;
    tallied.doors = doors.into_iter().collect();
    let destinations = all(&mut snapshot.prepare_cached(DESTINATIONS)?, params![id, span, from], |row| {
        let cells = Cells::new("attempted_tallies", row);
        let (at, reason) = (cells.optional_time("failed_at_ms")?, cells.get::<Option<String>>("failure")?);
        let failure = at.zip(reason).map(|(at, reason)| LastFailure { at, reason });
        let counted = AtDestination { attempted: attempted(&cells)?, failure };
        Ok((cells.id("destination_id", DestinationId::from_bytes)?, counted))
    })?;
    tallied.destinations = destinations.into_iter().collect();
    tallied.oldest_outstanding =
        first(&snapshot, OLDEST, [id], |row| Cells::new("deliveries", row).optional_time("created_at_ms"))?.flatten();
    add_newer(&mut tallied, count(&snapshot, ends)?, organization, window);
    Ok(tallied)
}

fn received(cells: &Cells<'_, '_>) -> Result<Received> {
    let (accepted, duplicates) = (cells.unsigned("accepted")?, cells.unsigned("duplicates")?);
    Ok(Received { accepted, duplicates, refused: cells.unsigned("refused")? })
}

fn attempted(cells: &Cells<'_, '_>) -> Result<Attempted> {
    Ok(Attempted { succeeded: cells.unsigned("succeeded")?, failed: cells.unsigned("failed")? })
}

/// Adds what was not counted yet.
fn add_newer(tallied: &mut Tallied, counts: Counts, organization: OrganizationId, window: Window) {
    tallied.is_behind = counts.has_more;
    let (from, step) = (window.from.as_millis(), integer(window.step.as_millis()).max(1));
    let is_own = |(of, at): &Minute| *of == organization && beginning(*at, millis(window.span)) >= from;
    let step_of = |(_, at): &Minute| Timestamp::from_millis(from + beginning(*at - from, step));
    for ((minute, door), newer) in counts.received.into_iter().filter(|((minute, _), _)| is_own(minute)) {
        add_received(&mut tallied.steps.entry(step_of(&minute)).or_default().received, newer);
        add_received(tallied.doors.entry(door).or_default(), newer);
    }
    for ((minute, destination), newer) in counts.attempted.into_iter().filter(|((minute, _), _)| is_own(minute)) {
        add_attempted(&mut tallied.steps.entry(step_of(&minute)).or_default().attempted, newer.attempted);
        let counted = tallied.destinations.entry(destination).or_default();
        add_attempted(&mut counted.attempted, newer.attempted);
        let latest = newer.failure.into_iter().chain(counted.failure.take());
        counted.failure = latest.max_by_key(|failure| failure.at);
    }
    for ((minute, place), count) in counts.latencies.into_iter().filter(|((minute, _), _)| is_own(minute)) {
        tallied.steps.entry(step_of(&minute)).or_default().latencies.add(place, count);
    }
}

fn add_received(to: &mut Received, newer: Received) {
    to.accepted += newer.accepted;
    to.duplicates += newer.duplicates;
    to.refused += newer.refused;
}

fn add_attempted(to: &mut Attempted, newer: Attempted) {
    to.succeeded += newer.succeeded;
    to.failed += newer.failed;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn counting_walks_what_is_new_and_reading_walks_what_is_wanted() {
        let reading = [STEPS_RECEIVED, STEPS_ATTEMPTED, STEPS_LATENCY, DOORS, DESTINATIONS, OLDEST];
        for sql in [EVENTS, ATTEMPTS, REFUSALS].into_iter().chain(reading).chain(FORGET) {
            let plan = plan(sql);
            let is_small = |step: &str| step.starts_with("SCAN n") || step.contains("organizations");
            assert!(!plan.iter().any(|step| step.starts_with("SCAN") && !is_small(step)), "{sql}: {plan:?}");
        }
        assert!(plan(OLDEST).iter().any(|step| step.contains("COVERING INDEX deliveries_outstanding")));
    }
}
