//! `examples/trustedoss`: every row of its README, over HTTP and the command line, against the running binary, a real
//! git server and strict stand-ins for the code hosts' APIs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use systems::canary::Search;
use systems::github::{event, hmac_sha256};
use systems::server::repository;
use systems::world::{unix_seconds, until};
use systems::{Canary, GitServer, Hookward, Receiver, Reply, Request, Response, Setup};
use tempfile::TempDir;

const GITHUB: &str = "/v1/webhooks/github";
const GITLAB: &str = "/v1/webhooks/gitlab";
const WEB_SECRET: &str = "web-canary/5d1f+0c7a";
const API_SECRET: &str = "api-canary/91be+77d2";
const INFRA_TOKEN: &str = "infra-canary/44aa+10f3";
const INFRA_SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const GITHUB_TOKEN: &str = "ghp_canary0123456789abcdefghijklmnopq";
const PATIENCE: Duration = Duration::from_secs(30);

/// Comments and statuses as a code host keeps them.
#[derive(Default)]
struct Told {
    comments: BTreeMap<u64, String>,
    statuses: Vec<Value>,
    faults: Vec<String>,
}

/// The example, the git server behind it, and the code host it reports to.
struct World {
    server: Hookward,
    git: GitServer,
    told: Arc<Mutex<Told>>,
    directory: TempDir,
    _host: Receiver,
}

impl World {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(environment: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let git = GitServer::start(None).unwrap();
        let told: Arc<Mutex<Told>> = Arc::default();
        let shared = Arc::clone(&told);
        let host = Receiver::start_with(move |received| {
            let body: Value = serde_json::from_slice(received.body()).unwrap_or(Value::Null);
            let token = received.header("authorization") == Some(&format!("Bearer {GITHUB_TOKEN}"));
            let mut told = shared.lock().unwrap();
            let reply = if token { github_api(&mut told, &received.method, &received.target, &body) } else { None };
            reply.unwrap_or_else(|| {
                told.faults.push(format!("{} {}: {body}", received.method, received.target));
                Reply::from(404)
            })
        })
        .unwrap();
        let setup = Setup::with_config_file(directory.path(), &repository("examples/trustedoss/hookward.toml"))
            .unwrap()
            .env("ACME_WEB_SECRET", WEB_SECRET)
            .env("ACME_API_SECRET", API_SECRET)
            .env("ACME_INFRA_TOKEN", INFRA_TOKEN)
            .env("GITHUB_API_URL", &host.url("/api"))
            .env("GITHUB_TOKEN", GITHUB_TOKEN)
            .env("HOOKWARD_LOG", "debug");
        let setup = environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        let server = setup.start().unwrap();
        Self { server, git, told, directory, _host: host }
    }

    fn send(&self, request: &Request) -> Response {
        self.server.public(request).unwrap()
    }

    /// Commits files to a repository, for a push or pull request that names the commit.
    fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        self.git.commit(name, files).unwrap()
    }

    fn deliveries(&self) -> Vec<Value> {
        self.server.list("/api/v1/deliveries?destination=scan").unwrap()
    }

    fn events(&self) -> Vec<Value> {
        self.server.list("/api/v1/events").unwrap()
    }

    /// The newest scan, once it is over.
    fn ended_scan(&self) -> Value {
        let over = || self.deliveries().first().is_some_and(|delivery| delivery["state"] == "delivered");
        assert!(until(PATIENCE, over), "the scan did not end: {:?}", self.deliveries());
        let id = self.deliveries()[0]["id"].as_str().unwrap().to_owned();
        self.server.get(&format!("/api/v1/deliveries/{id}")).unwrap()
    }

    fn push(&self, project: &str, secret: &str, id: &str, git_ref: &str, after: &str) -> Response {
        let body = self.push_body(project, git_ref, after);
        self.send(&event("push", GITHUB, secret.as_bytes(), id, body.to_string().as_bytes()))
    }

    fn push_body(&self, project: &str, git_ref: &str, after: &str) -> Value {
        let branch = if project == "acme/api" { "trunk" } else { "main" };
        json!({
            "ref": git_ref,
            "before": "6113728f27ae82c7b1a177c8d03f9e96e0adf246",
            "after": after,
            "created": false,
            "deleted": after == ZERO,
            "forced": false,
            "repository": {
                "id": 186_853_002,
                "full_name": project,
                "default_branch": branch,
                "clone_url": self.git.url(project),
            },
            "pusher": { "name": "mona" },
        })
    }

    fn pull_request(&self, id: &str, action: &str, sha: &str) -> Response {
        let body = json!({
            "action": action,
            "number": 7,
            "pull_request": {
                "number": 7,
                "head": { "sha": sha, "ref": "changes", "repo": { "full_name": "mona/web" } },
                "base": { "ref": "main", "repo": { "full_name": "acme/web" } },
            },
            "repository": {
                "full_name": "acme/web",
                "default_branch": "main",
                "clone_url": self.git.url("acme/web"),
            },
        });
        self.send(&event("pull_request", GITHUB, WEB_SECRET.as_bytes(), id, body.to_string().as_bytes()))
    }

    fn gitlab_push(&self, git_ref: &str, after: &str) -> Value {
        let checkout = if after == ZERO { Value::Null } else { json!(after) };
        json!({
            "object_kind": "push",
            "event_name": "push",
            "before": "95790bf891e76fee5e1747ab589903a6a1f80f22",
            "after": after,
            "ref": git_ref,
            "checkout_sha": checkout,
            "project_id": 15,
            "project": {
                "id": 15,
                "path_with_namespace": "acme/infra",
                "default_branch": "main",
                "git_http_url": self.git.url("acme/infra"),
            },
            "total_commits_count": 1,
        })
    }

    fn merge_request(&self, action: &str, sha: &str) -> Value {
        json!({
            "object_kind": "merge_request",
            "event_type": "merge_request",
            "project": {
                "id": 15,
                "path_with_namespace": "acme/infra",
                "default_branch": "main",
                "git_http_url": self.git.url("acme/infra"),
            },
            "object_attributes": {
                "id": 93, "iid": 16, "action": action, "state": "opened",
                "source_branch": "changes", "target_branch": "main",
                "last_commit": { "id": sha },
            },
        })
    }
}

