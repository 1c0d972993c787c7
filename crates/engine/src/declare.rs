//! What a configuration says comes into force: sources and destinations appear, change and go; their first secrets enter
//! their keyrings once. Reading a configuration is the gateway's.

use hookward::Secret;
use serde_json::json;

use crate::engine::{Engine, EngineError};
use crate::expression::Expression;
use crate::handshake::Tokens;
use crate::ids::{DestinationId, SourceId};
use crate::model::{
    AuditEntry, Destination, DestinationSpec, DestinationState, OWN, PUBLISH, Principal, Proof, Rules, SecretOwner,
    Source, SourceSpec,
};
use crate::secrets::{NewSecret, Terms, told_of};
use crate::store::{Change, Resources};

/// Everything that is to be in force. What is not here any more is retired: sources are removed, destinations disabled
/// with their deliveries held, so that nothing is lost when they come back.
#[derive(Debug, Default)]
pub struct Declared {
    /// Doors in.
    pub sources: Vec<DeclaredSource>,
    /// Ways out.
    pub destinations: Vec<DeclaredDestination>,
}

/// A door in, as configured.
#[derive(Debug)]
pub struct DeclaredSource {
    /// Unique; `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// How it behaves.
    pub spec: SourceSpec,
    /// Its secret from the environment or a file. It enters the keyring once; a changed value is a rotation.
    pub secret: Option<Secret>,
    /// The text that the operator told the provider for its handshake, where its scheme has that. Kept in memory only.
    pub handshake_token: Option<Secret>,
}

/// A way out, as configured.
#[derive(Debug)]
pub struct DeclaredDestination {
    /// Unique; `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// How it behaves.
    pub spec: DestinationSpec,
    /// Its signing secret from the environment or a file, as for a source.
    pub secret: Option<Secret>,
}

const NOT_DECLARED: &str = "it is not declared any more";
/// Where the secrets that are declared come from.
const ORIGIN: &str = "config";

