//! The redelivery of many events at once: what is asked and how far it has come.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{JobId, OrganizationId};

/// The redelivery of all events that match, in small steps.
#[derive(Debug, Clone, PartialEq)]
pub struct RedeliveryJob {
    /// Its identity.
    pub id: JobId,
    /// Whose events.
    pub organization: OrganizationId,
    /// Which events, to whom, how fast.
    pub spec: JobSpec,
    /// Whether it goes on.
    pub state: JobState,
    /// Why it failed; empty unless it did.
    pub problem: String,
    /// The events that it covers, by position: those that were there when it was made.
    pub range: JobRange,
    /// How many events it has looked at.
    pub looked_at: u64,
    /// How many of these it redelivered.
    pub matched: u64,
    /// How many deliveries it made.
    pub redelivered: u64,
    /// Who asked for it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When it last went on or changed its state.
    pub updated_at: Timestamp,
}

/// Positions of events, in the order of their commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobRange {
    /// The first one's.
    pub start: i64,
    /// The next one's to look at; past `end` when none is left.
    pub next: i64,
    /// The last one's.
    pub end: i64,
}

impl JobRange {
    /// How much of it is done, from 0 to 100.
    pub fn percent(self) -> u8 {
        let (done, all) =
            (i128::from(self.next) - i128::from(self.start), i128::from(self.end) - i128::from(self.start) + 1);
        if all <= 0 { 100 } else { u8::try_from((100 * done / all).clamp(0, 100)).unwrap_or(100) }
    }
}

/// Which events to redeliver, to whom, how fast. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// Only this source's.
    pub source: Option<String>,
    /// Only this type.
    pub event_type: Option<String>,
    /// Only those received at this time or later; of what failed, only what did so at this time or later.
    #[serde(rename = "from_ms")]
    pub from: Option<Timestamp>,
    /// Only those received, or failed, before this time.
    #[serde(rename = "to_ms")]
    pub to: Option<Timestamp>,
    /// Only duplicates, or only originals.
    pub duplicate: Option<bool>,
    /// Only to this destination, whatever its filter says; otherwise to all that want the event when it is looked at.
    pub destination: Option<String>,
    /// Only where the event's latest delivery to the destination is in this state.
    pub state: Option<String>,
    /// Only those for which this expression is true; one for which it fails is left alone.
    #[serde(default)]
    pub filter: Option<String>,
    /// Only what this says of events and the destination, which is named then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover: Option<Recovery>,
    /// At most this many events in a second, at least 1.
    pub rate_per_s: u32,
}

/// What a job brings back to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// What failed: events whose latest delivery there is exhausted.
    Failed,
    /// What it lacks: originals that it wants today and was neither given nor owes anybody: no delivery of theirs was
    /// delivered or is outstanding, and the latest one, if there is any, was not called off. An event whose value ran with
    /// another event (`once_per`) is not lacking.
    Missing,
}

/// Whether a job goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It does.
    Running,
    /// An operator stopped it for now.
    Paused,
    /// It has looked at every event.
    Done,
    /// An operator ended it.
    Cancelled,
    /// It cannot go on, and says why. Resuming it tries again.
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_from_nothing_to_all() {
        let percent = |start, next, end| JobRange { start, next, end }.percent();
        assert_eq!([percent(1, 1, 10), percent(1, 6, 10), percent(1, 11, 10)], [0, 50, 100]);
        assert_eq!(percent(1, 1, 0), 100, "nothing to do is all done");
        assert_eq!(percent(i64::MIN, i64::MAX, i64::MAX), 99);
    }
}
