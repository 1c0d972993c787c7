//! Owns which bytes are signed, as data: a template of literals and parts of the request, and how it is written. Filling one is
//! `content`'s business.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::filter::Filter;
use crate::place::{self, Place};

/// The signed bytes as data, for example `{id}.{timestamp}.{body}`.
///
/// Text stands for itself; `{part}` for what the request has there; `{filter:part}` for that after a filter, of which there may be
/// several, the last one first. What stands in `[…]` is left out when a part in it is absent. A brace or bracket that stands for
/// itself is doubled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template {
    parts: Vec<Part>,
    names: Names,
}

/// What a template names. Found out once, because it is asked of every request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Names {
    url: bool,
    url_any_port: bool,
    timestamp: bool,
    id: bool,
    form: bool,
    whole_body: bool,
    something_of_body: bool,
    whole_url: bool,
    /// Something that has to be made before the content can be written.
    made: bool,
}

/// One piece of the signed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Body,
    Timestamp,
    Id,
    Method,
    /// The absolute URL, exactly as called.
    Url,
    /// The absolute URL; verification also tries it with its default port added or removed.
    UrlAnyPort,
    /// The distinct, decoded form pairs in order; nothing when the body is not a form.
    FormSorted,
    /// The secret itself, for a plain hash.
    Secret,
    /// A parameter that nobody has given a value yet.
    Const(String),
    /// What has to be made before it can be signed.
    Made(Made),
}

/// A piece that is made of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// What stands somewhere, after filters: the last one first.
    Value(Vec<Filter>, Source),
    /// Left out when a part in it is absent.
    Optional(Vec<Part>),
}

/// What a filter can be laid on, or has to be looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Body,
    Timestamp,
    Id,
    Method,
    Url,
    Host,
    Path,
    PathAndQuery,
    /// The raw pairs of the query in order, joined by `&`.
    QuerySorted,
    /// As Vonage signs a query: `&name=value` in order of the names, without `sig`, and `_` for `&` and `=` in a value.
    QueryVonage,
    /// The form's fields as one JSON object of texts, in their order, as Python writes it.
    FormJson,
    /// The method, path and query as Atlassian Connect has them hashed.
    Atlassian,
    /// The URL and the form as Plivo signs them.
    Plivo,
    /// The headers that this one lists, as `name:value`, joined by `;`.
    Listed(String),
    /// A header, query parameter, form field, JSON value or entry beside the signature.
    Place(Place),
    /// The JSON value as it is written in the body.
    JsonRaw(Vec<String>),
}

/// The names of the parts that stand alone.
const NAMES: [(&str, Part); 8] = [
    ("body", Part::Body),
    ("timestamp", Part::Timestamp),
    ("id", Part::Id),
    ("method", Part::Method),
    ("url", Part::Url),
    ("url:any-port", Part::UrlAnyPort),
    ("form:sorted", Part::FormSorted),
    ("secret", Part::Secret),
];

/// The names of what else a filter can be laid on.
const SOURCES: [(&str, Source); 14] = [
    ("host", Source::Host),
    ("path", Source::Path),
    ("path_and_query", Source::PathAndQuery),
    ("query:sorted", Source::QuerySorted),
    ("query:vonage", Source::QueryVonage),
    ("form:json", Source::FormJson),
    ("request:atlassian", Source::Atlassian),
    ("request:plivo", Source::Plivo),
    ("body", Source::Body),
    ("timestamp", Source::Timestamp),
    ("id", Source::Id),
    ("method", Source::Method),
    ("url", Source::Url),
    ("secret", Source::Body),
];

/// The kinds of parts that have a name of their own after the colon.
const KINDS: [&str; 9] = ["const", "entry", "header", "headers", "query", "form", "json", "json-raw", "signature"];

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut rest = text.as_str();
        let parts = parts(&mut rest, &text)?;
        match rest.is_empty() {
            true => Ok(Self::of(parts)),
            false => Err(format!("unbalanced brackets in the template `{text}`")),
        }
    }
}

