//! What of a declared table may be shown, and how two tables differ. Values that may be credentials are not shown: a literal
//! secret, the value of a header or a variable, a URL's query. References are: they say where a value is, not what it is.

use serde_json::{Map, Value};

/// What stands for a value that is not shown.
pub const HIDDEN: &str = "…";

/// Keys whose value is a secret.
const SECRETS: [&str; 4] = ["secret", "handshake_token", "token", "credential"];

/// Keys that are one only in this table.
const SECRETS_OF: [(&str, &str); 3] = [("auth", "basic"), ("auth", "bearer"), ("mtls", "key")];

/// Keys of tables whose values may be credentials.
const TABLES: [&str; 2] = ["set_headers", "environment"];

/// The key of a table that holds no credential: what a scheme leaves to be said.
const PLAIN: &str = "parameters";

/// Keys of URLs.
const URLS: [&str; 3] = ["url", "base", "api"];

/// What stands in a table for a value that is kept elsewhere.
const STORED: &str = "stored";

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

/// `table` with [`STORED`] for every literal value of a header, of a variable, and of a URL with a query; `None` when it has
/// none of these.
pub(super) fn without_values(table: &Value) -> Option<Value> {
    let is_literal = |text: &str| !is_reference(text);
    let mut stripped = table.clone();
    if let Some(Value::String(url)) = stripped.get_mut("url")
        && is_literal(url)
        && url.contains('?')
    {
        STORED.clone_into(url);
    }
    for group in TABLES {
        let values = stripped.get_mut(group).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut);
        for value in values.filter(|value| value.as_str().is_some_and(is_literal)) {
            *value = Value::from(STORED);
        }
    }
    (stripped != *table).then_some(stripped)
}

/// `table` as it may be shown.
pub fn shown(table: &Value) -> Value {
    match table {
        // The whole URL of one of Slack's is a secret.
        Value::Object(members) if members.get("type").is_some_and(|kind| kind == "slack") => {
            let url = |key: &str, value: &Value| match value.as_str() {
                Some(text) if key == "url" && !is_reference(text) => Value::from(HIDDEN),
                _ => shown_at(&[], key, value),
            };
            Value::Object(members.iter().map(|(key, value)| (key.clone(), url(key, value))).collect())
        }
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

fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:") || text == STORED
}

fn shown_text(above: &[&str], key: &str, text: &str) -> String {
    if above.last() == Some(&PLAIN) {
        return text.to_owned();
    }
    let is_reference = is_reference(text);
    let of_a_table = SECRETS_OF.iter().any(|(table, secret)| above.last() == Some(table) && *secret == key);
    let may_be_credential = SECRETS.contains(&key) || of_a_table || above.iter().any(|table| TABLES.contains(table));
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
            "auth": { "basic": "x:y", "bearer": "env:T", "header": "X-Api-Key", "secret": "x" }, "order": { "key": "body.id" },
            "mtls": { "certificate": "PEM", "key": "x" }, "oauth2": { "client_id": "id", "secret": "x", "auth": "basic" },
            "name": "ci", "url": "https://x.test/a?key=1", "secret": "hunter2", "sign": { "scheme": "github", "secret": "env:S" },
            "set_headers": { "Authorization": "Bearer x", "X-Org": "env:ORG", "X-Key": "env:KEY:-hunter2" }, "concurrency": 8,
            "environment": { "TOKEN": "x" }, "checkout": { "base": "https://git.test", "credential": "x" }, "filter": "a ? b : c",
            "list": [{ "scheme": "github", "secret": "x" }, { "secret": "env:S" }, "x"],
            "parameters": { "url": "https://x.test/a?key=1", "token": "public" },
        });
        let expected = json!({
            "auth": { "basic": "…", "bearer": "env:T", "header": "X-Api-Key", "secret": "…" }, "order": { "key": "body.id" },
            "mtls": { "certificate": "PEM", "key": "…" }, "oauth2": { "client_id": "id", "secret": "…", "auth": "basic" },
            "name": "ci", "url": "https://x.test/a?…", "secret": "…", "sign": { "scheme": "github", "secret": "env:S" },
            "set_headers": { "Authorization": "…", "X-Org": "env:ORG", "X-Key": "env:KEY:-…" }, "concurrency": 8,
            "environment": { "TOKEN": "…" }, "checkout": { "base": "https://git.test", "credential": "…" }, "filter": "a ? b : c",
            "list": [{ "scheme": "github", "secret": "…" }, { "secret": "env:S" }, "x"],
            "parameters": { "url": "https://x.test/a?key=1", "token": "public" },
        });
        assert_eq!(shown(&table), expected);
    }

    #[test]
    fn the_whole_url_of_slack_is_one() {
        let table = |url: &str| json!({ "type": "slack", "url": url, "template": "a?b" });
        assert_eq!(shown(&table("https://hooks.slack.test/services/x")), table(HIDDEN));
        assert_eq!(shown(&table("env:SLACK")), table("env:SLACK"));
    }

    #[test]
    fn literal_values_stand_in_no_table() {
        let table = json!({
            "url": "https://a.test/?k=1", "set_headers": { "A": "1", "R": "env:R" }, "environment": { "V": "1" }, "n": [1],
        });
        let stripped = json!({
            "url": "stored", "set_headers": { "A": "stored", "R": "env:R" }, "environment": { "V": "stored" }, "n": [1],
        });
        assert_eq!(without_values(&table), Some(stripped.clone()));
        assert_eq!(without_values(&stripped), None);
        assert_eq!(without_values(&json!({ "url": "https://a.test/" })), None);
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
