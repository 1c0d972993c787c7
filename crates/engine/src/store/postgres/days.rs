//! Days: each of the large tables is split by ranges of places, a day by the database's clock for each, made ahead.
//! Owns which partitions there are, and that places go on in the day's own range; how a day goes is [`old`]'s.

use tokio_postgres::{Client, Error};

use super::turns::turn;

pub(in crate::store) mod old;

/// The places of day `d` are `d << BITS` up to those of the next: 3 million in a second, and fewer than 2^53 until 2109.
const BITS: u32 = 38;

/// The Unix epoch's day of 2020-01-01, from which days are counted.
const FIRST: i64 = 18_262;

const DAY_MS: i64 = 86_400_000;

/// For how many days there is room after today: so long may nobody have looked.
const AHEAD: i64 = 3;

/// Whoever makes partitions waits for nobody who holds a table, and nobody waits for them. One node at a time makes them.
const MAKING: &str = concat!("set local lock_timeout = '2s'; select pg_advisory_xact_lock(", turn!(making_days), ")");

/// Those whose ranges are places of events; the first holds the events themselves.
const OF_EVENTS: [&str; 3] = ["events", "bodies", "passed_over"];

/// Those whose ranges are places of deliveries; the first holds the deliveries themselves.
const OF_DELIVERIES: [&str; 3] = ["deliveries_rest", "attempts", "outputs"];

const SEQUENCES: [&str; 3] = ["events_seq", "deliveries_seq", "attempts_seq"];

/// The first place of a day.
fn start(day: i64) -> i64 {
    day << BITS
}

/// The day of a time by the database's clock.
fn day_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(DAY_MS) - FIRST
}

/// A partition of one of the large tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    /// What was there before the first day: what came from a store without days.
    Before,
    /// A day's.
    Day(i64),
    /// What of a day outlives it.
    Kept(i64),
}

impl Piece {
    fn of(table: &str, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(table)?.strip_prefix('_')?;
        if rest == "before" {
            return Some(Self::Before);
        }
        let day = rest.strip_prefix("day_")?;
        match day.strip_suffix("_kept") {
            Some(day) => day.parse().ok().map(Self::Kept),
            None => day.parse().ok().map(Self::Day),
        }
    }

    fn name(self, table: &str) -> String {
        match self {
            Self::Before => format!("{table}_before"),
            Self::Day(day) => format!("{table}_day_{day}"),
            Self::Kept(day) => format!("{table}_day_{day}_kept"),
        }
    }

    fn day(self) -> Option<i64> {
        match self {
            Self::Before => None,
            Self::Day(day) | Self::Kept(day) => Some(day),
        }
    }
}

/// The database's time.
async fn now_ms(client: &Client) -> Result<i64, Error> {
    Ok(client.query_one("select now_ms()", &[]).await?.get(0))
}

/// The partitions of a table that there are.
async fn pieces(client: &impl tokio_postgres::GenericClient, table: &str) -> Result<Vec<Piece>, Error> {
    let sql = "select cast(c.relname as text) from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent = cast(cast($1 as text) as regclass)";
    let rows = client.query(sql, &[&table]).await?;
    Ok(rows.iter().filter_map(|row| Piece::of(table, row.get(0))).collect())
}

/// Makes room for today and the coming days, and lets places go on in today's range. Places never go back, whatever the
/// clock does; where a day has no room they go on in the last one that has some.
pub(super) async fn prepare(client: &mut Client) -> Result<(), Error> {
    let today = day_of(now_ms(client).await?);
    if !is_prepared(client, today).await? {
        make(client, today).await?;
        advance(client, today).await?;
    }
    Ok(())
}

/// Those of which PostgreSQL never counts by itself what there is in all parts together: without that a join over them can go
/// through one of the tables as a whole.
const MEASURED: [&str; 5] = ["events", "bodies", "deliveries", "attempts", "dedup"];

