//! What is in force already, where a declaration says `stored` or does not say it again: tables, and the values in them that
//! may be credentials. Secrets are the engine's; none of them ever comes here.

use std::collections::HashMap;

use hookward_engine::model::{Declaration, DestinationKind, DestinationSpec, Principal};
use hookward_engine::{Engine, HIDDEN, Kind, shown};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::config::{STORED, is_reference};

/// Where a table has secrets, besides those of the schemes that it signs with.
const SECRETS: [&str; 8] = [
    "/secret",
    "/token",
    "/checkout/credential",
    "/auth/basic",
    "/auth/bearer",
    "/auth/secret",
    "/oauth2/secret",
    "/mtls/key",
];

/// Tables in a table whose values may be credentials.
const GROUPS: [&str; 2] = ["set_headers", "environment"];

/// Where a table has a URL that values are sent to.
const PLACES: [&str; 3] = ["/url", "/api", "/checkout/base"];

/// How something came into force that is.
pub(super) fn declaration(engine: &Engine, by: &Principal, kind: Kind, name: &str) -> Option<Declaration> {
    let organization = by.organization;
    Some(match kind {
        Kind::Source => engine.source(organization, name)?.declaration,
        Kind::Destination => engine.destination(organization, name).filter(|one| !one.is_retired())?.declaration,
        Kind::EventType => engine.event_type(organization, name)?.declaration,
        Kind::Scheme => super::schemes::own(engine, organization, name)?.declaration,
    })
}

/// Its table.
pub(super) fn table(engine: &Engine, by: &Principal, kind: Kind, name: &str) -> Option<Map<String, Value>> {
    Some(members(declaration(engine, by, kind, name)?.table))
}

pub(super) fn members(table: Value) -> Map<String, Value> {
    match table {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Every place of `table` that has a secret: what for, which is the same in another table, and the pointer to it.
fn secrets_of(table: &Value) -> Vec<(String, String)> {
    let alone = SECRETS.iter().map(|pointer| ((*pointer).to_owned(), (*pointer).to_owned()));
    let scheme = |sign: &Value| sign["scheme"].as_str().unwrap_or_default().to_owned();
    let signs: Vec<_> = match table.get("sign") {
        Some(Value::Array(list)) => {
            list.iter().enumerate().map(|(index, sign)| (scheme(sign), format!("/sign/{index}/secret"))).collect()
        }
        Some(sign) => vec![(scheme(sign), "/sign/secret".to_owned())],
        None => vec![],
    };
    let signs = signs.into_iter().map(|(scheme, pointer)| (format!("sign {scheme}"), pointer));
    // All of a Slack webhook's URL is one.
    let webhook = (table["type"] == "slack").then(|| ("/url".to_owned(), "/url".to_owned()));
    alone.chain(signs).chain(webhook).filter(|(_, pointer)| table.pointer(pointer).is_some()).collect()
}

/// The secret in `table` for the same.
fn secret_for<'t>(table: &'t Value, purpose: &str) -> Option<&'t Value> {
    let (_, pointer) = secrets_of(table).into_iter().find(|(own, _)| own == purpose)?;
    table.pointer(&pointer)
}

/// Secrets that were sent go into the keyring, never into what is kept of the table.
pub(super) fn take_secrets_out(table: &mut Value) {
    for (_, pointer) in secrets_of(table) {
        if let Some(secret) = table.pointer_mut(&pointer) {
            *secret = Value::from(STORED);
        }
    }
}

/// Whether a table says where its secret comes from.
pub(super) fn has_referred_secret(table: &Value) -> bool {
    let is_referred = |pointer: &str| table.pointer(pointer).and_then(Value::as_str).is_some_and(is_reference);
    secrets_of(table).iter().any(|(_, pointer)| is_referred(pointer))
}

/// How a secret is referred to is no difference between two tables: what it is, is compared otherwise.
pub(super) fn settle_secrets(before: &Map<String, Value>, table: &mut Value) {
    let before = Value::Object(before.clone());
    for (purpose, pointer) in secrets_of(table) {
        if let (Some(kept), Some(secret)) = (secret_for(&before, &purpose), table.pointer_mut(&pointer)) {
            *secret = kept.clone();
        }
    }
}

/// A destination that is to be somewhere else does not take along what would be sent there, unless that is said again. Gives
/// the names of what it loses.
pub(super) fn drop_credentials(
    before: &Map<String, Value>,
    patch: &Map<String, Value>,
    table: &mut Map<String, Value>,
) -> Vec<String> {
    let mut dropped = Vec::new();
    if let (true, Some(Value::Object(set))) = (moved(before, table), table.get_mut("set_headers")) {
        let said = patch.get("set_headers").and_then(Value::as_object);
        set.retain(|name, _| {
            let stays = said.is_some_and(|said| said.contains_key(name));
            dropped.extend((!stays).then(|| format!("set_headers.{name}")));
            stays
        });
        if set.is_empty() {
            table.remove("set_headers");
        }
    }
    dropped
}