impl Engine {
    /// Puts `declared` in force as everything that an organization declares, all or nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for a bad name, an unknown scheme, or a secret that cannot be a key of its scheme.
    pub async fn declare(&self, by: &Principal, declared: Declared) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        self.check(&declared)?;
        let mut existing = self.inner().store().load().await?;
        existing.sources.retain(|source| source.organization == by.organization);
        existing.destinations.retain(|destination| destination.organization == by.organization);
        let (changes, audit) = self.resource_changes(by, &declared, &existing);
        if !changes.is_empty() {
            self.inner().store().change(changes, audit).await?;
            self.inner().refresh().await?;
        }
        let mut tokens = Tokens::new();
        for source in declared.sources {
            let Some(live) = self.source(by.organization, &source.name) else { continue };
            tokens.extend(source.handshake_token.map(|token| (live.id, token)));
            if let Some(secret) = source.secret {
                self.seed(by, SecretOwner::Source(live.id), secret).await?;
            }
        }
        self.inner().put_handshake_tokens(tokens);
        for destination in declared.destinations {
            if let (Some(secret), Some(live)) =
                (destination.secret, self.destination(by.organization, &destination.name))
            {
                self.seed(by, SecretOwner::Destination(live.id), secret).await?;
            }
        }
        Ok(())
    }

    fn check(&self, declared: &Declared) -> Result<(), EngineError> {
        check_rules(declared)?;
        let sources = declared.sources.iter().map(|source| {
            let scheme = match &source.spec.proof {
                Proof::Scheme { name } => Some(name),
                Proof::ApiKey | Proof::Engine | Proof::Unsigned => None,
            };
            ("source", &source.name, scheme, &source.secret)
        });
        let destinations = declared.destinations.iter().map(|destination| {
            let scheme = destination.spec.signing.as_ref().map(|signing| &signing.scheme);
            ("destination", &destination.name, scheme, &destination.secret)
        });
        for (kind, name, scheme, secret) in sources.chain(destinations) {
            if !is_name(name) || name == PUBLISH || name == OWN {
                return Err(EngineError::Invalid(format!(
                    "{kind} `{name}`: a name is 1 to 64 characters of `a-z 0-9 -`, and not `{PUBLISH}` or `{OWN}`"
                )));
            }
            let Some(scheme) = scheme else { continue };
            let found = self.inner().schemes().find(scheme);
            let found = found.ok_or_else(|| EngineError::Invalid(format!("{kind} `{name}`: no scheme `{scheme}`")))?;
            if let Some(secret) = secret {
                found.key(1, secret).map_err(|error| EngineError::Invalid(format!("{kind} `{name}`: {error}")))?;
            }
        }
        Ok(())
    }

    fn resource_changes(
        &self,
        by: &Principal,
        declared: &Declared,
        existing: &Resources,
    ) -> (Vec<Change>, Vec<AuditEntry>) {
        let now = self.inner().clock().now();
        let entropy = self.inner().entropy();
        let mut plan = Plan { by, changes: vec![], audit: vec![], now };
        for DeclaredSource { name, spec, .. } in &declared.sources {
            let old = existing.sources.iter().find(|source| source.name == *name);
            if old.is_some_and(|old| old.spec == *spec && old.removed_at.is_none()) {
                continue;
            }
            let source = Source {
                id: old.map_or_else(|| SourceId::new(now, entropy), |old| old.id),
                organization: by.organization,
                name: name.clone(),
                spec: spec.clone(),
                created_at: old.map_or(now, |old| old.created_at),
                removed_at: None,
            };
            plan.add(Change::PutSource(source), "source", old.is_some(), name);
        }
        for old in existing.sources.iter().filter(|old| old.removed_at.is_none() && !is_inner(old)) {
            if !declared.sources.iter().any(|source| source.name == old.name) {
                let gone = Source { removed_at: Some(now), ..old.clone() };
                plan.add(Change::PutSource(gone), "source", true, &old.name);
            }
        }
        for DeclaredDestination { name, spec, .. } in &declared.destinations {
            let old = existing.destinations.iter().find(|destination| destination.name == *name);
            let id = old.map_or_else(|| DestinationId::new(now, entropy), |old| old.id);
            if old.is_none_or(|old| old.spec != *spec) {
                let destination = Destination {
                    id,
                    organization: by.organization,
                    name: name.clone(),
                    spec: spec.clone(),
                    state: DestinationState::Active,
                    created_at: old.map_or(now, |old| old.created_at),
                };
                plan.add(Change::PutDestination(destination), "destination", old.is_some(), name);
            }
            if old.is_some_and(|old| old.state == not_declared()) {
                plan.add(Change::SetDestinationState(id, DestinationState::Active), "destination", true, name);
            }
        }
        for old in existing.destinations.iter().filter(|old| old.state == DestinationState::Active) {
            if !declared.destinations.iter().any(|destination| destination.name == old.name) {
                plan.add(Change::SetDestinationState(old.id, not_declared()), "destination", true, &old.name);
            }
        }
        (plan.changes, plan.audit)
    }

    /// A configured secret enters its keyring once: the same value again changes nothing, whatever was rotated since.
    async fn seed(&self, by: &Principal, owner: SecretOwner, secret: Secret) -> Result<(), EngineError> {
        let name = self.inner().owner_name(owner);
        let meta = match owner {
            SecretOwner::Source(id) => format!("seed:{id}"),
            SecretOwner::Destination(id) => format!("seed:{id}"),
        };
        let fingerprint = self.inner().fingerprint(&meta, secret.expose());
        if self.inner().store().meta(&meta).await?.is_some_and(|seen| seen == fingerprint) {
            return Ok(());
        }
        let (version, mut changes) =
            self.inner().secret_changes(owner, NewSecret::Given(secret), Terms::default(), ORIGIN).await?;
        let detail = told_of(version, ORIGIN, &changes);
        changes.push(Change::PutMeta { name: meta, value: fingerprint });
        let audit = AuditEntry::by(by, "secret.rotate", name, self.inner().clock().now(), detail);
        self.inner().store().change(changes, vec![audit]).await?;
        self.inner().refresh().await
    }
}

/// Changes and the entries that tell of them, growing together.
struct Plan<'a> {
    by: &'a Principal,
    changes: Vec<Change>,
    audit: Vec<AuditEntry>,
    now: crate::clock::Timestamp,
}

impl Plan<'_> {
    fn add(&mut self, change: Change, kind: &str, existed: bool, name: &str) {
        let verb = match &change {
            Change::PutSource(source) if source.removed_at.is_some() => "remove",
            Change::SetDestinationState(_, DestinationState::Active) => "resume",
            Change::SetDestinationState(..) => "disable",
            _ if existed => "update",
            _ => "create",
        };
        let (action, target) = (format!("{kind}.{verb}"), format!("{kind}:{name}"));
        self.audit.push(AuditEntry::by(self.by, action, target, self.now, json!({})));
        self.changes.push(change);
    }
}

fn check_rules(declared: &Declared) -> Result<(), EngineError> {
    let sources = declared.sources.iter().map(|source| ("source", &source.name, vec![&source.spec.filter]));
    let destinations = declared.destinations.iter().map(|destination| {
        let Rules { filter, once_per, latest_wins } = &destination.spec.rules;
        ("destination", &destination.name, vec![filter, once_per, latest_wins])
    });
    for (kind, name, texts) in sources.chain(destinations) {
        for text in texts.into_iter().flatten() {
            let wrong = |error| EngineError::Invalid(format!("{kind} `{name}`: `{}`: {error}", text.escape_debug()));
            Expression::compile(text).map_err(wrong)?;
        }
    }
    Ok(())
}

fn not_declared() -> DestinationState {
    DestinationState::Disabled { reason: NOT_DECLARED.to_owned() }
}

fn is_inner(source: &Source) -> bool {
    source.name == PUBLISH || source.name == OWN
}

pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}
