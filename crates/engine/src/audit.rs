//! The audit log for those who check it: taken out row by row, and its head told to whoever keeps it elsewhere.
//! What is written to it, and when, is the business of what it tells of.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::commit::{Fact, Proven, commit};
use crate::dedup;
use crate::engine::{Engine, EngineError, Inner};
use crate::model::{AuditEntry, Head, Principal, RequestRecord};
use crate::store::{AuditRange, KeptRow, OnDuplicate, StoreError};

/// The event type by which the chain's head is told.
pub const HEAD: &str = "hookward.audit.head";

/// Rows that an export holds in memory at once.
const STEP: u32 = 500;

/// Which rows of the log are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// The organization's own.
    Own,
    /// Everybody's: for whoever operates the installation.
    All,
}

/// An export under way: the rows that there were when it began.
#[derive(Debug)]
pub struct AuditExport {
    inner: Arc<Inner>,
    range: AuditRange,
}

impl AuditExport {
    /// The next rows, oldest first; none when there are no more.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the export cannot go on.
    pub async fn next(&mut self) -> Result<Vec<KeptRow>, StoreError> {
        let rows = self.inner.store().audit_rows(self.range).await?;
        self.range.after = rows.last().map_or(self.range.until, |row| row.seq);
        Ok(rows)
    }
}

impl Engine {
    /// The audit log's last row. Whoever keeps it elsewhere can tell whether a row up to it was changed or is gone.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`].
    pub async fn audit_head(&self) -> Result<Head, EngineError> {
        Ok(self.inner().store().audit_head().await?)
    }

    /// Begins to take the audit log out, from after position `after` on. The log has it first, and so has the export.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`].
    pub async fn export_audit(&self, by: &Principal, chain: Chain, after: i64) -> Result<AuditExport, EngineError> {
        let inner = self.shared();
        let which = match chain {
            Chain::Own => "own",
            Chain::All => "all",
        };
        let detail = json!({ "chain": which, "after": after });
        let entry = AuditEntry::by(by, "audit.export", "audit", inner.clock().now(), detail);
        inner.store().record(vec![entry]).await?;
        let until = inner.store().audit_head().await?.seq;
        let organization = (chain == Chain::Own).then_some(by.organization);
        Ok(AuditExport { inner, range: AuditRange { organization, after, until, limit: STEP } })
    }

    /// Tells the audit log's head as event [`HEAD`], to destinations with `sources = ["hookward"]`, once in each `every`,
    /// until `stop`.
    pub async fn publish_heads(&self, every: Duration, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.inner().publish_head().await {
                tracing::warn!(%error, "the audit log's head could not be told");
            }
            let next = self.inner().clock().now().plus(every);
            stop.run_until_cancelled(self.inner().clock().sleep_until(next)).await;
        }
    }
}

impl Inner {
    async fn publish_head(&self) -> Result<(), StoreError> {
        let (registry, now) = (self.registry(), self.clock().now());
        let by = Principal::system(crate::ids::OrganizationId::DEFAULT);
        let Some(doors) = registry.doors(by.organization) else { return Ok(()) };
        let Head { seq, hash } = self.store().audit_head().await?;
        let facts =
            json!({ "seq": seq, "hash": hash.to_string(), "head": Head { seq, hash }.to_string(), "at_ms": now });
        let body = Bytes::from(facts.to_string());
        let fact = Fact {
            event_type: HEAD.to_owned(),
            delivery_id: None,
            request: RequestRecord::default(),
            body_sha256: dedup::sha256(&body),
            body,
            dedup: vec![],
            on_duplicate: OnDuplicate::Keep,
        };
        let proven = Proven::Own(AuditEntry::by(&by, "audit.head", "audit", now, facts));
        commit(self, &registry, &doors.own, proven, fact, now).await.map(drop)
    }
}
