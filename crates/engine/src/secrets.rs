//! What an operator does with secrets: set, rotate, reveal, revoke. Every act is in the audit log.
//! Owns grace; which key is live at a moment is `keyring`, the sealing `kms::seal`, the shapes of keys the schemes.

use std::sync::Arc;
use std::time::Duration;

use hookward::{Scheme, Secret};
use serde_json::json;

use crate::accounts::limiter::Limiter;
use crate::clock::Timestamp;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::keyring::open_secret;
use crate::kms::seal::{associated_data, seal};
use crate::model::{AuditEntry, Principal, Proof, Rate, SealedSecret, SecretOwner, is_setting};
use crate::store::Change;

/// The longest reason for a reveal, in bytes.
const REASON_MAX: usize = 1024;

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

/// From when until when a new secret is valid, and what becomes of those before it. By default: from now on, for ever,
/// and the others end after their owner's own grace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long those that are live when it begins stay valid beside it; the owner's own grace when `None`.
    pub grace: Option<Duration>,
    /// When it begins; a past time is now.
    pub not_before: Option<Timestamp>,
    /// When it ends, if ever.
    pub not_after: Option<Timestamp>,
    /// The version that the caller takes for the newest, 0 for none: if it is another one, nothing is done.
    pub newest: Option<u32>,
}

/// A version that verified or signed something this recently is in use.
pub const IN_USE: Duration = Duration::from_secs(6 * 60 * 60);

/// How often one actor may reveal secrets: a person looks at a few, and nobody at all of them.
const REVEALS: Rate = Rate { requests: 1, per: Duration::from_secs(6), burst: 20 };

/// Whose reveals are told apart at a time.
const REVEALERS_MAX: usize = 10_000;

/// Who revealed how many secrets lately, by organization and actor.
pub(crate) type Reveals = Limiter<(OrganizationId, String)>;

