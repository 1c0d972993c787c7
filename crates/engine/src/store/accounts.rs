//! The store's verbs about keys, users and sessions.

use async_trait::async_trait;

use super::{Listing, Page, StoreError};
use crate::clock::Timestamp;
use crate::ids::{KeyId, OrganizationId, SessionId, UserId};
use crate::kms::Sealed;
use crate::model::{ApiKey, AuditEntry, Digest, Identity, Scopes, Session, User};

/// A change to an organization's accounts, or a condition of one.
#[derive(Debug, Clone, PartialEq)]
pub enum AccountChange {
    /// Insert a key; refused with [`Changed::Taken`] when another has its name.
    AddKey(ApiKey),
    /// End a key; one that is revoked already stays as it is.
    RevokeKey(KeyId, Timestamp),
    /// Insert a user; refused with [`Changed::Taken`] when another has the email address.
    AddUser(User),
    /// What a user may do.
    SetScopes(UserId, Scopes),
    /// Since when a user may not sign in; `None` ends that.
    SetDisabled(UserId, Option<Timestamp>),
    /// The hash of a user's password.
    SetPassword(UserId, Option<String>),
    /// The key of a user's second factor, unconfirmed, in place of any other; `None` ends it and its recovery codes.
    SetTotp(UserId, Option<Sealed>),
    /// The second factor is asked for from now on.
    ConfirmTotp(UserId, Timestamp),
    /// Only if no code of this step or a later one was used: [`Changed::Spent`] otherwise.
    UseTotpStep(UserId, u64),
    /// A user signed in.
    LoggedIn(UserId, Timestamp),
    /// Remove a user and all that is only theirs.
    RemoveUser(UserId),
    /// Who the user is at a provider; [`Changed::Taken`] when that is another user.
    AddIdentity(UserId, Identity),
    /// The right to set a password, in place of any other of the user's.
    Invite(UserId, Digest, Timestamp),
    /// Only if this invitation of the user's has not ended at this time; it ends with it. [`Changed::Spent`] otherwise.
    SpendInvitation(UserId, Digest, Timestamp),
    /// Recovery codes in place of all others of the user's.
    SetRecoveryCodes(UserId, Vec<Digest>),
    /// Only if the user has this code; it is gone with it. [`Changed::Spent`] otherwise.
    SpendRecoveryCode(UserId, Digest),
    /// Insert a session.
    AddSession(Session),
    /// The user of a session proved in it who they are. It goes on under this token, and under no earlier one.
    Prove(UserId, SessionId, Digest, Timestamp),
    /// End one session of a user.
    EndSession(UserId, SessionId),
    /// End all sessions of a user but this one.
    EndSessions(UserId, Option<SessionId>),
    /// Only if after the changes before this one somebody may still administer the organization at this time: a key that
    /// is live, or a user who can sign in. [`Changed::LastAdmin`] otherwise.
    KeepAnAdmin(Timestamp),
    /// Only if nobody may administer the organization at this time: [`Changed::Taken`] otherwise.
    NeedsAnAdmin(Timestamp),
    /// Only if the organization has no user: [`Changed::Taken`] otherwise.
    NoUser,
}

/// What came of changes; but for `Done`, nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// All of them are in force.
    Done,
    /// A name, an address or an identity belongs to another already.
    Taken,
    /// What was to be used once was used, or never was.
    Spent,
    /// Nobody could administer the organization any more.
    LastAdmin,
}

/// What was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A key.
    Key(KeyId),
    /// A session.
    Session(SessionId),
}

/// Keys, users and sessions. A key, user or session of an organization that is being erased is not found by what
/// proves it.
#[async_trait]
pub trait Accounts: Send + Sync + std::fmt::Debug {
    /// The key with this digest, live or not.
    async fn key_by_digest(&self, digest: Digest) -> Result<Option<ApiKey>, StoreError>;

    /// The session with this digest and its user, whether or not it is over.
    async fn session_by_digest(&self, digest: Digest) -> Result<Option<(Session, User)>, StoreError>;

    /// The user with this invitation, if it has not ended at this time.
    async fn user_by_invitation(&self, digest: Digest, now: Timestamp) -> Result<Option<User>, StoreError>;

    /// The organization's user of this address.
    async fn user_by_email(&self, organization: OrganizationId, email: &str) -> Result<Option<User>, StoreError>;

    /// The organization's user who is this at a provider.
    async fn user_by_identity(&self, organization: OrganizationId, who: Identity) -> Result<Option<User>, StoreError>;

    /// One key of the organization.
    async fn key(&self, organization: OrganizationId, id: KeyId) -> Result<ApiKey, StoreError>;

    /// The organization's keys, newest first, revoked ones included.
    async fn keys(&self, organization: OrganizationId, page: Page) -> Result<Listing<ApiKey>, StoreError>;

    /// One user of the organization.
    async fn user(&self, organization: OrganizationId, id: UserId) -> Result<User, StoreError>;

    /// The organization's users, newest first.
    async fn users(&self, organization: OrganizationId, page: Page) -> Result<Listing<User>, StoreError>;

    /// A user's sessions, newest first, those that are over included until they are forgotten.
    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError>;

    /// How many recovery codes a user has left.
    async fn recovery_codes(&self, user: UserId) -> Result<u32, StoreError>;

    /// Applies changes in their order with the audit entries, all or nothing.
    async fn change_accounts(
        &self,
        organization: OrganizationId,
        changes: Vec<AccountChange>,
        audit: Vec<AuditEntry>,
    ) -> Result<Changed, StoreError>;

    /// Notes when credentials were last used.
    async fn used(&self, uses: Vec<(Credential, Timestamp)>) -> Result<(), StoreError>;

    /// Removes sessions that ended before `now` or were last seen before `seen`, and invitations that ended before `now`.
    async fn forget_sessions(&self, now: Timestamp, seen: Timestamp) -> Result<(), StoreError>;
}
