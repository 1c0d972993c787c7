//! The first user of an installation, whom nobody could invite. That it is really the first is a condition of the
//! transaction; who may ask is the gateway's to know.

use serde_json::json;
use zeroize::Zeroizing;

use super::users::{email_address, user_audit, user_principal};
use super::{AccountError, Origin, SignedIn, password};
use crate::engine::Engine;
use crate::ids::{OrganizationId, UserId};
use crate::model::{Principal, Scopes, User};
use crate::store::{AccountChange, Changed, Page};

/// Who administers the default organization from the start, with every scope.
#[derive(Debug)]
pub struct FirstUser {
    /// The address; kept in lower case.
    pub email: String,
    /// The password.
    pub password: Zeroizing<String>,
    /// From where.
    pub origin: Origin,
}

impl Engine {
    /// Whether an organization has a user.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn has_user(&self, organization: OrganizationId) -> Result<bool, AccountError> {
        let newest = self.inner().store().users(organization, Page { before: None, limit: 1 }).await?;
        Ok(!newest.items.is_empty())
    }

    /// Makes the first user of the default organization and signs them in.
    ///
    /// # Errors
    ///
    /// [`AccountError::Taken`] when it has a user; [`AccountError::Engine`].
    pub async fn create_first_user(&self, first: FirstUser) -> Result<SignedIn, AccountError> {
        let FirstUser { email, password, origin } = first;
        let email = email_address(&email)?;
        if let Some(problem) = password::problem(&password, &email) {
            return Err(AccountError::invalid(problem));
        }
        let organization = OrganizationId::DEFAULT;
        let by = Principal { organization, actor: "first-run".to_owned(), address: origin.address.clone() };
        let hash = self.inner().accounts().passwords.hash(password, self.inner().entropy()).await?;
        let now = self.inner().clock().now();
        let user = User {
            id: UserId::new(now, self.inner().entropy()),
            organization,
            email,
            scopes: Scopes::ALL,
            password: Some(hash),
            totp: None,
            created_by: by.actor.clone(),
            created_at: now,
            last_login_at: Some(now),
            disabled_at: None,
        };
        let (session, token) = self.new_session(&user, &origin, now);
        let changes = vec![
            AccountChange::NoUser,
            AccountChange::AddUser(user.clone()),
            AccountChange::LoggedIn(user.id, now),
            AccountChange::AddSession(session.clone()),
        ];
        let me = user_principal(&user, &origin.address);
        let audit = vec![
            user_audit(&by, "user.create", &user, now, json!({ "scopes": user.scopes })),
            user_audit(&me, "user.login", &user, now, json!({ "session": session.id.to_string() })),
        ];
        match self.inner().store().change_accounts(organization, changes, audit).await? {
            Changed::Done => Ok(SignedIn { user, session, token }),
            _ => Err(AccountError::Taken("there is a user already: ask them for an invitation".to_owned())),
        }
    }
}
