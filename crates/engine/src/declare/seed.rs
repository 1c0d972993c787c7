//! Secrets that come with a declaration: each value enters its keyring once, and is recognised when it comes again.

use std::time::Duration;

use hookward::{Scheme, Secret};

use super::Authority;
use super::sealed::place_of;
use crate::engine::{Engine, EngineError};
use crate::model::{
    AuditEntry, DestinationKind, DestinationSpec, ENVIRONMENT, HEADERS, Manager, Principal, SealedSecret, SecretOwner,
    URL,
};
use crate::secrets::{Keyholder, NewSecret, Purpose, Terms, told_of};
use crate::store::{Change, Resources};

/// A secret that is to enter a keyring.
pub(super) struct Seed<'d> {
    owner: SecretOwner,
    /// As the audit log says it.
    name: String,
    purpose: Purpose,
    grace: Duration,
    secret: &'d Secret,
    fingerprint: Vec<u8>,
}

/// Under what the last seed of a source is remembered, and that of a destination was while it had one scheme at most.
pub(super) fn seed_name(owner: SecretOwner) -> String {
    match owner {
        SecretOwner::Source(id) => format!("seed:{id}"),
        SecretOwner::Destination(id) => format!("seed:{id}"),
    }
}

/// Under what the last seed of a purpose is remembered.
pub(super) fn seed_name_of(owner: SecretOwner, purpose: &str) -> String {
    match purpose {
        "" => seed_name(owner),
        purpose => format!("{}:{purpose}", seed_name(owner)),
    }
}

/// Where a destination's secret goes or is used: a URL's query says nothing of that.
pub(super) fn place(spec: &DestinationSpec) -> Option<&str> {
    match &spec.kind {
        DestinationKind::Http(http) => Some(place_of(&http.url)),
        DestinationKind::Report(report) => Some(&report.api_url),
        DestinationKind::Command(command) => command.checkout.as_ref().and_then(|checkout| checkout.base.as_deref()),
        DestinationKind::Pull(_) | DestinationKind::Slack(_) => None,
    }
}

/// Where the secret of an OAuth 2 client goes.
pub(super) fn token_url(spec: &DestinationSpec) -> Option<&str> {
    match &spec.kind {
        DestinationKind::Http(http) => http.oauth2.as_ref().map(|oauth2| oauth2.token_url.as_str()),
        _ => None,
    }
}

/// Whether a request under this scheme carries the secret, and not only what was made with it.
pub(super) fn is_sent_itself(scheme: &Scheme) -> bool {
    !scheme.credential_headers().is_empty() || !scheme.credential_query().is_empty()
}

fn has_any(existing: &Resources, owner: SecretOwner, purpose: &str) -> bool {
    existing.secrets.iter().any(|kept| kept.owner == owner && kept.purpose == purpose)
}

impl Engine {
    /// What enters the keyring of `owner`: nothing when the value did so before, whatever was rotated since. One that did
    /// so before destinations could have several schemes is known by its owner's name alone, if a version came of it.
    pub(super) async fn seed<'d>(
        &self,
        (owner, name): (SecretOwner, String),
        purpose: Purpose,
        grace: Duration,
        secret: &'d Secret,
        existing: &Resources,
    ) -> Result<Option<Seed<'d>>, EngineError> {
        let meta = seed_name_of(owner, purpose.name());
        let fingerprinter = self.inner().fingerprinter().await?;
        let fingerprint = fingerprinter.of(&meta, secret.expose());
        let before = seed_name(owner);
        let seen = match self.inner().store().meta(&meta).await? {
            Some(seen) => seen == fingerprint,
            None if has_any(existing, owner, purpose.name()) => {
                let kept = self.inner().store().meta(&before).await?;
                kept.is_some_and(|kept| kept == fingerprinter.of(&before, secret.expose()))
            }
            None => false,
        };
        let is_declared_only =
            matches!(&purpose, Purpose::Setting(name) if [HEADERS, ENVIRONMENT, URL].contains(&name.as_str()));
        // A setting that nobody rotates is whatever is declared of it, whoever ended it since.
        let is_live = |kept: &SealedSecret| {
            kept.owner == owner && kept.purpose == purpose.name() && kept.is_live(self.inner().clock().now())
        };
        let is_in_force = seen && (!is_declared_only || existing.secrets.iter().any(is_live));
        Ok((!is_in_force).then_some(Seed { owner, name, purpose, grace, secret, fingerprint }))
    }

    /// What writes a seed: a new version, the ends of those before it, and that it was there. Not yet written. `entered`
    /// is what enters beside it.
    pub(super) async fn enter(
        &self,
        by: &Principal,
        authority: Authority,
        seed: Seed<'_>,
        existing: &Resources,
        entered: &[Change],
    ) -> Result<(Vec<Change>, AuditEntry), EngineError> {
        let Seed { owner, name, purpose, grace, secret, fingerprint } = seed;
        let origin = match authority.manager() {
            Manager::File => "config",
            Manager::Api => "import",
        };
        let beside = entered.iter().filter_map(|change| match change {
            Change::PutSecret(secret) => Some(secret),
            _ => None,
        });
        let mut before: Vec<_> = existing.secrets.iter().chain(beside).filter(|kept| kept.owner == owner).collect();
        before.sort_by_key(|kept| std::cmp::Reverse(kept.version));
        let organization = by.organization;
        let meta = seed_name_of(owner, purpose.name());
        let keyholder = Keyholder { owner, organization, name: &name, purpose, grace, before };
        let value = NewSecret::Given(secret.clone());
        let (version, mut changes) = self.inner().new_version(keyholder, value, Terms::default(), origin).await?;
        let detail = told_of(version, origin, &changes);
        changes.push(Change::PutMeta { name: meta, value: fingerprint });
        Ok((changes, AuditEntry::by(by, "secret.rotate", name, self.inner().clock().now(), detail)))
    }
}
