//! Pages about who may: coming in, proving it again, one's own account, users, keys.

mod first_run;
mod keys;
mod own;
mod users;

use serde_json::json;

use super::{PASSWORD, audited, filled_in};
use crate::support::{Gateway, SOURCES};

#[tokio::test]
async fn somebody_signs_in_by_the_form_goes_where_they_wanted_and_signs_out() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.visitor("ada@example.com", &["read"]).await;
    let mut browser = gateway.stranger();
    let asked = browser.get("/dashboard/settings?x=%3C").await;
    let first = asked.header("location").unwrap().to_owned();
    assert_eq!((asked.status, first.as_str()), (303, "/dashboard/sign-in?next=%2Fdashboard%2Fsettings%3Fx%3D%253C"));
    let wrong = [("email", "ada@example.com"), ("password", "not the password")];
    let refused = browser.submit(&first, "/dashboard/sign-in", &wrong).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("The email address, the password or the code is not right."));
    assert!(refused.text().contains("value=\"ada@example.com\"") && !refused.text().contains("not the password"));
    let right = [("password", PASSWORD)];
    let begun = browser.submit_on(&refused.text(), "/dashboard/sign-in", &right).await;
    assert_eq!((begun.status, begun.header("location")), (303, Some("/dashboard/settings?x=%3C")));
    let page = browser.page("/dashboard/settings").await;
    assert!(page.contains("ada@example.com"));
    let out = browser.submit_on(&page, "/dashboard/sign-out", &[]).await;
    assert!(browser.follow(&out).await.contains("You are signed out."));
    assert_eq!(browser.get("/dashboard/settings").await.status, 303);
    assert_eq!(audited(&gateway, "user.logout").await["actor"], "user:ada@example.com");
}

#[tokio::test]
async fn the_session_that_a_browser_had_ends_when_another_takes_its_place() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["read"]).await;
    let before = browser.cookie("hookward_session").unwrap().to_owned();
    browser.sign_in("ada@example.com").await;
    let now = browser.cookie("hookward_session").unwrap().to_owned();
    assert_ne!(now, before);
    assert_eq!(gateway.api_as(&before, "GET", "/me", "").await.status, 401);
    assert_eq!(gateway.api_as(&now, "GET", "/me", "").await.status, 200);
}

#[tokio::test]
async fn a_form_is_taken_from_our_own_page_with_its_own_token_only() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let mut eve = gateway.visitor("eve@example.com", &["*"]).await;
    let action = "/dashboard/settings/sessions/others";
    ada.sign_in("ada@example.com").await;
    gateway.stranger().sign_in("ada@example.com").await;
    let page = ada.page("/dashboard/settings").await;
    let fields = filled_in(&page, action, &[]);
    let of_eve = eve.page("/dashboard/settings").await;
    let foreign = filled_in(&of_eve, "/dashboard/sign-out", &[]);
    for (fields, site) in
        [(&fields, "cross-site"), (&fields, "same-site"), (&foreign, "same-origin"), (&vec![], "same-origin")]
    {
        assert_eq!(ada.post(action, fields, site).await.status, 403, "{site} {fields:?}");
    }
    assert_eq!(ada.post(action, &fields, "same-origin").await.status, 303);
    let stranger = gateway.stranger().post(action, &fields, "same-origin").await;
    assert_eq!((stranger.status, stranger.header("location")), (303, Some("/dashboard/sign-in")));
}

