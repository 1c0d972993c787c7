//! What a declaration changes about private schemes, and whether whoever uses them can go on: a door or a way out is never left
//! with a scheme that it cannot use. Which scheme a name means is the module `schemes`'s, one level up.

use std::collections::BTreeMap;
use std::sync::Arc;

use hookward::Scheme;
use serde_json::Value;

use super::outline::{Compared, Kind, Outline, may};
use super::{Authority, Declared, check_schemes, managed_by_file};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::keyring::open_secret;
use crate::model::{
    Declaration, Destination, Manager, Principal, PrivateScheme, Proof, SecretOwner, Source, replaces_catalog,
};
use crate::schemes::{LiveScheme, OwnSchemes, SCHEMES_MAX, Schemes, check, in_catalog};
use crate::store::{Change, Resources};

/// A private scheme, as declared.
#[derive(Debug, Clone)]
pub struct DeclaredScheme {
    /// Unique; `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// The scheme file.
    pub toml: String,
    /// The same as a table, with [`crate::model::REPLACES_CATALOG`] where that is said.
    pub table: Value,
}

impl DeclaredScheme {
    fn live(&self, by: &Principal, old: Option<&PrivateScheme>, now: Timestamp) -> LiveScheme {
        LiveScheme::new(PrivateScheme {
            organization: by.organization,
            name: self.name.clone(),
            toml: self.toml.clone(),
            version: old.map_or(1, |old| old.version + 1),
            declaration: Declaration { table: self.table.clone(), manager: Manager::Api },
            created_at: now,
            updated_at: now,
        })
    }
}

fn goes(authority: Authority, declared: &Declared, old: &PrivateScheme) -> bool {
    let is_named = declared.schemes.iter().any(|one| one.name == old.name);
    authority.is_whole() && !is_named && old.declaration.manager == Manager::File
}

/// The schemes as they are once `declared` is in force.
pub(super) fn after(
    schemes: &Schemes,
    by: &Principal,
    authority: Authority,
    (declared, existing): (&Declared, &Resources),
    now: Timestamp,
) -> Result<Schemes, EngineError> {
    for one in &declared.schemes {
        check(&one.name, &one.toml)?;
    }
    let staying = existing.schemes.iter().filter(|old| !goes(authority, declared, old));
    let staying = staying.map(|old| (old.name.clone(), Arc::new(LiveScheme::new(old.clone()))));
    let mut own: OwnSchemes = staying.collect::<BTreeMap<_, _>>();
    for one in &declared.schemes {
        let old = existing.schemes.iter().find(|old| old.name == one.name);
        own.insert(one.name.clone(), Arc::new(one.live(by, old, now)));
    }
    if own.len() > SCHEMES_MAX && own.len() > existing.schemes.len() {
        return Err(EngineError::Conflict(format!("an organization has at most {SCHEMES_MAX} private schemes")));
    }
    Ok(schemes.with_own(by.organization, own))
}

pub(super) fn outline(
    outline: &mut Outline<'_>,
    by: &Principal,
    authority: Authority,
    (declared, existing): (&Declared, &Resources),
    now: Timestamp,
) -> Result<(), EngineError> {
    for DeclaredScheme { name, toml, table } in &declared.schemes {
        let old = existing.schemes.iter().find(|old| old.name == *name);
        may(authority, Kind::Scheme, name, old.map(|old| &old.declaration))?;
        if old.is_none() {
            may_be_new(outline.schemes(), by, name, table)?;
        }
        // A file that is applied is a table: how its text was laid out is not known.
        let is_said = |old: &PrivateScheme| authority.is_whole() && old.declaration.table == *table;
        let toml = old.filter(|old| is_said(old)).map_or(toml, |old| &old.toml);
        let (before, same_spec) = (old.map(|old| &old.declaration), old.is_some_and(|old| old.toml == *toml));
        let compared = Compared { kind: Kind::Scheme, name, before, table, same_spec, secret: false, dropped: vec![] };
        let Some(declaration) = outline.add(by, authority, compared, now) else { continue };
        outline.changes.push(Change::PutScheme(PrivateScheme {
            organization: by.organization,
            name: name.clone(),
            toml: toml.clone(),
            version: old.map_or(1, |old| old.version + 1),
            declaration,
            created_at: old.map_or(now, |old| old.created_at),
            updated_at: now,
        }));
    }
    for old in existing.schemes.iter().filter(|old| goes(authority, declared, old)) {
        outline.remove(by, Kind::Scheme, &old.name, &old.declaration, now);
        outline.changes.push(Change::RemoveScheme(old.organization, old.name.clone()));
    }
    Ok(())
}

