//! Brings the database's schema to the newest known, forward only.
//! Owns the list of migrations; what they say is in `migrations/sqlite/`.

use std::path::Path;

use rusqlite::{Connection, params};

use super::OpenError;
use crate::model::{Facts, Head};
use crate::store::sql::audit;

/// One step; its number is its place in the list, from 1. A released one is never edited.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration { name: "corridor", sql: include_str!("../../../migrations/sqlite/0001_corridor.sql") },
    Migration { name: "inbound", sql: include_str!("../../../migrations/sqlite/0002_inbound.sql") },
    Migration { name: "organizations", sql: include_str!("../../../migrations/sqlite/0003_organizations.sql") },
    Migration { name: "accounts", sql: include_str!("../../../migrations/sqlite/0004_accounts.sql") },
    Migration { name: "audit_chain", sql: include_str!("../../../migrations/sqlite/0005_audit_chain.sql") },
    Migration { name: "declared", sql: include_str!("../../../migrations/sqlite/0006_declared.sql") },
    Migration { name: "idempotency", sql: include_str!("../../../migrations/sqlite/0007_idempotency.sql") },
    Migration { name: "outbound", sql: include_str!("../../../migrations/sqlite/0008_outbound.sql") },
    Migration { name: "held", sql: include_str!("../../../migrations/sqlite/0009_held.sql") },
    Migration { name: "event_types", sql: include_str!("../../../migrations/sqlite/0010_event_types.sql") },
    Migration { name: "tallies", sql: include_str!("../../../migrations/sqlite/0011_tallies.sql") },
    Migration { name: "proved", sql: include_str!("../../../migrations/sqlite/0012_proved.sql") },
    Migration { name: "activity", sql: include_str!("../../../migrations/sqlite/0013_activity.sql") },
    Migration { name: "schemes", sql: include_str!("../../../migrations/sqlite/0014_schemes.sql") },
    Migration { name: "nodes", sql: include_str!("../../../migrations/sqlite/0015_nodes.sql") },
    Migration { name: "leases", sql: include_str!("../../../migrations/sqlite/0016_leases.sql") },
];

/// What a migration does that cannot be said in SQL; it comes after the SQL.
type Step = fn(&Connection) -> rusqlite::Result<()>;

/// By the migration's name.
const STEPS: &[(&str, Step)] = &[("audit_chain", chain_what_there_was)];

/// The newest schema known.
pub(in crate::store) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("there are few migrations")
}

/// The number of the migration of this name.
pub(super) fn number_of(name: &str) -> u32 {
    let index = MIGRATIONS.iter().position(|migration| migration.name == name);
    index.and_then(|index| u32::try_from(index + 1).ok()).expect("it is a migration's name")
}

/// The schema of a database; 0 of one without any.
pub(in crate::store) fn found(connection: &Connection) -> rusqlite::Result<u32> {
    let is_new: bool = connection.query_row(
        "select not exists (select 1 from sqlite_schema where type = 'table' and name = 'migrations')",
        [],
        |row| row.get(0),
    )?;
    match is_new {
        true => Ok(0),
        false => connection.query_row("select coalesce(max(number), 0) from migrations", [], |row| row.get(0)),
    }
}

/// The names of the migrations after schema `found`.
pub(in crate::store) fn after(found: u32) -> impl Iterator<Item = &'static str> {
    MIGRATIONS.iter().skip(found as usize).map(|migration| migration.name)
}

/// A database in memory that was just made.
pub(in crate::store) fn in_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    make(&connection)?;
    Ok(connection)
}

/// Gives a new database the newest schema, without a word in the log.
pub(super) fn make(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(TABLE)?;
    (1..).zip(MIGRATIONS).try_for_each(|(number, migration)| apply(connection, number, migration))
}

/// What tells which migrations a database has.
const TABLE: &str = "create table if not exists migrations (number integer primary key, name text not null) strict";

/// Applies every migration that `connection`'s database does not have yet, each in a transaction of its own.
pub(super) fn run(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |cause| OpenError::Database { path: path.to_owned(), cause };
    connection.execute_batch(TABLE).map_err(failed)?;
    let found = found(connection).map_err(failed)?;
    let known = newest();
    if found > known {
        return Err(OpenError::SchemaTooNew { path: path.to_owned(), found, known });
    }
    for (number, migration) in (1..).zip(MIGRATIONS).skip(found as usize) {
        apply(connection, number, migration).map_err(failed)?;
        tracing::info!(number, name = migration.name, "migrated the database");
    }
    Ok(())
}

fn apply(connection: &Connection, number: u32, migration: &Migration) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(migration.sql)?;
    for (_, step) in STEPS.iter().filter(|(name, _)| *name == migration.name) {
        step(&transaction)?;
    }
    transaction.execute("insert into migrations (number, name) values (?1, ?2)", (number, migration.name))?;
    transaction.commit()
}

