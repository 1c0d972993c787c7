//! One entry of the audit log.

use crate::clock::Timestamp;

/// One entry of the audit log, before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Who: `source:github`, `key:bootstrap`, `system`.
    pub actor: String,
    /// What: `webhook.deliver`, `webhook.duplicate`, `webhook.refused`, `secret.reveal`, …
    pub action: String,
    /// On what: `source:github`, `destination:ci`, …
    pub target: String,
    /// When.
    pub at: Timestamp,
    /// Details as a JSON object, never a secret.
    pub detail: serde_json::Value,
}
