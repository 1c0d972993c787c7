//! From a row to the model and back: column by column, never trusting what is there.
//! Owns the texts that stand for enums; which rows are read is the verbs' business.

use std::time::Duration;

use bytes::Bytes;

use super::connection::{Bind, Cell, Connection, FromCell, Params, Row, Statement};
use super::failure::{Failure, Result};
use super::headers;
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, OrganizationId};
use crate::model::{
    Condition, DeliveryCause, DeliveryState, DestinationState, Exchange, OpenBreaker, Outcome, Recovering,
    RequestRecord,
};

/// A row on its way into the model, with what an error has to say about it.
pub(in crate::store) struct Cells<'r, 's> {
    row: &'r Row<'s>,
    table: &'static str,
}

impl<'r, 's> Cells<'r, 's> {
    pub(in crate::store) fn new(table: &'static str, row: &'r Row<'s>) -> Self {
        Self { row, table }
    }

    /// The value of a column.
    pub(super) fn get<T: FromCell>(&self, column: &'static str) -> Result<T> {
        self.row.get(column).map_err(|problem| self.problem(format!("column `{column}`: {problem}")))
    }

    pub(super) fn id<T>(&self, column: &'static str, make: fn([u8; 16]) -> T) -> Result<T> {
        self.get(column).map(make)
    }

