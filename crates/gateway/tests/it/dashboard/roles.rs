//! Who may what: every way in the dashboard with the scope that it needs, asked for by every role; and that a role's own
//! pages offer it nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::{Visitor, filled_in, text};
use crate::support::{GITHUB_SECRET, Gateway};

/// What somebody needs for a page or a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing, not even a session.
    Nothing,
    /// A session.
    Session,
    Scope(&'static str),
}
use Needs::{Nothing, Scope, Session};

/// The roles and their scopes.
pub(super) const ROLES: [(&str, &[&str]); 4] = [
    ("viewer", &["read"]),
    ("developer", &["read", "publish", "pull", "redeliver"]),
    ("administrator", &["read", "publish", "pull", "redeliver", "export", "admin"]),
    ("secret-administrator", &["read", "publish", "pull", "redeliver", "export", "admin", "reveal", "rotate"]),
];

/// Every way in the dashboard: what is literal stands before what is variable.
const WAYS: [(&str, &str, Needs); 97] = [
    ("GET", "/", Nothing),
    ("GET", "/dashboard/", Nothing),
    ("GET", "/dashboard/sign-in", Nothing),
    ("POST", "/dashboard/sign-in", Nothing),
    ("GET", "/dashboard/first-run", Nothing),
    ("POST", "/dashboard/first-run", Nothing),
    ("GET", "/dashboard/first-run/{link}", Nothing),
    ("GET", "/dashboard/invitation", Nothing),
    ("POST", "/dashboard/invitation", Nothing),
    ("GET", "/dashboard/invitation/{link}", Nothing),
    ("GET", "/auth/oidc/{name}", Nothing),
    ("GET", "/auth/oidc/{name}/callback", Nothing),
    ("GET", "/dashboard/assets/{version}/{name}", Nothing),
    ("POST", "/dashboard/preferences", Session),
    ("GET", "/dashboard/confirm", Session),
    ("POST", "/dashboard/confirm", Session),
    ("GET", "/dashboard/settings", Session),
    ("POST", "/dashboard/settings/password", Session),
    ("POST", "/dashboard/settings/second-factor", Session),
    ("POST", "/dashboard/settings/second-factor/confirm", Session),
    ("POST", "/dashboard/settings/second-factor/remove", Session),
    ("POST", "/dashboard/settings/recovery-codes", Session),
    ("POST", "/dashboard/settings/sessions/others", Session),
    ("POST", "/dashboard/settings/sessions/{id}", Session),
    ("GET", "/dashboard", Scope("read")),
    ("GET", "/dashboard/overview", Scope("read")),
    ("GET", "/dashboard/events", Scope("read")),
    ("GET", "/dashboard/events/new", Scope("read")),
    ("POST", "/dashboard/events/redeliver", Scope("redeliver")),
    ("GET", "/dashboard/events/redeliver-all", Scope("redeliver")),
    ("POST", "/dashboard/events/redeliver-all", Scope("redeliver")),
    ("POST", "/dashboard/events/cancel", Scope("redeliver")),
    ("GET", "/dashboard/events/{id}", Scope("read")),
    ("GET", "/dashboard/events/{id}/progress", Scope("read")),
    ("GET", "/dashboard/events/{id}/body", Scope("read")),
    ("POST", "/dashboard/events/{id}/redeliver", Scope("redeliver")),
    ("POST", "/dashboard/deliveries/{id}/cancel", Scope("redeliver")),
    ("GET", "/dashboard/deliveries/{id}/output", Scope("read")),
    ("GET", "/dashboard/refusals/{id}", Scope("read")),
    ("GET", "/dashboard/sources", Scope("read")),
    ("GET", "/dashboard/sources/{name}", Scope("read")),
    ("GET", "/dashboard/sources/{name}/first", Scope("read")),
    ("GET", "/dashboard/sources/{name}/edit", Scope("admin")),
    ("POST", "/dashboard/sources/{name}/edit", Scope("admin")),
    ("POST", "/dashboard/sources/{name}/remove", Scope("admin")),
    ("GET", "/dashboard/new-source", Scope("admin")),
    ("POST", "/dashboard/new-source", Scope("admin")),
    ("GET", "/dashboard/sources/{name}/secrets", Scope("read")),
    ("GET", "/dashboard/sources/{name}/secrets/rotate", Scope("rotate")),
    ("POST", "/dashboard/sources/{name}/secrets/rotate", Scope("rotate")),
    ("GET", "/dashboard/sources/{name}/secrets/set", Scope("rotate")),
    ("POST", "/dashboard/sources/{name}/secrets/set", Scope("rotate")),
    ("POST", "/dashboard/sources/{name}/secrets/{version}/reveal", Scope("reveal")),
    ("GET", "/dashboard/sources/{name}/secrets/{version}/revoke", Scope("rotate")),
    ("POST", "/dashboard/sources/{name}/secrets/{version}/revoke", Scope("rotate")),
    ("GET", "/dashboard/sources/{name}/secrets/{version}/end", Scope("rotate")),
    ("POST", "/dashboard/sources/{name}/secrets/{version}/end", Scope("rotate")),
    ("GET", "/dashboard/schemes", Scope("read")),
    ("GET", "/dashboard/schemes/{name}", Scope("read")),
    ("GET", "/dashboard/schemes/{name}/edit", Scope("admin")),
    ("POST", "/dashboard/schemes/{name}/edit", Scope("admin")),
    ("POST", "/dashboard/schemes/{name}/remove", Scope("admin")),
    ("GET", "/dashboard/new-scheme", Scope("admin")),
    ("POST", "/dashboard/new-scheme", Scope("admin")),
    ("GET", "/dashboard/destinations", Scope("read")),
    ("GET", "/dashboard/destinations/{name}", Scope("read")),
    ("POST", "/dashboard/destinations/{name}/pause", Scope("redeliver")),
    ("POST", "/dashboard/destinations/{name}/resume", Scope("redeliver")),
    ("POST", "/dashboard/destinations/{name}/recover", Scope("redeliver")),
    ("GET", "/dashboard/audit", Scope("read")),
    ("GET", "/dashboard/audit/check", Scope("read")),
    ("POST", "/dashboard/audit/check", Scope("read")),
    ("POST", "/dashboard/audit/export", Scope("export")),
    ("GET", "/dashboard/audit/{seq}", Scope("read")),
    ("GET", "/dashboard/keys", Scope("admin")),
    ("POST", "/dashboard/keys", Scope("admin")),
    ("GET", "/dashboard/keys/new", Scope("admin")),
    ("POST", "/dashboard/keys/{id}/revoke", Scope("admin")),
    ("GET", "/dashboard/users", Scope("admin")),
    ("POST", "/dashboard/users", Scope("admin")),
    ("GET", "/dashboard/users/new", Scope("admin")),
    ("GET", "/dashboard/users/{id}", Scope("admin")),
    ("POST", "/dashboard/users/{id}/scopes", Scope("admin")),
    ("POST", "/dashboard/users/{id}/disable", Scope("admin")),
    ("POST", "/dashboard/users/{id}/enable", Scope("admin")),
    ("POST", "/dashboard/users/{id}/reset", Scope("admin")),
    ("POST", "/dashboard/users/{id}/remove", Scope("admin")),
    ("GET", "/dashboard/encryption", Scope("admin")),
    ("POST", "/dashboard/encryption/test", Scope("admin")),
    ("GET", "/dashboard/encryption/rewrap", Scope("admin")),
    ("POST", "/dashboard/encryption/rewrap", Scope("admin")),
    ("GET", "/dashboard/system", Scope("admin")),
    ("GET", "/dashboard/{*rest}", Session),
    ("POST", "/dashboard/{*rest}", Session),
    ("GET", "/dashboard/nothing", Session),
    ("POST", "/dashboard/nothing", Session),
    // What follows it would be of nobody any more.
    ("POST", "/dashboard/sign-out", Session),
];