#[tokio::test]
async fn what_is_grave_asks_again_who_it_is_after_ten_minutes() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["*"]).await;
    assert_eq!(browser.get("/dashboard/keys/new").await.status, 200);
    browser.grow_stale().await;
    let asked = browser.get("/dashboard/keys/new").await;
    let confirm = "/dashboard/confirm?next=%2Fdashboard%2Fkeys%2Fnew";
    assert_eq!((asked.status, asked.header("location")), (303, Some(confirm)));
    let page = browser.page(confirm).await;
    assert!(page.contains("ada@example.com") && !page.contains("id=\"code\""), "{page}");
    let wrong = browser.submit_on(&page, "/dashboard/confirm", &[("password", "not the password")]).await;
    assert_eq!(wrong.status, 403);
    assert!(wrong.text().contains("The password is not right."));
    assert_eq!(audited(&gateway, "user.confirm_refused").await["detail"]["wrong"], "password");
    assert_eq!(browser.get("/dashboard/keys/new").await.status, 303, "nothing was proven");
    let right = browser.submit_on(&wrong.text(), "/dashboard/confirm", &[("password", PASSWORD)]).await;
    assert!(browser.follow(&right).await.contains("New API key"));
    assert_eq!(audited(&gateway, "user.confirm").await["detail"]["by"], "password");
    let elsewhere =
        browser.submit("/dashboard/confirm?next=https://evil.example", "/dashboard/confirm", &[("password", PASSWORD)]);
    assert_eq!(elsewhere.await.header("location"), Some("/dashboard"));
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let gateway = Gateway::start(SOURCES).await;
    let email = "\"><script>alert(1)</script>@example.com";
    let mut browser = gateway.visitor(email, &["*"]).await;
    let id = gateway.get("/users").await["items"][0]["id"].as_str().unwrap().to_owned();
    browser.grow_stale().await;
    for path in ["/dashboard/settings", "/dashboard/users", &format!("/dashboard/users/{id}"), "/dashboard/confirm"] {
        let page = browser.page(path).await;
        assert!(page.contains("alert(1)") && !page.contains("<script>alert"), "{path}");
    }
    let mut stranger = gateway.stranger();
    let fields = [("email", email), ("password", "x"), ("organization", "<img src=x>")];
    let refused = stranger.submit("/dashboard/sign-in", "/dashboard/sign-in", &fields).await.text();
    assert!(refused.contains("alert(1)") && !refused.contains("<script>alert") && !refused.contains("<img src=x"));
    let next = stranger.page("/dashboard/sign-in?next=/dashboard/%22%3E%3Cscript%3E").await;
    assert!(!next.contains("\"><script>"));
}

#[tokio::test]
async fn who_may_not_is_refused_and_what_is_anothers_is_not_there() {
    let gateway = Gateway::start(SOURCES).await;
    let mut viewer = gateway.visitor("viewer@example.com", &["read"]).await;
    for path in ["/dashboard/users", "/dashboard/users/new", "/dashboard/keys", "/dashboard/keys/new"] {
        let refused = viewer.get(path).await;
        assert_eq!(refused.status, 403, "{path}");
        assert!(refused.text().contains("This needs the scope `admin`"), "{path}");
    }
    let page = viewer.page("/dashboard/settings").await;
    assert!(page.contains("href=\"/dashboard/events\""));
    assert!(!page.contains("href=\"/dashboard/users\"") && !page.contains("href=\"/dashboard/keys\""));
    let other = gateway.api("POST", "/organizations", r#"{"name":"qlens"}"#).await.json();
    let key = other["key"].as_str().unwrap();
    let theirs = json!({ "email": "eve@example.com", "scopes": ["read"] }).to_string();
    let user = gateway.api_as(key, "POST", "/users", &theirs).await.json()["user"]["id"].as_str().unwrap().to_owned();
    let keys = gateway.api_as(key, "GET", "/keys", "").await.json();
    let key_id = keys["items"][0]["id"].as_str().unwrap().to_owned();
    let mut admin = gateway.visitor("ada@example.com", &["*"]).await;
    assert!(!admin.page("/dashboard/users").await.contains("eve@example.com"));
    assert_eq!(admin.get(&format!("/dashboard/users/{user}")).await.status, 404);
    assert_eq!(admin.get("/dashboard/users/nobody").await.status, 404);
    let page = admin.page("/dashboard/settings").await;
    let fields = filled_in(&page, "/dashboard/sign-out", &[]);
    for path in [
        format!("/dashboard/users/{user}/disable"),
        format!("/dashboard/users/{user}/reset"),
        format!("/dashboard/users/{user}/remove"),
        format!("/dashboard/keys/{key_id}/revoke"),
        "/dashboard/keys/key_0190000000007000800000000000ffff/revoke".to_owned(),
    ] {
        assert_eq!(admin.post(&path, &fields, "same-origin").await.status, 404, "{path}");
    }
    let of_viewer = filled_in(&viewer.page("/dashboard/settings").await, "/dashboard/sign-out", &[]);
    for path in [format!("/dashboard/keys/{key_id}/revoke"), "/dashboard/users".to_owned()] {
        assert_eq!(viewer.post(&path, &of_viewer, "same-origin").await.status, 403, "{path}");
    }
}
