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
use crate::ids::OrganizationId;
use crate::model::{AuditEntry, Broken, ChainHash, ChainRow, Head, Principal, RequestRecord, Verifier, Why};
use crate::store::{AuditRange, KeptRow, OnDuplicate, StoreError};

/// The event type by which the chain's head is told.
pub const HEAD: &str = "hookward.audit.head";

/// Rows that an export or a check holds in memory at once.
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

/// A check of the log under way: what was checked so far is as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainCheck {
    /// The position before the first row that is checked.
    pub after: i64,
    /// The last row that was checked.
    pub head: Head,
    /// The last row that there was when the check began.
    pub until: i64,
    /// A head that was published, which the log has to reach, and with this hash.
    pub published: Option<Head>,
}

impl ChainCheck {
    /// Whether there is nothing left to check.
    pub fn is_done(&self) -> bool {
        self.head.seq >= self.until
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

    /// Begins a check of the log's last `last` rows, of all of them when absent. With a head that was published it begins early
    /// enough to come by that.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`]; [`EngineError::Inconsistent`] when a row cannot even be read.
    pub async fn begin_audit_check(
        &self,
        last: Option<u32>,
        published: Option<Head>,
    ) -> Result<ChainCheck, EngineError> {
        let store = self.inner().store();
        let until = store.audit_head().await?.seq;
        let after = last.map_or(0, |last| until.saturating_sub(last.into()));
        let after = published.map_or(after, |published| after.min(published.seq - 1)).max(0);
        let first = store.audit_rows(AuditRange { organization: None, after, until, limit: 1 }).await?;
        let hash = first.first().map_or(ChainHash::START, |row| row.prev);
        Ok(ChainCheck { after, head: Head { seq: after, hash }, until, published })
    }

    /// Goes on with a check by at most `rows` rows: of an organization's own, each by itself, or of all, which have to follow
    /// one another. The answer is the check as far as it is then, or the first row that is not as it was written.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`]; [`EngineError::Inconsistent`] when a row cannot even be read.
    pub async fn check_audit(
        &self,
        organization: Option<OrganizationId>,
        mut check: ChainCheck,
        rows: u32,
    ) -> Result<Result<ChainCheck, Broken>, EngineError> {
        let verifier = match organization {
            None => Verifier::after(check.head),
            Some(_) => Verifier::of_some(),
        };
        let mut verifier = check.published.into_iter().fold(verifier, Verifier::against);
        let mut left = rows;
        while left > 0 && !check.is_done() {
            let limit = left.min(STEP);
            let range = AuditRange { organization, after: check.head.seq, until: check.until, limit };
            let found = self.inner().store().audit_rows(range).await?;
            for row in &found {
                let (prev, hash) = (Some(row.prev.as_bytes().as_slice()), row.hash.as_bytes());
                if let Err(broken) = verifier.check(&ChainRow { seq: row.seq, facts: row.facts(), prev, hash }) {
                    return Ok(Err(broken));
                }
            }
            match (found.last(), organization) {
                (Some(last), _) => check.head = Head { seq: last.seq, hash: last.hash },
                (None, Some(_)) => check.head.seq = check.until,
                (None, None) => return Ok(Err(ends_before(check.head.seq))),
            }
            left -= limit;
        }
        match check.published {
            Some(published) if check.is_done() && published.seq > check.until => Ok(Err(ends_before(check.until))),
            _ => Ok(Ok(check)),
        }
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

fn ends_before(last: i64) -> Broken {
    Broken { seq: last + 1, why: Why::Missing { next: None } }
}

impl Inner {
    async fn publish_head(&self) -> Result<(), StoreError> {
        let (registry, now) = (self.registry(), self.clock().now());
        let by = Principal::system(OrganizationId::DEFAULT);
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
