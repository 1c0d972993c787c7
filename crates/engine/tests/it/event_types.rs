//! Declared types of events: which schemas are taken, which payloads fit, what a publisher is told.

use bytes::Bytes;
use hookward_engine::event_types::{CHECKED_PAYLOAD_MAX, Misfit, SCHEMA_MAX, check_payload};
use hookward_engine::model::{EventTypeSpec, Manager, Principal};
use hookward_engine::{Authority, Declared, DeclaredEventType, EngineError, Kind, Publish, PublishError, Published};
use serde_json::{Value, json};

use crate::support::Rig;
use crate::{ORG, by};

fn event_type(name: &str, schema: Value) -> DeclaredEventType {
    let spec = EventTypeSpec { schema: Some(schema.clone()), ..EventTypeSpec::default() };
    DeclaredEventType { name: name.to_owned(), spec, table: json!({ "schema": schema.to_string() }) }
}

fn declared(types: Vec<DeclaredEventType>) -> Declared {
    Declared { event_types: types, ..Declared::default() }
}

fn invoice() -> DeclaredEventType {
    event_type(
        "invoice.paid",
        json!({
            "type": "object", "required": ["id", "amount"],
            "properties": { "id": { "type": "string" }, "amount": { "type": "integer", "minimum": 1 } },
        }),
    )
}

async fn publish(rig: &Rig, event_type: &str, payload: &str) -> Result<Published, PublishError> {
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    let event_type = event_type.to_owned();
    rig.engine.publish(Publish { event_type, payload, idempotency_key: None, by: by("api") }).await
}

fn refused(schema: &Value, payload: &str) -> Vec<(String, String)> {
    let misfits = check_payload(schema, payload.as_bytes()).expect("a schema that is taken").expect_err("it fits");
    misfits.into_iter().map(|Misfit { pointer, message }| (pointer, message)).collect()
}

