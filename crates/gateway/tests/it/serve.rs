//! Starting and ending.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use hookward_engine::store::sqlite;
use hookward_gateway::config::Config;
use hookward_gateway::start;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Gateway, SOURCES, keep_in, read_until, send};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_is_in_flight_finishes_and_nothing_more_is_taken() {
    let gateway = Gateway::start(SOURCES).await;
    let public = gateway.running.public();
    let mut busy = TcpStream::connect(public).await.unwrap();
    busy.write_all(b"POST /in/open HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .await
        .unwrap();
    read_until(&mut busy, "100 Continue").await;
    let mut idle = TcpStream::connect(public).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    read_until(&mut idle, "ok").await;
    let stopping = tokio::spawn(gateway.running.stop());
    let closed = crate::support::read_all(&mut idle).await;
    assert_eq!(closed, "", "an idle connection ends at once");
    assert!(TcpStream::connect(public).await.is_err(), "no new connection is accepted");
    busy.write_all(b"ok").await.unwrap();
    let answer = read_until(&mut busy, "}").await;
    assert!(answer.contains("HTTP/1.1 202"), "{answer}");
    assert!(stopping.await.unwrap(), "everything finished in time");
}

#[tokio::test]
async fn events_and_secrets_are_there_after_a_restart() {
    let gateway = Gateway::start(SOURCES).await;
    let accepted = gateway.push("u1", b"{}").await.json();
    let gateway = gateway.restart(SOURCES).await;
    let again = gateway.push("u1", b"{}").await;
    assert_eq!((again.status, &again.json()["eventId"]), (200, &accepted["eventId"]));
    assert_eq!(gateway.get("/sources/github/secrets").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_data_directory_is_its_owners_alone() {
    let gateway = Gateway::start(SOURCES).await;
    let data = gateway.directory.path().join("data");
    assert_eq!(mode(&data), 0o700);
    for entry in std::fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    let addresses: Value = serde_json::from_slice(&std::fs::read(data.join("addresses.json")).unwrap()).unwrap();
    let (public, admin) = (gateway.running.public().to_string(), gateway.running.admin().to_string());
    assert_eq!(addresses, json!({ "public": public, "admin": admin }));
}

#[tokio::test]
async fn without_a_key_one_is_made_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for _ in 0..2 {
        let mut config =
            Config::parse("public.address = \"127.0.0.1:0\"\nadmin.address = \"127.0.0.1:0\"", "c", &|_| None).unwrap();
        keep_in(&mut config, &directory.path().join("data"));
        let running = start(config).await.unwrap();
        let key = std::fs::read_to_string(running.api_key_file()).unwrap();
        assert_eq!(mode(running.api_key_file()), 0o600);
        let bearer = format!("Bearer {}", key.trim_end());
        let answer = send(running.admin(), "GET", "/api/v1/sources", &[("authorization", &bearer)], b"").await;
        assert_eq!(answer.status, 200);
        assert!(running.stop().await);
        keys.push(key);
    }
    assert_eq!(keys[0], keys[1]);
    assert!(keys[0].len() > 50, "{} random characters", keys[0].len());
}

#[tokio::test]
async fn keys_begin_with_what_the_file_says() {
    const NAMED: &str = "[admin]\nkey_prefix = \"qlens\"\n";
    let made = async |gateway: &Gateway, name: &str| {
        let wanted = json!({ "name": name, "scopes": ["read"] }).to_string();
        gateway.api("POST", "/keys", &wanted).await.json()["key"].as_str().unwrap().to_owned()
    };
    let gateway = Gateway::start("").await;
    let first = made(&gateway, "first").await;
    let gateway = gateway.restart(NAMED).await;
    assert!(made(&gateway, "second").await.starts_with("qlens_"));
    let bearer = format!("Bearer {first}");
    let answer = send(gateway.running.admin(), "GET", "/api/v1/sources", &[("authorization", &bearer)], b"").await;
    assert_eq!(answer.status, 200, "one that was made before is as good as ever");
    // Saying it again is no change; saying nothing leaves it.
    let gateway = gateway.restart(NAMED).await;
    let gateway = gateway.restart("").await;
    assert!(made(&gateway, "third").await.starts_with("qlens_"));
    let audit = gateway.get("/audit").await;
    let changes = audit["items"].as_array().unwrap().iter().filter(|row| row["action"] == "organization.update");
    assert_eq!(changes.count(), 1);
}

#[tokio::test]
async fn a_start_that_cannot_be_names_what_to_look_at() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let mut config = Config::defaults();
    config.settings.data = file.join("data");
    let error = start(config).await.unwrap_err().to_string();
    assert!(error.contains("a-file/data"), "{error}");

    let gateway = Gateway::start(SOURCES).await;
    let mut config = Config::defaults();
    keep_in(&mut config, &directory.path().join("data"));
    config.settings.public = gateway.running.public();
    let error = start(config).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {}", gateway.running.public())), "{error}");
}

#[tokio::test]
async fn a_first_start_that_ended_before_there_was_a_key_leaves_that_to_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    drop(sqlite::open(&data).unwrap());
    let gateway = Gateway::start_in(directory, SOURCES).await;
    assert!(data.join("master.key").exists());
    assert_eq!(gateway.push("u1", b"{}").await.status, 202);
}

#[tokio::test]
async fn a_lost_master_key_is_not_replaced_by_a_new_one_and_keeps_nothing_else_from_starting() {
    let gateway = Gateway::start(SOURCES).await;
    let data = gateway.directory.path().join("data");
    gateway.running.stop().await;
    std::fs::remove_file(data.join("master.key")).unwrap();
    let mut config = Config::defaults();
    keep_in(&mut config, &data);
    config.settings.public = ([127, 0, 0, 1], 0).into();
    config.settings.admin = ([127, 0, 0, 1], 0).into();
    let running = start(config).await.unwrap();
    assert!(!data.join("master.key").exists());
    assert!(running.engine().kms_status().await.unwrap().key_id.ends_with(":missing"));
    running.stop().await;
}
