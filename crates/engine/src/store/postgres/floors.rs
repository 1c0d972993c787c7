//! From where on it is worth looking for what is due. What was leased or is over leaves dead entries in the index that claims walk;
//! while somebody holds an old snapshot nothing removes them, and walking all of them takes ever longer.
//! Owns what is remembered of that; what is due is still what the table says.
//!
//! A floor is never a reason to miss something for long. What becomes due again after it was held may have any time, and comes with a
//! change of the revision, in the same transaction. Else nothing becomes due that was due long ago, unless its commit took longer than
//! [`MARGIN`]: for this all of it is walked once in [`SWEEP`].

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::ids::DestinationId;

/// How long before what was found others may become due that cannot be seen yet.
const MARGIN: Duration = Duration::from_secs(2);

/// How often everything is walked, where something is found.
const SWEEP: Duration = Duration::from_secs(15);

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
}

impl Floors {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing due before this has to be looked for at `destination`.
    pub(super) fn of(&self, destination: DestinationId, now: Timestamp) -> Option<Timestamp> {
        let floor = self.known().of.get(&destination).copied();
        floor.filter(|floor| now < floor.until).map(|floor| floor.due_at)
    }

    /// As [`Self::of`], with when everything is walked the next time.
    pub(in crate::store) fn with_end(&self, destination: DestinationId) -> Option<(Timestamp, Timestamp)> {
        self.known().of.get(&destination).map(|floor| (floor.due_at, floor.until))
    }

    /// The first that was due of what was found from `floor` on.
    pub(super) fn learn(
        &self,
        destination: DestinationId,
        floor: Option<Timestamp>,
        found: Option<Timestamp>,
        now: Timestamp,
    ) {
        let mut known = self.known();
        match (floor, found) {
            (None, None) => drop(known.of.remove(&destination)),
            (None, Some(found)) => {
                let floor = Floor { due_at: found.minus(MARGIN), until: now.plus(SWEEP) };
                known.of.insert(destination, floor);
            }
            (Some(_), found) => {
                if let (Some(floor), Some(found)) = (known.of.get_mut(&destination), found) {
                    floor.due_at = floor.due_at.max(found.minus(MARGIN));
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
