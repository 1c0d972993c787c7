//! API keys, users and their sessions, as they are kept: nothing here proves anything to anybody.

use crate::clock::Timestamp;
use crate::ids::{KeyId, OrganizationId, SessionId, UserId};
use crate::kms::Sealed;
use crate::model::Scopes;

/// The SHA-256 of a random text. The text has at least 80 bits of chance in it, mostly 256, so a slow hash would add
/// nothing.
pub type Digest = [u8; 32];

/// What a program proves itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identity.
    pub id: KeyId,
    /// Whose it is.
    pub organization: OrganizationId,
    /// Unique among the organization's keys that are not revoked; the audit log names it so.
    pub name: String,
    /// Of the key's text.
    pub digest: Digest,
    /// What the text begins with: the organization's own.
    pub prefix: String,
    /// What the text ends with.
    pub last_four: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself, if it does.
    pub expires_at: Option<Timestamp>,
    /// About when it was last used: known a few seconds late.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it may be used at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// A person in an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its identity.
    pub id: UserId,
    /// Whose user this is.
    pub organization: OrganizationId,
    /// Unique in the organization, in lower case; the audit log names the user so.
    pub email: String,
    /// What the user may do.
    pub scopes: Scopes,
    /// The argon2id hash of the password; `None` until one is set.
    pub password: Option<String>,
    /// The second factor.
    pub totp: Option<Totp>,
    /// Who made the user.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// The last login.
    pub last_login_at: Option<Timestamp>,
    /// Since when the user may not sign in, if so.
    pub disabled_at: Option<Timestamp>,
}

/// A user's second factor: a key for time-based codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// The key under envelope encryption.
    pub sealed: Sealed,
    /// Since when it is asked for; `None` while the user has not shown a code yet.
    pub confirmed_at: Option<Timestamp>,
}

/// Who a user is at an OpenID Connect provider: only both together name somebody.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The provider's own name for the user.
    pub subject: String,
}

/// A user who is signed in somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its identity, which proves nothing.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Of the text that proves it.
    pub digest: Digest,
    /// Where it began.
    pub address: String,
    /// What the browser or program called itself there.
    pub agent: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When the user last proved in it who they are.
    pub proved_at: Timestamp,
    /// About when it was last used: known a few seconds late.
    pub last_seen_at: Timestamp,
    /// When it ends, however much it is used.
    pub ends_at: Timestamp,
}
