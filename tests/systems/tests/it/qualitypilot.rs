//! `examples/qualitypilot`: what its README promises besides a rotation, which `cargo xtask receivers` holds on a clock that is
//! moved and with receivers in Node and Python.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use systems::canary::Search;
use systems::github::signature;
use systems::server::repository;
use systems::world::until;
use systems::{Canary, GitServer, Hookward, Receiver, Reply, Request, Setup};
use tempfile::TempDir;

const SECRET: &str = "qlens-canary/5d1f+0c7a";
const GITHUB_TOKEN: &str = "ghp_canary0123456789abcdefghijklmnopq";
const SOURCE: &str = "source-canary/7be1+c05d";
const PATIENCE: Duration = Duration::from_secs(30);

/// The example and its receiver.
struct World {
    server: Hookward,
    setup: Setup,
    receiver: Receiver,
    directory: TempDir,
}

impl World {
    fn start(environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let receiver = Receiver::start(|_| 204).unwrap();
        let setup = Setup::with_config_file(directory.path(), &repository("examples/qualitypilot/hookward.toml"))
            .unwrap()
            .env("QLENS_WEBHOOK_SECRET", SECRET)
            .env("QLENS_RECEIVER_URL", &receiver.url("/hooks"))
            .env("HOOKWARD_LOG", "debug");
        let setup = environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        let server = setup.start().unwrap();
        Self { server, setup, receiver, directory }
    }

    fn publish(&self, event_type: &str, payload: &str) -> String {
        publish_as(&self.server, systems::server::API_KEY, event_type, payload).1
    }

    fn deliveries(&self, destination: &str) -> Vec<Value> {
        self.server.list(&format!("/api/v1/deliveries?destination={destination}")).unwrap()
    }
}

