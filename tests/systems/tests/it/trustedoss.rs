//! `examples/trustedoss`: every row of its README, over HTTP and the command line, against the running binary, a real
//! git server and strict stand-ins for the code hosts' APIs.

mod world;

use serde_json::{Value, json};
use systems::canary::Search;
use systems::github::event;
use systems::world::until;
use systems::{Canary, Request};

use world::{
    API_SECRET, GITHUB, GITLAB, INFRA_SIGNING, INFRA_TOKEN, PATIENCE, WEB_SECRET, World, ZERO, assert_accepted,
    assert_answer, gitlab, gitlab_signed, sha,
};

const IGNORED: &str = r#"{"status":"ignored"}"#;
const DUPLICATE: &str = r#"{"status":"duplicate"}"#;
const UNAUTHORIZED: &str = r#"{"error":"Unauthorized"}"#;

#[test]
fn there_are_two_paths_and_no_third() {
    let world = World::start();
    for path in ["/webhooks/github", "/v1/webhooks", "/v1/webhooks/github/", "/v1/webhooks/bitbucket", "/"] {
        assert_eq!(world.send(&event("push", path, WEB_SECRET.as_bytes(), "d-1", b"{}")).status, 404, "{path}");
    }
    assert!(world.events().is_empty());
}

#[test]
fn a_push_to_the_default_branch_is_scanned_in_each_project() {
    let world = World::start();
    for (project, secret, branch) in [("acme/web", WEB_SECRET, "main"), ("acme/api", API_SECRET, "trunk")] {
        let commit = world.commit(project, &[("package.json", r#"{"dependencies":{"left-pad":"1.3.0"}}"#)]);
        let response = world.push(project, secret, "d-1", &format!("refs/heads/{branch}"), &commit);
        let id = assert_accepted(&response);
        let found = world.server.get(&format!("/api/v1/events/{id}")).unwrap();
        assert_eq!((&found["type"], &found["delivery_id"]), (&json!("push"), &json!("d-1")));
        assert_eq!(world.ended_scan()["event"], id.as_str());
    }
    assert_eq!(world.deliveries().len(), 2);
}

#[test]
fn a_scan_keeps_its_result_and_nothing_of_the_source() {
    let world = World::start();
    let canary = "source-canary-0d9f4c7be1";
    let files = [
        ("package.json", r#"{"dependencies":{"express":"^4.18.0"},"devDependencies":{"mocha":"^10.0.0"}}"#),
        ("src/secret.js", canary),
    ];
    let commit = world.commit("acme/web", &files);
    assert_accepted(&world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/main", &commit));
    let scan = world.ended_scan();
    let attempt = &scan["attempts"][0];
    assert_eq!((&attempt["outcome"], &attempt["exit_code"]), (&json!("success"), &json!(0)));
    assert!(attempt["duration_ms"].is_u64());
    let path = format!("/api/v1/deliveries/{}/output", scan["id"].as_str().unwrap());
    let output = world.server.admin(Request::get(&path)).unwrap().text();
    assert!(output.contains(&format!("scanning acme/web at {commit}")), "{output}");
    assert!(output.contains("package.json: express ^4.18.0\npackage.json: mocha ^10.0.0\n"), "{output}");
    let mut search = Search::default();
    search.look_through(world.directory.path(), &[Canary::new("the source", canary)]).unwrap();
    assert!(search.files > 3, "only {} places were searched", search.files);
    assert_eq!(search.found, Vec::<String>::new());
    let packs = std::process::Command::new("find").arg(world.directory.path()).args(["-name", "*.pack"]).output();
    assert_eq!(String::from_utf8(packs.unwrap().stdout).unwrap(), "");
}

#[test]
fn a_pull_request_is_scanned_at_its_head_and_told_in_one_comment() {
    let world = World::start();
    for (number, action) in (1..).zip(["opened", "synchronize", "reopened"]) {
        let commit = world.commit("acme/web", &[("requirements.txt", &format!("flask=={number}.0\n"))]);
        assert_accepted(&world.pull_request(&format!("d-{number}"), action, &commit));
        assert!(world.ended_scan()["attempts"].is_array());
        let told = || {
            let told = world.told.lock().unwrap();
            told.comments.values().any(|comment| comment.contains(&format!("requirements.txt: flask =={number}.0")))
        };
        assert!(until(PATIENCE, told), "the result was not told: {:?}", world.told.lock().unwrap().faults);
    }
    let told = world.told.lock().unwrap();
    assert_eq!(told.faults, Vec::<String>::new());
    assert_eq!(told.comments.len(), 1);
    assert_eq!(told.statuses.len(), 3);
    assert!(told.statuses.iter().all(|status| status["state"] == "success"));
}

#[test]
fn what_triggers_nothing_is_recorded_and_ignored() {
    let world = World::start();
    let ignored = [
        world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/feature", &sha(1)),
        world.push("acme/api", API_SECRET, "d-2", "refs/heads/main", &sha(2)),
        world.push("acme/web", WEB_SECRET, "d-3", "refs/tags/main", &sha(3)),
        world.push("acme/web", WEB_SECRET, "d-4", "refs/heads/main", ZERO),
        world.pull_request("d-5", "closed", &sha(5)),
        world.pull_request("d-6", "labeled", &sha(6)),
    ];
    for response in &ignored {
        assert_answer(response, 200, IGNORED);
    }
    let body = json!({ "zen": "Keep it logically awesome.", "repository": { "full_name": "acme/web" } }).to_string();
    let ping = event("ping", GITHUB, WEB_SECRET.as_bytes(), "d-7", body.as_bytes());
    assert_answer(&world.send(&ping), 200, IGNORED);
    let others = [
        ("Push Hook", world.gitlab_push("refs/heads/feature", &sha(8))),
        ("Push Hook", world.gitlab_push("refs/heads/main", ZERO)),
        ("Tag Push Hook", world.gitlab_push("refs/tags/v1", &sha(9))),
        ("Merge Request Hook", world.merge_request("merge", &sha(10))),
        ("Issue Hook", json!({ "object_kind": "issue", "project": { "path_with_namespace": "acme/infra" } })),
    ];
    for (number, (kind, body)) in others.iter().enumerate() {
        let response = world.send(&gitlab(kind, INFRA_TOKEN, &format!("g-{number}"), body));
        assert_answer(&response, 200, IGNORED);
    }
    assert_eq!(world.events().len(), 12);
    assert!(world.deliveries().is_empty());
}

#[test]
fn gitlab_is_answered_204_and_scanned() {
    let world = World::start();
    let first = world.commit("acme/infra", &[("go.mod", "require example.com/a v1.0.0\n")]);
    let push = gitlab("Push Hook", INFRA_TOKEN, "g-1", &world.gitlab_push("refs/heads/main", &first));
    assert_answer(&world.send(&push), 204, "");
    world.ended_scan();
    for (number, action) in (2..).zip(["open", "update", "reopen"]) {
        let commit = world.commit("acme/infra", &[("go.mod", &format!("require example.com/a v{number}.0.0\n"))]);
        let id = format!("g-{number}");
        let request = gitlab("Merge Request Hook", INFRA_TOKEN, &id, &world.merge_request(action, &commit));
        assert_answer(&world.send(&request), 204, "");
    }
    let all = || world.deliveries().iter().filter(|delivery| delivery["state"] == "delivered").count() == 4;
    assert!(until(PATIENCE, all), "{:?}", world.deliveries());
}

#[test]
fn a_signing_token_ends_the_bare_token() {
    let world = World::start_with(&[("ACME_INFRA_TOKEN", INFRA_SIGNING)]);
    let commit = world.commit("acme/infra", &[("README", "nothing")]);
    let body = world.gitlab_push("refs/heads/main", &commit);
    assert_answer(&world.send(&gitlab("Push Hook", INFRA_SIGNING, "g-1", &body)), 401, UNAUTHORIZED);
    assert_answer(&world.send(&gitlab_signed("Push Hook", "whsec_AAAA", "g-2", &body)), 401, UNAUTHORIZED);
    assert_answer(&world.send(&gitlab_signed("Push Hook", INFRA_SIGNING, "g-3", &body)), 204, "");
    assert_answer(&world.send(&gitlab_signed("Push Hook", INFRA_SIGNING, "g-3", &body)), 200, DUPLICATE);
    assert_eq!(world.events()[1]["delivery_id"], "g-3");
}

#[test]
fn gitlabs_delivery_id_is_the_first_of_its_four_headers() {
    let world = World::start();
    let headers = ["webhook-id", "Idempotency-Key", "X-Gitlab-Event-UUID", "X-Gitlab-Webhook-UUID"];
    for first in 0..headers.len() {
        let body = world.gitlab_push("refs/heads/feature", &sha(u8::try_from(first).unwrap()));
        let request = Request::post(GITLAB).header("X-Gitlab-Event", "Push Hook").header("X-Gitlab-Token", INFRA_TOKEN);
        let request =
            headers[first..].iter().rev().fold(request, |request, name| request.header(name, &format!("id-of-{name}")));
        assert_answer(&world.send(&request.body(body.to_string().as_bytes())), 200, IGNORED);
        assert_eq!(world.events()[0]["delivery_id"], format!("id-of-{}", headers[first]));
    }
}

#[test]
fn seen_before_is_a_duplicate_at_its_own_project_only() {
    let world = World::start();
    let commit = world.commit("acme/web", &[("README", "nothing")]);
    assert_accepted(&world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/main", &commit));
    assert_answer(&world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/main", &commit), 200, DUPLICATE);
    // Another body under the same id, and the same body under another.
    assert_answer(&world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/main", &sha(1)), 200, DUPLICATE);
    assert_answer(&world.push("acme/web", WEB_SECRET, "d-2", "refs/heads/main", &commit), 200, DUPLICATE);
    // The id is another project's own.
    assert_answer(&world.push("acme/api", API_SECRET, "d-1", "refs/heads/feature", &sha(1)), 200, IGNORED);
    world.ended_scan();
    assert_eq!(world.deliveries().len(), 1);
}

#[test]
fn a_commit_is_scanned_once_however_it_comes() {
    let world = World::start();
    let commit = world.commit("acme/web", &[("README", "nothing")]);
    let first = assert_accepted(&world.pull_request("d-1", "opened", &commit));
    assert_answer(&world.push("acme/web", WEB_SECRET, "d-2", "refs/heads/main", &commit), 200, IGNORED);
    assert_answer(&world.pull_request("d-3", "synchronize", &commit), 200, IGNORED);
    let again = world.events()[0]["id"].as_str().unwrap().to_owned();
    let shown = world.server.get(&format!("/api/v1/events/{again}")).unwrap();
    let passed = &shown["passed_over"][0];
    assert_eq!((&passed["destination"], &passed["reason"]), (&json!("scan"), &json!("once")));
    assert_eq!(passed["first_event"], first.as_str());
    // Another project has commits of its own.
    assert_accepted(&world.push("acme/api", API_SECRET, "d-4", "refs/heads/trunk", &commit));
    assert_eq!(world.deliveries().len(), 2);
}

#[test]
fn everything_unproven_gets_the_same_401_and_starts_nothing() {
    let world = World::start();
    let body = world.push_body("acme/web", "refs/heads/main", &sha(1)).to_string();
    let unknown = world.push_body("acme/unknown", "refs/heads/main", &sha(1)).to_string();
    let unnamed = json!({ "ref": "refs/heads/main" }).to_string();
    let github = |secret: &str, body: &str| event("push", GITHUB, secret.as_bytes(), "d-1", body.as_bytes());
    let bare = Request::post(GITHUB).header("X-GitHub-Event", "push").header("X-GitHub-Delivery", "d-1");
    let infra = world.gitlab_push("refs/heads/main", &sha(1));
    let unproven = [
        github("wrong", &body),
        github(API_SECRET, &body),
        github(WEB_SECRET, &unknown),
        github(WEB_SECRET, &unnamed),
        github(WEB_SECRET, "not json"),
        github(WEB_SECRET, ""),
        bare.clone().body(body.as_bytes()),
        bare.clone().header("X-Hub-Signature-256", "sha256=zz").body(body.as_bytes()),
        bare.header("X-Hub-Signature-256", &"a".repeat(71)).body(body.as_bytes()),
        gitlab("Push Hook", "wrong", "g-1", &infra),
        gitlab("Push Hook", WEB_SECRET, "g-1", &infra),
        gitlab("Push Hook", "", "g-1", &infra),
        gitlab("Push Hook", INFRA_TOKEN, "g-1", &json!({ "project": { "path_with_namespace": "acme/other" } })),
    ];
    let mut heads = Vec::new();
    for request in &unproven {
        let response = world.send(request);
        assert_answer(&response, 401, UNAUTHORIZED);
        let names: Vec<String> = response.message.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        heads.push(names);
    }
    heads.dedup();
    assert_eq!(heads.len(), 1, "answers differ in their headers: {heads:?}");
    assert!(world.events().is_empty());
    let refused = || {
        let audit = world.server.list("/api/v1/audit").unwrap();
        audit.iter().any(|entry| entry["action"] == "webhook.refused")
    };
    assert!(until(PATIENCE, refused), "no refusal is in the audit log");
}

#[test]
fn every_accepted_delivery_is_in_the_audit_log() {
    let world = World::start();
    let commit = world.commit("acme/web", &[("README", "nothing")]);
    assert_accepted(&world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/main", &commit));
    assert_answer(&world.push("acme/web", WEB_SECRET, "d-2", "refs/heads/feature", &sha(2)), 200, IGNORED);
    let audit = world.server.list("/api/v1/audit").unwrap();
    let delivered: Vec<_> = audit.iter().filter(|entry| entry["action"] == "webhook.deliver").collect();
    let facts = |entry: &Value| (entry["detail"]["delivery_id"].clone(), entry["detail"]["event"].clone());
    assert_eq!(
        delivered.iter().map(|entry| facts(entry)).collect::<Vec<_>>(),
        [(json!("d-2"), json!("push")), (json!("d-1"), json!("push")),]
    );
}

#[test]
fn the_first_secret_comes_from_the_command_line() {
    let world = World::start_with(&[]);
    let commit = world.commit("acme/web", &[("README", "nothing")]);
    let push = || world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/main", &commit);
    assert_answer(&push(), 401, UNAUTHORIZED);
    world.server.cli_ok(&["secret", "set", "web"], WEB_SECRET.as_bytes()).unwrap();
    assert_accepted(&push());
}

#[test]
fn an_event_that_was_missed_or_failed_is_run_again_by_an_operator() {
    let world = World::start();
    let commit = world.commit("acme/web", &[("README", "nothing")]);
    let id = assert_accepted(&world.push("acme/web", WEB_SECRET, "d-1", "refs/heads/main", &commit));
    world.ended_scan();
    world.server.cli_ok(&["event", "redeliver", &id, "--destination", "scan"], b"").unwrap();
    assert!(until(PATIENCE, || world.deliveries().len() == 2));
    assert_eq!(world.ended_scan()["cause"]["type"], "redelivery");
}
