//! Sums to which whoever commits on a shared database only adds rows: what each source keeps, and how often each secret was used.
//! Owns adding these rows up, so that they do not grow; who writes them is `postgres::ending`, and views show the sums.

use super::connection::Connection;
use super::failure::Result;

/// Adds changes to what they change, where they are rows of their own. Sums stay as they are.
pub(super) fn fold(connection: &Connection) -> Result<()> {
    if let Connection::Sqlite(_) = connection {
        return Ok(());
    }
    for sql in [FOLD_TOTALS, FOLD_USES] {
        connection.prepare_cached(sql)?.execute([])?;
    }
    Ok(())
}

const FOLD_TOTALS: &str = "with gone as (delete from source_total_changes returning *)
    insert into source_totals_folded (source_id, events, body_bytes)
    select source_id, cast(sum(events) as bigint), cast(sum(body_bytes) as bigint) from gone group by source_id
    on conflict (source_id) do update set events = source_totals_folded.events + excluded.events,
        body_bytes = source_totals_folded.body_bytes + excluded.body_bytes";

const FOLD_USES: &str = "with gone as (delete from secret_use_changes returning *),
        used as (select owner_kind, owner_id, version, cast(sum(count) as bigint) as count, min(first_ms) as first_ms,
            max(last_ms) as last_ms, max(accepted_ms) as accepted_ms from gone group by owner_kind, owner_id, version)
    update secrets s set uses = s.uses + used.count,
        first_used_at_ms = least(s.first_used_at_ms, used.first_ms),
        last_used_at_ms = greatest(s.last_used_at_ms, used.last_ms),
        last_accepted_at_ms = greatest(s.last_accepted_at_ms, used.accepted_ms)
    from used where s.owner_kind = used.owner_kind and s.owner_id = used.owner_id and s.version = used.version";
