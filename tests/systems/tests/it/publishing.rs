//! Publishing to the real binary: batches, declared types of events, and the files and commands that declare them.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use systems::{Hookward, Receiver, Request, Response, Setup};

const PATIENCE: Duration = Duration::from_secs(20);

const SCHEMA: &str =
    r#"{ "type": "object", "required": ["invoice"], "properties": { "invoice": { "type": "integer" } } }"#;

fn post(server: &Hookward, path: &str, body: &str) -> Response {
    let request = Request::post(path).header("Content-Type", "application/json").body(body.as_bytes());
    server.admin(request).unwrap()
}

fn event_count(server: &Hookward) -> usize {
    server.list("/api/v1/events").unwrap().len()
}

#[test]
fn each_event_of_a_batch_has_its_own_answer_and_its_own_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| 204).unwrap();
    let config = format!(
        "[[destination]]\nname = \"out\"\ntype = \"http\"\nurl = \"env:OUT\"\nallow_addresses = [\"127.0.0.0/8\"]\n\
         [[event_type]]\nname = \"invoice.paid\"\nschema = '{SCHEMA}'\n"
    );
    let server = Setup::new(directory.path(), &config).unwrap().env("OUT", &receiver.url("/")).start().unwrap();
    let batch = r#"{"events":[
        {"type":"invoice.paid","payload":{ "invoice":1, "total":1e2 },"idempotency_key":"k"},
        {"type":"invoice.paid","payload":{"invoice":"x"}},
        {"type":"invoice.paid","payload":{ "invoice":1, "total":1e2 },"idempotency_key":"k"},
        {"type":"invoice.paid","payload":{"invoice":2},"idempotency_key":"k"},
        {"type":"no such type!","payload":1},
        {"type":"other","payload":[ 1 ]},
        {"type":"other"}
    ]}"#;
    let answer = post(&server, "/api/v1/events/batch", batch);
    assert_eq!(answer.status, 207, "{}", answer.text());
    let told = answer.json();
    let results: Vec<&str> =
        told["results"].as_array().unwrap().iter().map(|one| one["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["accepted", "refused", "repeated", "refused", "refused", "accepted", "refused"]);
    assert_eq!((&told["published"], &told["refused"]), (&json!(3), &json!(4)));
    let codes: Vec<&Value> = told["results"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(
        codes,
        [
            &Value::Null,
            &json!("payload_refused"),
            &Value::Null,
            &json!("idempotency_conflict"),
            &json!("invalid_request"),
            &Value::Null,
            &json!("invalid_request")
        ]
    );
    assert_eq!(told["results"][1]["errors"][0]["pointer"], "/invoice");
    assert_eq!(told["results"][2]["eventId"], told["results"][0]["eventId"]);
    assert!(receiver.wait_for(2, PATIENCE));
    let mut bodies: Vec<String> =
        receiver.received().iter().map(|one| String::from_utf8_lossy(one.body()).into_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, ["[ 1 ]", r#"{ "invoice":1, "total":1e2 }"#]);
    assert_eq!(event_count(&server), 2);

    let good = post(&server, "/api/v1/events/batch", r#"{"events":[{"type":"other","payload":2}]}"#);
    assert_eq!(good.status, 202, "{}", good.text());
    for (body, status) in [
        ("{", 400),
        (r#"{"events":[]}"#, 422),
        (r#"{"events":[{"type":"a","payload":1}],"more":1}"#, 422),
        (r#"[{"type":"a","payload":1}]"#, 422),
    ] {
        assert_eq!(post(&server, "/api/v1/events/batch", body).status, status, "{body}");
    }
    let many = |count: usize| format!(r#"{{"events":[{}]}}"#, vec![r#"{"type":"other","payload":3}"#; count].join(","));
    assert_eq!(post(&server, "/api/v1/events/batch", &many(1001)).status, 422);
    let keyed = Request::post("/api/v1/events/batch").header("Content-Type", "application/json");
    let keyed = server.admin(keyed.header("Idempotency-Key", "x").body(many(1).as_bytes())).unwrap();
    assert_eq!(keyed.status, 422, "{}", keyed.text());
    let large = format!(r#"{{"events":[{{"type":"other","payload":"{}"}}]}}"#, "x".repeat(32 << 20));
    assert_eq!(post(&server, "/api/v1/events/batch", &large).status, 413);
    let heavy = format!(r#"{{"events":[{{"type":"other","payload":"{}"}}]}}"#, "x".repeat(26 << 20));
    assert_eq!(post(&server, "/api/v1/events/batch", &heavy).json()["results"][0]["code"], "payload_too_large");
    assert_eq!(post(&server, "/api/v1/events/batch", &many(1000)).status, 202);
}

#[test]
fn a_file_of_events_is_published_line_by_line() {
    let directory = tempfile::tempdir().unwrap();
    let server = Setup::new(directory.path(), "").unwrap().start().unwrap();
    let file = directory.path().join("events.jsonl");
    let lines: String = (0..2500).map(|n| format!("{{\"type\":\"count\",\"payload\":{n}}}\n")).collect();
    fs::write(&file, &lines).unwrap();
    let file = file.display().to_string();
    let printed = server.cli_ok(&["publish", "--batch", &file], b"").unwrap();
    assert_eq!(printed.lines().count(), 2500);
    assert!(printed.starts_with("1: accepted evt_"), "{}", &printed[..80]);
    let output =
        server.cli(&["publish", "--batch", "-"], b"{\"type\":\"a\",\"payload\":1}\n\n{\"type\":\"\",\"payload\":1}\n");
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.lines().nth(1).unwrap().starts_with("3: refused  the event type must be"), "{printed}");
    let output = server.cli(&["publish", "--batch", "-"], b"{\"type\":\"a\",\"payload\":1}\nx\n").unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn types_are_declared_shown_checked_changed_and_removed_by_command() {
    let directory = tempfile::tempdir().unwrap();
    let server = Setup::new(directory.path(), "").unwrap().start().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (schema, good, bad) =
        (write("schema", SCHEMA), write("good", r#"{"invoice":1}"#), write("bad", r#"{"invoice":null}"#));
    let set = ["event-type", "set", "invoice.paid", "--schema", &schema, "--example", &good, "--description", "paid"];
    assert_eq!(server.cli_ok(&set, b"").unwrap().trim_end(), "event type `invoice.paid` is declared");
    let shown: Value =
        serde_json::from_str(&server.cli_ok(&["event-type", "show", "invoice.paid", "--output", "json"], b"").unwrap())
            .unwrap();
    let expected: Value = serde_json::from_str(SCHEMA).unwrap();
    assert_eq!(
        (&shown["schema"], &shown["managed_by"], &shown["example"]),
        (&expected, &json!("api"), &json!({ "invoice": 1 }))
    );
    assert!(server.cli_ok(&["event-type", "list"], b"").unwrap().contains("invoice.paid"));
    for with in [["--type", "invoice.paid"], ["--schema", &schema]] {
        server.cli_ok(&[&["event-type", "check", &good][..], &with].concat(), b"").unwrap();
        let output = server.cli(&[&["event-type", "check", &bad][..], &with].concat(), b"").unwrap();
        assert_eq!(output.status.code(), Some(5), "{output:?}");
        assert!(String::from_utf8(output.stdout).unwrap().starts_with("/invoice: "));
    }
    let refused = post(&server, "/api/v1/events", r#"{"type":"invoice.paid","payload":{"invoice":null}}"#);
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("payload_refused")));
    assert_eq!(refused.json()["errors"][0]["pointer"], "/invoice");
    assert_eq!(event_count(&server), 0);
    let wrong = write("wrong", r#"{ "$ref": "https://example.com/schema.json" }"#);
    let output = server.cli(&["event-type", "set", "x", "--schema", &wrong], b"").unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    // What JSON can say and TOML cannot is kept as well.
    let nothing = server.admin(
        Request::new("PATCH", "/api/v1/event-types/invoice.paid")
            .header("Content-Type", "application/json")
            .body(br#"{"schema":{"const":null},"example":null}"#),
    );
    let nothing = nothing.unwrap();
    assert_eq!((nothing.status, &nothing.json()["schema"]), (200, &json!({ "const": null })), "{}", nothing.text());
    assert_eq!(nothing.json()["description"], "paid");
    assert_eq!(post(&server, "/api/v1/events", r#"{"type":"invoice.paid","payload":null}"#).status, 202);
    server.cli_ok(&["event-type", "set", "invoice.paid", "--no-schema", "--deprecated", "true"], b"").unwrap();
    assert_eq!(post(&server, "/api/v1/events", r#"{"type":"invoice.paid","payload":7}"#).status, 202);
    server.cli_ok(&["event-type", "remove", "invoice.paid"], b"").unwrap();
    assert_eq!(server.cli(&["event-type", "show", "invoice.paid"], b"").unwrap().status.code(), Some(3));
}

#[test]
fn a_file_declares_types_and_an_export_says_them_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = Setup::new(directory.path(), "").unwrap().start().unwrap();
    let schema = directory.path().join("invoice.schema.json");
    fs::write(&schema, SCHEMA).unwrap();
    let file = directory.path().join("types.toml");
    let table = format!("[[event_type]]\nname = \"invoice.paid\"\nschema = \"file:{}\"\n", schema.display());
    fs::write(&file, &table).unwrap();
    let file = file.display().to_string();
    let plan = server.cli(&["plan", "-f", &file], b"").unwrap();
    assert_eq!(plan.status.code(), Some(10), "{plan:?}");
    assert!(String::from_utf8(plan.stdout).unwrap().starts_with("+ event_type `invoice.paid`"));
    server.cli_ok(&["apply", "-f", &file, "--yes"], b"").unwrap();
    server.cli_ok(&["plan", "-f", &file], b"").unwrap();
    let export = server.cli_ok(&["export"], b"").unwrap();
    assert!(export.contains("[[event_type]]") && export.contains("file:"), "{export}");
    assert_eq!(post(&server, "/api/v1/events", r#"{"type":"invoice.paid","payload":{}}"#).status, 422);
    // Another schema in the same file is a change.
    fs::write(&schema, "{}").unwrap();
    assert_eq!(server.cli(&["plan", "-f", &file], b"").unwrap().status.code(), Some(10));
    server.cli_ok(&["apply", "-f", &file, "--yes"], b"").unwrap();
    assert_eq!(post(&server, "/api/v1/events", r#"{"type":"invoice.paid","payload":{}}"#).status, 202);
    let removed = server.admin(Request::new("DELETE", "/api/v1/event-types/invoice.paid")).unwrap();
    assert_eq!(removed.status, 409, "{}", removed.text());
}

#[test]
fn types_that_nobody_declared_are_refused_where_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let config = "[publishing]\nundeclared_types = \"refuse\"\n[[event_type]]\nname = \"known\"\n";
    let server = Setup::new(directory.path(), config).unwrap().start().unwrap();
    assert_eq!(post(&server, "/api/v1/events", r#"{"type":"known","payload":1}"#).status, 202);
    let refused = post(&server, "/api/v1/events", r#"{"type":"unknown","payload":1}"#);
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("invalid_request")));
    assert!(refused.text().contains("there is no event type `unknown`"), "{}", refused.text());
    assert_eq!(event_count(&server), 1);
}
