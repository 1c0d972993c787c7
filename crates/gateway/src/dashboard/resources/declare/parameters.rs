//! The fields of what schemes leave to be said for each endpoint: a group for each scheme that leaves something, of which the one
//! of the chosen scheme counts. What may be said is decided where declarations are checked.

use std::sync::Arc;

use hookward::{Parameter, Scheme};
use hookward_engine::Engine;
use hookward_engine::ids::OrganizationId;
use serde_json::{Map, Value};

use super::super::super::page::sentence;

/// The setting, in a table.
pub(super) const PARAMETERS: &str = "parameters";

/// What one scheme leaves to be said.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) scheme: String,
    /// The scheme's name for people.
    pub(super) title: String,
    pub(super) is_chosen: bool,
    pub(super) fields: Vec<Said>,
}

/// The field of one parameter.
#[derive(Debug)]
pub(super) struct Said {
    /// What it is called in the form, where other schemes may have one of the same name.
    pub(super) key: String,
    pub(super) name: String,
    /// What it is, as a sentence.
    pub(super) meaning: String,
    pub(super) value: String,
    pub(super) wrong: Vec<String>,
}

/// What a parameter of a scheme is called in the form.
fn key(scheme: &str, name: &str) -> String {
    format!("parameter.{scheme}.{name}")
}

/// The groups of all schemes, with the values that their fields have.
pub(super) fn groups(
    engine: &Engine,
    organization: OrganizationId,
    chosen: &str,
    value: impl Fn(&str) -> String,
) -> Vec<Group> {
    let schemes: Vec<_> = engine.schemes(organization).into_iter().filter_map(|known| known.scheme.ok()).collect();
    let taking = schemes.iter().map(|scheme| (scheme, scheme.takes())).filter(|(_, taken)| !taken.is_empty());
    let group = |(scheme, taken): (&Arc<Scheme>, Vec<Parameter<'_>>)| {
        let said = taken.iter().map(|parameter| {
            let key = key(scheme.name(), parameter.name);
            let optional = if parameter.is_required { "" } else { " It may be left empty." };
            let meaning = format!("{}{optional}", sentence(parameter.meaning));
            let (name, value) = (parameter.name.to_owned(), value(&key));
            Said { key, name, meaning, value, wrong: vec![] }
        });
        Group {
            scheme: scheme.name().to_owned(),
            title: scheme.title().to_owned(),
            is_chosen: scheme.name() == chosen,
            fields: said.collect(),
        }
    };
    taking.map(group).collect()
}

/// What is said of the chosen scheme.
pub(super) fn said(groups: &[Group]) -> Map<String, Value> {
    let fields = groups.iter().filter(|group| group.is_chosen).flat_map(|group| &group.fields);
    fields
        .filter(|field| !field.value.is_empty())
        .map(|field| (field.name.clone(), field.value.clone().into()))
        .collect()
}

/// Takes the parameters of `scheme` out of a table, by the keys of their fields. What its fields cannot say stays.
pub(super) fn take(
    engine: &Engine,
    organization: OrganizationId,
    table: &mut Map<String, Value>,
    scheme: &str,
) -> Vec<(String, String)> {
    let Some(found) = engine.scheme(organization, scheme) else { return Vec::new() };
    let known = found.takes();
    let Some(Value::Object(values)) = table.get(PARAMETERS) else { return Vec::new() };
    let field = |(name, value): (&String, &Value)| {
        let is_known = known.iter().any(|parameter| parameter.name == name);
        let text = value.as_str().filter(|text| is_known && !text.contains('\n') && text.trim() == *text)?;
        Some((key(scheme, name), text.to_owned()))
    };
    let Some(fields) = values.iter().map(field).collect::<Option<Vec<_>>>() else { return Vec::new() };
    table.remove(PARAMETERS);
    fields
}

/// The field that a place in a table is about, if it is one of the chosen scheme.
pub(super) fn at<'g>(groups: &'g mut [Group], pointer: &str) -> Option<&'g mut Said> {
    let name = pointer.strip_prefix("/sign").unwrap_or(pointer).strip_prefix("/parameters/")?;
    let chosen = groups.iter_mut().find(|group| group.is_chosen)?;
    chosen.fields.iter_mut().find(|field| field.name == name)
}
