//! What a declaration changes about types of events. Unlike a door or a way out, a type owes nothing to what went before:
//! one that is not declared any more is simply gone.

use serde_json::Value;

use super::outline::{Compared, Kind, Outline, may};
use super::{Authority, Declared};
use crate::error::EngineError;
use crate::event_types;
use crate::model::{EventType, EventTypeSpec, Manager, Principal};
use crate::store::{Change, Resources};
use crate::{clock::Timestamp, engine::Engine};

/// A type of events, as declared.
#[derive(Debug, Clone)]
pub struct DeclaredEventType {
    /// As events say it.
    pub name: String,
    /// What is said of it.
    pub spec: EventTypeSpec,
    /// The table that this comes from.
    pub table: Value,
}

pub(super) fn check(declared: &Declared) -> Result<(), EngineError> {
    declared.event_types.iter().try_for_each(|one| event_types::check(&one.name, &one.spec))
}

pub(super) fn outline(
    outline: &mut Outline<'_>,
    by: &Principal,
    authority: Authority,
    (declared, existing): (&Declared, &Resources),
    now: Timestamp,
) -> Result<(), EngineError> {
    for DeclaredEventType { name, spec, table } in &declared.event_types {
        let old = existing.event_types.iter().find(|old| old.name == *name);
        may(authority, Kind::EventType, name, old.map(|old| &old.declaration))?;
        let before = old.map(|old| &old.declaration);
        let same_spec = old.is_some_and(|old| old.spec == *spec);
        let compared =
            Compared { kind: Kind::EventType, name, before, table, same_spec, secret: false, dropped: vec![] };
        let Some(declaration) = outline.add(by, authority, compared, now) else { continue };
        outline.changes.push(Change::PutEventType(EventType {
            organization: by.organization,
            name: name.clone(),
            spec: spec.clone(),
            declaration,
            created_at: old.map_or(now, |old| old.created_at),
        }));
    }
    if authority.is_whole() {
        let is_named = |old: &EventType| declared.event_types.iter().any(|one| one.name == old.name);
        let leavers = existing.event_types.iter().filter(|old| old.declaration.manager == Manager::File);
        for old in leavers.filter(|old| !is_named(old)) {
            outline.remove(by, Kind::EventType, &old.name, &old.declaration, now);
            outline.changes.push(Change::RemoveEventType(old.organization, old.name.clone()));
        }
    }
    Ok(())
}

impl Engine {
    /// The change that takes a type away, and how it came to be declared.
    pub(super) fn without_event_type(&self, by: &Principal, name: &str) -> Option<(Change, crate::model::Declaration)> {
        let old = self.event_type(by.organization, name)?;
        Some((Change::RemoveEventType(old.organization, old.name), old.declaration))
    }
}
