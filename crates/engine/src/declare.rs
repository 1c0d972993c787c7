//! What is declared comes into force: sources and destinations appear, change and go; their first secrets enter their
//! keyrings once. Nothing else puts anything in force. Reading a configuration is the gateway's.

mod event_types;
mod outline;
mod schemes;
pub(crate) mod sealed;
pub(crate) mod sealing;
mod seed;
pub(crate) mod served;
mod shown;
mod signing;
pub(crate) mod waiting;

use std::sync::Arc;

use hookward::Secret;
use serde_json::{Value, json};

use crate::egress::{ClientCertificate, check_certificate};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::expression::Expression;
use crate::ids::OrganizationId;
use crate::model::{
    AuditEntry, Destination, DestinationKind, DestinationSpec, HttpSpec, MTLS, Manager, MtlsSpec, OWN, PUBLISH,
    Principal, Proof, Rules, Source, SourceSpec,
};
use crate::schemes::Schemes;
use crate::store::{Change, Resources};

pub use event_types::DeclaredEventType;
pub use outline::{Act, Kind, Planned, managed_by_file};
pub use schemes::DeclaredScheme;
pub use shown::{Difference, HIDDEN, shown};

use outline::{Outline, not_declared};
use served::{Served, kept};
use signing::check_signing;
pub use signing::{SIGNING_MAX, check_schemes};

/// What is to be in force. What a file managed and does not name any more is retired: sources are removed, destinations
/// disabled with their deliveries held, so that nothing is lost when they come back.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Doors in.
    pub sources: Vec<DeclaredSource>,
    /// Ways out.
    pub destinations: Vec<DeclaredDestination>,
    /// Types of events.
    pub event_types: Vec<DeclaredEventType>,
    /// Private schemes. Those of the served file are not among them: these are every organization's, and in the engine's
    /// [`crate::Parts`].
    pub schemes: Vec<DeclaredScheme>,
    /// What [`Engine::catch_up`] said before this was made from what is declared: if another node has changed something since, it
    /// is not declared. Absent where nothing that is there went into it.
    pub since: Option<i64>,
}

impl Declared {
    fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.destinations.is_empty() && self.event_types.is_empty()
    }
}

/// A door in, as declared.
#[derive(Debug, Clone)]
pub struct DeclaredSource {
    /// Unique; `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// How it behaves.
    pub spec: SourceSpec,
    /// The table that this comes from, without secrets.
    pub table: Value,
    /// Its secret from the environment or a file. It enters the keyring once; a changed value is a rotation.
    pub secret: Option<Secret>,
    /// The text that the operator told the provider for its handshake, where its scheme has that. Kept in memory only.
    pub handshake_token: Option<Secret>,
}

/// A way out, as declared.
#[derive(Debug, Clone)]
pub struct DeclaredDestination {
    /// Unique; `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// How it behaves.
    pub spec: DestinationSpec,
    /// The table that this comes from, without secrets.
    pub table: Value,
    /// Its secrets from the environment or a file, as for a source; at most one for each purpose.
    pub secrets: Vec<DeclaredSecret>,
}

/// A secret of a way out, as declared.
#[derive(Debug, Clone)]
pub struct DeclaredSecret {
    /// The scheme that it is a key of, or the setting that it holds.
    pub purpose: String,
    /// Its value.
    pub value: Secret,
}

impl DeclaredSecret {
    /// One for this purpose.
    pub fn new(purpose: impl Into<String>, value: Secret) -> Self {
        Self { purpose: purpose.into(), value }
    }
}

/// By whose word something is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The file that this installation runs with: everything that its organization has from files.
    ServedFile,
    /// A file that somebody applies: likewise, but whoever applies it may not be whoever knows the secrets.
    AppliedFile,
    /// One thing that is new, over the API.
    Creation,
    /// One thing that is there, over the API.
    Alteration,
}

impl Authority {
    fn manager(self) -> Manager {
        match self {
            Self::ServedFile | Self::AppliedFile => Manager::File,
            Self::Creation | Self::Alteration => Manager::Api,
        }
    }

