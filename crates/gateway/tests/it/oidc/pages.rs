//! The same as a browser does it: what it is shown, where it goes on, and proving by way of a provider again who one is.

use serde_json::json;

use super::provider::{Lie, StrictProvider};
use super::{Browser, start};
use crate::dashboard::{PASSWORD, Visitor, audited, filled_in};
use crate::support::Answer;

const ADMINS: &str = "domains = [\"example.com\"]\ncreate = true\nscopes = [\"read\", \"admin\"]";

/// Goes to the provider from `path` and comes back; where it was sent, and what it was answered then.
pub(crate) async fn go(browser: &mut Visitor<'_>, path: &str) -> (String, Answer) {
    let sent = browser.get(path).await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    let to = sent.header("location").unwrap().to_owned();
    let at_provider = Browser::default().get(&to).await;
    let back = at_provider.header("location").unwrap().to_owned();
    (to, browser.get(&back[back.find("/auth").unwrap()..]).await)
}

fn lies(provider: &StrictProvider, lie: Lie) {
    provider.with(|state| state.lie = lie);
}

#[tokio::test]
async fn a_browser_goes_on_where_it_wanted() {
    let (gateway, _provider) = start(ADMINS).await;
    let mut browser = gateway.stranger();
    let page = browser.page("/dashboard/sign-in?next=/dashboard/settings?a=b").await;
    assert!(page.contains("href=\"/auth/oidc/strict?next=/dashboard/settings%3Fa%3Db\""), "{page}");
    let (_, arrived) = go(&mut browser, "/auth/oidc/strict?next=/dashboard/settings%3Fa%3Db").await;
    assert_eq!((arrived.status, arrived.header("content-type")), (200, Some("text/html; charset=utf-8")));
    // A redirect would still be the provider's, and the session's cookie kept back.
    assert!(arrived.text().contains("content=\"0; url=/dashboard/settings?a=b\""), "{}", arrived.text());
    assert!(browser.page("/dashboard/settings").await.contains("ada@example.com"));
    let mut elsewhere = gateway.stranger();
    for next in ["https://evil.example", "//evil.example", "/dashboard/%0d%0aset-cookie:x", &"/dashboard/".repeat(200)]
    {
        let (_, arrived) = go(&mut elsewhere, &format!("/auth/oidc/strict?next={next}")).await;
        assert!(arrived.text().contains("url=/dashboard\""), "{next}: {}", arrived.text());
    }
}

#[tokio::test]
async fn a_browser_is_told_on_a_page_why_not() {
    let (gateway, provider) = start("").await;
    let mut browser = gateway.stranger();
    let (_, refused) = go(&mut browser, "/auth/oidc/strict").await;
    assert_eq!((refused.status, refused.header("content-type")), (403, Some("text/html; charset=utf-8")));
    assert!(refused.text().contains("The provider knows you, but nobody invited you here."));
    assert_eq!(browser.get("/auth/oidc/nothing").await.status, 404);
    provider.with(|state| state.is_down = true);
    assert_eq!(gateway.stranger().get("/auth/oidc/strict/callback?state=x&code=y").await.status, 403);
    assert!(browser.cookie("hookward_session").is_none());
}

#[tokio::test]
async fn a_provider_proves_again_who_it_is_in_a_session_of_its_own() {
    let (gateway, provider) = start(ADMINS).await;
    let mut browser = gateway.stranger();
    go(&mut browser, "/auth/oidc/strict").await;
    let before = browser.cookie("hookward_session").unwrap().to_owned();
    browser.grow_stale().await;
    let asked = browser.get("/dashboard/keys/new").await;
    let confirm = browser.page(asked.header("location").unwrap()).await;
    assert!(!confirm.contains("id=\"password\""), "there is none to show");
    let way = "/auth/oidc/strict?again=1&next=/dashboard/keys/new";
    assert!(confirm.contains(&way.replace('&', "&amp;")), "{confirm}");
    lies(&provider, Lie::Claim("auth_time", json!(1_000_000_000)));
    let (to, refused) = go(&mut browser, way).await;
    assert!(to.ends_with("&prompt=login&max_age=0"), "{to}");
    assert_eq!(refused.status, 401, "it did not ask");
    assert_eq!(
        audited(&gateway, "user.login_refused").await["detail"]["wrong"],
        "the provider did not ask who it is again"
    );
    assert_eq!(browser.get("/dashboard/keys/new").await.status, 303);
    lies(&provider, Lie::Claim("auth_time", json!(9_000_000_000_i64)));
    let (_, arrived) = go(&mut browser, way).await;
    assert!(arrived.text().contains("url=/dashboard/keys/new\""));
    assert_eq!(browser.get("/dashboard/keys/new").await.status, 200);
    assert_eq!(gateway.api_as(&before, "GET", "/me", "").await.status, 401, "another took its place");
    let me = browser.cookie("hookward_session").unwrap();
    assert_eq!(gateway.api_as(me, "GET", "/me/sessions", "").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn whom_a_provider_signs_in_may_have_a_password_as_well() {
    let (gateway, provider) = start(ADMINS).await;
    let mut browser = gateway.stranger();
    go(&mut browser, "/auth/oidc/strict").await;
    let (page, action) = ("/dashboard/settings", "/dashboard/settings/password");
    let fields = [("password", PASSWORD), ("repeated", PASSWORD)];
    let settings = browser.page(page).await;
    browser.grow_stale().await;
    let first = browser.submit_on(&settings, action, &fields).await;
    assert_eq!(first.header("location"), Some("/dashboard/confirm?next=%2Fdashboard%2Fsettings"));
    lies(&provider, Lie::Claim("auth_time", json!(9_000_000_000_i64)));
    go(&mut browser, "/auth/oidc/strict?again=1&next=/dashboard/settings").await;
    let short = browser.submit(page, action, &[("password", "short"), ("repeated", "short")]).await;
    assert!(short.status == 422 && short.text().contains("A password has at least 12 characters"), "{}", short.text());
    let set = browser.submit(page, action, &fields).await;
    assert!(browser.follow(&set).await.contains("You have a password"));
    assert_eq!(audited(&gateway, "user.set_password").await["actor"], "user:ada@example.com");
    let sent = filled_in(&browser.page(page).await, "/dashboard/sign-out", &[]);
    let sent = sent.into_iter().chain(fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let again = browser.post(action, &sent.collect::<Vec<_>>(), "same-origin").await;
    assert_eq!(again.status, 403, "from now on the present one is asked for");
    gateway.stranger().sign_in("ada@example.com").await;
}
