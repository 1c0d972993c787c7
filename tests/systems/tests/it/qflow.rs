//! `examples/qflow`: a subscription's secret is seen and replaced, and what is sent meanwhile is signed by both. What receivers
//! make of it, and the end of the seven days, is in `cargo xtask receivers`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use systems::github::hmac_sha256;
use systems::server::repository;
use systems::world::unix_seconds;
use systems::{Hookward, Received, Receiver, Request, Setup};
use tempfile::TempDir;

const KEY: &[u8] = b"qflow-canary/5d1f+0c7a";
const PATIENCE: Duration = Duration::from_secs(30);

struct World {
    server: Hookward,
    receiver: Receiver,
    _directory: TempDir,
}

impl World {
    /// The receiver fails once, then takes everything.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(|received| match received.header("hookward-attempt") {
            Some("1") if received.body() == b"\"twice\"" => 500,
            _ => 204,
        });
        let receiver = receiver.unwrap();
        let setup = Setup::with_config_file(directory.path(), &repository("examples/qflow/hookward.toml"))
            .unwrap()
            .env("QFLOW_SECRET", &STANDARD.encode(KEY))
            .env("QFLOW_RECEIVER_URL", &receiver.url("/hooks"));
        Self { server: setup.start().unwrap(), receiver, _directory: directory }
    }

    fn publish(&self, payload: &str) {
        let body = format!(r#"{{"type":"flow.changed","payload":{payload}}}"#);
        let request = Request::post("/api/v1/events").header("Content-Type", "application/json").body(body.as_bytes());
        assert_eq!(self.server.admin(request).unwrap().status, 202);
    }

    fn received(&self, index: usize) -> Received {
        assert!(self.receiver.wait_for(index + 1, PATIENCE), "the receiver got only {}", self.receiver.count());
        self.receiver.received()[index].clone()
    }
}

/// One entry for each key, newest first, over the request's own id and time.
fn signature(received: &Received, keys: &[&[u8]]) -> String {
    let header = |name| received.header(name).unwrap();
    let content = format!("{}.{}.", header("Qflow-Request-Id"), header("Qflow-TimeStamp"));
    let content = [content.as_bytes(), received.body()].concat();
    let entry = |key: &&[u8]| format!("sha256={}", STANDARD.encode(hmac_sha256(key, &content)));
    keys.iter().map(entry).collect::<Vec<_>>().join(",")
}

#[test]
fn a_secret_is_seen_and_replaced_and_both_sign() {
    let world = World::start();
    let reveal = || world.server.cli_ok(&["secret", "reveal", "receiver"], b"").unwrap().trim().to_owned();
    assert_eq!(reveal(), STANDARD.encode(KEY));
    world.publish(r#"{"a" : 1}"#);
    let first = world.received(0);
    assert_eq!(first.header("Qflow-Signature").unwrap(), signature(&first, &[KEY]));
    let timestamp: u64 = first.header("Qflow-TimeStamp").unwrap().parse().unwrap();
    assert!(unix_seconds().abs_diff(timestamp / 1000) < 60, "{timestamp} is not now in milliseconds");

    let refused = world.server.cli(&["secret", "rotate", "receiver", "--generate"], b"").unwrap();
    assert!(!refused.status.success(), "a rotation without confirmation");
    world.server.cli_ok(&["secret", "rotate", "receiver", "--generate", "--yes"], b"").unwrap();
    let new = STANDARD.decode(reveal()).unwrap();
    assert!(new.len() >= 32, "{} bytes", new.len());
    world.publish("2");
    let second = world.received(1);
    assert_eq!(second.header("Qflow-Signature").unwrap(), signature(&second, &[&new, KEY]));
    let secrets = world.server.get("/api/v1/destinations/receiver/secrets").unwrap();
    let ends: Vec<bool> = secrets["items"].as_array().unwrap().iter().map(|one| one["not_after"].is_string()).collect();
    assert_eq!((ends, &secrets["items"][1]["state"]), (vec![false, true], &json!("live")));
}

#[test]
fn a_retry_has_the_same_id_and_a_time_and_signature_of_its_own() {
    let world = World::start();
    world.publish("\"twice\"");
    let (first, again) = (world.received(0), world.received(1));
    assert_eq!(first.header("Qflow-Request-Id"), again.header("Qflow-Request-Id"));
    assert_ne!(first.header("Qflow-TimeStamp"), again.header("Qflow-TimeStamp"));
    for received in [&first, &again] {
        assert_eq!(received.header("Qflow-Signature").unwrap(), signature(received, &[KEY]));
    }
}