    /// Whether what is not declared is to go.
    fn is_whole(self) -> bool {
        self.manager() == Manager::File
    }
}

/// The engine's note that the served file declares something: then no other file does.
const SERVED_FILE: &str = "served_file";

impl Engine {
    /// Puts `declared` in force, all or nothing, and says what that changed.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for a bad name, an unknown scheme, or a secret that cannot be a key of its scheme;
    /// [`EngineError::Conflict`] for a name that is taken, for what a file manages, and for a file beside the served one.
    pub async fn declare(
        &self,
        by: &Principal,
        authority: Authority,
        declared: Declared,
    ) -> Result<Vec<Planned>, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        if declared.since.is_some_and(|since| !self.inner().is_at(since)) {
            return Err(EngineError::Moved);
        }
        let declared = without_credentials(authority, declared);
        match self.put(by, authority, &declared).await {
            Err(EngineError::Unavailable(problem)) if authority == Authority::ServedFile => {
                self.put_without_secrets(by, declared, &problem).await
            }
            result => {
                if authority == Authority::ServedFile {
                    self.inner().opening().take_waiting();
                }
                result
            }
        }
    }

    /// Puts it in force, on top of whatever other nodes change at the same moment.
    async fn put(
        &self,
        by: &Principal,
        authority: Authority,
        declared: &Declared,
    ) -> Result<Vec<Planned>, EngineError> {
        match declared.since {
            Some(_) => self.put_once(by, authority, declared).await,
            None => self.inner().anew(|| self.put_once(by, authority, declared)).await,
        }
    }

    async fn put_once(
        &self,
        by: &Principal,
        authority: Authority,
        declared: &Declared,
    ) -> Result<Vec<Planned>, EngineError> {
        let existing = self.resources_of(by).await?;
        let now = self.inner().clock().now();
        let schemes = schemes::after(self.inner().registry().schemes(), by, authority, (declared, &existing), now)?;
        check(declared, &schemes, by.organization)?;
        self.check_certificates(by, declared).await?;
        if !self.takes_charge(by, authority, declared).await? {
            return Ok(Vec::new());
        }
        let outline = self.outline(by, authority, declared, &existing, schemes).await?;
        let Outline { planned, mut changes, mut audit, seeds, tokens, .. } = outline;
        for seed in seeds {
            let (change, entry) = self.enter(by, authority, seed, &existing, &changes).await?;
            changes.extend(change);
            audit.push(entry);
        }
        if authority == Authority::ServedFile && self.has_served_file().await? == declared.is_empty() {
            changes.push(served_file(declared));
        }
        let served = (authority == Authority::ServedFile)
            .then(|| keep_less(&mut changes, declared, &existing, &self.inner().served()));
        let has_changes = !changes.is_empty();
        if has_changes {
            self.inner().change(changes, audit).await?;
        }
        let says_something_new = served.is_some_and(|served| self.inner().put_served(served));
        if has_changes || says_something_new {
            self.inner().refresh().await?;
        }
        if authority == Authority::ServedFile {
            self.inner().put_handshake_tokens(tokens);
        }
        Ok(planned)
    }

    /// What [`Engine::declare`] would change.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn plan(
        &self,
        by: &Principal,
        authority: Authority,
        declared: &Declared,
    ) -> Result<Vec<Planned>, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        let declared = without_credentials(authority, declared.clone());
        let existing = self.resources_of(by).await?;
        let now = self.inner().clock().now();
        let schemes = schemes::after(self.inner().registry().schemes(), by, authority, (&declared, &existing), now)?;
        check(&declared, &schemes, by.organization)?;
        self.check_certificates(by, &declared).await?;
        Ok(self.outline(by, authority, &declared, &existing, schemes).await?.planned)
    }

    /// Takes something out of force that the API manages: a source's door closes, its events stay; what a destination is
    /// owed is held. Under its name it can come back.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] for what a file manages; [`EngineError::Unavailable`].
    pub async fn retire(&self, by: &Principal, kind: Kind, name: &str) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        let now = self.inner().clock().now();
        let missing = || EngineError::NotFound(format!("{} `{}`", kind.name(), name.escape_debug()));
        let (change, declaration) = match kind {
            Kind::Source => {
                let source = self.source(by.organization, name).ok_or_else(missing)?;
                let declaration = source.declaration.clone();
                (Change::PutSource(Source { removed_at: Some(now), ..source }), declaration)
            }
            Kind::Destination => {
                let destination = self.destination(by.organization, name).filter(|one| !one.is_retired());
                let destination = destination.ok_or_else(missing)?;
                (Change::SetDestinationState(destination.id, not_declared()), destination.declaration)
            }
            Kind::EventType => self.without_event_type(by, name).ok_or_else(missing)?,
            Kind::Scheme => self.without_scheme(by, name)?.ok_or_else(missing)?,
        };
        if declaration.manager == Manager::File {
            return Err(managed_by_file(kind, name));
        }
        let detail = json!({ "before": shown(&declaration.table) });
        let (action, target) = (format!("{}.remove", kind.name()), format!("{}:{name}", kind.name()));
        let audit = AuditEntry::by(by, action, target, now, detail);
        self.inner().change(vec![change], vec![audit]).await?;
        self.inner().refresh().await
    }

    /// Whether this declaration is one at all. A served file that declares nothing, and never did, leaves the
    /// organization's things to others; while it does declare something, no file is applied beside it.
    async fn takes_charge(
        &self,
        by: &Principal,
        authority: Authority,
        declared: &Declared,
    ) -> Result<bool, EngineError> {
        match authority {
            Authority::ServedFile => Ok(!declared.is_empty() || self.has_served_file().await?),
            Authority::AppliedFile if by.operates() && self.has_served_file().await? => {
                let problem = "the file that `hookward serve` was started with declares what this organization has";
                Err(EngineError::Conflict(format!("{problem}: change that one, and send the process SIGHUP")))
            }
            Authority::AppliedFile | Authority::Creation | Authority::Alteration => Ok(true),
        }
    }

    async fn has_served_file(&self) -> Result<bool, EngineError> {
        Ok(self.inner().store().meta(SERVED_FILE).await?.is_some_and(|kept| !kept.is_empty()))
    }

    async fn resources_of(&self, by: &Principal) -> Result<Resources, EngineError> {
        let mut existing = self.inner().store().load().await?;
        existing.sources.retain(|source| source.organization == by.organization);
        existing.destinations.retain(|destination| destination.organization == by.organization);
        existing.event_types.retain(|event_type| event_type.organization == by.organization);
        existing.schemes.retain(|scheme| scheme.organization == by.organization);
        let served = self.inner().served();
        existing.destinations.iter_mut().for_each(|destination| served.complete(destination));
        Ok(existing)
    }

    /// A certificate is shown with the key that comes with it, or with the one that is there: it has to be its own.
    async fn check_certificates(&self, by: &Principal, declared: &Declared) -> Result<(), EngineError> {
        for DeclaredDestination { name, spec, secrets, .. } in &declared.destinations {
            let DestinationKind::Http(HttpSpec { mtls: Some(MtlsSpec { certificate }), .. }) = &spec.kind else {
                continue;
            };
            let given = secrets.iter().find(|secret| secret.purpose == MTLS);
            let read = match given {
                Some(given) => ClientCertificate::new(certificate, given.value.expose()).map(drop),
                None => match self.stored_key(by.organization, name).await {
                    Some(key) => ClientCertificate::new(certificate, key.expose()).map(drop),
                    None => check_certificate(certificate),
                },
            };
            read.map_err(|problem| EngineError::Invalid(format!("destination `{name}`: mtls: {problem}")))?;
        }
        Ok(())
    }

    /// The key of a destination's certificate, as far as it is open.
    async fn stored_key(&self, organization: OrganizationId, name: &str) -> Option<Arc<Secret>> {
        let registry = self.inner().registry();
        let live = registry.destinations_of(organization).find(|live| live.destination.name == name)?;
        let opened = self.inner().opened(live.sealed(MTLS)?, self.inner().clock().now()).await;
        opened.values.first().map(|(_, key)| Arc::clone(key))
    }
}

