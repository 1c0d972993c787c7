//! The store's verbs that take an organization away, in steps that a crash neither repeats nor loses.

use async_trait::async_trait;

use super::StoreError;
use crate::ids::OrganizationId;
use crate::model::AuditEntry;

/// Takes away an organization whose erasure has begun, so that nothing of it is in force: first
/// [`Erasure::erase_events`] until there are none, then the others in this order. Each may be asked again.
#[async_trait]
pub trait Erasure: Send + Sync + std::fmt::Debug {
    /// Removes events with their bodies, deliveries, attempts and outputs, and what identifies them, in rows of which
    /// there are at most `limit` of each kind. Returns whether there are more.
    async fn erase_events(&self, organization: OrganizationId, limit: u32) -> Result<bool, StoreError>;

    /// Removes everything else but the organization's own row and the audit log, and overwrites what the store's files
    /// still hold of what was removed.
    async fn erase_rest(&self, organization: OrganizationId) -> Result<(), StoreError>;

    /// Overwrites what the store's files still hold of what was removed or replaced.
    async fn overwrite(&self) -> Result<(), StoreError>;

    /// Removes the organization's row, with the audit entry that says so. `Ok(false)`, and nothing is written, when
    /// anything of it is left or has come since.
    async fn erase_row(&self, organization: OrganizationId, audit: AuditEntry) -> Result<bool, StoreError>;
}
