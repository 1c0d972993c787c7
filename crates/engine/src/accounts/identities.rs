//! Signing in by way of an OpenID Connect provider: who is let in on a provider's word, and with what scopes.
//! That the word is the provider's is checked before.

use serde_json::json;

use super::login::{LoginAnswer, Origin, SignedIn};
use super::users::{email_address, user_audit, user_principal};
use super::{AccountError, users};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::ids::{OrganizationId, UserId};
use crate::model::{AuditEntry, Identity, Principal, Scopes, User};
use crate::store::{AccountChange, Changed};

/// What a provider says of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Who it is there.
    pub identity: Identity,
    /// The email address, if the provider knows that it is theirs.
    pub verified_email: Option<String>,
    /// What the provider's groups come to here; `None` when they mean nothing.
    pub scopes: Option<Scopes>,
}

/// Whom a provider may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The provider's name in the configuration.
    pub provider: String,
    /// Whose users they are.
    pub organization: OrganizationId,
    /// Where the addresses of newcomers are, in lower case; anywhere when empty.
    pub domains: Vec<String>,
    /// What newcomers who were not invited may do; `None` when only who was invited comes in.
    pub newcomers: Option<Scopes>,
}

/// A user on the way in.
struct Entrant {
    user: User,
    changes: Vec<AccountChange>,
    audit: Vec<AuditEntry>,
}

impl Engine {
    /// Signs in whoever a provider vouches for: the user who is known as this at the provider; else the one who was
    /// invited under the address; else, where newcomers are let in, a new one.
    ///
    /// # Errors
    ///
    /// [`AccountError::LastAdmin`] when the provider's groups take the organization's last administrator away;
    /// [`AccountError::Engine`].
    pub async fn sign_in_vouched(
        &self,
        vouched: Vouched,
        admission: &Admission,
        origin: &Origin,
    ) -> Result<LoginAnswer, AccountError> {
        let now = self.inner().clock().now();
        let by = Principal {
            organization: admission.organization,
            actor: format!("provider:{}", admission.provider),
            address: origin.address.clone(),
        };
        let scopes = vouched.scopes;
        let target = vouched.verified_email.clone().unwrap_or_else(|| vouched.identity.subject.clone());
        let Some(mut entrant) = self.entrant(vouched, admission, &by, now).await? else {
            return self.refuse_vouched(&by, &target, "nobody who may come in").await;
        };
        let user = &entrant.user;
        if user.disabled_at.is_some() {
            return self.refuse_vouched(&by, &user.email.clone(), "disabled").await;
        }
        let mut keeps_an_admin = None;
        if let Some(scopes) = scopes.filter(|scopes| *scopes != user.scopes) {
            let detail = json!({ "before": user.scopes, "after": scopes });
            entrant.audit.push(user_audit(&by, "user.change_scopes", user, now, detail));
            entrant.changes.push(AccountChange::SetScopes(user.id, scopes));
            keeps_an_admin = super::Accounts::keep_an_admin(user.organization, now);
            entrant.user.scopes = scopes;
        }
        let Entrant { user, mut changes, mut audit } = entrant;
        let (session, token) = self.new_session(&user, origin, now);
        changes.extend([AccountChange::LoggedIn(user.id, now), AccountChange::AddSession(session.clone())]);
        changes.extend(keeps_an_admin);
        let detail = json!({ "session": session.id.to_string(), "provider": admission.provider });
        audit.push(user_audit(&user_principal(&user, &origin.address), "user.login", &user, now, detail));
        match self.inner().store().change_accounts(user.organization, changes, audit).await? {
            Changed::Done => Ok(LoginAnswer::In(Box::new(SignedIn { user, session, token }))),
            Changed::LastAdmin => Err(AccountError::LastAdmin),
            Changed::Taken | Changed::Spent => self.refuse_vouched(&by, &target, "somebody else meanwhile").await,
        }
    }

    /// Whom the provider means, with what has to be written before they are in.
    async fn entrant(
        &self,
        vouched: Vouched,
        admission: &Admission,
        by: &Principal,
        now: Timestamp,
    ) -> Result<Option<Entrant>, AccountError> {
        let Vouched { identity, verified_email, scopes } = vouched;
        let store = self.inner().store();
        if let Some(user) = store.user_by_identity(admission.organization, identity.clone()).await? {
            return Ok(Some(Entrant { user, changes: vec![], audit: vec![] }));
        }
        // An address that the provider has not verified is whatever somebody typed in there.
        let email = verified_email.as_deref().map(email_address).transpose()?;
        let Some(email) = email.filter(|email| admission.takes(email)) else { return Ok(None) };
        let known = store.user_by_email(admission.organization, &email).await?;
        let (user, mut changes, mut audit) = match (known, admission.newcomers) {
            (Some(user), _) => (user, vec![], vec![]),
            (None, None) => return Ok(None),
            (None, Some(newcomers)) => {
                let user = User {
                    id: UserId::new(now, self.inner().entropy()),
                    organization: admission.organization,
                    email,
                    scopes: scopes.unwrap_or(newcomers),
                    password: None,
                    totp: None,
                    created_by: by.actor.clone(),
                    created_at: now,
                    last_login_at: None,
                    disabled_at: None,
                };
                let created = user_audit(by, "user.create", &user, now, json!({ "scopes": user.scopes }));
                let changes = vec![AccountChange::AddUser(user.clone())];
                (user, changes, vec![created])
            }
        };
        audit.push(user_audit(by, "user.add_identity", &user, now, json!({ "issuer": identity.issuer })));
        changes.push(AccountChange::AddIdentity(user.id, identity));
        Ok(Some(Entrant { user, changes, audit }))
    }

    async fn refuse_vouched(&self, by: &Principal, target: &str, wrong: &str) -> Result<LoginAnswer, AccountError> {
        self.note_refused_login(by, target, wrong).await?;
        Ok(LoginAnswer::Refused)
    }

    /// Puts a login that was refused before anybody was known into the audit log.
    ///
    /// # Errors
    ///
    /// [`AccountError::Engine`].
    pub async fn note_refused_login(&self, by: &Principal, target: &str, wrong: &str) -> Result<(), AccountError> {
        let target: String = target.chars().take(users::EMAIL_MAX).collect();
        let now = self.inner().clock().now();
        let audit = AuditEntry::by(by, "user.login_refused", format!("user:{target}"), now, json!({ "wrong": wrong }));
        Ok(self.inner().store().record(vec![audit]).await?)
    }
}

impl Admission {
    /// Whether newcomers with this address are let in.
    fn takes(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain);
        self.domains.is_empty() || self.domains.iter().any(|known| Some(known.as_str()) == domain)
    }
}
