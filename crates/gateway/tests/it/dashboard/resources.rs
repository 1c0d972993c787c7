//! Pages about what is declared, gone through as a browser without script does.

mod declare;
mod programs;
mod schemes;
mod secrets;

pub(crate) use schemes::scheme_file;

use serde_json::json;

use super::{PASSWORD, Visitor, audited, shown};
use crate::support::{GITHUB_SECRET, Gateway, SOURCES, sign};

const DESTINATION: &str = r#"
[[source]]
name = "open"
unsigned = true

[[destination]]
name = "ci"
type = "http"
url = "https://ci.example.com/hook?key=hunter2"
sign = { scheme = "qlens" }
set_headers = { "X-Key" = "hunter2" }
"#;

/// A value that would be markup, if it were taken for any.
const HOSTILE: &str = "\"><script>window.__pwned=1</script>";

/// What no page may make of it.
fn assert_harmless(page: &str) {
    assert!(!page.contains("<script>") && !page.contains("__pwned=1</"), "{page}");
}

/// A signed-in administrator of another organization.
async fn of_another_organization(gateway: &Gateway) -> Visitor<'_> {
    let made = gateway.api("POST", "/organizations", r#"{"name":"acme"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let user = r#"{"email":"bob@example.com","scopes":["*"]}"#;
    let invited = gateway.api_as(&key, "POST", "/users", user).await;
    let accept = json!({ "token": invited.json()["invitation"], "password": PASSWORD }).to_string();
    assert_eq!(gateway.api("POST", "/invitation", &accept).await.status, 204);
    let mut bob = gateway.stranger();
    let fields = [("email", "bob@example.com"), ("password", PASSWORD), ("organization", "acme")];
    let begun = bob.submit("/dashboard/sign-in", "/dashboard/sign-in", &fields).await;
    assert_eq!(begun.status, 303, "{}", begun.text());
    bob
}

/// Waits until what was refused is written down.
async fn refused_kept(gateway: &Gateway) {
    while gateway.get("/refusals").await["items"].as_array().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Reveals a version by the form on its owner's page.
pub(super) async fn revealed(visitor: &mut Visitor<'_>, page: &str, version: u32) -> String {
    let action = format!("{page}/secrets/{version}/reveal");
    let answer = visitor.submit(page, &action, &[("reason", "a test")]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    shown(&answer.text(), "value")
}

#[tokio::test]
async fn a_source_waits_says_why_it_refused_and_turns_green() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let page = ada.page("/dashboard/sources/github").await;
    assert!(page.contains("Waiting for the first request"));
    assert!(page.contains("data-live=\"/dashboard/sources/github/first\""));
    let url = format!("http://{}/in/github", gateway.running.public());
    assert_eq!(shown(&page, "step-2"), url, "ready to paste");
    assert!(page.contains("[public] origin"), "nobody said how senders see the listener");
    let first = async |ada: &mut Visitor<'_>| ada.page("/dashboard/sources/github/first").await;
    assert!(!first(&mut ada).await.contains("<html"), "a part of the page, not a page");
    let body = b"{\"x\":\"<script>window.__pwned=1</script>\"}";
    assert_eq!(gateway.send("POST", "/in/github", &[("x-evil", HOSTILE)], body).await.status, 401);
    refused_kept(&gateway).await;
    let refused = first(&mut ada).await;
    assert!(refused.contains("Waiting for the first request") && refused.contains("The signature is missing."));
    assert_eq!(gateway.push("d-1", b"{}").await.status, 202);
    let green = first(&mut ada).await;
    assert!(green.contains("It works") && green.contains("data-live-ends"), "{green}");
    let page = ada.page("/dashboard/sources/github").await;
    assert!(page.contains("signature-missing") && page.contains("header:X-Hub-Signature-256"));
    let (_, rest) = page.split_once("/dashboard/refusals/").unwrap();
    let id = rest.split('"').next().unwrap();
    let refusal = ada.page(&format!("/dashboard/refusals/{id}")).await;
    assert!(refusal.contains("x-evil") && refusal.contains("POST /in/github"), "{refusal}");
    assert_harmless(&refusal);
}

#[tokio::test]
async fn what_is_declared_is_told_in_words_and_without_credentials() {
    let config = r#"
[public]
origin = "https://hooks.example.com"
[[source]]
name = "stripe"
scheme = "stripe"
filter = "body.a == \"\\\"><script>window.__pwned=1</script>\""
rate = { requests = 1000, per = "1m" }
grace = "0s"
"#;
    let gateway = Gateway::start(&format!("{config}{DESTINATION}")).await;
    let mut ada = gateway.visitor("ada@example.com", &["read"]).await;
    let stripe = ada.page("/dashboard/sources/stripe").await;
    for told in
        ["https://hooks.example.com/in/stripe", "1,000 in 1 min", "the old secret ends at once", "stripe trigger"]
    {
        assert!(stripe.contains(told), "{told}: {stripe}");
    }
    assert!(!stripe.contains("[public] origin"));
    assert_harmless(&stripe);
    let open = ada.page("/dashboard/sources/open").await;
    assert!(open.contains("Unsigned") && open.contains("This needs no secret."));
    let ci = ada.page("/dashboard/destinations/ci").await;
    for told in
        ["Healthy", "https://ci.example.com/hook?…", "X-Key", "8 attempts", "10 h later", "after 5 d of nothing but"]
    {
        assert!(ci.contains(told), "{told}: {ci}");
    }
    let list = ada.page("/dashboard/destinations").await;
    let sources = ada.page("/dashboard/sources").await;
    assert!(sources.contains("/dashboard/sources/stripe") && list.contains("/dashboard/destinations/ci"));
    for page in [stripe, ci, list, sources] {
        assert!(!page.contains("hunter2"), "{page}");
        for act in ["New source", "New destination", ">Change<", "<button>Pause", "Reveal", "Revoke"] {
            assert!(!page.contains(act), "a reader sees no {act}");
        }
    }
}

#[tokio::test]
async fn deliveries_without_a_signature_are_called_so() {
    let config = "[[destination]]\nname = \"plain\"\ntype = \"http\"\nurl = \"https://a.example.com/\"";
    let gateway = Gateway::start(config).await;
    let mut ada = gateway.visitor("ada@example.com", &["read"]).await;
    assert!(ada.page("/dashboard/destinations/plain").await.contains("Deliveries are unsigned"));
    assert_eq!(ada.get("/dashboard/destinations/nothing").await.status, 404);
    assert_eq!(ada.get("/dashboard/sources/nothing").await.status, 404);
    assert!(ada.page("/dashboard/sources").await.contains("No door in yet"), "what is empty teaches");
}

#[tokio::test]
async fn a_destination_is_paused_and_what_it_was_owed_goes_on_as_it_is_said() {
    let gateway = Gateway::start(DESTINATION).await;
    let mut ada = gateway.visitor("ada@example.com", &["read", "redeliver"]).await;
    let ci = "/dashboard/destinations/ci";
    let paused = ada.submit(ci, &format!("{ci}/pause"), &[]).await;
    assert!(ada.follow(&paused).await.contains("Paused. What comes for it is held."));
    assert_eq!(audited(&gateway, "destination.pause").await["actor"], "user:ada@example.com");
    for _ in 0..2 {
        assert_eq!(gateway.send("POST", "/in/open", &[], b"{}").await.status, 202);
    }
    assert!(ada.page(ci).await.contains("What becomes of the 2 held?"));
    let resume = format!("{ci}/resume");
    let wrong = ada.submit(ci, &resume, &[("held", "spread"), ("per_s", "many")]).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("Say how many deliveries a second"));
    let wrong = ada.submit(ci, &resume, &[("held", "spread"), ("per_s", "0")]).await;
    assert!(wrong.status == 422 && wrong.text().contains("A drain rate is 1 to "), "{}", wrong.text());
    let dropped = ada.submit(ci, &resume, &[("held", "drop")]).await;
    assert!(ada.follow(&dropped).await.contains("What was held is cancelled."));
    let detail = &audited(&gateway, "destination.resume").await["detail"];
    assert_eq!((&detail["dropped"], &detail["held"]), (&json!(true), &json!(2)));
    let recover = format!("{ci}/recover");
    let asked = [("what", "missing"), ("since", "1h"), ("count", "true")];
    let counted = ada.submit(ci, &recover, &asked).await;
    assert_eq!(counted.status, 200);
    let counted = counted.text();
    assert!(counted.contains("value=\"1h\"") && counted.contains(" events.</span>"), "{counted}");
    let wrong = ada.submit(ci, &recover, &[("what", "failed"), ("since", "lately")]).await;
    assert!(wrong.status == 422 && wrong.text().contains("Say since when"), "{}", wrong.text());
    let begun = ada.submit(ci, &recover, &[("what", "failed"), ("since", "24h")]).await;
    assert!(ada.follow(&begun).await.contains("Recovery has begun"));
}

