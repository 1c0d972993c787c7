//! `examples/quantgov`: every row of its README, over HTTP and the command line, against the running binary.

use std::time::Duration;

use serde_json::Value;
use systems::canary::Search;
use systems::github::{event, push, signature};
use systems::server::repository;
use systems::world::{has_program, is_ci, until};
use systems::{Canary, Hookward, Received, Receiver, Request, Response, Setup};
use tempfile::TempDir;

const DEPLOY: &str = "/webhooks/ai/workflows/deploy";
const REVIEW: &str = "/webhooks/ai/workflows/review";
const UNSET: &str = "/webhooks/ai/workflows/unset";
const DEPLOY_SECRET: &str = "deploy-canary/5d1f+0c7a";
const REVIEW_SECRET: &str = "review-canary/91be+77d2";
const PATIENCE: Duration = Duration::from_secs(20);

/// The example, its workflow engine, and everything they write.
struct World {
    setup: Setup,
    server: Hookward,
    engine: Receiver,
    directory: TempDir,
}

impl World {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = Receiver::start(|_| 204).unwrap();
        let setup = Setup::with_config_file(directory.path(), &repository("examples/quantgov/hookward.toml"))
            .unwrap()
            .env("DEPLOY_SECRET", DEPLOY_SECRET)
            .env("REVIEW_SECRET", REVIEW_SECRET)
            .env("WORKFLOW_ENGINE_URL", &engine.url("/hooks"))
            .env("HOOKWARD_LOG", "debug");
        let server = setup.start().unwrap();
        Self { setup, server, engine, directory }
    }

    /// Stops the server in good order and starts it again on the same data, with more environment.
    fn restart(self, environment: &[(&str, &str)]) -> Self {
        assert!(self.server.terminate().unwrap().success());
        let setup = environment.iter().fold(self.setup, |setup, (name, value)| setup.env(name, value));
        let server = setup.start().unwrap();
        Self { setup, server, engine: self.engine, directory: self.directory }
    }

    fn send(&self, request: &Request) -> Response {
        self.server.public(request).unwrap()
    }

    fn executions(&self) -> usize {
        self.server.list("/api/v1/events").unwrap().len()
    }

    /// The one delivery that the engine got for an execution.
    fn delivered(&self, index: usize) -> Received {
        assert!(self.engine.wait_for(index + 1, PATIENCE), "the workflow engine got nothing");
        self.engine.received()[index].clone()
    }
}

fn bearer(secret: &str) -> Request {
    Request::post(DEPLOY).header("Authorization", &format!("Bearer {secret}"))
}

