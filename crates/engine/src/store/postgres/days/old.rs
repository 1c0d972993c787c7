//! A day that goes as a whole: its partitions are dropped in one transaction once everything in it is too old and nothing is
//! owed. Owns what may go so, and what outlives it: rows to which dedup keys still lead, and bodies that others share.
//! Which events are too old is the caller's to say; what cannot go with its day goes by its row, as `sql::retention` does it.

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, Transaction};

use super::{BITS, OF_DELIVERIES, OF_EVENTS, Piece, day_of, now_ms, pieces, start};
use crate::clock::Timestamp;
use crate::ids::SourceId;
use crate::store::Old;
use crate::store::postgres::turns::turn;
use crate::store::sql::headers;
use crate::store::sql::rows::integer;

/// The turn of whoever drops a day.
const TURN: &str = concat!("select pg_try_advisory_xact_lock(", turn!(dropping_days), ")");

/// See [`TURN`]: the side of those who take rows away.
pub(in crate::store) const BY_ROW: &str =
    concat!("select pg_try_advisory_xact_lock_shared(", turn!(dropping_days), ") as free");

/// Whoever holds a table longer than this keeps the day until the next time; so long others may wait behind the drop.
const LIMITS: &str = "set local lock_timeout = '200ms'; set local statement_timeout = '60s'";

/// What took a place of a day just before its end is committed by then.
const STRAGGLERS_MS: i64 = 3_600_000;

/// How far apart the order of commits and that of arrival can be.
const OUT_OF_ORDER_MS: i64 = 60_000;

/// Rows that are taken away in one step.
const STEP: i64 = 5_000;

/// A day of which more rows outlive it is left to go by its rows.
const KEPT_MAX: i64 = 200_000;

/// Where imported rows are, which came without days: before the second day there could be.
const IMPORTED: (i64, i64) = (i64::MIN, 1 << BITS);