    pub(super) fn optional_id<T>(&self, column: &'static str, make: fn([u8; 16]) -> T) -> Result<Option<T>> {
        Ok(self.get::<Option<[u8; 16]>>(column)?.map(make))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp> {
        self.get(column).map(Timestamp::from_millis)
    }

    pub(super) fn optional_time(&self, column: &'static str) -> Result<Option<Timestamp>> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_millis))
    }

    pub(super) fn unsigned<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T> {
        let value: i64 = self.get(column)?;
        T::try_from(value).map_err(|_| self.problem(format!("column `{column}` is {value}, which is out of range")))
    }

    pub(super) fn duration_ms(&self, column: &'static str) -> Result<Duration> {
        self.unsigned(column).map(Duration::from_millis)
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let text = self.text(column)?;
        serde_json::from_str(text).map_err(|error| self.problem(format!("column `{column}`: {error}")))
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<Bytes> {
        self.get::<Vec<u8>>(column).map(Bytes::from)
    }

    /// The text of a column, borrowed from the row.
    pub(super) fn text(&self, column: &'static str) -> Result<&str> {
        match self.row.cell(column) {
            Ok(Cell::Text(text)) => Ok(text),
            Ok(other) => Err(self.problem(format!("column `{column}` is {other:?}, not text"))),
            Err(problem) => Err(self.problem(format!("column `{column}`: {problem}"))),
        }
    }

    /// The text of a column, through one of the tables of texts below.
    pub(super) fn parsed<T>(&self, column: &'static str, parse: fn(&str) -> Option<T>) -> Result<T> {
        let text = self.text(column)?;
        parse(text).ok_or_else(|| self.problem(format!("column `{column}` is `{text}`, which means nothing")))
    }

    /// That this row cannot be. Rows are named by their `seq`, or by their `id`, or by their `name`.
    pub(super) fn problem(&self, problem: String) -> Failure {
        let row = self
            .row
            .get::<i64>("seq")
            .map(|seq| seq.to_string())
            .or_else(|_| self.row.get::<[u8; 16]>("id").map(hex::encode))
            .or_else(|_| self.row.get::<[u8; 16]>("owner_id").map(hex::encode))
            .unwrap_or_else(|_| "(unnamed)".to_owned());
        Failure::inconsistent(self.table, row, problem)
    }
}

/// The request that a row keeps, in columns of the same names wherever one is kept.
pub(super) fn request(cells: &Cells<'_, '_>) -> Result<RequestRecord> {
    Ok(RequestRecord {
        method: cells.get("method")?,
        target: cells.get("target")?,
        headers: headers::decode(cells.bytes("headers")?).map_err(|problem| cells.problem(problem))?,
        remote: cells.get("remote")?,
    })
}

/// The condition that `column` is the organization `:organization`. The default one's rows are nearly all there are, so it
/// only looks at what is walked; another's are found by a partial index, whose condition has to stand here word for word.
pub(super) fn belongs(organization: OrganizationId, column: &str, is_walked: bool) -> String {
    if is_walked || organization == OrganizationId::DEFAULT {
        format!("+{column} = :organization")
    } else {
        format!("{column} = :organization and {column} <> x'01900000000070008000000000000001'")
    }
}

/// Conditions for a time between `:from` and `:until`, as far as these are given. They only look at what another
/// condition finds: rows are walked from the newest on.
pub(super) fn span(column: &str, from: Option<Timestamp>, until: Option<Timestamp>) -> String {
    let from = from.map(|_| format!(" and +{column} >= :from"));
    let until = until.map(|_| format!(" and +{column} < :until"));
    from.unwrap_or_default() + until.as_deref().unwrap_or_default()
}

/// Those of `parameters` that `sql` has a place for.
pub(super) fn bound<'v>(sql: &str, parameters: &[(&'v str, &'v dyn Bind)]) -> Vec<(&'v str, &'v dyn Bind)> {
    let is_in = |name: &str| {
        sql.match_indices(name).any(|(at, _)| {
            !sql[at + name.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
        })
    };
    parameters.iter().filter(|(name, _)| is_in(name)).copied().collect()
}

/// All rows of a query, parsed.
pub(super) fn all<T>(
    statement: &mut Statement<'_>,
    parameters: impl Params,
    parse: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut items = Vec::new();
    statement.each(parameters, |row| {
        items.push(parse(row)?);
        Ok(true)
    })?;
    Ok(items)
}

/// The first row of a query, parsed, if there is one.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    parse: impl FnOnce(&Row<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let (mut item, mut parse) = (None, Some(parse));
    connection.prepare_cached(sql)?.each(parameters, |row| {
        item = parse.take().map(|parse| parse(row)).transpose()?;
        Ok(false)
    })?;
    Ok(item)
}

/// Runs an insertion of one row; the row's `seq`.
pub(super) fn inserted(connection: &Connection, sql: &str, parameters: impl Params) -> Result<i64> {
    match connection {
        // It knows without being asked for a row, which would cost each event some.
        Connection::Sqlite(sqlite) => {
            connection.prepare_cached(sql)?.execute(parameters)?;
            Ok(sqlite.last_insert_rowid())
        }
        Connection::Postgres(_) => {
            let sql = format!("{sql} returning seq");
            let seq = first(connection, &sql, parameters, |row| Cells::new("inserted", row).get("seq"))?;
            Ok(seq.expect("an insertion returns its row"))
        }
    }
}

/// The next place of a sequence, where a row's place is chosen before it is written.
pub(super) fn place(connection: &Connection, sequence: &'static str) -> Result<Option<i64>> {
    let Connection::Postgres(_) = connection else { return Ok(None) };
    let sql = format!("select nextval('{sequence}') as seq");
    first(connection, &sql, [], |row| Cells::new("places", row).get("seq"))
}

/// An unsigned number as a database keeps it; what does not fit is at the end of its range.
pub(in crate::store) fn integer(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

/// JSON as text; the values given here have string keys only, so it always exists.
pub(in crate::store) fn json_text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the model's values are JSON")
}

pub(super) fn delivery_state(cells: &Cells<'_, '_>) -> Result<DeliveryState> {
    let at = cells.time("state_at_ms")?;
    Ok(match cells.text("state")? {
        "pending" => DeliveryState::Pending { due_at: cells.time("due_at_ms")? },
        "leased" => DeliveryState::Leased {
            until: cells.time("leased_until_ms")?,
            node: cells.id("node", crate::ids::NodeId::from_bytes)?,
        },
        "delivered" => DeliveryState::Delivered { at },
        "exhausted" => DeliveryState::Exhausted { at },
        "cancelled" => DeliveryState::Cancelled { at },
        "held" if cells.get::<i64>("behind")? == 1 => DeliveryState::Waiting { since: at },
        "held" => DeliveryState::Held { since: at },
        other => return Err(cells.problem(format!("column `state` is `{other}`, which means nothing"))),
    })
}

pub(in crate::store) fn cause_columns(cause: &DeliveryCause) -> (&'static str, Option<&[u8; 16]>) {
    match cause {
        DeliveryCause::Event => ("event", None),
        DeliveryCause::Outcome { of } => ("event", Some(of.as_bytes())),
        DeliveryCause::Redelivery { of } => ("redelivery", of.as_ref().map(DeliveryId::as_bytes)),
        DeliveryCause::Test => ("test", None),
    }
}

pub(super) fn delivery_cause(cells: &Cells<'_, '_>) -> Result<DeliveryCause> {
    Ok(match cells.text("cause")? {
        "event" => match cells.optional_id("cause_of", DeliveryId::from_bytes)? {
            None => DeliveryCause::Event,
            Some(of) => DeliveryCause::Outcome { of },
        },
        "redelivery" => DeliveryCause::Redelivery { of: cells.optional_id("cause_of", DeliveryId::from_bytes)? },
        "test" => DeliveryCause::Test,
        other => return Err(cells.problem(format!("column `cause` is `{other}`, which means nothing"))),
    })
}

pub(super) fn destination_state_columns(state: &DestinationState) -> (&'static str, Option<&str>) {
    match state {
        DestinationState::Active => ("active", None),
        DestinationState::Paused => ("paused", None),
        DestinationState::Disabled { reason } => ("disabled", Some(reason)),
    }
}

pub(super) fn destination_state(cells: &Cells<'_, '_>) -> Result<DestinationState> {
    Ok(match cells.text("state")? {
        "active" => DestinationState::Active,
        "paused" => DestinationState::Paused,
        "disabled" => DestinationState::Disabled { reason: cells.get("disabled_reason")? },
        other => return Err(cells.problem(format!("column `state` is `{other}`, which means nothing"))),
    })
}

pub(super) fn condition(cells: &Cells<'_, '_>) -> Result<Condition> {
    let opened = cells.optional_time("opened_at_ms")?.zip(cells.optional_time("probe_at_ms")?);
    let opens = cells.unsigned("opens")?;
    let open = opened.map(|(since, probe_at)| OpenBreaker { since, probe_at, opens });
    let recovering = cells.optional_time("closed_at_ms")?.map(|since| Recovering { since, opens });
    Ok(Condition { failing_since: cells.optional_time("failing_since_ms")?, open, recovering })
}

/// What was exchanged in an attempt; column `target` has the method before it. One that was made before this was kept, or that made no request, has no target.
pub(super) fn exchange(cells: &Cells<'_, '_>) -> Result<Option<Exchange>> {
    let Some(line) = cells.get::<Option<String>>("target")? else { return Ok(None) };
    let split = line.split_once(' ').ok_or_else(|| cells.problem("column `target` names no method".to_owned()))?;
    let (method, target) = (split.0.to_owned(), split.1.to_owned());
    let headers = |column| headers::decode(cells.bytes(column)?).map_err(|problem| cells.problem(problem));
    Ok(Some(Exchange {
        method,
        target,
        request_headers: headers("request_headers")?,
        response_headers: headers("response_headers")?,
        timings: cells.json("timings")?,
    }))
}

pub(in crate::store) fn outcome_text(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "success",
        Outcome::Status => "status",
        Outcome::Exit => "exit",
        Outcome::Dns => "dns",
        Outcome::Connect => "connect",
        Outcome::Tls => "tls",
        Outcome::Timeout => "timeout",
        Outcome::Broken => "broken",
        Outcome::Blocked => "blocked",
        Outcome::Spawn => "spawn",
        Outcome::Checkout => "checkout",
        Outcome::Unusable => "unusable",
        Outcome::Interrupted => "interrupted",
        Outcome::Cancelled => "cancelled",
        Outcome::Released => "released",
    }
}

pub(super) fn outcome(text: &str) -> Option<Outcome> {
    const ALL: [Outcome; 15] = [
        Outcome::Success,
        Outcome::Status,
        Outcome::Exit,
        Outcome::Dns,
        Outcome::Connect,
        Outcome::Tls,
        Outcome::Timeout,
        Outcome::Broken,
        Outcome::Blocked,
        Outcome::Spawn,
        Outcome::Checkout,
        Outcome::Unusable,
        Outcome::Interrupted,
        Outcome::Cancelled,
        Outcome::Released,
    ];
    ALL.into_iter().find(|outcome| outcome_text(*outcome) == text)
}
