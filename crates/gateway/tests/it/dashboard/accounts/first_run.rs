//! The first user of an installation, by the link that is printed once.

use super::super::{PASSWORD, audited, filled_in};
use crate::support::Gateway;

const NOTHING: &str = "";
const FORM: &str = "/dashboard/first-run";

fn link(gateway: &Gateway) -> String {
    let link = gateway.running.first_run_link().expect("there is no user");
    let origin = format!("http://{}", gateway.running.admin());
    link.strip_prefix(&origin).unwrap().to_owned()
}

fn first_user<'a>(password: &'a str, example: &'a str) -> [(&'a str, &'a str); 4] {
    [("email", "Ada@Example.com"), ("password", password), ("repeated", password), ("example", example)]
}

#[tokio::test]
async fn the_first_user_comes_to_be_by_the_link_with_an_example_that_was_delivered() {
    let gateway = Gateway::start(NOTHING).await;
    let mut browser = gateway.stranger();
    assert!(browser.page("/dashboard/sign-in").await.contains("There is no user yet."));
    let link = link(&gateway);
    let opened = browser.get(&link).await;
    assert_eq!((opened.status, opened.header("location")), (303, Some(FORM)));
    let set = opened.header("set-cookie").unwrap();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Max-Age=3600"), "{set}");
    let text = link.rsplit('/').next().unwrap();
    assert!(!browser.page(FORM).await.contains(text));
    let short = browser.submit(FORM, FORM, &first_user("elevenchars", "yes")).await;
    assert_eq!(short.status, 422);
    assert!(short.text().contains("A password has at least 12 characters"), "{}", short.text());
    let different = [("password", PASSWORD), ("repeated", "another long one")];
    let different = browser.submit_on(&short.text(), FORM, &different).await.text();
    assert!(different.contains("The two passwords are not the same.") && different.contains("Ada@Example.com"));
    let made = browser.submit_on(&different, FORM, &first_user(PASSWORD, "yes")).await;
    assert!(browser.follow(&made).await.contains("Welcome: you are the first user"));
    assert!(browser.cookie("hookward_first_run").is_none());
    let created = audited(&gateway, "user.create").await;
    assert_eq!((&created["actor"], &created["target"]), (&"first-run".into(), &"user:ada@example.com".into()));
    assert!(browser.page("/dashboard/settings").await.contains("Secret administrator"));
    let deliveries = gateway.get("/deliveries").await;
    let delivery = &deliveries["items"][0];
    assert_eq!((&delivery["destination"], &delivery["state"]), (&"demo".into(), &"delivered".into()));
    let event = gateway.get(&format!("/events/{}", delivery["event"].as_str().unwrap())).await;
    assert_eq!((&event["type"], &event["verdict"]["proof"]), (&"push".into(), &"verified".into()), "{event}");
    for path in [&link, FORM] {
        assert_eq!(gateway.stranger().get(path).await.status, 403, "{path} is good for nothing any more");
    }
}

#[tokio::test]
async fn without_the_example_there_is_none() {
    let gateway = Gateway::start(NOTHING).await;
    let mut browser = gateway.stranger();
    browser.get(&link(&gateway)).await;
    let made = browser.submit(FORM, FORM, &first_user(PASSWORD, "")).await;
    browser.follow(&made).await;
    assert_eq!(gateway.get("/sources").await["items"].as_array().unwrap().len(), 0);
    let gateway = gateway.restart(NOTHING).await;
    assert_eq!(gateway.running.first_run_link(), None, "there is a user");
}

#[tokio::test]
async fn two_who_have_the_link_do_not_both_become_the_first() {
    let gateway = Gateway::start(NOTHING).await;
    let (mut ada, mut eve) = (gateway.stranger(), gateway.stranger());
    let link = link(&gateway);
    ada.get(&link).await;
    eve.get(&link).await;
    let page = ada.page(FORM).await;
    let fields = |email| filled_in(&page, FORM, &[("email", email), ("password", PASSWORD), ("repeated", PASSWORD)]);
    let (ada_sent, eve_sent) = (fields("ada@example.com"), fields("eve@example.com"));
    let (of_ada, of_eve) =
        tokio::join!(ada.post(FORM, &ada_sent, "same-origin"), eve.post(FORM, &eve_sent, "same-origin"));
    let signed_in = [&ada, &eve].map(|browser| browser.cookie("hookward_session").is_some());
    assert_eq!(signed_in.into_iter().filter(|is| *is).count(), 1, "{of_ada:?} {of_eve:?}");
    assert_eq!(gateway.get("/users").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn nobody_comes_in_without_the_link_or_from_another_site() {
    let gateway = Gateway::start(NOTHING).await;
    let link = link(&gateway);
    let mut browser = gateway.stranger();
    assert_eq!(browser.get(&link[..link.len() - 1]).await.status, 403);
    assert_eq!(browser.get(FORM).await.status, 403);
    let fields: Vec<_> = first_user(PASSWORD, "").map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    assert_eq!(browser.post(FORM, &fields, "same-origin").await.status, 403);
    browser.get(&link).await;
    assert_eq!(browser.post(FORM, &fields, "cross-site").await.status, 403);
    gateway.visitor("ada@example.com", &["*"]).await;
    assert_eq!(browser.post(FORM, &fields, "same-origin").await.status, 403, "there is a user by now");
    assert!(!gateway.stranger().page("/dashboard/sign-in").await.contains("There is no user yet."));
}
