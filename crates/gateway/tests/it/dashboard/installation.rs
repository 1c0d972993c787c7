//! Pages about the installation: the overview, the audit log with its check and export, encryption, the system.

use serde_json::json;

use super::{PASSWORD, Visitor, audited};
use crate::support::{GITHUB_SECRET, Gateway, KEY, SOURCES, send};

const HOSTILE: &str = "<script>alert(1)</script>\"'&{{7*7}}";

/// A gateway with a destination that takes nothing now.
async fn gateway() -> Gateway {
    let config = format!("{SOURCES}\n[limits]\nheader_count = 77\n[[destination]]\nname = \"ci\"\ntype = \"pull\"\n");
    Gateway::start(&config).await
}

/// Somebody of another organization, with every scope.
async fn tenant<'g>(gateway: &'g Gateway) -> Visitor<'g> {
    let made = gateway.api("POST", "/organizations", &json!({ "name": "acme" }).to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = format!("Bearer {}", made.json()["key"].as_str().unwrap());
    let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
    let user = json!({ "email": "eve@example.com", "scopes": ["*"] }).to_string();
    let invited = send(gateway.running.admin(), "POST", "/api/v1/users", &headers, user.as_bytes()).await;
    let accept = json!({ "token": invited.json()["invitation"], "password": PASSWORD }).to_string();
    let accepted = send(gateway.running.admin(), "POST", "/api/v1/invitation", &headers[1..], accept.as_bytes()).await;
    assert_eq!(accepted.status, 204, "{}", accepted.text());
    let mut visitor = gateway.stranger();
    let fields = [("email", "eve@example.com"), ("password", PASSWORD), ("organization", "acme")];
    let answer = visitor.submit("/dashboard/sign-in", "/dashboard/sign-in", &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    visitor
}

fn has(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "`{text}` is not in\n{page}");
    }
}

fn lacks(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(!page.contains(text), "`{text}` is in\n{page}");
    }
}