/// Chains what the log had before there was a chain, in its order.
fn chain_what_there_was(connection: &Connection) -> rusqlite::Result<()> {
    let mut before = connection.prepare("select * from audit_unchained order by seq")?;
    let mut insert = connection.prepare(audit::INSERT)?;
    let mut head = Head::START;
    let mut rows = before.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let organization: [u8; 16] = row.get("organization_id")?;
        let facts = Facts {
            organization: &organization,
            at_ms: row.get("at_ms")?,
            actor: text("actor")?.as_bytes(),
            address: text("address")?.as_bytes(),
            action: text("action")?.as_bytes(),
            target: text("target")?.as_bytes(),
            detail: text("detail")?.as_bytes(),
        };
        head = head.then(&facts);
        insert.execute(params![
            head.seq,
            organization,
            facts.at_ms,
            text("actor")?,
            text("address")?,
            text("action")?,
            text("target")?,
            text("detail")?,
            head.hash.as_bytes(),
        ])?;
    }
    drop(rows);
    drop(before);
    connection.execute_batch("drop table audit_unchained")
}

#[cfg(test)]
pub(in crate::store) mod tests {
    use super::*;
    use crate::model::{ChainRow, Verifier};
    use crate::store::AuditRange;
    use crate::store::sql::connection as sql;

    /// The steps that SQLite would take for a statement on the newest schema.
    pub(in crate::store) fn plan(sql: &str) -> Vec<String> {
        let connection = Connection::open_in_memory().unwrap();
        run(&connection, Path::new("in memory")).unwrap();
        let mut statement = connection.prepare(&format!("explain query plan {sql}")).unwrap();
        statement.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn migrating_again_changes_nothing() {
        let connection = Connection::open_in_memory().unwrap();
        run(&connection, Path::new("in memory")).unwrap();
        run(&connection, Path::new("in memory")).unwrap();
        let applied: u32 = connection.query_row("select count(*) from migrations", [], |row| row.get(0)).unwrap();
        assert_eq!(applied as usize, MIGRATIONS.len());
    }

    #[test]
    fn a_log_from_before_there_was_a_chain_is_chained_in_its_order() {
        let connection = before("audit_chain");
        let insert = "insert into audit (at_ms, actor, action, target, detail, address)
                      values (?1, 'key:bootstrap', 'secret.reveal', 'source:github', '{\"version\":1}', '192.0.2.7')";
        (0..1_000).for_each(|n| assert_eq!(connection.execute(insert, [n]).unwrap(), 1));
        run(&connection, Path::new("in memory")).unwrap();
        let connection = sql::Connection::Sqlite(connection);
        let (mut verifier, range) =
            (Verifier::whole(), AuditRange { organization: None, after: 0, until: 2_000, limit: 2_000 });
        for row in audit::rows(&connection, range).unwrap() {
            assert_eq!((row.at.as_millis(), row.address.as_str()), (row.seq - 1, "192.0.2.7"));
            let (prev, hash) = (Some(row.prev.as_bytes().as_slice()), row.hash.as_bytes());
            verifier.check(&ChainRow { seq: row.seq, facts: row.facts(), prev, hash }).unwrap();
        }
        let checked = verifier.finish().unwrap();
        assert_eq!((checked.rows, checked.head), (1_000, audit::head(&connection).unwrap()));
    }

    /// A database as it was before the migration of this name.
    fn before(name: &str) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table migrations (number integer primary key, name text not null)").unwrap();
        for (number, migration) in (1..number_of(name)).zip(MIGRATIONS) {
            apply(&connection, number, migration).unwrap();
        }
        connection
    }

    #[test]
    fn what_signed_goes_on_signing_as_one_of_several() {
        let connection = before("outbound");
        connection
            .execute_batch(
                r#"insert into destinations (id, organization_id, name, spec, state, created_at_ms) values
                    (zeroblob(16), zeroblob(16), 'signing', '{"signing":{"scheme":"github"},"grace_s":1}', 'active', 0),
                    (x'01010101010101010101010101010101', zeroblob(16), 'bare', '{"signing":null}', 'active', 0);
                   insert into secrets (owner_kind, owner_id, version, key_id, wrapped_key, ciphertext, not_before_ms,
                        created_at_ms, origin)
                   values ('destination', zeroblob(16), 1, '', x'', x'', 0, 0, ''),
                        ('destination', x'01010101010101010101010101010101', 1, '', x'', x'', 0, 0, ''),
                        ('source', zeroblob(16), 1, '', x'', x'', 0, 0, '');"#,
            )
            .unwrap();
        run(&connection, Path::new("in memory")).unwrap();
        let texts = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let specs = texts("select spec from destinations order by name desc");
        assert_eq!(specs, [r#"{"signing":[{"scheme":"github"}],"grace_s":1}"#, r#"{"signing":[]}"#]);
        assert_eq!(texts("select purpose from secrets order by purpose desc"), ["github", "", ""]);
    }
}
