//! Paths with several sources, told apart by a hint that proves nothing.

use hookward_engine::clock::Clock;
use serde_json::json;

use crate::support::{Answer, Gateway, sign_with};

/// Two projects of one host on one path, and one of another host alone on its own.
const PROJECTS: &str = r#"
[[source]]
name = "web"
path = "/v1/webhooks/github"
hint = { "/repository/full_name" = "acme/web" }
scheme = "github"
secret = "env:WEB_SECRET"
[source.answers]
ignored = { status = 200, body = '{"status":"ignored"}' }

[[source]]
name = "api"
path = "/v1/webhooks/github"
hint = { "/repository/full_name" = "acme/api" }
scheme = "github"
secret = "env:API_SECRET"

[[source]]
name = "infra"
path = "/v1/webhooks/gitlab"
hint = { "/project/path_with_namespace" = "acme/infra" }
scheme = "gitlab"
secret = "env:INFRA_SECRET"

[[destination]]
name = "scan"
type = "command"
argv = ["/bin/true"]
event_types = ["push"]
"#;

fn github(repository: &str) -> Vec<u8> {
    json!({ "ref": "refs/heads/main", "repository": { "full_name": repository } }).to_string().into_bytes()
}

async fn push(gateway: &Gateway, secret: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let signature = sign_with(secret, body);
    let mut all = vec![("x-github-event", "push"), ("x-hub-signature-256", signature.as_str())];
    all.extend(headers);
    gateway.send("POST", "/v1/webhooks/github", &all, body).await
}

