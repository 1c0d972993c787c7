//! Signing in by way of a provider, and every way in which somebody could try to come in by it who should not.

mod pages;
mod provider;

pub(crate) use pages::go;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, send};
use provider::{Lie, StrictProvider};

/// A provider that knows newcomers at example.com, who may read.
fn table(name: &str, provider: &StrictProvider, more: &str) -> String {
    format!(
        "[[oidc]]\nname = \"{name}\"\nissuer = \"{}\"\nclient_id = \"hookward\"\n\
         client_secret = \"env:OIDC_SECRET\"\n{more}\n",
        provider.issuer()
    )
}

const NEWCOMERS: &str = "domains = [\"example.com\"]\ncreate = true\nscopes = [\"read\"]";

/// A gateway with one strict provider, `strict`.
pub(crate) async fn start(more: &str) -> (Gateway, StrictProvider) {
    let provider = StrictProvider::start().await;
    let gateway = Gateway::start(&table("strict", &provider, more)).await;
    let redirect_uri = format!("http://{}/auth/oidc/strict/callback", gateway.running.admin());
    provider.with(|state| state.redirect_uri = redirect_uri);
    (gateway, provider)
}

/// What a browser keeps between requests.
#[derive(Debug, Clone, Default)]
struct Browser {
    cookies: BTreeMap<String, String>,
}

