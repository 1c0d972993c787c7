//! A node as it writes itself down, for the others and for whoever operates them.

use crate::clock::Timestamp;
use crate::ids::NodeId;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It takes requests and attempts deliveries.
    Serving,
    /// It was told to end, and finishes what is under way.
    Draining,
    /// It ended, or was not seen for so long that it is taken to have.
    Gone,
}

impl NodeState {
    /// Its name, for people and stores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Serving, Self::Draining, Self::Gone].into_iter().find(|state| state.name() == name)
    }
}

/// One running process, as it last wrote itself down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Made anew at each start.
    pub id: NodeId,
    /// What its operator calls it: the machine's name unless they say otherwise.
    pub name: String,
    /// Where its public listener is; empty until it listens.
    pub address: String,
    /// The version of its program.
    pub version: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it wrote this, by the database's clock.
    pub seen_at: Timestamp,
    /// What it does.
    pub state: NodeState,
    /// The revision of what is declared that it has in force.
    pub declared: i64,
    /// How many deliveries it is attempting.
    pub leases: u64,
    /// How far its own clock is ahead of the database's, in milliseconds; negative when it is behind.
    pub clock_ahead_ms: i64,
}
