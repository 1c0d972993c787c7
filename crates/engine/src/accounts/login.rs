//! Signing in: password, second factor, and how often they may be tried. Owns sessions' lives; how a session is carried is
//! the gateway's.
//!
//! Tries are counted in three places: for each address; for each account over all addresses from which it never signed in;
//! and for each account at an address from which it did. So guessing at an account from everywhere at once is slow, and
//! whoever does so does not keep its owner out of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::limiter::Limiter;
use super::totp::TotpKey;
use super::users::{user_audit, user_principal};
use super::{AccountError, Token, token};
use crate::clock::{Entropy, Timestamp};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::{OrganizationId, SessionId, UserId};
use crate::kms::seal::open;
use crate::model::{Principal, Rate, Session, User};
use crate::store::{AccountChange, Changed};

/// How long a session lasts without being used.
pub const SESSION_IDLE: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a session lasts, however much it is used.
pub const SESSION_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Tries of one address that prove nothing: twenty at once, one in ten seconds.
const BY_ADDRESS: Rate = Rate { requests: 1, per: Duration::from_secs(10), burst: 20 };

/// Tries of one account that prove nothing: ten at once, one in a minute.
const BY_ACCOUNT: Rate = Rate { requests: 1, per: Duration::from_secs(60), burst: 10 };

/// Addresses, and accounts, that are told apart.
const TOLD_APART: usize = 10_000;

/// How much of what a browser calls itself is kept, in characters.
const AGENT_MAX: usize = 200;

/// Who tries to sign in, with what.
#[derive(Debug)]
pub struct Login {
    /// The organization's name.
    pub organization: String,
    /// The user's address.
    pub email: String,
    /// The password.
    pub password: Zeroizing<String>,
    /// A code of the second factor, or a recovery code.
    pub code: Option<Zeroizing<String>>,
    /// From where.
    pub origin: Origin,
}

/// Where somebody signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The address, as the listener saw it.
    pub address: String,
    /// What the browser or program calls itself.
    pub agent: String,
}

/// What came of trying to sign in.
#[derive(Debug)]
pub enum LoginAnswer {
    /// The user is signed in.
    In(Box<SignedIn>),
    /// Not this user, or not this password, or not this code: it is not said which.
    Refused,
    /// The password is right; a code is needed as well.
    CodeNeeded,
    /// Too many tries; how long to wait. Nothing was looked at.
    TooOften(Duration),
}

/// A session that began.
#[derive(Debug)]
pub struct SignedIn {
    /// Whose.
    pub user: User,
    /// The session.
    pub session: Session,
    /// What proves it: shown once.
    pub token: Token,
}

/// What is counted for an account: over all addresses, or at one from which it signed in before.
type AccountAt = (OrganizationId, String, Option<IpAddr>);

/// How often may be tried what.
#[derive(Debug)]
pub(crate) struct Tries {
    by_address: Limiter<IpAddr>,
    by_account: Limiter<AccountAt>,
}

impl Default for Tries {
    fn default() -> Self {
        Self { by_address: Limiter::new(BY_ADDRESS, TOLD_APART), by_account: Limiter::new(BY_ACCOUNT, TOLD_APART) }
    }
}

impl Engine {
    /// Signs a user in.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`]: nothing is known of the user then.
    pub async fn login(&self, login: Login) -> Result<LoginAnswer, AccountError> {
        let Login { organization, email, password, code, origin } = login;
        let email = email.trim().to_lowercase();
        if let Err(wait) = self.try_from_address(&origin.address) {
            return Ok(LoginAnswer::TooOften(wait));
        }
        let found = self.organizations().into_iter().find(|known| known.name == organization);
        let organization = found.as_ref().map_or(OrganizationId::DEFAULT, |found| found.id);
        let user = match &found {
            Some(found) => self.inner().store().user_by_email(found.id, &email).await?,
            None => None,
        };
        let account = (organization, cut(&email), self.known_address(user.as_ref(), &origin.address).await?);
        if let Err(wait) = self.try_account(&account) {
            return Ok(LoginAnswer::TooOften(wait));
        }
        let hash = user.as_ref().and_then(|user| user.password.clone());
        let is_right = self.inner().accounts().passwords.verify(password, hash).await?;
        let user = user.filter(|user| is_right && user.disabled_at.is_none());
        let Some(user) = user else {
            return self.refuse(organization, &email, &origin, "password").await;
        };
        let now = self.inner().clock().now();
        let (mut changes, factor) = match (self.totp_key(&user).await?, code) {
            (None, _) => (vec![], json!("none")),
            (Some(_), None) => {
                self.forgive(&account, &origin.address);
                return Ok(LoginAnswer::CodeNeeded);
            }
            (Some(key), Some(code)) => match second_factor(&user, &key, &code, now) {
                (Some(change), factor) => (vec![change], json!(factor)),
                (None, _) => return self.refuse(organization, &email, &origin, "code").await,
            },
        };
        let (session, token) = self.new_session(&user, &origin, now);
        changes.extend([AccountChange::LoggedIn(user.id, now), AccountChange::AddSession(session.clone())]);
        let detail = json!({ "session": session.id.to_string(), "second_factor": factor });
        let audit = user_audit(&user_principal(&user, &origin.address), "user.login", &user, now, detail);
        match self.inner().store().change_accounts(organization, changes, vec![audit]).await? {
            Changed::Done => {
                self.forgive(&account, &origin.address);
                Ok(LoginAnswer::In(Box::new(SignedIn { user, session, token })))
            }
            _ => self.refuse(organization, &email, &origin, "code").await,
        }
    }

