//! How destinations fare, and what is held for them: held, drained, dropped, counted.
//! Owns every statement that holds or releases many deliveries at once; each is one walk over an index.

use async_trait::async_trait;

use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::resources::{move_on, note_change};
use super::rows::{Cells, first};
use super::writer::Tx;
use super::{SqlStore, audit, order};
use crate::clock::Timestamp;
use crate::ids::DestinationId;
use crate::model::{AuditEntry, Condition};
use crate::store::{Conditions, Drain, Owed, StoreError};

#[async_trait]
impl Conditions for SqlStore {
    async fn keep_condition(
        &self,
        destination: DestinationId,
        condition: Condition,
        now: Timestamp,
    ) -> std::result::Result<(), StoreError> {
        self.writer.submit(move |tx| keep(tx.connection, destination, &condition, now)).await
    }

    async fn resume(
        &self,
        destination: DestinationId,
        drain: Drain,
        since: Option<i64>,
        audit: AuditEntry,
    ) -> std::result::Result<u64, StoreError> {
        self.writer.submit(move |tx| resume(tx, destination, drain, since, &audit)).await
    }

    async fn owed(&self, destinations: Vec<DestinationId>) -> std::result::Result<Vec<Owed>, StoreError> {
        self.readers.read(move |connection| owed(connection, &destinations)).await
    }
}

fn keep(connection: &Connection, id: DestinationId, condition: &Condition, now: Timestamp) -> Result<()> {
    let sql = "select opened_at_ms is not null as open, state = 'active' as active from destinations where id = ?1";
    let before = first(connection, sql, [id.as_bytes()], |row| {
        let cells = Cells::new("destinations", row);
        Ok((cells.get::<bool>("open")?, cells.get::<bool>("active")?))
    })?;
    let Some((was_open, is_active)) = before else { return Err(missing(id)) };
    note_change(connection)?;
    let millis = Timestamp::as_millis;
    let opens = condition.open.map(|open| open.opens).or(condition.recovering.map(|recovering| recovering.opens));
    connection
        .prepare_cached(
            "update destinations set failing_since_ms = ?2, opened_at_ms = ?3, probe_at_ms = ?4, opens = ?5,
                closed_at_ms = ?6 where id = ?1",
        )?
        .execute(params![
            id.as_bytes(),
            condition.failing_since.map(millis),
            condition.open.map(|open| open.since.as_millis()),
            condition.open.map(|open| open.probe_at.as_millis()),
            opens.unwrap_or(0),
            condition.recovering.map(|recovering| recovering.since.as_millis()),
        ])?;
    match condition.open {
        Some(_) => hold_pending(connection, id, Some(now)),
        None if was_open && is_active => let_go(connection, id, now),
        None => Ok(()),
    }
}

/// Forgets how a destination fared.
pub(super) fn forget_condition(connection: &Connection, id: DestinationId) -> Result<()> {
    connection
        .prepare_cached(
            "update destinations set failing_since_ms = null, opened_at_ms = null, probe_at_ms = null, opens = 0,
                closed_at_ms = null where id = ?1",
        )?
        .execute([id.as_bytes()])?;
    Ok(())
}

/// A held delivery remembers when it was due: a breaker that opens and closes must not use up its schedule.
pub(super) const HOLD: &str = "update deliveries
    set state = 'held', state_at_ms = coalesce(?2, state_at_ms), resume_at_ms = due_at_ms, due_at_ms = null
    where destination_id = ?1 and due_at_ms is not null and +state = 'pending'";

pub(super) fn hold_pending(connection: &Connection, id: DestinationId, at: Option<Timestamp>) -> Result<()> {
    connection.prepare_cached(HOLD)?.execute(params![id.as_bytes(), at.map(Timestamp::as_millis)])?;
    Ok(())
}

/// What is held for its own sake (parked, or refused for good) has no time to resume at, and stays.
pub(super) const LET_GO: &str = "update deliveries
    set state = 'pending', state_at_ms = ?2, due_at_ms = resume_at_ms, resume_at_ms = null
    where destination_id = ?1 and state = 'held' and behind = 0 and resume_at_ms is not null";

fn let_go(connection: &Connection, id: DestinationId, now: Timestamp) -> Result<()> {
    connection.prepare_cached(LET_GO)?.execute(params![id.as_bytes(), now.as_millis()])?;
    Ok(())
}