/// The way that a path is.
fn way(method: &str, path: &str) -> (&'static str, Needs) {
    let path = path.split(['?', '#']).next().unwrap();
    // What is declared and its secrets have the same pages twice.
    let is_twofold = ["/secrets", "/edit", "/remove"].iter().any(|part| path.contains(part));
    let path = if is_twofold { path.replace("/destinations/", "/sources/") } else { path.to_owned() };
    let path = path.replace("/dashboard/new-destination", "/dashboard/new-source");
    let is = |pattern: &str| {
        let (parts, given): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
        let fits = |(part, given): (&&str, &&str)| part == given || (part.starts_with('{') && !given.is_empty());
        parts.len() == given.len() && parts.iter().zip(&given).all(fits)
    };
    let mut found = WAYS.iter().filter(|(of, pattern, _)| *of == method && !pattern.contains("{*") && is(pattern));
    // What is literal goes before what is variable.
    let (_, pattern, needs) = found
        .clone()
        .find(|(_, pattern, _)| *pattern == path)
        .or_else(|| found.next())
        .unwrap_or_else(|| panic!("{method} {path} is no way of the dashboard"));
    (pattern, *needs)
}

#[test]
fn every_way_that_the_code_has_stands_in_the_table() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![directory.join("dashboard.rs")];
    let mut directories = vec![directory.join("dashboard")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    let mut found = 0;
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        for call in source.split(".route(").skip(1) {
            let call = call.split("\n").next().unwrap();
            let end = match call.split('"').nth(1) {
                Some(literal) => literal,
                None if call.starts_with("EVENTS,") => "/dashboard/events",
                None if call.starts_with("LIST,") => {
                    source.split("const LIST: &str = \"").nth(1).unwrap().split('"').next().unwrap()
                }
                None if call.starts_with("&new(owners),") => "/dashboard/new-source",
                None => panic!("{}: which path is {call}?", file.display()),
            };
            let end = end.replace("{{", "{").replace("}}", "}").replace("/dashboard/{}/", "/dashboard/sources/");
            let methods = [("get(", "GET"), ("post(", "POST")].into_iter().filter(|(code, _)| call.contains(code));
            for (_, method) in methods {
                found += 1;
                let known = WAYS.iter().any(|(of, path, _)| *of == method && path.ends_with(&end));
                assert!(known, "{}: {method} {end} is not in the table", file.display());
            }
        }
    }
    // The two that stand for whatever there is not.
    assert_eq!(found, WAYS.len() - 2);
}

