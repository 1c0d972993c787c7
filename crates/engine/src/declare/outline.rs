//! What a declaration changes: held against what there is, thing by thing. Nothing is written here, and no secret is sealed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::sealed;
use super::seed::{Seed, is_sent_itself, place, seed_name_of, token_url};
use super::served::{is_incomplete, kept};
use super::shown::{Difference, differences, shown};
use super::{Authority, Declared, DeclaredDestination, DeclaredSecret, DeclaredSource, event_types, schemes};
use crate::clock::Timestamp;
use crate::engine::{Engine, EngineError};
use crate::handshake::Tokens;
use crate::ids::{DestinationId, SourceId};
use crate::model::{
    AuditEntry, Condition, Declaration, Destination, DestinationSpec, DestinationState, MTLS, Manager, OAUTH2, OWN,
    PUBLISH, Principal, Proof, SecretOwner, Source,
};
use crate::schemes::Schemes;
use crate::secrets::Purpose;
use crate::store::{Change, Resources};

const NOT_DECLARED: &str = "it is not declared any more";

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A door in.
    Source,
    /// A way out.
    Destination,
    /// A type of events.
    EventType,
    /// A private scheme.
    Scheme,
}

impl Kind {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::EventType => "event_type",
            Self::Scheme => "scheme",
        }
    }
}

/// What is done to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is new, or comes back.
    Create,
    /// It is not what it was.
    Update,
    /// It goes.
    Remove,
    /// It stays as it is, and a file manages it from now on.
    Adopt,
}

/// One change that a declaration makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What the thing is.
    pub kind: Kind,
    /// What it is called.
    pub name: String,
    /// What is done.
    pub act: Act,
    /// Setting by setting.
    pub fields: Vec<Difference>,
    /// Whether what references stand for has changed.
    pub values_changed: bool,
    /// Whether a secret enters its keyring.
    pub secret: bool,
    /// What stored secrets were for that end with this change, because they would be told to somebody else than they were
    /// entered for.
    pub dropped: Vec<String>,
}

/// Everything that a declaration comes to.
pub(super) struct Outline<'d> {
    pub(super) planned: Vec<Planned>,
    pub(super) changes: Vec<Change>,
    pub(super) audit: Vec<AuditEntry>,
    /// Secrets that have yet to be sealed.
    pub(super) seeds: Vec<Seed<'d>>,
    pub(super) tokens: Tokens,
    /// As they are once all of this is in force.
    schemes: Schemes,
}

/// What secrets are for that end with a change.
#[derive(Debug)]
struct Ended {
    purpose: String,
    /// Whether that is only because of where they would go.
    is_dropped: bool,
}

/// A thing as it is and as it is to be, whichever kind it is of.
pub(super) struct Compared<'a> {
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    /// Absent for one that is new or comes back.
    pub(super) before: Option<&'a Declaration>,
    pub(super) table: &'a Value,
    pub(super) same_spec: bool,
    pub(super) secret: bool,
    pub(super) dropped: Vec<String>,
}

/// What whoever would change it elsewhere is told.
pub fn managed_by_file(kind: Kind, name: &str) -> EngineError {
    EngineError::Conflict(format!("{} `{name}` is managed by the configuration file: change it there", kind.name()))
}

pub(super) fn not_declared() -> DestinationState {
    DestinationState::Disabled { reason: NOT_DECLARED.to_owned() }
}

impl Destination {
    /// Whether it is only remembered: for what it is owed, and in case it comes back.
    pub fn is_retired(&self) -> bool {
        self.state == not_declared()
    }
}

