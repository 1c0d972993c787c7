//! A table as a form shows it, and a form as a table: the settings that have a field, and the text with the others. Fields
//! and text may say everything that a configuration file may; nothing is decided here.

use std::collections::BTreeMap;

use hookward_engine::model::Principal;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::page::sentence;
use super::super::table;
use super::parameters::{self, Group, PARAMETERS};
use crate::api::Api;
use crate::api::secrets::Owners;
use crate::config::table_in;

/// What `sign` may say for its scheme to have a field.
const SIGN: [&str; 2] = ["scheme", PARAMETERS];

/// What stands for no scheme among the choices of a source.
const UNSIGNED: &str = "unsigned";

/// A form that was sent, field by field.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Given(BTreeMap<String, String>);

impl Given {
    fn of(&self, key: &str) -> &str {
        self.0.get(key).map_or("", |value| value.trim())
    }

    /// What it is to be called.
    pub(super) fn name(&self) -> &str {
        self.of("name")
    }
}

/// How a setting is written in its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    /// Names with commas between them.
    List,
    /// A source's scheme, or `unsigned = true`.
    Proof,
    /// A destination's only scheme, `sign = { scheme = … }`.
    Sign,
}

impl Shape {
    /// Whether a scheme is chosen, which may leave something to be said.
    fn is_scheme(self) -> bool {
        matches!(self, Self::Proof | Self::Sign)
    }
}

/// The settings that have a field: key, label, hint, shape.
type Settings = &'static [(&'static str, &'static str, &'static str, Shape)];

const SOURCE: Settings = &[
    ("name", "Name", "Small letters, digits and hyphens. It is for ever.", Shape::Text),
    (
        "scheme",
        "How requests are proven",
        "A sender that is not here: make a scheme of your own first, on the page Schemes.",
        Shape::Proof,
    ),
    ("path", "Path", "Where it listens; /in/ and the name when this is empty.", Shape::Text),
    (
        "event_types",
        "Event types",
        "Like push, pull_request.*, with commas between them. All when this is empty.",
        Shape::List,
    ),
    (
        "filter",
        "Filter",
        "An expression that is true for the events that go on, like body.ref == \"refs/heads/main\".",
        Shape::Text,
    ),
];

const DESTINATION: Settings = &[
    ("name", "Name", "Small letters, digits and hyphens. It is for ever.", Shape::Text),
    ("type", "Kind", "", Shape::Text),
    ("url", "URL", "Of http and slack. What is stored is not shown where it may hold a credential.", Shape::Text),
    ("sign", "How deliveries are signed", "", Shape::Sign),
    ("sources", "Sources", "Whose events it hears, with commas between them. All when this is empty.", Shape::List),
    (
        "event_types",
        "Event types",
        "Like push, invoice.*, with commas between them. All when this is empty.",
        Shape::List,
    ),
    ("filter", "Filter", "An expression that is true for the events that it is owed.", Shape::Text),
];

/// The kinds of destination, and what each does.
const KINDS: [(&str, &str); 5] = [
    ("http", "HTTP: sends to a URL"),
    ("pull", "Pull: keeps for consumers, who take"),
    ("slack", "Slack: posts a text"),
    ("report", "Report: tells a code host how another one ends"),
    ("command", "Program: runs one"),
];

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
    pub(super) value: String,
    /// Value and title of each choice; none where it is written.
    pub(super) choices: Vec<(String, String)>,
    pub(super) is_required: bool,
    /// Whether what the schemes leave to be said belongs under it.
    pub(super) is_scheme: bool,
    pub(super) wrong: Vec<String>,
}

/// The whole form.
#[derive(Debug)]
pub(super) struct Fields {
    settings: Settings,
    pub(super) fields: Vec<Field>,
    /// What schemes leave to be said.
    pub(super) groups: Vec<Group>,
    /// The other settings, as TOML.
    pub(super) rest: String,
    pub(super) wrong_rest: Vec<String>,
    /// What is wrong with it as a whole.
    pub(super) wrong: Vec<String>,
}

impl Fields {
    /// Of something new.
    pub(super) fn blank(api: &Api, by: &Principal, owners: Owners) -> Self {
        let kind = if owners == Owners::Destinations { "http" } else { "" };
        Self::new((api, by), owners, String::new(), |key| if key == "type" { kind.to_owned() } else { String::new() })
    }

