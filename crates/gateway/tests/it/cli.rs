//! The command line, as a user or a script runs it.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::support::{Gateway, KEY, SOURCES};

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

async fn run(url: &str, key: Option<&str>, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command.args(arguments).env("HOOKWARD_URL", url).env_remove("HOOKWARD_API_KEY").env_remove("HOOKWARD_LOG");
    if let Some(key) = key {
        command.env("HOOKWARD_API_KEY", key);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may be gone before it is written to.
    let _ = child.stdin.take().unwrap().write_all(input).await;
    let output = child.wait_with_output().await.unwrap();
    Ran {
        status: output.status.code().expect("it ends by itself"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Gateway {
    pub(crate) async fn run(&self, arguments: &[&str], input: &[u8]) -> Ran {
        run(&format!("http://{}", self.running.admin()), Some(KEY), arguments, input).await
    }

    pub(crate) async fn run_as(&self, key: &str, arguments: &[&str], input: &[u8]) -> Ran {
        run(&format!("http://{}", self.running.admin()), Some(key), arguments, input).await
    }

    pub(crate) async fn ok(&self, arguments: &[&str], input: &[u8]) -> String {
        let ran = self.run(arguments, input).await;
        assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }
}

#[tokio::test]
async fn the_exit_status_tells_what_went_wrong() {
    let gateway = Gateway::start(SOURCES).await;
    for (arguments, status, stderr) in [
        (&["source", "show", "nothing"][..], 3, "hookward: there is no source `nothing`\n"),
        (&["event", "show", "x"], 3, "hookward: `x` is not an id of the form `evt_…`\n"),
        (&["event", "list", "--limit", "251"], 2, "hookward: `limit` is a whole number from 1 to 250\n"),
        (&["secret", "list", "nothing"], 3, "hookward: there is no source or destination `nothing`\n"),
        (&["secret", "reveal", "unset"], 3, "hookward: source `unset` has no live secret\n"),
        (&["secret", "set", "unset"], 2, "hookward: the secret is empty\n"),
    ] {
        let ran = gateway.run(arguments, b"").await;
        assert_eq!((ran.status, ran.stderr.as_str(), ran.stdout.as_str()), (status, stderr, ""), "{arguments:?}");
    }
    let admin = format!("http://{}", gateway.running.admin());
    assert_eq!(run(&admin, Some("wrong"), &["source", "list"], b"").await.status, 4);
    assert_eq!(run(&admin, None, &["source", "list"], b"").await.status, 4);
    assert_eq!(run(&admin, None, &["surce", "list"], b"").await.status, 2);
    assert_eq!(run(&admin, None, &["--help"], b"").await.status, 0);
    let nobody = run("http://127.0.0.1:1", Some(KEY), &["source", "list"], b"").await;
    assert_eq!(nobody.status, 1);
    assert!(nobody.stderr.contains("is `hookward serve` running?"), "{}", nobody.stderr);
}

#[tokio::test]
async fn lists_are_tables_or_json() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.send("POST", "/in/open?x", &[("x", "a\u{9b}31m")], b"a").await;
    let table = gateway.ok(&["event", "list", "--source", "open"], b"").await;
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["ID", "SOURCE", "TYPE", "DELIVERY", "ID", "RECEIVED", "DUPLICATE", "OF"]);
    assert!(table.lines().nth(1).unwrap().starts_with("evt_"), "{table}");
    let json = gateway.ok(&["event", "list", "--output", "json"], b"").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let id = json["items"][0]["id"].as_str().unwrap();
    let shown = gateway.ok(&["event", "show", id], b"").await;
    assert!(shown.starts_with("id "), "{shown}");
    assert!(!shown.contains('\u{9b}'), "what a sender sent does not steer the terminal");
    assert_eq!(gateway.ok(&["event", "body", id], b"").await, "a");
    assert_eq!(gateway.ok(&["destination", "list"], b"").await, "none\n");
    assert!(gateway.ok(&["source", "list"], b"").await.contains("/in/github"));
}

#[tokio::test]
async fn why_a_request_was_refused_is_a_command_away() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.send("POST", "/in/github", &[("x-github-event", "push")], b"the body").await;
    let mut table = gateway.ok(&["refusal", "list"], b"").await;
    while table == "none\n" {
        table = gateway.ok(&["refusal", "list"], b"").await;
    }
    let header: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["ID", "AT", "REASON", "FROM", "REFUSED", "COUNT"]);
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[1..3], ["github", "signature-missing"]);
    let shown = gateway.ok(&["refusal", "show", row[0]], b"").await;
    for said in ["header:X-Hub-Signature-256", "the signature is missing", "x-github-event: push", "the body"] {
        assert!(shown.contains(said), "{said} is not in\n{shown}");
    }
    assert_eq!(gateway.ok(&["refusal", "list", "--source", "open"], b"").await, "none\n");
    assert_eq!(gateway.ok(&["refusal", "list", "--reason", "id-missing"], b"").await, "none\n");
}