/// Lets PostgreSQL know how much there is, once a day, at one node. It takes as long as it takes, so the connection is good for
/// nothing else afterwards.
pub(super) async fn measure(client: &Client) -> Result<(), Error> {
    let asked = concat!("select pg_try_advisory_lock(", turn!(measuring), ")");
    if !client.query_one(asked, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    client.batch_execute("set statement_timeout = 0").await?;
    let begins = (day_of(now_ms(client).await?) + FIRST) * DAY_MS;
    let asked = "select cast(relname as text) from pg_stat_user_tables
                 where schemaname = current_schema() and relname = any($1)
                     and coalesce(extract(epoch from last_analyze) * 1000, 0) < $2::bigint";
    for row in client.query(asked, &[&&MEASURED[..], &begins]).await? {
        client.batch_execute(&format!("analyze {}", row.get::<_, &str>(0))).await?;
    }
    Ok(())
}

async fn is_prepared(client: &Client, today: i64) -> Result<bool, Error> {
    for table in OF_EVENTS.into_iter().chain(OF_DELIVERIES) {
        if newest(&pieces(client, table).await?).is_none_or(|newest| newest < today + AHEAD) {
            return Ok(false);
        }
    }
    let sql = "select min(last_value) from (select last_value from events_seq union all
               select last_value from deliveries_seq union all select last_value from attempts_seq) as given";
    Ok(client.query_one(sql, &[]).await?.get::<_, i64>(0) >= start(today))
}

fn newest(pieces: &[Piece]) -> Option<i64> {
    pieces.iter().filter_map(|piece| piece.day()).max()
}

/// Makes the partitions that are missing, each behind the newest. One that is attached blocks neither readers nor writers.
async fn make(client: &mut Client, today: i64) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(MAKING).await?;
    for table in OF_EVENTS.into_iter().chain(OF_DELIVERIES) {
        let newest = newest(&pieces(&transaction, table).await?);
        if newest.is_none() {
            let from = "minvalue".to_owned();
            transaction.batch_execute(&attached(table, Piece::Before, &from, start(today))).await?;
        }
        for day in newest.map_or(today, |newest| today.max(newest + 1))..=today + AHEAD {
            let from = start(day).to_string();
            transaction.batch_execute(&attached(table, Piece::Day(day), &from, start(day + 1))).await?;
        }
    }
    transaction.commit().await
}

/// Statements that make a partition.
fn attached(table: &str, piece: Piece, from: &str, to: i64) -> String {
    let name = piece.name(table);
    format!("create table {name} (like {table} including all); {}", attach(table, &name, from, to))
}

/// Makes a table a partition of another.
fn attach(table: &str, name: &str, from: &str, to: i64) -> String {
    format!("alter table {table} attach partition {name} for values from ({from}) to ({to});")
}

/// Lets the sequences go on in a day's range, for which there is room by now. None goes back.
async fn advance(client: &mut Client, today: i64) -> Result<(), Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(MAKING).await?;
    for sequence in SEQUENCES {
        let sql = format!("select setval('{sequence}', $1) from {sequence} where last_value < $1");
        transaction.query(&sql, &[&start(today)]).await?;
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_known_by_its_name() {
        for piece in [Piece::Before, Piece::Day(0), Piece::Day(2_517), Piece::Kept(2_517)] {
            for table in OF_EVENTS.into_iter().chain(OF_DELIVERIES) {
                assert_eq!(Piece::of(table, &piece.name(table)), Some(piece));
            }
        }
        assert_eq!(Piece::of("events", "events_of_mine"), None);
        assert_eq!(Piece::of("events", "bodies_day_1"), None);
    }

    #[test]
    fn days_are_counted_from_2020_and_their_places_fit_a_double() {
        assert_eq!(day_of(1_577_836_800_000), 0);
        assert_eq!(day_of(1_577_836_799_999), -1);
        assert_eq!(day_of(1_577_836_800_000 + 2_517 * DAY_MS + 5), 2_517);
        assert!(start(32_768) <= 1 << 53, "89 years");
    }
}
