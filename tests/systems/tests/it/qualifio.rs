//! `examples/qualifio`: a secret that the user brings, HTTP Basic beside the signature or alone. What receivers in Node and
//! Python make of it is in `cargo xtask receivers`.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use systems::canary::Search;
use systems::github::signature;
use systems::server::repository;
use systems::{Canary, Hookward, Received, Receiver, Request, Setup};
use tempfile::TempDir;

const SECRET: &str = "qualifio-canary/5d1f+0c7a";
const BASIC: &str = "hookward:basic-canary/91be+77d2";
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    server: Hookward,
    receiver: Receiver,
    directory: TempDir,
}

impl World {
    /// The example, or this configuration in its place. The receiver fails the first attempt of what is to be sent twice.
    fn start(config: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(|received| match received.header("hookward-attempt") {
            Some("1") if received.body() == b"\"twice\"" => 500,
            _ => 204,
        });
        let receiver = receiver.unwrap();
        let setup = match config {
            None => Setup::with_config_file(directory.path(), &repository("examples/qualifio/hookward.toml")),
            Some(config) => Setup::new(directory.path(), config),
        };
        let setup = setup
            .unwrap()
            .env("QUALIFIO_SECRET", SECRET)
            .env("QUALIFIO_BASIC", BASIC)
            .env("QUALIFIO_RECEIVER_URL", &receiver.url("/hooks"))
            .env("HOOKWARD_LOG", "debug");
        Self { server: setup.start().unwrap(), receiver, directory }
    }

    fn publish(&self, payload: &str) {
        let body = format!(r#"{{"type":"entry.made","payload":{payload}}}"#);
        let request = Request::post("/api/v1/events").header("Content-Type", "application/json").body(body.as_bytes());
        assert_eq!(self.server.admin(request).unwrap().status, 202);
    }

    /// What came, which has to have the right Authorization.
    fn received(&self, index: usize) -> Received {
        assert!(self.receiver.wait_for(index + 1, PATIENCE), "the receiver got only {}", self.receiver.count());
        let received = self.receiver.received()[index].clone();
        assert_eq!(received.message.headers_named("authorization"), [format!("Basic {}", STANDARD.encode(BASIC))]);
        received
    }

    fn import(&self, secret: &str) {
        let arguments = ["secret", "rotate", "receiver", "--file", "-", "--yes"];
        self.server.cli_ok(&arguments, secret.as_bytes()).unwrap();
    }
}

#[track_caller]
fn assert_signed(received: &Received, secret: &str) {
    let expected = signature(secret.as_bytes(), received.body());
    assert_eq!(received.message.headers_named("x-qualifio-signature"), [expected]);
}

#[test]
fn what_the_user_brings_signs_the_very_next_attempt_and_retries_of_older_events() {
    let world = World::start(None);
    world.publish("1");
    assert_signed(&world.received(0), SECRET);
    world.publish("\"twice\"");
    assert_signed(&world.received(1), SECRET);
    world.import("brought-by-the-user");
    world.publish("2");
    assert_signed(&world.received(2), "brought-by-the-user");
    let retried = world.received(3);
    assert_eq!(retried.body(), b"\"twice\"");
    assert_signed(&retried, "brought-by-the-user");
    let revealed = world.server.cli_ok(&["secret", "reveal", "receiver"], b"").unwrap();
    assert_eq!(revealed.trim(), "brought-by-the-user");
}

#[test]
fn without_the_line_that_signs_there_is_no_signature_and_it_is_said() {
    let config = std::fs::read_to_string(repository("examples/qualifio/hookward.toml")).unwrap();
    let unsigned: Vec<&str> = config.lines().filter(|line| !line.starts_with("sign = ")).collect();
    assert_eq!(unsigned.len() + 1, config.lines().count());
    let world = World::start(Some(&unsigned.join("\n")));
    world.publish("1");
    assert_eq!(world.received(0).header("x-qualifio-signature"), None);
    let shown = world.server.get("/api/v1/destinations/receiver").unwrap();
    assert_eq!((&shown["signing"], &shown["authentication"]), (&json!([]), &json!(["basic"])));
}

#[test]
fn neither_secret_is_written_anywhere() {
    let world = World::start(None);
    world.publish("1");
    world.received(0);
    let canaries = [
        Canary::new("QUALIFIO_SECRET", SECRET),
        Canary::new("QUALIFIO_BASIC", BASIC),
        Canary::new("the password", BASIC.split(':').nth(1).unwrap()),
    ];
    let mut search = Search::default();
    for path in ["/api/v1/deliveries", "/api/v1/events", "/api/v1/audit", "/api/v1/destinations"] {
        let list = world.server.list(path).unwrap();
        search.look_at(path, json!(list).to_string().as_bytes(), &canaries);
    }
    for delivery in world.server.list("/api/v1/deliveries").unwrap() {
        let path = format!("/api/v1/deliveries/{}", delivery["id"].as_str().unwrap());
        search.look_at(&path, world.server.get(&path).unwrap().to_string().as_bytes(), &canaries);
    }
    search.look_through(Path::new(world.directory.path()), &canaries).unwrap();
    assert!(search.files > 8 && search.found.is_empty(), "{:?}", search.found);
}
