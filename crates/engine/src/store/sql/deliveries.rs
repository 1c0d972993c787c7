//! Reading deliveries and attempts: one, a page of them, and how many are owed.

use super::connection::{Bind, Connection, Row};
use super::failure::{Failure, Result};
use super::look::{Selection, Timed};
use super::rows::{self, Cells, all, first};
use crate::clock::Timestamp;
use crate::ids::{AttemptId, DeliveryId, DestinationId, EventId, NodeId, OrganizationId};
use crate::model::{Attempt, Concluded, Delivery};
use crate::store::{Backlog, DeliveryFilter, Listing, Page};

const SELECT: &str = "select d.*, e.id as event_id, n.name as destination_name
                      from deliveries d
                      join events e on e.seq = d.event_seq
                      join destinations n on n.id = d.destination_id";

pub(super) fn one(
    connection: &Connection,
    organization: OrganizationId,
    id: DeliveryId,
) -> Result<(Delivery, Vec<Attempt>)> {
    // One transaction, so that the attempts are those that the delivery counts.
    let snapshot = connection.snapshot()?;
    let sql = format!("{SELECT} where d.id = ?1 and +d.organization_id = ?2");
    let (seq, delivery) = first(&snapshot, &sql, [id.as_bytes(), organization.as_bytes()], parse)?
        .ok_or_else(|| Failure::not_found(format!("delivery `{id}`")))?;
    let sql = "select * from attempts where delivery_seq = ?1 order by number";
    let attempts = all(&mut snapshot.prepare_cached(sql)?, [seq], parse_attempt)?;
    Ok((delivery, attempts))
}

/// How a delivery that is over ended.
pub(super) fn concluded(connection: &Connection, organization: OrganizationId, id: DeliveryId) -> Result<Concluded> {
    let (delivery, attempts) = one(connection, organization, id)?;
    let missing = || Failure::inconsistent("deliveries", id.to_string(), "it ended without an attempt".to_owned());
    let attempt = attempts.into_iter().next_back().ok_or_else(missing)?;
    Ok(Concluded { delivery: id, destination: delivery.destination_name, attempt })
}

pub(super) fn list(
    connection: &Connection,
    organization: OrganizationId,
    filter: &DeliveryFilter,
    page: Page,
) -> Result<Listing<Delivery>> {
    let organization_id = *organization.as_bytes();
    let event = filter.event.map(|event| *event.as_bytes());
    let destination = filter.destination.map(|destination| *destination.as_bytes());
    let mut parameters: Vec<(&str, &dyn Bind)> = vec![(":organization", &organization_id)];
    parameters.extend(event.as_ref().map(|id| (":event", id as &dyn Bind)));
    parameters.extend(destination.as_ref().map(|id| (":destination", id as &dyn Bind)));
    // Those that wait have no state of their own in the table.
    let is_own = |state: &&String| !matches!(state.as_str(), "held" | "waiting");
    parameters.extend(filter.state.as_ref().filter(is_own).map(|state| (":state", state as &dyn Bind)));
    let (from, until) = (filter.from.map(Timestamp::as_millis), filter.until.map(Timestamp::as_millis));
    parameters.extend(from.as_ref().map(|at| (":from", at as &dyn Bind)));
    parameters.extend(until.as_ref().map(|at| (":until", at as &dyn Bind)));
    let between = match filter.event {
        // There are few of one event.
        Some(_) => (0, page.below()),
        None => Timed::DELIVERIES.between(connection, (filter.from, filter.until), page)?,
    };
    selection(organization, filter).page(connection, page, between, &parameters, parse)
}

