//! What was declared of a source or a destination, as the text of a configuration file.

use serde_json::Value;

/// A table as it may be shown: without anything that may be a credential.
pub(super) fn shown(table: &Value) -> String {
    written(&hookward_engine::shown(table))
}

/// A table as TOML. What is null is absent.
pub(super) fn written(table: &Value) -> String {
    let read: Result<toml::Table, _> = serde_json::from_value(without_nulls(table));
    let read = read.expect("a table without nulls is one in TOML too");
    toml::to_string_pretty(&read).expect("a table can be written")
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().filter(|item| !item.is_null()).map(without_nulls).collect()),
        other => other.clone(),
    }
}
