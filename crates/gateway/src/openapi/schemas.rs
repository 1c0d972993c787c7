//! JSON schemas of what goes in and of what comes out, each under one name in the document.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// Where the document keeps them.
const PLACE: &str = "/components/schemas";

/// The schemas met so far. What is optional in a request may be certain in an answer, so the two are made apart.
#[derive(Debug)]
pub(crate) struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Schemas {
    pub(crate) fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = PLACE.into();
                settings.meta_schema = None;
            })
        };
        Self {
            taken: settings().for_deserialize().into_generator(),
            given: settings().for_serialize().into_generator(),
        }
    }

    /// The schema of something in a request: a reference to its name, or the whole of something small.
    pub(crate) fn taken<T: JsonSchema>(&mut self) -> Value {
        self.taken.subschema_for::<T>().to_value()
    }

    /// The schema of something in an answer.
    pub(crate) fn given<T: JsonSchema>(&mut self) -> Value {
        self.given.subschema_for::<T>().to_value()
    }

    /// The fields of a query: names, schemas, and whether each must be there.
    pub(crate) fn fields<T: JsonSchema>(&mut self) -> Vec<(String, Value, bool)> {
        let root = self.taken.root_schema_for::<T>().to_value();
        let required: Vec<&str> = root["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let fields = root["properties"].as_object().into_iter().flatten();
        fields
            .map(|(name, schema)| (name.clone(), without_null(schema.clone()), required.contains(&name.as_str())))
            .collect()
    }

    /// All of them by name.
    ///
    /// # Panics
    /// When two types have one name: the document could describe only one of them.
    pub(crate) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.given.take_definitions(true);
        for (name, schema) in self.taken.take_definitions(true) {
            let twice = all.insert(name.clone(), schema.clone()).is_some_and(|other| other != schema);
            assert!(!twice, "two schemas are called `{name}`: give one `#[schemars(rename = \"…\")]`");
        }
        let numbered = all.keys().find(|name| name.ends_with(|last: char| last.is_ascii_digit()));
        assert!(numbered.is_none(), "two schemas are called like {numbered:?}: use `#[schemars(rename = \"…\")]`");
        all.values_mut().for_each(tell_times);
        all
    }
}

/// In a query what is not given is absent: there is no way to write null.
fn without_null(mut schema: Value) -> Value {
    if let Some(types) = schema["type"].as_array() {
        let types: Vec<&Value> = types.iter().filter(|name| *name != "null").collect();
        if let [only] = types[..] {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema["anyOf"].as_array() {
        let choices: Vec<&Value> = choices.iter().filter(|choice| choice["type"] != "null").collect();
        if let [only] = choices[..] {
            let mut only = only.clone();
            if let (Some(only), Some(description)) = (only.as_object_mut(), schema.get("description")) {
                only.insert("description".to_owned(), description.clone());
            }
            schema = only;
        }
    }
    schema
}

/// A name that ends in `_at` is a time, wherever it stands; this says so to programs as well.
fn tell_times(schema: &mut Value) {
    let Value::Object(object) = schema else {
        if let Value::Array(items) = schema {
            items.iter_mut().for_each(tell_times);
        }
        return;
    };
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        for (_, property) in properties.iter_mut().filter(|(name, _)| name.ends_with("_at")) {
            property["format"] = json!("date-time");
        }
    }
    object.values_mut().for_each(tell_times);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Asked {
        #[schemars(range(min = 1, max = 250))]
        limit: Option<u32>,
        source: String,
    }

    #[derive(Serialize, JsonSchema)]
    #[schemars(rename = "Thing")]
    struct Thing {
        made_at: String,
        ended_at: Option<String>,
    }

    mod other {
        #[derive(serde::Serialize, schemars::JsonSchema)]
        pub(super) struct Thing {
            other: u8,
        }
    }

    #[test]
    fn a_query_is_its_fields() {
        let fields = Schemas::new().fields::<Asked>();
        let limit = json!({ "type": "integer", "format": "uint32", "minimum": 1, "maximum": 250 });
        assert_eq!(
            fields,
            [("limit".to_owned(), limit, false), ("source".to_owned(), json!({ "type": "string" }), true)]
        );
    }

    #[test]
    fn what_ends_in_at_is_a_time_and_always_answered() {
        let mut schemas = Schemas::new();
        assert_eq!(schemas.given::<Thing>(), json!({ "$ref": "#/components/schemas/Thing" }));
        let all = schemas.finish();
        assert_eq!(all["Thing"]["required"], json!(["made_at", "ended_at"]));
        assert_eq!(all["Thing"]["properties"]["made_at"], json!({ "type": "string", "format": "date-time" }));
    }

    #[test]
    #[should_panic(expected = "two schemas are called")]
    fn two_types_of_one_name_are_found() {
        let mut schemas = Schemas::new();
        schemas.given::<Thing>();
        schemas.given::<other::Thing>();
        schemas.finish();
    }
}
