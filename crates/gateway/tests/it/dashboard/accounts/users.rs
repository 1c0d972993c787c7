//! Users on pages: invited by a link, changed, reset, removed.

use super::super::{PASSWORD, audited, shown};
use crate::support::{Gateway, SOURCES};

const NEW: &str = "/dashboard/users/new";
const LIST: &str = "/dashboard/users";
const INVITATION: &str = "/dashboard/invitation";

/// The path of a link that was shown.
fn path(gateway: &Gateway, page: &str) -> String {
    let link = shown(page, "link");
    link.strip_prefix(&format!("http://{}", gateway.running.admin())).unwrap().to_owned()
}

async fn id_of(gateway: &Gateway, email: &str) -> String {
    let users = gateway.get("/users").await;
    let user = users["items"].as_array().unwrap().iter().find(|user| user["email"] == email).unwrap();
    user["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn somebody_is_invited_sets_a_password_and_is_in() {
    let gateway = Gateway::start(SOURCES).await;
    let mut admin = gateway.visitor("ada@example.com", &["*"]).await;
    let invited = admin.submit(NEW, LIST, &[("email", "Bob@Example.com"), ("role", "developer")]).await;
    assert_eq!((invited.status, invited.header("cache-control")), (200, Some("no-store")));
    let link = path(&gateway, &invited.text());
    assert!(admin.page(LIST).await.contains("Invited"));
    let mut bob = gateway.stranger();
    let opened = bob.get(&link).await;
    assert_eq!((opened.status, opened.header("location")), (303, Some(INVITATION)));
    let page = bob.page(INVITATION).await;
    assert!(page.contains("bob@example.com") && !page.contains(link.rsplit('/').next().unwrap()));
    let different = [("password", PASSWORD), ("repeated", "another long one")];
    let different = bob.submit_on(&page, INVITATION, &different).await;
    assert_eq!(different.status, 422);
    let short = [("password", "elevenchars"), ("repeated", "elevenchars")];
    assert!(bob.submit_on(&different.text(), INVITATION, &short).await.text().contains("at least 12 characters"));
    let right = [("password", PASSWORD), ("repeated", PASSWORD)];
    let begun = bob.submit(INVITATION, INVITATION, &right).await;
    bob.follow(&begun).await;
    assert!(bob.page("/dashboard/settings").await.contains("Developer"));
    assert!(bob.cookie("hookward_invitation").is_none());
    for path in [link.as_str(), INVITATION] {
        assert_eq!(gateway.stranger().get(path).await.status, 403, "{path} is good once");
    }
    let scopes = gateway.get(&format!("/users/{}", id_of(&gateway, "bob@example.com").await)).await["scopes"].clone();
    assert_eq!(scopes, serde_json::json!(["read", "publish", "pull", "redeliver"]));
    assert_eq!(audited(&gateway, "user.create").await["actor"], "user:ada@example.com");
}

#[tokio::test]
async fn a_user_is_changed_disabled_reset_and_removed() {
    let gateway = Gateway::start(SOURCES).await;
    let mut admin = gateway.visitor("ada@example.com", &["*"]).await;
    let mut bob = gateway.visitor("bob@example.com", &["read"]).await;
    let page = format!("{LIST}/{}", id_of(&gateway, "bob@example.com").await);
    let roles = admin.submit(&page, &format!("{page}/scopes"), &[("role", "administrator")]).await;
    assert!(admin.follow(&roles).await.contains("Administrator"));
    assert_eq!(bob.get(LIST).await.status, 200, "from the next request on");
    let boxes = [("role", ""), ("scope-export", "yes"), ("scope-admin", "")];
    admin.submit(&page, &format!("{page}/scopes"), &boxes).await;
    let scopes = gateway.get(&format!("/users/{}", page.rsplit('/').next().unwrap())).await["scopes"].clone();
    assert_eq!(scopes, serde_json::json!(["read", "publish", "pull", "redeliver", "export"]));
    let disabled = admin.submit(&page, &format!("{page}/disable"), &[]).await;
    assert!(admin.follow(&disabled).await.contains("Disabled"));
    assert_eq!(bob.get("/dashboard/settings").await.status, 303);
    let enabled = admin.submit(&page, &format!("{page}/enable"), &[]).await;
    assert!(admin.follow(&enabled).await.contains("The user may sign in again."));
    bob.sign_in("bob@example.com").await;
    let reset = admin.submit(&page, &format!("{page}/reset"), &[]).await;
    let link = path(&gateway, &reset.text());
    assert_eq!(bob.get("/dashboard/settings").await.status, 303);
    bob.get(&link).await;
    let begun =
        bob.submit(INVITATION, INVITATION, &[("password", "another long one"), ("repeated", "another long one")]);
    assert_eq!(begun.await.status, 303);
    let removed = admin.submit(&page, &format!("{page}/remove"), &[]).await;
    assert!(!admin.follow(&removed).await.contains("bob@example.com"));
    assert_eq!(admin.get(&page).await.status, 404);
    for action in ["user.change_scopes", "user.disable", "user.enable", "user.reset", "user.remove"] {
        assert_eq!(audited(&gateway, action).await["target"], "user:bob@example.com", "{action}");
    }
}

#[tokio::test]
async fn what_a_thief_of_a_session_could_use_to_stay_asks_who_it_is() {
    let gateway = Gateway::start(SOURCES).await;
    let mut admin = gateway.visitor("ada@example.com", &["*"]).await;
    let page = format!("{LIST}/{}", id_of(&gateway, "ada@example.com").await);
    admin.grow_stale().await;
    assert_eq!(admin.get(NEW).await.header("location"), Some("/dashboard/confirm?next=%2Fdashboard%2Fusers%2Fnew"));
    for act in ["scopes", "reset"] {
        let asked = admin.submit(&page, &format!("{page}/{act}"), &[]).await;
        assert!(asked.header("location").unwrap().starts_with("/dashboard/confirm?next="), "{act}");
    }
    admin.prove_again().await;
    assert_eq!(admin.get(NEW).await.status, 200);
}

#[tokio::test]
async fn an_administrator_makes_nobody_more_than_themselves() {
    let gateway = Gateway::start(SOURCES).await;
    let scopes = ["read", "publish", "pull", "redeliver", "export", "admin"];
    let mut admin = gateway.visitor("ada@example.com", &scopes).await;
    let page = admin.page(NEW).await;
    assert!(page.contains("value=\"secret-administrator\" disabled"));
    let mut fields = super::filled_in(&page, LIST, &[("email", "bob@example.com"), ("role", "viewer")]);
    fields
        .iter_mut()
        .filter(|(name, _)| name == "role")
        .for_each(|(_, role)| *role = "secret-administrator".to_owned());
    let refused = admin.post(LIST, &fields, "same-origin").await;
    assert_eq!(refused.status, 403);
    assert!(refused.text().contains("Nobody can give away scopes") && refused.text().contains("bob@example.com"));
    let taken = admin.submit_on(&page, LIST, &[("email", "ada@example.com"), ("role", "viewer")]).await;
    assert!(taken.text().contains("There is a user `ada@example.com` already."));
}
