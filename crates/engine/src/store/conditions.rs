//! How destinations fare, as the store keeps it, and what becomes of what is held for them.

use async_trait::async_trait;

use super::StoreError;
use crate::clock::Timestamp;
use crate::ids::DestinationId;
use crate::model::{AuditEntry, Condition};

/// What becomes of the deliveries that are held for a destination when it is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// They are due at once, in the order in which they were held.
    AtOnce,
    /// They fall due one after the other in that order, so many in a second.
    Spread {
        /// At least 1.
        per_s: u32,
    },
    /// They are cancelled.
    Drop,
}

/// What a destination is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owed {
    /// Which destination.
    pub destination: DestinationId,
    /// Deliveries waiting for their time, or under way.
    pub outstanding: u64,
    /// Deliveries held because of the destination.
    pub held: u64,
    /// Deliveries behind an earlier one of their order key.
    pub waiting: u64,
    /// The earliest due time or end of a lease among the outstanding.
    pub next_due: Option<Timestamp>,
}

/// Conditions, and counts of what is owed.
#[async_trait]
pub trait Conditions {
    /// Puts a destination's condition in the place of the one that is there. While its breaker is open, what it is owed is
    /// held; when that closes, what was held for it has its own due time again.
    async fn keep_condition(
        &self,
        destination: DestinationId,
        condition: Condition,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Makes a destination active and well, whatever it was, and does this with what is held for it. Returns of how many
    /// deliveries; the store adds that number to the audit entry's detail, as `held`. With `since` it is as after
    /// [`Change::Since`](super::Change::Since).
    async fn resume(
        &self,
        destination: DestinationId,
        drain: Drain,
        since: Option<i64>,
        audit: AuditEntry,
    ) -> Result<u64, StoreError>;

    /// What these destinations are owed, in their order; those that are not there are left out.
    async fn owed(&self, destinations: Vec<DestinationId>) -> Result<Vec<Owed>, StoreError>;
}
