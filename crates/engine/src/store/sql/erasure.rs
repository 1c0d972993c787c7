//! Taking an organization away. What belongs to one is found in the schema: every table with an `organization_id`, so that
//! no table that comes later is forgotten; and those that hang on its sources and destinations.

use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::rows::{Cells, all, first};
use super::writer::Tx;
use super::{audit, retention};
use crate::ids::OrganizationId;
use crate::model::AuditEntry;
use crate::store::StoreError;

/// The audit log stays: it says what was done, and each of its rows vouches for those before. The organization's own row
/// goes last.
const STAYING: [&str; 2] = ["audit", "organizations"];

/// The oldest events of an organization other than the default one.
pub(super) const OLDEST: &str = "select seq from events
    where organization_id = ?1 and organization_id <> x'01900000000070008000000000000001' order by seq limit ?2";

/// Dedup keys of an organization's sources.
const DEDUP: &str = "delete from dedup where (source_id, kind, key) in
    (select source_id, kind, key from dedup
     where source_id in (select id from sources where organization_id = ?1) limit ?2)";

pub(super) fn events(tx: &Tx<'_>, organization: OrganizationId, limit: u32) -> Result<bool> {
    if !retention::may_take(tx.connection)? {
        return Err(Failure::Answer(StoreError::Unavailable("a day of events is being dropped".to_owned())));
    }
    let id = organization.as_bytes();
    let seqs = all(&mut tx.connection.prepare_cached(OLDEST)?, params![id, limit], |row| {
        Cells::new("events", row).get::<i64>("seq")
    })?;
    for seq in &seqs {
        let run = |sql: &str| tx.connection.prepare_cached(sql)?.execute([seq]);
        run("delete from once where event_seq = ?1")?;
        run("delete from outputs where delivery_seq in (select seq from deliveries where event_seq = ?1)")?;
        run("delete from attempts where delivery_seq in (select seq from deliveries where event_seq = ?1)")?;
        run("delete from deliveries where event_seq = ?1")?;
        run("delete from passed_over where event_seq = ?1")?;
        run("delete from bodies where event_seq = ?1")?;
        run("delete from events where seq = ?1")?;
    }
    let keys = tx.connection.prepare_cached(DEDUP)?.execute(params![id, limit])?;
    Ok(seqs.len() == limit as usize || keys == limit as usize)
}

pub(super) fn rest(tx: &Tx<'_>, organization: OrganizationId) -> Result<()> {
    let id = organization.as_bytes();
    let owned = "select id from sources where organization_id = ?1
                 union all select id from destinations where organization_id = ?1";
    let owners =
        all(&mut tx.connection.prepare_cached(owned)?, [id], |row| Cells::new("sources", row).get::<[u8; 16]>("id"))?;
    for owner in owners {
        for sql in [
            "delete from secrets where owner_id = ?1",
            "delete from source_totals where source_id = ?1",
            "delete from once where source_id = ?1 or destination_id = ?1",
            "delete from meta where name in ('seed:src_' || lower(hex(?1)), 'seed:dst_' || lower(hex(?1)))
             or glob('seed:dst_' || lower(hex(?1)) || ':*', name)",
        ] {
            tx.connection.prepare_cached(sql)?.execute([&owner])?;
        }
    }
    for table in belonging(tx.connection)? {
        tx.connection.prepare_cached(&format!("delete from \"{table}\" where organization_id = ?1"))?.execute([id])?;
    }
    Ok(())
}

/// Every table whose rows belong to an organization, but for those that stay.
fn belonging(connection: &Connection) -> Result<Vec<String>> {
    let sql = match connection {
        Connection::Sqlite(_) => {
            "select t.name from pragma_table_list t join pragma_table_info(t.name) c
             where t.schema = 'main' and t.type = 'table' and c.name = 'organization_id' order by t.name"
        }
        Connection::Postgres(_) => {
            "select cast(c.relname as text) as name from pg_class c join pg_attribute a on a.attrelid = c.oid
             where c.relnamespace = cast(current_schema() as regnamespace) and c.relkind in ('r', 'p')
                 and not c.relispartition and a.attname = 'organization_id' order by c.relname"
        }
    };
    let mut tables = all(&mut connection.prepare_cached(sql)?, [], |row| Cells::new("schema", row).get("name"))?;
    tables.retain(|table: &String| !STAYING.contains(&table.as_str()));
    Ok(tables)
}

pub(super) fn row(tx: &Tx<'_>, organization: OrganizationId, entry: &AuditEntry) -> Result<bool> {
    let id = organization.as_bytes();
    for table in belonging(tx.connection)? {
        let sql = format!("select 1 as seq from \"{table}\" where organization_id = ?1 limit 1");
        if first(tx.connection, &sql, [id], |_| Ok(()))?.is_some() {
            return Ok(false);
        }
    }
    let gone = tx.connection.prepare_cached("delete from organizations where id = ?1")?.execute([id])?;
    if gone == 0 {
        return Err(Failure::not_found(format!("organization `{organization}`")));
    }
    audit::append(tx, entry)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn a_step_walks_indexes_only() {
        for sql in [OLDEST, DEDUP] {
            let plan = plan(sql);
            let detour = |step: &String| step.starts_with("SCAN dedup") || step.starts_with("SCAN events");
            assert!(!plan.iter().any(detour), "{plan:?}");
        }
    }
}
