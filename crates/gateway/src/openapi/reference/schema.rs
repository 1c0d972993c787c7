//! Schemas as the reference shows them: a word or two where they are used, a table of fields where they are explained.

use std::fmt::Write;

use serde_json::Value;

use super::{Page, anchor, text};

/// Where a schema with a name is found in the document.
const PLACE: &str = "#/components/schemas/";

impl Page<'_> {
    /// Every schema that has a name, once.
    pub(super) fn named_schemas(&mut self) {
        self.raw("<section>\n<h2 id=\"schemas\">Schemas</h2>\n");
        for (name, schema) in self.known["schemas"].as_object().into_iter().flatten() {
            let _ = write!(self.html, "<article id=\"schema-{}\">\n<h3>", anchor(name));
            self.text(name);
            self.raw("</h3>\n");
            self.paragraph(text(&schema["description"]));
            self.fields(schema);
            self.raw("</article>\n");
        }
        self.raw("</section>\n");
    }

    /// A schema where it is used: its name with a link, or its fields when it has none.
    pub(super) fn schema(&mut self, schema: &Value) {
        if schema["$ref"].is_string() || schema["properties"].is_null() {
            self.raw("<p>");
            self.kind(schema);
            self.raw("</p>\n");
        } else {
            self.fields(schema);
        }
    }

    fn fields(&mut self, schema: &Value) {
        if let Some(properties) = schema["properties"].as_object() {
            let required = schema["required"].as_array().map(Vec::as_slice).unwrap_or_default();
            self.raw("<table>\n<thead><tr><th>Field<th>Is<th>Means</tr></thead>\n<tbody>\n");
            for (name, field) in properties {
                self.raw("<tr><td>");
                self.code(name);
                self.raw("<td>");
                self.kind(field);
                if !required.iter().any(|required| required == name) {
                    self.raw(", optional");
                }
                self.raw("<td>");
                self.prose(text(&field["description"]));
                self.raw("</tr>\n");
            }
            self.raw("</tbody>\n</table>\n");
        }
        for (place, kind) in choices(schema).into_iter().flatten().enumerate() {
            self.raw(if place == 0 { "<p>One of these:</p>\n" } else { "<p>or</p>\n" });
            self.paragraph(text(&kind["description"]));
            self.schema(kind);
        }
        if schema["properties"].is_null() && choices(schema).is_none() {
            self.raw("<p>");
            self.kind(schema);
            self.raw("</p>\n");
        }
    }

    /// What something is, in a few words.
    pub(super) fn kind(&mut self, schema: &Value) {
        if let Some(name) = schema["$ref"].as_str().and_then(|text| text.strip_prefix(PLACE)) {
            let _ = write!(self.html, "<a href=\"#schema-{}\">", anchor(name));
            self.text(name);
            self.raw("</a>");
        } else if let Some(value) = schema.get("const") {
            self.code(&plain(value));
        } else if let Some(values) = schema["enum"].as_array() {
            self.list(values, |page, value| page.code(&plain(value)));
        } else if let Some(kinds) = choices(schema) {
            self.list(kinds, Self::kind);
        } else if let Some(kinds) = schema["type"].as_array() {
            self.list(kinds, |page, name| page.named(text(name), schema));
        } else {
            self.named(text(&schema["type"]), schema);
        }
    }

    fn named(&mut self, name: &str, schema: &Value) {
        match name {
            "array" => {
                self.raw("list of ");
                self.kind(&schema["items"]);
            }
            "" => self.raw("anything"),
            "string" if schema["format"] == "date-time" => self.raw("time"),
            "string" | "integer" | "number" => {
                self.raw(name);
                self.limits(schema);
            }
            _ => self.text(name),
        }
    }

    fn limits(&mut self, schema: &Value) {
        let bound = |low: &str, high: &str| (schema.get(low).cloned(), schema.get(high).cloned());
        let (low, high) = match schema["type"].as_str() {
            Some("string") => bound("minLength", "maxLength"),
            _ => bound("minimum", "maximum"),
        };
        let unit = if schema["type"] == "string" { " characters" } else { "" };
        let _ = match (low, high) {
            (Some(low), Some(high)) => write!(self.html, ", {low} to {high}{unit}"),
            (None, Some(high)) => write!(self.html, ", at most {high}{unit}"),
            (Some(low), None) if low != 0 => write!(self.html, ", at least {low}{unit}"),
            _ => Ok(()),
        };
        if let Some(default) = schema.get("default").filter(|default| !default.is_null()) {
            let _ = write!(self.html, ", else {default}");
        }
    }

    fn list<'v>(&mut self, values: &'v [Value], mut show: impl FnMut(&mut Self, &'v Value)) {
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.raw(if place + 1 == values.len() { " or " } else { ", " });
            }
            show(self, value);
        }
    }
}

fn choices(schema: &Value) -> Option<&[Value]> {
    let kinds =
        schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()).or_else(|| schema["allOf"].as_array());
    kinds.map(Vec::as_slice)
}

/// A value as text without quotation marks.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
