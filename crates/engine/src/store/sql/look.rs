//! How far a page of a list looks: between the positions where its times are, and over so many rows at most. Owns where a time
//! is; what is asked of a row is the list's.

use std::time::Duration;

use super::connection::{Bind, Connection, Row};
use super::failure::Result;
use super::rows::{self, Cells, first};
use crate::clock::Timestamp;
use crate::store::{Listing, Page};

/// How many rows one look steps over at most.
pub(super) const LOOK: usize = 10_000;

/// How far apart the order of commits and that of times can be.
pub(super) const OUT_OF_ORDER: Duration = Duration::from_secs(60);

/// A table whose rows have a time that rises with their position, give or take [`OUT_OF_ORDER`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed {
    table: &'static str,
    column: &'static str,
}

impl Timed {
    pub(super) const EVENTS: Self = Self { table: "events", column: "received_at_ms" };
    pub(super) const DELIVERIES: Self = Self { table: "deliveries", column: "created_at_ms" };
    pub(super) const AUDIT: Self = Self { table: "audit", column: "at_ms" };

    /// The position before the first row of this time or later, found by halving up to `end`.
    pub(super) fn position_of(self, connection: &Connection, at: Timestamp, end: i64) -> Result<i64> {
        let Self { table, column } = self;
        let sql = format!("select seq, {column} as time_ms from {table} where seq > ?1 order by seq limit 1");
        let (mut before, mut behind) = (0, end);
        while before < behind {
            let middle = before + (behind - before) / 2;
            let next = first(connection, &sql, [middle], |row| {
                let cells = Cells::new(table, row);
                Ok((cells.get::<i64>("seq")?, cells.get::<i64>("time_ms")?))
            })?;
            match next {
                Some((seq, time)) if time < at.as_millis() => before = seq,
                _ => behind = middle,
            }
        }
        Ok(before)
    }

    /// The positions between which everything of a span of time is: after the one and before the other. Its ends are asked of
    /// each row besides.
    pub(super) fn between(
        self,
        connection: &Connection,
        (from, until): (Option<Timestamp>, Option<Timestamp>),
        page: Page,
    ) -> Result<(i64, i64)> {
        let (mut after, mut below) = (0, page.below());
        if from.is_none() && until.is_none() {
            return Ok((after, below));
        }
        let newest = format!("select coalesce(max(seq), 0) as seq from {}", self.table);
        let newest = first(connection, &newest, [], |row| Cells::new(self.table, row).get("seq"))?;
        let end = below.saturating_sub(1).min(newest.unwrap_or(0));
        if let Some(from) = from {
            after = self.position_of(connection, from.minus(OUT_OF_ORDER), end)?;
        }
        if let Some(until) = until {
            below = below.min(self.position_of(connection, until.plus(OUT_OF_ORDER), end)?.saturating_add(1));
        }
        Ok((after, below))
    }
}

/// What a list asks of its table.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    /// The page's rows.
    pub(super) list: String,
    /// Where a look ends that steps over what it walks, if more is asked of a row than what is walked.
    pub(super) end: Option<String>,
}

/// The statement for the end of a look at `from`, of which it walks what is `walked`: the first row that is not looked at.
pub(super) fn end(from: &str, seq: &str, walked: &str) -> String {
    format!("select {seq} as seq from {from} where {walked} order by {seq} desc limit 1 offset {LOOK}")
}

impl Selection {
    /// Every statement of it.
    #[cfg(test)]
    pub(super) fn all(self) -> impl Iterator<Item = String> {
        std::iter::once(self.list).chain(self.end)
    }

    /// The page of what is between two positions. Where the look ends before the page is full, the next one begins behind what
    /// was looked at.
    pub(super) fn page<T>(
        &self,
        connection: &Connection,
        page: Page,
        (after, below): (i64, i64),
        parameters: &[(&str, &dyn Bind)],
        parse: impl Fn(&Row<'_>) -> Result<(i64, T)>,
    ) -> Result<Listing<T>> {
        let limit = page.rows();
        let with = |after: &i64, sql: &str, read: &mut dyn FnMut(&Row<'_>) -> Result<bool>| {
            let mut all: Vec<(&str, &dyn Bind)> = vec![(":after", after), (":below", &below), (":limit", &limit)];
            all.extend(parameters);
            // PostgreSQL takes any two ends for a narrow span, and would walk the places of the whole table for what is seldom in it.
            let sql = match after {
                0 => &sql.replace("d.seq > :after and ", "").replace("seq > :after and ", ""),
                _ => sql,
            };
            connection.prepare_cached(sql)?.each(&rows::bound(sql, &all)[..], read)
        };
        let mut end = None;
        if let Some(sql) = &self.end {
            with(&after, sql, &mut |row| {
                end = Some(Cells::new("a look", row).get::<i64>("seq")?);
                Ok(false)
            })?;
        }
        let mut found = Vec::new();
        with(&end.unwrap_or(after), &self.list, &mut |row| {
            found.push(parse(row)?);
            Ok(true)
        })?;
        let mut listing = page.listing(found);
        listing.next = listing.next.or(end.map(|end| end.saturating_add(1)));
        Ok(listing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate;

    /// Rows of the audit log, one in each second, in a database that counts what is read.
    fn log_of(rows: u32) -> Connection {
        let connection = migrate::in_memory().unwrap();
        let insert = "insert into audit (seq, organization_id, at_ms, actor, address, action, target, detail, hash)
            with recursive n (i) as (select 1 union all select i + 1 from n where i < ?1)
            select i, zeroblob(16), i * 1000, '', '', '', '', '', zeroblob(32) from n";
        connection.execute(insert, [rows]).unwrap();
        Connection::Sqlite(connection)
    }

    #[test]
    fn a_span_of_an_old_hour_is_an_hour_and_a_margin_wide() {
        let connection = log_of(100_000);
        let at = |s: i64| Some(Timestamp::from_millis(s * 1000));
        let newest = Page { before: None, limit: 50 };
        let between = |from, until, page| Timed::AUDIT.between(&connection, (from, until), page).unwrap();
        assert_eq!(between(None, None, newest), (0, i64::MAX));
        assert_eq!(between(at(10_000), at(13_600), newest), (9_939, 13_660));
        assert_eq!(between(None, at(13_600), newest), (0, 13_660));
        assert_eq!(between(at(200_000), None, newest).0, 100_000, "later than all");
        assert_eq!(between(None, at(0), newest), (0, 60), "earlier than all, but for the margin");
        assert_eq!(between(None, at(13_600), Page { before: Some(700), limit: 50 }), (0, 700), "behind a page");
    }
}
