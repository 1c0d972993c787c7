//! Which schemas are taken: those that refer only to themselves, end, and are not too large once their references are
//! followed. Values in, values out; compiling is `schema`'s.

use std::collections::HashMap;

use jsonschema::Draft;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// The longest schema, in bytes of its JSON.
pub const SCHEMA_MAX: usize = 64 << 10;

/// How many parts a schema may have once its references are followed.
const PARTS_MAX: u32 = 10_000;

/// How many parts may say something of the same value, one within the other.
const STACKED_MAX: usize = 32;

/// How deep the parts of a schema may stand, references followed.
const DEPTH_MAX: usize = 128;

/// How many expressions a schema may have, and how long one may be, in bytes.
const EXPRESSIONS_MAX: usize = 100;
const EXPRESSION_TEXT_MAX: usize = 1024;

/// Parts that say something of the same value.
const SAME: [&str; 4] = ["not", "if", "then", "else"];
const SAME_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SAME_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Parts that say something of what is in the value.
const INNER: [&str; 8] = [
    "additionalProperties",
    "additionalItems",
    "items",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];
const INNER_LISTS: [&str; 2] = ["prefixItems", "items"];
const INNER_MAPS: [&str; 2] = ["properties", "patternProperties"];
/// Parts that are only referred to.
const KEPT_MAPS: [&str; 2] = ["$defs", "definitions"];

/// What is wrong with a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if pointer.is_empty() { String::new() } else { format!("`{pointer}`: ") })]
pub struct SchemaProblem {
    /// The JSON pointer to it in the schema; empty for the whole.
    pub pointer: String,
    /// Why, in one sentence.
    pub message: String,
}

fn problem<T>(pointer: &str, message: impl Into<String>) -> Result<T, SchemaProblem> {
    Err(SchemaProblem { pointer: pointer.to_owned(), message: message.into() })
}

/// The schema with each part's weight written into it as the keyword `weight`, if it is one that is taken.
pub(super) fn metered(schema: &Value, weight: &str) -> Result<(Draft, Value), SchemaProblem> {
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        return problem("", "a schema is an object, or true or false");
    }
    if schema.to_string().len() > SCHEMA_MAX {
        return problem("", format!("a schema has at most {SCHEMA_MAX} bytes"));
    }
    let draft = draft(schema)?;
    let mut metered = schema.clone();
    let mut parts = Parts { weight, ..Parts::default() };
    parts.collect(&mut metered, "")?;
    parts.follow()?;
    Ok((draft, metered))
}

fn draft(schema: &Value) -> Result<Draft, SchemaProblem> {
    match schema.get("$schema").map(|uri| uri.as_str().unwrap_or_default().trim_end_matches('#')) {
        None | Some("https://json-schema.org/draft/2020-12/schema") => Ok(Draft::Draft202012),
        Some("http://json-schema.org/draft-07/schema" | "https://json-schema.org/draft-07/schema") => Ok(Draft::Draft7),
        Some(_) => problem("/$schema", "schemas are of draft 2020-12, or of draft 7"),
    }
}

/// The parts of a schema, each with the parts that it leads to.
#[derive(Default)]
struct Parts<'w> {
    weight: &'w str,
    list: Vec<Part>,
    places: HashMap<String, usize>,
    anchors: HashMap<String, usize>,
    expressions: usize,
}

#[derive(Default)]
struct Part {
    pointer: String,
    /// About the same value.
    same: Vec<usize>,
    /// About what is in it.
    inner: Vec<usize>,
    /// Where it refers to, about the same value.
    references: Vec<String>,
}