/// The statements for a filter. The most selective condition walks its index; the others, marked with `+`, only look at
/// what it finds. Most deliveries end delivered, so among these it is the destination that tells them apart.
pub(super) fn selection(organization: OrganizationId, filter: &DeliveryFilter) -> Selection {
    let by_event = ("d.event_seq = (select seq from events where id = :event)", filter.event.is_some());
    let by_destination = ("d.destination_id = :destination", filter.destination.is_some());
    let is_state = match filter.state.as_deref() {
        Some("waiting") => "d.state = 'held' and d.behind = 1",
        Some("held") => "d.state = 'held' and d.behind <> 1",
        Some("pending" | "leased") => "d.state = :state and d.due_at_ms is not null",
        _ => "d.state = :state and d.due_at_ms is null",
    };
    let by_state = (is_state, filter.state.is_some());
    let conditions = match filter.state.as_deref() {
        Some("delivered") => [by_event, by_destination, by_state],
        _ => [by_event, by_state, by_destination],
    };
    let (mut walked, mut asked) = ("d.seq > :after and d.seq < :below".to_owned(), String::new());
    let is_asked = conditions.into_iter().filter(|(_, is_asked)| *is_asked);
    for (place, (condition, _)) in is_asked.enumerate() {
        match place {
            0 => walked += &format!(" and {condition}"),
            _ => asked += &format!(" and +{condition}"),
        }
    }
    let is_walked = filter.event.is_some() || filter.destination.is_some() || filter.state.is_some();
    asked += &format!(" and {}", rows::belongs(organization, "d.organization_id", is_walked));
    asked += rows::span("d.created_at_ms", filter.from, filter.until).as_str();
    let list = format!("{SELECT} where {walked}{asked} order by d.seq desc limit :limit");
    Selection { list, end: None }
}

/// The earliest due is looked for at each destination in turn, stepping over the few that are leased.
pub(super) const BACKLOG: &str = "select
    (select count(*) from deliveries where due_at_ms is not null) as outstanding,
    (select count(*) from deliveries where state = 'held') as held,
    (select count(*) from deliveries where order_key is not null and behind = 1) as waiting,
    (select min((select due_at_ms from deliveries
                 where destination_id = n.id and due_at_ms is not null and +state = 'pending'
                 order by due_at_ms limit 1))
     from destinations n) as oldest";

pub(super) fn backlog(connection: &Connection) -> Result<Backlog> {
    first(connection, BACKLOG, [], |row| {
        let cells = Cells::new("deliveries", row);
        let (held, waiting): (u64, u64) = (cells.unsigned("held")?, cells.unsigned("waiting")?);
        Ok(Backlog {
            outstanding: cells.unsigned("outstanding")?,
            held: held.saturating_sub(waiting),
            waiting,
            oldest_due: cells.optional_time("oldest")?,
        })
    })
    .map(Option::unwrap_or_default)
}

pub(super) fn parse(row: &Row<'_>) -> Result<(i64, Delivery)> {
    let cells = Cells::new("deliveries", row);
    let delivery = Delivery {
        id: cells.id("id", DeliveryId::from_bytes)?,
        event: cells.id("event_id", EventId::from_bytes)?,
        destination: cells.id("destination_id", DestinationId::from_bytes)?,
        destination_name: cells.get("destination_name")?,
        state: rows::delivery_state(&cells)?,
        cause: rows::delivery_cause(&cells)?,
        attempts: cells.unsigned("attempts")?,
        created_at: cells.time("created_at_ms")?,
        cancel_at: cells.optional_time("cancel_at_ms")?,
        superseded_by: cells.optional_id("superseded_by", EventId::from_bytes)?,
        parked: cells.get::<i64>("behind")? == 2,
        skipped: cells.unsigned("skipped")?,
        probes: cells.unsigned("probes")?,
    };
    Ok((cells.get("seq")?, delivery))
}

fn parse_attempt(row: &Row<'_>) -> Result<Attempt> {
    let cells = Cells::new("attempts", row);
    Ok(Attempt {
        id: cells.id("id", AttemptId::from_bytes)?,
        number: cells.unsigned("number")?,
        started_at: cells.time("started_at_ms")?,
        duration: cells.duration_ms("duration_ms")?,
        outcome: cells.parsed("outcome", rows::outcome)?,
        signed_by: cells.json("signed_by")?,
        status: cells.get("status")?,
        exit_code: cells.get("exit_code")?,
        excerpt: cells.bytes("excerpt")?,
        detail: cells.get("detail")?,
        node: cells.optional_id("node", NodeId::from_bytes)?,
        exchange: rows::exchange(&cells)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn every_list_walks_an_index_in_its_order() {
        for bits in 0..32 {
            let organization = if bits < 16 { OrganizationId::DEFAULT } else { OrganizationId::from_bytes([1; 16]) };
            let bits = bits % 16;
            let filter = DeliveryFilter {
                event: (bits & 1 != 0).then(|| EventId::from_bytes([1; 16])),
                destination: (bits & 2 != 0).then(|| DestinationId::from_bytes([1; 16])),
                state: [None, Some("delivered"), Some("held"), Some("waiting")][bits / 4].map(str::to_owned),
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
