//! Users as an administrator sees them: invited, changed, reset, removed. What users do themselves is `login`'s and `own`'s.

use std::time::Duration;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{AccountError, Accounts, Token, password, token};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::ids::{OrganizationId, UserId};
use crate::model::{AuditEntry, Principal, Scopes, User};
use crate::store::{AccountChange, Changed, Listing, Page};

/// How long an invitation is good for.
pub const INVITATION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest email address, in bytes.
pub(super) const EMAIL_MAX: usize = 254;

/// A user to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// The address; kept in lower case.
    pub email: String,
    /// What the user may do.
    pub scopes: Scopes,
}

/// What is to be different about a user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserPatch {
    /// What the user may do from now on.
    pub scopes: Option<Scopes>,
    /// Whether the user is kept from signing in. Sessions end at once.
    pub disabled: Option<bool>,
}

impl Engine {
    /// Makes a user in the caller's organization, and the token with which they set their first password.
    ///
    /// # Errors
    ///
    /// [`AccountError::Scopes`] when the user could do what the caller may not; [`AccountError::Taken`];
    /// [`AccountError::Engine`].
    pub async fn invite(&self, by: &Principal, has: Scopes, new: NewUser) -> Result<(User, Token), AccountError> {
        if !has.covers(new.scopes) {
            return Err(AccountError::Scopes);
        }
        let now = self.inner().clock().now();
        let user = User {
            id: UserId::new(now, self.inner().entropy()),
            organization: by.organization,
            email: email_address(&new.email)?,
            scopes: new.scopes,
            password: None,
            totp: None,
            created_by: by.actor.clone(),
            created_at: now,
            last_login_at: None,
            disabled_at: None,
        };
        let token = Token::new("invitation.", self.inner().entropy());
        let changes = vec![
            AccountChange::AddUser(user.clone()),
            AccountChange::Invite(user.id, token.digest(), now.plus(INVITATION)),
        ];
        let audit = user_audit(by, "user.create", &user, now, json!({ "scopes": user.scopes }));
        match self.inner().store().change_accounts(by.organization, changes, vec![audit]).await? {
            Changed::Done => Ok((user, token)),
            _ => Err(AccountError::Taken(format!("there is a user `{}` already", user.email.escape_debug()))),
        }
    }

