//! `hookward db`, as an operator types it: a database looked at, moved to PostgreSQL and back, killed in the middle, saved.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;
use serde_json::Value;
use systems::database;

use crate::support::{Gateway, SOURCES};

/// A database of its own in the cluster that `HOOKWARD_TEST_POSTGRES` names.
pub(crate) struct Database {
    cluster: String,
    name: String,
}

impl Database {
    #[expect(clippy::disallowed_methods, reason = "a test is told where the cluster is")]
    pub(crate) fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(cluster) = std::env::var("HOOKWARD_TEST_POSTGRES") else {
            eprintln!("skipped: `HOOKWARD_TEST_POSTGRES` names no PostgreSQL; `cargo xtask ci` starts one");
            return None;
        };
        let name = format!("test_db_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let database = Self { cluster, name };
        database.maintain(&format!("create database {}", database.name));
        Some(database)
    }

    pub(crate) fn address(&self) -> String {
        format!("{} dbname={}", self.cluster, self.name)
    }

    fn maintain(&self, sql: &str) {
        let said = Command::new("psql").args([&self.cluster, "-qAtc", sql]).output().expect("psql");
        assert!(said.status.success(), "{sql}: {}", String::from_utf8_lossy(&said.stderr));
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.maintain(&format!("drop database {} with (force)", self.name));
    }
}

fn hookward(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command.args(arguments).env_remove("HOOKWARD_LOG").env_remove("HOOKWARD_API_KEY").stdin(Stdio::null());
    command
}

/// Status, standard output, standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = hookward(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().expect("it ends by itself"), text(stdout), text(stderr))
}

