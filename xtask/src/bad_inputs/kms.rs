//! What can go wrong with keys and with what they seal, against the running binary: rows that were moved or damaged, a key
//! that is lost, another's or too short. What needs a KMS that misbehaves on demand is the engine's own tests' to show.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rusqlite::Connection;
use serde_json::Value;
use systems::github::push;
use systems::{Hookward, Request, Response, Setup, world};

use super::{Tally, is_chosen};
use crate::run::root;

const SECRET: &str = "canary-of-the-kms-cases";

const CONFIG: &str = r#"
[[source]]
name = "a"
scheme = "github"
secret = "env:BAD_SECRET"

[[source]]
name = "b"
scheme = "github"
secret = "env:BAD_SECRET"
"#;

/// How long what recovers by itself may take.
const PATIENCE: Duration = Duration::from_secs(60);

type Run = fn(&Path) -> Result<()>;

const CASES: [(&str, &str, Run); 9] = [
    ("KS-001", "a ciphertext copied over another row: that source alone is 503, audit, alert", moved),
    ("KS-002", "a bit of ciphertext, nonce or wrapped key: that source alone is 503", damaged),
    ("KS-006", "started without the key: 503 with Retry-After, never 401, readyz red, recovers alone", cold),
    ("KS-010", "data with another key: degraded, the list is exact, nothing is overwritten", lost),
    ("KS-014", "after a reveal: no core can be left, and no secret is in the log", quiet),
    ("KS-015", "no secret in any file of the data directory", on_disk),
    ("CF-021", "a key that is too short is refused", short_key),
    ("CF-022", "a key file that others can read is refused", open_key_file),
    ("CF-025", "a KMS is called without TLS only on this machine", clear_text),
];

/// Those that reach into the database by SQLite's file.
const BY_FILE: [&str; 3] = ["KS-001", "KS-002", "KS-010"];

/// Cases of which each is held by tests that have a KMS in their hands.
const ELSEWHERE: [(&str, &str, &str); 4] = [
    ("KS-004", "crates/engine/tests/it/opening.rs", "a_kms_that_hands_out_another_key_is_found_out"),
    (
        "KS-005",
        "crates/engine/tests/it/opening.rs",
        "while_the_kms_is_away_what_is_open_goes_on_until_its_time_is_over",
    ),
    ("KS-007", "crates/engine/tests/it/opening.rs", "one_unwrap_serves_a_thousand_requests_that_wait"),
    ("KS-013", "crates/engine/tests/it/rewrap.rs", "a_rewrap_that_was_killed_goes_on_in_the_next_process"),
];

/// Runs the cases whose id contains `only`, or all of them.
pub(super) fn run(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    for (id, why, case) in CASES.into_iter().filter(|(id, ..)| is_chosen(only, id)) {
        if systems::database::is_postgres() && BY_FILE.contains(&id) {
            tally.skip(only, id, "it changes rows in SQLite's file; what the engine makes of them is the same");
            continue;
        }
        let directory = tempfile::tempdir()?;
        tally.add(id, "keys and secrets", why, case(directory.path()));
    }
    for (id, file, test) in ELSEWHERE.into_iter().filter(|(id, ..)| is_chosen(only, id)) {
        let there = fs::read_to_string(root().join(file))?.contains(&format!("async fn {test}()"));
        let verdict = if there { Ok(()) } else { Err(anyhow::anyhow!("{file} has no test `{test}`")) };
        tally.add(id, "held by a test", &format!("{file}: {test}"), verdict);
    }
    Ok(())
}

fn setup(directory: &Path) -> Result<Setup> {
    Ok(Setup::new(directory, CONFIG)?.env("BAD_SECRET", SECRET))
}

fn database(setup: &Setup) -> Result<Connection> {
    Ok(Connection::open(setup.data().join("hookward.db"))?)
}

fn send(server: &Hookward, source: &str, secret: &str, id: &str) -> Result<Response> {
    server.public(&push(&format!("/in/{source}"), secret.as_bytes(), id, format!("{{\"id\":\"{id}\"}}").as_bytes()))
}

