//! Schemes on pages: made, changed and removed by a form, and offered where a source says how it is proven.

use super::super::{audited, shown};
use crate::support::{Gateway, SOURCES};

/// An HMAC of the body in this header.
pub(crate) fn scheme_file(name: &str, header: &str) -> String {
    format!(
        "name = \"{name}\"\ntitle = \"Ours & <theirs>\"\n\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
         signature = {{ at = [\"header:{header}\"], encodings = [\"hex\"] }}\ncontent = \"{{body}}\"\n"
    )
}

const NEW: &str = "/dashboard/new-scheme";

#[tokio::test]
async fn a_scheme_is_made_used_changed_and_removed() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    // A browser sends the ends of lines its own way.
    let file = scheme_file("ours", "x-ours").replace('\n', "\r\n");
    let made = ada.submit(NEW, NEW, &[("toml", &file)]).await;
    assert_eq!(made.header("location"), Some("/dashboard/schemes/ours?notice=made"), "{}", made.text());
    let page = ada.follow(&made).await;
    assert!(page.contains("It is in force.") && page.contains("Ours &#38; &#60;theirs&#62;"), "{page}");
    assert_eq!(audited(&gateway, "scheme.create").await["actor"], "user:ada@example.com");
    assert_eq!(gateway.get("/schemes/ours").await["toml"], scheme_file("ours", "x-ours"));
    assert!(ada.page("/dashboard/new-source").await.contains("<option value=\"ours\">"), "a source may have it");
    let source =
        ada.submit("/dashboard/new-source", "/dashboard/new-source", &[("name", "a"), ("scheme", "ours")]).await;
    assert_eq!(source.status, 303, "{}", source.text());
    assert!(ada.page("/dashboard/schemes/ours").await.contains("source `a`"));
    let edit = "/dashboard/schemes/ours/edit";
    let changed = ada.submit(edit, edit, &[("toml", &scheme_file("ours", "x-newer"))]).await;
    assert!(ada.follow(&changed).await.contains("The change is in force."), "{}", changed.text());
    assert_eq!(gateway.get("/schemes/ours").await["version"], 2);
    let remove = "/dashboard/schemes/ours/remove";
    let refused = ada.submit("/dashboard/schemes/ours", remove, &[]).await;
    assert!(refused.status == 409 && refused.text().contains("is in use by source `a`"), "{}", refused.text());
    assert_eq!(gateway.api("DELETE", "/sources/a", "").await.status, 204);
    let removed = ada.submit("/dashboard/schemes/ours", remove, &[]).await;
    assert!(ada.follow(&removed).await.contains("It is removed."));
    assert_eq!(ada.get("/dashboard/schemes/ours").await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_at_its_line_and_column() {
    let gateway = Gateway::start(SOURCES).await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let wrong = async |ada: &mut super::Visitor<'_>, file: &str| {
        let answer = ada.submit(NEW, NEW, &[("toml", file)]).await;
        assert_eq!(answer.status, 422);
        answer.text()
    };
    let page = wrong(&mut ada, &scheme_file("ours", "x-ours").replace("title", "titel")).await;
    assert!(shown(&page, "toml-wrong").starts_with("Line 2, column 1: unknown field `titel`"), "{page}");
    assert!(page.contains("did you mean `title`") && page.contains("\n^</pre>"), "{page}");
    let page = wrong(&mut ada, &scheme_file("github", "x-ours")).await;
    assert!(shown(&page, "toml-wrong").contains("`github` is in the catalog"), "{page}");
    let replacing = [("toml", scheme_file("github", "x-ours")), ("replaces_catalog", "yes".to_owned())];
    let replacing: Vec<_> = replacing.iter().map(|(key, value)| (*key, value.as_str())).collect();
    assert_eq!(ada.submit(NEW, NEW, &replacing).await.status, 303);
    let page = ada.page("/dashboard/schemes").await;
    assert!(page.contains("Hides the catalog&#39;s"), "{page}");
    let page = wrong(&mut ada, &scheme_file("github", "x-ours")).await;
    assert!(shown(&page, "toml-wrong").contains("already: change that one"), "{page}");
    super::assert_harmless(&wrong(&mut ada, "\"></textarea><script>window.__pwned=1</script>").await);
}

#[tokio::test]
async fn the_catalog_and_the_file_are_not_changed_here() {
    let gateway = Gateway::start(&format!(
        "[[scheme]]\n{}",
        scheme_file("ours", "x-ours").replace("[[proof]]", "[[scheme.proof]]")
    ))
    .await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let page = ada.page("/dashboard/schemes/ours").await;
    assert!(page.contains("The configuration file") && !page.contains("/dashboard/schemes/ours/edit"), "{page}");
    assert_eq!(ada.get("/dashboard/schemes/ours/edit").await.status, 409);
    assert_eq!(ada.get("/dashboard/schemes/stripe/edit").await.status, 404);
    let stripe = ada.page("/dashboard/schemes/stripe").await;
    assert!(stripe.contains("the time") && stripe.contains("Stripe-Signature"), "{stripe}");
    let mut reader = gateway.visitor("ben@example.com", &["read"]).await;
    assert!(!reader.page("/dashboard/schemes").await.contains(NEW));
}