impl Engine {
    pub(super) async fn outline<'d>(
        &self,
        by: &Principal,
        authority: Authority,
        declared: &'d Declared,
        existing: &Resources,
        schemes: Schemes,
    ) -> Result<Outline<'d>, EngineError> {
        let (planned, changes, audit, seeds) = (vec![], vec![], vec![], vec![]);
        let mut outline = Outline { planned, changes, audit, seeds, tokens: Tokens::new(), schemes };
        schemes::outline(&mut outline, by, authority, (declared, existing), self.inner().clock().now())?;
        for source in &declared.sources {
            self.outline_source(&mut outline, by, authority, source, existing).await?;
        }
        for destination in &declared.destinations {
            self.outline_destination(&mut outline, by, authority, destination, existing).await?;
        }
        event_types::outline(&mut outline, by, authority, (declared, existing), self.inner().clock().now())?;
        if authority.is_whole() {
            self.outline_leavers(&mut outline, by, declared, existing);
        }
        self.check_users(authority, &outline.schemes, &outline.changes, existing).await?;
        Ok(outline)
    }

    async fn outline_source<'d>(
        &self,
        outline: &mut Outline<'d>,
        by: &Principal,
        authority: Authority,
        declared: &'d DeclaredSource,
        existing: &Resources,
    ) -> Result<(), EngineError> {
        let DeclaredSource { name, spec, table, secret, handshake_token } = declared;
        let now = self.inner().clock().now();
        let old = existing.sources.iter().find(|source| source.name == *name);
        let live = old.filter(|old| old.removed_at.is_none());
        may(authority, Kind::Source, name, live.map(|live| &live.declaration))?;
        let id = old.map_or_else(|| SourceId::new(now, self.inner().entropy()), |old| old.id);
        let owner = SecretOwner::Source(id);
        outline.tokens.extend(handshake_token.clone().map(|token| (id, token)));
        let seed = match secret {
            None => None,
            Some(secret) => {
                let target = format!("source:{name}");
                let scheme = match &spec.proof {
                    Proof::Scheme { name, .. } => outline.schemes.find(by.organization, name),
                    Proof::ApiKey | Proof::Engine | Proof::Unsigned => None,
                };
                let scheme = scheme.ok_or_else(|| EngineError::Invalid(format!("{target} uses no secret")))?;
                self.seed((owner, target), Purpose::Sole(scheme), spec.grace, secret, existing).await?
            }
        };
        let before = live.map(|live| &live.declaration);
        let same_spec = live.is_some_and(|live| live.spec == *spec);
        let compared =
            Compared { kind: Kind::Source, name, before, table, same_spec, secret: seed.is_some(), dropped: vec![] };
        outline.seeds.extend(seed);
        let Some(declaration) = outline.add(by, authority, compared, now) else { return Ok(()) };
        outline.changes.push(Change::PutSource(Source {
            id,
            organization: by.organization,
            name: name.clone(),
            spec: spec.clone(),
            declaration,
            created_at: old.map_or(now, |old| old.created_at),
            removed_at: None,
        }));
        Ok(())
    }

    async fn outline_destination<'d>(
        &self,
        outline: &mut Outline<'d>,
        by: &Principal,
        authority: Authority,
        declared: &'d DeclaredDestination,
        existing: &Resources,
    ) -> Result<(), EngineError> {
        let DeclaredDestination { name, spec, table, secrets } = declared;
        let now = self.inner().clock().now();
        let old = existing.destinations.iter().find(|destination| destination.name == *name);
        let live = old.filter(|old| !old.is_retired());
        may(authority, Kind::Destination, name, live.map(|live| &live.declaration))?;
        let id = old.map_or_else(|| DestinationId::new(now, self.inner().entropy()), |old| old.id);
        let owner = SecretOwner::Destination(id);
        let before = live.map(|live| &live.declaration);
        // At the first look after a start what is not kept of the served file cannot be compared.
        let is_same = |old: &DestinationSpec| {
            old == spec || (is_incomplete(old) && *old == kept(spec)) || sealed::marked(old) == *spec
        };
        let same_spec = live.is_some_and(|live| is_same(&live.spec));
        let is_as_it_was = |before: &Declaration| before.table == *table && before.manager == authority.manager();
        let is_unchanged = same_spec && before.is_some_and(is_as_it_was);
        // What is in force without being kept sealed is the served file's: the same again is nothing new.
        let is_said =
            |secret: &DeclaredSecret| is_unchanged && live.is_some_and(|live| sealed::says(&live.spec, secret));
        let mut seeds = Vec::new();
        for DeclaredSecret { purpose, value } in secrets.iter().filter(|secret| !is_said(secret)) {
            let purpose = match outline.schemes.find(by.organization, purpose) {
                Some(scheme) => Purpose::Scheme(scheme),
                None => Purpose::Setting(purpose.clone()),
            };
            let target = format!("destination:{name}");
            seeds.extend(self.seed((owner, target), purpose, spec.grace, value, existing).await?);
        }
        let has_seeds = !seeds.is_empty();
        let ended = old.map(|old| outline.ended_purposes(old, declared, authority, existing)).unwrap_or_default();
        let dropped = ended.iter().filter(|ended| ended.is_dropped).map(|ended| ended.purpose.clone()).collect();
        let compared = Compared { kind: Kind::Destination, name, before, table, same_spec, secret: has_seeds, dropped };
        outline.seeds.extend(seeds);
        let Some(declaration) = outline.add(by, authority, compared, now) else { return Ok(()) };
        for Ended { purpose, .. } in &ended {
            outline.forget(owner, purpose, existing, now);
        }
        outline.changes.push(Change::PutDestination(Box::new(Destination {
            id,
            organization: by.organization,
            name: name.clone(),
            spec: spec.clone(),
            declaration,
            state: DestinationState::Active,
            condition: Condition::default(),
            created_at: old.map_or(now, |old| old.created_at),
        })));
        if old.is_some() && live.is_none() {
            outline.changes.push(Change::SetDestinationState(id, DestinationState::Active));
        }
        Ok(())
    }

    /// What a file managed and names no more.
    fn outline_leavers(&self, outline: &mut Outline<'_>, by: &Principal, declared: &Declared, existing: &Resources) {
        let now = self.inner().clock().now();
        for old in existing.sources.iter().filter(|old| old.removed_at.is_none() && !is_inner(old)) {
            let is_named = declared.sources.iter().any(|source| source.name == old.name);
            if !is_named && old.declaration.manager == Manager::File {
                outline.remove(by, Kind::Source, &old.name, &old.declaration, now);
                outline.changes.push(Change::PutSource(Source { removed_at: Some(now), ..old.clone() }));
            }
        }
        for old in existing.destinations.iter().filter(|old| !old.is_retired()) {
            let is_named = declared.destinations.iter().any(|destination| destination.name == old.name);
            if !is_named && old.declaration.manager == Manager::File {
                outline.remove(by, Kind::Destination, &old.name, &old.declaration, now);
                outline.changes.push(Change::SetDestinationState(old.id, not_declared()));
            }
        }
    }
}

