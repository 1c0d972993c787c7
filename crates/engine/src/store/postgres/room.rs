//! Room for locks: a list takes one on each part of the large tables, and PostgreSQL has room for so many at once. Owns how many
//! that are and when it gets tight; that there are parts is `days`'.

use tokio_postgres::{Client, Error};

use crate::store::status::LockRoom;

/// Parts and indexes of the tables that a list looks at, and how many locks there is room for. PostgreSQL has some more room
/// than it says, but promises none.
const ASKED: &str = "with parts (id) as (
        select relid from unnest(array['events', 'deliveries', 'attempts']) as one, pg_partition_tree(to_regclass(one)))
    select (select count(*) from parts) + (select count(*) from pg_index where indrelid in (select id from parts)) as list,
        current_setting('max_locks_per_transaction')::bigint
            * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) as room";

/// Lists that one node may be asked for at once, unless it is known better.
const LISTS: u64 = 4;

/// How many locks there is room for.
pub(super) async fn room(client: &Client) -> Result<LockRoom, Error> {
    let row = client.query_one(ASKED, &[]).await?;
    let number = |column| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
    Ok(LockRoom { of_a_list: number("list"), room: number("room") })
}

/// Says so when the lists of one node could take all there is.
pub(super) async fn warn(client: &Client, database: &str) -> Result<(), Error> {
    let LockRoom { of_a_list, room } = room(client).await?;
    if (LockRoom { of_a_list, room }).is_tight() {
        tracing::warn!(
            database,
            of_a_list,
            room,
            "a list takes so many locks that a few at once can use up the database's: raise its max_locks_per_transaction, \
             or keep fewer days"
        );
    }
    Ok(())
}

impl LockRoom {
    /// Whether a few lists at once could take all there is: some would be answered with an error.
    pub fn is_tight(&self) -> bool {
        self.of_a_list.saturating_mul(LISTS) > self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tight_when_four_lists_do_not_fit() {
        assert!(!LockRoom { of_a_list: 1_600, room: 6_400 }.is_tight());
        assert!(LockRoom { of_a_list: 1_601, room: 6_400 }.is_tight());
    }
}
