//! One entry of the audit log.

use super::Principal;
use crate::clock::Timestamp;
use crate::ids::OrganizationId;

/// One entry of the audit log, before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Whose it is.
    pub organization: OrganizationId,
    /// Who: `source:github`, `key:bootstrap`, `user:ada@example.com`, `config`, `system`.
    pub actor: String,
    /// From which address; empty for what the engine does by itself.
    pub address: String,
    /// What: `webhook.deliver`, `webhook.duplicate`, `webhook.refused`, `secret.reveal`, …
    pub action: String,
    /// On what: `source:github`, `destination:ci`, …
    pub target: String,
    /// When.
    pub at: Timestamp,
    /// Details as a JSON object, never a secret. What was changed stands in `before` and `after`.
    pub detail: serde_json::Value,
}

impl AuditEntry {
    /// What a principal did.
    pub fn by(
        principal: &Principal,
        action: impl Into<String>,
        target: impl Into<String>,
        at: Timestamp,
        detail: serde_json::Value,
    ) -> Self {
        let Principal { organization, actor, address } = principal.clone();
        Self { organization, actor, address, action: action.into(), target: target.into(), at, detail }
    }
}
