//! Redelivery jobs: made, looked up, moved on step by step.
//! Owns what of a step is one transaction; which destinations an event is redelivered to is the caller's.

use super::commit::{insert_delivery, takes_deliveries};
use super::connection::{Bind, Connection, Row, params};
use super::failure::{Failure, Result};
use super::operate::latest;
use super::recovery::Asked;
use super::rows::{Cells, all, belongs, first, integer, json_text};
use super::writer::Tx;
use super::{audit, order};
use crate::clock::Timestamp;
use crate::ids::{EventId, JobId, OrganizationId, SourceId};
use crate::model::{AuditEntry, DeliveryCause, JobRange, JobSpec, JobState, Recovery, RedeliveryJob};
use crate::store::{JobChange, JobStep, Listing, Look, LookedAt, NewDelivery, Page};

pub(super) fn range(connection: &Connection) -> Result<JobRange> {
    let sql = "select (select min(seq) from events) as first, (select max(seq) from events) as last";
    let range = first(connection, sql, [], |row| {
        let cells = Cells::new("events", row);
        let (first, last): (Option<i64>, Option<i64>) = (cells.get("first")?, cells.get("last")?);
        Ok(first.zip(last))
    })?;
    let (start, end) = range.flatten().unwrap_or((1, 0));
    Ok(JobRange { start, next: start, end })
}

pub(super) fn create(tx: &Tx<'_>, id: JobId, spec: &JobSpec, entry: &AuditEntry) -> Result<RedeliveryJob> {
    let range = range(tx.connection)?;
    tx.connection
        .prepare_cached(
            "insert into jobs (id, organization_id, spec, state, problem, start_seq, next_seq, end_seq, looked_at, matched,
                redelivered, actor, created_at_ms, updated_at_ms)
             values (?1, ?2, ?3, 'running', '', ?4, ?4, ?5, 0, 0, 0, ?6, ?7, ?7)",
        )?
        .execute(params![
            id.as_bytes(),
            entry.organization.as_bytes(),
            json_text(spec),
            range.start,
            range.end,
            entry.actor,
            entry.at.as_millis(),
        ])?;
    audit::append(tx, entry)?;
    one(tx.connection, entry.organization, id)
}

pub(super) fn one(connection: &Connection, organization: OrganizationId, id: JobId) -> Result<RedeliveryJob> {
    let sql = "select * from jobs where id = ?1 and +organization_id = ?2";
    first(connection, sql, [id.as_bytes(), organization.as_bytes()], parse)?
        .ok_or_else(|| Failure::not_found(format!("job `{id}`")))
}

pub(super) fn list(
    connection: &Connection,
    organization: OrganizationId,
    page: Page,
) -> Result<Listing<RedeliveryJob>> {
    let sql = "select * from jobs where organization_id = ?1 and seq < ?2 order by seq desc limit ?3";
    let parameters = params![organization.as_bytes(), page.below(), page.rows()];
    let rows = all(&mut connection.prepare_cached(sql)?, parameters, |row| {
        Ok((Cells::new("jobs", row).get("seq")?, parse(row)?))
    })?;
    Ok(page.listing(rows))
}

pub(super) const RUNNING: &str = "select * from jobs where state = 'running' order by seq";

pub(super) fn running(connection: &Connection) -> Result<Vec<RedeliveryJob>> {
    all(&mut connection.prepare_cached(RUNNING)?, [], parse)
}

/// An event as a job sees it.
struct Seen {
    seq: i64,
    received_at: Timestamp,
    is_duplicate: bool,
    is_stripped: bool,
    looked_at: LookedAt,
}

impl Seen {
    fn matches(&self, spec: &JobSpec) -> bool {
        // When something failed is asked of its delivery.
        let is_within = spec.recover == Some(Recovery::Failed)
            || (spec.from.is_none_or(|from| self.received_at >= from)
                && spec.to.is_none_or(|to| self.received_at < to));
        !self.is_stripped
            && spec.event_type.as_ref().is_none_or(|event_type| *event_type == self.looked_at.event_type)
            && is_within
            && spec.duplicate.is_none_or(|duplicate| duplicate == self.is_duplicate)
    }
}