impl Parts<'_> {
    /// Takes note of the part at `pointer` and of those in it.
    fn collect(&mut self, part: &mut Value, pointer: &str) -> Result<usize, SchemaProblem> {
        let index = self.list.len();
        self.list.push(Part { pointer: pointer.to_owned(), ..Part::default() });
        self.places.insert(pointer.to_owned(), index);
        let Value::Object(members) = part else { return Ok(index) };
        self.look_at(members, index, pointer)?;
        // What it weighs of its own: everything in it that is no part.
        let mut own = 1 + members.len();
        for (name, member) in members.iter_mut() {
            let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            let mut found = Vec::new();
            let is_list = SAME_LISTS.contains(&name.as_str()) || INNER_LISTS.contains(&name.as_str());
            let holds_names =
                [&SAME_MAPS[..], &INNER_MAPS, &KEPT_MAPS].iter().any(|kind| kind.contains(&name.as_str()));
            match member {
                Value::Array(items) if is_list => {
                    for (place, item) in items.iter_mut().enumerate() {
                        found.push(self.collect(item, &format!("{below}/{place}"))?);
                    }
                }
                Value::Object(named) if holds_names => {
                    for (key, item) in named.iter_mut().filter(|(_, item)| !item.is_array()) {
                        let key = key.replace('~', "~0").replace('/', "~1");
                        found.push(self.collect(item, &format!("{below}/{key}"))?);
                    }
                }
                Value::Object(_) | Value::Bool(_) if is_one(name) => found.push(self.collect(member, &below)?),
                other => own += nodes(other),
            }
            own += found.len();
            let here = &mut self.list[index];
            if KEPT_MAPS.contains(&name.as_str()) {
                continue;
            }
            let is_same = SAME.contains(&name.as_str())
                || SAME_LISTS.contains(&name.as_str())
                || SAME_MAPS.contains(&name.as_str());
            if is_same { here.same.extend(found) } else { here.inner.extend(found) }
        }
        members.insert(self.weight.to_owned(), Value::from(own));
        Ok(index)
    }

    /// The keywords of one part that are about where it stands, and its expressions.
    fn look_at(&mut self, members: &Map<String, Value>, index: usize, pointer: &str) -> Result<(), SchemaProblem> {
        for (name, member) in members {
            let below = || format!("{pointer}/{name}");
            match (name.as_str(), member) {
                ("$ref" | "$dynamicRef", Value::String(to)) => self.list[index].references.push(to.clone()),
                ("$anchor" | "$dynamicAnchor", Value::String(anchor)) => {
                    self.anchors.insert(anchor.clone(), index);
                }
                ("$id" | "$schema", _) if !pointer.is_empty() => {
                    return problem(&below(), format!("`{name}` stands only at the top of a schema"));
                }
                ("$vocabulary" | "$recursiveRef" | "$recursiveAnchor", _) => {
                    return problem(&below(), format!("`{name}` is not taken here"));
                }
                ("pattern", Value::String(text)) => self.expression(text, &below())?,
                ("patternProperties", Value::Object(named)) => {
                    named.keys().try_for_each(|text| self.expression(text, &below()))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn expression(&mut self, text: &str, pointer: &str) -> Result<(), SchemaProblem> {
        self.expressions += 1;
        if self.expressions > EXPRESSIONS_MAX {
            return problem(pointer, format!("a schema has at most {EXPRESSIONS_MAX} regular expressions"));
        }
        if text.len() > EXPRESSION_TEXT_MAX {
            return problem(pointer, format!("a regular expression has at most {EXPRESSION_TEXT_MAX} bytes"));
        }
        Ok(())
    }

    /// Follows everything from the top, as an evaluation would.
    fn follow(&mut self) -> Result<(), SchemaProblem> {
        for index in 0..self.list.len() {
            for to in std::mem::take(&mut self.list[index].references) {
                let found = self.find(&to);
                let at = &self.list[index].pointer;
                let Some(found) = found else {
                    let words = match to.starts_with('#') {
                        true => "leads to nothing that is a part of this schema",
                        false => "leads elsewhere: nothing is fetched for a schema, so it refers only to itself",
                    };
                    return problem(&format!("{at}/$ref"), format!("`{}` {words}", to.escape_debug()));
                };
                self.list[index].same.push(found);
            }
        }
        let mut walk = Walk { parts: &self.list, under_way: vec![false; self.list.len()], visited: 0 };
        walk.visit(0, &mut Vec::new(), 0)
    }

    fn find(&self, to: &str) -> Option<usize> {
        let fragment = percent_decode_str(to.strip_prefix('#')?).decode_utf8().ok()?;
        let place = self.places.get(fragment.as_ref());
        place.or_else(|| self.anchors.get(fragment.as_ref())).copied()
    }
}

struct Walk<'p> {
    parts: &'p [Part],
    under_way: Vec<bool>,
    visited: u32,
}

impl Walk<'_> {
    /// `stacked`: the parts that lead here and are about the same value.
    fn visit(&mut self, index: usize, stacked: &mut Vec<usize>, depth: usize) -> Result<(), SchemaProblem> {
        let part = &self.parts[index];
        if stacked.contains(&index) {
            return problem(&part.pointer, "this leads back to itself without going into the payload");
        }
        // Into the payload and back here is no harm: a payload ends.
        if self.under_way[index] {
            return Ok(());
        }
        self.visited += 1;
        if self.visited > PARTS_MAX || depth > DEPTH_MAX || stacked.len() >= STACKED_MAX {
            return problem(&part.pointer, "the schema is too large or too deep once its references are followed");
        }
        self.under_way[index] = true;
        stacked.push(index);
        for next in &part.same {
            self.visit(*next, stacked, depth + 1)?;
        }
        stacked.pop();
        for next in &part.inner {
            self.visit(*next, &mut Vec::new(), depth + 1)?;
        }
        self.under_way[index] = false;
        Ok(())
    }
}

fn is_one(name: &str) -> bool {
    SAME.contains(&name) || INNER.contains(&name)
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(members) => members.values().map(nodes).sum(),
        _ => 0,
    }
}
