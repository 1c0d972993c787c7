//! Reading forward, in the order of commits: events and attempts after a position.

pub(super) mod tally;

use async_trait::async_trait;

use super::connection::{Bind, Connection, Row};
use super::failure::Result;
use super::look::{OUT_OF_ORDER, Timed};
use super::rows::{self, Cells, all, first};
use super::{SqlStore, events};
use crate::clock::Timestamp;
use crate::ids::{AttemptId, DeliveryId, EventId, OrganizationId};
use crate::model::Event;
use crate::store::postgres::places::{self, Feed};
use crate::store::{FeedFilter, Feeds, FollowedAttempt, StoreError, Stretch};

/// How many rows one look steps over at most.
const STRETCH: i64 = 10_000;

#[async_trait]
impl Feeds for SqlStore {
    async fn events_after(
        &self,
        organization: OrganizationId,
        filter: FeedFilter,
        after: i64,
        limit: u32,
    ) -> std::result::Result<Stretch<Event>, StoreError> {
        self.readers.read(move |connection| events_after(connection, organization, &filter, after, limit)).await
    }

    async fn attempts_after(
        &self,
        organization: OrganizationId,
        filter: FeedFilter,
        after: i64,
        limit: u32,
    ) -> std::result::Result<Stretch<FollowedAttempt>, StoreError> {
        self.readers.read(move |connection| attempts_after(connection, organization, &filter, after, limit)).await
    }

    async fn event_position(&self, from: Option<Timestamp>) -> std::result::Result<i64, StoreError> {
        self.readers.read(move |connection| event_position(connection, from)).await
    }

    async fn attempt_position(&self) -> std::result::Result<i64, StoreError> {
        self.readers.read(attempt_end).await
    }
}

pub(super) fn events_after(
    connection: &Connection,
    organization: OrganizationId,
    filter: &FeedFilter,
    after: i64,
    limit: u32,
) -> Result<Stretch<Event>> {
    let end = event_end_from(connection, after)?;
    let reach = reach(connection, "events", after, end)?;
    let rows = read(
        connection,
        &event_selection(organization, filter),
        (organization, filter),
        (after, reach, limit),
        |row| Ok((Cells::new("events", row).get("seq")?, events::parse(row)?)),
    )?;
    Ok(stretch(rows, (after, reach, end), limit))
}

pub(super) fn attempts_after(
    connection: &Connection,
    organization: OrganizationId,
    filter: &FeedFilter,
    after: i64,
    limit: u32,
) -> Result<Stretch<FollowedAttempt>> {
    let end = attempt_end_from(connection, after)?;
    let reach = reach(connection, "attempts", after, end)?;
    let rows = read(connection, &attempt_selection(filter), (organization, filter), (after, reach, limit), attempt)?;
    Ok(stretch(rows, (after, reach, end), limit))
}

/// How far one look goes that begins behind `after`. Between two days no places are given, and retention leaves gaps as
/// well: what is not there is not counted.
fn reach(connection: &Connection, table: &'static str, after: i64, end: i64) -> Result<i64> {
    if end.saturating_sub(after) <= STRETCH {
        return Ok(end);
    }
    let sql = format!("select seq from {table} where seq > ?1 order by seq limit 1");
    let next = first(connection, &sql, [after], |row| Cells::new(table, row).get::<i64>("seq"))?;
    Ok(next.map_or(end, |next| end.min((next - 1).saturating_add(STRETCH))))
}

/// The end of what was ever committed, whether or not it is still kept. To be asked before the rows are read, and not in their
/// snapshot: whoever writes beside others may have a place before it only until then.
pub(super) fn event_end(connection: &Connection) -> Result<i64> {
    event_end_from(connection, 0)
}

/// As [`event_end`], for somebody who has read up to `known`.
fn event_end_from(connection: &Connection, known: i64) -> Result<i64> {
    match connection {
        Connection::Sqlite(_) => last_given(connection, "events"),
        Connection::Postgres(session) => places::settled(session, Feed::Events, known),
    }
}

/// The last position that was given in a table, as far as this connection sees.
pub(super) fn last_given(connection: &Connection, table: &'static str) -> Result<i64> {
    let sql = match connection {
        Connection::Sqlite(_) => format!("select seq from sqlite_sequence where name = '{table}'"),
        Connection::Postgres(_) => format!("select coalesce(max(seq), 0) as seq from {table}"),
    };
    Ok(first(connection, &sql, [], |row| Cells::new(table, row).get("seq"))?.unwrap_or(0))
}

/// As [`event_end`].
pub(super) fn attempt_end(connection: &Connection) -> Result<i64> {
    attempt_end_from(connection, 0)
}

fn attempt_end_from(connection: &Connection, known: i64) -> Result<i64> {
    match connection {
        Connection::Sqlite(_) => {
            let sql = "select coalesce(max(seq), 0) as seq from attempts";
            Ok(first(connection, sql, [], |row| Cells::new("attempts", row).get("seq"))?.unwrap_or(0))
        }
        Connection::Postgres(session) => places::settled(session, Feed::Attempts, known),
    }
}

/// The position behind which the feed begins for whoever asks for what came at `from` or later.
pub(super) fn event_position(connection: &Connection, from: Option<Timestamp>) -> Result<i64> {
    let end = event_end(connection)?;
    match from {
        Some(from) => Timed::EVENTS.position_of(&*connection.snapshot()?, from.minus(OUT_OF_ORDER), end),
        None => Ok(end),
    }
}