async fn sources_of_events(gateway: &Gateway) -> Vec<String> {
    let events = gateway.get("/events").await;
    events["items"].as_array().unwrap().iter().map(|event| event["source"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_hint_chooses_the_source_and_the_signature_decides() {
    let gateway = Gateway::start(PROJECTS).await;
    assert_eq!(push(&gateway, "the secret of WEB", &[], &github("acme/web")).await.status, 202);
    assert_eq!(push(&gateway, "the secret of API", &[], &github("acme/api")).await.status, 202);
    let body = json!({ "project": { "path_with_namespace": "acme/infra" } }).to_string();
    let token = [("x-gitlab-token", "the secret of INFRA"), ("x-gitlab-event", "Push Hook")];
    assert_eq!(gateway.send("POST", "/v1/webhooks/gitlab", &token, body.as_bytes()).await.status, 202);
    assert_eq!(sources_of_events(&gateway).await, ["infra", "api", "web"]);
}

#[tokio::test]
async fn a_form_is_told_apart_by_the_json_in_it() {
    let gateway = Gateway::start(PROJECTS).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = b"payload=%7B%22repository%22%3A%7B%22full_name%22%3A%22acme%2Fapi%22%7D%7D";
    assert_eq!(push(&gateway, "the secret of API", &form, body).await.status, 202);
    assert_eq!(push(&gateway, "the secret of API", &[], body).await.status, 401);
    assert_eq!(sources_of_events(&gateway).await, ["api"]);
}

#[tokio::test]
async fn a_repository_that_no_source_has_is_answered_like_a_wrong_signature() {
    let gateway = Gateway::start(PROJECTS).await;
    let wrong = push(&gateway, "the secret of API", &[], &github("acme/web")).await;
    assert_eq!((wrong.status, wrong.text().as_str()), (401, r#"{"error":"Unauthorized"}"#));
    for body in
        [&github("acme/secret")[..], &github("acme/WEB"), &github(""), b"{}", b"[]", b"", b"\xff", b"{\"repository\":"]
    {
        let answer = push(&gateway, "the secret of WEB", &[], body).await;
        assert_eq!(answer, wrong, "{}", String::from_utf8_lossy(body));
    }
    let body = json!({ "project": { "path_with_namespace": "acme/other" } }).to_string();
    let token = [("x-gitlab-token", "the secret of INFRA")];
    assert_eq!(gateway.send("POST", "/v1/webhooks/gitlab", &token, body.as_bytes()).await, wrong);
    assert!(sources_of_events(&gateway).await.is_empty());
}

#[tokio::test]
async fn what_no_source_is_known_for_is_audited_and_counted_under_the_path() {
    let gateway = Gateway::start(PROJECTS).await;
    push(&gateway, "the secret of WEB", &[], &github("acme/secret")).await;
    gateway.send("GET", "/v1/webhooks/github", &[], b"").await;
    gateway.running.engine().run_until_idle().await;
    let entry = &gateway.get("/audit").await["items"][0];
    assert_eq!(entry["action"], "webhook.refused");
    assert_eq!(entry["target"], "path:/v1/webhooks/github");
    assert_eq!(entry["detail"]["reason"], "no-source-for-hint");
    assert!(!entry.to_string().contains("acme/secret"), "what was sent is not repeated");
    let metrics = crate::support::send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    for line in [
        r#"hookward_refused_total{source="/v1/webhooks/github",refusal="no-source-for-hint"} 1"#,
        r#"hookward_received_total{source="/v1/webhooks/github",answer="refused"} 1"#,
        r#"hookward_received_total{source="/v1/webhooks/github",answer="wrong_method"} 1"#,
        r#"hookward_received_total{source="web",answer="refused"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn an_event_that_nobody_is_owed_is_answered_as_such_where_that_is_configured() {
    let gateway = Gateway::start(PROJECTS).await;
    let ping = [("x-github-event", "ping")];
    let send = async |secret: &str, body: &[u8]| {
        let signature = sign_with(secret, body);
        let headers = [ping[0], ("x-hub-signature-256", signature.as_str())];
        gateway.send("POST", "/v1/webhooks/github", &headers, body).await
    };
    let ignored = send("the secret of WEB", &github("acme/web")).await;
    assert_eq!((ignored.status, ignored.text().as_str()), (200, r#"{"status":"ignored"}"#));
    assert_eq!(send("the secret of API", &github("acme/api")).await.status, 202, "not configured");
    let again = send("the secret of WEB", &github("acme/web")).await;
    assert_eq!((again.status, again.json()["status"].as_str()), (200, Some("duplicate")));
    let wanted = json!({ "repository": { "full_name": "acme/web" }, "n": 1 }).to_string();
    assert_eq!(push(&gateway, "the secret of WEB", &[], wanted.as_bytes()).await.status, 202);
    assert_eq!(sources_of_events(&gateway).await, ["web", "web", "api", "web"], "all of them are kept");
}

/// The answers of a portal that many projects share, on both hosts.
#[tokio::test]
async fn each_host_hears_what_it_expects() {
    const ANSWERS: &str = r#"secret = "env:INFRA_SECRET"
dedup = { id_headers = ["webhook-id", "Idempotency-Key", "X-Gitlab-Event-UUID", "X-Gitlab-Webhook-UUID"] }
[source.answers]
accepted = { status = 204 }
ignored = { status = 200, body = '{"status":"ignored"}' }
duplicate = { status = 200, body = '{"status":"duplicate"}' }
"#;
    let config = PROJECTS.replace("secret = \"env:INFRA_SECRET\"", ANSWERS).replace("\"push\"", "\"Push Hook\"");
    let gateway = Gateway::start(&config).await;
    let body = |n: u32| json!({ "n": n, "project": { "path_with_namespace": "acme/infra" } }).to_string();
    let send = async |kind: &str, id: (&str, &str), token: &str, n: u32| {
        let headers = [("x-gitlab-token", token), ("x-gitlab-event", kind), id];
        let answer = gateway.send("POST", "/v1/webhooks/gitlab", &headers, body(n).as_bytes()).await;
        (answer.status, answer.text())
    };
    let said = |status: u16, text: &str| (status, text.to_owned());
    let token = "the secret of INFRA";
    assert_eq!(send("Push Hook", ("idempotency-key", "1"), token, 1).await, said(204, ""));
    let ignored = said(200, r#"{"status":"ignored"}"#);
    assert_eq!(send("Tag Push Hook", ("idempotency-key", "2"), token, 2).await, ignored);
    let duplicate = said(200, r#"{"status":"duplicate"}"#);
    for (n, name) in (10..).zip(["webhook-id", "idempotency-key", "x-gitlab-event-uuid", "x-gitlab-webhook-uuid"]) {
        assert_eq!(send("Push Hook", (name, name), token, n).await, said(204, ""), "{name}");
        assert_eq!(send("Push Hook", (name, name), token, n + 100).await, duplicate, "{name}");
    }
    let unauthorized = said(401, r#"{"error":"Unauthorized"}"#);
    assert_eq!(send("Push Hook", ("idempotency-key", "3"), "another token", 3).await, unauthorized);
    assert_eq!(gateway.send("POST", "/webhooks/gitlab", &[], b"{}").await.status, 404);
}

#[tokio::test]
async fn a_signing_token_of_gitlab_is_told_from_a_plain_one_by_its_form() {
    let gateway = Gateway::start(PROJECTS).await;
    let signing = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let put = gateway.api("POST", "/sources/infra/secrets", &json!({ "secret": signing }).to_string()).await;
    assert!(put.status < 300, "{}", put.text());
    let body = json!({ "project": { "path_with_namespace": "acme/infra" } }).to_string();
    let scheme = hookward::catalog::find("gitlab").unwrap();
    let key = scheme.key(1, &hookward::Secret::new(signing).unwrap()).unwrap();
    let draft = hookward::Draft { id: "d1", event_type: "Push Hook", method: "POST", url: "/", body: body.as_bytes() };
    let now = hookward_engine::clock::SystemClock::new().now().as_secs();
    let signed = scheme.sign(&draft, &[key], hookward::UnixTime::from_secs(now)).unwrap();
    let headers: Vec<_> = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(gateway.send("POST", "/v1/webhooks/gitlab", &headers, body.as_bytes()).await.status, 202);
    let mut both = headers.clone();
    both.push(("x-gitlab-token", "the secret of INFRA"));
    let changed = body.replace('}', " }");
    let answer = gateway.send("POST", "/v1/webhooks/gitlab", &both, changed.as_bytes()).await;
    assert_eq!(answer.status, 401, "a wrong signature is not made good by a right token");
}
