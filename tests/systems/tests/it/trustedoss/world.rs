//! The example running: its git server, a strict stand-in for GitHub's API, and what projects send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use systems::github::{event, hmac_sha256};
use systems::server::repository;
use systems::world::{unix_seconds, until};
use systems::{GitServer, Hookward, Receiver, Reply, Request, Response, Setup};
use tempfile::TempDir;

pub(super) const GITHUB: &str = "/v1/webhooks/github";
pub(super) const GITLAB: &str = "/v1/webhooks/gitlab";
pub(super) const WEB_SECRET: &str = "web-canary/5d1f+0c7a";
pub(super) const API_SECRET: &str = "api-canary/91be+77d2";
pub(super) const INFRA_TOKEN: &str = "infra-canary/44aa+10f3";
pub(super) const INFRA_SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(super) const GITHUB_TOKEN: &str = "ghp_canary0123456789abcdefghijklmnopq";
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Comments and statuses as a code host keeps them.
#[derive(Default)]
pub(super) struct Told {
    pub(super) comments: BTreeMap<u64, String>,
    pub(super) statuses: Vec<Value>,
    pub(super) faults: Vec<String>,
}

/// The example, the git server behind it, and the code host it reports to.
pub(super) struct World {
    pub(super) server: Hookward,
    pub(super) git: GitServer,
    pub(super) told: Arc<Mutex<Told>>,
    pub(super) directory: TempDir,
    _host: Receiver,
}

impl World {
    pub(super) fn start() -> Self {
        Self::start_with(&[("ACME_WEB_SECRET", WEB_SECRET), ("ACME_INFRA_TOKEN", INFRA_TOKEN)])
    }

    /// With these secrets of `web` and `infra`.
    pub(super) fn start_with(secrets: &[(&str, &str)]) -> Self {
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
            .env("ACME_API_SECRET", API_SECRET)
            .env("GITHUB_API_URL", &host.url("/api"))
            .env("GITHUB_TOKEN", GITHUB_TOKEN)
            .env("HOOKWARD_LOG", "debug");
        let setup = secrets.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
        let server = setup.start().unwrap();
        Self { server, git, told, directory, _host: host }
    }

    pub(super) fn send(&self, request: &Request) -> Response {
        self.server.public(request).unwrap()
    }

    /// Commits files to a repository, for a push or pull request that names the commit.
    pub(super) fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        self.git.commit(name, files).unwrap()
    }

    pub(super) fn deliveries(&self) -> Vec<Value> {
        self.server.list("/api/v1/deliveries?destination=scan").unwrap()
    }

    pub(super) fn events(&self) -> Vec<Value> {
        self.server.list("/api/v1/events").unwrap()
    }

    /// The newest scan, once it is over.
    pub(super) fn ended_scan(&self) -> Value {
        let over = || self.deliveries().first().is_some_and(|delivery| delivery["state"] == "delivered");
        assert!(until(PATIENCE, over), "the scan did not end: {:?}", self.newest_scan());
        self.newest_scan()
    }

    /// The newest scan with its attempts.
    pub(super) fn newest_scan(&self) -> Value {
        let id = self.deliveries()[0]["id"].as_str().unwrap().to_owned();
        self.server.get(&format!("/api/v1/deliveries/{id}")).unwrap()
    }

    pub(super) fn push(&self, project: &str, secret: &str, id: &str, git_ref: &str, after: &str) -> Response {
        let body = self.push_body(project, git_ref, after);
        self.send(&event("push", GITHUB, secret.as_bytes(), id, body.to_string().as_bytes()))
    }

    pub(super) fn push_body(&self, project: &str, git_ref: &str, after: &str) -> Value {
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

    pub(super) fn pull_request(&self, id: &str, action: &str, sha: &str) -> Response {
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

    pub(super) fn gitlab_push(&self, git_ref: &str, after: &str) -> Value {
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

    pub(super) fn merge_request(&self, action: &str, sha: &str) -> Value {
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

pub(super) const ZERO: &str = "0000000000000000000000000000000000000000";

pub(super) fn sha(number: u8) -> String {
    format!("{number:02x}").repeat(20)
}

/// A GitLab request with a plain token.
pub(super) fn gitlab(kind: &str, token: &str, id: &str, body: &Value) -> Request {
    Request::post(GITLAB)
        .header("Content-Type", "application/json")
        .header("X-Gitlab-Event", kind)
        .header("X-Gitlab-Webhook-UUID", "71b3a1c5-6b1e-4a7e-9b2c-aaaaaaaaaaaa")
        .header("X-Gitlab-Event-UUID", id)
        .header("X-Gitlab-Token", token)
        .body(body.to_string().as_bytes())
}

/// The same, signed as GitLab signs when a signing token is set.
pub(super) fn gitlab_signed(kind: &str, secret: &str, id: &str, body: &Value) -> Request {
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
pub(super) fn assert_accepted(response: &Response) -> String {
    assert_eq!(response.status, 202, "{}", response.text());
    let Value::Object(fields) = response.json() else { panic!("not an object: {}", response.text()) };
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["eventId", "status"]);
    assert_eq!(fields["status"], "accepted");
    fields["eventId"].as_str().unwrap().to_owned()
}

#[track_caller]
pub(super) fn assert_answer(response: &Response, status: u16, body: &str) {
    assert_eq!((response.status, response.text().as_str()), (status, body));
}