/// Nobody revealed anything yet.
pub(crate) fn reveals() -> Reveals {
    Limiter::new(REVEALS, REVEALERS_MAX)
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
        self.inner().registry().organization_of(owner).ok_or_else(|| not_declared(owner))?;
        let resources = self.inner().store().load().await?;
        let mut secrets: Vec<_> = resources.secrets.into_iter().filter(|secret| secret.owner == owner).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.version));
        Ok(secrets)
    }

    /// Gives the owner a new secret under `terms` and returns its version. `purpose` says for which of a destination's
    /// schemes, or for which setting; absent: the main one.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] when the value cannot be a key of the scheme, the owner has no such scheme, or the terms
    /// leave no time; [`EngineError::Stale`] when another version is the newest.
    pub async fn put_secret(
        &self,
        owner: SecretOwner,
        purpose: Option<&str>,
        value: NewSecret,
        terms: Terms,
        by: &Principal,
    ) -> Result<u32, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        self.owned(owner, by)?;
        let origin = value.origin();
        let (version, changes) = self.inner().secret_changes(owner, purpose, value, terms, origin).await?;
        let audit = self.secret_audit(owner, "secret.rotate", by, told_of(version, origin, &changes));
        self.inner().change(changes, vec![audit]).await?;
        self.inner().refresh().await?;
        Ok(version)
    }

    /// The value of one version. The audit log has it before the caller does.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::TooOften`]; [`EngineError::Unavailable`] when the KMS or the store does
    /// not answer.
    pub async fn reveal(
        &self,
        owner: SecretOwner,
        version: u32,
        by: &Principal,
        reason: &str,
    ) -> Result<Secret, EngineError> {
        let organization = self.owned(owner, by)?;
        let sealed = self.version(owner, version)?;
        if reason.len() > REASON_MAX {
            return Err(EngineError::Invalid(format!("a reason has at most {REASON_MAX} bytes")));
        }
        let revealer = (by.organization, by.actor.clone());
        let too_often = |retry_after| EngineError::TooOften { what: "secrets are revealed".to_owned(), retry_after };
        self.inner().reveals().take(&revealer, self.inner().clock().elapsed()).map_err(too_often)?;
        let secret = open_secret(self.inner().kms(), organization, (owner, version), &sealed.sealed).await?;
        let audit = self.secret_audit(owner, "secret.reveal", by, json!({ "version": version, "reason": reason }));
        self.inner().store().record(vec![audit]).await?;
        Ok(secret)
    }

    /// Ends one version now, for good. One that is in use only with `force`.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] when it verified or signed something within [`IN_USE`];
    /// [`EngineError::Unavailable`].
    pub async fn revoke(
        &self,
        owner: SecretOwner,
        version: u32,
        force: bool,
        by: &Principal,
    ) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        self.owned(owner, by)?;
        let now = self.inner().clock().now();
        let sealed = self.kept_version(owner, version).await?;
        if !force {
            self.is_out_of_use(owner, &sealed, now)?;
        }
        let revoked_at = Some(sealed.revoked_at.unwrap_or(now));
        let retire = Change::RetireSecret { owner, version, not_after: sealed.not_after, revoked_at };
        let detail =
            json!({ "version": version, "force": force, "uses": sealed.uses, "last_used_at_ms": sealed.last_used_at });
        let audit = self.secret_audit(owner, "secret.revoke", by, detail);
        self.inner().change(vec![retire], vec![audit]).await?;
        self.inner().refresh().await
    }

    /// Moves the end of one version: later, while a sender still has to switch, or earlier. An end that has come takes
    /// a key in use away, so that needs `force` as a revocation does.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Invalid`] for one that was revoked, or an end before its beginning;
    /// [`EngineError::Conflict`] as for [`Engine::revoke`]; [`EngineError::Unavailable`].
    pub async fn set_end(
        &self,
        owner: SecretOwner,
        version: u32,
        not_after: Option<Timestamp>,
        force: bool,
        by: &Principal,
    ) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        self.owned(owner, by)?;
        let now = self.inner().clock().now();
        let sealed = self.kept_version(owner, version).await?;
        if sealed.revoked_at.is_some() {
            return Err(EngineError::Invalid(format!("version {version} was revoked, and stays so")));
        }
        if not_after.is_some_and(|end| end <= sealed.not_before) {
            return Err(EngineError::Invalid("a secret ends after it begins".to_owned()));
        }
        if !force && not_after.is_some_and(|end| end <= now) {
            self.is_out_of_use(owner, &sealed, now)?;
        }
        let retire = Change::RetireSecret { owner, version, not_after, revoked_at: None };
        let detail = json!({
            "version": version,
            "before": { "not_after_ms": sealed.not_after },
            "after": { "not_after_ms": not_after },
        });
        let audit = self.secret_audit(owner, "secret.update", by, detail);
        self.inner().change(vec![retire], vec![audit]).await?;
        self.inner().refresh().await
    }

    fn is_out_of_use(&self, owner: SecretOwner, sealed: &SealedSecret, now: Timestamp) -> Result<(), EngineError> {
        let Some(last) = sealed.last_used_at.filter(|last| *last > now.minus(IN_USE) && sealed.is_live(now)) else {
            return Ok(());
        };
        let did = match owner {
            SecretOwner::Source(_) => "verified a request",
            SecretOwner::Destination(_) => "signed an attempt",
        };
        let (name, version, ago) = (self.inner().owner_name(owner), sealed.version, now.since(last).as_secs());
        Err(EngineError::Conflict(format!(
            "version {version} of {name} is in use: it {did} {ago} s ago; to end it all the same, say `force`"
        )))
    }

    /// Whose secrets these are; an error unless that is `by`'s organization.
    fn owned(&self, owner: SecretOwner, by: &Principal) -> Result<OrganizationId, EngineError> {
        let organization = self.inner().registry().organization_of(owner);
        organization.filter(|organization| *organization == by.organization).ok_or_else(|| not_declared(owner))
    }

    fn version(&self, owner: SecretOwner, version: u32) -> Result<SealedSecret, EngineError> {
        let registry = self.inner().registry();
        let found = registry.secrets(owner).into_iter().find(|secret| secret.version == version).cloned();
        found.ok_or_else(|| EngineError::NotFound(format!("version {version} of that secret")))
    }

    /// A version with its uses until now.
    async fn kept_version(&self, owner: SecretOwner, version: u32) -> Result<SealedSecret, EngineError> {
        let kept = self.secrets(owner).await?.into_iter().find(|secret| secret.version == version);
        kept.ok_or_else(|| EngineError::NotFound(format!("version {version} of that secret")))
    }

    fn secret_audit(&self, owner: SecretOwner, action: &str, by: &Principal, detail: serde_json::Value) -> AuditEntry {
        AuditEntry::by(by, action, self.inner().owner_name(owner), self.inner().clock().now(), detail)
    }
}