/// The status, and the event's id.
fn publish_as(server: &Hookward, key: &str, event_type: &str, payload: &str) -> (u16, String) {
    let body = format!(r#"{{"type":"{event_type}","payload":{payload}}}"#);
    let request = Request::post("/api/v1/events").header("Content-Type", "application/json").body(body.as_bytes());
    let answer = server.send_as(key, request).unwrap();
    (answer.status, answer.json()["eventId"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn an_event_is_one_signed_post_of_the_bytes_that_were_published() {
    let world = World::start(&[]);
    let payload = r#"{ "b":1,"a":2 ,"by":"Zo\u00eb", "price": 1.50}"#;
    world.publish("run.finished", payload);
    assert!(world.receiver.wait_for(1, PATIENCE));
    let over = || world.deliveries("receiver").iter().all(|delivery| delivery["state"] == "delivered");
    assert!(until(PATIENCE, over), "{:#?}", world.deliveries("receiver"));
    let received = world.receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].method.as_str(), received[0].target.as_str()), ("POST", "/hooks"));
    assert_eq!(received[0].body(), payload.as_bytes());
    assert_eq!(received[0].message.headers_named("content-type"), ["application/json"]);
    let expected = signature(SECRET.as_bytes(), payload.as_bytes());
    assert_eq!(received[0].message.headers_named("x-qlens-signature"), [expected.as_str()]);
}

#[test]
fn what_has_no_variable_is_left_out_with_a_notice() {
    let world = World::start(&[]);
    let log = std::fs::read_to_string(world.setup.log()).unwrap();
    let left_out = [("slack", "SLACK_WEBHOOK_URL"), ("fix", "QLENS_FIXER"), ("fix-report", "GITHUB_TOKEN")];
    for (destination, variable) in left_out {
        assert!(log.contains(&format!("destination `{destination}` is left out: {variable} is not set")), "{log}");
    }
    assert_eq!(world.server.list("/api/v1/destinations").unwrap().len(), 1);
}

#[test]
fn a_key_begins_with_qlens_is_shown_once_and_ends_at_once() {
    let world = World::start(&[]);
    let wanted = json!({ "name": "pipeline", "scopes": ["publish"] }).to_string();
    let request = Request::post("/api/v1/keys").header("Content-Type", "application/json").body(wanted.as_bytes());
    let made = world.server.admin(request).unwrap();
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    assert!(key.starts_with("qlens_") && key.len() >= 38, "{key}");
    assert_eq!(publish_as(&world.server, &key, "run.finished", "{}").0, 202);

    let listed = world.server.list("/api/v1/keys").unwrap();
    let shown = listed.iter().find(|shown| shown["name"] == "pipeline").unwrap();
    assert_eq!((&shown["prefix"], &shown["last_four"]), (&json!("qlens"), &json!(key[key.len() - 4..])));
    let canaries = [Canary::new("the key", &key["qlens_".len()..])];
    let mut search = Search::default();
    search.look_at("the list", json!(listed).to_string().as_bytes(), &canaries);
    search.look_at(
        "the audit log",
        json!(world.server.list("/api/v1/audit").unwrap()).to_string().as_bytes(),
        &canaries,
    );
    search.look_through(world.directory.path(), &canaries).unwrap();
    assert!(search.files > 5 && search.found.is_empty(), "{:?}", search.found);

    let path = format!("/api/v1/keys/{}", shown["id"].as_str().unwrap());
    assert_eq!(world.server.admin(Request::new("DELETE", &path)).unwrap().status, 204);
    assert_eq!(publish_as(&world.server, &key, "run.finished", "{}").0, 401);
}

#[test]
fn a_channel_gets_a_line_and_its_url_is_a_secret_that_changes_at_once() {
    let channels = [(); 2].map(|()| Receiver::start(|_| 200).unwrap());
    let [old, new] =
        [("one", "3f9c61d7e2"), ("two", "a81b04cc57")].map(|(name, end)| format!("/services/T0/B0/{name}-{end}"));
    let world = World::start(&[("SLACK_WEBHOOK_URL", &channels[0].url(&old))]);
    world.publish("run.finished", r#"{"repository":{"full_name":"acme/<web>"}}"#);
    assert!(channels[0].wait_for(1, PATIENCE));
    let line = channels[0].received().remove(0);
    assert_eq!((line.method.as_str(), line.target.as_str()), ("POST", old.as_str()));
    assert!(line.header("content-type").unwrap().starts_with("application/json"));
    let text = serde_json::from_slice::<Value>(line.body()).unwrap();
    assert_eq!(text, json!({ "text": "*run.finished* acme/&lt;web&gt;" }));

    let reveal = || world.server.cli_ok(&["secret", "reveal", "slack"], b"").unwrap().trim().to_owned();
    assert_eq!(reveal(), channels[0].url(&old));
    let arguments = ["secret", "rotate", "slack", "--file", "-", "--yes"];
    world.server.cli_ok(&arguments, channels[1].url(&new).as_bytes()).unwrap();
    assert_eq!(reveal(), channels[1].url(&new));
    world.publish("run.finished", "{}");
    assert!(channels[1].wait_for(1, PATIENCE));
    assert_eq!((channels[0].count(), channels[1].received()[0].target.as_str()), (1, new.as_str()));

    let over = || world.deliveries("slack").iter().all(|delivery| delivery["state"] == "delivered");
    assert!(until(PATIENCE, over), "{:#?}", world.deliveries("slack"));
    let canaries = [Canary::new("the old URL", &old), Canary::new("the new URL", &new)];
    let mut search = Search::default();
    for path in ["/api/v1/deliveries", "/api/v1/destinations", "/api/v1/audit"] {
        search.look_at(path, json!(world.server.list(path).unwrap()).to_string().as_bytes(), &canaries);
    }
    for delivery in world.deliveries("slack") {
        let path = format!("/api/v1/deliveries/{}", delivery["id"].as_str().unwrap());
        search.look_at(&path, world.server.get(&path).unwrap().to_string().as_bytes(), &canaries);
    }
    search.look_through(world.directory.path(), &canaries).unwrap();
    assert!(search.files > 8 && search.found.is_empty(), "{:?}", search.found);
}

/// Calls with their bodies.
type Told = Arc<Mutex<Vec<(String, Value)>>>;

/// A code host that takes statuses and comments, and keeps what it was told.
fn code_host() -> (Receiver, Told) {
    let told = Told::default();
    let keep = Arc::clone(&told);
    let host = Receiver::start_with(move |received| {
        if received.header("authorization") != Some(&format!("Bearer {GITHUB_TOKEN}")) {
            return Reply::from(404);
        }
        let body = serde_json::from_slice(received.body()).unwrap_or_default();
        keep.lock().unwrap().push((format!("{} {}", received.method, received.target), body));
        match received.method.as_str() {
            "GET" => Reply::json(200, &json!([])),
            _ => Reply::json(201, &json!({ "id": 1 })),
        }
    });
    (host.unwrap(), told)
}

/// A program that answers with a patch that names what it got, line by line of the heads.
fn fixer(directory: &std::path::Path, ending: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.join("fixer");
    let script = format!(
        "#!/bin/sh\necho '--- a/total.mjs'\necho '+++ b/total.mjs'\ngrep '^--- ' | sed 's/^--- /+ read /'\n{ending}\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// The event of failing tests at a commit of a repository.
fn failed(git: &GitServer, name: &str, commit: &str, failing: &[&str]) -> String {
    json!({
        "repository": { "full_name": name, "clone_url": git.url(name) },
        "pull_request": { "number": 7, "head": { "sha": commit } },
        "failing": failing,
    })
    .to_string()
}

#[test]
fn a_fix_is_proposed_from_the_failing_tests_and_their_imports_and_nothing_of_them_is_left() {
    let programs = tempfile::tempdir().unwrap();
    let git = GitServer::start(None).unwrap();
    let (host, told) = code_host();
    let environment = [
        ("QLENS_FIXER", fixer(programs.path(), "")),
        ("GITHUB_API_URL", host.url("")),
        ("GITHUB_TOKEN", GITHUB_TOKEN.to_owned()),
    ];
    let world = World::start(&environment.each_ref().map(|(name, value)| (*name, value.as_str())));
    let test = format!(
        "import {{ total }} from '../src/total.mjs';\nconst part = require(\"./part\"); // {SOURCE}\nimport './setup';\n"
    );
    let files = [
        ("test/total.test.mjs", test.as_str()),
        ("src/total.mjs", &format!("import './deep.mjs'; // {SOURCE}")),
        ("src/deep.mjs", SOURCE),
        ("test/part.js", SOURCE),
        ("test/setup/index.js", SOURCE),
        ("test/other.test.mjs", SOURCE),
    ];
    let commit = git.commit("acme/web", &files).unwrap();
    let failing = ["test/total.test.mjs", "../../../../etc/passwd", "/etc/passwd", ".git/config", "gone.mjs"];
    world.publish("tests.failed", &failed(&git, "acme/web", &commit, &failing));
    assert!(until(PATIENCE, || told.lock().unwrap().iter().any(|(call, _)| call.ends_with("/issues/7/comments"))));

    let delivery = world.deliveries("fix")[0]["id"].as_str().unwrap().to_owned();
    let output = world.server.cli_ok(&["delivery", "output", &delivery], b"").unwrap();
    let patch = "--- a/total.mjs\n+++ b/total.mjs\n+ read src/total.mjs\n+ read test/part.js\n+ read test/setup/index.js\n+ read test/total.test.mjs\n";
    assert_eq!(output, patch);
    assert!(until(PATIENCE, || world.deliveries("fix-report").iter().all(|one| one["state"] == "delivered")));
    let told = told.lock().unwrap();
    let statuses = format!("POST /repos/acme/web/statuses/{commit}");
    let (_, status) = told.iter().find(|(call, _)| *call == statuses).unwrap();
    assert_eq!((&status["context"], &status["state"]), (&json!("qualitypilot/fix"), &json!("success")));
    let (_, comment) = told.iter().find(|(call, _)| call == "POST /repos/acme/web/issues/7/comments").unwrap();
    assert!(comment["body"].as_str().unwrap().contains("+ read test/part.js"), "{comment}");

    no_source_is_left(&world);
}

#[test]
fn nothing_of_the_source_is_left_of_a_proposal_that_fails() {
    let programs = tempfile::tempdir().unwrap();
    let git = GitServer::start(None).unwrap();
    let environment = [("QLENS_FIXER", fixer(programs.path(), "exit 3"))];
    let world = World::start(&environment.each_ref().map(|(name, value)| (*name, value.as_str())));
    let commit = git.commit("acme/web", &[("a.test.mjs", SOURCE)]).unwrap();
    world.publish("tests.failed", &failed(&git, "acme/web", &commit, &["a.test.mjs"]));
    assert!(until(PATIENCE, || world.deliveries("fix").iter().any(|delivery| delivery["state"] == "exhausted")));
    no_source_is_left(&world);
}

#[test]
fn a_repository_that_did_not_opt_in_is_not_read() {
    let programs = tempfile::tempdir().unwrap();
    let git = GitServer::start(None).unwrap();
    let environment = [("QLENS_FIXER", fixer(programs.path(), ""))];
    let world = World::start(&environment.each_ref().map(|(name, value)| (*name, value.as_str())));
    let commit = git.commit("acme/other", &[("a.test.mjs", SOURCE)]).unwrap();
    world.publish("tests.failed", &failed(&git, "acme/other", &commit, &["a.test.mjs"]));
    assert!(world.receiver.wait_for(1, PATIENCE));
    assert!(world.deliveries("fix").is_empty());
    assert!(git.received().is_empty());
}

/// Neither on the disk nor in the database, while it runs and afterwards.
fn no_source_is_left(world: &World) {
    let canaries = [Canary::new("the source", SOURCE)];
    let mut search = Search::default();
    search.look_through(world.directory.path(), &canaries).unwrap();
    for path in ["/api/v1/deliveries", "/api/v1/events", "/api/v1/audit"] {
        search.look_at(path, json!(world.server.list(path).unwrap()).to_string().as_bytes(), &canaries);
    }
    assert!(search.files > 5 && search.found.is_empty(), "{:?}", search.found);
    let checkouts = world.setup.data().join("checkouts");
    assert_eq!(std::fs::read_dir(checkouts).unwrap().count(), 0);
}