/// Drops what of past days may go. Returns how many days went.
pub(in crate::store) async fn drop_old(client: &mut Client, old: &Old) -> Result<u32, Error> {
    let given = "select least((select last_value from events_seq), (select last_value from deliveries_seq))";
    let reached = client.query_one(given, &[]).await?.get::<_, i64>(0) >> BITS;
    let today = day_of(now_ms(client).await? - STRAGGLERS_MS).min(reached);
    let of_events = pieces(client, OF_EVENTS[0]).await?;
    let mut days: Vec<i64> =
        of_events.iter().chain(&pieces(client, OF_DELIVERIES[0]).await?).filter_map(|piece| piece.day()).collect();
    days.retain(|day| *day < today);
    days.sort_unstable();
    days.dedup();
    let mut dropped = 0;
    for day in days {
        let mut outcome = drop_day(client, day, old).await;
        while matches!(outcome, Ok(Outcome::Trimmed)) {
            outcome = drop_day(client, day, old).await;
        }
        match outcome {
            Ok(Outcome::Dropped) => {
                dropped += 1;
                forget_runs(client, day).await?;
            }
            Ok(Outcome::Left | Outcome::Trimmed) => {}
            Ok(Outcome::Enough) => break,
            Err(error) if is_held(&error) => {
                tracing::debug!(day, %error, "a day that is over stays until its tables are free");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(dropped)
}

/// Whether somebody held what was asked for.
fn is_held(error: &Error) -> bool {
    error.code().is_some_and(|code| [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Dropped,
    /// Something in it stays.
    Left,
    /// Some rows went that belong to it; there may be more.
    Trimmed,
    /// Later days have no more to go, or it is another's turn.
    Enough,
}

/// One day on its way out.
struct Going<'t> {
    transaction: Transaction<'t>,
    day: i64,
    /// Its events go.
    events: bool,
    /// Its deliveries go.
    deliveries: bool,
    /// The places of events that stay as they are.
    whole: Vec<(i64, i64)>,
}

/// What goes of the totals: of each source, events and bytes of bodies.
type Totals = Vec<(Vec<u8>, i64, i64)>;

async fn drop_day(client: &mut Client, day: i64, old: &Old) -> Result<Outcome, Error> {
    let transaction = client.transaction().await?;
    transaction.batch_execute(LIMITS).await?;
    if !transaction.query_one(TURN, &[]).await?.get::<_, bool>(0) {
        return Ok(Outcome::Enough);
    }
    let of_events = pieces(&transaction, OF_EVENTS[0]).await?;
    let of_deliveries = pieces(&transaction, OF_DELIVERIES[0]).await?;
    let mut going = Going { transaction, day, events: false, deliveries: false, whole: Vec::new() };
    if of_events.contains(&Piece::Kept(day)) {
        going.drop_emptied().await?;
    }
    if of_events.contains(&Piece::Day(day)) {
        match going.age(old).await? {
            Age::Old => going.events = !going.is_owed().await?,
            Age::Mixed => {}
            Age::Young => return Ok(Outcome::Enough),
        }
    }
    if going.events && going.trim().await? {
        going.transaction.commit().await?;
        return Ok(Outcome::Trimmed);
    }
    let stays = |piece: &&Piece| match piece {
        Piece::Before => true,
        Piece::Day(other) => !(going.events && *other == day),
        Piece::Kept(_) => false,
    };
    going.whole = of_events.iter().filter(stays).map(|piece| places(*piece)).collect();
    going.deliveries = of_deliveries.contains(&Piece::Day(day)) && !going.has_others().await?;
    if !going.events && !going.deliveries {
        going.transaction.commit().await?;
        return Ok(Outcome::Left);
    }
    going.drop(old).await
}

/// The places that a partition has.
fn places(piece: Piece) -> (i64, i64) {
    piece.day().map_or(IMPORTED, |day| (start(day), start(day + 1)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Old,
    Mixed,
    Young,
}

impl Going<'_> {
    fn first(&self) -> i64 {
        start(self.day)
    }

    fn end(&self) -> i64 {
        start(self.day + 1)
    }

    async fn run(&self, sql: &str) -> Result<u64, Error> {
        self.transaction.execute(sql, &[]).await
    }

    async fn is(&self, sql: &str) -> Result<bool, Error> {
        Ok(self.transaction.query_one(sql, &[]).await?.get(0))
    }

    /// Whether everything is too old: of each source, its newest event.
    async fn age(&self, old: &Old) -> Result<Age, Error> {
        let events = Piece::Day(self.day).name(OF_EVENTS[0]);
        let sql = format!(
            "with recursive one (source_id) as (
                 (select source_id from {events} order by source_id limit 1)
                 union all
                 select (select e.source_id from {events} e where e.source_id > one.source_id order by 1 limit 1)
                 from one where one.source_id is not null)
             select source_id, (select received_at_ms from {events} e where e.source_id = one.source_id
                                order by seq desc limit 1) from one where source_id is not null"
        );
        let latest = old.before.values().max().map_or(i64::MIN, |before| before.as_millis());
        let (mut all, mut any) = (true, false);
        for row in self.transaction.query(&sql, &[]).await? {
            let source = row.get::<_, &[u8]>(0).try_into().map(SourceId::from_bytes);
            let before = source.ok().and_then(|source| old.before.get(&source)).map(|before| before.as_millis());
            let received_at: i64 = row.get(1);
            all &= before.is_some_and(|before| received_at < before.saturating_sub(OUT_OF_ORDER_MS));
            any |= received_at < latest;
        }
        Ok(if all {
            Age::Old
        } else if any {
            Age::Mixed
        } else {
            Age::Young
        })
    }

    /// Whether anything of its events is outstanding or held.
    async fn is_owed(&self) -> Result<bool, Error> {
        let (first, end) = (self.first(), self.end());
        self.is(&format!(
            "select exists (select 1 from deliveries_outstanding where event_seq >= {first} and event_seq < {end})
                 or exists (select 1 from deliveries_rest
                            where event_seq >= {first} and event_seq < {end} and state = 'held')"
        ))
        .await
    }

    /// Deliveries of its events that were made on other days go by their rows. Returns whether there may be more.
    async fn trim(&self) -> Result<bool, Error> {
        let late = self.late();
        let sql = format!(
            "with late as (select seq from deliveries_rest where {late} limit {STEP}),
                 attempted as (delete from attempts where delivery_seq in (select seq from late)),
                 said as (delete from outputs where delivery_seq in (select seq from late))
             delete from deliveries_rest d using late where d.seq = late.seq"
        );
        Ok(self.run(&sql).await? == STEP.unsigned_abs())
    }

    /// Of deliveries, that they are of this day's events and were made on another.
    fn late(&self) -> String {
        let (first, end) = (self.first(), self.end());
        format!("event_seq >= {first} and event_seq < {end} and (seq < {first} or seq >= {end})")
    }

    /// Whether there are deliveries of events that stay among the day's.
    async fn has_others(&self) -> Result<bool, Error> {
        let deliveries = Piece::Day(self.day).name(OF_DELIVERIES[0]);
        let (from, to): (Vec<i64>, Vec<i64>) = self.whole.iter().copied().unzip();
        let sql = format!(
            "select exists (select 1 from deliveries_outstanding where seq >= $1 and seq < $2)
                 or exists (select 1 from unnest($3::bigint[], $4::bigint[]) as whole (first, behind)
                            where exists (select 1 from {deliveries} d
                                          where d.event_seq >= whole.first and d.event_seq < whole.behind))"
        );
        let row = self.transaction.query_one(&sql, &[&self.first(), &self.end(), &from, &to]).await?;
        Ok(row.get(0))
    }

    /// Drops what once outlived the day, when that is gone as well.
    async fn drop_emptied(&self) -> Result<(), Error> {
        for table in &OF_EVENTS[..2] {
            let kept = Piece::Kept(self.day).name(table);
            let is_there = format!("select to_regclass('{kept}') is not null");
            if self.is(&is_there).await? && !self.is(&format!("select exists (select 1 from {kept})")).await? {
                self.run(&format!("lock table only {table} in access exclusive mode")).await?;
                self.run(&format!("drop table {kept}")).await?;
            }
        }
        Ok(())
    }

    /// Drops what goes. Everything that takes long is done before the tables are locked, and looked at again after that.
    async fn drop(self, old: &Old) -> Result<Outcome, Error> {
        let mut totals = Totals::new();
        if self.events {
            if self.keep(old.now).await? > KEPT_MAX {
                return Ok(Outcome::Left);
            }
            totals = self.totals().await?;
        }
        let tables = || {
            let events = OF_EVENTS.iter().filter(|_| self.events);
            events.chain(OF_DELIVERIES.iter().filter(|_| self.deliveries))
        };
        for table in tables() {
            self.run(&format!("lock table only {table} in access exclusive mode")).await?;
        }
        if self.events && (self.is_owed().await? || self.is_wanted_anew().await?)
            || self.deliveries && self.has_others().await?
        {
            return Ok(Outcome::Left);
        }
        if self.events {
            // What did not run well gives its value back, as at events that go one by one.
            self.run(
                "delete from once o using staying l, deliveries d
                 where o.event_seq = l.seq and d.seq = o.delivery_seq and d.state <> 'delivered'",
            )
            .await?;
        }
        for table in tables() {
            self.run(&format!("drop table {}", Piece::Day(self.day).name(table))).await?;
        }
        if self.events {
            self.attach_kept().await?;
            totals.extend(self.free_earlier().await?);
        }
        for (source, events, bytes) in totals {
            let sql = "insert into source_total_changes (source_id, events, body_bytes) values ($1, $2, $3)";
            self.transaction.execute(sql, &[&source, &-events, &-bytes]).await?;
        }
        self.transaction.commit().await?;
        Ok(Outcome::Dropped)
    }

    /// Puts what outlives the day aside: rows of events to which a dedup key leads or whose body a later event shares, in
    /// their stripped form, and these bodies. Returns how many events.
    async fn keep(&self, now: Timestamp) -> Result<i64, Error> {
        let (first, end, now_ms) = (self.first(), self.end(), now.as_millis());
        let [events, bodies, _] = OF_EVENTS.map(|table| Piece::Day(self.day).name(table));
        let [kept, kept_bodies, _] = OF_EVENTS.map(|table| Piece::Kept(self.day).name(table));
        self.transaction
            .batch_execute(&format!(
                "create temporary table staying on commit drop as
                     select event_seq as seq, max(until_ms) as until_ms from (
                         select event_seq, expires_at_ms as until_ms from dedup
                         where event_seq >= {first} and event_seq < {end} and expires_at_ms > {now_ms}
                         union all
                         select body_seq, {now_ms} from events
                         where body_seq >= {first} and body_seq < {end} and not (seq >= {first} and seq < {end})) as one
                     group by event_seq;
                 create temporary table going on commit drop as
                     select distinct body_seq as seq from {events}
                     where body_seq is not null and not (body_seq >= {first} and body_seq < {end})"
            ))
            .await?;
        let count: i64 = self.transaction.query_one("select count(*) from staying", &[]).await?.get(0);
        if count == 0 || count > KEPT_MAX {
            return Ok(count);
        }
        self.transaction
            .batch_execute(&format!(
                "create table {kept} (like events including all);
                 insert into {kept} select e.* from {events} e join staying l on l.seq = e.seq;
                 create table {kept_bodies} (like bodies including all);
                 insert into {kept_bodies} select b.* from {bodies} b where b.event_seq in (
                     select body_seq from events
                     where body_seq >= {first} and body_seq < {end} and not (seq >= {first} and seq < {end}))"
            ))
            .await?;
        let strip = format!(
            "update {kept} e set stripped_at_ms = coalesce(stripped_at_ms, $1), row_until_ms = greatest(l.until_ms, $1),
                 headers = $2, body_seq = null from staying l where l.seq = e.seq"
        );
        self.transaction.execute(&strip, &[&now_ms, &headers::encode(&[])]).await?;
        Ok(count)
    }

    /// What of the totals goes: events that are not stripped, and bodies that are there. A body is there as long as an event
    /// that is not stripped has it for its own or shares it.
    async fn totals(&self) -> Result<Totals, Error> {
        let (first, end) = (self.first(), self.end());
        let events = Piece::Day(self.day).name(OF_EVENTS[0]);
        let kept_bodies = Piece::Kept(self.day).name(OF_EVENTS[1]);
        let is_kept = match self.is(&format!("select to_regclass('{kept_bodies}') is not null")).await? {
            true => format!("seq in (select event_seq from {kept_bodies})"),
            false => "false".to_owned(),
        };
        let sql = format!(
            "select source_id, count(*) filter (where stripped_at_ms is null),
                 coalesce(sum(body_len) filter (where not ({is_kept})
                     and (stripped_at_ms is null and body_seq is null
                         or seq in (select body_seq from {events} where body_seq >= {first} and body_seq < {end}))
                     ), 0)::bigint
             from {events} group by source_id"
        );
        let rows = self.transaction.query(&sql, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
    }

    /// Whether something came to need one of its events since they were looked over.
    async fn is_wanted_anew(&self) -> Result<bool, Error> {
        let (first, end, late) = (self.first(), self.end(), self.late());
        self.is(&format!(
            "select exists (select 1 from deliveries_rest where {late})
                 or exists (select 1 from events where body_seq >= {first} and body_seq < {end}
                                and not (seq >= {first} and seq < {end}) and body_seq not in (select seq from staying))"
        ))
        .await
    }

    /// Puts what outlives the day in its place.
    async fn attach_kept(&self) -> Result<(), Error> {
        for table in &OF_EVENTS[..2] {
            let kept = Piece::Kept(self.day).name(table);
            if !self.is(&format!("select to_regclass('{kept}') is not null")).await? {
                continue;
            }
            let sql = match self.is(&format!("select exists (select 1 from {kept})")).await? {
                true => super::attach(table, &kept, &self.first().to_string(), self.end()),
                false => format!("drop table {kept}"),
            };
            self.transaction.batch_execute(&sql).await?;
        }
        Ok(())
    }

    /// Takes bodies of other days away that nobody needs any more now that this day's events are gone.
    async fn free_earlier(&self) -> Result<Totals, Error> {
        let sql = "with freed as (
                       delete from bodies b using going g where b.event_seq = g.seq
                           and not exists (select 1 from events e where e.body_seq = g.seq)
                           and not exists (select 1 from events e where e.seq = g.seq and e.stripped_at_ms is null)
                       returning b.event_seq)
                   select e.source_id, sum(e.body_len)::bigint from freed f join events e on e.seq = f.event_seq group by 1";
        let rows = self.transaction.query(sql, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), 0, row.get(1))).collect())
    }
}

/// Forgets which values ran for events that are gone with their day.
async fn forget_runs(client: &Client, day: i64) -> Result<(), Error> {
    let (first, end) = (start(day), start(day + 1));
    let sql = format!(
        "delete from once where (destination_id, source_id, key) in (
             select destination_id, source_id, key from once o
             where o.event_seq >= {first} and o.event_seq < {end}
                 and not exists (select 1 from events e where e.seq = o.event_seq)
             limit {STEP})"
    );
    while integer(client.execute(&sql, &[]).await?) == STEP {}
    Ok(())
}
