//! Secrets that come with a declaration: each value enters its keyring once, and is recognised when it comes again.

use std::sync::Arc;
use std::time::Duration;

use hookward::{Scheme, Secret};

use super::Authority;
use crate::engine::{Engine, EngineError};
use crate::model::{AuditEntry, DestinationKind, DestinationSpec, Manager, Principal, SecretOwner};
use crate::secrets::{Keyholder, NewSecret, Terms, told_of};
use crate::store::{Change, Resources};

/// A secret that is to enter a keyring.
pub(super) struct Seed<'d> {
    owner: SecretOwner,
    /// As the audit log says it.
    name: String,
    scheme: Arc<Scheme>,
    grace: Duration,
    secret: &'d Secret,
    fingerprint: Vec<u8>,
}

/// Under what its owner's last seed is remembered.
pub(super) fn seed_name(owner: SecretOwner) -> String {
    match owner {
        SecretOwner::Source(id) => format!("seed:{id}"),
        SecretOwner::Destination(id) => format!("seed:{id}"),
    }
}

/// Where a destination's secret goes or is used.
pub(super) fn place(spec: &DestinationSpec) -> Option<&str> {
    match &spec.kind {
        DestinationKind::Http(http) => Some(&http.url),
        DestinationKind::Report(report) => Some(&report.api_url),
        DestinationKind::Command(command) => command.checkout.as_ref().and_then(|checkout| checkout.base.as_deref()),
        DestinationKind::Pull(_) | DestinationKind::Slack(_) => None,
    }
}

/// Whether a request under this scheme carries the secret, and not only what was made with it.
pub(super) fn is_sent_itself(scheme: &Scheme) -> bool {
    !scheme.credential_headers().is_empty() || !scheme.credential_query().is_empty()
}

impl Engine {
    /// What enters the keyring of `owner`: nothing when the value did so before, whatever was rotated since.
    pub(super) async fn seed<'d>(
        &self,
        owner: SecretOwner,
        name: String,
        scheme: Option<&str>,
        grace: Duration,
        secret: Option<&'d Secret>,
    ) -> Result<Option<Seed<'d>>, EngineError> {
        let Some(secret) = secret else { return Ok(None) };
        let meta = seed_name(owner);
        let fingerprint = self.inner().fingerprinter().await?.of(&meta, secret.expose());
        if self.inner().store().meta(&meta).await?.is_some_and(|seen| seen == fingerprint) {
            return Ok(None);
        }
        let scheme = scheme.and_then(|scheme| self.inner().schemes().find(scheme));
        let scheme = scheme.ok_or_else(|| EngineError::Invalid(format!("{name} uses no secret")))?;
        Ok(Some(Seed { owner, name, scheme, grace, secret, fingerprint }))
    }

    /// What writes a seed: a new version, the ends of those before it, and that it was there. Not yet written.
    pub(super) async fn enter(
        &self,
        by: &Principal,
        authority: Authority,
        seed: Seed<'_>,
        existing: &Resources,
    ) -> Result<(Vec<Change>, AuditEntry), EngineError> {
        let Seed { owner, name, scheme, grace, secret, fingerprint } = seed;
        let origin = match authority.manager() {
            Manager::File => "config",
            Manager::Api => "import",
        };
        let mut before: Vec<_> = existing.secrets.iter().filter(|kept| kept.owner == owner).collect();
        before.sort_by_key(|kept| std::cmp::Reverse(kept.version));
        let organization = by.organization;
        let keyholder = Keyholder { owner, organization, name: &name, scheme: &scheme, grace, before };
        let value = NewSecret::Given(secret.clone());
        let (version, mut changes) = self.inner().new_version(keyholder, value, Terms::default(), origin).await?;
        let detail = told_of(version, origin, &changes);
        changes.push(Change::PutMeta { name: seed_name(owner), value: fingerprint });
        Ok((changes, AuditEntry::by(by, "secret.rotate", name, self.inner().clock().now(), detail)))
    }
}
