//! Reading events: one, a page of them, and the one behind a lease.

use super::commit::ID_KINDS;
use super::connection::{Bind, Connection, Row};
use super::failure::{Failure, Result};
use super::look::{Selection, Timed};
use super::rows::{self, Cells, first};
use crate::clock::Timestamp;
use crate::dedup;
use crate::ids::{EventId, OrganizationId, SourceId};
use crate::model::Event;
use crate::store::{EventFilter, Listing, Page};

pub(super) fn one(connection: &Connection, organization: OrganizationId, id: EventId) -> Result<Event> {
    let sql = "select * from events where id = ?1 and +organization_id = ?2";
    first(connection, sql, [id.as_bytes(), organization.as_bytes()], parse)?
        .ok_or_else(|| Failure::not_found(format!("event `{id}`")))
}

/// The event at `seq` and where its body is.
pub(super) fn at(connection: &Connection, seq: i64) -> Result<(Event, i64)> {
    first(connection, "select * from events where seq = ?1", [seq], |row| {
        let body_seq: Option<i64> = Cells::new("events", row).get("body_seq")?;
        Ok((parse(row)?, body_seq.unwrap_or(seq)))
    })?
    .ok_or_else(|| Failure::inconsistent("events", seq.to_string(), "there is no such row".to_owned()))
}

pub(super) fn list(
    connection: &Connection,
    organization: OrganizationId,
    filter: &EventFilter,
    page: Page,
) -> Result<Listing<Event>> {
    let organization_id = *organization.as_bytes();
    let source = filter.source.map(|source| *source.as_bytes());
    let delivery_key = filter.delivery_id.as_ref().map(|id| dedup::text_key(id));
    let mut parameters: Vec<(&str, &dyn Bind)> = vec![(":organization", &organization_id)];
    parameters.extend(filter.delivery_id.as_ref().map(|id| (":delivery_id", id as &dyn Bind)));
    parameters.extend(filter.event_type.as_ref().map(|name| (":event_type", name as &dyn Bind)));
    parameters.extend(source.as_ref().map(|id| (":source_id", id as &dyn Bind)));
    parameters.extend(delivery_key.as_ref().map(|key| (":delivery_key", key as &dyn Bind)));
    let (from, until) = (filter.from.map(Timestamp::as_millis), filter.until.map(Timestamp::as_millis));
    parameters.extend(from.as_ref().map(|at| (":from", at as &dyn Bind)));
    parameters.extend(until.as_ref().map(|at| (":until", at as &dyn Bind)));
    let between = match filter.delivery_id {
        // There are few of one id.
        Some(_) => (0, page.below()),
        None => Timed::EVENTS.between(connection, (filter.from, filter.until), page)?,
    };
    let parse = |row: &Row<'_>| Ok((Cells::new("events", row).get("seq")?, parse(row)?));
    selection(organization, filter).page(connection, page, between, &parameters, parse)
}

/// The statements for a filter. The most selective of delivery id, type, source and organization walks its index; the
/// others, marked with `+`, only look at what it finds.
pub(super) fn selection(organization: OrganizationId, filter: &EventFilter) -> Selection {
    let by_delivery_id = filter.delivery_id.is_some();
    let among_duplicates = filter.duplicate == Some(true) && !by_delivery_id;
    let from = if among_duplicates { "events indexed by events_duplicates" } else { "events" };
    let (mut walked, mut asked) = ("seq > :after and seq < :below".to_owned(), String::new());
    match filter.duplicate {
        Some(true) => walked += " and duplicate_of is not null",
        Some(false) => asked += " and duplicate_of is null",
        None => {}
    }
    let columns = [
        ("delivery_id", by_delivery_id),
        ("event_type", filter.event_type.is_some()),
        ("source_id", filter.source.is_some()),
    ];
    let columns: Vec<_> = columns.into_iter().filter(|(_, asked)| *asked).map(|(column, _)| column).collect();
    for (place, column) in columns.iter().enumerate() {
        match place == 0 && !among_duplicates && !by_delivery_id {
            true => walked += &format!(" and {column} = :{column}"),
            false => asked += &format!(" and +{column} = :{column}"),
        }
    }
    let is_walked = among_duplicates || !columns.is_empty();
    asked += &format!(" and {}", rows::belongs(organization, "organization_id", is_walked));
    asked += rows::span("received_at_ms", filter.from, filter.until).as_str();
    if by_delivery_id {
        // An original is remembered in `dedup`, at any source; a duplicate has an index of its own.
        asked += &format!(
            " and seq in (select event_seq from dedup
                          where source_id in (select id from sources where organization_id = :organization) and kind in ({ID_KINDS}) and key = :delivery_key
                          union all
                          select seq from events where duplicate_of is not null and delivery_id = :delivery_id)"
        );
    }
    let list = format!("select * from {from} where {walked}{asked} order by seq desc limit :limit");
    Selection { list, end: None }
}

pub(in crate::store) fn parse(row: &Row<'_>) -> Result<Event> {
    let cells = Cells::new("events", row);
    Ok(Event {
        id: cells.id("id", EventId::from_bytes)?,
        organization: cells.id("organization_id", OrganizationId::from_bytes)?,
        source: cells.id("source_id", SourceId::from_bytes)?,
        source_name: cells.get("source_name")?,
        event_type: cells.get("event_type")?,
        delivery_id: cells.get("delivery_id")?,
        received_at: cells.time("received_at_ms")?,
        verdict: cells.json("verdict")?,
        request: rows::request(&cells)?,
        body_len: cells.unsigned("body_len")?,
        body_sha256: cells.get("body_sha256")?,
        duplicate_of: cells.optional_id("duplicate_of", EventId::from_bytes)?,
        stripped_at: cells.optional_time("stripped_at_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn every_list_walks_an_index_in_its_order() {
        for bits in 0..48 {
            let organization = if bits < 24 { OrganizationId::DEFAULT } else { OrganizationId::from_bytes([1; 16]) };
            let bits = bits % 24;
            let filter = EventFilter {
                source: (bits & 1 != 0).then(|| SourceId::from_bytes([1; 16])),
                event_type: (bits & 2 != 0).then(String::new),
                delivery_id: (bits & 4 != 0).then(String::new),
                duplicate: [None, Some(false), Some(true)][bits / 8],
                from: (bits & 1 != 0).then(|| Timestamp::from_millis(1)),
                until: (bits & 2 != 0).then(|| Timestamp::from_millis(2)),
            };
            for plan in selection(organization, &filter).all().map(|sql| plan(&sql)) {
                let detour = |step: &String| step.starts_with("SCAN") || step.starts_with("USE TEMP");
                assert!(!plan.iter().any(detour), "{filter:?}: {plan:?}");
            }
        }
    }
}
