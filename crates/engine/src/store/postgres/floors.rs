//! From where on it is worth looking for what is due. What was leased or is over leaves dead entries in the index that claims walk;
//! while somebody holds an old snapshot nothing removes them, and walking all of them takes ever longer.
//! Owns what is remembered of that; what is due is still what the table says.
//!
//! A floor is never a reason to miss something for long. What becomes due again after it was held may have any time, and comes with a
//! change of the revision, in the same transaction. What is leased keeps its place, so that nothing that is outstanding lies below. Else
//! nothing becomes due that was due long ago, unless its commit took longer than [`MARGIN`]: for this all of it is walked once in
//! [`SWEEP`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::DestinationId;

/// How long before what was found others may become due that cannot be seen yet.
const MARGIN: Duration = Duration::from_secs(2);

/// How often everything is walked, where something is found; the longer that takes, the less often: it is at most one part of
/// [`SHARE`] of the time.
const SWEEP: Duration = Duration::from_secs(15);
const SHARE: u32 = 20;

/// How often it is asked what is the first: until then a floor only lies lower than it could.
const LEARN: Duration = Duration::from_millis(500);

/// What the connections of one store remember together.
#[derive(Debug, Default)]
pub(in crate::store) struct Floors(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The revision that was in force when these were learnt.
    revision: i64,
    of: HashMap<DestinationId, Floor>,
}

#[derive(Debug, Clone, Copy)]
struct Floor {
    due_at: Timestamp,
    until: Timestamp,
    learnt_at: Timestamp,
}

impl Floor {
    /// A time that went back is no reason to trust what was learnt.
    fn counts(&self, now: Timestamp) -> bool {
        (self.learnt_at.minus(MARGIN)..self.until).contains(&now)
    }
}

impl Floors {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing due before this has to be looked for at `destination`.
    pub(super) fn of(&self, destination: DestinationId, now: Timestamp) -> Option<Timestamp> {
        let floor = self.known().of.get(&destination).copied();
        floor.filter(|floor| floor.counts(now)).map(|floor| floor.due_at)
    }

    /// Whether it is time to learn what is outstanding first at `destination`.
    pub(super) fn asks(&self, destination: DestinationId, now: Timestamp) -> bool {
        let floor = self.known().of.get(&destination).copied();
        floor.is_none_or(|floor| !floor.counts(now) || now.since(floor.learnt_at) >= LEARN)
    }

    /// As [`Self::of`], with when everything is walked the next time.
    pub(in crate::store) fn with_end(&self, destination: DestinationId) -> Option<(Timestamp, Timestamp)> {
        self.known().of.get(&destination).map(|floor| (floor.due_at, floor.until))
    }

    /// When the `first` of what is outstanding from `floor` on is due, as was found `now` by looking for so long.
    pub(super) fn learn(
        &self,
        destination: DestinationId,
        floor: Option<Timestamp>,
        first: Option<Timestamp>,
        now: Timestamp,
        took: Duration,
    ) {
        let mut known = self.known();
        // What is due later than now hides nothing that becomes due before it.
        let first = first.map(|first| first.min(now).minus(MARGIN));
        match (floor, first) {
            (None, None) => drop(known.of.remove(&destination)),
            (None, Some(first)) => {
                let until = now.plus(SWEEP.max(took.saturating_mul(SHARE)));
                known.of.insert(destination, Floor { due_at: first, until, learnt_at: now });
            }
            (Some(_), first) => {
                let Some(floor) = known.of.get_mut(&destination) else { return };
                floor.learnt_at = now;
                if let Some(first) = first {
                    floor.due_at = floor.due_at.max(first);
                }
            }
        }
    }

    /// Whether all that was learnt is void, because it was learnt under another revision than this. It is forgotten then.
    pub(super) fn are_void(&self, revision: i64) -> bool {
        let mut known = self.known();
        let are_void = known.revision != revision;
        if are_void {
            *known = Known { revision, of: HashMap::new() };
        }
        are_void
    }

    /// What was learnt may have been another's, or never so.
    pub(super) fn forget(&self) {
        *self.known() = Known::default();
    }
}
