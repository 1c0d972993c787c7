//! Looking for events by themselves and by what became of them: a walk along one index, backward, over so many rows at
//! most; everything that the index does not know is asked of each row.

use async_trait::async_trait;

use super::commit::ID_KINDS;
use super::connection::{Bind, Connection, Row, params};
use super::failure::{Failure, Result};
use super::look::{LOOK, OUT_OF_ORDER, Timed};
use super::rows::{self, Cells, all, first};
use super::{SqlStore, deliveries, events, feed};
use crate::clock::Timestamp;
use crate::dedup;
use crate::ids::{AttemptId, DeliveryId, EventId, OrganizationId};
use crate::store::{Activities, Activity, ActivityFilter, ActivityLog, Ended, LastAttempt, Page, Standing, StoreError};

/// How many deliveries of one event are looked at.
const DELIVERIES: u32 = 100;

#[async_trait]
impl ActivityLog for SqlStore {
    async fn activity(
        &self,
        organization: OrganizationId,
        filter: ActivityFilter,
        page: Page,
    ) -> std::result::Result<Activities, StoreError> {
        self.readers.read(move |connection| list(connection, organization, &filter, page)).await
    }

    async fn standing(
        &self,
        organization: OrganizationId,
        events: Vec<EventId>,
    ) -> std::result::Result<Vec<(EventId, Vec<Standing>)>, StoreError> {
        let read = move |connection: &Connection| {
            let snapshot = connection.snapshot()?;
            let mut found = Vec::with_capacity(events.len());
            for event in events {
                let sql = "select seq from events where id = ?1 and +organization_id = ?2";
                let seq = first(&snapshot, sql, [event.as_bytes(), organization.as_bytes()], |row| {
                    Cells::new("events", row).get::<i64>("seq")
                })?;
                if let Some(seq) = seq {
                    found.push((event, standing(&snapshot, seq)?));
                }
            }
            Ok(found)
        };
        self.readers.read(read).await
    }

    async fn delivery_of(
        &self,
        organization: OrganizationId,
        attempt: AttemptId,
    ) -> std::result::Result<DeliveryId, StoreError> {
        let read = move |connection: &Connection| {
            let parameters = [attempt.as_bytes(), organization.as_bytes()];
            first(connection, OF_ATTEMPT, parameters, |row| {
                Cells::new("attempts", row).id("id", DeliveryId::from_bytes)
            })?
            .ok_or_else(|| Failure::not_found(format!("attempt `{attempt}`")))
        };
        self.readers.read(read).await
    }
}

pub(super) const OF_ATTEMPT: &str = "select d.id from attempts a join deliveries d on d.seq = a.delivery_seq
                          where a.id = ?1 and +d.organization_id = ?2";

/// What a look walks along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// Events, or those of one index of theirs.
    Events,
    /// The deliveries to a destination.
    Destination,
    /// The deliveries in a state. All organizations' stand there, so only the default one's are looked for here.
    State,
}

impl Walk {
    /// Most deliveries end delivered, so that state picks nothing. An end in time is found among events only.
    pub(super) fn of(organization: OrganizationId, filter: &ActivityFilter) -> Self {
        let picks = filter.state.as_deref().is_some_and(|state| state != "delivered");
        match filter {
            ActivityFilter { delivery_id: Some(_), .. } | ActivityFilter { until: Some(_), .. } => Self::Events,
            _ if picks && organization == OrganizationId::DEFAULT => Self::State,
            ActivityFilter { destination: Some(_), .. } => Self::Destination,
            _ => Self::Events,
        }
    }
}

/// A row that was looked at.
struct Candidate {
    position: i64,
    event_seq: i64,
    received_at: Timestamp,
    is_hit: bool,
}

