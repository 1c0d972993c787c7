//! Secrets on pages: nothing before it is asked for, a value for a moment, and what a change means before it is made.

use serde_json::json;

use super::super::audited;
use super::revealed;
use crate::support::{GITHUB_SECRET, Gateway, SOURCES, sign, sign_with};

const PAGE: &str = "/dashboard/sources/github";
const ROTATE: &str = "/dashboard/sources/github/secrets/rotate";
const SET: &str = "/dashboard/sources/github/secrets/set";

#[tokio::test]
async fn a_value_is_on_a_page_only_when_it_is_asked_for_and_the_audit_log_has_it_first() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    for path in [PAGE, ROTATE, SET, "/dashboard/sources", "/dashboard/sources/github/secrets/1/revoke"] {
        assert!(!ada.page(path).await.contains(GITHUB_SECRET), "{path}");
    }
    let fields = [("reason", "setting up <b>GitHub</b>")];
    let answer = ada.submit(PAGE, "/dashboard/sources/github/secrets/1/reveal", &fields).await;
    assert_eq!((answer.status, super::shown(&answer.text(), "value").as_str()), (200, GITHUB_SECRET));
    assert_eq!(answer.header("refresh"), Some("30;url=/dashboard/sources/github#secrets"), "it goes without a script");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let (head, _) = answer.text().split_once("</head>").map(|(head, rest)| (head.to_owned(), rest.to_owned())).unwrap();
    assert!(!head.contains("Secret to"), "not in the title");
    let entry = audited(&gateway, "secret.reveal").await;
    assert_eq!(entry["detail"], json!({ "version": 1, "reason": "setting up <b>GitHub</b>" }));
    assert_eq!((&entry["actor"], &entry["target"]), (&json!("user:ada@example.com"), &json!("source:github")));
    let too_long = "x".repeat(2000);
    let refused = ada.submit(PAGE, "/dashboard/sources/github/secrets/1/reveal", &[("reason", &too_long)]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("A reason has at most"), "{}", refused.text());
    let missing = ada.submit(PAGE, "/dashboard/sources/github/secrets/1/reveal", &[("reason", "x")]).await;
    assert_eq!(missing.status, 200);
}

