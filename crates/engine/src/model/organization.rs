//! The tenant: everything belongs to one.

use crate::clock::Timestamp;
use crate::ids::OrganizationId;

/// A tenant: everything belongs to one, and none sees another's anything. The default one also operates the installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its identity.
    pub id: OrganizationId,
    /// Unique: `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// What its API keys begin with, before a `_`: `[a-z0-9]`, 1 to 16 characters.
    pub key_prefix: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its erasure began; from then on nothing of it is in force.
    pub erasing_at: Option<Timestamp>,
}

impl Organization {
    /// What `name` is called where things of several organizations stand side by side: `acme/github`, and just `github` in
    /// the default one.
    pub fn name_of(&self, name: &str) -> String {
        if self.id == OrganizationId::DEFAULT { name.to_owned() } else { format!("{}/{name}", self.name) }
    }
}