fn list(
    connection: &Connection,
    organization: OrganizationId,
    filter: &ActivityFilter,
    page: Page,
) -> Result<Activities> {
    let walk = Walk::of(organization, filter);
    let newest = match walk {
        Walk::Events => feed::last_given(connection, "events")?,
        Walk::Destination | Walk::State => feed::last_given(connection, "deliveries")?,
    };
    // One transaction, so that an event and its deliveries are of one moment.
    let snapshot = connection.snapshot()?;
    let (after, below) = span(&snapshot, walk, filter, page)?;
    let mut found = Activities { newest, ..Activities::default() };
    let mut hits = Vec::new();
    let sql = selection(walk, organization, filter);
    let values = Values::of(organization, filter, (after, below));
    let mut looked_at = 0;
    let mut last: Option<Candidate> = None;
    snapshot.prepare_cached(&sql)?.each(&values.bound(&sql)[..], |row| {
        // There is one more, so there is a next page, which begins behind the last one looked at.
        if looked_at == LOOK || hits.len() == page.limit.clamp(1, Page::LIMIT_MAX) as usize {
            found.next = last.as_ref().map(|last| last.position);
            found.looked_back_to = last.take().filter(|_| looked_at == LOOK).map(|last| last.received_at);
            return Ok(false);
        }
        looked_at += 1;
        let candidate = candidate(row)?;
        if candidate.is_hit {
            hits.push((candidate.position, candidate.event_seq));
        }
        last = Some(candidate);
        Ok(true)
    })?;
    for (position, event_seq) in hits {
        let (event, _) = events::at(&snapshot, event_seq)?;
        found.items.push(Activity { position, event, deliveries: standing(&snapshot, event_seq)? });
    }
    Ok(found)
}

fn candidate(row: &Row<'_>) -> Result<Candidate> {
    let cells = Cells::new("events", row);
    Ok(Candidate {
        position: cells.get("position")?,
        event_seq: cells.get("event_seq")?,
        received_at: cells.time("received_at_ms")?,
        is_hit: cells.get::<Option<bool>>("is_hit")?.unwrap_or(false),
    })
}

/// The positions between which a look stays. Arrival follows the order of commits, give or take a minute, so that a span
/// of time is one of positions; its ends are asked of each row besides.
fn span(connection: &Connection, walk: Walk, filter: &ActivityFilter, page: Page) -> Result<(i64, i64)> {
    let (mut after, mut below) = (filter.after.unwrap_or(0), page.before.unwrap_or(i64::MAX));
    if walk == Walk::Events && (filter.from.is_some() || filter.until.is_some()) {
        let last = feed::last_given(connection, "events")?;
        if let Some(from) = filter.from {
            after = after.max(Timed::EVENTS.position_of(connection, from.minus(OUT_OF_ORDER), last)?);
        }
        if let Some(until) = filter.until {
            let end = Timed::EVENTS.position_of(connection, until.plus(OUT_OF_ORDER), last)?;
            below = below.min(end.saturating_add(1));
        }
    }
    Ok((after, below))
}

/// The statement for a filter: what it walks, and of each row whether it is wanted.
pub(super) fn selection(walk: Walk, organization: OrganizationId, filter: &ActivityFilter) -> String {
    let (from, position, walked) = match walk {
        Walk::Events => walked_events(organization, filter),
        Walk::Destination => (DELIVERIES_OF_EVENTS, "d.seq", "d.destination_id = :destination".to_owned()),
        Walk::State => (DELIVERIES_OF_EVENTS, "d.seq", in_state("d", filter.state.as_deref().unwrap_or_default())),
    };
    let mut asked = vec!["e.organization_id = :organization".to_owned()];
    asked.extend(of_event(filter));
    let of_delivery = |alias: &str| of_delivery(alias, filter).join(" and ");
    let is_of_delivery = filter.destination.is_some() || filter.state.is_some() || filter.ended.is_some();
    match walk {
        Walk::Events if is_of_delivery => asked
            .push(format!("exists (select 1 from deliveries d where d.event_seq = e.seq and {})", of_delivery("d"))),
        Walk::Events => {}
        Walk::Destination | Walk::State => {
            asked.push(of_delivery("d"));
            // An event stands where the latest of its deliveries does that is wanted.
            asked.push(format!(
                "not exists (select 1 from deliveries o where o.event_seq = d.event_seq and o.seq > d.seq and {})",
                of_delivery("o")
            ));
        }
    }
    let asked = asked.join(" and ");
    format!(
        "select {position} as position, e.seq as event_seq, e.received_at_ms, ({asked}) as is_hit from {from}
         where {position} > :after and {position} < :below and {walked} order by {position} desc limit {}",
        LOOK + 1
    )
}