pub(super) fn look(
    connection: &Connection,
    organization: OrganizationId,
    spec: &JobSpec,
    range: JobRange,
    rows: u32,
    matches: u32,
) -> Result<Look> {
    // One transaction, so that an event and its deliveries are of one moment.
    let snapshot = connection.snapshot()?;
    let mut parameters: Vec<(&str, &dyn Bind)> = vec![
        (":next", &range.next),
        (":end", &range.end),
        (":rows", &rows),
        (":organization", organization.as_bytes()),
    ];
    parameters.extend(spec.source.as_ref().map(|source| (":source", source as &dyn Bind)));
    let seen =
        all(&mut snapshot.prepare_cached(&selection(organization, spec.source.is_some()))?, &parameters[..], see)?;
    let asked = Asked::by(&snapshot, organization, spec)?;
    let whole = seen.len() < rows as usize;
    let mut look = Look { events: Vec::new(), looked_at: 0, next: range.end.saturating_add(1) };
    for seen in seen {
        if look.events.len() >= matches as usize {
            look.next = seen.seq;
            return Ok(look);
        }
        look.looked_at += 1;
        if !whole {
            look.next = seen.seq.saturating_add(1);
        }
        if !seen.matches(spec) {
            continue;
        }
        let at = asked.answer(&snapshot, seen.seq)?;
        if at.as_ref().is_none_or(|destinations| !destinations.is_empty()) {
            look.events.push(LookedAt { at, ..seen.looked_at });
        }
    }
    Ok(look)
}

/// Walks the events by position, or one source's by its index.
pub(super) fn selection(organization: OrganizationId, of_source: bool) -> String {
    let of_source = if of_source {
        "and source_id = (select id from sources where organization_id = :organization and name = :source) "
    } else {
        ""
    };
    let belongs = belongs(organization, "organization_id", !of_source.is_empty());
    format!(
        "select seq, id, source_id, source_name, event_type, received_at_ms, duplicate_of is not null as is_duplicate,
             stripped_at_ms is not null as is_stripped
         from events where seq >= :next and seq <= :end {of_source}and {belongs} order by seq limit :rows"
    )
}

fn see(row: &Row<'_>) -> Result<Seen> {
    let cells = Cells::new("events", row);
    let looked_at = LookedAt {
        event: cells.id("id", EventId::from_bytes)?,
        source_id: cells.id("source_id", SourceId::from_bytes)?,
        source: cells.get("source_name")?,
        event_type: cells.get("event_type")?,
        at: None,
    };
    Ok(Seen {
        seq: cells.get("seq")?,
        received_at: cells.time("received_at_ms")?,
        is_duplicate: cells.get("is_duplicate")?,
        is_stripped: cells.get("is_stripped")?,
        looked_at,
    })
}

pub(super) fn advance(tx: &Tx<'_>, step: &JobStep) -> Result<Option<RedeliveryJob>> {
    let organization = step.audit_done.organization;
    let job = one(tx.connection, organization, step.job)?;
    if job.state != JobState::Running || job.range.next != step.from {
        return Ok(None);
    }
    let asked = Asked::by(tx.connection, organization, &job.spec)?;
    let (mut matched, mut redelivered) = (0_u64, 0_u64);
    for (event, deliveries) in &step.deliveries {
        let made = redeliver(tx.connection, &asked, *event, deliveries, step.now)?;
        matched += u64::from(made > 0);
        redelivered += made;
    }
    let is_done = step.next > job.range.end;
    tx.connection
        .prepare_cached(
            "update jobs set next_seq = ?2, looked_at = looked_at + ?3, matched = matched + ?4,
                redelivered = redelivered + ?5, updated_at_ms = ?6, state = ?7
             where id = ?1",
        )?
        .execute(params![
            step.job.as_bytes(),
            step.next,
            integer(step.looked_at),
            integer(matched),
            integer(redelivered),
            step.now.as_millis(),
            state_text(if is_done { JobState::Done } else { JobState::Running }),
        ])?;
    let job = one(tx.connection, organization, step.job)?;
    if is_done {
        let mut entry = step.audit_done.clone();
        entry.detail = serde_json::json!({
            "looked_at": job.looked_at, "matched": job.matched, "redelivered": job.redelivered,
        });
        audit::append(tx, &entry)?;
    }
    Ok(Some(job))
}

