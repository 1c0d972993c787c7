//! Owns the description of scheme files: the JSON Schema of the types that read them, and the page of reference that is written from it.
//! Reads no scheme.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::filter::FILTERS;
use crate::place::Place;
use crate::proof::{Assign, Conditions, Prefix, Separator};
use crate::published::UrlPattern;
use crate::scheme::RawScheme;
use crate::template::Template;

/// What is written as a text, or a table of texts, and read by a parser of its own.
macro_rules! written {
    ($($type:ident $shape:tt $about:literal)*) => {
        $(impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = schemars::json_schema!($shape);
                schema.insert("description".to_owned(), $about.into());
                schema
            }
        })*
    };
}

written! {
    Template { "type": "string" } "Text with parts in braces and what may be left out in brackets; a brace or bracket that stands for itself is doubled. See *Parts of a template*."
    Place { "type": "string" } "`header:NAME`, `authorization:SCHEME`, `query:NAME`, `form:NAME`, `json:/POINTER`, `signature:NAME` (an entry beside the signature; `#1` is the first), `claim:NAME` (of a token) or `body`. `header:NAME-{n}` is a family of headers, numbered from 1."
    Separator { "type": "string", "minLength": 1, "maxLength": 1 } "One ASCII character."
    Assign { "type": "string", "minLength": 1, "maxLength": 1 } "One ASCII character; `=` where nothing is said."
    Prefix { "type": "string" } "Text that may name parameters, as `{const:NAME}`."
    UrlPattern { "type": "string" } "A URL in which `*` stands for letters, digits, `-` and `_`, and `?*` at its end for any query. It may name parameters, as `{const:NAME}`."
    Conditions { "type": "object", "additionalProperties": { "type": "string" } } "What stands in which place; `*` for anything but nothing."
}

/// The parts of a template, with what each stands for.
pub(crate) const PARTS: [(&str, &str); 27] = [
    ("{body}", "the body, byte for byte"),
    ("{timestamp}", "the signed time as it was sent, from `timestamp.at`"),
    ("{id}", "the delivery's id, from the first place of `id`"),
    ("{method}", "the method"),
    ("{url}", "the absolute URL as it was called, or as the parameter `url` says that it was registered"),
    ("{url:any-port}", "the same; with its default port and without it are both tried"),
    ("{host}", "the URL's host, with its port"),
    ("{path}", "the URL's path"),
    ("{path_and_query}", "both as they are written in the URL"),
    ("{query:sorted}", "the raw pairs of the query in order of their names, joined by `&`"),
    ("{query:vonage}", "the query as Vonage signs it"),
    ("{query:NAME}", "a query parameter, decoded once"),
    (
        "{form:sorted}",
        "a form's distinct pairs, decoded and in order, without borders; nothing for another body where `body_sha256` binds it",
    ),
    ("{form:json}", "a form's fields as one JSON object of texts"),
    ("{form:NAME}", "a form's field, decoded"),
    ("{header:NAME}", "a header's value"),
    ("{entry:NAME/ENTRY}", "the entry `ENTRY=` of a header that has several"),
    ("{headers:NAME}", "the headers that the header NAME lists, each as `name:value`, joined by `;`"),
    ("{json:/POINTER}", "a JSON value: a string without quotes and escapes, a number or boolean as it is written"),
    ("{json-raw:/POINTER}", "any JSON value as it is written in the body"),
    ("{signature:NAME}", "the entry `NAME=` of the list that the signature stands in"),
    ("{const:NAME}", "a parameter of the endpoint"),
    ("{secret}", "the secret, in a plain hash"),
    ("{request:atlassian}", "method, path and query as Atlassian Connect has them hashed"),
    ("{request:plivo}", "the URL and the form as Plivo signs them"),
    ("{FILTER:PART}", "a part after a filter; several are laid on from the last to the first"),
    ("[…]", "left out as a whole when a part in it is absent"),
];

/// The JSON Schema of a scheme file, for editors.
pub fn json_schema() -> Value {
    schemars::schema_for!(RawScheme).to_value()
}

/// The page of reference, in Markdown.
pub fn page() -> String {
    let schema = json_schema();
    let mut page = String::from(
        "# Scheme files\n\nMade by `cargo xtask reference` from the types that read them; an editor finds the same in \
         [scheme.schema.json](scheme.schema.json).\n\nA scheme is a TOML file. `hookward schemes show NAME` prints one to start from. \
         What is unknown or contradicts itself is an error with its line and column.\n",
    );
    section(&mut page, "The file", &schema);
    let empty = Map::new();
    let definitions = schema["$defs"].as_object().unwrap_or(&empty);
    for (name, definition) in definitions {
        section(&mut page, name, definition);
    }
    page.push_str("\n## Parts of a template\n\n| part | stands for |\n| --- | --- |\n");
    for (part, meaning) in PARTS {
        page.push_str(&format!("| `{part}` | {meaning} |\n"));
    }
    page.push_str("\n## Filters\n\n| filter | what is signed of a value |\n| --- | --- |\n");
    for (name, _, meaning) in FILTERS {
        page.push_str(&format!("| `{name}` | {meaning} |\n"));
    }
    page
}

/// One type: what it is, then its fields or its values.
fn section(page: &mut String, name: &str, schema: &Value) {
    page.push_str(&format!("\n## {}\n\n", name.trim_start_matches("Raw")));
    if let Some(text) = schema["description"].as_str() {
        page.push_str(&format!("{}\n", line(text)));
    }
    if let Some(fields) = schema["properties"].as_object() {
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        page.push_str("\n| field | type | |\n| --- | --- | --- |\n");
        for (field, about) in fields {
            let must = if required.contains(&field.as_str()) { " (required)" } else { "" };
            let text = line(about["description"].as_str().unwrap_or_default());
            page.push_str(&format!("| `{field}`{must} | {} | {text} |\n", kind(about)));
        }
    }
    let values = values(schema);
    if !values.is_empty() {
        page.push_str("\n| value | |\n| --- | --- |\n");
        for (value, text) in values {
            page.push_str(&format!("| `{value}` | {} |\n", line(text)));
        }
    }
}

/// The values of an enumeration, each with what is said of it.
fn values(schema: &Value) -> Vec<(&str, &str)> {
    let plain = schema["enum"].as_array().into_iter().flatten();
    let plain = plain.filter_map(|value| Some((value.as_str()?, "")));
    let told = schema["oneOf"].as_array().into_iter().flatten().flat_map(|one| {
        let text = one["description"].as_str().unwrap_or_default();
        let several = one["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
        several.chain(one["const"].as_str()).map(move |value| (value, text)).collect::<Vec<_>>()
    });
    plain.chain(told).collect()
}

/// What a field holds, in a word.
fn kind(schema: &Value) -> String {
    let named = |text: &str| text.rsplit('/').next().unwrap_or_default().trim_start_matches("Raw").to_owned();
    if let Some(reference) = schema["$ref"].as_str() {
        return named(reference);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        return any.iter().filter(|one| one["type"] != "null").map(kind).collect::<Vec<_>>().join(" or ");
    }
    let word = match &schema["type"] {
        Value::Array(words) => words.iter().filter_map(Value::as_str).find(|word| *word != "null").unwrap_or_default(),
        word => word.as_str().unwrap_or_default(),
    };
    match word {
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" if schema["additionalProperties"].is_object() => {
            format!("table of {}", kind(&schema["additionalProperties"]))
        }
        word => word.to_owned(),
    }
}

/// A description as one line of a table.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