impl Outline<'_> {
    /// The schemes as they are once all of this is in force.
    pub(super) fn schemes(&self) -> &Schemes {
        &self.schemes
    }

    /// What secrets are for that end with this change: schemes and settings that it has no more, and those whose stored
    /// secret itself would be told to somebody else than it was entered for. Whoever writes the served file knows its
    /// secrets anyway.
    fn ended_purposes(
        &self,
        old: &Destination,
        new: &DeclaredDestination,
        authority: Authority,
        existing: &Resources,
    ) -> Vec<Ended> {
        let is_given = |purpose: &str| new.secrets.iter().any(|secret| secret.purpose == purpose);
        let is_bound = authority != Authority::ServedFile;
        let kept = new.spec.purposes();
        let owner = SecretOwner::Destination(old.id);
        let mut ended = BTreeMap::<&str, Ended>::new();
        for secret in existing.secrets.iter().filter(|secret| secret.owner == owner && !is_given(&secret.purpose)) {
            let purpose = secret.purpose.as_str();
            let is_kept = kept.contains(&purpose);
            if is_kept && !(is_bound && self.would_tell(purpose, old, &new.spec)) {
                continue;
            }
            let so_far = ended.entry(purpose);
            let so_far = so_far.or_insert_with(|| Ended { purpose: purpose.to_owned(), is_dropped: false });
            so_far.is_dropped |= is_kept && secret.revoked_at.is_none();
        }
        ended.into_values().collect()
    }

    /// Whether the stored secret for `purpose` itself, or what is had for it, would go somewhere else than before.
    fn would_tell(&self, purpose: &str, old: &Destination, new: &DestinationSpec) -> bool {
        let moved = place(&old.spec) != place(new);
        match purpose {
            OAUTH2 => moved || token_url(&old.spec) != token_url(new),
            MTLS => moved,
            scheme => {
                moved && self.schemes.find(old.organization, scheme).is_some_and(|scheme| is_sent_itself(&scheme))
            }
        }
    }

    /// Takes note of a thing that is declared. `None` when nothing about it changes.
    pub(super) fn add(
        &mut self,
        by: &Principal,
        authority: Authority,
        compared: Compared<'_>,
        now: Timestamp,
    ) -> Option<Declaration> {
        let Compared { kind, name, before, table, same_spec, secret, dropped } = compared;
        let nothing = Value::Null;
        let fields = differences(before.map_or(&nothing, |before| &before.table), table);
        let act = match before {
            None => Act::Create,
            Some(_) if !same_spec || !fields.is_empty() || secret => Act::Update,
            Some(before) if before.manager != authority.manager() => Act::Adopt,
            Some(_) => return None,
        };
        let verb = match act {
            Act::Create => "create",
            Act::Update => "update",
            Act::Remove => "remove",
            Act::Adopt => "adopt",
        };
        let is_put =
            before.is_none_or(|before| !same_spec || !fields.is_empty() || before.manager != authority.manager());
        if is_put {
            let mut detail = told(before.map(|_| fields.as_slice()), table, authority.manager());
            if !dropped.is_empty() {
                detail["dropped"] = json!(dropped);
            }
            self.tell(by, kind, verb, name, now, detail);
        }
        let values_changed = before.is_some() && !same_spec && fields.is_empty();
        self.planned.push(Planned { kind, name: name.to_owned(), act, fields, values_changed, secret, dropped });
        is_put.then(|| Declaration { table: table.clone(), manager: authority.manager() })
    }

    pub(super) fn remove(&mut self, by: &Principal, kind: Kind, name: &str, old: &Declaration, now: Timestamp) {
        self.tell(by, kind, "remove", name, now, json!({ "before": shown(&old.table) }));
        let planned = Planned {
            kind,
            name: name.to_owned(),
            act: Act::Remove,
            fields: vec![],
            values_changed: false,
            secret: false,
            dropped: vec![],
        };
        self.planned.push(planned);
    }

    /// Ends every secret of `owner` for `purpose` at once, so that it is told to nobody else. Should its file bring it
    /// again, it is new.
    fn forget(&mut self, owner: SecretOwner, purpose: &str, existing: &Resources, now: Timestamp) {
        let own = existing.secrets.iter().filter(|secret| secret.owner == owner && secret.purpose == purpose);
        let kept = own.filter(|secret| secret.revoked_at.is_none());
        self.changes.extend(kept.map(|secret| Change::RetireSecret {
            owner,
            version: secret.version,
            not_after: secret.not_after,
            revoked_at: Some(now),
        }));
        self.changes.push(Change::PutMeta { name: seed_name_of(owner, purpose), value: Vec::new() });
    }

    fn tell(&mut self, by: &Principal, kind: Kind, verb: &str, name: &str, now: Timestamp, detail: Value) {
        let (action, target) = (format!("{}.{verb}", kind.name()), format!("{}:{name}", kind.name()));
        self.audit.push(AuditEntry::by(by, action, target, now, detail));
    }
}