#[tokio::test]
async fn every_role_gets_where_its_scopes_lead_and_nowhere_else() {
    let gateway = Gateway::start("").await;
    for (role, scopes) in ROLES {
        let mut visitor = gateway.visitor(&format!("{role}@example.com"), scopes).await;
        let token = filled_in(&visitor.page("/dashboard/settings").await, "/dashboard/sign-out", &[]);
        for (method, pattern, needs) in WAYS {
            for pattern in [pattern.to_owned(), pattern.replace("/sources/", "/destinations/")] {
                let parts = pattern.split('/').map(|part| if part.starts_with('{') { "7" } else { part });
                let path = parts.collect::<Vec<_>>().join("/");
                let answer = match method {
                    "GET" => visitor.get(&path).await,
                    _ => visitor.post(&path, &token, "same-origin").await,
                };
                let refusal = match needs {
                    Scope(scope) if !scopes.contains(&scope) => {
                        Some(format!("This needs the scope `{scope}`, which you do not have."))
                    }
                    _ => None,
                };
                let said = text(&answer.text());
                match refusal {
                    Some(refusal) => assert!(
                        answer.status == 403 && said.contains(&refusal),
                        "{role} {method} {path}: {} {said}",
                        answer.status
                    ),
                    None => assert!(!said.contains("This needs the scope"), "{role} {method} {path}: {said}"),
                }
                assert!(answer.status < 500, "{role} {method} {path}: {said}");
            }
        }
    }
}