/// A new one takes no other's place unawares.
fn may_be_new(schemes: &Schemes, by: &Principal, name: &str, table: &Value) -> Result<(), EngineError> {
    let is_in_file = schemes.installed().of_file(name).is_some();
    if is_in_file && by.operates() {
        return Err(managed_by_file(Kind::Scheme, name));
    }
    match replaces_catalog(table) {
        true => Ok(()),
        false if hookward::catalog::has(name) => Err(EngineError::Conflict(in_catalog(name))),
        false if is_in_file => {
            let problem = format!("scheme `{name}` is in the configuration file of this installation");
            Err(EngineError::Conflict(format!("{problem}: give this one another name, or say `replaces_catalog`")))
        }
        false => Ok(()),
    }
}

/// What will be in force of an organization's doors and ways out.
fn remaining<'r>(existing: &'r Resources, changes: &'r [Change]) -> (Vec<&'r Source>, Vec<&'r Destination>) {
    let put = |change: &'r Change| match change {
        Change::PutSource(source) => Some(source),
        _ => None,
    };
    let is_put = |old: &Source| changes.iter().filter_map(put).any(|new| new.id == old.id);
    let sources = existing.sources.iter().filter(|old| !is_put(old)).chain(changes.iter().filter_map(put));
    let put = |change: &'r Change| match change {
        Change::PutDestination(destination) => Some(&**destination),
        _ => None,
    };
    let is_gone = |old: &Destination| {
        old.is_retired()
            || changes.iter().any(|change| match change {
                Change::PutDestination(new) => new.id == old.id,
                Change::SetDestinationState(id, _) => *id == old.id,
                _ => false,
            })
    };
    let ways_out = existing.destinations.iter().filter(|old| !is_gone(old)).chain(changes.iter().filter_map(put));
    (sources.filter(|source| source.removed_at.is_none()).collect(), ways_out.collect())
}

impl Engine {
    /// Whether whoever uses a scheme that `changes` replace or remove can go on with what its name means then.
    pub(super) async fn check_users(
        &self,
        authority: Authority,
        schemes: &Schemes,
        changes: &[Change],
        existing: &Resources,
    ) -> Result<(), EngineError> {
        let changed = changes.iter().filter_map(|change| match change {
            Change::PutScheme(scheme) => Some(scheme.name.as_str()),
            Change::RemoveScheme(_, name) => Some(name.as_str()),
            _ => None,
        });
        let changed: Vec<&str> = changed.collect();
        if changed.is_empty() {
            return Ok(());
        }
        let (sources, ways_out) = remaining(existing, changes);
        for source in sources {
            let Proof::Scheme { name, parameters } = &source.spec.proof else { continue };
            if changed.contains(&name.as_str()) {
                let user = format!("source `{}`", source.name);
                let scheme = going_on(schemes, source.organization, (name, parameters), &user)?;
                check_window(&scheme, source, &user)?;
                let owner = SecretOwner::Source(source.id);
                self.check_keys(authority, &scheme, (owner, ""), &user, existing).await?;
            }
        }
        for destination in ways_out {
            let user = format!("destination `{}`", destination.name);
            let signing = &destination.spec.signing;
            if !signing.iter().any(|signing| changed.contains(&signing.scheme.as_str())) {
                continue;
            }
            let mut found = Vec::new();
            for signing in signing {
                let said = (signing.scheme.as_str(), &signing.parameters);
                found.push(going_on(schemes, destination.organization, said, &user)?);
            }
            let all: Vec<&Scheme> = found.iter().map(AsRef::as_ref).collect();
            let clash = check_schemes(&destination.spec.signing, &all);
            clash.map_err(|(_, problem)| EngineError::Conflict(format!("{user} could not go on: {problem}")))?;
            for scheme in found.iter().filter(|scheme| changed.contains(&scheme.name())) {
                let owner = SecretOwner::Destination(destination.id);
                self.check_keys(authority, scheme, (owner, scheme.name()), &user, existing).await?;
            }
        }
        Ok(())
    }

