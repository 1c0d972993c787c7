//! One's own account on pages: password, second factor, sessions, looks.

use super::super::{PASSWORD, audited, shown};
use crate::api::code_now;
use crate::support::{Gateway, SOURCES};

const PAGE: &str = "/dashboard/settings";
const FACTOR: &str = "/dashboard/settings/second-factor";
const CONFIRM: &str = "/dashboard/settings/second-factor/confirm";

#[tokio::test]
async fn a_password_is_changed_by_who_knows_the_present_one() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["read"]).await;
    let mut elsewhere = gateway.stranger();
    elsewhere.sign_in("ada@example.com").await;
    let action = "/dashboard/settings/password";
    let new = "another long one";
    let wrong = [("current", "not the password"), ("password", new), ("repeated", new)];
    let refused = browser.submit(PAGE, action, &wrong).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("The password is not right.") && !refused.text().contains("not the password"));
    let different = [("current", PASSWORD), ("password", new), ("repeated", PASSWORD)];
    let different = browser.submit(PAGE, action, &different).await;
    assert!(different.text().contains("The two new passwords are not the same."));
    let right = [("current", PASSWORD), ("password", new), ("repeated", new)];
    let changed = browser.submit(PAGE, action, &right).await;
    assert!(browser.follow(&changed).await.contains("Your password is changed"));
    assert_eq!(elsewhere.get(PAGE).await.status, 303, "other sessions end");
    assert_eq!(audited(&gateway, "user.change_password").await["actor"], "user:ada@example.com");
}

#[tokio::test]
async fn a_second_factor_is_set_up_asked_for_and_removed() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["read"]).await;
    let wrong = browser.submit(PAGE, FACTOR, &[("password", "wrong")]).await;
    assert!(wrong.status == 403 && wrong.text().contains("The password is not right."));
    let started = browser.submit(PAGE, FACTOR, &[("password", PASSWORD)]).await;
    assert_eq!((started.status, started.header("cache-control")), (200, Some("no-store")));
    let page = started.text();
    let uri = shown(&page, "factor-uri");
    assert!(uri.starts_with("otpauth://totp/Hookward:ada") && page.contains("<svg class=\"qr\""), "{uri}");
    assert!(uri.contains(&shown(&page, "factor-secret").replace(' ', "")));
    let wrong = browser.submit_on(&page, CONFIRM, &[("code", "000000")]).await;
    assert_eq!(wrong.status, 403);
    assert!(!wrong.text().contains("otpauth"), "it is shown once");
    let confirmed = browser.submit_on(&wrong.text(), CONFIRM, &[("code", &code_now(&uri))]).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
    let codes = shown(&confirmed.text(), "codes");
    let codes: Vec<&str> = codes.lines().collect();
    assert_eq!(codes.len(), 10);
    assert!(browser.page(PAGE).await.contains("Recovery codes left: 10."));
    let mut elsewhere = gateway.stranger();
    let sign_in = "/dashboard/sign-in";
    let asked = elsewhere.submit(sign_in, sign_in, &[("email", "ada@example.com"), ("password", PASSWORD)]).await;
    assert_eq!(asked.status, 401);
    let begun = elsewhere.submit_on(&asked.text(), sign_in, &[("password", PASSWORD), ("code", codes[0])]).await;
    assert_eq!(begun.status, 303);
    browser.grow_stale().await;
    let confirm = "/dashboard/confirm?next=/dashboard/settings";
    let used = browser.submit(confirm, "/dashboard/confirm", &[("code", codes[0])]).await;
    assert!(used.status == 403 && used.text().contains("The code is not right, or was used before."));
    let proven = browser.submit_on(&used.text(), "/dashboard/confirm", &[("code", codes[1])]).await;
    assert_eq!((proven.status, proven.header("location")), (303, Some(PAGE)));
    let fields = [("password", PASSWORD), ("code", codes[2])];
    let renewed = browser.submit(PAGE, "/dashboard/settings/recovery-codes", &fields).await;
    let new = shown(&renewed.text(), "codes");
    assert!(new.lines().count() == 10 && !new.contains(codes[3]));
    let removal = format!("{FACTOR}/remove");
    let old = browser.submit(PAGE, &removal, &fields).await;
    assert!(old.status == 403 && old.text().contains("The code is not right, or was used before."));
    let fields = [("password", PASSWORD), ("code", new.lines().next().unwrap())];
    let removed = browser.submit(PAGE, &removal, &fields).await;
    assert!(browser.follow(&removed).await.contains("There is no second factor any more."));
    assert_eq!(audited(&gateway, "user.totp_disable").await["actor"], "user:ada@example.com");
}

#[tokio::test]
async fn sessions_are_seen_and_ended() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["read"]).await;
    let (mut second, mut third) = (gateway.stranger(), gateway.stranger());
    second.sign_in("ada@example.com").await;
    third.sign_in("ada@example.com").await;
    let (_, of_second) = second.session().await;
    let page = browser.page(PAGE).await;
    assert_eq!((page.matches("data-label=\"Browser\"").count(), page.matches("This one").count()), (3, 1));
    let action = format!("{PAGE}/sessions/{}", of_second.session);
    let ended = browser.submit_on(&page, &action, &[]).await;
    assert!(browser.follow(&ended).await.contains("The session has ended."));
    assert_eq!((second.get(PAGE).await.status, third.get(PAGE).await.status), (303, 200));
    let ended = browser.submit(PAGE, &format!("{PAGE}/sessions/others"), &[]).await;
    assert!(browser.follow(&ended).await.contains("Your other sessions have ended."));
    assert_eq!((third.get(PAGE).await.status, browser.get(PAGE).await.status), (303, 200));
    let mut eve = gateway.visitor("eve@example.com", &["read"]).await;
    let (_, of_ada) = browser.session().await;
    let sent = super::filled_in(&eve.page(PAGE).await, "/dashboard/sign-out", &[]);
    eve.post(&format!("{PAGE}/sessions/{}", of_ada.session), &sent, "same-origin").await;
    assert_eq!(browser.get(PAGE).await.status, 200, "nobody ends another's");
}

#[tokio::test]
async fn looks_are_kept_in_the_browser() {
    let gateway = Gateway::start(SOURCES).await;
    let mut browser = gateway.visitor("ada@example.com", &["read"]).await;
    let page = browser.page(PAGE).await;
    assert!(page.contains("data-theme=\"system\""));
    let sent: Vec<_> = super::filled_in(&page, "/dashboard/sign-out", &[])
        .into_iter()
        .chain([("theme", "dark"), ("zone", "utc"), ("back", PAGE)].map(|(name, is)| (name.to_owned(), is.to_owned())))
        .collect();
    let kept = browser.post("/dashboard/preferences", &sent, "same-origin").await;
    let page = browser.follow(&kept).await;
    assert!(page.contains("data-theme=\"dark\" data-zone=\"utc\""));
}
