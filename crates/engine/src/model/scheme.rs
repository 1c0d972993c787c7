//! A scheme that an organization has of its own.

use serde_json::Value;

use super::Declaration;
use crate::clock::Timestamp;
use crate::ids::OrganizationId;

/// The setting of a private scheme's table, beside those of a scheme file, that says that it may have the name of one of
/// the catalog.
pub const REPLACES_CATALOG: &str = "replaces_catalog";

/// A private scheme.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivateScheme {
    /// Whose; names are unique within it.
    pub organization: OrganizationId,
    /// As the file says it: `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// The scheme file.
    pub toml: String,
    /// How often it was given, from 1.
    pub version: u32,
    /// How it came to be declared.
    pub declaration: Declaration,
    /// Since when.
    pub created_at: Timestamp,
    /// Since when it is as it is.
    pub updated_at: Timestamp,
}

impl PrivateScheme {
    /// Whether it was said that it may have the name of one of the catalog.
    pub fn replaces_catalog(&self) -> bool {
        replaces_catalog(&self.declaration.table)
    }
}

/// Whether this table of a private scheme says that it may have the name of one of the catalog.
pub fn replaces_catalog(table: &Value) -> bool {
    table.get(REPLACES_CATALOG) == Some(&Value::Bool(true))
}