#[track_caller]
fn assert_unauthorized(response: &Response) {
    assert_eq!((response.status, response.text().as_str()), (401, r#"{"error":"Unauthorized"}"#));
}

#[track_caller]
fn execution(response: &Response) -> String {
    assert_eq!(response.status, 202, "{}", response.text());
    let Value::Object(fields) = response.json() else { panic!("not an object: {}", response.text()) };
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["executionId"]);
    fields["executionId"].as_str().unwrap().to_owned()
}

#[test]
fn an_unknown_workflow_is_404_before_any_authentication() {
    let world = World::start();
    for request in [
        Request::post("/webhooks/ai/workflows/nobody"),
        Request::get("/webhooks/ai/workflows/nobody?token=x"),
        Request::post("/webhooks/ai/workflows/deploy/more").header("Authorization", &format!("Bearer {DEPLOY_SECRET}")),
    ] {
        let response = world.send(&request);
        assert_eq!(response.status, 404);
        assert_eq!(response.text(), r#"{"error":"Workflow webhook not configured"}"#);
    }
    assert_eq!(world.executions(), 0);
}

#[test]
fn everything_unproven_gets_the_same_401_and_starts_nothing() {
    let world = World::start();
    let body = br#"{"ref":"main"}"#;
    let good = signature(REVIEW_SECRET.as_bytes(), body);
    let unproven = [
        Request::post(DEPLOY),
        bearer("wrong"),
        bearer(REVIEW_SECRET),
        Request::post(DEPLOY).header("Authorization", "Bearer"),
        Request::post(DEPLOY).header("Authorization", &format!("Basic {DEPLOY_SECRET}")),
        bearer("wrong").header("Authorization", &format!("Bearer {DEPLOY_SECRET}")),
        Request::post(&format!("{DEPLOY}?token=wrong")),
        Request::post(&format!("{DEPLOY}?token=")),
        Request::post(REVIEW).body(body),
        Request::post(REVIEW).body(body).header("X-Hub-Signature-256", ""),
        Request::post(REVIEW).body(body).header("X-Hub-Signature-256", &good[7..]),
        Request::post(REVIEW).body(body).header("X-Hub-Signature-256", &good[..70]),
        Request::post(REVIEW).body(b"{}").header("X-Hub-Signature-256", &good),
        Request::new("PUT", REVIEW).body(body).header("X-Hub-Signature-256", &good),
        Request::get(REVIEW).body(body).header("X-Hub-Signature-256", &good),
        push(UNSET, REVIEW_SECRET.as_bytes(), "d-1", body),
        push(UNSET, b"", "d-2", body),
    ];
    for request in unproven {
        assert_unauthorized(&world.send(&request));
    }
    assert_eq!(world.executions(), 0);
    assert_eq!(world.engine.count(), 0);
}

#[test]
fn a_proven_call_is_an_execution_that_can_be_looked_up() {
    let world = World::start();
    let calls = [
        bearer(DEPLOY_SECRET).body(b"one"),
        Request::get(&format!("{DEPLOY}?token={}", DEPLOY_SECRET.replace('/', "%2F").replace('+', "%2B"))),
        Request::new("DELETE", DEPLOY).header("Authorization", &format!("Bearer {DEPLOY_SECRET}")),
        push(REVIEW, REVIEW_SECRET.as_bytes(), "d-3", b"{}"),
    ];
    for call in &calls {
        let id = execution(&world.send(call));
        let found = world.server.get(&format!("/api/v1/events/{id}")).unwrap();
        assert_eq!(found["id"], id.as_str());
        let body = world.server.admin(Request::get(&format!("/api/v1/events/{id}/body"))).unwrap();
        assert_eq!(body.message.body, call.body);
    }
    assert_eq!(world.executions(), calls.len());
}

#[test]
fn the_engine_gets_body_and_signature_as_they_came_and_the_organization() {
    let world = World::start();
    let body = br#"{ "b":1,"a":2 ,"a":3}"#;
    let request = push(REVIEW, REVIEW_SECRET.as_bytes(), "d-4", body).header("X-Organization-Id", "intruder");
    execution(&world.send(&request));
    let delivered = world.delivered(0);
    assert_eq!((delivered.method.as_str(), delivered.target.as_str()), ("POST", "/hooks"));
    assert_eq!(delivered.body(), body);
    assert_eq!(delivered.header("x-hub-signature-256"), Some(signature(REVIEW_SECRET.as_bytes(), body).as_str()));
    assert_eq!(delivered.header("x-github-event"), Some("push"));
    assert_eq!(delivered.message.headers_named("x-organization-id"), ["acme"]);
}

#[test]
fn a_token_goes_nowhere() {
    let world = World::start();
    let token = DEPLOY_SECRET.replace('/', "%2F").replace('+', "%2B");
    execution(&world.send(&Request::post(&format!("{DEPLOY}?a=1&token={token}&b=2")).body(b"by query")));
    execution(&world.send(&bearer(DEPLOY_SECRET).body(b"by header")));
    assert!(world.engine.wait_for(2, PATIENCE));
    let canaries = [Canary::new("DEPLOY_SECRET", DEPLOY_SECRET), Canary::new("REVIEW_SECRET", REVIEW_SECRET)];
    let mut search = Search::default();
    for received in world.engine.received() {
        search.look_at("the forwarded request", format!("{received:?}").as_bytes(), &canaries);
    }
    for path in ["/api/v1/events", "/api/v1/deliveries", "/api/v1/audit", "/api/v1/sources", "/api/v1/destinations"] {
        search.look_at(path, world.server.get(path).unwrap().to_string().as_bytes(), &canaries);
    }
    for event in world.server.list("/api/v1/events").unwrap() {
        let path = format!("/api/v1/events/{}", event["id"].as_str().unwrap());
        search.look_at(&path, world.server.get(&path).unwrap().to_string().as_bytes(), &canaries);
    }
    search.look_through(world.directory.path(), &canaries).unwrap();
    assert!(search.files > 8, "only {} places were searched", search.files);
    assert_eq!(search.found, Vec::<String>::new());
}

#[test]
fn equal_bodies_are_two_executions_and_a_repeated_delivery_is_one() {
    let world = World::start();
    let first = execution(&world.send(&bearer(DEPLOY_SECRET).body(b"same")));
    let second = execution(&world.send(&bearer(DEPLOY_SECRET).body(b"same")));
    assert_ne!(first, second);

    for (path, secret) in [(REVIEW, REVIEW_SECRET), (DEPLOY, DEPLOY_SECRET)] {
        let call = push(path, secret.as_bytes(), "d-5", b"{}").header("Authorization", &format!("Bearer {secret}"));
        let first = execution(&world.send(&call));
        assert_eq!(execution(&world.send(&call)), first);
    }
    execution(&world.send(&push(REVIEW, REVIEW_SECRET.as_bytes(), "d-6", b"{}")));
    let all_delivered = || {
        let deliveries = world.server.list("/api/v1/deliveries").unwrap();
        deliveries.iter().all(|delivery| delivery["state"] == "delivered")
    };
    assert!(until(PATIENCE, all_delivered), "not everything was delivered");
    assert_eq!(world.engine.count(), 5, "a repeated delivery was forwarded");
}

#[test]
fn everything_that_came_is_in_the_audit_log() {
    let world = World::start();
    let call = push(REVIEW, REVIEW_SECRET.as_bytes(), "d-10", b"{}");
    execution(&world.send(&call));
    execution(&world.send(&call));
    assert_unauthorized(&world.send(&push(REVIEW, b"wrong", "d-11", b"{}")));
    let actions = || -> Vec<String> {
        let entries = world.server.list("/api/v1/audit").unwrap().into_iter();
        entries.filter_map(|entry| entry["action"].as_str().map(str::to_owned)).collect()
    };
    // Refusals are written a moment later, so that a flood of them holds nobody up.
    assert!(until(PATIENCE, || actions().iter().any(|action| action == "webhook.refused")));
    let actions = actions();
    for action in ["webhook.deliver", "webhook.duplicate"] {
        assert!(actions.iter().any(|one| one == action), "no `{action}` in {actions:?}");
    }
}

#[test]
fn githubs_ping_is_accepted() {
    let world = World::start();
    let body = br#"{"zen":"Keep it logically awesome.","hook_id":1}"#;
    execution(&world.send(&event("ping", REVIEW, REVIEW_SECRET.as_bytes(), "d-7", body)));
}

#[test]
fn reveal_shows_and_rotate_replaces_at_once() {
    let world = World::start();
    let reveal = || world.server.cli_ok(&["secret", "reveal", "deploy"], b"").unwrap().trim().to_owned();
    assert_eq!(reveal(), DEPLOY_SECRET);
    execution(&world.send(&bearer(DEPLOY_SECRET)));

    world.server.cli_ok(&["secret", "rotate", "deploy", "--generate", "--yes"], b"").unwrap();
    assert_unauthorized(&world.send(&bearer(DEPLOY_SECRET)));
    let new = reveal();
    assert_ne!(new, DEPLOY_SECRET);
    execution(&world.send(&bearer(&new)));

    let audit = world.server.list("/api/v1/audit").unwrap();
    let actions = audit.iter().filter_map(|entry| entry["action"].as_str()).collect::<Vec<_>>();
    for action in ["secret.reveal", "secret.rotate"] {
        assert!(actions.contains(&action), "no `{action}` in {actions:?}");
    }
}

#[test]
fn a_secret_that_an_operator_sets_opens_the_unset_workflow() {
    let world = World::start();
    world.server.cli_ok(&["secret", "set", "unset"], b"set-by-the-operator\n").unwrap();
    execution(&world.send(&push(UNSET, b"set-by-the-operator", "d-8", b"{}")));
}

#[test]
fn the_environments_secret_enters_once_and_a_changed_one_is_a_rotation() {
    let world = World::start();
    world.server.cli_ok(&["secret", "rotate", "deploy", "--generate", "--yes"], b"").unwrap();
    let rotated = world.server.cli_ok(&["secret", "reveal", "deploy"], b"").unwrap().trim().to_owned();

    let world = world.restart(&[]);
    assert_unauthorized(&world.send(&bearer(DEPLOY_SECRET)));
    execution(&world.send(&bearer(&rotated)));

    let world = world.restart(&[("DEPLOY_SECRET", "changed-in-the-environment")]);
    assert_unauthorized(&world.send(&bearer(&rotated)));
    assert_unauthorized(&world.send(&bearer(DEPLOY_SECRET)));
    execution(&world.send(&bearer("changed-in-the-environment")));
}

#[test]
fn an_absent_engine_is_a_notice_and_not_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::with_config_file(directory.path(), &repository("examples/quantgov/hookward.toml"))
        .unwrap()
        .env("DEPLOY_SECRET", DEPLOY_SECRET);
    let server = setup.start().unwrap();
    let sent = server.public(&bearer(DEPLOY_SECRET)).unwrap();
    execution(&sent);
    assert!(std::fs::read_to_string(setup.log()).unwrap().contains("WORKFLOW_ENGINE_URL"));
    assert_unauthorized(&server.public(&push(REVIEW, REVIEW_SECRET.as_bytes(), "d-9", b"{}")).unwrap());
}

/// What somebody types who tries a workflow's URL: proven, wrongly proven, and a workflow that is not there.
#[test]
fn the_three_checks_with_curl() {
    if !has_program("curl") || !has_program("openssl") {
        assert!(!is_ci(), "curl and openssl are needed here");
        println!("SKIPPED: curl or openssl is missing");
        return;
    }
    let world = World::start();
    let base = format!("http://{}/webhooks/ai/workflows", world.server.public);
    let signed = r#"
        body='{"repository":"acme/web","action":"opened"}'
        signature=$(printf '%s' "$body" | openssl dgst -sha256 -hmac "$2" | sed 's/^.*= //')
        curl --silent --show-error --write-out ' %{http_code}' --data-binary "$body" \
            --header "Content-Type: application/json" --header "X-Hub-Signature-256: sha256=$signature" "$1""#;
    let plain = r#"curl --silent --show-error --write-out ' %{http_code}' --data '{}' --header "$2" "$1""#;
    let run = |script: &str, url: &str, argument: &str| {
        let output = std::process::Command::new("sh").args(["-c", script, "sh", url, argument]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let accepted = run(signed, &format!("{base}/review"), REVIEW_SECRET);
    assert!(accepted.starts_with(r#"{"executionId":"evt_"#) && accepted.ends_with("\"} 202"), "{accepted}");
    assert_eq!(run(signed, &format!("{base}/review"), "wrong"), r#"{"error":"Unauthorized"} 401"#);
    let unknown = r#"{"error":"Workflow webhook not configured"} 404"#;
    assert_eq!(run(signed, &format!("{base}/nobody"), REVIEW_SECRET), unknown);
    let bearer = run(plain, &format!("{base}/deploy"), &format!("Authorization: Bearer {DEPLOY_SECRET}"));
    assert!(bearer.ends_with("\"} 202"), "{bearer}");
    assert_eq!(world.executions(), 2);
}
