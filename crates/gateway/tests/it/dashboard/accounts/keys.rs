//! API keys on pages: made, shown once, revoked.

use super::super::{audited, shown};
use crate::support::{Gateway, SOURCES};

const NEW: &str = "/dashboard/keys/new";
const FORM: &str = "/dashboard/keys";

#[tokio::test]
async fn a_key_is_made_shown_once_and_revoked() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["*"]).await;
    assert!(browser.page(FORM).await.contains("hookward key create"), "an empty list teaches");
    let fields = [("name", "deploy"), ("scope-publish", "yes"), ("lasts", "30")];
    let made = browser.submit(NEW, FORM, &fields).await;
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")));
    let key = shown(&made.text(), "key");
    assert_eq!(gateway.api_as(&key, "GET", "/sources", "").await.status, 200);
    assert_eq!(gateway.api_as(&key, "GET", "/users", "").await.status, 403);
    let listed = gateway.get("/keys").await["items"][0].clone();
    assert_eq!((&listed["name"], &listed["scopes"]), (&"deploy".into(), &serde_json::json!(["read", "publish"])));
    assert!(!listed["expires_at"].is_null());
    assert_eq!(audited(&gateway, "key.create").await["actor"], "user:ada@example.com");
    let page = browser.page(FORM).await;
    assert!(page.contains("deploy") && page.contains(&key[key.len() - 4..]) && !page.contains(&key));
    let revoke = format!("{FORM}/{}/revoke", listed["id"].as_str().unwrap());
    let revoked = browser.submit_on(&page, &revoke, &[]).await;
    let page = browser.follow(&revoked).await;
    assert!(page.contains("The key is revoked") && !page.contains(&revoke));
    assert_eq!(gateway.api_as(&key, "GET", "/sources", "").await.status, 401);
    assert_eq!(audited(&gateway, "key.revoke").await["target"], "key:deploy");
}

#[tokio::test]
async fn what_is_wrong_is_said_beside_what_was_typed() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["*"]).await;
    let none = [("name", "deploy"), ("scope-read", ""), ("lasts", "never")];
    let none = browser.submit(NEW, FORM, &none).await;
    assert_eq!(none.status, 422);
    let page = none.text();
    assert!(page.contains("`scopes` names at least one scope") && page.contains("value=\"deploy\""), "{page}");
    assert!(page.contains("value=\"never\" selected"));
    let bad = browser.submit_on(&page, FORM, &[("name", "<b>"), ("scope-read", "yes")]).await.text();
    assert!(bad.contains("&#60;b&#62;") && !bad.contains("<b>\""), "{bad}");
    for _ in 0..2 {
        browser.submit(NEW, FORM, &[("name", "twice")]).await;
    }
    assert_eq!(gateway.get("/keys").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_gives_away_what_they_do_not_have() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["read", "admin"]).await;
    let page = browser.page(NEW).await;
    assert!(page.contains("name=\"scope-reveal\" value=\"yes\" disabled"));
    let mut fields = super::filled_in(&page, FORM, &[("name", "more")]);
    fields.push(("scope-reveal".to_owned(), "yes".to_owned()));
    let refused = browser.post(FORM, &fields, "same-origin").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("Nobody can give away scopes that they do not have themselves."));
    browser.grow_stale().await;
    fields.pop();
    let asked = browser.post(FORM, &fields, "same-origin").await;
    assert_eq!(asked.header("location"), Some("/dashboard/confirm?next=%2Fdashboard%2Fkeys%2Fnew"));
    assert_eq!(gateway.get("/keys").await["items"].as_array().unwrap().len(), 0);
}