/// GitHub's calls that the example makes, and no other.
fn github_api(told: &mut Told, method: &str, target: &str, body: &Value) -> Option<Reply> {
    let path = target.strip_prefix("/api/repos/acme/")?.split('?').next()?;
    let parts: Vec<&str> = path.split('/').collect();
    match (method, parts.as_slice()) {
        ("POST", ["web" | "api", "statuses", sha]) => {
            let mut status = body.clone();
            status["sha"] = json!(sha);
            told.statuses.push(status);
            Some(Reply::json(201, &json!({ "id": 1 })))
        }
        ("GET", ["web", "issues", "7", "comments"]) => {
            let list: Vec<Value> = told.comments.iter().map(|(id, body)| json!({ "id": id, "body": body })).collect();
            Some(Reply::json(200, &json!(list)))
        }
        ("POST", ["web", "issues", "7", "comments"]) => {
            let id = told.comments.len() as u64 + 1;
            told.comments.insert(id, body["body"].as_str()?.to_owned());
            Some(Reply::json(201, &json!({ "id": id })))
        }
        ("PATCH", ["web", "issues", "comments", id]) => {
            *told.comments.get_mut(&id.parse().ok()?)? = body["body"].as_str()?.to_owned();
            Some(Reply::json(200, &json!({})))
        }
        _ => None,
    }
}

const ZERO: &str = "0000000000000000000000000000000000000000";

fn sha(number: u8) -> String {
    format!("{number:02x}").repeat(20)
}

/// A GitLab request with a plain token.
fn gitlab(kind: &str, token: &str, id: &str, body: &Value) -> Request {
    Request::post(GITLAB)
        .header("Content-Type", "application/json")
        .header("X-Gitlab-Event", kind)
        .header("X-Gitlab-Webhook-UUID", "71b3a1c5-6b1e-4a7e-9b2c-aaaaaaaaaaaa")
        .header("X-Gitlab-Event-UUID", id)
        .header("X-Gitlab-Token", token)
        .body(body.to_string().as_bytes())
}

/// The same, signed as GitLab signs when a signing token is set.
fn gitlab_signed(kind: &str, secret: &str, id: &str, body: &Value) -> Request {
    let body = body.to_string();
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let timestamp = unix_seconds();
    let signature = STANDARD.encode(hmac_sha256(&key, format!("{id}.{timestamp}.{body}").as_bytes()));
    Request::post(GITLAB)
        .header("X-Gitlab-Event", kind)
        .header("webhook-id", id)
        .header("webhook-timestamp", &timestamp.to_string())
        .header("webhook-signature", &format!("v1,{signature}"))
        .body(body.as_bytes())
}

#[track_caller]
fn assert_accepted(response: &Response) -> String {
    assert_eq!(response.status, 202, "{}", response.text());
    let Value::Object(fields) = response.json() else { panic!("not an object: {}", response.text()) };
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["eventId", "status"]);
    assert_eq!(fields["status"], "accepted");
    fields["eventId"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_answer(response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, response.text().as_str()), (status, body));
}

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
        assert_eq!((&found["event_type"], &found["delivery_id"]), (&json!("push"), &json!("d-1")));
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
    let world = World::start_with(&[("ACME_WEB_SECRET", "")]);
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
