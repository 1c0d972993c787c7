//! How a PostgreSQL database stands: see `store::status`.

use super::side::{self, Side};
use super::{Access, migrate, room};
use crate::store::moving::MoveError;
use crate::store::status::{GROWING, Rows, Status};

/// Its version, its size, the oldest transaction that holds a snapshot, and rows that are dead.
const LOOK: &str = "select current_setting('server_version') as version, pg_database_size(current_database()) as size,
    (select extract(epoch from max(clock_timestamp() - xact_start))::bigint from pg_stat_activity
        where datname = current_database() and backend_xmin is not null and pid <> pg_backend_pid()) as snapshot_s,
    (select coalesce(sum(n_dead_tup), 0)::bigint from pg_stat_user_tables) as dead";

/// Rows of a table and its partitions, as the database keeps count of them.
const ROWS: &str = "with recursive parts (id) as (select to_regclass($1)::oid union all
        select inhrelid from pg_inherits join parts on inhparent = id)
    select coalesce(sum(pg_stat_get_live_tuples(id)), 0)::bigint as rows from parts";

const OUTSTANDING: &str =
    "select count(*) as count, min(due_at_ms) as oldest from deliveries where due_at_ms is not null";

/// The status of the database at an address.
pub(in crate::store) fn status(access: &Access) -> Result<Status, MoveError> {
    let side = Side::open(access)?;
    let schema = side.schema()?;
    let look = side.ask(side.client.query_one(LOOK, &[]))?;
    let number = |value: i64| u64::try_from(value).unwrap_or(0);
    let (mut outstanding, mut oldest_due_at_ms, mut rows, mut locks) = (0, None, Vec::new(), None);
    if schema > 0 {
        locks = Some(side.ask(room::room(&side.client))?);
        let row = side.ask(side.client.query_one(OUTSTANDING, &[]))?;
        (outstanding, oldest_due_at_ms) = (number(row.get("count")), row.get("oldest"));
        for table in GROWING {
            let row = side.ask(side.client.query_one(ROWS, &[&table]))?;
            rows.push(Rows { table, rows: number(row.get("rows")), is_about: true });
        }
    }
    Ok(Status {
        database: side.way.name.clone(),
        kept_by: format!("PostgreSQL {}", look.get::<_, String>("version")),
        schema: u32::try_from(schema).unwrap_or(0),
        newest_schema: u32::try_from(migrate::newest()).unwrap_or(0),
        size_bytes: number(look.get("size")),
        rows,
        outstanding,
        oldest_due_at_ms,
        oldest_snapshot_s: look.get::<_, Option<i64>>("snapshot_s").map(number),
        dead_rows: Some(number(look.get("dead"))),
        locks,
        unfinished_copy_of: side.ask(side::note(&side.client))?.map(|note| note.origin()),
    })
}