impl Browser {
    async fn get(&mut self, url: &str) -> Answer {
        let rest = url.strip_prefix("http://").unwrap();
        let (host, path) = rest.split_once('/').unwrap();
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let headers = [("cookie", cookies.as_str())];
        let headers = if cookies.is_empty() { &[][..] } else { &headers[..] };
        let answer = send(host.parse().unwrap(), "GET", &format!("/{path}"), headers, b"").await;
        // The last of several stands for all: the session's comes first, so it is looked for by its name below.
        if let Some((name, value)) =
            answer.header("set-cookie").and_then(|line| line.split(';').next()?.split_once('='))
        {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// Begins at the gateway and goes to the provider: the URL that it is sent back to.
    async fn go(&mut self, gateway: &Gateway, name: &str) -> String {
        let sent = self.get(&format!("http://{}/auth/oidc/{name}", gateway.running.admin())).await;
        assert_eq!(sent.status, 303, "{}", sent.text());
        let at_provider = Self::default().get(sent.header("location").unwrap()).await;
        assert_eq!(at_provider.status, 303, "{}", at_provider.text());
        at_provider.header("location").unwrap().to_owned()
    }

    /// All of it.
    async fn sign_in(&mut self, gateway: &Gateway) -> Answer {
        let back = self.go(gateway, "strict").await;
        self.get(&back).await
    }
}

/// The status of a problem, and that nobody was signed in by it.
fn refused(answer: &Answer) -> u16 {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", answer.text());
    assert_eq!(answer.header("set-cookie"), None);
    answer.status
}

async fn users(gateway: &Gateway) -> usize {
    gateway.get("/users").await["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_newcomer_comes_in_and_is_the_same_user_the_next_time() {
    let (gateway, provider) = start(NEWCOMERS).await;
    let mut browser = Browser::default();
    let first = browser.sign_in(&gateway).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let user = first.json()["user"].clone();
    assert_eq!((&user["email"], &user["scopes"]), (&json!("ada@example.com"), &json!(["read"])));
    assert!(!first.text().contains("session."), "what proves the session is in the cookie only");
    let actions: Vec<_> = gateway.audited(3).await;
    let by = |action: &str, actor: &str| (action.to_owned(), actor.to_owned(), "user:ada@example.com".to_owned());
    assert_eq!(
        actions,
        [
            by("user.login", "user:ada@example.com"),
            by("user.add_identity", "provider:strict"),
            by("user.create", "provider:strict")
        ]
    );
    provider.with(|state| state.user["email"] = json!("countess@elsewhere.example"));
    let second = Browser::default().sign_in(&gateway).await;
    assert_eq!(
        second.json()["user"]["id"],
        user["id"],
        "known by the provider's own name, whatever the address is now"
    );
    assert_eq!(users(&gateway).await, 1);
}

#[tokio::test]
async fn the_cookie_that_comes_of_it_is_a_session() {
    let (gateway, _provider) = start(NEWCOMERS).await;
    let mut browser = Browser::default();
    let back = browser.go(&gateway, "strict").await;
    let raw = String::from_utf8(send_back(&gateway, &back, &browser).await).unwrap();
    let cookies: Vec<&str> = raw.lines().filter_map(|line| line.strip_prefix("set-cookie: ")).collect();
    let [session, attempt] = cookies[..] else { panic!("{raw}") };
    assert!(session.starts_with("hookward_session=session.") && session.contains("SameSite=Strict"), "{session}");
    assert!(attempt.starts_with("hookward_sign_in_strict=;") && attempt.contains("Max-Age=0"), "{attempt}");
    let cookie = session.split(';').next().unwrap();
    let me = send(gateway.running.admin(), "GET", "/api/v1/me", &[("cookie", cookie)], b"").await;
    assert_eq!(me.json()["actor"], "user:ada@example.com");
}

async fn send_back(gateway: &Gateway, url: &str, browser: &Browser) -> Vec<u8> {
    let path = &url[url.find("/auth").unwrap()..];
    let cookies: Vec<String> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncookie: {}\r\n\r\n", cookies.join("; "));
    crate::support::raw(gateway.running.admin(), request.as_bytes()).await.into_bytes()
}

#[tokio::test]
async fn only_who_is_invited_comes_in_where_newcomers_do_not() {
    let (gateway, provider) = start("").await;
    assert_eq!(refused(&Browser::default().sign_in(&gateway).await), 403);
    assert_eq!(gateway.audited(1).await[0].0, "user.login_refused");
    gateway.api("POST", "/users", r#"{"email":"Ada@Example.com","scopes":["publish"]}"#).await;
    provider.with(|state| state.user["email_verified"] = json!(false));
    assert_eq!(
        refused(&Browser::default().sign_in(&gateway).await),
        403,
        "an address that nobody verified is nobody's"
    );
    provider.with(|state| state.user["email_verified"] = json!(true));
    let answer = Browser::default().sign_in(&gateway).await;
    assert_eq!((answer.status, &answer.json()["user"]["scopes"]), (200, &json!(["publish"])));
    let id = answer.json()["user"]["id"].as_str().unwrap().to_owned();
    gateway.api("PATCH", &format!("/users/{id}"), r#"{"disabled":true}"#).await;
    assert_eq!(refused(&Browser::default().sign_in(&gateway).await), 403, "a disabled user stays out");
    assert_eq!(users(&gateway).await, 1);
}

#[tokio::test]
async fn newcomers_come_from_the_domains_that_are_named() {
    let (gateway, provider) = start(NEWCOMERS).await;
    for email in
        ["eve@evil.example", "eve@example.com.evil.example", "eve@sub.example.com", "example.com", "a@b@example.com"]
    {
        provider.with(|state| state.user["email"] = json!(email));
        let answer = Browser::default().sign_in(&gateway).await;
        assert!(matches!(refused(&answer), 400 | 403 | 422), "{email}: {}", answer.text());
    }
    assert_eq!(users(&gateway).await, 0);
}

async fn nobody_comes_in_by(lies: &[Lie]) {
    let (gateway, provider) = start(NEWCOMERS).await;
    for lie in lies {
        provider.with(|state| state.lie = lie.clone());
        assert_eq!(refused(&Browser::default().sign_in(&gateway).await), 401, "{lie:?}");
        assert_eq!(gateway.audited(1).await[0].0, "user.login_refused", "{lie:?}");
    }
    assert_eq!(users(&gateway).await, 0);
    provider.with(|state| state.lie = Lie::None);
    assert_eq!(Browser::default().sign_in(&gateway).await.status, 200, "it was nothing else");
}

#[tokio::test]
async fn a_token_that_nobody_signed_signs_nobody_in() {
    let unsigned = [Lie::Unsigned("none"), Lie::Unsigned("None"), Lie::Unsigned("EdDSA"), Lie::Unsigned("HS256")];
    nobody_comes_in_by(&[&unsigned[..], &[Lie::Confused, Lie::Stolen]].concat()).await;
}

#[tokio::test]
async fn a_token_that_lies_signs_nobody_in() {
    nobody_comes_in_by(&[
        Lie::Claim("aud", json!("somebody-else")),
        Lie::Claim("aud", json!(["hookward", "somebody-else"])),
        Lie::Claim("azp", json!("somebody-else")),
        Lie::Claim("iss", json!("https://accounts.example")),
        Lie::Claim("nonce", json!("of another sign-in")),
        Lie::Claim("nonce", Value::Null),
        Lie::Claim("exp", json!(1_000_000_000)),
        Lie::Claim("iat", json!(10_000_000_000_i64)),
        Lie::Claim("sub", json!("")),
    ])
    .await;
}

#[tokio::test]
async fn what_one_browser_began_no_other_ends() {
    let (gateway, _provider) = start(NEWCOMERS).await;
    let (mut ada, mut eve) = (Browser::default(), Browser::default());
    let back_of_eve = eve.go(&gateway, "strict").await;
    assert_eq!(refused(&ada.get(&back_of_eve).await), 403, "a browser that began nothing");
    let back_of_ada = ada.go(&gateway, "strict").await;
    assert_eq!(refused(&ada.get(&back_of_eve).await), 403, "one that began another");
    let code_of_eve = back_of_eve.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let code_of_ada = back_of_ada.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let injected = back_of_ada.replace(code_of_ada, code_of_eve);
    assert_eq!(refused(&ada.get(&injected).await), 401, "PKCE: a code is for who was sent with it");
    for spoilt in ["&state=x", "&iss=https%3A%2F%2Fevil.example", ""] {
        let (start, _) = back_of_ada.split_once("&state").unwrap();
        let url = format!("{start}{spoilt}");
        assert_eq!(refused(&ada.get(&url).await), 403, "{spoilt}");
    }
    assert_eq!(users(&gateway).await, 0);
    assert_eq!(ada.get(&back_of_ada).await.status, 200);
}

#[tokio::test]
async fn a_code_counts_once() {
    let (gateway, _provider) = start(NEWCOMERS).await;
    let mut browser = Browser::default();
    let back = browser.go(&gateway, "strict").await;
    let mut thief = browser.clone();
    assert_eq!(browser.get(&back).await.status, 200);
    assert_eq!(refused(&thief.get(&back).await), 401, "not even for who has the cookie as well");
}

#[tokio::test]
async fn answers_of_one_provider_are_not_taken_for_anothers() {
    let (honest, evil) = (StrictProvider::start().await, StrictProvider::start().await);
    let config = table("honest", &honest, NEWCOMERS) + &table("evil", &evil, NEWCOMERS);
    let gateway = Gateway::start(&config).await;
    let redirect = |name: &str| format!("http://{}/auth/oidc/{name}/callback", gateway.running.admin());
    honest.with(|state| state.redirect_uri = redirect("honest"));
    evil.with(|state| state.redirect_uri = redirect("evil"));
    let mut browser = Browser::default();
    let back = browser.go(&gateway, "honest").await;
    let elsewhere = back.replace("/honest/", "/evil/");
    assert_eq!(refused(&browser.get(&elsewhere).await), 403, "the attempt was begun at the other");
    let issuer =
        percent_encoding::utf8_percent_encode(&honest.issuer(), percent_encoding::NON_ALPHANUMERIC).to_string();
    let evils = percent_encoding::utf8_percent_encode(&evil.issuer(), percent_encoding::NON_ALPHANUMERIC).to_string();
    assert_eq!(refused(&browser.get(&back.replace(&issuer, &evils)).await), 403, "it says that it is the other's");
    let without = back.split("&iss=").next().unwrap().to_owned();
    assert_eq!(refused(&browser.get(&without).await), 403, "it says nothing, and this provider always does");
    assert_eq!(browser.get(&back).await.status, 200);
}

#[tokio::test]
async fn a_provider_changes_its_keys_and_is_not_asked_for_them_all_the_time() {
    let (gateway, provider) = start(NEWCOMERS).await;
    for _ in 0..3 {
        assert_eq!(Browser::default().sign_in(&gateway).await.status, 200);
    }
    assert_eq!(provider.with(|state| state.keys_asked), 1);
    provider.rotate();
    assert_eq!(Browser::default().sign_in(&gateway).await.status, 200);
    assert_eq!(provider.with(|state| state.keys_asked), 2);
    provider.rotate();
    assert_eq!(refused(&Browser::default().sign_in(&gateway).await), 401, "again within the minute");
    assert_eq!(provider.with(|state| state.keys_asked), 2);
}

#[tokio::test]
async fn a_provider_that_is_away_is_503_and_comes_back() {
    let (gateway, provider) = start(NEWCOMERS).await;
    let url = format!("http://{}/auth/oidc/strict", gateway.running.admin());
    provider.with(|state| state.is_down = true);
    let answer = Browser::default().get(&url).await;
    assert_eq!((refused(&answer), answer.header("retry-after")), (503, Some("5")));
    for lie in [
        json!({ "issuer": "https://evil.example" }),
        json!({ "token_endpoint": "http://evil.example/token" }),
        json!({ "jwks_uri": "file:///etc/passwd" }),
        json!({ "authorization_endpoint": 7 }),
    ] {
        provider.with(|state| (state.is_down, state.document) = (false, lie.clone()));
        assert_eq!(refused(&Browser::default().get(&url).await), 503, "{lie}");
    }
    provider.with(|state| state.document = json!({}));
    let mut browser = Browser::default();
    let back = browser.go(&gateway, "strict").await;
    provider.with(|state| state.is_down = true);
    assert_eq!(refused(&browser.get(&back).await), 503);
    provider.with(|state| state.is_down = false);
    assert_eq!(browser.get(&back).await.status, 200, "nothing was spent");
    let missing = Browser::default().get(&url.replace("strict", "nobody")).await;
    assert_eq!(refused(&missing), 404);
}

#[tokio::test]
async fn a_provider_that_says_no_is_told_on() {
    let (gateway, _provider) = start(NEWCOMERS).await;
    let mut browser = Browser::default();
    let back = browser.go(&gateway, "strict").await;
    let (start, rest) = back.split_once("code=").unwrap();
    let rest = rest.split_once('&').unwrap().1;
    let answer = browser.get(&format!("{start}error=access_denied&{rest}")).await;
    assert_eq!(refused(&answer), 403);
    assert!(answer.text().contains("`access_denied`"), "{}", answer.text());
}

#[tokio::test]
async fn an_address_that_is_told_separately_counts_if_it_is_of_the_same_person() {
    let (gateway, provider) = start(NEWCOMERS).await;
    let told = |sub: &str| json!({ "sub": sub, "email": "ada@example.com", "email_verified": true });
    provider.with(|state| (state.user, state.user_info) = (json!({ "sub": "ada-1" }), Some(told("eve-1"))));
    assert_eq!(refused(&Browser::default().sign_in(&gateway).await), 503);
    provider.with(|state| state.user_info = Some(told("ada-1")));
    let answer = Browser::default().sign_in(&gateway).await;
    assert_eq!(answer.json()["user"]["email"], "ada@example.com");
}

#[tokio::test]
async fn a_providers_groups_say_what_its_users_may_do() {
    let grants = "claim = \"groups\"\ngrants = { ops = [\"*\"], dev = [\"read\", \"redeliver\"] }";
    let (gateway, provider) = start(&format!("{NEWCOMERS}\n{grants}")).await;
    for (groups, scopes) in [
        (json!(["dev", "football"]), json!(["read", "redeliver"])),
        (json!("dev"), json!(["read", "redeliver"])),
        (json!(["football"]), json!([])),
        (json!(null), json!([])),
    ] {
        provider.with(|state| state.user["groups"] = groups.clone());
        let answer = Browser::default().sign_in(&gateway).await;
        assert_eq!(answer.json()["user"]["scopes"], scopes, "{groups}");
    }
    provider.with(|state| state.user["groups"] = json!(["ops"]));
    let answer = Browser::default().sign_in(&gateway).await;
    assert_eq!(answer.json()["user"]["scopes"].as_array().unwrap().len(), 8);
    let log = gateway.get("/audit?limit=2").await;
    assert_eq!(
        (&log["items"][1]["action"], &log["items"][1]["actor"]),
        (&json!("user.change_scopes"), &json!("provider:strict"))
    );
}

#[tokio::test]
async fn whoever_begins_too_often_waits() {
    let (gateway, _provider) = start(NEWCOMERS).await;
    let url = format!("http://{}/auth/oidc/strict", gateway.running.admin());
    for _ in 0..20 {
        assert_eq!(Browser::default().get(&url).await.status, 303);
    }
    assert_eq!(refused(&Browser::default().get(&url).await), 429);
}
