//! The store's verbs about sealed values, whatever they are of: listed by the key that wraps them, and wrapped anew.

use async_trait::async_trait;

use super::StoreError;
use crate::ids::{OrganizationId, UserId};
use crate::kms::Sealed;
use crate::model::{AuditEntry, SecretOwner};

/// Where a sealed value is kept. The order is that of [`SealedValues::sealed_elsewhere`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealedPlace {
    /// A version of a source's or destination's secret.
    Secret {
        /// Whose it is.
        organization: OrganizationId,
        /// What it is of.
        owner: SecretOwner,
        /// Which.
        version: u32,
    },
    /// The key of a user's second factor.
    Totp {
        /// Whose user.
        organization: OrganizationId,
        /// Which.
        user: UserId,
    },
    /// The installation key.
    InstallationKey,
}

/// A sealed value and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedValue {
    /// Where.
    pub place: SealedPlace,
    /// As it is there.
    pub sealed: Sealed,
}

/// A sealed value that is to be replaced by the same value under another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resealed {
    /// Where.
    pub place: SealedPlace,
    /// What has to be there; if anything else is, it stays.
    pub before: Sealed,
    /// What comes there.
    pub after: Sealed,
}

/// The engine's note of a rewrap, kept with what it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrapNote {
    /// The name of the meta value.
    pub name: &'static str,
    /// Its text.
    pub value: Vec<u8>,
}

/// What is sealed, wherever it is kept.
#[async_trait]
pub trait SealedValues: Send + Sync + std::fmt::Debug {
    /// Values whose data key another key than `key_id` wraps, after a place, at most `limit`.
    async fn sealed_elsewhere(
        &self,
        key_id: &str,
        after: Option<SealedPlace>,
        limit: u32,
    ) -> Result<Vec<SealedValue>, StoreError>;

    /// Replaces values that are still what they were, with the note and the audit entries in the same transaction.
    async fn reseal(&self, values: Vec<Resealed>, note: RewrapNote, audit: Vec<AuditEntry>) -> Result<(), StoreError>;

    /// How many values each key wraps, by key.
    async fn sealed_counts(&self) -> Result<Vec<(String, u64)>, StoreError>;
}