    /// As it was filled in.
    pub(super) fn given(api: &Api, by: &Principal, owners: Owners, given: &Given) -> Self {
        Self::new((api, by), owners, given.of("rest").to_owned(), |key| given.of(key).to_owned())
    }

    /// Of a table that is in force.
    pub(super) fn of(api: &Api, by: &Principal, owners: Owners, mut declared: Map<String, Value>) -> Self {
        let mut values = BTreeMap::new();
        for &(key, _, _, shape) in settings(owners) {
            // What a scheme leaves to be said has fields of its own, which leaves its name alone.
            let said = match (shape, declared.get_mut(key)) {
                (Shape::Proof, Some(Value::String(scheme))) => {
                    let scheme = scheme.clone();
                    parameters::take(api.engine(), by.organization, &mut declared, &scheme)
                }
                (Shape::Sign, Some(Value::Object(sign))) if sign.keys().all(|key| SIGN.contains(&key.as_str())) => {
                    let scheme = sign.get("scheme").and_then(Value::as_str).unwrap_or_default().to_owned();
                    parameters::take(api.engine(), by.organization, sign, &scheme)
                }
                _ => vec![],
            };
            values.extend(said);
            values.extend(take(&mut declared, key, shape).map(|value| (key.to_owned(), value)));
        }
        let rest = table::written(&Value::Object(declared));
        Self::new((api, by), owners, rest, |key| values.get(key).cloned().unwrap_or_default())
    }

    fn new((api, by): (&Api, &Principal), owners: Owners, rest: String, value: impl Fn(&str) -> String) -> Self {
        let field = |&(key, label, hint, shape): &(&'static str, &'static str, &'static str, Shape)| Field {
            key,
            label,
            hint,
            value: value(key),
            choices: choices(api, by, key, shape),
            is_required: key == "name",
            is_scheme: shape.is_scheme(),
            wrong: vec![],
        };
        let settings = settings(owners);
        let chosen = settings.iter().find(|(.., shape)| shape.is_scheme()).map(|(key, ..)| value(key));
        let groups = parameters::groups(api.engine(), by.organization, &chosen.unwrap_or_default(), &value);
        let fields = settings.iter().map(field).collect();
        Self { settings, fields, groups, rest, wrong_rest: vec![], wrong: vec![] }
    }