/// Returns how many deliveries it made.
fn redeliver(
    connection: &Connection,
    asked: &Asked<'_>,
    event: EventId,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<u64> {
    let sql = "select seq from events where id = ?1 and stripped_at_ms is null";
    // What retention took since the look is not there to be redelivered.
    let found = first(connection, sql, [event.as_bytes()], |row| Cells::new("events", row).get::<i64>("seq"))?;
    let Some(event_seq) = found else { return Ok(0) };
    let wanted = asked.answer(connection, event_seq)?;
    let is_wanted =
        |delivery: &&NewDelivery| wanted.as_ref().is_none_or(|wanted| wanted.contains(&delivery.destination));
    let deliveries: Vec<NewDelivery> = deliveries.iter().filter(is_wanted).cloned().collect();
    let states = takes_deliveries(connection, &deliveries)?;
    for (delivery, taker) in deliveries.iter().zip(states) {
        let of = latest(connection, event_seq, delivery.destination)?;
        order::replace_parked(connection, event_seq, delivery.destination, now)?;
        let delivery = NewDelivery { cause: DeliveryCause::Redelivery { of }, ..delivery.clone() };
        insert_delivery(connection, event_seq, &delivery, taker, now)?;
    }
    Ok(deliveries.len() as u64)
}

pub(super) fn change(tx: &Tx<'_>, change: &JobChange) -> Result<bool> {
    let job = one(tx.connection, change.audit.organization, change.job)?;
    if !change.from.contains(&job.state) {
        return Ok(false);
    }
    tx.connection
        .prepare_cached("update jobs set state = ?2, problem = ?3, updated_at_ms = ?4 where id = ?1")?
        .execute(params![change.job.as_bytes(), state_text(change.to), change.problem, change.audit.at.as_millis()])?;
    audit::append(tx, &change.audit)?;
    Ok(true)
}

fn parse(row: &Row<'_>) -> Result<RedeliveryJob> {
    let cells = Cells::new("jobs", row);
    Ok(RedeliveryJob {
        id: cells.id("id", JobId::from_bytes)?,
        organization: cells.id("organization_id", OrganizationId::from_bytes)?,
        spec: cells.json("spec")?,
        state: cells.parsed("state", state)?,
        problem: cells.get("problem")?,
        range: JobRange { start: cells.get("start_seq")?, next: cells.get("next_seq")?, end: cells.get("end_seq")? },
        looked_at: cells.unsigned("looked_at")?,
        matched: cells.unsigned("matched")?,
        redelivered: cells.unsigned("redelivered")?,
        actor: cells.get("actor")?,
        created_at: cells.time("created_at_ms")?,
        updated_at: cells.time("updated_at_ms")?,
    })
}

fn state_text(state: JobState) -> &'static str {
    match state {
        JobState::Running => "running",
        JobState::Paused => "paused",
        JobState::Done => "done",
        JobState::Cancelled => "cancelled",
        JobState::Failed => "failed",
    }
}

fn state(text: &str) -> Option<JobState> {
    let all = [JobState::Running, JobState::Paused, JobState::Done, JobState::Cancelled, JobState::Failed];
    all.into_iter().find(|state| state_text(*state) == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn every_look_walks_an_index_in_its_order() {
        let other = OrganizationId::from_bytes([1; 16]);
        let looks =
            [OrganizationId::DEFAULT, other].map(|organization| [false, true].map(|of| selection(organization, of)));
        for sql in looks.into_iter().flatten().chain([RUNNING.to_owned()]) {
            let plan = plan(&sql);
            let detour = |step: &String| {
                (step.starts_with("SCAN jobs") && !step.contains("jobs_running"))
                    || step.starts_with("SCAN events")
                    || step.starts_with("USE TEMP")
            };
            assert!(!plan.iter().any(detour), "{plan:?}");
        }
    }
}
