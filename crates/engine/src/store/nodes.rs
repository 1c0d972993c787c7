//! What nodes tell each other by way of the store, and what the database shows of how it is.

use std::collections::HashSet;

use async_trait::async_trait;

use super::{Revision, StoreError};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, NodeId};
use crate::model::Node;

/// What a node sees when it looks for what others did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sight {
    /// How far what all nodes share has come.
    pub revision: Revision,
    /// The database's clock, read while it was asked.
    pub now: Timestamp,
    /// The schema that the database has come to, if it is one with which this version must not go on.
    pub beyond: Option<i64>,
}

/// What one node tells the others, so that they look at once instead of a little later. It may get lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Knock {
    /// What is declared, or a destination's condition, is another one now.
    pub declared: bool,
    /// These are owed something that others may attempt.
    pub owed: HashSet<DestinationId>,
}

/// What a shared database shows of its upkeep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wear {
    /// Since when the oldest transaction has been open that keeps dead rows from being removed.
    pub oldest_snapshot_ms: Option<u64>,
    /// The tables with the most dead rows.
    pub tables: Vec<WornTable>,
}

/// How many rows of a table are dead, by the database's own estimate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WornTable {
    /// Its name.
    pub name: String,
    /// Rows that are there.
    pub live: u64,
    /// Rows that are not any more, and whose room is not free yet.
    pub dead: u64,
}

/// Nodes, beside each other.
#[async_trait]
pub trait Nodes: Send + Sync + std::fmt::Debug {
    /// Whether other nodes may work on the same data.
    fn is_shared(&self) -> bool;

    /// What other nodes did. Only of a shared store is it asked; it waits for no write and no other read.
    async fn sight(&self) -> Result<Sight, StoreError>;

    /// Tells the other nodes something. Nobody waits for it who writes, and it may get lost. Only of a shared store is it asked.
    async fn knock(&self, from: NodeId, knock: Knock) -> Result<(), StoreError>;

    /// Waits until a node other than `own` knocks. After an error what others say is not heard until this is called again. Only
    /// of a shared store is it asked.
    async fn heard(&self, own: NodeId) -> Result<Knock, StoreError>;

    /// Writes a node down. In a shared store the database's clock says when, in place of `seen_at`; it waits for no write
    /// and no other read. Nodes that were not seen for a day are removed.
    async fn check_in(&self, node: Node) -> Result<(), StoreError>;

    /// All nodes, the oldest first.
    async fn nodes(&self) -> Result<Vec<Node>, StoreError>;

    /// How the database is. Only of a shared store is there something to say.
    async fn wear(&self) -> Result<Option<Wear>, StoreError>;
}
