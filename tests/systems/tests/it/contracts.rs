//! What others script against: exit statuses, what is printed, what a payload looks like when it arrives.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use systems::github::signature;
use systems::{Hookward, Receiver, Request, Setup};

const PATIENCE: Duration = Duration::from_secs(20);

/// The binary without a server: `verify`, `sign`, `schemes`.
fn offline(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let setup = Setup::new(directory, "").unwrap();
    let output = setup.command().current_dir(directory).args(arguments).output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(printed).unwrap())
}

#[test]
fn verify_says_verified_and_0_or_why_not_and_5() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    write("secret", b"It's a Secret to Everybody\n");
    write("body", b"Hello, World!");
    write("headers", b"X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n");
    let verify = |body: &str| {
        let arguments =
            ["verify", "--scheme", "github", "--secret-file", "secret", "--headers", "headers", "--body", body];
        offline(directory.path(), &arguments)
    };
    let (status, printed) = verify("body");
    assert_eq!(status, Some(0), "{printed}");
    assert!(printed.starts_with("verified "), "{printed}");

    write("changed", b"Hello, World?");
    let (status, printed) = verify("changed");
    assert_eq!(status, Some(5), "{printed}");
    assert!(printed.contains("refused: signature-mismatch"), "{printed}");
}

#[test]
fn sign_prints_header_lines_that_others_accept() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("secret"), "s3cret").unwrap();
    fs::write(directory.path().join("body"), "{}").unwrap();
    let arguments = ["sign", "--scheme", "github", "--secret-file", "secret", "--body", "body"];
    let (status, printed) = offline(directory.path(), &arguments);
    assert_eq!(status, Some(0), "{printed}");
    let wanted = format!("x-hub-signature-256: {}", signature(b"s3cret", b"{}"));
    assert!(printed.lines().any(|line| line.eq_ignore_ascii_case(&wanted)), "{printed}");
}

#[test]
fn schemes_are_listed_as_json_with_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let (status, printed) = offline(directory.path(), &["schemes", "list", "--output", "json"]);
    assert_eq!(status, Some(0), "{printed}");
    let Value::Array(schemes) = serde_json::from_str(&printed).unwrap() else { panic!("not an array: {printed}") };
    let names: Vec<&str> = schemes.iter().filter_map(|scheme| scheme["name"].as_str()).collect();
    for name in [
        "github",
        "github-sha1",
        "gitlab-token",
        "gitlab",
        "standard-webhooks",
        "standard-webhooks-ed25519",
        "stripe",
        "slack",
        "shopify",
        "twilio",
        "qlens",
        "qualifio",
        "qflow",
        "bearer",
        "basic",
    ] {
        assert!(names.contains(&name), "no `{name}` in {names:?}");
    }
}

fn outbound(directory: &Path, receiver: &Receiver) -> (Setup, Hookward) {
    let config = "[[destination]]\nname = \"receiver\"\ntype = \"http\"\nurl = \"env:OUT_URL\"\n\
                  sign = { scheme = \"qlens\", secret = \"env:OUT_SECRET\" }\nallow_addresses = [\"127.0.0.0/8\"]\n";
    let setup =
        Setup::new(directory, config).unwrap().env("OUT_URL", &receiver.url("/")).env("OUT_SECRET", "out-secret");
    let server = setup.start().unwrap();
    (setup, server)
}

#[test]
fn a_published_payload_arrives_as_it_stood_and_signed() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| 204).unwrap();
    let (_, server) = outbound(directory.path(), &receiver);
    let request = Request::post("/api/v1/events")
        .header("Content-Type", "application/json")
        .header("Idempotency-Key", "once")
        .body(br#"{"type":"invoice.paid","payload": { "total":12.50 , "total":1e2 } }"#);
    let first = server.admin(request.clone()).unwrap();
    assert_eq!(first.status, 202, "{}", first.text());
    assert_eq!(server.admin(request).unwrap().json(), first.json());

    assert!(receiver.wait_for(1, PATIENCE));
    let delivered = receiver.received().remove(0);
    assert_eq!(delivered.body(), br#"{ "total":12.50 , "total":1e2 }"#);
    assert_eq!(delivered.header("content-type"), Some("application/json"));
    assert_eq!(delivered.header("x-qlens-signature"), Some(signature(b"out-secret", delivered.body()).as_str()));

    let event = first.json()["eventId"].as_str().unwrap().to_owned();
    server.cli_ok(&["event", "redeliver", &event], b"").unwrap();
    assert!(receiver.wait_for(2, PATIENCE), "a redelivery did not arrive");
}

#[test]
fn addresses_are_written_and_sigterm_ends_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| 204).unwrap();
    let (setup, server) = outbound(directory.path(), &receiver);
    let written: Value = serde_json::from_slice(&fs::read(setup.data().join("addresses.json")).unwrap()).unwrap();
    assert_eq!(written["public"], server.public.to_string());
    assert_eq!(written["admin"], server.admin.to_string());
    assert_eq!(
        server.public(&Request::get("/api/v1/events")).unwrap().status,
        404,
        "the API is on the public listener"
    );
    assert!(server.terminate().unwrap().success());
}