const DELIVERIES_OF_EVENTS: &str = "deliveries d cross join events e on e.seq = d.event_seq";

/// The most selective of delivery id, duplicate, type, source and organization is walked.
fn walked_events(organization: OrganizationId, filter: &ActivityFilter) -> (&'static str, &'static str, String) {
    let is_exact = filter.event_type.as_ref().is_some_and(|pattern| !pattern.contains('*'));
    let (from, walked) = if filter.delivery_id.is_some() {
        // An original is remembered in `dedup`, at any source; a duplicate has an index of its own.
        let walked = format!(
            "e.seq in (select event_seq from dedup
                where source_id in (select id from sources where organization_id = :organization)
                    and kind in ({ID_KINDS}) and key = :delivery_key
                union all
                select seq from events where duplicate_of is not null and delivery_id = :delivery_id)"
        );
        ("events e", walked)
    } else if filter.duplicate == Some(true) {
        ("events e indexed by events_duplicates", "e.duplicate_of is not null".to_owned())
    } else if is_exact {
        ("events e", "e.event_type = :event_type".to_owned())
    } else if filter.source.is_some() {
        ("events e", "e.source_id = :source".to_owned())
    } else if organization == OrganizationId::DEFAULT {
        // Nearly all are its own; the others count as looked at.
        ("events e", "true".to_owned())
    } else {
        ("events e", rows::belongs(organization, "e.organization_id", false))
    };
    (from, "e.seq", walked)
}

/// What is asked of the event itself.
fn of_event(filter: &ActivityFilter) -> Vec<String> {
    let mut asked = Vec::new();
    let mut ask = |is_asked: bool, condition: &str| {
        if is_asked {
            asked.push(condition.to_owned());
        }
    };
    ask(filter.source.is_some(), "e.source_id = :source");
    let is_pattern = filter.event_type.as_ref().is_some_and(|pattern| pattern.contains('*'));
    ask(is_pattern, "glob(:event_type, e.event_type)");
    ask(filter.event_type.is_some() && !is_pattern, "e.event_type = :event_type");
    ask(filter.delivery_id.is_some(), "e.delivery_id = :delivery_id");
    ask(filter.duplicate == Some(true), "e.duplicate_of is not null");
    ask(filter.duplicate == Some(false), "e.duplicate_of is null");
    ask(filter.from.is_some(), "e.received_at_ms >= :from");
    ask(filter.until.is_some(), "e.received_at_ms < :until");
    asked
}

/// What is asked of one of its deliveries, each marked with `+`: deliveries are found by their event, of which there are
/// few, and by nothing else.
fn of_delivery(alias: &str, filter: &ActivityFilter) -> Vec<String> {
    let mut asked = Vec::new();
    if filter.destination.is_some() {
        asked.push(format!("+{alias}.destination_id = :destination"));
    }
    if let Some(state) = &filter.state {
        asked.push(in_state(&format!("+{alias}"), state));
        asked.push(format!(
            "not exists (select 1 from deliveries l where l.event_seq = {alias}.event_seq
                and +l.destination_id = {alias}.destination_id and l.seq > {alias}.seq)"
        ));
    }
    if let Some(ended) = &filter.ended {
        let how = match ended {
            Ended::Status(_) => "a.status between :status_from and :status_to",
            Ended::Outcome(_) => "a.outcome = :outcome",
        };
        asked.push(format!("exists (select 1 from attempts a where a.delivery_seq = {alias}.seq and {how})"));
    }
    asked
}