#[tokio::test]
async fn a_payload_that_does_not_fit_is_refused_with_the_places_and_nothing_is_stored() {
    let rig = Rig::new(declared(vec![invoice()])).await;
    let error = publish(&rig, "invoice.paid", r#"{"id":7,"amount":0}"#).await.unwrap_err();
    let PublishError::Misfits(misfits) = error else { panic!("{error}") };
    let mut pointers: Vec<_> = misfits.iter().map(|misfit| misfit.pointer.as_str()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/amount", "/id"]);
    let told = PublishError::Misfits(misfits).to_string();
    assert!(told.contains("`/amount`: value is less than the minimum of 1"), "{told}");
    let error = publish(&rig, "invoice.paid", r#"{"id":"x"}"#).await.unwrap_err();
    assert!(error.to_string().contains("\"amount\" is a required property"), "{error}");
    assert_eq!(rig.engine.store().event_position(None).await.unwrap(), 0);
    publish(&rig, "invoice.paid", r#"{"id":"x","amount":3}"#).await.unwrap();
    // A type that nobody declared is like any other.
    publish(&rig, "invoice.void", "7").await.unwrap();
    assert_eq!(rig.engine.store().event_position(None).await.unwrap(), 2);
}

#[tokio::test]
async fn types_come_change_and_go_with_their_file_and_not_over_the_api() {
    let rig = Rig::new(declared(vec![invoice()])).await;
    let kept = rig.engine.event_type(ORG, "invoice.paid").unwrap();
    assert_eq!((kept.declaration.manager, kept.spec), (Manager::File, invoice().spec));
    let error = rig.engine.retire(&by("api"), Kind::EventType, "invoice.paid").await.unwrap_err();
    assert!(matches!(error, EngineError::Conflict(_)), "{error}");
    let rig = rig.restart().await;
    publish(&rig, "invoice.paid", "{}").await.unwrap_err();
    let whose = Principal::config();
    let file = |types| rig.engine.declare(&whose, Authority::ServedFile, types);
    file(declared(vec![event_type("invoice.paid", json!({}))])).await.unwrap();
    publish(&rig, "invoice.paid", "{}").await.unwrap();
    let planned = file(declared(vec![])).await.unwrap();
    assert_eq!((planned.len(), planned[0].kind, planned[0].name.as_str()), (1, Kind::EventType, "invoice.paid"));
    assert_eq!(rig.engine.event_types(ORG), []);
    // The API's own may go again.
    rig.engine.declare(&by("api"), Authority::Creation, declared(vec![invoice()])).await.unwrap();
    let twice = rig.engine.declare(&by("api"), Authority::Creation, declared(vec![invoice()])).await.unwrap_err();
    assert_eq!(twice.to_string(), "there is a event_type `invoice.paid` already");
    rig.engine.retire(&by("api"), Kind::EventType, "invoice.paid").await.unwrap();
    assert_eq!(rig.engine.event_type(ORG, "invoice.paid"), None);
}

#[tokio::test]
async fn what_cannot_be_declared_is_told_when_it_is_declared() {
    let rig = Rig::new(Declared::default()).await;
    let refused = async |one: DeclaredEventType| {
        let declaring = rig.engine.declare(&by("api"), Authority::Creation, declared(vec![one])).await;
        declaring.unwrap_err().to_string()
    };
    let named = |name: &str| DeclaredEventType { name: name.to_owned(), ..invoice() };
    for name in ["", "a b", "é", &"x".repeat(257)] {
        let told = refused(named(name)).await;
        assert!(told.contains("a type is 1 to 256 characters"), "{told}");
    }
    let mut wrong = invoice();
    wrong.spec.example = Some(json!({ "id": 7, "amount": 1 }));
    let told = refused(wrong).await;
    assert_eq!(
        told,
        "event type `invoice.paid`: its example does not fit its schema: `/id`: value is not of type \"string\""
    );
    let told = refused(event_type("x", json!({ "type": "objekt" }))).await;
    assert!(told.starts_with("event type `x`: its schema cannot be used: `/type`: "), "{told}");
    let long = EventTypeSpec { description: "x".repeat(4097), ..EventTypeSpec::default() };
    let told = refused(DeclaredEventType { name: "x".to_owned(), spec: long, table: json!({}) }).await;
    assert!(told.contains("at most 4096 bytes"), "{told}");
}

#[test]
fn both_drafts_are_taken_and_no_other() {
    let tuple = |schema: &str, keyword: &str| json!({ "$schema": schema, keyword: [{ "type": "integer" }] });
    for schema in [
        tuple("https://json-schema.org/draft/2020-12/schema", "prefixItems"),
        tuple("http://json-schema.org/draft-07/schema#", "items"),
    ] {
        assert_eq!(refused(&schema, "[\"x\"]")[0].0, "/0", "{schema}");
        assert_eq!(check_payload(&schema, b"[1, \"x\"]"), Ok(Ok(())));
    }
    for other in ["http://json-schema.org/draft-04/schema#", "https://example.com/mine", "x"] {
        let problem = check_payload(&json!({ "$schema": other }), b"1").unwrap_err();
        assert_eq!(problem.pointer, "/$schema", "{other}");
    }
}

#[test]
fn a_schema_refers_only_to_itself() {
    for reference in ["https://example.com/s", "other.json", "file:///etc/passwd", "#/nowhere", "#nowhere", "#/type"] {
        let schema = json!({ "type": "object", "properties": { "a": { "$ref": reference } } });
        let problem = check_payload(&schema, b"{}").unwrap_err();
        assert_eq!(problem.pointer, "/properties/a/$ref", "{problem}");
    }
    let own = json!({
        "$ref": "#/$defs/a~1b%20c",
        "$defs": { "a/b c": { "$anchor": "mine", "type": "array", "items": { "$ref": "#mine" } } },
    });
    assert_eq!(check_payload(&own, b"[[[]]]"), Ok(Ok(())));
    assert_eq!(refused(&own, "[[7]]")[0].0, "/0/0");
    let elsewhere = json!({ "properties": { "a": { "$id": "https://example.com/s" } } });
    assert!(check_payload(&elsewhere, b"{}").is_err());
}

#[test]
fn a_schema_that_does_not_end_or_grows_without_end_is_refused() {
    let itself = [
        json!({ "$ref": "#" }),
        json!({ "allOf": [{ "$ref": "#" }] }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "not": { "$ref": "#/$defs/b" } }, "b": { "anyOf": [{ "$ref": "#/$defs/a" }] } } }),
        json!({ "properties": { "x": { "$dynamicRef": "#t", "$dynamicAnchor": "t" } } }),
    ];
    for schema in itself {
        let problem = check_payload(&schema, b"{}").unwrap_err();
        assert!(problem.message.contains("back to itself"), "{schema}: {problem}");
    }
    // Each definition refers twice to the next one.
    let mut definitions = serde_json::Map::new();
    for n in 0..40 {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        definitions.insert(format!("d{n}"), json!({ "properties": { "a": next, "b": next } }));
    }
    definitions.insert("d40".to_owned(), json!({}));
    let problem = check_payload(&json!({ "$ref": "#/$defs/d0", "$defs": definitions }), b"{}").unwrap_err();
    assert!(problem.message.contains("too large"), "{problem}");
    let mut deep = json!({});
    for _ in 0..33 {
        deep = json!({ "allOf": [deep] });
    }
    assert!(check_payload(&deep, b"{}").unwrap_err().message.contains("too deep"));
    let long = |bytes: usize| json!({ "description": "x".repeat(bytes - 18) });
    assert_eq!(check_payload(&long(SCHEMA_MAX), b"1"), Ok(Ok(())));
    assert!(check_payload(&long(SCHEMA_MAX + 1), b"1").is_err());
}

#[test]
fn expressions_are_bounded() {
    assert!(check_payload(&json!({ "pattern": "(?<=x)y" }), b"1").is_err());
    assert!(check_payload(&json!({ "pattern": "x".repeat(1025) }), b"1").is_err());
    assert!(check_payload(&json!({ "pattern": "((a{1,100}){1,100}){1,100}" }), b"1").is_err());
    let many = |count: usize| json!({ "allOf": vec![json!({ "pattern": "^a" }); count] });
    assert!(check_payload(&many(100), b"1").is_ok());
    assert!(check_payload(&many(101), b"1").is_err());
    // What makes a backtracking matcher run for ever.
    let evil = json!({ "pattern": "^(a+)+$" });
    assert_eq!(refused(&evil, &format!("\"{}!\"", "a".repeat(50_000))).len(), 1);
}

#[test]
fn an_evaluation_that_takes_too_long_is_given_up() {
    let unique =
        json!({ "items": { "uniqueItems": true }, "allOf": vec![json!({ "items": { "uniqueItems": true } }); 20] });
    let numbers: Vec<String> = (0..200).map(|n| format!("[{n}]")).collect();
    let lists = format!("[{}]", vec![format!("[{}]", numbers.join(",")); 400].join(","));
    let whole = refused(&unique, &lists);
    assert_eq!((whole.len(), whole[0].0.as_str()), (1, ""));
    assert!(whole[0].1.contains("too long"), "{whole:?}");
    // Every name is held against every expression.
    let names: serde_json::Map<_, _> = (0..100).map(|n| (format!("^{n}"), json!({ "type": "null" }))).collect();
    let patterns = json!({ "items": { "patternProperties": names } });
    let objects = format!("[{}]", vec![r#"{"a":1,"b":2,"c":3}"#; 40_000].join(","));
    assert!(refused(&patterns, &objects)[0].1.contains("too long"));
}

#[test]
fn a_deep_or_large_payload_is_refused_and_the_stack_holds() {
    let tree = json!({ "$ref": "#/$defs/t", "$defs": { "t": {
        "anyOf": [{ "allOf": [{ "allOf": [{ "allOf": [{ "type": "array", "items": { "$ref": "#/$defs/t" } }] }] }] }, { "type": "null" }],
        "unevaluatedItems": false,
    } } });
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let told = refused(&tree, &nested(128));
    assert!(told[0].1.contains("recursion limit"), "{told:?}");
    let fits = check_payload(&tree, nested(100).as_bytes()).unwrap();
    assert!(fits.is_ok() || fits.unwrap_err()[0].message.contains("too long"));
    let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
    assert_eq!(check_payload(&json!({}), text(CHECKED_PAYLOAD_MAX).as_bytes()), Ok(Ok(())));
    assert!(refused(&json!({}), &text(CHECKED_PAYLOAD_MAX + 1))[0].1.contains("at most"));
}

#[test]
fn many_misfits_are_told_a_few_at_a_time() {
    let schema = json!({ "items": { "type": "integer" } });
    assert_eq!(refused(&schema, &format!("[{}]", vec!["\"x\""; 50].join(","))).len(), 10);
    // So many that only the first is looked for.
    assert_eq!(refused(&schema, &format!("[{}]", vec!["\"x\""; 50_000].join(","))).len(), 1);
}
