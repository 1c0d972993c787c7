//! The types of events that organizations declare: which payloads they take, and what becomes of a type that nobody
//! declared. Owns the check at the publisher's door; how types come into force is `declare`'s.

mod schema;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::model::{EventType, EventTypeSpec};
use crate::publish::{EVENT_TYPE_MAX, PublishError, is_event_type};
use crate::registry::Registry;
use schema::{Fit, PayloadSchema};

pub use schema::{CHECKED_PAYLOAD_MAX, MISFITS_MAX, Misfit, SCHEMA_MAX, SchemaProblem};

/// Payloads up to this size are first held against their schema on the caller's own thread, in bytes.
const SMALL_PAYLOAD: usize = 16 << 10;

/// The longest description, in bytes.
pub const DESCRIPTION_MAX: usize = 4096;

/// The largest example, in bytes of its JSON.
pub const EXAMPLE_MAX: usize = 64 << 10;

/// What becomes of a published event whose type nobody declared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Undeclared {
    /// It is accepted like any other.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

/// Holds a payload against a schema, without an engine.
///
/// # Errors
///
/// What is wrong with the schema.
pub fn check_payload(schema: &Value, payload: &[u8]) -> Result<Result<(), Vec<Misfit>>, SchemaProblem> {
    Ok(PayloadSchema::compile(schema)?.check(payload))
}

/// Whether a type can be declared so: its name, its schema, and that its example fits.
///
/// # Errors
///
/// [`EngineError::Invalid`], which says what is wrong.
pub fn check(name: &str, spec: &EventTypeSpec) -> Result<(), EngineError> {
    let wrong = |problem: String| Err(EngineError::Invalid(format!("event type `{}`: {problem}", name.escape_debug())));
    if !is_event_type(name) {
        return wrong(format!("a type is 1 to {EVENT_TYPE_MAX} characters of `A-Z a-z 0-9 . _ : / -`"));
    }
    if spec.description.len() > DESCRIPTION_MAX {
        return wrong(format!("a description has at most {DESCRIPTION_MAX} bytes"));
    }
    let example = spec.example.as_ref().map(Value::to_string);
    if example.as_ref().is_some_and(|example| example.len() > EXAMPLE_MAX) {
        return wrong(format!("an example has at most {EXAMPLE_MAX} bytes"));
    }
    let Some(schema) = &spec.schema else { return Ok(()) };
    let schema = match PayloadSchema::compile(schema) {
        Ok(schema) => schema,
        Err(problem) => return wrong(format!("its schema cannot be used: {problem}")),
    };
    match example.map(|example| schema.check(example.as_bytes())) {
        Some(Err(misfits)) => wrong(format!("its example does not fit its schema: {}", told(&misfits))),
        Some(Ok(())) | None => Ok(()),
    }
}

/// A type in force.
#[derive(Debug)]
pub(crate) struct LiveEventType {
    pub(crate) event_type: EventType,
    /// Its schema; `Err` for one that was taken once and is not any more.
    schema: Option<Result<Arc<PayloadSchema>, SchemaProblem>>,
}

/// Every type of every organization.
pub(crate) type EventTypes = HashMap<OrganizationId, HashMap<String, Arc<LiveEventType>>>;

/// Compiles what was not compiled before.
pub(crate) fn in_force(declared: Vec<EventType>, before: Option<&Registry>) -> EventTypes {
    let mut types = EventTypes::new();
    for event_type in declared {
        let kept = before.and_then(|before| before.event_types().get(&event_type.organization)?.get(&event_type.name));
        let live = match kept.filter(|kept| kept.event_type == event_type) {
            Some(kept) => Arc::clone(kept),
            None => {
                let schema = event_type.spec.schema.as_ref();
                let schema = schema.map(|schema| PayloadSchema::compile(schema).map(Arc::new));
                Arc::new(LiveEventType { event_type, schema })
            }
        };
        let of_one = types.entry(live.event_type.organization).or_default();
        of_one.insert(live.event_type.name.clone(), live);
    }
    types
}

impl LiveEventType {
    /// Whether a payload fits. A large one, or one that takes its time, is looked at beside the others.
    pub(crate) async fn admit(&self, payload: &Bytes) -> Result<(), PublishError> {
        let schema = match &self.schema {
            None => return Ok(()),
            Some(Ok(schema)) => schema,
            Some(Err(problem)) => {
                let name = &self.event_type.name;
                return Err(PublishError::Invalid(format!("the schema of type `{name}` cannot be used: {problem}")));
            }
        };
        if payload.len() <= SMALL_PAYLOAD {
            match schema.check_small(payload) {
                Fit::Fits => return Ok(()),
                Fit::Misfits(misfits) => return Err(PublishError::Misfits(misfits)),
                Fit::TooMuch => {}
            }
        }
        let (schema, payload) = (Arc::clone(schema), payload.clone());
        let checked = tokio::task::spawn_blocking(move || schema.check(&payload)).await;
        let broke_off = |_| PublishError::Unavailable("the payload's check broke off".to_owned());
        checked.map_err(broke_off)?.map_err(PublishError::Misfits)
    }
}

/// Misfits in one line.
pub(crate) fn told(misfits: &[Misfit]) -> String {
    let told = misfits.iter().map(|Misfit { pointer, message }| match pointer.as_str() {
        "" => message.clone(),
        pointer => format!("`{}`: {message}", pointer.escape_debug()),
    });
    told.collect::<Vec<_>>().join("; ")
}

impl Inner {
    /// Whether an organization's own types let an event through.
    pub(crate) async fn admit(
        &self,
        types: &EventTypes,
        organization: OrganizationId,
        name: &str,
        payload: &Bytes,
    ) -> Result<(), PublishError> {
        match types.get(&organization).and_then(|types| types.get(name)) {
            Some(live) => live.admit(payload).await,
            None if self.undeclared() == Undeclared::Accept => Ok(()),
            None => Err(PublishError::Invalid(format!(
                "there is no event type `{name}`, and only declared ones are published here: \
                 `hookward event-type list` shows them"
            ))),
        }
    }
}

impl Engine {
    /// The types that an organization has declared, by name.
    pub fn event_types(&self, organization: OrganizationId) -> Vec<EventType> {
        let registry = self.inner().registry();
        let types = registry.event_types().get(&organization).into_iter().flat_map(HashMap::values);
        let mut types: Vec<_> = types.map(|live| live.event_type.clone()).collect();
        types.sort_by(|a, b| a.name.cmp(&b.name));
        types
    }

    /// The type of this name.
    pub fn event_type(&self, organization: OrganizationId, name: &str) -> Option<EventType> {
        let registry = self.inner().registry();
        let live = registry.event_types().get(&organization)?.get(name)?;
        Some(live.event_type.clone())
    }

    /// Where a payload does not fit a type: nothing is published.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] for a type that is not declared; [`EngineError::Unavailable`].
    pub async fn try_payload(
        &self,
        organization: OrganizationId,
        name: &str,
        payload: &Bytes,
    ) -> Result<Vec<Misfit>, EngineError> {
        let registry = self.inner().registry();
        let live = registry.event_types().get(&organization).and_then(|types| types.get(name));
        let live = live.ok_or_else(|| EngineError::NotFound(format!("event type `{}`", name.escape_debug())))?;
        match live.admit(payload).await {
            Ok(()) => Ok(Vec::new()),
            Err(PublishError::Misfits(misfits)) => Ok(misfits),
            Err(PublishError::Unavailable(cause)) => Err(EngineError::Unavailable(cause)),
            Err(error) => Err(EngineError::Invalid(error.to_string())),
        }
    }
}