#[tokio::test]
async fn who_is_not_signed_in_gets_to_where_one_signs_in() {
    let gateway = Gateway::start("").await;
    gateway.visitor("ada@example.com", &["read"]).await;
    let mut stranger = gateway.stranger();
    for (method, path, needs) in WAYS {
        let answer = match method {
            "GET" => stranger.get(path).await,
            _ => stranger.post(path, &[], "same-origin").await,
        };
        let goes_to = answer.header("location").unwrap_or_default();
        let is_sent_away = answer.status == 303 && goes_to.starts_with("/dashboard/sign-in");
        assert_eq!(is_sent_away, needs != Nothing, "{method} {path}: {} {goes_to}", answer.status);
    }
}

/// Something of everything that pages show.
pub(super) const EVERYTHING: &str = r#"
[[source]]
name = "github"
scheme = "github"
secret = "env:GITHUB_SECRET"

[[source]]
name = "open"
unsigned = true

[[destination]]
name = "good"
type = "command"
argv = ["/bin/sh", "-c", "printf 'took <b>it</b>'"]
sources = ["github"]

[[destination]]
name = "bad"
type = "command"
argv = ["/bin/sh", "-c", "echo no; exit 7"]
sources = ["github"]
retry = { waits = [] }

[[destination]]
name = "later"
type = "pull"
sources = ["open"]
"#;