#[tokio::test]
async fn the_overview_tells_what_came_and_what_was_refused() {
    let gateway = gateway().await;
    let mut ana = gateway.visitor("ana@example.com", &["read"]).await;
    has(&ana.page("/dashboard").await, &["No request was refused", "No attempt failed", "None is in grace"]);
    for n in 0..3 {
        assert_eq!(gateway.push(&format!("d-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await.status, 202);
    }
    assert_eq!(gateway.push("d-0", b"{\"n\":0}").await.status, 200);
    assert_eq!(gateway.send("POST", "/in/github", &[], b"{}").await.status, 401);
    // The refusal is written a moment later.
    while audited_count(&gateway, "webhook.refused").await == 0 {
        tokio::task::yield_now().await;
    }
    let rotated = gateway.api("POST", "/sources/github/secrets/rotate", r#"{"grace_s":3600}"#).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    for range in ["1h", "6h", "24h", "7d", "30d"] {
        let page = ana.page(&format!("/dashboard?range={range}")).await;
        has(&page, &["3 accepted, 1 repeated, 1 refused", "href=\"/dashboard/sources/github\"", "in grace"]);
        has(&page, &[&format!("<a href=\"/dashboard?range={range}\" aria-current=\"page\">")]);
        has(&page, &["<rect class=\"accepted\"", "role=\"img\" aria-label=\"Received in the last"]);
        let again = ana.page(&format!("/dashboard/overview?range={range}")).await;
        has(&again, &["3 accepted, 1 repeated, 1 refused"]);
        lacks(&again, &["<html", "<nav"]);
    }
    // What is written down is told the same.
    gateway.running.engine().tally().await.unwrap();
    has(&ana.page("/dashboard?range=%3Cb%3E").await, &["3 accepted, 1 repeated, 1 refused", "the last 24 hours"]);
    has(
        &tenant(&gateway).await.page("/dashboard").await,
        &["0 accepted, 0 repeated, 0 refused", "Nothing has come yet"],
    );
}

async fn audited_count(gateway: &Gateway, action: &str) -> usize {
    gateway.get(&format!("/audit?action={action}")).await["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn the_audit_log_is_narrowed_by_what_stands_in_the_address() {
    let gateway = gateway().await;
    let mut ana = gateway.visitor("ana@example.com", &["read"]).await;
    let revealed =
        gateway.api("POST", "/sources/github/secrets/1/reveal", &json!({ "reason": HOSTILE }).to_string()).await;
    assert_eq!(revealed.status, 200, "{}", revealed.text());
    let seq = audited(&gateway, "secret.reveal").await["seq"].as_i64().unwrap();
    let all = ana.page("/dashboard/audit").await;
    has(&all, &["secret.reveal", "user.login", "&#60;script&#62;alert(1)", &format!("/dashboard/audit/{seq}\"")]);
    lacks(&all, &["<script>alert", GITHUB_SECRET, "Export"]);
    let some = ana.page("/dashboard/audit?action=secret.reveal&actor=key%3Abootstrap&target=source%3Agithub").await;
    has(&some, &["<code>secret.reveal</code>", "Show all"]);
    lacks(&some, &["<code>user.login</code>"]);
    let none = ana.page("/dashboard/audit?actor=nobody&since=2020-01-01T00%3A00&until=").await;
    has(&none, &["No entry is like that", "value=\"2020-01-01T00:00\""]);
    let wrong = ana.get(&format!("/dashboard/audit?since=yesterday&actor={}", "%3Cb%3E")).await;
    assert_eq!(wrong.status, 422);
    has(&wrong.text(), &["Write a time like", "value=\"yesterday\"", "value=\"&#60;b&#62;\""]);
    let entry = ana.page(&format!("/dashboard/audit/{seq}")).await;
    has(&entry, &["&#60;script&#62;", "key:bootstrap", "source:github", "Hash before it"]);
    lacks(&entry, &["<script>alert"]);
    for nothing in ["0", "-1", "99999", "x"] {
        assert_eq!(ana.get(&format!("/dashboard/audit/{nothing}")).await.status, 404, "{nothing}");
    }
    let mut eve = tenant(&gateway).await;
    assert_eq!(eve.get(&format!("/dashboard/audit/{seq}")).await.status, 404, "it is another organization's");
    lacks(&eve.page("/dashboard/audit").await, &["<code>secret.reveal</code>"]);
}

#[tokio::test]
async fn the_audit_log_is_paged_through() {
    let gateway = gateway().await;
    let mut ana = gateway.visitor("ana@example.com", &["read"]).await;
    for n in 0..60 {
        assert_eq!(gateway.push(&format!("d-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await.status, 202);
    }
    let first = ana.page("/dashboard/audit?action=webhook.deliver").await;
    let rows = |page: &str| page.matches("data-label=\"Entry\"").count();
    let older = first.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
    let older = older.split('"').next().unwrap().replace("&#38;", "&");
    assert!(older.starts_with("/dashboard/audit?action=webhook.deliver&before="), "{older}");
    let second = ana.page(&older).await;
    assert_eq!((rows(&first), rows(&second)), (50, 10));
    has(&second, &["<a class=\"button\" href=\"/dashboard/audit?action=webhook.deliver\" rel=\"prev\">Newer</a>"]);
}

#[tokio::test]
async fn the_chain_is_checked_and_says_where_it_is_broken() {
    let gateway = gateway().await;
    let mut ana = gateway.visitor("ana@example.com", &["read"]).await;
    for n in 0..5 {
        gateway.push(&format!("d-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await;
    }
    let check = "/dashboard/audit/check";
    let sound = ana.submit(check, check, &[]).await.text();
    has(&sound, &["The log is as it was written.", "Rows 1 to ", "none was changed, taken out or put in"]);
    let head = gateway.get("/audit/head").await["head"].as_str().unwrap().to_owned();
    let agreed = ana.submit(check, check, &[("last", ""), ("published", &head)]).await.text();
    has(&agreed, &["The log is as it was written.", "It agrees with the head that was published."]);
    let (seq, hash) = head.split_once(':').unwrap();
    let other = format!("{seq}:{}", hash.chars().rev().collect::<String>());
    let refused = ana.submit(check, check, &[("published", &other)]).await.text();
    has(
        &refused,
        &["The log is not as it was written:", &format!("row {seq} is not the one whose hash was published")],
    );
    let wrong = ana.submit(check, check, &[("published", "4711:<b>")]).await;
    assert_eq!(wrong.status, 422);
    has(&wrong.text(), &["SEQ:HASH, with a hash of 64", "value=\"4711:&#60;b&#62;\""]);
    assert_eq!(ana.post(check, &[], "cross-site").await.status, 403);
    // An organization's own rows stand between others', so they are checked each by itself.
    let own = tenant(&gateway).await.submit(check, check, &[("last", "")]).await.text();
    has(&own, &["The log is as it was written.", "none was changed."]);
    lacks(&own, &["taken out or put in", "hookward audit verify"]);
}

#[tokio::test]
async fn a_long_log_is_checked_in_steps_that_say_how_far_they_are() {
    let gateway = gateway().await;
    let mut ana = gateway.visitor("ana@example.com", &["read"]).await;
    let events: Vec<_> = (0..1_000).map(|n| json!({ "type": "t", "payload": n })).collect();
    let batch = json!({ "events": events }).to_string();
    for _ in 0..10 {
        let published = gateway.api("POST", "/events/batch", &batch).await;
        assert!(published.status < 300, "{}", published.text());
    }
    let check = "/dashboard/audit/check";
    let first = ana.submit(check, check, &[("last", "")]).await.text();
    has(&first, &["<progress class=\"whole\"", "Checking: 99 %", "10000 of 100", "data-go-on"]);
    let rest = ana.submit_on(&first, check, &[]).await.text();
    has(&rest, &["The log is as it was written.", "Rows 1 to 10,0"]);
}

#[tokio::test]
async fn the_log_is_taken_out_by_who_may_and_tells_of_it() {
    let gateway = gateway().await;
    let (path, action) = ("/dashboard/audit", "/dashboard/audit/export");
    let mut ana = gateway.visitor("ana@example.com", &["read", "export"]).await;
    let own = ana.submit(path, action, &[]).await;
    assert_eq!(own.status, 200);
    assert_eq!(own.header("content-disposition"), Some("attachment; filename=\"hookward-audit.jsonl\""));
    assert!(own.text().contains("\"action\":\"audit.export\""), "{}", own.text());
    let entry = audited(&gateway, "audit.export").await;
    assert_eq!((&entry["actor"], &entry["detail"]["chain"]), (&json!("user:ana@example.com"), &json!("own")));
    assert_eq!(ana.submit(path, action, &[("chain", "all")]).await.status, 200);
    let mut eve = tenant(&gateway).await;
    let page = eve.page(path).await;
    lacks(&page, &["Everybody&#39;s", "value=\"all\""]);
    let mut fields = super::filled_in(&page, action, &[]);
    fields.iter_mut().filter(|(name, _)| name == "chain").for_each(|(_, value)| "all".clone_into(value));
    assert_eq!(eve.post(action, &fields, "same-origin").await.status, 403, "everybody's rows are not everybody's");
    let mut viewer = gateway.visitor("vic@example.com", &["read"]).await;
    let token = super::filled_in(&viewer.page("/dashboard").await, "/dashboard/sign-out", &[]);
    assert_eq!(viewer.post(action, &token, "same-origin").await.status, 403);
}

#[tokio::test]
async fn keys_are_shown_tried_and_everything_brought_under_the_current_one() {
    let gateway = gateway().await;
    let mut ana = gateway.visitor("ana@example.com", &["read", "admin"]).await;
    let path = "/dashboard/encryption";
    let page = ana.page(path).await;
    has(&page, &["local:", "wraps and unwraps", "all open", "Everything is under the current key", "kms.provider"]);
    let tested = ana.submit(path, "/dashboard/encryption/test", &[]).await;
    assert_eq!(tested.status, 200);
    has(&tested.text(), &["wrapped a data key and unwrapped it again in"]);
    assert_eq!(audited(&gateway, "kms.test").await["actor"], "user:ana@example.com");
    has(&ana.page("/dashboard/encryption/rewrap").await, &["Nothing was rewrapped yet."]);
    let begun = ana.submit(path, "/dashboard/encryption/rewrap", &[]).await;
    has(&ana.follow(&begun).await, &["0 of 0 values are under", "Begun by user:ana@example.com"]);
    assert_eq!(audited(&gateway, "kms.rewrap").await["detail"]["give_up_lost"], false);
    while !ana.page("/dashboard/encryption/rewrap").await.contains("data-live-ends") {
        tokio::task::yield_now().await;
    }
    for (who, scopes) in [("vic@example.com", &["read"][..]), ("rev@example.com", &["read", "reveal", "rotate"][..])] {
        let mut other = gateway.visitor(who, scopes).await;
        for path in [path, "/dashboard/encryption/rewrap", "/dashboard/system"] {
            assert_eq!(other.get(path).await.status, 403, "{who} {path}");
        }
    }
    let mut eve = tenant(&gateway).await;
    for path in [path, "/dashboard/encryption/rewrap", "/dashboard/system"] {
        assert_eq!(eve.get(path).await.status, 403, "whoever does not operate the installation: {path}");
    }
    let token = super::filled_in(&eve.page("/dashboard").await, "/dashboard/sign-out", &[]);
    for action in ["/dashboard/encryption/rewrap", "/dashboard/encryption/test"] {
        assert_eq!(eve.post(action, &token, "same-origin").await.status, 403, "{action}");
    }
}

#[tokio::test]
async fn the_system_shows_what_is_in_force_and_where_it_comes_from() {
    let gateway = gateway().await;
    let mut ana = gateway.visitor("ana@example.com", &["read", "admin"]).await;
    gateway.push("d-1", b"{}").await;
    let page = ana.page("/dashboard/system").await;
    let node = gateway.running.engine().node().to_string();
    let public = gateway.running.public().to_string();
    has(&page, &[&node, &public, env!("CARGO_PKG_VERSION"), "hookward.toml", "Kept, by source"]);
    let row = page.split("<code>header_count</code>").nth(1).unwrap().split("</tr>").next().unwrap();
    has(row, &[">77<", "file, line "]);
    let row = page.split("<code>header_timeout</code>").nth(1).unwrap().split("</tr>").next().unwrap();
    has(row, &[">10s<", ">default<"]);
    has(&page, &["environment, HOOKWARD_API_KEY"]);
    lacks(&page, &[KEY, GITHUB_SECRET]);
}
