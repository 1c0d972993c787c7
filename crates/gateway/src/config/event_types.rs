//! `[[event_type]]`: what is said of a type of events, and where its schema stands. Whether a schema can be used is the
//! engine's to say.

use std::collections::HashMap;

use hookward_engine::event_types::{Undeclared, check};
use hookward_engine::model::EventTypeSpec;
use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use super::Check;
use super::reference::Resolved;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventType {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) schema: Option<Spanned<String>>,
    pub(super) example: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) deprecated: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Publishing {
    pub(super) undeclared_types: Option<Spanned<String>>,
}

/// A type of events as declared.
#[derive(Debug)]
pub struct EventTypeDeclaration {
    /// Its name.
    pub name: String,
    /// What is said of it.
    pub spec: EventTypeSpec,
    /// Its table as it was given.
    pub declared: Value,
}

/// The settings whose value is a text of JSON.
const TEXTS: [&str; 2] = ["schema", "example"];

/// Over the API a schema may stand as what it is: in a table it is a text, because TOML has no null.
pub(crate) fn in_text(table: &mut Map<String, Value>) {
    for name in TEXTS {
        if let Some(value) = table.get_mut(name).filter(|value| !value.is_string() && !value.is_null()) {
            *value = Value::from(value.to_string());
        }
    }
}

pub(super) fn event_types(check: &mut Check<'_>, files: Vec<(EventType, Value)>) -> Vec<EventTypeDeclaration> {
    let mut names = HashMap::new();
    files.into_iter().filter_map(|(file, declared)| event_type(check, file, declared, &mut names)).collect()
}

fn event_type(
    all: &mut Check<'_>,
    file: EventType,
    declared: Value,
    names: &mut HashMap<String, ()>,
) -> Option<EventTypeDeclaration> {
    let EventType { name, description, schema, example, deprecated } = file;
    if names.insert(name.get_ref().clone(), ()).is_some() {
        all.problem(&name, format!("there are two event types `{}`", name.get_ref().escape_debug()));
    }
    let before = all.problems.len();
    let schema_value = schema.as_ref().and_then(|text| json(all, text));
    let example = example.as_ref().and_then(|text| json(all, text));
    if all.problems.len() > before {
        return None;
    }
    let spec = EventTypeSpec { description, schema: schema_value, example, deprecated };
    if let Err(problem) = check(name.get_ref(), &spec) {
        all.problem(schema.as_ref().unwrap_or(&name), problem.to_string());
        return None;
    }
    Some(EventTypeDeclaration { name: name.into_inner(), spec, declared })
}

/// The JSON that a setting says, or that stands in the file or variable which it names.
fn json(check: &mut Check<'_>, text: &Spanned<String>) -> Option<Value> {
    let value = match check.references.resolve(text.get_ref()) {
        Ok(Resolved::Value(value)) => value,
        Ok(Resolved::Absent(variable)) => {
            check.problem(text, format!("`{variable}` is not set, and there is JSON wanted"));
            return None;
        }
        Err(problem) => {
            check.problem(text, problem);
            return None;
        }
    };
    match serde_json::from_str(&value) {
        Ok(value) => Some(value),
        Err(error) => {
            check.problem(text, format!("this is not JSON: {error}"));
            None
        }
    }
}

/// What becomes of a type that nobody declared.
pub(super) fn undeclared(check: &mut Check<'_>, publishing: &Publishing) -> Undeclared {
    let Some(said) = &publishing.undeclared_types else { return Undeclared::Accept };
    match said.get_ref().as_str() {
        "accept" => Undeclared::Accept,
        "refuse" => Undeclared::Refuse,
        other => {
            let message = format!("`undeclared_types` is \"accept\" or \"refuse\", not `{}`", other.escape_debug());
            check.problem(said, message);
            Undeclared::Accept
        }
    }
}