/// Whose keyring gets a new version, and what for.
pub(crate) struct Keyholder<'a> {
    pub(crate) owner: SecretOwner,
    pub(crate) organization: OrganizationId,
    /// As the audit log says it.
    pub(crate) name: &'a str,
    pub(crate) purpose: Purpose,
    /// How long its secrets stay valid after a rotation, unless that says otherwise.
    pub(crate) grace: Duration,
    /// What it had until now, for whatever purpose, newest first.
    pub(crate) before: Vec<&'a SealedSecret>,
}

/// What a version is for.
#[derive(Debug, Clone)]
pub(crate) enum Purpose {
    /// It is a key of a source's scheme, the only one.
    Sole(Arc<Scheme>),
    /// It is a key of one of a destination's schemes.
    Scheme(Arc<Scheme>),
    /// It is a setting of a destination, of this name.
    Setting(String),
}

impl Purpose {
    /// As it is kept with the version.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Sole(_) => "",
            Self::Scheme(scheme) => scheme.name(),
            Self::Setting(name) => name,
        }
    }

    fn scheme(&self) -> Option<&Scheme> {
        match self {
            Self::Sole(scheme) | Self::Scheme(scheme) => Some(scheme),
            Self::Setting(_) => None,
        }
    }
}

impl Inner {
    /// What gives `owner` a new secret: the new version, and the ends of those that were live. Not yet written.
    pub(crate) async fn secret_changes(
        &self,
        owner: SecretOwner,
        purpose: Option<&str>,
        value: NewSecret,
        terms: Terms,
        origin: &str,
    ) -> Result<(u32, Vec<Change>), EngineError> {
        let registry = self.registry();
        let organization = registry.organization_of(owner).ok_or_else(|| not_declared(owner))?;
        let name = self.owner_name(owner);
        let purpose = self.purpose(owner, &name, purpose)?;
        let (grace, before) = (self.grace_of(owner), registry.secrets(owner));
        let keyholder = Keyholder { owner, organization, name: &name, purpose, grace, before };
        self.new_version(keyholder, value, terms, origin).await
    }

    /// What a new secret of the owner is for, if it was said to be for `wanted`.
    fn purpose(&self, owner: SecretOwner, name: &str, wanted: Option<&str>) -> Result<Purpose, EngineError> {
        let registry = self.registry();
        let none = || EngineError::Invalid(format!("{name} uses no secret"));
        let found = |scheme: &str| {
            let missing = || EngineError::Invalid(format!("{name}: no scheme `{scheme}`"));
            let organization = registry.organization_of(owner).ok_or_else(|| not_declared(owner))?;
            registry.schemes().find(organization, scheme).ok_or_else(missing)
        };
        match owner {
            SecretOwner::Source(id) => match registry.source(id).map(|live| &live.source.spec.proof) {
                Some(Proof::Scheme { name: own, .. }) => match wanted.filter(|wanted| wanted != own) {
                    None => Ok(Purpose::Sole(found(own)?)),
                    Some(_) => Err(EngineError::Invalid(format!("{name} has one scheme, `{own}`"))),
                },
                _ => Err(none()),
            },
            SecretOwner::Destination(id) => {
                let live = registry.destination(id).ok_or_else(|| not_declared(owner))?;
                let purposes = live.destination.spec.purposes();
                let Some(main) = purposes.first() else { return Err(none()) };
                let wanted = wanted.unwrap_or(main);
                if !purposes.contains(&wanted) {
                    let (wanted, all) = (wanted.escape_debug(), purposes.join("`, `"));
                    let problem = format!("{name} has no secret for `{wanted}`; those that it has are for `{all}`");
                    return Err(EngineError::Invalid(problem));
                }
                match is_setting(wanted) {
                    true => Ok(Purpose::Setting(wanted.to_owned())),
                    false => Ok(Purpose::Scheme(found(wanted)?)),
                }
            }
        }
    }