    /// Counts a try from an address to prove something.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub fn try_from_address(&self, address: &str) -> Result<(), Duration> {
        self.inner().accounts().tries.by_address.take(&network(address), self.inner().clock().elapsed())
    }

    /// Takes one try of an address back: it proved something after all.
    pub fn forgive_address(&self, address: &str) {
        self.inner().accounts().tries.by_address.forgive(&network(address));
    }

    /// Tells whether a user's password is right, counting the tries.
    pub(super) async fn check_password(
        &self,
        user: &User,
        password: Zeroizing<String>,
        by: &Principal,
    ) -> Result<(), AccountError> {
        let account = (user.organization, user.email.clone(), Some(network(&by.address)));
        self.try_account(&account).map_err(AccountError::TooOften)?;
        if !self.inner().accounts().passwords.verify(password, user.password.clone()).await? {
            return Err(AccountError::WrongPassword);
        }
        self.inner().accounts().tries.by_account.forgive(&account);
        Ok(())
    }

    /// Counts a try of a user's own to show a code.
    pub(super) fn try_code(&self, user: &User, by: &Principal) -> Result<(), AccountError> {
        let account = (user.organization, user.email.clone(), Some(network(&by.address)));
        self.try_account(&account).map_err(AccountError::TooOften)
    }

    /// The key of a user's second factor, if it is in force.
    pub(super) async fn totp_key(&self, user: &User) -> Result<Option<TotpKey>, EngineError> {
        match &user.totp {
            Some(totp) if totp.confirmed_at.is_some() => self.open_totp(user).await,
            _ => Ok(None),
        }
    }

    /// The key of a user's second factor, in force or not.
    pub(super) async fn open_totp(&self, user: &User) -> Result<Option<TotpKey>, EngineError> {
        let Some(totp) = &user.totp else { return Ok(None) };
        let key = open(self.inner().kms(), &totp_aad(user), &totp.sealed).await?;
        Ok(Some(TotpKey::from_bytes(key)))
    }

    /// A session that begins now, under an id and a token of its own.
    pub(super) fn new_session(&self, user: &User, origin: &Origin, now: Timestamp) -> (Session, Token) {
        let token = session_token(self.inner().entropy());
        let session = Session {
            id: SessionId::new(now, self.inner().entropy()),
            user: user.id,
            digest: token.digest(),
            address: origin.address.clone(),
            agent: origin.agent.chars().filter(|letter| !letter.is_control()).take(AGENT_MAX).collect(),
            created_at: now,
            proved_at: now,
            last_seen_at: now,
            ends_at: now.plus(SESSION_MAX),
        };
        (session, token)
    }

    fn try_account(&self, account: &AccountAt) -> Result<(), Duration> {
        self.inner().accounts().tries.by_account.take(account, self.inner().clock().elapsed())
    }

    fn forgive(&self, account: &AccountAt, address: &str) {
        self.inner().accounts().tries.by_account.forgive(account);
        self.forgive_address(address);
    }

    /// The address, when the user has a session that began there.
    async fn known_address(&self, user: Option<&User>, address: &str) -> Result<Option<IpAddr>, EngineError> {
        let Some(user) = user else { return Ok(None) };
        let here = network(address);
        let sessions = self.inner().store().sessions(user.id).await?;
        Ok(sessions.iter().any(|session| network(&session.address) == here).then_some(here))
    }

    async fn refuse(
        &self,
        organization: OrganizationId,
        email: &str,
        origin: &Origin,
        wrong: &str,
    ) -> Result<LoginAnswer, AccountError> {
        let by = Principal { organization, actor: "nobody".to_owned(), address: origin.address.clone() };
        self.note_refused_login(&by, email, wrong).await?;
        Ok(LoginAnswer::Refused)
    }
}

/// A token under which a session is found.
pub(super) fn session_token(entropy: &dyn Entropy) -> Token {
    Token::new("session.", entropy)
}

/// What a code proves: the change that makes it count once, and what it was.
pub(super) fn second_factor(user: &User, key: &TotpKey, code: &str, now: Timestamp) -> (Option<AccountChange>, Value) {
    let code = code.trim();
    if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        return (key.step_of(code, now).map(|step| AccountChange::UseTotpStep(user.id, step)), json!("totp"));
    }
    let digest = token::recovery_digest(code);
    (Some(AccountChange::SpendRecoveryCode(user.id, digest)), json!("recovery_code"))
}

/// What the key of a second factor is bound to: a ciphertext moved to another user does not open.
pub(super) fn totp_aad(user: &User) -> Vec<u8> {
    totp_place(user.organization, user.id)
}

/// The same by name.
pub(crate) fn totp_place(organization: OrganizationId, user: UserId) -> Vec<u8> {
    let mut data = b"hookward/totp/v1\0".to_vec();
    data.extend_from_slice(organization.as_bytes());
    data.extend_from_slice(user.as_bytes());
    data
}

/// Who is one at this address: an IPv6 network counts as a whole, because whoever has one has all of its addresses.
fn network(address: &str) -> IpAddr {
    let address = address.parse::<IpAddr>().or_else(|_| address.parse::<SocketAddr>().map(|socket| socket.ip()));
    match address.map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        Ok(address) => address,
        Err(_) => IpAddr::from([0; 4]),
    }
}

/// Somebody else's text, no longer than an email address can be.
fn cut(email: &str) -> String {
    email.chars().take(254).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_address_and_ports_do_not_count() {
        assert_eq!(network("192.0.2.1:443"), network("192.0.2.1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_eq!(network("[2001:db8::1]:443"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
