//! What an organization says of a type of event that it publishes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Declaration;
use crate::clock::Timestamp;
use crate::ids::OrganizationId;

/// A type of event that is declared.
#[derive(Debug, Clone, PartialEq)]
pub struct EventType {
    /// Whose; names are unique within it.
    pub organization: OrganizationId,
    /// As events say it: 1 to 256 characters of `A-Z a-z 0-9 . _ : / -`.
    pub name: String,
    /// What is said of it.
    pub spec: EventTypeSpec,
    /// How it came to be declared.
    pub declaration: Declaration,
    /// Since when.
    pub created_at: Timestamp,
}

/// What is said of a type of event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventTypeSpec {
    /// What such an event tells, for people.
    pub description: String,
    /// The JSON Schema (draft 2020-12 or 7) that payloads have to fit.
    pub schema: Option<Value>,
    /// A payload that such an event may have.
    pub example: Option<Value>,
    /// Whether receivers should turn to another: it is published all the same.
    pub deprecated: bool,
}