/// Each of these times has passed, so the order is all that they say.
pub(super) const RELEASE: &str = "update deliveries
    set state = 'pending', due_at_ms = min(state_at_ms, coalesce(?2, state_at_ms)),
        state_at_ms = coalesce(?2, state_at_ms), resume_at_ms = null
    where destination_id = ?1 and state = 'held' and behind = 0";

pub(super) fn release(connection: &Connection, id: DestinationId, at: Option<Timestamp>) -> Result<usize> {
    connection.prepare_cached(RELEASE)?.execute(params![id.as_bytes(), at.map(Timestamp::as_millis)])
}

pub(super) const SPREAD: &str = "update deliveries
    set state = 'pending', due_at_ms = ?2 + place.number * 1000 / ?3, state_at_ms = ?2, resume_at_ms = null
    from (select seq as held_seq, row_number() over (order by state_at_ms, seq) - 1 as number from deliveries
          where destination_id = ?1 and state = 'held' and behind = 0) as place
    where seq = place.held_seq";

pub(super) const DROP: &str = "update deliveries
    set state = 'cancelled', state_at_ms = ?2, behind = 0, order_key = null, latest_key = null, resume_at_ms = null
    where destination_id = ?1 and state = 'held'";

fn resume(tx: &Tx<'_>, id: DestinationId, drain: Drain, since: Option<i64>, audit: &AuditEntry) -> Result<u64> {
    let connection = tx.connection;
    move_on(connection, since)?;
    let sql = "update destinations set state = 'active', disabled_reason = null where id = ?1";
    if connection.prepare_cached(sql)?.execute([id.as_bytes()])? == 0 {
        return Err(missing(id));
    }
    forget_condition(connection, id)?;
    if drain != Drain::Drop {
        order::rejoin(connection, id)?;
    }
    let at = audit.at.as_millis();
    let count = match drain {
        Drain::AtOnce => release(connection, id, Some(audit.at))?,
        Drain::Spread { per_s } => {
            connection.prepare_cached(SPREAD)?.execute(params![id.as_bytes(), at, per_s.max(1)])?
        }
        Drain::Drop => connection.prepare_cached(DROP)?.execute(params![id.as_bytes(), at])?,
    };
    let mut entry = audit.clone();
    entry.detail["held"] = serde_json::json!(count);
    audit::append(tx, &entry)?;
    Ok(count as u64)
}

/// Counts walk the two partial indexes that hold nothing but what is owed.
pub(super) const OWED: &str = "select n.id,
    (select count(*) from deliveries where destination_id = n.id and due_at_ms is not null) as outstanding,
    (select count(*) from deliveries where destination_id = n.id and state = 'held' and behind <> 1) as held,
    (select count(*) from deliveries where destination_id = n.id and state = 'held' and behind = 1) as waiting,
    (select min(due_at_ms) from deliveries where destination_id = n.id and due_at_ms is not null) as next_due_ms
    from destinations n where n.id = ?1";

fn owed(connection: &Connection, destinations: &[DestinationId]) -> Result<Vec<Owed>> {
    let owed = |id: &DestinationId| {
        first(connection, OWED, [id.as_bytes()], |row| {
            let cells = Cells::new("destinations", row);
            Ok(Owed {
                destination: cells.id("id", DestinationId::from_bytes)?,
                outstanding: cells.unsigned("outstanding")?,
                held: cells.unsigned("held")?,
                waiting: cells.unsigned("waiting")?,
                next_due: cells.optional_time("next_due_ms")?,
            })
        })
    };
    destinations.iter().filter_map(|id| owed(id).transpose()).collect()
}

fn missing(id: DestinationId) -> Failure {
    Failure::not_found(format!("destination `{id}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn whatever_is_done_with_what_is_owed_walks_that_and_nothing_else() {
        for (sql, index) in [
            (HOLD, "deliveries_outstanding"),
            (LET_GO, "deliveries_held"),
            (RELEASE, "deliveries_held"),
            (SPREAD, "deliveries_held"),
            (DROP, "deliveries_held"),
        ] {
            let plan = plan(sql);
            let walk = plan.iter().find(|step| step.contains(index));
            assert!(walk.is_some_and(|step| step.starts_with("SEARCH")), "{sql}: {plan:?}");
            assert!(!plan.iter().any(|step| step.starts_with("SCAN deliveries")), "{sql}: {plan:?}");
        }
        let plan = plan(OWED);
        assert_eq!(plan.iter().filter(|step| step.contains("COVERING INDEX deliveries_outstanding")).count(), 2);
        assert_eq!(plan.iter().filter(|step| step.contains("COVERING INDEX deliveries_held")).count(), 2, "{plan:?}");
    }
}
