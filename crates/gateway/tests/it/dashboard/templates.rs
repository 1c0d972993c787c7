//! Every template makes a page with sample data: what no page here has used is told by its name. That a variable is there
//! is the compiler's to see.

use std::path::{Path, PathBuf};

use super::roles::{ROLES, walk, with_everything};
use super::{PASSWORD, Visitor, shown, text};
use crate::api::code_now;
use crate::oidc::{go, start};
use crate::support::Gateway;

/// Pages as one reads them, with every run of blanks as one.
fn plain(html: &str) -> String {
    text(html).replace("&gt;", ">").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What stands in a template as it is, piece by piece.
fn pieces(template: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        pieces.push(plain(&rest[..at]));
        let end = ["%}", "}}", "#}"][["{%", "{{", "{#"].iter().position(|mark| rest[at..].starts_with(mark)).unwrap()];
        rest = &rest[at + rest[at..].find(end).unwrap() + 2..];
    }
    pieces.push(plain(rest));
    pieces
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// What no link leads to: answers to forms.
async fn answers(gateway: &Gateway, ada: &mut Visitor<'_>) -> Vec<String> {
    let mut pages = Vec::new();
    let source = "/dashboard/sources/asked";
    let reveal = "/dashboard/sources/asked/secrets/8/reveal";
    pages.push(ada.submit(source, reveal, &[("reason", "to see it")]).await.text());
    let invite = [("email", "eve@example.com"), ("role", "viewer")];
    let invited = ada.submit("/dashboard/users/new", "/dashboard/users", &invite).await.text();
    pages.push(invited);
    pages.push(ada.submit("/dashboard/keys/new", "/dashboard/keys", &[("name", "more")]).await.text());
    let published = gateway.get("/events?type=invoice.paid").await["items"][0]["id"].as_str().unwrap().to_owned();
    let list = ada.page("/dashboard/events?type=invoice.paid").await;
    let again = ada.submit_on(&list, "/dashboard/events/redeliver", &[("event", &published)]).await;
    assert_eq!(again.status, 200, "nobody wants it");
    pages.push(again.text());
    pages.push(ada.page("/dashboard/events/redeliver-all?type=push").await);
    pages.push(ada.submit("/dashboard/audit/check", "/dashboard/audit/check", &[]).await.text());
    pages.push(ada.get("/dashboard/confirm?next=/dashboard/keys").await.text());
    let factor = "/dashboard/settings/second-factor";
    let started = ada.submit("/dashboard/settings", factor, &[("password", PASSWORD)]).await.text();
    let code = code_now(&shown(&started, "factor-uri"));
    pages.push(ada.submit_on(&started, &format!("{factor}/confirm"), &[("code", &code)]).await.text());
    pages.push(started);
    pages.push(ada.get("/dashboard/nothing").await.text());
    pages
}

/// What is there before somebody is signed in.
async fn doors() -> Vec<String> {
    let mut pages = Vec::new();
    let new = Gateway::start("").await;
    let mut stranger = new.stranger();
    pages.push(stranger.page("/dashboard/sign-in").await);
    let link = new.running.first_run_link().unwrap();
    stranger.get(&link[link.find("/dashboard").unwrap()..]).await;
    pages.push(stranger.page("/dashboard/first-run").await);
    let invited = new.api("POST", "/users", r#"{"email":"bob@example.com","scopes":["read"]}"#).await.json();
    let mut bob = new.stranger();
    bob.get(&format!("/dashboard/invitation/{}", invited["invitation"].as_str().unwrap())).await;
    pages.push(bob.page("/dashboard/invitation").await);
    let (gateway, _provider) = start("domains = [\"example.com\"]\ncreate = true\nscopes = [\"read\"]").await;
    let mut browser = gateway.stranger();
    pages.push(go(&mut browser, "/auth/oidc/strict").await.1.text());
    pages
}

#[tokio::test]
async fn every_template_makes_a_page() {
    let gateway = with_everything().await;
    let (_, scopes) = ROLES[3];
    let mut ada = gateway.visitor("ada@example.com", scopes).await;
    let mut pages: Vec<String> = walk(&mut ada).await.pages.into_values().collect();
    pages.extend(answers(&gateway, &mut ada).await);
    pages.extend(doors().await);
    let all = pages.iter().map(|page| plain(page)).collect::<Vec<_>>().join("\n");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut templates = Vec::new();
    files(&directory, &mut templates);
    let written: Vec<(PathBuf, Vec<String>)> =
        templates.into_iter().map(|path| (path.clone(), pieces(&std::fs::read_to_string(path).unwrap()))).collect();
    assert!(written.len() > 50, "{} templates are too few to be all", written.len());
    for (path, pieces) in &written {
        let others: Vec<&String> =
            written.iter().filter(|(other, _)| other != path).flat_map(|(_, pieces)| pieces).collect();
        // What stands in no other template shows that it was this one.
        let mut own =
            pieces.iter().filter(|piece| piece.len() > 5 && !others.iter().any(|other| other.contains(piece.as_str())));
        let mut known = own.clone();
        assert!(known.any(|_| true), "{} has nothing of its own", path.display());
        assert!(own.any(|piece| all.contains(piece.as_str())), "no page here is made of {}", path.display());
    }
}