/// Whether a destination is to be somewhere else: a URL's query says nothing of that.
pub(super) fn moved(before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    let (before, after) = (Value::Object(before.clone()), Value::Object(after.clone()));
    let of_slack = |table: &Value| table["type"] == "slack";
    let place = |table: &Value, pointer: &str| {
        let url = table.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        url.split_once('?').map_or(url, |(place, _)| place).to_owned()
    };
    // Slack's own URL is a secret itself.
    let differs = |pointer: &&str| place(&before, pointer) != place(&after, pointer);
    !(of_slack(&before) && of_slack(&after)) && PLACES.iter().any(differs)
}

/// Puts the URLs that are in force where a table says `stored`.
pub(super) fn put_urls(spec: Option<&DestinationSpec>, table: &mut Map<String, Value>) {
    put(spec, table, PLACES.map(str::to_owned).to_vec());
}

/// Puts the values that are in force where a table says `stored`.
pub(super) fn put_values(spec: Option<&DestinationSpec>, table: &mut Map<String, Value>) {
    put_urls(spec, table);
    let pointers = GROUPS.iter().flat_map(|group| pointers(table, group)).collect();
    put(spec, table, pointers);
}

fn put(spec: Option<&DestinationSpec>, table: &mut Map<String, Value>, pointers: Vec<String>) {
    let mut whole = Value::Object(std::mem::take(table));
    for pointer in pointers {
        if let Some(value) = whole.pointer_mut(&pointer).filter(|value| **value == STORED)
            && let Some(known) = spec.and_then(|spec| in_force(spec, &pointer))
        {
            *value = Value::from(known);
        }
    }
    *table = members(whole);
}

/// Where the values of a table in a table are.
fn pointers(table: &Map<String, Value>, group: &str) -> Vec<String> {
    let names = table.get(group).and_then(Value::as_object).into_iter().flat_map(Map::keys);
    names.map(|name| format!("/{group}/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
}

/// Puts what is in force where a sent table says `stored`, or has the same reference as before without its value.
pub(super) fn fill(
    before: &Map<String, Value>,
    spec: Option<&DestinationSpec>,
    table: &mut Map<String, Value>,
    references: &mut HashMap<String, Zeroizing<String>>,
) {
    let kept = Value::Object(before.clone());
    let mut whole = Value::Object(std::mem::take(table));
    for place in PLACES {
        fill_at(&kept, spec, &mut whole, place, references);
    }
    let is_same = |place: &str| {
        let now = whole.pointer(place);
        kept.pointer(place) == now || now.and_then(Value::as_str).is_some_and(|now| now == in_memory(place))
    };
    let is_elsewhere = !PLACES.iter().all(|place| is_same(place));
    for group in GROUPS {
        // What is stored is not sent elsewhere; the checks say so, where it stands.
        let pointers = whole.as_object().map(|table| pointers(table, group)).unwrap_or_default();
        for pointer in pointers.into_iter().filter(|_| !is_elsewhere) {
            fill_at(&kept, spec, &mut whole, &pointer, references);
        }
    }
    for (purpose, pointer) in secrets_of(&whole) {
        let same = |text: &str| secret_for(&kept, &purpose).and_then(Value::as_str) == Some(text);
        if let Some(Value::String(text)) = whole.pointer_mut(&pointer)
            && is_reference(text)
            && !references.contains_key(text)
            && same(text)
        {
            STORED.clone_into(text);
        }
    }
    if let Value::Object(filled) = whole {
        *table = filled;
    }
}

fn fill_at(
    kept: &Value,
    spec: Option<&DestinationSpec>,
    table: &mut Value,
    pointer: &str,
    references: &mut HashMap<String, Zeroizing<String>>,
) {
    let (Some(Value::String(text)), Some(Value::String(before))) = (table.pointer_mut(pointer), kept.pointer(pointer))
    else {
        return;
    };
    if text != STORED && (text != before || references.contains_key(text)) {
        return;
    }
    if before == STORED {
        if let Some(value) = spec.and_then(|spec| in_force(spec, pointer)) {
            *text = in_memory(pointer);
            references.insert(text.clone(), Zeroizing::new(value.to_owned()));
        }
        return;
    }
    text.clone_from(before);
    if is_reference(before)
        && let Some(value) = spec.and_then(|spec| in_force(spec, pointer))
    {
        references.entry(before.clone()).or_insert_with(|| Zeroizing::new(value.to_owned()));
    }
}

/// What stands, while a table is checked, for a value that is in force and in no table.
fn in_memory(pointer: &str) -> String {
    format!("env:{STORED} {pointer}")
}

/// What stood in a table only while it was checked goes out of it again.
pub(super) fn settle_values(table: &mut Value) {
    let Value::Object(members) = table else { return };
    let places = PLACES.iter().map(|place| (*place).to_owned());
    let places: Vec<_> = places.chain(GROUPS.iter().flat_map(|group| pointers(members, group))).collect();
    for pointer in places {
        if let Some(value) = table.pointer_mut(&pointer).filter(|value| **value == in_memory(&pointer)) {
            *value = Value::from(STORED);
        }
    }
}

/// The value that a destination works with, at a place of its table.
fn in_force<'s>(spec: &'s DestinationSpec, pointer: &str) -> Option<&'s str> {
    let named = |pairs: &'s [(String, String)], name: &str| {
        let name = name.replace("~1", "/").replace("~0", "~");
        pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    };
    match (&spec.kind, pointer.split_once('/')?.1) {
        (DestinationKind::Http(http), "url") => Some(&http.url),
        (DestinationKind::Http(http), rest) => named(&http.set_headers, rest.strip_prefix("set_headers/")?),
        (DestinationKind::Report(report), "api") => Some(&report.api_url),
        (DestinationKind::Command(command), "checkout/base") => command.checkout.as_ref()?.base.as_deref(),
        (DestinationKind::Command(command), rest) => named(&command.environment, rest.strip_prefix("environment/")?),
        (DestinationKind::Report(_) | DestinationKind::Pull(_) | DestinationKind::Slack(_), _) => None,
    }
}

