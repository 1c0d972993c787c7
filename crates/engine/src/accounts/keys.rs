//! API keys: what programs prove themselves with. Made, shown once, listed by what they begin and end with, revoked.

use serde_json::json;

use super::{AccountError, Accounts, Token};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::{KeyId, OrganizationId};
use crate::model::{ApiKey, AuditEntry, Principal, Scopes};
use crate::store::{AccountChange, Changed, Credential, Listing, Page};

/// The name of the key that an installation is started with. It is in no store.
pub const BOOTSTRAP: &str = "bootstrap";

/// The longest name of a key, in bytes.
const NAME_MAX: usize = 64;

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `-`, `_` and `.`; not `bootstrap`.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
}

impl Engine {
    /// Makes a key in the caller's organization and returns it with its text, which is not kept. `has` is what the
    /// caller may do itself.
    ///
    /// # Errors
    ///
    /// [`AccountError::Scopes`] when the key could do what the caller may not; [`AccountError::Taken`];
    /// [`AccountError::Engine`].
    pub async fn create_key(&self, by: &Principal, has: Scopes, new: NewKey) -> Result<(ApiKey, Token), AccountError> {
        if !has.covers(new.scopes) {
            return Err(AccountError::Scopes);
        }
        check(&new.name, new.scopes)?;
        let now = self.inner().clock().now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(AccountError::invalid("`expires_at` is not in the future"));
        }
        let (key, token) = self.new_key(by, new, now)?;
        let audit = key_audit(by, "key.create", &key, now);
        let changes = vec![AccountChange::AddKey(key.clone())];
        match self.inner().store().change_accounts(by.organization, changes, vec![audit]).await? {
            Changed::Done => Ok((key, token)),
            _ => Err(AccountError::Taken(format!("there is a key `{}` already", key.name))),
        }
    }

    /// Makes a key with every scope for an organization that nobody can administer: a new one, or one whose keys and users
    /// have all ended. For who operates the installation; whoever is in the organization sees it in the audit log.
    ///
    /// # Errors
    ///
    /// [`AccountError::Taken`] when somebody can; [`AccountError::Engine`].
    pub async fn first_key(
        &self,
        by: &Principal,
        organization: OrganizationId,
    ) -> Result<(ApiKey, Token), AccountError> {
        let now = self.inner().clock().now();
        let by = Principal { organization, ..by.clone() };
        // The name has to be free whatever was there before.
        let name = format!("first-{}", now.as_secs());
        let (key, token) = self.new_key(&by, NewKey { name, scopes: Scopes::ALL, expires_at: None }, now)?;
        let audit = key_audit(&by, "key.create", &key, now);
        let changes = vec![AccountChange::NeedsAnAdmin(now), AccountChange::AddKey(key.clone())];
        match self.inner().store().change_accounts(organization, changes, vec![audit]).await? {
            Changed::Done => Ok((key, token)),
            _ => Err(AccountError::Taken("somebody can administer this organization: ask them for a key".to_owned())),
        }
    }

    /// A key that is nowhere yet.
    fn new_key(&self, by: &Principal, new: NewKey, now: Timestamp) -> Result<(ApiKey, Token), AccountError> {
        let NewKey { name, scopes, expires_at } = new;
        let organization = self.organization(by.organization);
        let organization = organization.ok_or_else(|| EngineError::NotFound("organization like that".to_owned()))?;
        let prefix = organization.key_prefix;
        let token = Token::new(&format!("{prefix}_"), self.inner().entropy());
        let key = ApiKey {
            id: KeyId::new(now, self.inner().entropy()),
            organization: by.organization,
            name,
            digest: token.digest(),
            prefix,
            last_four: token.last_four().to_owned(),
            scopes,
            created_by: by.actor.clone(),
            created_at: now,
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        Ok((key, token))
    }

    /// The organization's keys, newest first, revoked ones included.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn keys(&self, organization: OrganizationId, page: Page) -> Result<Listing<ApiKey>, AccountError> {
        let mut keys = self.inner().store().keys(organization, page).await?;
        keys.items.iter_mut().for_each(|key| self.inner().accounts().fill_in(key));
        Ok(keys)
    }

    /// One key of the organization.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn key(&self, organization: OrganizationId, id: KeyId) -> Result<ApiKey, AccountError> {
        let mut key = self.inner().store().key(organization, id).await?;
        self.inner().accounts().fill_in(&mut key);
        Ok(key)
    }

    /// Ends a key: the next request with it is refused. One that is revoked already stays so.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastAdmin`] when nobody could administer the organization any more; [`AccountError::Engine`].
    pub async fn revoke_key(&self, by: &Principal, id: KeyId) -> Result<(), AccountError> {
        let key = self.key(by.organization, id).await?;
        if key.revoked_at.is_some() {
            return Ok(());
        }
        let now = self.inner().clock().now();
        let mut changes = vec![AccountChange::RevokeKey(id, now)];
        changes.extend(Accounts::keep_an_admin(by.organization, now));
        let audit = key_audit(by, "key.revoke", &key, now);
        match self.inner().store().change_accounts(by.organization, changes, vec![audit]).await? {
            Changed::Done => Ok(()),
            _ => Err(AccountError::LastAdmin),
        }
    }
}

impl Accounts {
    /// Brings what the store knows of a key's uses up to this moment.
    fn fill_in(&self, key: &mut ApiKey) {
        key.last_used_at = key.last_used_at.max(self.uses.noted(Credential::Key(key.id)));
    }
}

fn check(name: &str, scopes: Scopes) -> Result<(), AccountError> {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if name.is_empty() || name.len() > NAME_MAX || !letters {
        return Err(AccountError::invalid("`name` is 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `-`, `_` and `.`"));
    }
    if name == BOOTSTRAP {
        return Err(AccountError::invalid("`bootstrap` is the name of the key that the installation is started with"));
    }
    if scopes.is_empty() {
        return Err(AccountError::invalid("`scopes` names at least one scope"));
    }
    Ok(())
}

fn key_audit(by: &Principal, action: &str, key: &ApiKey, at: Timestamp) -> AuditEntry {
    let detail = json!({ "key": key.id.to_string(), "scopes": key.scopes, "last_four": key.last_four });
    AuditEntry::by(by, action, format!("key:{}", key.name), at, detail)
}