fn accepts(server: &Hookward, source: &str, id: &str) -> Result<()> {
    let answer = send(server, source, SECRET, id)?;
    ensure!(answer.status == 202, "source `{source}` answered {}", answer.status);
    Ok(())
}

/// Neither the right secret nor a wrong one gets anything but "try again".
fn is_shut(server: &Hookward, source: &str) -> Result<()> {
    for secret in [SECRET, "another"] {
        let answer = send(server, source, secret, "shut")?;
        ensure!(answer.status == 503, "source `{source}` answered {}", answer.status);
        ensure!(answer.header("retry-after").is_some(), "without Retry-After");
    }
    Ok(())
}

fn readiness(server: &Hookward) -> Result<(u16, String)> {
    let answer = server.send_as("", Request::get("/readyz"))?;
    Ok((answer.status, answer.text()))
}

fn enter_again(server: &Hookward) -> Result<Vec<String>> {
    let kms = server.get("/api/v1/kms")?;
    let items = kms["enter_again"].as_array().with_context(|| format!("no list: {kms}"))?;
    Ok(items.iter().map(|item| item["owner"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Changes the row of source `a` while the server is down, and holds what follows to the rule.
fn with_row(directory: &Path, sql: &str) -> Result<()> {
    let setup = setup(directory)?;
    let server = setup.start()?;
    accepts(&server, "a", "before")?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    let changed = database(&setup)?.execute(sql, [])?;
    ensure!(changed == 1, "{changed} rows were changed");
    let server = setup.start()?;
    is_shut(&server, "a")?;
    accepts(&server, "b", "beside")?;
    let (status, text) = readiness(&server)?;
    ensure!(status == 503 && text.contains("source:a v1"), "readyz: {status} {text}");
    ensure!(enter_again(&server)? == ["source:a"], "the list is another");
    let audit = server.list("/api/v1/audit")?;
    let told = |row: &&Value| row["action"] == "alert.secret_damaged";
    ensure!(audit.iter().filter(told).count() == 1, "the audit log does not say it once");
    let alerts = server.list("/api/v1/events?type=hookward.alert.secret_damaged")?;
    ensure!(alerts.len() == 1, "{} alerts", alerts.len());
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

const OF_A: &str = "owner_id = (select id from sources where name = 'a')";

fn moved(directory: &Path) -> Result<()> {
    let from_b = "select key_id, wrapped_key, ciphertext from secrets join sources on id = owner_id where name = 'b'";
    with_row(directory, &format!("update secrets set (key_id, wrapped_key, ciphertext) = ({from_b}) where {OF_A}"))
}

fn damaged(directory: &Path) -> Result<()> {
    for (n, (column, at)) in [("ciphertext", 70), ("ciphertext", 45), ("wrapped_key", 20)].into_iter().enumerate() {
        let inner = directory.join(n.to_string());
        fs::create_dir(&inner)?;
        // Any other byte there: what it was is not known here.
        let byte = format!("case when hex(substr({column}, {at}, 1)) = '41' then x'42' else x'41' end");
        let (before, after) = (format!("substr({column}, 1, {})", at - 1), format!("substr({column}, {})", at + 1));
        let sql = format!("update secrets set {column} = cast({before} || {byte} || {after} as blob) where {OF_A}");
        with_row(&inner, &sql).with_context(|| format!("byte {at} of {column}"))?;
    }
    Ok(())
}

fn cold(directory: &Path) -> Result<()> {
    let setup = setup(directory)?;
    ensure!(setup.start()?.terminate()?.success(), "the server did not end in order");
    let (key, aside) = (setup.data().join("master.key"), directory.join("aside"));
    fs::rename(&key, &aside)?;
    let server = setup.start()?;
    is_shut(&server, "a")?;
    let (status, text) = readiness(&server)?;
    ensure!(status == 503 && text.contains("source:a v1"), "readyz: {status} {text}");
    fs::rename(&aside, &key)?;
    let recovered = world::until(PATIENCE, || readiness(&server).is_ok_and(|(status, _)| status == 200));
    ensure!(recovered, "it did not recover: {:?}", readiness(&server)?);
    accepts(&server, "a", "after")?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

fn sealed(setup: &Setup) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let database = database(setup)?;
    let mut rows = database.prepare("select wrapped_key, ciphertext from secrets order by owner_id, version")?;
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn lost(directory: &Path) -> Result<()> {
    let setup = setup(directory)?;
    let server = setup.start()?;
    accepts(&server, "a", "before")?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    let before = sealed(&setup)?;
    fs::write(setup.data().join("master.key"), (0..32).collect::<Vec<u8>>())?;
    let server = setup.start()?;
    is_shut(&server, "a")?;
    let list = enter_again(&server)?;
    ensure!(list == ["installation key", "source:a", "source:b"], "the list is {list:?}");
    ensure!(server.list("/api/v1/events")?.len() == 1, "events are not readable");
    ensure!(!server.list("/api/v1/audit")?.is_empty(), "the audit log is not readable");
    ensure!(sealed(&setup)? == before, "something was overwritten");
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

fn reveal(server: &Hookward) -> Result<()> {
    let request = Request::post("/api/v1/sources/a/secrets/1/reveal").header("Content-Type", "application/json");
    let answer = server.admin(request.body(br#"{"reason":"a case"}"#))?;
    ensure!(answer.json()["secret"] == SECRET, "it was not revealed: {}", answer.text());
    Ok(())
}

fn quiet(directory: &Path) -> Result<()> {
    let setup = setup(directory)?.env("HOOKWARD_LOG", "trace").env("RUST_BACKTRACE", "full");
    let server = setup.start()?;
    reveal(&server)?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid()))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).context("no such limit")?;
    let sizes: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    ensure!(sizes == ["0", "0"], "{core}");
    server.kill()?;
    let log = fs::read(setup.log())?;
    ensure!(!log.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "the secret is in the log");
    Ok(())
}

fn on_disk(directory: &Path) -> Result<()> {
    let setup = setup(directory)?;
    let server = setup.start()?;
    reveal(&server)?;
    accepts(&server, "a", "one")?;
    server.kill()?;
    for (table, rows) in systems::database::rows(setup.data())? {
        ensure!(!rows.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "the secret is in {table}");
    }
    for entry in fs::read_dir(setup.data())? {
        let path = entry?.path();
        if path.is_file() {
            let bytes = fs::read(&path)?;
            let is_there = bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
            ensure!(!is_there, "the secret is in {}", path.display());
        }
    }
    Ok(())
}

/// A server that does not start, and says why.
fn is_refused(setup: &Setup, config: &Path, says: &str) -> Result<()> {
    let mut command = setup.command();
    let arguments = ["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"];
    let process: &mut Command = command.args(arguments).arg(config).arg("--data").arg(setup.data());
    let mut child = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut ended = None;
    world::until(PATIENCE, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some()
    });
    let Some(status) = ended else {
        child.kill()?;
        bail!("it started");
    };
    let output = String::from_utf8_lossy(&child.wait_with_output()?.stderr).into_owned();
    ensure!(!status.success(), "it ended with {status}");
    ensure!(output.contains(says), "it said: {output}");
    Ok(())
}

fn refused_config(directory: &Path, kms: &str, says: &str) -> Result<()> {
    let setup = Setup::new(directory, &format!("[kms]\n{kms}"))?.env("BAD_KEY", "AAAA");
    is_refused(&setup, &directory.join("hookward.toml"), says)
}

fn short_key(directory: &Path) -> Result<()> {
    refused_config(directory, "provider = \"environment\"\nkey = \"env:BAD_KEY\"\n", "3 bytes instead of 32")
}

fn open_key_file(directory: &Path) -> Result<()> {
    let setup = setup(directory)?;
    ensure!(setup.start()?.terminate()?.success(), "the server did not end in order");
    fs::set_permissions(setup.data().join("master.key"), Permissions::from_mode(0o644))?;
    is_refused(&setup, &directory.join("hookward.toml"), "is open to others (mode 0644)")
}

fn clear_text(directory: &Path) -> Result<()> {
    let key = "provider = \"aws\"\nkey_id = \"k\"\nregion = \"r\"\nendpoint = \"http://kms.example\"\n";
    refused_config(directory, key, "has to begin with `https://`")
}
