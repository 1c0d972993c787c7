//! What of a declared table may be shown, and how two tables differ. Values that may be credentials are not shown: a literal
//! secret, the value of a header or a variable, a URL's query. References are: they say where a value is, not what it is.

use serde_json::{Map, Value};

/// What stands for a value that is not shown.
pub const HIDDEN: &str = "…";

/// Keys whose value is a secret.
const SECRETS: [&str; 4] = ["secret", "handshake_token", "token", "credential"];

/// Keys of tables whose values may be credentials.
const TABLES: [&str; 2] = ["set_headers", "environment"];

/// Keys of URLs.
const URLS: [&str; 3] = ["url", "base", "api"];

/// One setting that is not what it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Its keys, with dots between.
    pub field: String,
    /// What it was, as far as that is shown; `None` when it was not there.
    pub before: Option<Value>,
    /// What it is, likewise.
    pub after: Option<Value>,
}

/// `table` as it may be shown.
pub fn shown(table: &Value) -> Value {
    match table {
        Value::Object(members) => {
            let member = |(key, value): (&String, &Value)| (key.clone(), shown_at(&[], key, value));
            Value::Object(members.iter().map(member).collect())
        }
        other => other.clone(),
    }
}

/// What differs between two tables, setting by setting. A list is one setting.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let empty = Map::new();
    compare(&mut Vec::new(), before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty), &mut found);
    found
}

fn compare<'k>(
    above: &mut Vec<&'k str>,
    before: &'k Map<String, Value>,
    after: &'k Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    for key in after.keys().chain(gone) {
        match (before.get(key), after.get(key)) {
            (before, after) if before == after => {}
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                above.push(key);
                compare(above, before, after, found);
                above.pop();
            }
            (before, after) => {
                let field = above.iter().copied().chain([key.as_str()]).collect::<Vec<_>>().join(".");
                let shown = |value: Option<&Value>| value.map(|value| shown_at(above, key, value));
                found.push(Difference { field, before: shown(before), after: shown(after) });
            }
        }
    }
}

fn shown_at(above: &[&str], key: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let above: Vec<&str> = above.iter().copied().chain([key]).collect();
            let member = |(key, value): (&String, &Value)| (key.clone(), shown_at(&above, key, value));
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(items) => items.iter().map(|item| shown_at(above, key, item)).collect(),
        Value::String(text) => Value::from(shown_text(above, key, text)),
        other => other.clone(),
    }
}

fn shown_text(above: &[&str], key: &str, text: &str) -> String {
    let is_reference = text.starts_with("env:") || text.starts_with("file:") || text == "stored";
    let may_be_credential = SECRETS.contains(&key) || above.iter().any(|table| TABLES.contains(table));
    // A default in a reference is a value, too.
    match (text.split_once(":-"), text.split_once('?')) {
        (Some((reference, _)), _) if is_reference && may_be_credential => format!("{reference}:-{HIDDEN}"),
        _ if is_reference => text.to_owned(),
        _ if may_be_credential => HIDDEN.to_owned(),
        (_, Some((base, _))) if URLS.contains(&key) => format!("{base}?{HIDDEN}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_a_credential_is_not_shown() {
        let table = json!({
            "name": "ci", "url": "https://x.test/a?key=1", "secret": "hunter2", "sign": { "scheme": "github", "secret": "env:S" },
            "set_headers": { "Authorization": "Bearer x", "X-Org": "env:ORG", "X-Key": "env:KEY:-hunter2" }, "concurrency": 8,
            "environment": { "TOKEN": "x" }, "checkout": { "base": "https://git.test", "credential": "x" }, "filter": "a ? b : c",
            "list": [{ "scheme": "github", "secret": "x" }, { "secret": "env:S" }, "x"],
        });
        let expected = json!({
            "name": "ci", "url": "https://x.test/a?…", "secret": "…", "sign": { "scheme": "github", "secret": "env:S" },
            "set_headers": { "Authorization": "…", "X-Org": "env:ORG", "X-Key": "env:KEY:-…" }, "concurrency": 8,
            "environment": { "TOKEN": "…" }, "checkout": { "base": "https://git.test", "credential": "…" }, "filter": "a ? b : c",
            "list": [{ "scheme": "github", "secret": "…" }, { "secret": "env:S" }, "x"],
        });
        assert_eq!(shown(&table), expected);
    }

    #[test]
    fn a_difference_names_its_setting_and_shows_no_more_than_it_may() {
        let before = json!({ "same": 1, "list": [1], "set_headers": { "A": "1", "B": "2" }, "gone": true, "dedup": { "body": true } });
        let after = json!({ "same": 1, "list": [2], "set_headers": { "A": "9", "B": "2" }, "dedup": { "body": false }, "new": "x" });
        let told: Vec<String> = differences(&before, &after)
            .into_iter()
            .map(|Difference { field, before, after }| format!("{field}: {before:?} {after:?}"))
            .collect();
        assert_eq!(
            told,
            [
                "dedup.body: Some(Bool(true)) Some(Bool(false))",
                "list: Some(Array [Number(1)]) Some(Array [Number(2)])",
                "new: None Some(String(\"x\"))",
                "set_headers.A: Some(String(\"…\")) Some(String(\"…\"))",
                "gone: Some(Bool(true)) None",
            ]
        );
    }
}