    /// The organization's users, newest first.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn users(&self, organization: OrganizationId, page: Page) -> Result<Listing<User>, AccountError> {
        Ok(self.inner().store().users(organization, page).await?)
    }

    /// One user of the organization.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn user(&self, organization: OrganizationId, id: UserId) -> Result<User, AccountError> {
        Ok(self.inner().store().user(organization, id).await?)
    }

    /// Changes a user.
    ///
    /// # Errors
    ///
    /// [`AccountError::Scopes`]; [`AccountError::LastAdmin`]; [`AccountError::Engine`].
    pub async fn change_user(
        &self,
        by: &Principal,
        has: Scopes,
        id: UserId,
        patch: UserPatch,
    ) -> Result<User, AccountError> {
        let user = self.user(by.organization, id).await?;
        let now = self.inner().clock().now();
        let (mut changes, mut audit) = (Vec::new(), Vec::new());
        if let Some(scopes) = patch.scopes.filter(|scopes| *scopes != user.scopes) {
            if !has.covers(scopes) {
                return Err(AccountError::Scopes);
            }
            changes.push(AccountChange::SetScopes(id, scopes));
            let detail = json!({ "before": user.scopes, "after": scopes });
            audit.push(user_audit(by, "user.change_scopes", &user, now, detail));
        }
        match (patch.disabled, user.disabled_at) {
            (Some(true), None) => {
                changes.extend([AccountChange::SetDisabled(id, Some(now)), AccountChange::EndSessions(id, None)]);
                audit.push(user_audit(by, "user.disable", &user, now, json!({})));
            }
            (Some(false), Some(_)) => {
                // Whoever may be let in again by this caller is who could have been invited by them.
                if !has.covers(user.scopes) {
                    return Err(AccountError::Scopes);
                }
                changes.push(AccountChange::SetDisabled(id, None));
                audit.push(user_audit(by, "user.enable", &user, now, json!({})));
            }
            _ => {}
        }
        self.change_account(by, changes, audit, now).await?;
        self.user(by.organization, id).await
    }

    /// Takes a user's password, second factor and sessions, and returns the token with which they set a new password.
    ///
    /// # Errors
    ///
    /// [`AccountError::Scopes`] when the user may do what the caller may not: whoever holds the token becomes the user;
    /// [`AccountError::LastAdmin`]; [`AccountError::Engine`].
    pub async fn reset_user(&self, by: &Principal, has: Scopes, id: UserId) -> Result<(User, Token), AccountError> {
        let user = self.user(by.organization, id).await?;
        if !has.covers(user.scopes) {
            return Err(AccountError::Scopes);
        }
        let now = self.inner().clock().now();
        let token = Token::new("invitation.", self.inner().entropy());
        let changes = vec![
            AccountChange::SetPassword(id, None),
            AccountChange::SetTotp(id, None),
            AccountChange::EndSessions(id, None),
            AccountChange::Invite(id, token.digest(), now.plus(INVITATION)),
        ];
        // The token itself keeps the organization from being locked out.
        let audit = user_audit(by, "user.reset", &user, now, json!({}));
        self.inner().store().change_accounts(by.organization, changes, vec![audit]).await?;
        Ok((user, token))
    }

    /// Removes a user with all that is theirs. The audit log keeps their name.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastAdmin`]; [`AccountError::Engine`].
    pub async fn remove_user(&self, by: &Principal, id: UserId) -> Result<(), AccountError> {
        let user = self.user(by.organization, id).await?;
        let now = self.inner().clock().now();
        let audit = user_audit(by, "user.remove", &user, now, json!({ "user": id.to_string() }));
        self.change_account(by, vec![AccountChange::RemoveUser(id)], vec![audit], now).await
    }

    /// Who was given `invitation`; `None` when it is none, or over.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn invited(&self, invitation: &str) -> Result<Option<User>, AccountError> {
        let Some(digest) = token::digest_of(invitation) else { return Ok(None) };
        let now = self.inner().clock().now();
        let user = self.inner().store().user_by_invitation(digest, now).await?;
        Ok(user.filter(|user| user.disabled_at.is_none()))
    }

    /// Sets the password of whoever was given `invitation`; `Ok(false)` when it is none, or over.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`], among them that it cannot be a password.
    pub async fn accept_invitation(
        &self,
        invitation: &str,
        password: Zeroizing<String>,
        address: &str,
    ) -> Result<bool, AccountError> {
        let Some(digest) = token::digest_of(invitation) else { return Ok(false) };
        let Some(user) = self.invited(invitation).await? else { return Ok(false) };
        if let Some(problem) = password::problem(&password, &user.email) {
            return Err(AccountError::invalid(problem));
        }
        let hash = self.inner().accounts().passwords.hash(password, self.inner().entropy()).await?;
        let now = self.inner().clock().now();
        let changes = vec![
            AccountChange::SpendInvitation(user.id, digest, now),
            AccountChange::SetPassword(user.id, Some(hash)),
            AccountChange::EndSessions(user.id, None),
        ];
        let by = user_principal(&user, address);
        let audit = user_audit(&by, "user.set_password", &user, now, json!({ "by": "invitation" }));
        let changed = self.inner().store().change_accounts(user.organization, changes, vec![audit]).await?;
        Ok(changed == Changed::Done)
    }

    /// Carries out changes after which somebody may still administer the organization.
    async fn change_account(
        &self,
        by: &Principal,
        mut changes: Vec<AccountChange>,
        audit: Vec<AuditEntry>,
        now: Timestamp,
    ) -> Result<(), AccountError> {
        if changes.is_empty() {
            return Ok(());
        }
        changes.extend(Accounts::keep_an_admin(by.organization, now));
        match self.inner().store().change_accounts(by.organization, changes, audit).await? {
            Changed::Done => Ok(()),
            _ => Err(AccountError::LastAdmin),
        }
    }
}

/// A user as one who acts.
pub(super) fn user_principal(user: &User, address: &str) -> Principal {
    Principal { organization: user.organization, actor: format!("user:{}", user.email), address: address.to_owned() }
}

pub(super) fn user_audit(by: &Principal, action: &str, user: &User, at: Timestamp, detail: Value) -> AuditEntry {
    AuditEntry::by(by, action, format!("user:{}", user.email), at, detail)
}

/// An address in the form in which it is kept. Only what no address has is refused: whether there is such a mailbox shows
/// when the invitation is sent.
pub(super) fn email_address(text: &str) -> Result<String, AccountError> {
    let text = text.trim();
    let halves = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let is_address = halves.is_some_and(|(_, domain)| !domain.contains('@'))
        && text.len() <= EMAIL_MAX
        && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    if !is_address {
        return Err(AccountError::invalid("`email` is an address like `ada@example.com`"));
    }
    Ok(text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_in_one_form() {
        assert_eq!(email_address(" Ada@Example.COM ").unwrap(), "ada@example.com");
        let longest = format!("{}@example.com", "a".repeat(EMAIL_MAX - 12));
        assert!(email_address(&longest).is_ok());
        for bad in ["", "ada", "@example.com", "ada@", "a@b@c", "a b@c", "a\n@b", "a@\u{7}b", &format!("a{longest}")] {
            assert!(email_address(bad).is_err(), "{bad:?}");
        }
    }
}