/// Whether something may be declared where this is.
pub(super) fn may(
    authority: Authority,
    kind: Kind,
    name: &str,
    there: Option<&Declaration>,
) -> Result<(), EngineError> {
    match (authority, there) {
        (Authority::Creation, Some(_)) => {
            Err(EngineError::Conflict(format!("there is a {} `{name}` already", kind.name())))
        }
        (Authority::Alteration, None) => Err(EngineError::NotFound(format!("{} `{name}`", kind.name()))),
        (Authority::Alteration, Some(there)) if there.manager == Manager::File => Err(managed_by_file(kind, name)),
        _ => Ok(()),
    }
}

/// What the audit log says: the whole table of what is new, and of what is not the settings that differ.
fn told(fields: Option<&[Difference]>, table: &Value, manager: Manager) -> Value {
    let Some(fields) = fields else { return json!({ "after": shown(table), "managed_by": manager }) };
    let side = |pick: fn(&Difference) -> Option<&Value>| {
        let told = fields.iter().filter_map(|field| Some((field.field.clone(), pick(field)?.clone())));
        Value::Object(told.collect())
    };
    let (before, after) = (side(|field| field.before.as_ref()), side(|field| field.after.as_ref()));
    json!({ "before": before, "after": after, "managed_by": manager })
}

fn is_inner(source: &Source) -> bool {
    source.name == PUBLISH || source.name == OWN
}
