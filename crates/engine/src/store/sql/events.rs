//! Reading events: one, a page of them, and the one behind a lease.

use super::commit::ID_KINDS;
use super::connection::{Bind, Connection, Row};
use super::failure::{Failure, Result};
use super::rows::{self, Cells, all, first};
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
    let (below, limit, organization_id) = (page.below(), page.rows(), *organization.as_bytes());
    let source = filter.source.map(|source| *source.as_bytes());
    let delivery_key = filter.delivery_id.as_ref().map(|id| dedup::text_key(id));
    let mut parameters: Vec<(&str, &dyn Bind)> =
        vec![(":below", &below), (":limit", &limit), (":organization", &organization_id)];
    parameters.extend(filter.delivery_id.as_ref().map(|id| (":delivery_id", id as &dyn Bind)));
    parameters.extend(filter.event_type.as_ref().map(|name| (":event_type", name as &dyn Bind)));
    parameters.extend(source.as_ref().map(|id| (":source_id", id as &dyn Bind)));
    parameters.extend(delivery_key.as_ref().map(|key| (":delivery_key", key as &dyn Bind)));
    let (from, until) = (filter.from.map(Timestamp::as_millis), filter.until.map(Timestamp::as_millis));
    parameters.extend(from.as_ref().map(|at| (":from", at as &dyn Bind)));
    parameters.extend(until.as_ref().map(|at| (":until", at as &dyn Bind)));
    let rows = all(&mut connection.prepare_cached(&selection(organization, filter))?, &parameters[..], |row| {
        Ok((Cells::new("events", row).get("seq")?, parse(row)?))
    })?;
    Ok(page.listing(rows))
}

/// The statement for a filter. The most selective of delivery id, type, source and organization walks its index; the
/// others, marked with `+`, only look at what it finds.
pub(super) fn selection(organization: OrganizationId, filter: &EventFilter) -> String {
    let among_duplicates = filter.duplicate == Some(true) && filter.delivery_id.is_none();
    let index = if among_duplicates { " indexed by events_duplicates" } else { "" };
    let mut sql = format!("select * from events{index} where seq < :below");
    match filter.duplicate {
        Some(true) => sql += " and duplicate_of is not null",
        Some(false) => sql += " and duplicate_of is null",
        None => {}
    }
    sql += rows::span("received_at_ms", filter.from, filter.until).as_str();
    let by_delivery_id = filter.delivery_id.is_some();
    let asked = [
        ("delivery_id", by_delivery_id),
        ("event_type", filter.event_type.is_some()),
        ("source_id", filter.source.is_some()),
    ];
    let asked: Vec<_> = asked.into_iter().filter(|(_, asked)| *asked).collect();
    for (place, (column, _)) in asked.iter().enumerate() {
        let mark = if place == 0 && !among_duplicates && !by_delivery_id { "" } else { "+" };
        sql += &format!(" and {mark}{column} = :{column}");
    }
    let is_walked = among_duplicates || !asked.is_empty();
    sql += &format!(" and {}", rows::belongs(organization, "organization_id", is_walked));
    if by_delivery_id {
        // An original is remembered in `dedup`, at any source; a duplicate has an index of its own.
        sql += &format!(
            " and seq in (select event_seq from dedup
                          where source_id in (select id from sources where organization_id = :organization) and kind in ({ID_KINDS}) and key = :delivery_key
                          union all
                          select seq from events where duplicate_of is not null and delivery_id = :delivery_id)"
        );
    }
    sql + " order by seq desc limit :limit"
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
            let plan = plan(&selection(organization, &filter));
            let detour = |step: &String| step.starts_with("SCAN") || step.starts_with("USE TEMP");
            assert!(!plan.iter().any(detour), "{filter:?}: {plan:?}");
        }
    }
}
