//! What an operator does with secrets: set, rotate, reveal, revoke. Every act is in the audit log.
//! Owns grace; which key is live at a moment is `keyring`, the sealing `kms::seal`, the shapes of keys the schemes.

use std::time::Duration;

use hookward::Secret;
use serde_json::json;

use crate::engine::{Engine, EngineError, Inner};
use crate::ids::OrganizationId;
use crate::keyring::open_secret;
use crate::kms::seal::{associated_data, seal};
use crate::model::{AuditEntry, Principal, SealedSecret, SecretOwner};
use crate::store::Change;

/// A new value for a secret.
#[derive(Debug)]
pub enum NewSecret {
    /// The caller's.
    Given(Secret),
    /// Made in the scheme's own format.
    Generated,
}

impl NewSecret {
    fn origin(&self) -> &'static str {
        match self {
            Self::Given(_) => "import",
            Self::Generated => "generated",
        }
    }
}

/// A version of a secret without its value.
pub type SecretInfo = SealedSecret;

impl Engine {
    /// Every version of the owner's secrets, newest first, with its uses so far. Values stay sealed.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] when nothing of that id is declared; [`EngineError::Unavailable`].
    pub async fn secrets(&self, owner: SecretOwner) -> Result<Vec<SecretInfo>, EngineError> {
        self.owner(owner)?;
        let resources = self.inner().store().load().await?;
        let mut secrets: Vec<_> = resources.secrets.into_iter().filter(|secret| secret.owner == owner).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.version));
        Ok(secrets)
    }

    /// Gives the owner a new secret and returns its version. The ones that were live stay valid for `grace` (the
    /// owner's own when `None`); with a grace of zero they end at once.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] when the value cannot be a key of the owner's scheme, or the owner has no scheme.
    pub async fn put_secret(
        &self,
        owner: SecretOwner,
        value: NewSecret,
        grace: Option<Duration>,
        by: &Principal,
    ) -> Result<u32, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        let origin = value.origin();
        let (version, changes) = self.inner().secret_changes(owner, value, grace, origin).await?;
        let audit = self.secret_audit(owner, "secret.rotate", by, json!({ "version": version, "origin": origin }));
        self.inner().store().change(changes, vec![audit]).await?;
        self.inner().refresh().await?;
        Ok(version)
    }

    /// The value of one version. The audit log has it before the caller does.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Unavailable`] when the KMS or the store does not answer.
    pub async fn reveal(
        &self,
        owner: SecretOwner,
        version: u32,
        by: &Principal,
        reason: &str,
    ) -> Result<Secret, EngineError> {
        let (organization, _) = self.owner(owner)?;
        let sealed = self.version(owner, version)?;
        let secret = open_secret(self.inner().kms(), organization, &sealed).await?;
        let audit = self.secret_audit(owner, "secret.reveal", by, json!({ "version": version, "reason": reason }));
        self.inner().store().record(vec![audit]).await?;
        Ok(secret)
    }

    /// Ends one version now.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Unavailable`].
    pub async fn revoke(&self, owner: SecretOwner, version: u32, by: &Principal) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        let sealed = self.version(owner, version)?;
        let now = self.inner().clock().now();
        let revoked_at = Some(sealed.revoked_at.unwrap_or(now));
        let retire = Change::RetireSecret { owner, version, not_after: sealed.not_after, revoked_at };
        let audit = self.secret_audit(owner, "secret.revoke", by, json!({ "version": version }));
        self.inner().store().change(vec![retire], vec![audit]).await?;
        self.inner().refresh().await
    }

    fn owner(&self, owner: SecretOwner) -> Result<(OrganizationId, String), EngineError> {
        let registry = self.inner().registry();
        let (organization, _) = registry.scheme_of(owner).ok_or_else(|| not_declared(owner))?;
        Ok((organization, self.inner().owner_name(owner)))
    }

    fn version(&self, owner: SecretOwner, version: u32) -> Result<SealedSecret, EngineError> {
        let registry = self.inner().registry();
        let found = registry.secrets(owner).into_iter().find(|secret| secret.version == version).cloned();
        found.ok_or_else(|| EngineError::NotFound(format!("version {version} of that secret")))
    }

    fn secret_audit(&self, owner: SecretOwner, action: &str, by: &Principal, detail: serde_json::Value) -> AuditEntry {
        AuditEntry::by(by, action, self.inner().owner_name(owner), self.inner().clock().now(), detail)
    }
}

impl Inner {
    /// What gives `owner` a new secret: the new version, and the ends of those that were live. Not yet written.
    pub(crate) async fn secret_changes(
        &self,
        owner: SecretOwner,
        value: NewSecret,
        grace: Option<Duration>,
        origin: &str,
    ) -> Result<(u32, Vec<Change>), EngineError> {
        let registry = self.registry();
        let (organization, scheme) = registry.scheme_of(owner).ok_or_else(|| not_declared(owner))?;
        let name = self.owner_name(owner);
        let scheme = scheme.ok_or_else(|| EngineError::Invalid(format!("{name} uses no secret")))?;
        let before = registry.secrets(owner);
        let version = before.first().map_or(1, |newest| newest.version + 1);
        let secret = match value {
            NewSecret::Given(secret) => secret,
            NewSecret::Generated => scheme
                .generate(&mut |bytes| self.entropy().fill(bytes))
                .map_err(|error| EngineError::Invalid(format!("{name}: {error}")))?,
        };
        scheme.key(version, &secret).map_err(|error| EngineError::Invalid(format!("{name}: {error}")))?;
        let now = self.clock().now();
        let end = now.plus(grace.unwrap_or_else(|| self.grace_of(owner)));
        let retire = before.into_iter().filter(|old| old.is_live(now)).map(|old| Change::RetireSecret {
            owner,
            version: old.version,
            not_after: Some(old.not_after.map_or(end, |already| already.min(end))),
            revoked_at: None,
        });
        let aad = associated_data(organization, owner, version);
        let sealed = SealedSecret {
            owner,
            version,
            sealed: seal(self.kms(), self.entropy(), &aad, secret.expose()).await?,
            not_before: now,
            not_after: None,
            revoked_at: None,
            created_at: now,
            origin: origin.to_owned(),
            first_used_at: None,
            last_used_at: None,
            uses: 0,
        };
        Ok((version, retire.chain([Change::PutSecret(sealed)]).collect()))
    }
}

fn not_declared(owner: SecretOwner) -> EngineError {
    EngineError::NotFound(match owner {
        SecretOwner::Source(id) => format!("source `{id}`"),
        SecretOwner::Destination(id) => format!("destination `{id}`"),
    })
}
