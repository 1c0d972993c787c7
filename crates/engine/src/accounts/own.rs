//! What signed-in users do to their own accounts: password, second factor, recovery codes, sessions. Whatever a thief of a
//! session could use to stay asks for the password again, and ends all other sessions.

use serde_json::json;
use zeroize::Zeroizing;

use super::login::totp_aad;
use super::totp::TotpKey;
use super::users::{user_audit, user_principal};
use super::{AccountError, SignedIn, SignedInAs, password, token};
use crate::engine::Engine;
use crate::ids::SessionId;
use crate::kms::seal::seal;
use crate::model::{Principal, Session, User};
use crate::store::{AccountChange, Changed};

/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;

/// A second factor that is to be confirmed.
#[derive(Debug)]
pub struct TotpStart {
    /// What an authenticator app is told.
    pub uri: Zeroizing<String>,
}

impl Engine {
    /// The user who is signed in.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn own_user(&self, by: &Principal, me: SignedInAs) -> Result<User, AccountError> {
        self.user(by.organization, me.user).await
    }

    /// Changes the user's own password. All other sessions end.
    ///
    /// # Errors
    ///
    /// [`AccountError::WrongPassword`]; [`AccountError::TooOften`]; [`AccountError::Engine`].
    pub async fn change_password(
        &self,
        by: &Principal,
        me: SignedInAs,
        current: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<(), AccountError> {
        let user = self.own_user(by, me).await?;
        if let Some(problem) = password::problem(&new, &user.email) {
            return Err(AccountError::invalid(problem));
        }
        self.check_password(&user, current, by).await?;
        self.set_password(&user, me, by, new, "user.change_password").await
    }

    /// Gives the user a password who has none, since a provider signs them in. All other sessions end. There is nothing to
    /// ask for that a thief of the session would not have: callers see to it that the user has proved just now who they are.
    ///
    /// # Errors
    ///
    /// [`AccountError::Taken`] when there is a password; [`AccountError::Engine`].
    pub async fn set_first_password(
        &self,
        by: &Principal,
        me: SignedInAs,
        new: Zeroizing<String>,
    ) -> Result<(), AccountError> {
        let user = self.own_user(by, me).await?;
        if user.password.is_some() {
            return Err(AccountError::Taken("there is a password already: change it".to_owned()));
        }
        if let Some(problem) = password::problem(&new, &user.email) {
            return Err(AccountError::invalid(problem));
        }
        self.set_password(&user, me, by, new, "user.set_password").await
    }

    async fn set_password(
        &self,
        user: &User,
        me: SignedInAs,
        by: &Principal,
        new: Zeroizing<String>,
        action: &str,
    ) -> Result<(), AccountError> {
        let hash = self.inner().accounts().passwords.hash(new, self.inner().entropy()).await?;
        let changes = vec![AccountChange::SetPassword(user.id, Some(hash))];
        self.change_own(user, me, by, changes, action).await
    }

    /// Makes the key of a second factor. It is not asked for before a code of it was confirmed.
    ///
    /// # Errors
    ///
    /// [`AccountError::WrongPassword`]; [`AccountError::TooOften`]; [`AccountError::Taken`] when there is one in force;
    /// [`AccountError::Engine`].
    pub async fn start_totp(
        &self,
        by: &Principal,
        me: SignedInAs,
        password: Zeroizing<String>,
    ) -> Result<TotpStart, AccountError> {
        let user = self.own_user(by, me).await?;
        self.check_password(&user, password, by).await?;
        if user.totp.as_ref().is_some_and(|totp| totp.confirmed_at.is_some()) {
            return Err(AccountError::Taken("there is a second factor already: remove it first".to_owned()));
        }
        let key = TotpKey::new(self.inner().entropy());
        let sealed = seal(self.inner().kms(), self.inner().entropy(), &totp_aad(&user), key.as_bytes()).await?;
        let changes = vec![AccountChange::SetTotp(user.id, Some(sealed))];
        let audit = user_audit(by, "user.totp_start", &user, self.inner().clock().now(), json!({}));
        self.inner().store().change_accounts(user.organization, changes, vec![audit]).await?;
        Ok(TotpStart { uri: key.uri("Hookward", &user.email) })
    }

    /// Puts the second factor in force and returns new recovery codes. All other sessions end.
    ///
    /// # Errors
    ///
    /// [`AccountError::WrongCode`]; [`AccountError::TooOften`]; [`AccountError::Taken`] when there is none to confirm;
    /// [`AccountError::Engine`].
    pub async fn confirm_totp(
        &self,
        by: &Principal,
        me: SignedInAs,
        code: &str,
    ) -> Result<Vec<Zeroizing<String>>, AccountError> {
        let user = self.own_user(by, me).await?;
        let is_waiting = user.totp.as_ref().is_some_and(|totp| totp.confirmed_at.is_none());
        let key = self.open_totp(&user).await?.filter(|_| is_waiting);
        let key = key.ok_or_else(|| AccountError::Taken("no second factor waits to be confirmed".to_owned()))?;
        self.try_code(&user, by)?;
        let now = self.inner().clock().now();
        let step = key.step_of(code.trim(), now).ok_or(AccountError::WrongCode)?;
        let (codes, set_codes) = self.new_recovery_codes(&user);
        let changes =
            vec![AccountChange::UseTotpStep(user.id, step), AccountChange::ConfirmTotp(user.id, now), set_codes];
        self.change_own(&user, me, by, changes, "user.totp_enable").await?;
        Ok(codes)
    }

    /// Ends the second factor. All other sessions end.
    ///
    /// # Errors
    ///
    /// [`AccountError::WrongPassword`]; [`AccountError::WrongCode`]; [`AccountError::TooOften`];
    /// [`AccountError::Engine`].
    pub async fn remove_totp(
        &self,
        by: &Principal,
        me: SignedInAs,
        password: Zeroizing<String>,
        code: &str,
    ) -> Result<(), AccountError> {
        let user = self.own_user(by, me).await?;
        self.check_password(&user, password, by).await?;
        let spend = self.spend_code(&user, by, code).await?;
        let changes = spend.into_iter().chain([AccountChange::SetTotp(user.id, None)]).collect();
        self.change_own(&user, me, by, changes, "user.totp_disable").await
    }

    /// New recovery codes in place of those that were there.
    ///
    /// # Errors
    ///
    /// As for [`Engine::remove_totp`]; [`AccountError::Taken`] when there is no second factor.
    pub async fn renew_recovery_codes(
        &self,
        by: &Principal,
        me: SignedInAs,
        password: Zeroizing<String>,
        code: &str,
    ) -> Result<Vec<Zeroizing<String>>, AccountError> {
        let user = self.own_user(by, me).await?;
        self.check_password(&user, password, by).await?;
        let spend = self.spend_code(&user, by, code).await?;
        let spend = spend.ok_or_else(|| AccountError::Taken("there is no second factor to recover".to_owned()))?;
        let (codes, set_codes) = self.new_recovery_codes(&user);
        self.change_own(&user, me, by, vec![spend, set_codes], "user.renew_recovery_codes").await?;
        Ok(codes)
    }

    /// How many recovery codes the user has left.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn recovery_codes_left(&self, me: SignedInAs) -> Result<u32, AccountError> {
        Ok(self.inner().store().recovery_codes(me.user).await?)
    }

    /// The user's own sessions that are not over, newest first.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn own_sessions(&self, me: SignedInAs) -> Result<Vec<Session>, AccountError> {
        let now = self.inner().clock().now();
        let mut sessions = self.inner().store().sessions(me.user).await?;
        sessions.iter_mut().for_each(|session| self.inner().accounts().see(session));
        sessions.retain(|session| super::is_alive(session, now));
        Ok(sessions)
    }

    /// Ends one of the user's own sessions: the next request with it is refused.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn end_session(&self, by: &Principal, me: SignedInAs, id: SessionId) -> Result<(), AccountError> {
        let user = self.own_user(by, me).await?;
        let action = if id == me.session { "user.logout" } else { "user.end_session" };
        let now = self.inner().clock().now();
        let audit = user_audit(by, action, &user, now, json!({ "session": id.to_string() }));
        let changes = vec![AccountChange::EndSession(user.id, id)];
        self.inner().store().change_accounts(user.organization, changes, vec![audit]).await?;
        Ok(())
    }

    /// Ends the session in place of which another of the same user began. One that is not the user's stays.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn replace_session(&self, new: &SignedIn, before: SessionId, address: &str) -> Result<(), AccountError> {
        let SignedIn { user, session, .. } = new;
        let sessions = self.inner().store().sessions(user.id).await?;
        if !sessions.iter().any(|session| session.id == before) {
            return Ok(());
        }
        let me = SignedInAs { user: user.id, session: session.id, proven_at: session.proved_at };
        self.end_session(&user_principal(user, address), me, before).await
    }

    /// Ends all of the user's own sessions but the one that asks.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn end_other_sessions(&self, by: &Principal, me: SignedInAs) -> Result<(), AccountError> {
        let user = self.own_user(by, me).await?;
        let audit = user_audit(by, "user.end_sessions", &user, self.inner().clock().now(), json!({}));
        let changes = vec![AccountChange::EndSessions(user.id, Some(me.session))];
        self.inner().store().change_accounts(user.organization, changes, vec![audit]).await?;
        Ok(())
    }

    /// The change that spends `code`, if the user has a second factor.
    pub(super) async fn spend_code(
        &self,
        user: &User,
        by: &Principal,
        code: &str,
    ) -> Result<Option<AccountChange>, AccountError> {
        let Some(key) = self.totp_key(user).await? else { return Ok(None) };
        self.try_code(user, by)?;
        let now = self.inner().clock().now();
        let (change, _) = super::login::second_factor(user, &key, code, now);
        change.map(Some).ok_or(AccountError::WrongCode)
    }

    fn new_recovery_codes(&self, user: &User) -> (Vec<Zeroizing<String>>, AccountChange) {
        let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| token::recovery_code(self.inner().entropy())).collect();
        let digests = codes.iter().map(|code| token::recovery_digest(code)).collect();
        (codes, AccountChange::SetRecoveryCodes(user.id, digests))
    }

    /// Changes how the user proves who they are, and ends all sessions but the one that asks.
    async fn change_own(
        &self,
        user: &User,
        me: SignedInAs,
        by: &Principal,
        mut changes: Vec<AccountChange>,
        action: &str,
    ) -> Result<(), AccountError> {
        changes.push(AccountChange::EndSessions(user.id, Some(me.session)));
        let now = self.inner().clock().now();
        let audit = user_audit(&user_principal(user, &by.address), action, user, now, json!({}));
        match self.inner().store().change_accounts(user.organization, changes, vec![audit]).await? {
            Changed::Done => Ok(()),
            _ => Err(AccountError::WrongCode),
        }
    }
}
