//! Nodes: each writes itself down, looks for what the others did, and is listed.

use super::connection::{Connection, params};
use super::failure::Result;
use super::resources;
use super::rows::{Cells, all, first, integer};
use crate::ids::NodeId;
use crate::model::{Node, NodeState};
use crate::store::{Sight, Wear, WornTable};

/// For how long a node is remembered that is not seen any more.
const KEPT_MS: i64 = 86_400_000;

/// How many tables are told of.
const TABLES: i64 = 8;

/// The database's clock, in milliseconds. SQLite's is this process's, which says when itself.
const DATABASE_MS: &str = "(extract(epoch from clock_timestamp()) * 1000)::bigint";

pub(super) fn check_in(connection: &Connection, node: &Node) -> Result<()> {
    let now = match connection {
        Connection::Sqlite(_) => "?6",
        // The value that is given is not used, but has to be of some type.
        Connection::Postgres(_) => &format!("coalesce({DATABASE_MS}, ?6)"),
    };
    let write = format!(
        "insert into nodes (id, name, address, version, started_at_ms, seen_at_ms, state, declared, leases,
            clock_ahead_ms)
         values (?1, ?2, ?3, ?4, ?5, {now}, ?7, ?8, ?9, ?10)
         on conflict (id) do update set address = excluded.address, seen_at_ms = excluded.seen_at_ms,
            state = excluded.state, declared = excluded.declared, leases = excluded.leases,
            clock_ahead_ms = excluded.clock_ahead_ms"
    );
    connection.prepare_cached(&write)?.execute(params![
        node.id.as_bytes(),
        node.name,
        node.address,
        node.version,
        node.started_at.as_millis(),
        node.seen_at.as_millis(),
        node.state.name(),
        node.declared,
        integer(node.leases),
        node.clock_ahead_ms,
    ])?;
    let old = "delete from nodes where seen_at_ms < (select seen_at_ms from nodes where id = ?1) - ?2";
    connection.prepare_cached(old)?.execute(params![node.id.as_bytes(), KEPT_MS])?;
    Ok(())
}

pub(super) fn list(connection: &Connection) -> Result<Vec<Node>> {
    let mut statement = connection.prepare_cached("select * from nodes order by started_at_ms, id")?;
    all(&mut statement, [], |row| {
        let cells = Cells::new("nodes", row);
        Ok(Node {
            id: cells.id("id", NodeId::from_bytes)?,
            name: cells.get("name")?,
            address: cells.get("address")?,
            version: cells.get("version")?,
            started_at: cells.time("started_at_ms")?,
            seen_at: cells.time("seen_at_ms")?,
            state: cells.parsed("state", NodeState::named)?,
            declared: cells.get("declared")?,
            leases: cells.unsigned("leases")?,
            clock_ahead_ms: cells.get("clock_ahead_ms")?,
        })
    })
}

/// What others did, on a database whose schema may be at most one that asks for `known`.
pub(super) fn sight(connection: &Connection, known: i64) -> Result<Sight> {
    let revision = resources::revision(connection)?;
    let sql =
        format!("select {DATABASE_MS} as now_ms, (select max(number) from migrations where least > ?1) as beyond");
    let sight = first(connection, &sql, [known], |row| {
        let cells = Cells::new("nodes", row);
        Ok(Sight { revision, now: cells.time("now_ms")?, beyond: cells.get("beyond")? })
    })?;
    Ok(sight.expect("it is asked for one row"))
}

/// Only of the tables and transactions that the database's user may see; those of other users have no times for it.
pub(super) fn wear(connection: &Connection) -> Result<Option<Wear>> {
    let Connection::Postgres(_) = connection else { return Ok(None) };
    let sql = "select max((extract(epoch from clock_timestamp() - xact_start) * 1000)::bigint) as oldest_ms
        from pg_stat_activity
        where datname = current_database() and backend_xmin is not null and pid <> pg_backend_pid()";
    let oldest = first(connection, sql, [], |row| Cells::new("pg_stat_activity", row).get::<Option<i64>>("oldest_ms"))?;
    let sql = "select relname::text as name, n_live_tup as live, n_dead_tup as dead from pg_stat_user_tables
        where schemaname = current_schema() and n_live_tup + n_dead_tup > 0
        order by n_dead_tup desc, relname limit ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let tables = all(&mut statement, [TABLES], |row| {
        let cells = Cells::new("pg_stat_user_tables", row);
        Ok(WornTable { name: cells.get("name")?, live: cells.unsigned("live")?, dead: cells.unsigned("dead")? })
    })?;
    let oldest_snapshot_ms = oldest.flatten().map(|ms| ms.max(0).unsigned_abs());
    Ok(Some(Wear { oldest_snapshot_ms, tables }))
}