/// What a declaration says without the values in it that may be credentials: tables keep none of them, and settings only
/// those of the served file, which are not kept either.
fn without_credentials(authority: Authority, mut declared: Declared) -> Declared {
    for destination in &mut declared.destinations {
        if authority != Authority::ServedFile {
            sealed::take_out(destination);
        }
        if let Some(table) = shown::without_values(&destination.table) {
            destination.table = table;
        }
    }
    declared
}

/// Takes out of `changes` what is not kept of the served file, and out of what is there already where nothing changes.
/// Gives what the file says.
fn keep_less(changes: &mut Vec<Change>, declared: &Declared, existing: &Resources, before: &Served) -> Served {
    let mut ids = Vec::new();
    for DeclaredDestination { name, spec, .. } in &declared.destinations {
        let put = changes.iter_mut().find_map(|change| match change {
            Change::PutDestination(destination) if destination.name == *name => Some(destination),
            _ => None,
        });
        if let Some(destination) = put {
            destination.spec = kept(spec);
            ids.push((destination.id, spec));
        } else if let Some(old) = existing.destinations.iter().find(|old| old.name == *name) {
            if old.spec == *spec && kept(spec) != *spec && !before.has(old.id) {
                changes.push(Change::PutDestination(Box::new(Destination { spec: kept(spec), ..old.clone() })));
            }
            ids.push((old.id, spec));
        }
    }
    Served::new(ids.into_iter())
}