    /// The same for an owner that need not be in force yet.
    pub(crate) async fn new_version(
        &self,
        keyholder: Keyholder<'_>,
        value: NewSecret,
        terms: Terms,
        origin: &str,
    ) -> Result<(u32, Vec<Change>), EngineError> {
        let Keyholder { owner, organization, name, purpose, grace, before } = keyholder;
        let newest = before.first().map_or(0, |newest| newest.version);
        if terms.newest.is_some_and(|known| known != newest) {
            return Err(EngineError::Stale(format!("the newest secret of {name} is version {newest}")));
        }
        let version = newest + 1;
        let secret = self.value_for(name, &purpose, value)?;
        let now = self.clock().now();
        let begin = terms.not_before.map_or(now, |begin| begin.max(now));
        if terms.not_after.is_some_and(|end| end <= begin) {
            return Err(EngineError::Invalid(format!("{name}: a secret ends after it begins, and not in the past")));
        }
        // Of a setting one value is in force: there is nothing that two could be used for side by side.
        let grace = if purpose.scheme().is_some() { terms.grace.unwrap_or(grace) } else { Duration::ZERO };
        let end = begin.plus(grace);
        let same_purpose = before.into_iter().filter(|old| old.purpose == purpose.name());
        let retire = same_purpose.filter(|old| old.is_live(begin)).map(|old| Change::RetireSecret {
            owner,
            version: old.version,
            not_after: Some(old.not_after.map_or(end, |already| already.min(end))),
            revoked_at: None,
        });
        let retire: Vec<_> = retire.collect();
        let aad = associated_data(organization, owner, version);
        let sealed = SealedSecret {
            owner,
            version,
            purpose: purpose.name().to_owned(),
            sealed: seal(self.kms(), self.entropy(), &aad, secret.expose()).await?,
            not_before: begin,
            not_after: terms.not_after,
            revoked_at: None,
            created_at: now,
            origin: origin.to_owned(),
            first_used_at: None,
            last_used_at: None,
            uses: 0,
            last_accepted_at: None,
        };
        // It counts as soon as it is in force, whether or not it was opened by then.
        self.fingerprints().add(owner, version, &secret);
        Ok((version, retire.into_iter().chain([Change::PutSecret(sealed)]).collect()))
    }

    /// The value, made if it is to be, once it is known to do for its purpose.
    fn value_for(&self, name: &str, purpose: &Purpose, value: NewSecret) -> Result<Secret, EngineError> {
        let secret = match (value, purpose.scheme()) {
            (NewSecret::Given(secret), _) => secret,
            (NewSecret::Generated, Some(scheme)) => scheme
                .generate(&mut |bytes| self.entropy().fill(bytes))
                .map_err(|error| EngineError::Invalid(format!("{name}: {error}")))?,
            (NewSecret::Generated, None) => {
                let problem = format!("{name}: a value for `{}` comes from elsewhere: give it", purpose.name());
                return Err(EngineError::Invalid(problem));
            }
        };
        if let Some(scheme) = purpose.scheme() {
            scheme.check_new(&secret).map_err(|error| EngineError::Invalid(format!("{name}: {error}")))?;
        }
        Ok(secret)
    }

    /// The owner's own grace after a rotation.
    fn grace_of(&self, owner: SecretOwner) -> Duration {
        let registry = self.registry();
        let grace = match owner {
            SecretOwner::Source(id) => registry.source(id).map(|live| live.source.spec.grace),
            SecretOwner::Destination(id) => registry.destination(id).map(|live| live.destination.spec.grace),
        };
        grace.unwrap_or_default()
    }
}

/// What the audit log says of a new version: its span, and the ends of those before it.
pub(crate) fn told_of(version: u32, origin: &str, changes: &[Change]) -> serde_json::Value {
    let mut detail = json!({ "version": version, "origin": origin });
    let mut ends = serde_json::Map::new();
    for change in changes {
        match change {
            Change::RetireSecret { version, not_after, .. } => {
                ends.insert(version.to_string(), json!(not_after));
            }
            Change::PutSecret(secret) => {
                if !secret.purpose.is_empty() {
                    detail["purpose"] = json!(secret.purpose);
                }
                detail["not_before_ms"] = json!(secret.not_before);
                detail["not_after_ms"] = json!(secret.not_after);
            }
            _ => {}
        }
    }
    detail["ends_ms"] = ends.into();
    detail
}

fn not_declared(owner: SecretOwner) -> EngineError {
    EngineError::NotFound(match owner {
        SecretOwner::Source(id) => format!("source `{id}`"),
        SecretOwner::Destination(id) => format!("destination `{id}`"),
    })
}