    /// Whether the secrets that are in force, now or later, are keys of a scheme. At a start nobody waits for a KMS.
    async fn check_keys(
        &self,
        authority: Authority,
        scheme: &Scheme,
        (owner, purpose): (SecretOwner, &str),
        user: &str,
        existing: &Resources,
    ) -> Result<(), EngineError> {
        if authority == Authority::ServedFile {
            return Ok(());
        }
        let (now, registry) = (self.inner().clock().now(), self.inner().registry());
        let Some(organization) = registry.organization_of(owner) else { return Ok(()) };
        let own = existing.secrets.iter().filter(|secret| secret.owner == owner && secret.purpose == purpose);
        let lasting =
            own.filter(|secret| secret.revoked_at.is_none() && secret.not_after.is_none_or(|until| until > now));
        for secret in lasting {
            let opened = open_secret(self.inner().kms(), organization, (owner, secret.version), &secret.sealed).await;
            let opened = opened.map_err(|error| {
                EngineError::Unavailable(format!("{user}: version {} of its secret: {error}", secret.version))
            })?;
            if let Err(error) = scheme.key(secret.version, &opened) {
                let (name, version) = (scheme.name(), secret.version);
                let problem = format!("version {version} of its secret is no key of this scheme `{name}`: {error}");
                return Err(EngineError::Conflict(format!("{user} could not go on: {problem}")));
            }
        }
        Ok(())
    }

    /// The change that takes a private scheme away which nothing uses, and how it came to be declared.
    pub(super) fn without_scheme(
        &self,
        by: &Principal,
        name: &str,
    ) -> Result<Option<(Change, Declaration)>, EngineError> {
        let registry = self.inner().registry();
        let schemes = registry.schemes();
        let Some(own) = schemes.own(by.organization).find(|own| own.declared.name == name) else {
            return match schemes.installed().of_file(name) {
                Some(_) => Err(managed_by_file(Kind::Scheme, name)),
                None => Ok(None),
            };
        };
        let users = self.scheme_users(by.organization, name);
        if !users.is_empty() && own.declared.declaration.manager == Manager::Api {
            return Err(in_use(name, &users));
        }
        Ok(Some((Change::RemoveScheme(by.organization, name.to_owned()), own.declared.declaration.clone())))
    }
}

/// The scheme that its user goes on with, for what that says of its endpoint.
fn going_on(
    schemes: &Schemes,
    organization: OrganizationId,
    (name, parameters): (&str, &BTreeMap<String, String>),
    user: &str,
) -> Result<Arc<Scheme>, EngineError> {
    if schemes.find(organization, name).is_none() {
        return Err(in_use(name, &[user.to_owned()]));
    }
    let found = schemes.for_endpoint(organization, name, parameters);
    found.map_err(|problem| EngineError::Conflict(format!("{user} could not go on: {problem}")))
}

/// A door's window has to go with its scheme.
fn check_window(scheme: &Scheme, source: &Source, user: &str) -> Result<(), EngineError> {
    let least = 2 * scheme.tolerance().unwrap_or_default();
    if source.spec.dedup.window >= least {
        return Ok(());
    }
    let (name, least) = (scheme.name(), least.as_secs());
    let problem = format!("its dedup window is shorter than twice the tolerance of scheme `{name}` ({least}s)");
    Err(EngineError::Conflict(format!("{user} could not go on: {problem}")))
}

fn in_use(name: &str, users: &[String]) -> EngineError {
    EngineError::Conflict(format!("scheme `{name}` is in use by {}: give another one there first", users.join(", ")))
}