#[tokio::test]
async fn nobody_sees_or_does_what_is_not_theirs() {
    let gateway = Gateway::start(&format!("{SOURCES}\n{}", &DESTINATION[DESTINATION.find("[[dest").unwrap()..])).await;
    let mut reader = gateway.visitor("eve@example.com", &["read"]).await;
    let page = reader.page("/dashboard/sources/github").await;
    let token = super::filled_in(&page, "/dashboard/sign-out", &[]);
    for path in [
        "/dashboard/destinations/ci/pause",
        "/dashboard/destinations/ci/resume",
        "/dashboard/destinations/ci/recover",
        "/dashboard/sources/github/secrets/rotate",
        "/dashboard/sources/github/secrets/set",
        "/dashboard/sources/github/secrets/1/reveal",
        "/dashboard/sources/github/secrets/1/revoke",
        "/dashboard/sources/github/edit",
        "/dashboard/sources/github/remove",
        "/dashboard/new-source",
        "/dashboard/new-destination",
    ] {
        assert_eq!(reader.post(path, &token, "same-origin").await.status, 403, "{path}");
        assert_eq!(reader.post(path, &token, "cross-site").await.status, 403, "{path}");
    }
    let mut other = of_another_organization(&gateway).await;
    assert!(other.page("/dashboard/sources").await.contains("No door in yet"));
    for path in [
        "/dashboard/sources/github",
        "/dashboard/sources/github/first",
        "/dashboard/sources/github/edit",
        "/dashboard/sources/github/secrets/rotate",
        "/dashboard/sources/github/secrets/1/revoke",
        "/dashboard/destinations/ci",
    ] {
        assert_eq!(other.get(path).await.status, 404, "{path}");
    }
    let signature = sign(b"{}");
    assert_eq!(gateway.send("POST", "/in/github", &[("x-hub-signature-256", &signature)], b"{}").await.status, 202);
    assert!(!page.contains(GITHUB_SECRET), "no value is on a page before it is asked for");
}