/// Reads parts up to the end, or to a closing bracket, which is left.
fn parts(rest: &mut &str, text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    while let Some(next) = rest.chars().next() {
        let doubled = matches!(next, '{' | '}' | '[' | ']') && rest[1..].starts_with(next);
        if doubled || !matches!(next, '{' | '}' | '[' | ']') {
            literal.push(next);
            *rest = &rest[next.len_utf8() * (1 + usize::from(doubled))..];
            continue;
        }
        if next == ']' {
            break;
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        if next == '[' {
            *rest = &rest[1..];
            let inner = optional(rest, text)?;
            parts.push(Part::Made(Made::Optional(inner)));
            continue;
        }
        let inner = rest.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, after) = inner.ok_or_else(|| format!("unbalanced braces in the template `{text}`"))?;
        parts.push(part(name)?);
        *rest = after;
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

fn optional(rest: &mut &str, text: &str) -> Result<Vec<Part>, String> {
    let inner = parts(rest, text)?;
    *rest = rest.strip_prefix(']').ok_or_else(|| format!("unbalanced brackets in the template `{text}`"))?;
    let nested = inner.iter().any(|part| matches!(part, Part::Made(Made::Optional(_)) | Part::Secret));
    let may_lack = inner.iter().any(|part| matches!(part, Part::Made(Made::Value(..))));
    match may_lack && !nested {
        true => Ok(inner),
        false => {
            Err(format!("`[…]` in the template `{text}` needs a part that may be absent, and holds no `[…]` or secret"))
        }
    }
}

fn part(name: &str) -> Result<Part, String> {
    if let Some((_, part)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(part.clone());
    }
    if let Some(name) = name.strip_prefix("const:") {
        return match is_parameter(name) {
            true => Ok(Part::Const(name.to_owned())),
            false => {
                Err(format!("a parameter's name is of letters, digits, `_` and `-`, not `{}`", name.escape_debug()))
            }
        };
    }
    let mut filters = Vec::new();
    let mut rest = name;
    loop {
        if let Some(source) = source(rest)? {
            return Ok(Part::Made(Made::Value(filters, source)));
        }
        let Some((filter, after)) = rest.split_once(':').and_then(|(head, tail)| Some((Filter::named(head)?, tail)))
        else {
            return Err(unknown(rest));
        };
        filters.push(filter);
        rest = after;
    }
}

/// What a parameter may be called.
pub(crate) fn is_parameter(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

fn source(name: &str) -> Result<Option<Source>, String> {
    if name == "secret" {
        return Err("no filter can be laid on `secret`".into());
    }
    if let Some((_, source)) = SOURCES.iter().find(|(known, _)| *known == name) {
        return Ok(Some(source.clone()));
    }
    match name.split_once(':') {
        Some(("headers", list)) => match list.bytes().all(|byte| byte.is_ascii_graphic()) && !list.is_empty() {
            true => Ok(Some(Source::Listed(list.to_owned()))),
            false => Err(format!("the name of the header `{}` must be visible ascii", list.escape_debug())),
        },
        Some(("json-raw", pointer)) => place::pointer(pointer).map(|tokens| Some(Source::JsonRaw(tokens))),
        Some(("header" | "query" | "form" | "json" | "signature" | "entry", _)) => {
            Place::try_from(name.to_owned()).map(|place| Some(Source::Place(place)))
        }
        _ => Ok(None),
    }
}

fn unknown(name: &str) -> String {
    let sources = SOURCES.iter().map(|(known, _)| *known);
    let mut names: Vec<&str> = NAMES.iter().map(|(known, _)| *known).chain(sources).chain(KINDS).collect();
    names.extend(Filter::names());
    let mut known: Vec<String> = Vec::new();
    for name in names.into_iter().map(|name| format!("`{name}`")) {
        if !known.contains(&name) {
            known.push(name);
        }
    }
    let name = name.split_once(':').map_or(name, |(head, _)| head);
    format!("unknown part `{name}`, expected one of {}", known.join(", "))
}

impl Template {
    /// The body and nothing else.
    pub(crate) fn body() -> Self {
        Self::of(vec![Part::Body])
    }

    pub(crate) fn of(parts: Vec<Part>) -> Self {
        let names = Names::of(&parts);
        Self { parts, names }
    }

    pub(crate) fn has(&self, part: &Part) -> bool {
        self.parts.contains(part)
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether it names the absolute URL.
    pub(crate) fn has_url(&self) -> bool {
        self.names.url
    }

    /// Whether it names the absolute URL with and without its default port.
    pub(crate) fn has_url_any_port(&self) -> bool {
        self.names.url_any_port
    }

    /// Whether it names the sorted form.
    pub(crate) fn has_form(&self) -> bool {
        self.names.form
    }

    /// Whether it names the time of signing, plain or after a filter.
    pub(crate) fn has_timestamp(&self) -> bool {
        self.names.timestamp
    }

    /// Whether it names the delivery's id, plain or after a filter.
    pub(crate) fn has_id(&self) -> bool {
        self.names.id
    }

    /// Whether what stands in `place` is one of the signed values, as a whole.
    pub(crate) fn has_place(&self, place: &Place) -> bool {
        self.values()
            .any(|(filters, source)| matches!(source, Source::Place(signed) if signed == place) && keeps_all(filters))
    }

    /// Whether it holds the whole body: a change of any byte changes what is signed, and nobody can make up for that.
    pub(crate) fn covers_body(&self) -> bool {
        self.names.whole_body
    }

    /// Whether it holds something of the body.
    pub(crate) fn touches_body(&self) -> bool {
        self.names.something_of_body
    }

    /// Whether it holds the whole URL.
    pub(crate) fn covers_url(&self) -> bool {
        self.names.whole_url
    }

    /// Whether headers are signed because another one lists them.
    pub(crate) fn has_list(&self) -> bool {
        self.values().any(|(_, source)| matches!(source, Source::Listed(_)))
    }

    /// Whether it names what has to be made before the content can be written.
    pub(crate) fn has_made(&self) -> bool {
        self.names.made
    }

    /// Every part, also those inside brackets.
    pub(crate) fn flat(&self) -> impl Iterator<Item = &Part> {
        flat(&self.parts)
    }

    /// What is made of something, also inside brackets.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&[Filter], &Source)> {
        values(&self.parts)
    }

    /// The parameters that it names and that nobody has given a value.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.flat().filter_map(|part| match part {
            Part::Const(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Puts the values of parameters in their places.
    pub(crate) fn fill(&mut self, values: &BTreeMap<String, String>) {
        fill(&mut self.parts, values);
        self.names = Names::of(&self.parts);
    }
}

impl Names {
    fn of(parts: &[Part]) -> Self {
        let alone = |part: Part| parts.contains(&part);
        let plain_url = alone(Part::Url) || alone(Part::UrlAnyPort);
        let whole_body = alone(Part::Body)
            || alone(Part::FormSorted)
            || values(parts)
                .any(|(filters, source)| matches!(source, Source::Body | Source::FormJson) && keeps_all(filters));
        let of_body = |source: &Source| match source {
            Source::Body | Source::FormJson | Source::JsonRaw(_) | Source::Plivo => true,
            Source::Place(place) => matches!(place, Place::Json(_) | Place::Form(_)),
            _ => false,
        };
        Self {
            url: plain_url
                || values(parts).any(|(_, source)| matches!(source, Source::Url | Source::Host | Source::Plivo)),
            url_any_port: alone(Part::UrlAnyPort),
            timestamp: flat(parts)
                .any(|part| matches!(part, Part::Timestamp | Part::Made(Made::Value(_, Source::Timestamp)))),
            id: flat(parts).any(|part| matches!(part, Part::Id | Part::Made(Made::Value(_, Source::Id)))),
            form: alone(Part::FormSorted),
            whole_body,
            something_of_body: whole_body || values(parts).any(|(_, source)| of_body(source)),
            made: parts.iter().any(|part| matches!(part, Part::Made(_))),
            whole_url: plain_url
                || values(parts).any(|(filters, source)| matches!(source, Source::Url) && keeps_all(filters)),
        }
    }
}

fn flat(parts: &[Part]) -> impl Iterator<Item = &Part> {
    parts.iter().flat_map(|part| match part {
        Part::Made(Made::Optional(inner)) => inner.as_slice(),
        part => std::slice::from_ref(part),
    })
}

fn values(parts: &[Part]) -> impl Iterator<Item = (&[Filter], &Source)> {
    flat(parts).filter_map(|part| match part {
        Part::Made(Made::Value(filters, source)) => Some((filters.as_slice(), source)),
        _ => None,
    })
}

fn keeps_all(filters: &[Filter]) -> bool {
    filters.iter().all(Filter::keeps_all)
}

fn fill(parts: &mut [Part], values: &BTreeMap<String, String>) {
    for part in parts {
        match part {
            Part::Const(name) => {
                if let Some(value) = values.get(name.as_str()) {
                    *part = Part::Literal(value.clone());
                }
            }
            Part::Made(Made::Optional(inner)) => fill(inner, values),
            _ => {}
        }
    }
}
