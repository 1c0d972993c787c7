//! Examples, put together from a schema: the `examples` of fields where they have some, else something that fits.

use serde_json::{Map, Value, json};

/// How deep an example goes: a schema may contain itself.
const DEPTH_MAX: usize = 8;

/// Something that fits `schema`. `schemas` are those that it may refer to.
pub(super) fn of(schema: &Value, schemas: &Map<String, Value>) -> Value {
    within(schema, schemas, DEPTH_MAX)
}

fn within(schema: &Value, schemas: &Map<String, Value>, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let deeper = |schema: &Value| within(schema, schemas, depth - 1);
    if let Some(example) = schema["examples"].get(0).or_else(|| schema.get("example")).or_else(|| schema.get("const")) {
        return example.clone();
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|text| schemas.get(text.rsplit('/').next()?)) {
        return deeper(target);
    }
    if let Some(first) = schema["enum"].get(0).or_else(|| schema.get("default").filter(|value| !value.is_null())) {
        return first.clone();
    }
    if let Some(Value::Object(properties)) = schema.get("properties") {
        return object(schema, properties, deeper);
    }
    if let Some(first) = schema["oneOf"].get(0).or_else(|| schema["anyOf"].get(0)).or_else(|| schema["allOf"].get(0)) {
        return deeper(first);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"].get(0)?.as_str());
    match kind {
        Some("array") => match schema["prefixItems"].as_array() {
            Some(items) => items.iter().map(deeper).collect(),
            None => schema.get("items").map(deeper).into_iter().collect(),
        },
        Some("string") if schema["format"] == "date-time" => json!("2026-01-31T09:30:00.000Z"),
        Some("string") => json!("text"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(false),
        _ => json!({}),
    }
}

/// All of an object's fields, with those that only one kind of it has.
fn object(schema: &Value, properties: &Map<String, Value>, deeper: impl Fn(&Value) -> Value) -> Value {
    let mut all: Map<String, Value> = properties.iter().map(|(name, field)| (name.clone(), deeper(field))).collect();
    let kind = schema["oneOf"].get(0).or_else(|| schema["anyOf"].get(0)).map(deeper);
    if let Some(Value::Object(more)) = kind {
        all.extend(more);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_put_together_from_its_parts() {
        let schemas = Map::from_iter([
            (
                "Page".to_owned(),
                json!({ "type": "object", "properties": {
                    "items": { "type": "array", "items": { "$ref": "#/components/schemas/Item" } },
                    "next": { "type": ["string", "null"], "examples": ["MS5l"] },
                }}),
            ),
            (
                "Item".to_owned(),
                json!({ "type": "object",
                    "properties": { "made_at": { "type": "string", "format": "date-time" }, "uses": { "minimum": 0, "type": "integer" } },
                    "oneOf": [{ "type": "object", "properties": { "type": { "const": "http" } } }],
                }),
            ),
        ]);
        let example = of(&json!({ "$ref": "#/components/schemas/Page" }), &schemas);
        let item = json!({ "made_at": "2026-01-31T09:30:00.000Z", "uses": 0, "type": "http" });
        assert_eq!(example, json!({ "items": [item], "next": "MS5l" }));
    }

    #[test]
    fn a_schema_that_contains_itself_has_an_end() {
        let schemas = Map::from_iter([(
            "Tree".to_owned(),
            json!({ "properties": { "left": { "$ref": "#/components/schemas/Tree" } } }),
        )]);
        assert!(of(&json!({ "$ref": "#/components/schemas/Tree" }), &schemas).is_object());
    }
}
