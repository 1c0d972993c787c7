//! One version of a secret as kept, and whose it is.

use crate::clock::Timestamp;
use crate::ids::{DestinationId, SourceId};
use crate::kms::Sealed;

/// What a secret belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretOwner {
    /// A source.
    Source(SourceId),
    /// A destination.
    Destination(DestinationId),
}

/// One version of a secret as kept: sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedSecret {
    /// Whose it is.
    pub owner: SecretOwner,
    /// 1 for the owner's first; rises.
    pub version: u32,
    /// What it is for: the name of the scheme that it is a key of, or the setting of a destination that it holds
    /// ([`super::URL`] and its like). Empty at a source, which has one scheme.
    pub purpose: String,
    /// The value under envelope encryption.
    pub sealed: Sealed,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until, if an end is set.
    pub not_after: Option<Timestamp>,
    /// When an operator revoked it.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it came from: `generated`, `import`, `config`.
    pub origin: String,
    /// First use that verified or signed.
    pub first_used_at: Option<Timestamp>,
    /// Latest use.
    pub last_used_at: Option<Timestamp>,
    /// How many requests it verified or attempts it signed.
    pub uses: u64,
    /// When an attempt that it signed last succeeded.
    pub last_accepted_at: Option<Timestamp>,
}

impl SealedSecret {
    /// Whether it may be used at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.not_before <= now && self.not_after.is_none_or(|end| now < end)
    }
}