#[tokio::test]
async fn who_proved_themselves_long_ago_proves_it_again_first() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let page = ada.page(PAGE).await;
    ada.grow_stale().await;
    let reveal = "/dashboard/sources/github/secrets/1/reveal";
    let first = ada.submit_on(&page, reveal, &[("reason", "x")]).await;
    let confirm = "/dashboard/confirm?next=%2Fdashboard%2Fsources%2Fgithub";
    assert_eq!((first.status, first.header("location")), (303, Some(confirm)));
    for (path, next) in [(ROTATE, "rotate"), (SET, "set"), ("/dashboard/sources/github/secrets/1/revoke", "1%2Frevoke")]
    {
        let first = ada.get(path).await;
        let next = format!("{confirm}%2Fsecrets%2F{next}");
        assert_eq!((first.status, first.header("location")), (303, Some(next.as_str())), "{path}");
    }
    let first = ada.submit_on(&page, ROTATE, &[]).await;
    assert_eq!(first.header("location"), Some(format!("{confirm}%2Fsecrets%2Frotate").as_str()));
    let cookie = format!("hookward_session={}", ada.cookie("hookward_session").unwrap());
    let headers = [("cookie", &*cookie), ("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
    let key = r#"{"name":"own","scopes":["reveal"]}"#;
    let user = r#"{"email":"own@example.com","scopes":["reveal"]}"#;
    let secrets = "/sources/github/secrets";
    for (path, body) in [
        (format!("{secrets}/1/reveal"), "{}"),
        (format!("{secrets}/1/revoke"), r#"{"force":true}"#),
        (format!("{secrets}/rotate"), "{}"),
        (secrets.to_owned(), r#"{"secret":"a secret of the test's own"}"#),
        ("/keys".to_owned(), key),
        ("/users".to_owned(), user),
    ] {
        let answer = gateway.bare("POST", &path, &headers, body).await;
        assert_eq!(answer.status, 403, "the API is no way round it: {path}");
        assert!(answer.text().contains("too long ago"), "{path}: {}", answer.text());
    }
    assert!(ada.page(PAGE).await.contains("Version 1"), "nothing was done");
    ada.prove_again().await;
    assert_eq!(revealed(&mut ada, PAGE, 1).await, GITHUB_SECRET);
}

#[tokio::test]
async fn a_rotation_says_whom_it_concerns_and_the_old_secret_ends_as_it_is_said() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    assert!(ada.page(PAGE).await.contains("Version 1 was never used."));
    for n in 0..3 {
        assert_eq!(gateway.push(&format!("d-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await.status, 202);
    }
    let page = ada.page(PAGE).await;
    assert!(page.contains("Version 1: 3 deliveries verified in the last hour."), "{page}");
    assert!(
        page.contains("In 1 d: the old one works until") && page.contains("still using the old secret fails at once")
    );
    let rotated = ada.submit_on(&page, ROTATE, &[("grace", "own")]).await;
    let after = ada.follow(&rotated).await;
    assert!(after.contains("There is a new secret.") && after.contains("In grace") && after.contains("In force"));
    assert_eq!(audited(&gateway, "secret.rotate").await["detail"]["version"], 2);
    let new = revealed(&mut ada, PAGE, 2).await;
    let believed = async |secret: &str, id: &str| {
        let signature = sign_with(secret, b"{\"late\":1}");
        let headers =
            [("x-hub-signature-256", signature.as_str()), ("x-github-delivery", id), ("x-github-event", "push")];
        gateway.send("POST", "/in/github", &headers, b"{\"late\":1}").await.status
    };
    assert!(
        matches!(believed(GITHUB_SECRET, "g-1").await, 200..300) && matches!(believed(&new, "g-2").await, 200..300)
    );
    let stale = ada.submit_on(&page, ROTATE, &[("grace", "own")]).await;
    assert_eq!(stale.status, 412);
    assert!(stale.text().contains("Somebody else has changed this secret"));
    for lapse in ["", "soon", "99999d"] {
        let wrong = ada.submit(PAGE, ROTATE, &[("grace", "other"), ("lapse", lapse)]).await;
        assert!(wrong.status == 422 && wrong.text().contains("Say how long the old secret"), "{lapse}");
    }
    let at_once = ada.submit(ROTATE, ROTATE, &[("grace", "none")]).await;
    assert_eq!(at_once.status, 303);
    assert_eq!((believed(GITHUB_SECRET, "g-3").await, believed(&new, "g-4").await), (401, 401));
    let long = ada.submit(PAGE, ROTATE, &[("grace", "other"), ("lapse", "7d")]).await;
    assert!(ada.follow(&long).await.contains("Version 4"));
}

#[tokio::test]
async fn a_value_is_set_and_one_that_cannot_be_a_key_is_told_without_repeating_it() {
    let gateway = Gateway::start("[[source]]\nname = \"q\"\nscheme = \"standard-webhooks\"").await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let (page, set) = ("/dashboard/sources/q", "/dashboard/sources/q/secrets/set");
    assert!(ada.page(page).await.contains("hookward secret set q --source --generate"));
    let wrong = ada.submit(set, set, &[("secret", "whsec_&quot;hunter2")]).await;
    assert_eq!(wrong.status, 422);
    assert!(
        wrong.text().contains("The secret is not") || wrong.text().contains("the secret is not"),
        "{}",
        wrong.text()
    );
    assert!(!wrong.text().contains("hunter2"));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr";
    let done = ada.submit(set, set, &[("secret", secret)]).await;
    assert!(ada.follow(&done).await.contains("The secret is set."));
    assert_eq!(revealed(&mut ada, page, 1).await, secret);
    let binary = ada.submit(set, set, &[("secret", "not base64!"), ("is_base64", "true")]).await;
    assert!(binary.status == 422 && binary.text().contains("is not base64 with padding"), "{}", binary.text());
}

#[tokio::test]
async fn a_secret_in_use_is_revoked_only_when_that_is_meant() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let revoke = "/dashboard/sources/github/secrets/1/revoke";
    assert!(!ada.page(revoke).await.contains("name=\"force\""), "nothing uses it");
    assert_eq!(gateway.push("d-1", b"{}").await.status, 202);
    let page = ada.page(revoke).await;
    assert!(page.contains("name=\"force\"") && page.contains("Version 1: 1 delivery verified in the last hour."));
    let refused = ada.submit_on(&page, revoke, &[]).await;
    assert!(refused.status == 409 && refused.text().contains("This version is in use"), "{}", refused.text());
    let done = ada.submit_on(&page, revoke, &[("force", "true")]).await;
    let after = ada.follow(&done).await;
    assert!(after.contains("That version works no more.") && after.contains("Revoked"));
    assert!(!after.contains("secrets/1/reveal"), "what is revoked is nobody's business");
    let signature = sign(b"{}");
    assert_eq!(gateway.send("POST", "/in/github", &[("x-hub-signature-256", &signature)], b"{}").await.status, 401);
    assert_eq!(ada.get("/dashboard/sources/github/secrets/9/revoke").await.status, 404);
    assert_eq!(ada.get("/dashboard/sources/github/secrets/x/revoke").await.status, 404);
}

#[tokio::test]
async fn the_end_of_a_secret_is_moved_while_it_is_to_come() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let (end, versions) = ("/dashboard/sources/github/secrets/1/end", "/sources/github/secrets");
    let until = async || gateway.get(versions).await["items"].as_array().unwrap().last().unwrap()["not_after"].clone();
    let only = ada.page(end).await;
    assert!(
        only.contains("Version 1 has no end yet.") && only.contains("Nothing else is in force for longer"),
        "{only}"
    );
    ada.submit(ROTATE, ROTATE, &[("grace", "own")]).await;
    let page = ada.page(PAGE).await;
    assert!(page.contains(">Move the end<") && page.contains(">Set an end<"), "{page}");
    let before = until().await;
    let moved = ada.submit(end, end, &[("end", "after"), ("lapse", "7d")]).await;
    assert!(ada.follow(&moved).await.contains("The end is moved."));
    let after = until().await;
    assert!(after.as_str() > before.as_str(), "{before} {after}");
    let entry = audited(&gateway, "secret.update").await;
    assert_eq!((&entry["actor"], &entry["detail"]["version"]), (&json!("user:ada@example.com"), &json!(1)));
    let at = ada.submit(end, end, &[("end", "at"), ("at", "2999-01-31T09:30")]).await;
    assert_eq!((at.status, until().await), (303, json!("2999-01-31T09:30:00.000Z")));
    for (fields, says) in [
        ([("end", "after"), ("lapse", "soon")], "Say how long the old secret goes on working"),
        ([("end", "after"), ("lapse", "")], "Say how long the old secret goes on working"),
        ([("end", "at"), ("at", "yesterday")], "Write a time like"),
        ([("end", "at"), ("at", "")], "Write a time like"),
        ([("end", "at"), ("at", "2020-01-01T00:00")], "That is over already."),
    ] {
        let wrong = ada.submit(end, end, &fields).await;
        assert!(wrong.status == 422 && wrong.text().contains(says), "{fields:?}: {}", wrong.text());
    }
    assert_eq!(until().await, json!("2999-01-31T09:30:00.000Z"), "nothing was done");
    let never = ada.submit(end, end, &[("end", "never")]).await;
    assert_eq!((never.status, until().await), (303, json!(null)));
    ada.grow_stale().await;
    let first = ada.get(end).await;
    let confirm = "/dashboard/confirm?next=%2Fdashboard%2Fsources%2Fgithub%2Fsecrets%2F1%2Fend";
    assert_eq!((first.status, first.header("location")), (303, Some(confirm)));
}

#[tokio::test]
async fn old_versions_are_on_pages_of_their_own() {
    let gateway = Gateway::start(SOURCES).await;
    for _ in 0..30 {
        let rotated = gateway.api("POST", "/sources/github/secrets/rotate", r#"{"grace_s":0}"#).await;
        assert_eq!(rotated.status, 201, "{}", rotated.text());
    }
    let mut ada = gateway.visitor("ada@example.com", &["read"]).await;
    let versions = |page: &str| page.matches("<strong>Version ").count();
    let page = ada.page(PAGE).await;
    assert_eq!(versions(&page), 5);
    assert!(page.contains("<a href=\"/dashboard/sources/github/secrets\">All 31 versions</a>"), "{page}");
    let first = ada.page("/dashboard/sources/github/secrets").await;
    let second = ada.page("/dashboard/sources/github/secrets?before=6").await;
    assert!(first.contains("href=\"/dashboard/sources/github/secrets?before=6\" rel=\"next\""), "{first}");
    assert_eq!((versions(&first), versions(&second)), (25, 6));
    assert!(second.contains("<strong>Version 1</strong>") && !second.contains("rel=\"next\""));
    let set = r#"{"not_after":"2999-01-01T00:00:00Z"}"#;
    assert_eq!(gateway.api("PATCH", "/sources/github/secrets/2", set).await.status, 200);
    assert_eq!(versions(&ada.page(PAGE).await), 6, "what is in force is always there");
}

#[tokio::test]
async fn a_destination_with_several_purposes_asks_which() {
    let config = r#"
[[destination]]
name = "ci"
type = "http"
url = "https://ci.example.com/hook"
sign = [{ scheme = "qlens" }, { scheme = "standard-webhooks" }]
"#;
    let gateway = Gateway::start(config).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let (page, rotate) = ("/dashboard/destinations/ci", "/dashboard/destinations/ci/secrets/rotate");
    let made = ada.submit(page, rotate, &[("purpose", "standard-webhooks")]).await;
    assert!(ada.follow(&made).await.contains("There is a new secret."));
    assert!(revealed(&mut ada, page, 1).await.starts_with("whsec_"));
    assert_eq!(audited(&gateway, "secret.rotate").await["detail"]["purpose"], "standard-webhooks");
    let unknown = ada.submit(page, rotate, &[("purpose", "<script>")]).await;
    assert_eq!(unknown.status, 422);
    assert!(unknown.text().contains("has no secret for") && !unknown.text().contains("<script>"));
}
