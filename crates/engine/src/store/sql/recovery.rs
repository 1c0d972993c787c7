//! What a job asks of an event's deliveries: the state of the latest one, or what `recover` means by failed and missing.
//! Only looks; what is owed because of it is `jobs`'.

use super::connection::{Connection, params};
use super::failure::Result;
use super::rows::{Cells, all, first};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, OrganizationId};
use crate::model::{JobSpec, Recovery};

/// What is asked of an event's deliveries.
#[derive(Debug)]
pub(super) enum Asked<'s> {
    /// Nothing.
    Nothing,
    /// That the latest one to a destination is in this state.
    Latest(&'s str),
    /// That the latest one to this destination is exhausted, since one time and before another.
    Failed(Option<DestinationId>, Option<Timestamp>, Option<Timestamp>),
    /// That this destination lacks the event.
    Missing(Option<DestinationId>),
}

/// A delivery of an event, as far as it matters here.
struct Made {
    destination: DestinationId,
    state: String,
    since: Timestamp,
}

impl Made {
    fn failed_between(&self, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
        let is_within = from.is_none_or(|from| self.since >= from) && to.is_none_or(|to| self.since < to);
        self.state == "exhausted" && is_within
    }

    /// It reached its destination, may still reach it, or was called off.
    fn leaves_nothing_to_recover(&self, is_latest: bool) -> bool {
        match self.state.as_str() {
            "exhausted" => false,
            "cancelled" => is_latest,
            _ => true,
        }
    }
}

impl<'s> Asked<'s> {
    /// What a job asks. A destination that is not there is asked nothing of, and nothing is owed to it.
    pub(super) fn by(connection: &Connection, organization: OrganizationId, spec: &'s JobSpec) -> Result<Self> {
        let named = || -> Result<Option<DestinationId>> {
            let Some(name) = &spec.destination else { return Ok(None) };
            let sql = "select id from destinations where organization_id = ?1 and name = ?2";
            first(connection, sql, params![organization.as_bytes(), name], |row| {
                Cells::new("destinations", row).id("id", DestinationId::from_bytes)
            })
        };
        Ok(match (spec.recover, &spec.state) {
            (Some(Recovery::Failed), _) => Self::Failed(named()?, spec.from, spec.to),
            (Some(Recovery::Missing), _) => Self::Missing(named()?),
            (None, Some(state)) => Self::Latest(state),
            (None, None) => Self::Nothing,
        })
    }

    /// The destinations at which an event is as asked; `None` when nothing is asked.
    pub(super) fn answer(&self, connection: &Connection, event_seq: i64) -> Result<Option<Vec<DestinationId>>> {
        Ok(match self {
            Self::Nothing => None,
            Self::Latest(state) => {
                let latest = latest(made(connection, event_seq)?);
                let in_state = latest.into_iter().filter(|made| made.state == *state);
                Some(in_state.map(|made| made.destination).collect())
            }
            Self::Failed(destination, from, to) => {
                let latest = latest(made(connection, event_seq)?);
                let failed =
                    latest.iter().any(|made| Some(made.destination) == *destination && made.failed_between(*from, *to));
                Some(destination.filter(|_| failed).into_iter().collect())
            }
            Self::Missing(destination) => {
                let Some(destination) = *destination else { return Ok(Some(vec![])) };
                let is_missing = lacks(connection, event_seq, destination)?;
                Some(if is_missing { vec![destination] } else { vec![] })
            }
        })
    }
}

fn made(connection: &Connection, event_seq: i64) -> Result<Vec<Made>> {
    let sql = "select seq, destination_id, state_at_ms,
                   case when state = 'held' and behind = 1 then 'waiting' else state end as state
               from deliveries where event_seq = ?1 order by seq";
    all(&mut connection.prepare_cached(sql)?, [event_seq], |row| {
        let cells = Cells::new("deliveries", row);
        let destination = cells.id("destination_id", DestinationId::from_bytes)?;
        Ok(Made { destination, state: cells.get("state")?, since: cells.time("state_at_ms")? })
    })
}

/// The latest to each destination.
fn latest(made: Vec<Made>) -> Vec<Made> {
    let mut latest: Vec<Made> = Vec::new();
    for one in made {
        latest.retain(|other| other.destination != one.destination);
        latest.push(one);
    }
    latest
}

/// Whether an event is one that `destination` could want and was never given.
fn lacks(connection: &Connection, event_seq: i64, destination: DestinationId) -> Result<bool> {
    let sql = "select seq from events where seq = ?1 and duplicate_of is null and not exists (
                   select 1 from passed_over p where p.event_seq = ?1 and p.destination_id = ?2 and p.reason = 'once')";
    let is_candidate = first(connection, sql, params![event_seq, destination.as_bytes()], |row| {
        Cells::new("events", row).get::<i64>("seq")
    })?;
    if is_candidate.is_none() {
        return Ok(false);
    }
    let mut made = made(connection, event_seq)?;
    made.retain(|made| made.destination == destination);
    let count = made.len();
    Ok(!(1..).zip(&made).any(|(place, made)| made.leaves_nothing_to_recover(place == count)))
}