/// A gateway that has all of it.
pub(super) async fn with_everything() -> Gateway {
    let gateway = Gateway::start(EVERYTHING).await;
    for (id, body) in [("d-1", "{\"n\":1}"), ("d-2", "{\"n\":2}"), ("d-1", "{\"n\":1}")] {
        assert!(gateway.push(id, body.as_bytes()).await.status < 300);
    }
    gateway.send("POST", "/in/open", &[], b"plain").await;
    gateway.send("POST", "/in/github", &[("x-hub-signature-256", "sha256=00")], b"{}").await;
    let made = [
        ("/events", r#"{"type":"invoice.paid","payload":{"amount":250}}"#),
        ("/sources", r#"{"name":"asked","scheme":"standard-webhooks"}"#),
        ("/sources/asked/secrets/rotate", "{}"),
        ("/sources/asked/secrets/rotate", r#"{"grace_s":3600}"#),
        (
            "/destinations",
            r#"{"name":"ci","type":"http","url":"https://ci.example.com/","sources":["asked"],"sign":{"scheme":"qlens"}}"#,
        ),
        ("/destinations/ci/secrets/rotate", "{}"),
        ("/destinations/later/pause", ""),
        ("/keys", r#"{"name":"deploy","scopes":["read"]}"#),
    ];
    let ours = serde_json::json!({ "toml": super::resources::scheme_file("ours", "x-ours") }).to_string();
    assert_eq!(gateway.api("PUT", "/schemes/ours", &ours).await.status, 200);
    // More versions than fit on a source's page.
    let more = std::iter::repeat_n(("/sources/asked/secrets/rotate", r#"{"grace_s":0}"#), 6);
    for (path, body) in made.into_iter().chain(more) {
        let answer = gateway.api("POST", path, body).await;
        assert!(answer.status / 100 == 2, "{path}: {}", answer.text());
    }
    for state in ["pending", "leased"] {
        while gateway.get(&format!("/deliveries?state={state}&destination=bad")).await["items"] != serde_json::json!([])
        {
            tokio::task::yield_now().await;
        }
    }
    gateway
}

/// What one finds who follows every link: pages by address, and the ways of their forms.
pub(super) struct Walk {
    pub(super) pages: BTreeMap<String, String>,
    forms: BTreeSet<(String, String)>,
}

/// Follows every link from the first page on. Of the catalog's schemes one is followed; of links that differ only in what they say, not in what they ask, one is
/// followed.
pub(super) async fn walk(visitor: &mut Visitor<'_>) -> Walk {
    let mut walk = Walk { pages: BTreeMap::new(), forms: BTreeSet::new() };
    let (mut seen, mut ahead) = (BTreeSet::new(), vec!["/dashboard".to_owned()]);
    while let Some(path) = ahead.pop() {
        let asks = path.split_once('?').map_or("", |(_, query)| query);
        let names: BTreeSet<String> = asks
            .split('&')
            .map(|pair| {
                if pair.starts_with("language=") { pair.to_owned() } else { pair.split('=').next().unwrap().to_owned() }
            })
            .collect();
        let (pattern, _) = way("GET", &path);
        let name = path.split(['?', '#']).next().unwrap();
        // Of lists one of each kind; of sources and destinations every one.
        let is_of_catalog = name.strip_prefix("/dashboard/schemes/").is_some_and(hookward::catalog::has);
        let of = if pattern.contains("{name}") && !is_of_catalog { name } else { pattern };
        if !seen.insert((of.to_owned(), names)) {
            continue;
        }
        let answer = visitor.get(path.split('#').next().unwrap()).await;
        assert_ne!(answer.status, 403, "{path}: {}", answer.text());
        let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        if answer.status != 200 || !is_page {
            continue;
        }
        let page = answer.text();
        assert!(!page.contains(GITHUB_SECRET), "{path}");
        for (mark, method) in [
            ("href=\"", "GET"),
            ("data-live=\"", "GET"),
            ("method=\"post\" action=\"", "POST"),
            ("formaction=\"", "POST"),
        ] {
            for address in page.split(mark).skip(1).map(|rest| text(rest.split('"').next().unwrap())) {
                if !address.starts_with("/dashboard") || address.starts_with("/dashboard/assets/") {
                    continue;
                }
                match method {
                    "GET" => ahead.push(address),
                    _ => drop(walk.forms.insert((path.clone(), address))),
                }
            }
        }
        walk.pages.insert(path, page);
    }
    walk
}

#[tokio::test]
async fn a_role_is_offered_what_it_may_do_and_nothing_else() {
    let gateway = with_everything().await;
    let mut offered: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for (role, scopes) in ROLES {
        let mut visitor = gateway.visitor(&format!("{role}@example.com"), scopes).await;
        let Walk { pages, forms } = walk(&mut visitor).await;
        let ways = pages.keys().map(|path| ("GET", path, path)).chain(forms.iter().map(|(on, to)| ("POST", on, to)));
        for (method, on, to) in ways {
            let (pattern, needs) = way(method, to);
            if let Scope(scope) = needs {
                assert!(scopes.contains(&scope), "{role} is offered {method} {to} on {on}, which needs `{scope}`");
            }
            offered.entry(role).or_default().insert((method, pattern));
        }
    }
    // That more is offered to those who may more is what makes this a test.
    let counts: Vec<_> = ROLES.iter().map(|(role, _)| offered[role].len()).collect();
    assert!(counts.windows(2).all(|pair| pair[0] < pair[1]), "{counts:?}");
    let of = |role: &str, method, path| offered[role].contains(&(method, path));
    assert!(
        of("developer", "POST", "/dashboard/events/{id}/redeliver")
            && !of("viewer", "POST", "/dashboard/events/{id}/redeliver")
    );
    assert!(of("administrator", "GET", "/dashboard/users/new") && !of("developer", "GET", "/dashboard/users"));
    let reveal = "/dashboard/sources/{name}/secrets/{version}/reveal";
    assert!(of("secret-administrator", "POST", reveal) && !of("administrator", "POST", reveal));
}