/// A table for somebody else to keep: whatever is not shown is `stored`.
pub(super) fn exported(table: &Value) -> Value {
    hide(&shown(table))
}

fn hide(shown: &Value) -> Value {
    match shown {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), hide(value))).collect())
        }
        Value::Array(items) => items.iter().map(hide).collect(),
        Value::String(text) if text == HIDDEN || text.ends_with(&format!("?{HIDDEN}")) => Value::from(STORED),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("not an object") };
        object
    }

    #[test]
    fn whoever_moves_a_destination_takes_only_the_headers_that_are_said_again() {
        let before = object(json!({ "url": "https://a.test/", "set_headers": { "A": "1", "B": "2" } }));
        let after = |patch: Value| {
            let mut table = before.clone();
            super::super::merge(&mut table, object(patch.clone()));
            drop_credentials(&before, &object(patch), &mut table);
            Value::Object(table)
        };
        assert_eq!(after(json!({ "concurrency": 2 }))["set_headers"], json!({ "A": "1", "B": "2" }));
        assert_eq!(after(json!({ "url": "https://b.test/" })), json!({ "url": "https://b.test/" }));
        let said = after(json!({ "url": "https://b.test/", "set_headers": { "B": "3" } }));
        assert_eq!(said["set_headers"], json!({ "B": "3" }));
        assert_eq!(after(json!({ "set_headers": { "B": "3" } }))["set_headers"], json!({ "A": "1", "B": "3" }));
    }

    #[test]
    fn what_is_stored_is_filled_in_unless_it_would_go_elsewhere() {
        let before = object(json!({
            "url": "https://a.test/?key=1", "set_headers": { "A": "1", "R": "env:R" }, "sign": { "secret": "env:S" },
        }));
        let filled = |table: Value| {
            let (mut table, mut references) = (object(table), HashMap::new());
            fill(&before, None, &mut table, &mut references);
            Value::Object(table)
        };
        let whole =
            json!({ "url": "stored", "set_headers": { "A": "stored", "R": "env:R" }, "sign": { "secret": "env:S" } });
        assert_eq!(
            filled(whole),
            json!({
                "url": "https://a.test/?key=1", "set_headers": { "A": "1", "R": "env:R" }, "sign": { "secret": "stored" },
            })
        );
        let moved = json!({ "url": "https://evil.test/", "set_headers": { "A": "stored" } });
        assert_eq!(filled(moved.clone()), moved);
    }

    #[test]
    fn the_secrets_of_schemes_are_known_whatever_their_order() {
        let before =
            object(json!({ "sign": [{ "scheme": "a", "secret": "env:A" }, { "scheme": "b", "secret": "stored" }] }));
        let mut table = json!({ "sign": [{ "scheme": "b", "secret": "env:B" }, { "scheme": "a", "secret": "env:X" }] });
        settle_secrets(&before, &mut table);
        let expected = json!([{ "scheme": "b", "secret": "stored" }, { "scheme": "a", "secret": "env:A" }]);
        assert_eq!(table["sign"], expected);
        let mut one = object(json!({ "sign": { "scheme": "a", "secret": "env:A" } }));
        fill(&before, None, &mut one, &mut HashMap::new());
        assert_eq!(one["sign"]["secret"], "stored", "without its value, the one that is there");
        take_secrets_out(&mut table);
        assert_eq!(
            table["sign"],
            json!([{ "scheme": "b", "secret": "stored" }, { "scheme": "a", "secret": "stored" }])
        );
    }

    #[test]
    fn an_export_has_no_credential() {
        let table = json!({ "url": "https://a.test/?key=1", "set_headers": { "A": "1", "R": "env:R" }, "secret": "x", "n": [1, { "secret": "x" }] });
        let expected = json!({ "url": "stored", "set_headers": { "A": "stored", "R": "env:R" }, "secret": "stored", "n": [1, { "secret": "stored" }] });
        assert_eq!(exported(&table), expected);
    }
}
