//! Sources and destinations made and changed by a form.

use serde_json::json;

use super::super::audited;
use crate::support::{Gateway, SOURCES};

#[tokio::test]
async fn a_source_is_made_changed_and_removed() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let new = "/dashboard/new-source";
    let fields = [("name", "new"), ("scheme", "qlens"), ("event_types", "push, pull.*"), ("rest", "grace = \"1h\"\n")];
    let made = ada.submit(new, new, &fields).await;
    assert_eq!(made.header("location"), Some("/dashboard/sources/new?notice=made"), "{}", made.text());
    assert!(ada.follow(&made).await.contains("It is in force."));
    assert_eq!(audited(&gateway, "source.create").await["actor"], "user:ada@example.com");
    let declared = gateway.get("/sources/new").await["declared"].clone();
    let expected = json!({ "name": "new", "scheme": "qlens", "event_types": ["push", "pull.*"], "grace": "1h" });
    assert_eq!(declared, expected);
    let edit = "/dashboard/sources/new/edit";
    let page = ada.page(edit).await;
    assert!(page.contains("value=\"push, pull.*\"") && page.contains("grace = &#34;1h&#34;"), "{page}");
    let changed =
        ada.submit_on(&page, edit, &[("event_types", ""), ("rest", "rate = { requests = 5, per = \"1s\" }")]).await;
    assert!(ada.follow(&changed).await.contains("The change is in force."));
    let declared = gateway.get("/sources/new").await["declared"].clone();
    let expected = json!({ "name": "new", "scheme": "qlens", "rate": { "requests": 5, "per": "1s" } });
    assert_eq!(declared, expected, "what the form does not say any more is gone");
    let removed = ada.submit(edit, "/dashboard/sources/new/remove", &[]).await;
    assert!(ada.follow(&removed).await.contains("It is removed."));
    assert_eq!(ada.get("/dashboard/sources/new").await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_stands_at_its_place_beside_what_was_typed() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let new = "/dashboard/new-source";
    let at = |page: &str, id: &str| super::super::shown(page, &format!("{id}-wrong"));
    let try_it = async |ada: &mut super::Visitor<'_>, fields: &[(&str, &str)]| {
        let answer = ada.submit(new, new, fields).await;
        assert_eq!(answer.status, 422);
        answer.text()
    };
    let page = try_it(&mut ada, &[("name", "Not A Name"), ("path", "no slash"), ("rest", "window = 1")]).await;
    assert!(at(&page, "rest").contains("unknown key `window`") || at(&page, "rest").contains("Unknown key"), "{page}");
    let page = try_it(&mut ada, &[("name", "Not A Name"), ("path", "no slash")]).await;
    assert!(at(&page, "name").contains("Not A Name"), "{page}");
    assert!(at(&page, "path").contains("does not begin with `/`") && page.contains("value=\"no slash\""));
    let page = try_it(&mut ada, &[("name", "a"), ("rest", "grace = \n")]).await;
    assert!(at(&page, "rest").starts_with("Line 1, column "), "{page}");
    let page = try_it(&mut ada, &[("name", "a"), ("path", "/a"), ("rest", "path = \"/b\"")]).await;
    assert!(at(&page, "rest").contains("`path` has a field of its own"), "{page}");
    let page = try_it(&mut ada, &[("name", "a"), ("rest", "dedup = { window = \"1 day\" }")]).await;
    assert!(at(&page, "rest").starts_with("dedup.window: "), "{page}");
    let page = try_it(&mut ada, &[("name", "b"), ("path", "/in/github")]).await;
    assert!(page.contains("is already that of source `github`"), "{page}");
    let hostile = "\"></textarea><script>window.__pwned=1</script>";
    let page = try_it(&mut ada, &[("name", hostile), ("filter", hostile), ("rest", hostile)]).await;
    super::assert_harmless(&page);
}

#[tokio::test]
async fn a_destination_keeps_what_is_stored_unless_it_goes_elsewhere() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let new = "/dashboard/new-destination";
    let url = "https://ci.example.com/hook?key=hunter2";
    let rest = "set_headers = { X-Key = \"hunter3\" }";
    let fields = [("name", "ci"), ("type", "http"), ("url", url), ("sign", "qlens"), ("rest", rest)];
    let made = ada.submit(new, new, &fields).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let edit = "/dashboard/destinations/ci/edit";
    let page = ada.page(edit).await;
    assert!(!page.contains("hunter") && page.contains("value=\"stored\"") && page.contains("X-Key = &#34;stored&#34;"));
    let same = ada.submit_on(&page, edit, &[("event_types", "push")]).await;
    assert!(ada.follow(&same).await.contains("The change is in force."));
    let spec = async || {
        let organization = hookward_engine::ids::OrganizationId::DEFAULT;
        let spec = gateway.running.engine().whole_destination(organization, "ci").await.unwrap().unwrap();
        let hookward_engine::model::DestinationKind::Http(http) = spec.kind else { panic!("it is http") };
        (http.url, http.set_headers)
    };
    assert_eq!(spec().await, (url.to_owned(), vec![("X-Key".to_owned(), "hunter3".to_owned())]));
    let moved = ada.submit(edit, edit, &[("url", "https://evil.example.com/")]).await;
    assert!(ada.follow(&moved).await.contains("Stored credentials were not taken along"), "{}", moved.text());
    assert_eq!(spec().await, ("https://evil.example.com/".to_owned(), vec![]));
}

