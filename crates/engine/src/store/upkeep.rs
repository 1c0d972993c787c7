//! The store's housekeeping verbs: what is kept for operators beside the pipeline's way, and what is cleaned up after it.

use async_trait::async_trait;

use super::StoreError;
use crate::model::{AuditEntry, RefusedRequest};

/// Housekeeping: nothing here is on an event's way.
#[async_trait]
pub trait Upkeep: Send + Sync + std::fmt::Debug {
    /// Keeps refused requests with their audit entries. Of each door the newest `keep` stay; older ones go in the same
    /// transaction.
    async fn refuse(&self, refused: Vec<RefusedRequest>, audit: Vec<AuditEntry>, keep: u32) -> Result<(), StoreError>;
}