/// That the served file declares something, or that it does not.
fn served_file(declared: &Declared) -> Change {
    let value = if declared.is_empty() { Vec::new() } else { b"1".to_vec() };
    Change::PutMeta { name: SERVED_FILE.to_owned(), value }
}

fn check(declared: &Declared, schemes: &Schemes, organization: OrganizationId) -> Result<(), EngineError> {
    check_rules(declared)?;
    event_types::check(declared)?;
    for DeclaredSource { name, spec, secret, .. } in &declared.sources {
        check_name("source", name)?;
        let Proof::Scheme { name: scheme, parameters } = &spec.proof else { continue };
        let problem = |problem: String| EngineError::Invalid(format!("source `{name}`: {problem}"));
        let found = schemes.for_endpoint(organization, scheme, parameters).map_err(problem)?;
        if let Some(secret) = secret {
            found.check_new(secret).map_err(|error| problem(error.to_string()))?;
        }
    }
    for DeclaredDestination { name, spec, secrets, .. } in &declared.destinations {
        check_name("destination", name)?;
        let problem = |problem: String| EngineError::Invalid(format!("destination `{name}`: {problem}"));
        check_signing(&spec.signing, (schemes, organization), secrets).map_err(problem)?;
    }
    Ok(())
}

fn check_rules(declared: &Declared) -> Result<(), EngineError> {
    let sources =
        declared.sources.iter().map(|source| ("source", &source.name, source.spec.filter.iter().collect::<Vec<_>>()));
    let destinations = declared.destinations.iter().map(|destination| {
        let Rules { filter, once_per, latest_wins } = &destination.spec.rules;
        let order = destination.spec.order.as_ref().map(|order| &order.key);
        let texts = [filter, once_per, latest_wins].map(Option::as_ref).into_iter().chain([order]);
        ("destination", &destination.name, texts.flatten().collect::<Vec<_>>())
    });
    for (kind, name, texts) in sources.chain(destinations) {
        for text in texts {
            let wrong = |error| EngineError::Invalid(format!("{kind} `{name}`: `{}`: {error}", text.escape_debug()));
            Expression::compile(text).map_err(wrong)?;
        }
    }
    Ok(())
}

fn check_name(kind: &str, name: &str) -> Result<(), EngineError> {
    if is_name(name) && name != PUBLISH && name != OWN {
        return Ok(());
    }
    Err(EngineError::Invalid(format!(
        "{kind} `{name}`: a name is 1 to 64 characters of `a-z 0-9 -`, and not `{PUBLISH}` or `{OWN}`"
    )))
}

pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
}
