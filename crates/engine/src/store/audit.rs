//! The audit log as a store shows it: lists, the chain's head, and rows as they are kept for those who check the chain.

use async_trait::async_trait;

use super::{Listing, Page, StoreError};
use crate::clock::Timestamp;
use crate::ids::OrganizationId;
use crate::model::{AuditEntry, ChainHash, Facts, Head};

/// An audit entry as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its position; rises by one, over all organizations.
    pub seq: i64,
    /// What it says.
    pub entry: AuditEntry,
    /// Its place in the chain.
    pub hash: ChainHash,
}

/// Which audit entries to list. Each field that is given narrows the list to those that have exactly this.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Who.
    pub actor: Option<String>,
    /// What.
    pub action: Option<String>,
    /// On what.
    pub target: Option<String>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

/// Which rows to take out, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditRange {
    /// Whose; `None` for the whole chain.
    pub organization: Option<OrganizationId>,
    /// Only those after this position.
    pub after: i64,
    /// Only those up to this one.
    pub until: i64,
    /// At most this many.
    pub limit: u32,
}

/// A row byte for byte as it is kept, with the hash before it: what a check of the chain needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// Its position.
    pub seq: i64,
    /// Whose it is.
    pub organization: OrganizationId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// From where.
    pub address: String,
    /// What.
    pub action: String,
    /// On what.
    pub target: String,
    /// The details' JSON text.
    pub detail: String,
    /// The hash of the row before it.
    pub prev: ChainHash,
    /// Its own.
    pub hash: ChainHash,
}

impl KeptRow {
    /// What its hash covers.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            organization: self.organization.as_bytes(),
            at_ms: self.at.as_millis(),
            actor: self.actor.as_bytes(),
            address: self.address.as_bytes(),
            action: self.action.as_bytes(),
            target: self.target.as_bytes(),
            detail: self.detail.as_bytes(),
        }
    }
}

/// The audit log, to be read. It is written by the verbs that it tells of.
#[async_trait]
pub trait AuditLog: Send + Sync + std::fmt::Debug {
    /// Entries that match, newest first.
    async fn audit_matching(
        &self,
        organization: OrganizationId,
        filter: AuditFilter,
        page: Page,
    ) -> Result<Listing<AuditRow>, StoreError>;

    /// Entries, newest first.
    async fn audit(&self, organization: OrganizationId, page: Page) -> Result<Listing<AuditRow>, StoreError> {
        self.audit_matching(organization, AuditFilter::default(), page).await
    }

    /// The last row's position and hash.
    async fn audit_head(&self) -> Result<Head, StoreError>;

    /// Rows as they are kept.
    async fn audit_rows(&self, range: AuditRange) -> Result<Vec<KeptRow>, StoreError>;
}