#[tokio::test]
async fn secrets_come_by_standard_input_a_file_or_are_made() {
    let gateway = Gateway::start(SOURCES).await;
    let set = gateway.ok(&["secret", "set", "unset"], b"from-standard-input\n").await;
    assert_eq!(set, "source `unset` has version 1; `hookward secret reveal unset` shows it\n");
    assert_eq!(gateway.ok(&["secret", "reveal", "unset"], b"").await, "from-standard-input\n");
    let file = gateway.directory.path().join("secret");
    std::fs::write(&file, "from-a-file\r\n").unwrap();
    gateway.ok(&["secret", "set", "unset", "--file", file.to_str().unwrap()], b"").await;
    assert_eq!(gateway.ok(&["secret", "reveal", "unset"], b"").await, "from-a-file\n");
    let refused = gateway.run(&["secret", "rotate", "unset"], b"").await;
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("whoever still signs with it is refused"), "{}", refused.stderr);
    let rotated = gateway.ok(&["secret", "rotate", "unset", "--yes", "--grace", "0s"], b"").await;
    assert!(rotated.contains("version 3") && rotated.contains("ends at once"), "{rotated}");
    let list = gateway.ok(&["secret", "list", "unset"], b"").await;
    assert_eq!(list.matches("live").count(), 1, "{list}");
    gateway.ok(&["secret", "revoke", "unset", "--version", "3", "--yes"], b"").await;
    assert_eq!(gateway.run(&["secret", "reveal", "unset"], b"").await.status, 3);
    assert_eq!(gateway.ok(&["secret", "reveal", "unset", "--version", "1"], b"").await, "from-standard-input\n");
}

#[tokio::test]
async fn a_file_is_published_as_it_stands() {
    let gateway = Gateway::start(SOURCES).await;
    let file = gateway.directory.path().join("payload.json");
    std::fs::write(&file, "{ \"a\" : 1.0 }").unwrap();
    let arguments = ["publish", "--type", "a.b", "--body", file.to_str().unwrap(), "--idempotency-key", "k"];
    let id = gateway.ok(&arguments, b"").await;
    assert_eq!(gateway.ok(&arguments, b"").await, id);
    assert_eq!(gateway.ok(&["event", "body", id.trim_end()], b"").await, "{ \"a\" : 1.0 }");
    std::fs::write(&file, "{}").unwrap();
    assert_eq!(gateway.run(&arguments, b"").await.status, 5);
    std::fs::write(&file, "not json").unwrap();
    assert_eq!(gateway.run(&arguments, b"").await.status, 2);
}

