//! Who may: what an organization's people and programs prove themselves with.
//! Owns credentials and their limits; what a caller may do with a scope is each operation's, how it is asked over HTTP
//! the gateway's.

mod first_user;
mod id_token;
mod identities;
mod keys;
pub mod limiter;
mod login;
mod own;
mod password;
mod prove;
mod token;
mod totp;
mod users;
mod uses;

pub use first_user::FirstUser;
pub use id_token::{Expected, ProviderKeys, TokenRefusal};
pub use identities::{Admission, Vouched};
pub use keys::{BOOTSTRAP, NewKey};
pub(crate) use login::totp_place;
pub use login::{Login, LoginAnswer, Origin, SESSION_IDLE, SESSION_MAX, SignedIn};
pub use own::TotpStart;
pub use password::{PASSWORD_MAX, PASSWORD_MIN};
pub use prove::Again;
pub use token::Token;
pub use users::{INVITATION, NewUser, UserPatch};

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::{OrganizationId, SessionId, UserId};
use crate::kms::KmsError;
use crate::model::{ApiKey, Principal, Scopes, Session, User};
use crate::store::{AccountChange, Credential, StoreError};
use login::Tries;
use password::Passwords;
use token::digest_of;
use uses::Uses;

/// How often uses are written at most.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// Why an act on accounts was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// What the engine says of any act.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Nobody can give away what they may not do themselves.
    #[error("nobody can give away scopes that they do not have themselves")]
    Scopes,
    /// Something stands in the way.
    #[error("{0}")]
    Taken(String),
    /// It would lock everybody out.
    #[error("nobody could administer the organization any more: make another key or user with scope `admin` first")]
    LastAdmin,
    /// The password given is not the user's.
    #[error("the password is not right")]
    WrongPassword,
    /// The code given is not the user's, or was used before.
    #[error("the code is not right, or was used before")]
    WrongCode,
    /// Too many tries.
    #[error("too many tries: wait {} s", .0.as_secs() + 1)]
    TooOften(Duration),
}

impl AccountError {
    fn invalid(problem: impl Into<String>) -> Self {
        Self::Engine(EngineError::Invalid(problem.into()))
    }
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<KmsError> for AccountError {
    fn from(error: KmsError) -> Self {
        Self::Engine(error.into())
    }
}

/// Whom a credential proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Who acts.
    pub principal: Principal,
    /// What they may do.
    pub scopes: Scopes,
    /// The session, when it is a person.
    pub signed_in: Option<SignedInAs>,
}

/// A user's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedInAs {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub session: SessionId,
    /// When they last proved in it who they are.
    pub proven_at: Timestamp,
}

/// What accounts keep in memory.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    uses: Uses,
    tries: Tries,
    passwords: Passwords,
}

impl Accounts {
    /// The condition under which a credential may go. The default organization always has the key that the installation
    /// is started with.
    fn keep_an_admin(organization: OrganizationId, now: Timestamp) -> Option<AccountChange> {
        (organization != OrganizationId::DEFAULT).then_some(AccountChange::KeepAnAdmin(now))
    }

    /// Brings what the store knows of a session's uses up to this moment.
    fn see(&self, session: &mut Session) {
        let noted = self.uses.noted(Credential::Session(session.id));
        session.last_seen_at = noted.unwrap_or(session.last_seen_at).max(session.last_seen_at);
    }
}

impl Engine {
    /// Whom `token` proves, from `address`; `None` when that is nobody. What is revoked is unknown from the next call on:
    /// the store is asked each time.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer: nothing is known of the caller then.
    pub async fn authenticate(&self, token: &str, address: &str) -> Result<Option<Proven>, EngineError> {
        let Some(digest) = digest_of(token) else { return Ok(None) };
        let now = self.inner().clock().now();
        // No key has a dot before its random part: prefixes are letters and digits.
        if !token.starts_with("session.") {
            let key = self.inner().store().key_by_digest(digest).await?;
            let Some(key) = key.filter(|key| key.is_live(now)) else { return Ok(None) };
            self.inner().accounts().uses.note(Credential::Key(key.id), now);
            return Ok(Some(program(key, address)));
        }
        let Some((mut session, user)) = self.inner().store().session_by_digest(digest).await? else { return Ok(None) };
        self.inner().accounts().see(&mut session);
        if !is_alive(&session, now) || user.disabled_at.is_some() {
            return Ok(None);
        }
        self.inner().accounts().uses.note(Credential::Session(session.id), now);
        Ok(Some(person(&session, &user, address)))
    }

    /// Writes when credentials were used, a moment after they were and at most once in each [`WRITE_EVERY`].
    pub(crate) async fn write_uses(&self, stop: &CancellationToken) {
        let (uses, clock) = (&self.inner().accounts().uses, self.inner().clock());
        while stop.run_until_cancelled(uses.added()).await.is_some() {
            stop.run_until_cancelled(clock.sleep_until(clock.now().plus(WRITE_EVERY))).await;
            uses.write(self.inner().store()).await;
        }
        uses.write(self.inner().store()).await;
    }

    /// Removes what is over: nothing depends on it but the disk.
    pub(crate) async fn forget_sessions(&self, now: Timestamp) -> Result<(), StoreError> {
        self.inner().store().forget_sessions(now, now.minus(SESSION_IDLE)).await
    }
}

fn is_alive(session: &Session, now: Timestamp) -> bool {
    now < session.ends_at && now < session.last_seen_at.plus(SESSION_IDLE)
}

fn program(key: ApiKey, address: &str) -> Proven {
    let ApiKey { organization, name, scopes, .. } = key;
    let principal = Principal { organization, actor: format!("key:{name}"), address: address.to_owned() };
    Proven { principal, scopes, signed_in: None }
}

fn person(session: &Session, user: &User, address: &str) -> Proven {
    let signed_in = Some(SignedInAs { user: user.id, session: session.id, proven_at: session.proved_at });
    Proven { principal: users::user_principal(user, address), scopes: user.scopes, signed_in }
}