    /// The table that was filled in; none if the text is not one, which is then told beside it.
    pub(super) fn table(&mut self, given: &Given) -> Option<Map<String, Value>> {
        let mut table = match table_in(&self.rest) {
            Ok(table) => table,
            Err(problem) => {
                let place = format!("Line {}, column {}: ", problem.line, problem.column);
                self.wrong_rest.push(format!("{place}{}", sentence(&problem.message)));
                return None;
            }
        };
        let said = parameters::said(&self.groups);
        for &(key, _, _, shape) in self.settings {
            let text = given.of(key);
            if text.is_empty() {
                continue;
            }
            let (key, value) = match shape {
                Shape::Text => (key, json!(text)),
                Shape::List => {
                    (key, text.split([',', ' ', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect())
                }
                Shape::Proof if text == UNSIGNED => ("unsigned", json!(true)),
                Shape::Proof => (key, json!(text)),
                Shape::Sign => (key, json!({ "scheme": text })),
            };
            let (mut entries, parameters) = (vec![(key, value)], || Value::Object(said.clone()));
            match shape {
                Shape::Proof if !said.is_empty() => entries.push((PARAMETERS, parameters())),
                Shape::Sign if !said.is_empty() => entries[0].1[PARAMETERS] = parameters(),
                _ => {}
            }
            for (key, value) in entries {
                if table.insert(key.to_owned(), value).is_some() {
                    self.wrong_rest.push(format!("`{key}` has a field of its own above: it cannot be said twice."));
                }
            }
        }
        self.wrong_rest.is_empty().then_some(table)
    }

    /// Takes note of what is wrong, each at its place: a JSON pointer into the table, and a sentence.
    pub(super) fn refuse(&mut self, problems: Vec<(String, String)>) {
        for (pointer, says) in problems {
            if let Some(field) = parameters::at(&mut self.groups, &pointer) {
                field.wrong.push(says);
                continue;
            }
            let key = pointer.split('/').nth(1).unwrap_or_default();
            let key = if key == "unsigned" { "scheme" } else { key };
            match self.fields.iter_mut().find(|field| field.key == key) {
                Some(field) => field.wrong.push(says),
                None if key.is_empty() => self.wrong.push(says),
                None => self.wrong_rest.push(format!("{}: {says}", pointer[1..].replace('/', "."))),
            }
        }
    }
}

fn settings(owners: Owners) -> Settings {
    match owners {
        Owners::Sources => SOURCE,
        Owners::Destinations => DESTINATION,
    }
}

/// Takes a setting out of a table as its field has it. One that its field cannot say stays.
fn take(table: &mut Map<String, Value>, key: &str, shape: Shape) -> Option<String> {
    let value = match (shape, table.get(key)) {
        (Shape::Proof, None) if table.get(UNSIGNED) == Some(&Value::Bool(true)) => {
            table.remove(UNSIGNED);
            return Some(UNSIGNED.to_owned());
        }
        (Shape::Text | Shape::Proof, Some(Value::String(text))) if !text.contains('\n') => text.clone(),
        (Shape::List, Some(Value::Array(items))) => {
            let names: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            names.filter(|names| names.iter().all(|name| !name.contains([',', ' ', '\n'])))?.join(", ")
        }
        (Shape::Sign, Some(Value::Object(sign))) if sign.len() == 1 => sign.get("scheme")?.as_str()?.to_owned(),
        _ => return None,
    };
    table.remove(key);
    Some(value)
}

fn choices(api: &Api, by: &Principal, key: &str, shape: Shape) -> Vec<(String, String)> {
    let choice = |(value, title): (&str, &str)| (value.to_owned(), title.to_owned());
    let schemes = || {
        let schemes = api.engine().schemes(by.organization).into_iter();
        schemes.filter_map(|known| Some(choice((&known.name, known.scheme.ok()?.title()))))
    };
    match shape {
        Shape::Proof => {
            schemes().chain([choice((UNSIGNED, "Nothing proves them: every request is believed"))]).collect()
        }
        Shape::Sign => [choice(("", "Not, or as the settings below say"))].into_iter().chain(schemes()).collect(),
        Shape::Text if key == "type" => KINDS.map(choice).to_vec(),
        Shape::Text | Shape::List => vec![],
    }
}

/// The JSON merge patch (RFC 7396) that makes `after` of `before`.
pub(super) fn patch(before: &Map<String, Value>, after: &Map<String, Value>) -> Map<String, Value> {
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let mut patch: Map<String, Value> = gone.collect();
    for (key, value) in after {
        match (before.get(key), value) {
            (Some(known), value) if known == value => {}
            (Some(Value::Object(known)), Value::Object(value)) => {
                patch.insert(key.clone(), Value::Object(self::patch(known, value)));
            }
            (_, value) => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    #[test]
    fn a_patch_says_what_is_new_and_what_is_gone() {
        let before = object(json!({ "a": 1, "b": { "c": 1, "d": 2 }, "e": [1], "same": { "x": "stored" } }));
        let after = object(json!({ "b": { "c": 3 }, "e": [1, 2], "same": { "x": "stored" }, "new": { "y": 1 } }));
        let expected = json!({ "a": null, "b": { "c": 3, "d": null }, "e": [1, 2], "new": { "y": 1 } });
        assert_eq!(Value::Object(patch(&before, &after)), expected);
        assert!(patch(&before, &before).is_empty());
    }

    #[test]
    fn what_a_field_cannot_say_stays_in_the_text() {
        let mut table = object(json!({
            "unsigned": true, "path": "/a", "event_types": ["a", "b.*"], "sources": ["a", 1],
            "sign": { "scheme": "qlens", "secret": "stored" }, "filter": "a\nb",
        }));
        assert_eq!(take(&mut table, "scheme", Shape::Proof).as_deref(), Some("unsigned"));
        assert_eq!(take(&mut table, "path", Shape::Text).as_deref(), Some("/a"));
        assert_eq!(take(&mut table, "event_types", Shape::List).as_deref(), Some("a, b.*"));
        for (key, shape) in [("sources", Shape::List), ("sign", Shape::Sign), ("filter", Shape::Text)] {
            assert_eq!(take(&mut table, key, shape), None, "{key}");
        }
        let left: Vec<_> = table.keys().map(String::as_str).collect();
        assert_eq!(left, ["filter", "sign", "sources"]);
    }
}