/// The condition of one stretch, and what else is asked of its rows: of these one at most walks an index.
pub(super) fn event_selection(organization: OrganizationId, filter: &FeedFilter) -> String {
    let mut sql = "select * from events where seq > :after and seq <= :end".to_owned();
    let asked = [("event_type", filter.event_type.is_some()), ("source_id", filter.source.is_some())];
    let asked: Vec<_> = asked.into_iter().filter(|(_, asked)| *asked).collect();
    for (place, (column, _)) in asked.iter().enumerate() {
        let mark = if place == 0 { "" } else { "+" };
        sql += &format!(" and {mark}{column} = :{column}");
    }
    sql += rows::span("received_at_ms", filter.from, None).as_str();
    sql += &format!(" and {}", rows::belongs(organization, "organization_id", !asked.is_empty()));
    sql + " order by seq limit :limit"
}

pub(super) fn attempt_selection(filter: &FeedFilter) -> String {
    let mut sql =
        "select d.*, a.seq as attempt_seq, a.id as attempt_id, a.number, a.started_at_ms, a.duration_ms, a.outcome,
                       a.status, a.detail, e.id as event_id, e.event_type, e.source_name, n.name as destination_name
                   from attempts a
                   join deliveries d on d.seq = a.delivery_seq
                   join events e on e.seq = d.event_seq
                   join destinations n on n.id = d.destination_id
                   where a.seq > :after and a.seq <= :end and +d.organization_id = :organization"
            .to_owned();
    for (column, asked) in [
        ("e.event_type = :event_type", filter.event_type.is_some()),
        ("e.source_id = :source_id", filter.source.is_some()),
        ("d.destination_id = :destination_id", filter.destination.is_some()),
    ] {
        if asked {
            sql += &format!(" and +{column}");
        }
    }
    sql + " order by a.seq limit :limit"
}

fn read<T>(
    connection: &Connection,
    sql: &str,
    (organization, filter): (OrganizationId, &FeedFilter),
    (after, end, limit): (i64, i64, u32),
    parse: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let organization = *organization.as_bytes();
    let source = filter.source.map(|id| *id.as_bytes());
    let destination = filter.destination.map(|id| *id.as_bytes());
    let from = filter.from.map(Timestamp::as_millis);
    let mut parameters: Vec<(&str, &dyn Bind)> =
        vec![(":after", &after), (":end", &end), (":limit", &limit), (":organization", &organization)];
    parameters.extend(filter.event_type.as_ref().map(|name| (":event_type", name as &dyn Bind)));
    parameters.extend(source.as_ref().map(|id| (":source_id", id as &dyn Bind)));
    let known = |name: &str| sql.contains(name);
    parameters.extend(
        destination.as_ref().filter(|_| known(":destination_id")).map(|id| (":destination_id", id as &dyn Bind)),
    );
    parameters.extend(from.as_ref().filter(|_| known(":from")).map(|at| (":from", at as &dyn Bind)));
    all(&mut connection.prepare_cached(sql)?, &parameters[..], parse)
}

/// The stretch out of the rows read, each with its position.
fn stretch<T>(rows: Vec<(i64, T)>, (after, reach, end): (i64, i64, i64), limit: u32) -> Stretch<T> {
    let is_full = rows.len() >= limit as usize;
    let position = rows.last().filter(|_| is_full).map_or(reach, |(seq, _)| *seq);
    let items = rows.into_iter().map(|(_, item)| item).collect();
    Stretch { items, began: after, position, is_end: position >= end }
}

fn attempt(row: &Row<'_>) -> Result<(i64, FollowedAttempt)> {
    let cells = Cells::new("attempts", row);
    let attempt = FollowedAttempt {
        id: cells.id("attempt_id", AttemptId::from_bytes)?,
        delivery: cells.id("id", DeliveryId::from_bytes)?,
        number: cells.unsigned("number")?,
        started_at: cells.time("started_at_ms")?,
        duration: cells.duration_ms("duration_ms")?,
        outcome: cells.parsed("outcome", rows::outcome)?,
        status: cells.get("status")?,
        detail: cells.get("detail")?,
        event: cells.id("event_id", EventId::from_bytes)?,
        event_type: cells.get("event_type")?,
        source: cells.get("source_name")?,
        destination: cells.get("destination_name")?,
        state: rows::delivery_state(&cells)?,
    };
    Ok((cells.get("attempt_seq")?, attempt))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DestinationId, SourceId};
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn every_feed_walks_an_index_in_its_order() {
        for bits in 0..32 {
            let organization = if bits < 16 { OrganizationId::DEFAULT } else { OrganizationId::from_bytes([1; 16]) };
            let filter = FeedFilter {
                source: (bits & 1 != 0).then(|| SourceId::from_bytes([1; 16])),
                event_type: (bits & 2 != 0).then(String::new),
                destination: (bits & 4 != 0).then(|| DestinationId::from_bytes([1; 16])),
                from: (bits & 8 != 0).then(|| Timestamp::from_millis(1)),
            };
            for sql in [event_selection(organization, &filter), attempt_selection(&filter)] {
                let plan = plan(&sql);
                let detour = |step: &String| step.starts_with("SCAN") || step.starts_with("USE TEMP");
                assert!(!plan.iter().any(detour), "{filter:?}: {plan:?}");
            }
        }
    }
}