#[tokio::test]
async fn what_a_file_manages_is_changed_there() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let page = ada.page("/dashboard/sources/github").await;
    assert!(page.contains("Changed in the configuration file.") && !page.contains("/dashboard/sources/github/edit"));
    assert_eq!(ada.get("/dashboard/sources/github/edit").await.status, 409);
    let token = super::super::filled_in(&page, "/dashboard/sign-out", &[]);
    for path in ["/dashboard/sources/github/edit", "/dashboard/sources/github/remove"] {
        let refused = ada.post(path, &token, "same-origin").await;
        assert!(refused.status == 409 && refused.text().contains("it is changed there"), "{}", refused.text());
    }
    assert_eq!(gateway.push("d-1", b"{}").await.status, 202, "it is still there");
}

#[tokio::test]
async fn what_a_scheme_leaves_to_be_said_has_fields_under_it() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let new = "/dashboard/new-source";
    let group = |page: &str, scheme: &str| {
        let (_, rest) =
            page.split_once(&format!("data-is=\"{scheme}\"")).unwrap_or_else(|| panic!("no {scheme}: {page}"));
        rest.split_once("</details>").unwrap().0.to_owned()
    };
    let page = ada.page(new).await;
    assert!(group(&page, "tiktok-shop").contains("The app&#39;s key, which is shown beside its secret."), "{page}");
    assert!(group(&page, "twilio").contains("It may be left empty.") && !page.contains("data-is=\"github\""));
    // Without what it needs: told, and the group is open.
    let wrong = ada.submit(new, new, &[("name", "shop"), ("scheme", "tiktok-shop")]).await;
    assert_eq!(wrong.status, 422);
    let page = wrong.text();
    assert!(super::super::shown(&page, "scheme-wrong").contains("needs the parameter `app_key`"), "{page}");
    assert!(group(&page, "tiktok-shop").starts_with(" open") && !group(&page, "twilio").starts_with(" open"));
    let other = [
        ("name", "calls"),
        ("scheme", "twilio"),
        ("parameter.twilio.url", "/calls"),
        ("parameter.tiktok-shop.app_key", "x"),
    ];
    let page = ada.submit(new, new, &other).await.text();
    assert!(super::super::shown(&page, "parameter.twilio.url-wrong").contains("an absolute url"), "{page}");

    let fields = [
        ("name", "shop"),
        ("scheme", "tiktok-shop"),
        ("parameter.tiktok-shop.app_key", "6a\"3f"),
        ("parameter.twilio.url", "x"),
    ];
    let made = ada.submit(new, new, &fields).await;
    assert_eq!(made.status, 303, "{}", made.text());
    assert!(ada.follow(&made).await.contains("app_key = 6a&#34;3f"));
    let declared = async || gateway.get("/sources/shop").await["declared"].clone();
    assert_eq!(
        declared().await,
        json!({ "name": "shop", "scheme": "tiktok-shop", "parameters": { "app_key": "6a\"3f" } })
    );
    let edit = "/dashboard/sources/shop/edit";
    let page = ada.page(edit).await;
    assert!(group(&page, "tiktok-shop").contains("value=\"6a&#34;3f\""), "{page}");
    assert_eq!(ada.submit_on(&page, edit, &[("scheme", "twilio")]).await.status, 303);
    assert_eq!(declared().await, json!({ "name": "shop", "scheme": "twilio" }), "what was the other scheme's is gone");
    let twice = [("parameter.twilio.url", "https://a.test/"), ("rest", "parameters = { url = \"https://b.test/\" }")];
    let page = ada.submit(edit, edit, &twice).await.text();
    assert!(super::super::shown(&page, "rest-wrong").contains("`parameters` has a field of its own"), "{page}");

    let new = "/dashboard/new-destination";
    let signed = [
        ("name", "next"),
        ("url", "https://next.example/"),
        ("sign", "square"),
        ("parameter.square.url", "https://a.test/?b=1"),
    ];
    let made = ada.submit(new, new, &signed).await;
    assert!(ada.follow(&made).await.contains("url = https://a.test/?b=1"), "{}", made.text());
    let sign = json!({ "scheme": "square", "parameters": { "url": "https://a.test/?b=1" } });
    assert_eq!(gateway.get("/destinations/next").await["declared"]["sign"], sign);
    let page = ada.page("/dashboard/destinations/next/edit").await;
    assert!(group(&page, "square").contains("value=\"https://a.test/?b=1\""), "{page}");
}