pub(crate) fn ok(arguments: &[&str]) -> String {
    let (status, stdout, stderr) = run(arguments);
    assert_eq!(status, 0, "{arguments:?}: {stderr}");
    stdout
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The data that a gateway left with two events in it, and the directory that it is in.
async fn left() -> (tempfile::TempDir, PathBuf) {
    let gateway = Gateway::start(SOURCES).await;
    for n in ["d-1", "d-2"] {
        assert_eq!(gateway.push(n, n.as_bytes()).await.status, 202);
    }
    let Gateway { running, directory } = gateway;
    assert!(running.stop().await);
    let data = directory.path().join("data");
    (directory, data)
}

#[tokio::test]
async fn a_database_in_a_file_is_looked_at_saved_and_put_back() {
    if !database::has_files("a database as a whole") {
        return;
    }
    let (directory, data) = left().await;
    let place = |name: &str| text(&directory.path().join(name));
    let data = text(&data);
    let status: Value = serde_json::from_str(&ok(&["db", "status", "--data", &data, "--json"])).unwrap();
    assert_eq!(status["rows"][0], serde_json::json!({ "table": "events", "rows": 2, "is_about": false }));
    assert_eq!(status["schema"], status["newest_schema"]);
    assert!(ok(&["db", "status", "--data", &data]).contains("outstanding  0 deliveries\n"));
    assert!(ok(&["db", "migrate", "--dry-run", "--data", &data]).contains("which is the newest"));

    let saved = ok(&["db", "backup", "--to", &place("b"), "--data", &data]);
    assert!(saved.contains("its secrets need local:"), "{saved}");
    let restored = ok(&["db", "restore", "--from", &place("b"), "--to", &format!("sqlite:{}", place("r"))]);
    assert!(restored.contains("put that key in place before the start"), "{restored}");
    let verified = ok(&["audit", "verify", &place("r")]);
    assert!(verified.contains("none changed"), "{verified}");
    let (copy, back) = (format!("sqlite:{data}"), format!("sqlite:{}", place("c")));
    let said = ok(&["db", "copy", "--from", &copy, "--to", &back]);
    assert!(said.contains("copied and compared, value by value") && said.contains("whoever serves it needs that key"));

    for (arguments, status, stderr) in [
        (&["db", "status", "--data", "/nonexistent"][..], 3, "there is no database in `/nonexistent`"),
        (&["db", "copy", "--from", "sqlite:/nonexistent", "--to", &back], 3, "there is no database in"),
        (&["db", "copy", "--from", &copy, "--to", &back], 1, "holds something already"),
        (&["db", "copy", "--from", "x", "--to", &back], 2, "--from: it is neither `sqlite:DIRECTORY` nor the address"),
        (&["db", "copy", "--from", &copy, "--to", "postgres://a:b@c/d"], 2, "a password has no place in it"),
        (&["db", "status", "--database", "postgres://a:b@c/d"], 2, "a password has no place in it"),
        (&["db", "restore", "--from", &place("c/lock"), "--to", "sqlite:/tmp/x/y"], 5, "does not begin like one"),
    ] {
        let (found, _, said) = run(arguments);
        assert!(found == status && said.contains(stderr), "{arguments:?}: {found} {said}");
    }
}

#[tokio::test]
async fn a_gateway_moves_to_postgresql_with_its_secrets_under_the_key_there() {
    let Some(shared) = Database::new() else { return };
    if !database::has_files("a move") {
        return;
    }
    let (directory, data) = left().await;
    let (from, to) = (format!("sqlite:{}", text(&data)), shared.address());
    let node = directory.path().join("node");
    std::fs::create_dir(&node).unwrap();
    // A first start elsewhere made a key there.
    let other = left().await;
    std::fs::copy(other.1.join("master.key"), node.join("master.key")).unwrap();
    let node = text(&node);
    let said = ok(&["db", "copy", "--from", &from, "--to", &to, "--data", &node, "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["rewrapped"]["done"].as_u64().unwrap() > 0, "{said}");
    assert_eq!(said["rewrapped"]["skipped"], 0);
    assert_eq!(said["sealed"].as_object().unwrap().len(), 1, "{said}");
    let status: Value = serde_json::from_str(&ok(&["db", "status", "--database", &to, "--json"])).unwrap();
    assert!(status["kept_by"].as_str().unwrap().starts_with("PostgreSQL "), "{status}");

    // Under a gateway there: the same request is known, and the secret still proves another.
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&node, &data).unwrap();
    let config = format!("[database]\naddress = \"{to}\"\n{SOURCES}");
    let gateway = Gateway::start_in(directory, &config).await;
    assert_eq!(gateway.push("d-1", b"d-1").await.status, 200);
    assert_eq!(gateway.push("d-3", b"d-3").await.status, 202);
    let kms = gateway.get("/kms").await;
    assert_eq!(kms["shut"], 0, "{kms}");
    // Taken while it is served, by way of the gateway and by itself.
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&place.path().join(name));
    gateway.ok(&["backup", &file("a")], b"").await;
    ok(&["db", "backup", "--to", &file("b"), "--database", &to]);
    assert!(gateway.running.stop().await);
    for name in ["a", "b"] {
        let data = file(&format!("{name}-data"));
        ok(&["restore", &file(name), "--data", &data]);
        assert!(ok(&["audit", "verify", &data]).contains("none changed"));
    }
}

#[tokio::test]
async fn a_copy_that_is_killed_goes_on() {
    let Some(shared) = Database::new() else { return };
    if !database::has_files("a move") {
        return;
    }
    let (directory, data) = left().await;
    let rows = "insert into dedup with recursive n (i) as (select 1 union all select i + 1 from n where i < 150000)
        select cast(printf('%016d', i) as blob), 1, cast(printf('%032d', i) as blob), i, i from n";
    Connection::open(data.join("hookward.db")).unwrap().execute(rows, []).unwrap();
    let (from, to) = (format!("sqlite:{}", text(&data)), shared.address());
    let arguments = ["db", "copy", "--from", &from, "--to", &to];
    let mut kills = 0;
    loop {
        let mut child = hookward(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Some rows are there, and then none of it is any more.
        let wanted = 5_000 + kills * 20_000;
        let reached = loop {
            let sql = "select coalesce((select note::json ->> 'rows' from unfinished_copy), '0')";
            let said = Command::new("psql").args([&to, "-qAtc", sql]).output().expect("psql");
            let rows: u64 = String::from_utf8_lossy(&said.stdout).trim().parse().unwrap_or(0);
            if rows >= wanted || child.try_wait().unwrap().is_some() {
                break rows;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        if reached < wanted || kills == 3 {
            break;
        }
        kills += 1;
        let (status, _, stderr) =
            run(&["serve", "--database", &to, "--data", &text(directory.path()), "--public", "127.0.0.1:0"]);
        assert!(
            status == 1 && stderr.contains("is not finished: run the same `hookward db` command again"),
            "{stderr}"
        );
    }
    assert!(kills > 1, "{kills}");
    let there: Value = serde_json::from_str(&ok(&[&arguments[..], &["--json"]].concat())).unwrap();
    let back = format!("sqlite:{}", text(&directory.path().join("back")));
    let back: Value = serde_json::from_str(&ok(&["db", "copy", "--from", &to, "--to", &back, "--json"])).unwrap();
    assert_eq!(there["tables"], back["tables"]);
    let rows = there["tables"].as_array().unwrap().iter().find(|table| table["table"] == "dedup").unwrap();
    assert!(rows["rows"].as_u64().unwrap() >= 150_000, "{rows}");
}