/// Those that wait have no state of their own in the table.
fn in_state(alias: &str, state: &str) -> String {
    match state {
        "waiting" => format!("{alias}.state = 'held' and {alias}.behind = 1"),
        "held" => format!("{alias}.state = 'held' and {alias}.behind <> 1"),
        "pending" | "leased" => format!("{alias}.state = :state and {alias}.due_at_ms is not null"),
        _ => format!("{alias}.state = :state and {alias}.due_at_ms is null"),
    }
}

/// What a statement's parameters stand for.
struct Values(Vec<(&'static str, Box<dyn Bind>)>);

impl Values {
    fn of(organization: OrganizationId, filter: &ActivityFilter, (after, below): (i64, i64)) -> Self {
        let mut values = Self(Vec::new());
        values.put(":organization", Some(*organization.as_bytes()));
        values.put(":after", Some(after));
        values.put(":below", Some(below));
        values.put(":source", filter.source.map(|id| *id.as_bytes()));
        let glob = |pattern: &String| if pattern.contains('*') { glob(pattern) } else { pattern.clone() };
        values.put(":event_type", filter.event_type.as_ref().map(glob));
        values.put(":delivery_id", filter.delivery_id.clone());
        values.put(":delivery_key", filter.delivery_id.as_deref().map(dedup::text_key));
        values.put(":from", filter.from.map(Timestamp::as_millis));
        values.put(":until", filter.until.map(Timestamp::as_millis));
        values.put(":destination", filter.destination.map(|id| *id.as_bytes()));
        values.put(":state", filter.state.clone());
        match &filter.ended {
            Some(Ended::Status(statuses)) => {
                values.put(":status_from", Some(*statuses.start()));
                values.put(":status_to", Some(*statuses.end()));
            }
            Some(Ended::Outcome(outcome)) => values.put(":outcome", Some(rows::outcome_text(*outcome))),
            None => {}
        }
        values
    }

    fn put<T: Bind + 'static>(&mut self, name: &'static str, value: Option<T>) {
        self.0.extend(value.map(|value| (name, Box::new(value) as Box<dyn Bind>)));
    }

    /// Those that `sql` has a place for.
    fn bound(&self, sql: &str) -> Vec<(&str, &dyn Bind)> {
        let all: Vec<_> = self.0.iter().map(|(name, value)| (*name, &**value as &dyn Bind)).collect();
        rows::bound(sql, &all)
    }
}

/// A pattern in which only `*` means anything, as SQLite writes it.
fn glob(pattern: &str) -> String {
    let written = |c: char| if matches!(c, '?' | '[') { format!("[{c}]") } else { c.to_string() };
    pattern.chars().map(written).collect()
}

pub(super) const STANDING: &str = "select d.*, e.id as event_id, n.name as destination_name,
        a.outcome as last_outcome, a.status as last_status, a.exit_code as last_exit_code
    from deliveries d
    join events e on e.seq = d.event_seq
    join destinations n on n.id = d.destination_id
    left join attempts a on a.delivery_seq = d.seq
        and a.number = (select max(number) from attempts where delivery_seq = d.seq)
    where d.event_seq = ?1 order by d.seq desc limit ?2";

/// The same for PostgreSQL, which would walk all deliveries from the newest on where it was not told yet how many there are of
/// an event: these few are put in their order afterwards.
pub(super) fn standing_of_postgres() -> String {
    STANDING.replace("order by d.seq desc", "order by (d.seq + 0) desc")
}

/// The latest delivery of an event to each destination.
fn standing(connection: &Connection, event_seq: i64) -> Result<Vec<Standing>> {
    let sql = match connection {
        Connection::Sqlite(_) => STANDING,
        Connection::Postgres(_) => &standing_of_postgres(),
    };
    let mut rows = all(&mut connection.prepare_cached(sql)?, params![event_seq, DELIVERIES], |row| {
        let (_, delivery) = deliveries::parse(row)?;
        let cells = Cells::new("attempts", row);
        let last = match cells.get::<Option<String>>("last_outcome")? {
            Some(_) => Some(LastAttempt {
                outcome: cells.parsed("last_outcome", rows::outcome)?,
                status: cells.get("last_status")?,
                exit_code: cells.get("last_exit_code")?,
            }),
            None => None,
        };
        Ok(Standing { delivery, last })
    })?;
    let mut seen = Vec::new();
    rows.retain(|standing| {
        let is_latest = !seen.contains(&standing.delivery.destination);
        seen.push(standing.delivery.destination);
        is_latest
    });
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DestinationId, SourceId};
    use crate::model::Outcome;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn every_look_walks_an_index_in_its_order() {
        for bits in 0..(1 << 7) * 3 * 4 {
            let is = |bit: u32| bits & (1 << bit) != 0;
            let organization = if is(0) { OrganizationId::DEFAULT } else { OrganizationId::from_bytes([1; 16]) };
            let filter = ActivityFilter {
                source: is(1).then(|| SourceId::from_bytes([1; 16])),
                event_type: is(2).then(|| if is(3) { "a.*" } else { "a" }.to_owned()),
                delivery_id: is(4).then(String::new),
                destination: is(5).then(|| DestinationId::from_bytes([1; 16])),
                ended: is(6).then_some(Ended::Outcome(Outcome::Timeout)),
                duplicate: [None, Some(false), Some(true)][(bits >> 7) % 3],
                state: [None, Some("delivered"), Some("exhausted"), Some("held")][(bits >> 7) / 3].map(str::to_owned),
                from: is(1).then(|| Timestamp::from_millis(1)),
                until: (is(3) && is(5)).then(|| Timestamp::from_millis(2)),
                after: None,
            };
            let plan = plan(&selection(Walk::of(organization, &filter), organization, &filter));
            let detour = |step: &String| step.starts_with("SCAN") || step.starts_with("USE TEMP");
            assert!(!plan.iter().any(detour), "{filter:?}: {plan:?}");
            // An index of all that a destination is owed would be walked for each row.
            let others = plan.iter().filter(|step| ["SEARCH l ", "SEARCH o "].iter().any(|of| step.starts_with(of)));
            assert!(others.clone().all(|step| step.contains("deliveries_by_event")), "{filter:?}: {plan:?}");
            let is_found = Walk::of(organization, &filter) != Walk::Events;
            let found =
                |step: &String| is_found || !step.starts_with("SEARCH d ") || step.contains("deliveries_by_event");
            assert!(plan.iter().all(found), "{filter:?}: {plan:?}");
        }
        for sql in [STANDING, OF_ATTEMPT] {
            let plan = plan(sql);
            assert!(!plan.iter().any(|step| step.starts_with("SCAN") || step.starts_with("USE TEMP")), "{plan:?}");
        }
    }

    #[test]
    fn in_a_pattern_only_the_star_means_anything() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let matches = |pattern: &str, text: &str| -> bool {
            connection.query_row("select ?1 glob ?2", [text, &glob(pattern)], |row| row.get(0)).unwrap()
        };
        for (pattern, text) in [("a.*", "a.b"), ("*", ""), ("a[b]*", "a[b]c"), ("a?*", "a?b"), ("*^-]*", "x^-]y")] {
            assert!(matches(pattern, text), "{pattern} on {text}");
        }
        for (pattern, text) in [("a.*", "aXb"), ("a?*", "abc"), ("a[b]*", "abc"), ("A*", "ab")] {
            assert!(!matches(pattern, text), "{pattern} on {text}");
        }
    }
}