#[tokio::test]
async fn serving_says_where_and_ends_well_when_told_to() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    command.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).current_dir(directory.path());
    command.env_remove("HOOKWARD_API_KEY").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while !said.last().is_some_and(|line: &String| line.contains("hookward config default")) {
        said.push(lines.next_line().await.unwrap().expect("it says more before it ends"));
    }
    assert!(said.len() <= 15, "{said:#?}");
    let addresses = std::fs::read(directory.path().join("hookward-data/addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_slice(&addresses).unwrap();
    for listener in ["public", "admin"] {
        let address = addresses[listener].as_str().unwrap();
        assert!(said.iter().any(|line| line.contains(address)), "{address} is not in {said:#?}");
    }
    let key = std::fs::read_to_string(directory.path().join("hookward-data/api-key")).unwrap();
    let admin = format!("http://{}", addresses["admin"].as_str().unwrap());
    assert_eq!(run(&admin, Some(key.trim_end()), &["source", "list"], b"").await.status, 0);
    let id = i32::try_from(child.id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_configuration_is_checked_without_starting() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hookward.toml");
    std::fs::write(&file, "[[source]]\nname = \"a\"\npth = \"/a\"\n").unwrap();
    let path = file.to_str().unwrap();
    for arguments in [&["config", "check", "--config", path][..], &["serve", "--config", path]] {
        let ran = run("", None, arguments, b"").await;
        let expected = format!("{path}:3:1: unknown key `pth` in [[source]]; did you mean `path`?\n");
        assert_eq!((ran.status, ran.stderr), (2, expected));
    }
    std::fs::write(&file, run("", None, &["config", "default"], b"").await.stdout).unwrap();
    assert_eq!(run("", None, &["config", "check", "--config", path], b"").await.status, 0);
}

#[tokio::test]
async fn a_filter_is_tried_on_an_event_or_on_a_file() {
    let gateway = Gateway::start(SOURCES).await;
    let headers = [("content-type", "application/json"), ("x-kind", "a")];
    let answer = gateway.send("POST", "/in/open", &headers, br#"{"ref":"main","n":[1,2]}"#).await;
    let id = answer.json()["eventId"].as_str().unwrap().to_owned();
    let file = gateway.directory.path().join("body.json");
    std::fs::write(&file, r#"{"ref":"main"}"#).unwrap();
    let file = file.to_str().unwrap();
    let all = r#"source == "open" && event == "" && headers["x-kind"] == "a" && body.ref == "main""#;
    for (arguments, status, stdout) in [
        (&["filter", "test", all, "--event", &id][..], 0, "true\n"),
        (&["filter", "test", "body.ref == 'x'", "--event", &id], 5, "false\n"),
        (&["filter", "test", "body.n", "--event", &id], 0, "[1,2]\n"),
        (&["filter", "test", "body.x", "--event", &id], 1, ""),
        (&["filter", "test", "body.ref == ", "--event", &id], 2, ""),
        (&["filter", "test", "true", "--event", "evt_0190000000007000800000000000ffff"], 3, ""),
        (&["filter", "test", "true"], 2, ""),
        (&["filter", "test", "true", "--event", &id, "--body", file], 2, ""),
        (
            &[
                "filter",
                "test",
                "body.ref + event + source + headers.x",
                "--body",
                file,
                "--type",
                "t",
                "--source",
                "s",
                "--header",
                "X: 1",
            ],
            0,
            "\"maints1\"\n",
        ),
        (&["filter", "test", "true", "--body", file, "--header", "nonsense"], 2, ""),
    ] {
        let ran = gateway.run(arguments, b"").await;
        assert_eq!((ran.status, ran.stdout.as_str()), (status, stdout), "{arguments:?}: {}", ran.stderr);
    }
    let offline = run("http://127.0.0.1:1", None, &["filter", "test", "body.a", "--body", "-"], b"{\"a\":1}").await;
    assert_eq!((offline.status, offline.stdout.as_str()), (0, "1\n"));
}

#[tokio::test]
async fn an_organization_is_made_with_its_key_and_erased_when_told_twice() {
    let gateway = Gateway::start(SOURCES).await;
    let key = gateway.ok(&["organization", "create", "acme", "--key-prefix", "qlens"], b"").await;
    assert!(key.starts_with("qlens_"), "{key}");
    let sources = gateway.run_as(key.trim(), &["source", "list"], b"").await;
    assert_eq!((sources.status, sources.stdout.as_str()), (0, "none\n"));
    let asked = gateway.run(&["organization", "erase", "acme"], b"").await;
    assert_eq!(asked.status, 2, "{}", asked.stderr);
    gateway.ok(&["organization", "erase", "acme", "--yes"], b"").await;
    assert_eq!(gateway.run_as(key.trim(), &["source", "list"], b"").await.status, 4);
    assert_eq!(gateway.run(&["organization", "erase", "nothing", "--yes"], b"").await.status, 3);
}

#[tokio::test]
async fn a_secret_in_use_is_revoked_from_the_command_line_when_told_twice() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.push("a", b"{}").await;
    let revoke = ["secret", "revoke", "github", "--version", "1", "--yes"];
    let refused = gateway.run(&revoke, b"").await;
    assert_eq!(refused.status, 5);
    assert!(refused.stderr.contains("version 1 of source:github is in use"), "{}", refused.stderr);
    gateway.ok(&["secret", "end", "github", "--version", "1", "--at", "2999-01-01T00:00:00Z"], b"").await;
    assert!(gateway.ok(&["secret", "list", "github"], b"").await.contains("2999-01-01T00:00:00.000Z"));
    gateway.ok(&[&revoke[..], &["--force"]].concat(), b"").await;
    assert_eq!(gateway.push("b", b"{\"b\":1}").await.status, 401);
}

#[tokio::test]
async fn a_private_scheme_is_added_listed_shown_and_removed() {
    let gateway = Gateway::start("").await;
    let file = gateway.directory.path().join("acme.toml");
    let path = file.to_str().unwrap().to_owned();
    let toml = crate::dashboard::scheme_file("acme", "x-acme");
    std::fs::write(&file, &toml).unwrap();
    assert_eq!(gateway.ok(&["schemes", "add", &path], b"").await, "scheme `acme` is in force: new, version 1\n");
    let listed = gateway.ok(&["schemes", "list", "--gateway"], b"").await;
    let first = listed.lines().nth(1).unwrap();
    assert!(first.starts_with("acme ") && first.ends_with("private, api"), "{first}");
    assert_eq!(listed.lines().count(), hookward::catalog::names().count() + 2, "all pages of it");
    assert_eq!(gateway.ok(&["schemes", "show", "acme", "--gateway"], b"").await, toml);
    assert!(!gateway.ok(&["schemes"], b"").await.contains("acme "), "no gateway is asked");
    std::fs::write(&file, toml.replace("title", "titel")).unwrap();
    let wrong = gateway.run(&["schemes", "add", &path], b"").await;
    assert!(wrong.status == 2 && wrong.stderr.contains("line 2, column 1: unknown field `titel`"), "{}", wrong.stderr);
    std::fs::write(&file, crate::dashboard::scheme_file("github", "x-ours")).unwrap();
    let taken = gateway.run(&["schemes", "add", &path], b"").await;
    assert!(taken.status == 5 && taken.stderr.contains("is in the catalog"), "{}", taken.stderr);
    gateway.ok(&["schemes", "add", &path, "--replaces-catalog"], b"").await;
    let listed = gateway.ok(&["schemes", "list", "--gateway"], b"").await;
    assert!(
        listed.lines().any(|line| line.starts_with("github ") && line.ends_with("hides the catalog's")),
        "{listed}"
    );
    assert_eq!(gateway.ok(&["schemes", "remove", "acme"], b"").await, "there is no private scheme `acme` any more\n");
    assert_eq!(gateway.run(&["schemes", "remove", "acme"], b"").await.status, 3);
}
