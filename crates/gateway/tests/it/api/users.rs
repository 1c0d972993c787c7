//! People, from the invitation to the end of a session: as programs sign in, and as browsers do.

use serde_json::{Value, json};

use super::problem;
use crate::support::{Answer, Gateway, SOURCES, send};

const PASSWORD: &str = "a long enough one";
const JSON: (&str, &str) = ("content-type", "application/json");

impl Gateway {
    /// A request of who has no key, with these headers.
    pub(crate) async fn bare(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        send(self.running.admin(), method, &format!("/api/v1{path}"), headers, body.as_bytes()).await
    }

    /// A user with these scopes and a password.
    async fn user(&self, email: &str, scopes: &[&str]) -> String {
        let invited = self.api("POST", "/users", &json!({ "email": email, "scopes": scopes }).to_string()).await;
        assert_eq!(invited.status, 201, "{}", invited.text());
        let invited = invited.json();
        let accept = json!({ "token": invited["invitation"], "password": PASSWORD }).to_string();
        assert_eq!(self.bare("POST", "/invitation", &[JSON], &accept).await.status, 204);
        invited["user"]["id"].as_str().unwrap().to_owned()
    }

    async fn login(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password }).to_string();
        self.bare("POST", "/login", &[JSON, ("user-agent", "a browser")], &body).await
    }
}

/// The cookie that an answer sets, as a browser sends it back.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_signs_in_does_what_their_scopes_say_and_signs_out() {
    let gateway = Gateway::start(SOURCES).await;
    let id = gateway.user("ada@example.com", &["read"]).await;
    let begun = gateway.login("Ada@Example.com", PASSWORD).await;
    assert_eq!((begun.status, begun.header("cache-control")), (200, Some("no-store")));
    let set_cookie = begun.header("set-cookie").unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(set_cookie.contains(attribute), "{set_cookie}");
    }
    assert!(!set_cookie.contains("Secure"), "this listener is on loopback, without TLS");
    let begun = begun.json();
    let token = begun["token"].as_str().unwrap();
    let me = gateway.api_as(token, "GET", "/me", "").await.json();
    assert_eq!((&me["actor"], &me["scopes"]), (&json!("user:ada@example.com"), &json!(["read"])));
    assert_eq!((&me["organization"]["name"], &me["user"]["id"]), (&json!("default"), &json!(id)));
    assert_eq!(gateway.api_as(token, "GET", "/sources", "").await.status, 200);
    assert_eq!(problem(&gateway.api_as(token, "GET", "/users", "").await).0, 403);
    let sessions = gateway.api_as(token, "GET", "/me/sessions", "").await.json();
    assert_eq!((&sessions["items"][0]["is_this"], &sessions["items"][0]["agent"]), (&json!(true), &json!("a browser")));
    assert_eq!(gateway.api_as(token, "POST", "/logout", "{}").await.status, 204);
    assert_eq!(problem(&gateway.api_as(token, "GET", "/me", "").await), (401, "unauthorized".to_owned()));
    let log: Vec<String> = gateway.audited(4).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(log, ["user.logout", "user.login", "user.set_password", "user.create"]);
    let log = gateway.get("/audit?limit=2").await;
    assert_eq!(
        (&log["items"][1]["actor"], &log["items"][1]["address"]),
        (&json!("user:ada@example.com"), &json!("127.0.0.1"))
    );
}

#[tokio::test]
async fn who_is_not_let_in_is_told_nothing() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.user("ada@example.com", &["read"]).await;
    let answers = [
        gateway.login("ada@example.com", "not the password").await,
        gateway.login("nobody@example.com", PASSWORD).await,
        gateway
            .bare(
                "POST",
                "/login",
                &[JSON],
                r#"{"email":"ada@example.com","password":"a long enough one","organization":"acme"}"#,
            )
            .await,
    ];
    for answer in &answers {
        assert_eq!(problem(answer), (401, "unauthorized".to_owned()));
        assert_eq!((answer.text(), answer.header("set-cookie")), (answers[0].text(), None));
    }
    for body in [r#"{"email":"a@b"}"#, r#"{"email":"a@b","password":"x","admin":true}"#] {
        assert_eq!(problem(&gateway.bare("POST", "/login", &[JSON], body).await).1, "invalid_request", "{body}");
    }
    let large = json!({ "email": "a@b", "password": "p".repeat(70 << 10) }).to_string();
    assert_eq!(gateway.bare("POST", "/login", &[JSON], &large).await.status, 413);
}

#[tokio::test]
async fn whoever_tries_too_often_is_told_when_to_come_again() {
    let gateway = Gateway::start(SOURCES).await;
    for _ in 0..10 {
        assert_eq!(gateway.login("ada@example.com", "not the password").await.status, 401);
    }
    let answer = gateway.login("ada@example.com", PASSWORD).await;
    assert_eq!(problem(&answer), (429, "too_often".to_owned()));
    assert!((1..=61).contains(&answer.header("retry-after").unwrap().parse::<u32>().unwrap()));
}

#[tokio::test]
async fn an_invitation_is_good_once_and_bad_ones_are_few() {
    let gateway = Gateway::start(SOURCES).await;
    let invited = gateway.api("POST", "/users", r#"{"email":"ada@example.com","scopes":["read"]}"#).await.json();
    let accept = |token: &Value, password: &str| json!({ "token": token, "password": password }).to_string();
    let token = &invited["invitation"];
    let short = gateway.bare("POST", "/invitation", &[JSON], &accept(token, "elevenchars")).await;
    assert_eq!(problem(&short).1, "invalid_request");
    assert_eq!(gateway.bare("POST", "/invitation", &[JSON], &accept(token, PASSWORD)).await.status, 204);
    for _ in 0..18 {
        let again = gateway.bare("POST", "/invitation", &[JSON], &accept(token, "another long one")).await;
        assert_eq!(problem(&again), (401, "unauthorized".to_owned()));
    }
    let again = gateway.bare("POST", "/invitation", &[JSON], &accept(token, "another long one")).await;
    assert_eq!(problem(&again).0, 429);
}

#[tokio::test]
async fn a_browsers_cookie_works_for_pages_of_our_own_only() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.user("ada@example.com", &["*"]).await;
    let cookie = cookie(&gateway.login("ada@example.com", PASSWORD).await);
    let cookie = ("cookie", cookie.as_str());
    let own = ("sec-fetch-site", "same-origin");
    assert_eq!(gateway.bare("GET", "/sources", &[cookie], "").await.status, 200);
    let key = r#"{"name":"ci","scopes":["read"]}"#;
    for headers in [
        &[cookie][..],
        &[cookie, JSON],
        &[cookie, JSON, ("sec-fetch-site", "cross-site")],
        &[cookie, JSON, ("sec-fetch-site", "same-site")],
        &[cookie, JSON, ("origin", "https://evil.example")],
        &[cookie, own, ("content-type", "text/plain")],
        &[cookie, own, ("content-type", "application/x-www-form-urlencoded")],
    ] {
        let answer = gateway.bare("POST", "/keys", headers, key).await;
        assert_eq!(problem(&answer), (403, "forbidden".to_owned()), "{headers:?}");
    }
    assert_eq!(gateway.bare("POST", "/keys", &[cookie, own, JSON], key).await.status, 201);
    let by_origin = [cookie, JSON, ("origin", "http://hookward.test")];
    assert_eq!(gateway.bare("POST", "/keys", &by_origin, &key.replace("ci", "other")).await.status, 201);
    let with_a_bad_key = [cookie, ("authorization", "Bearer nothing")];
    assert_eq!(gateway.bare("GET", "/sources", &with_a_bad_key, "").await.status, 401, "a key that is sent is judged");
    let logout = gateway.bare("POST", "/logout", &[cookie, own, JSON], "{}").await;
    assert_eq!(logout.status, 204);
    assert!(logout.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(gateway.bare("GET", "/sources", &[cookie], "").await.status, 401);
}

#[tokio::test]
async fn another_site_signs_nobody_in() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.user("ada@example.com", &["read"]).await;
    let body = json!({ "email": "ada@example.com", "password": PASSWORD }).to_string();
    for foreign in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let answer = gateway.bare("POST", "/login", &[JSON, foreign], &body).await;
        assert_eq!((problem(&answer).0, answer.header("set-cookie")), (403, None));
    }
    let own = [JSON, ("sec-fetch-site", "same-origin")];
    assert_eq!(gateway.bare("POST", "/login", &own, &body).await.status, 200);
}

#[tokio::test]
async fn behind_tls_cookies_travel_over_tls_only() {
    let config = format!("[admin]\norigin = \"https://hooks.example.com\"\n{SOURCES}");
    let gateway = Gateway::start(&config).await;
    gateway.user("ada@example.com", &["read"]).await;
    let begun = gateway.login("ada@example.com", PASSWORD).await;
    assert!(begun.header("set-cookie").unwrap().ends_with("; Secure"));
}

#[tokio::test]
async fn keys_have_no_password_to_change() {
    let gateway = Gateway::start(SOURCES).await;
    let (key, _) = gateway.key("ci", &["*"]).await;
    for (method, path, body) in [
        ("POST", "/me/password", r#"{"current":"a","new":"b"}"#),
        ("POST", "/me/totp", r#"{"password":"a"}"#),
        ("POST", "/me/totp/confirm", r#"{"code":"a"}"#),
        ("POST", "/me/totp/remove", r#"{"password":"a","code":"b"}"#),
        ("POST", "/me/recovery-codes", r#"{"password":"a","code":"b"}"#),
        ("GET", "/me/sessions", ""),
        ("DELETE", "/me/sessions/ses_0190000000007000800000000000ffff", ""),
        ("POST", "/logout", ""),
    ] {
        assert_eq!(problem(&gateway.api_as(&key, method, path, body).await), (403, "forbidden".to_owned()), "{path}");
    }
    let me = gateway.api_as(&key, "GET", "/me", "").await.json();
    assert_eq!((&me["actor"], &me["user"]), (&json!("key:ci"), &Value::Null));
}

#[tokio::test]
async fn a_second_factor_is_set_up_and_asked_for() {
    let gateway = Gateway::start(SOURCES).await;
    gateway.user("ada@example.com", &["read"]).await;
    let begun = gateway.login("ada@example.com", PASSWORD).await.json();
    let token = begun["token"].as_str().unwrap();
    let password = json!({ "password": PASSWORD }).to_string();
    let wrong = gateway.api_as(token, "POST", "/me/totp", r#"{"password":"wrong"}"#).await;
    assert_eq!(problem(&wrong).0, 403);
    let started = gateway.api_as(token, "POST", "/me/totp", &password).await.json();
    let uri = started["uri"].as_str().unwrap();
    assert!(uri.starts_with("otpauth://totp/Hookward:ada%40example%2Ecom?secret="), "{uri}");
    let wrong = gateway.api_as(token, "POST", "/me/totp/confirm", r#"{"code":"000000"}"#).await;
    assert_eq!(problem(&wrong).0, 403);
    let code = json!({ "code": code_now(uri) }).to_string();
    let confirmed = gateway.api_as(token, "POST", "/me/totp/confirm", &code).await.json();
    let codes = confirmed["recovery_codes"].as_array().unwrap();
    assert_eq!(codes.len(), 10);
    assert_eq!(problem(&gateway.login("ada@example.com", PASSWORD).await), (401, "second_factor_needed".to_owned()));
    let with = |code: &Value| json!({ "email": "ada@example.com", "password": PASSWORD, "totp": code }).to_string();
    let used = serde_json::from_str::<Value>(&code).unwrap();
    assert_eq!(gateway.bare("POST", "/login", &[JSON], &with(&used["code"])).await.status, 401, "it was used already");
    assert_eq!(gateway.bare("POST", "/login", &[JSON], &with(&codes[0])).await.status, 200);
    assert_eq!(gateway.bare("POST", "/login", &[JSON], &with(&codes[0])).await.status, 401);
    let me = gateway.api_as(token, "GET", "/me", "").await.json();
    assert_eq!((&me["user"]["has_second_factor"], &me["recovery_codes_left"]), (&json!(true), &json!(9)));
    let remove = json!({ "password": PASSWORD, "code": codes[1] }).to_string();
    assert_eq!(gateway.api_as(token, "POST", "/me/totp/remove", &remove).await.status, 204);
    assert_eq!(gateway.login("ada@example.com", PASSWORD).await.status, 200);
}

/// The code that an authenticator app shows, worked out by another implementation: `openssl`.
pub(crate) fn code_now(uri: &str) -> String {
    let secret = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let fives =
        secret.bytes().map(|letter| if letter.is_ascii_uppercase() { letter - b'A' } else { letter - b'2' + 26 });
    let bits: Vec<u8> = fives.flat_map(|five| (0..5).rev().map(move |bit| five >> bit & 1)).collect();
    let key: Vec<u8> = bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    use hookward_engine::clock::{Clock, SystemClock};
    let step = SystemClock::new().now().as_secs() / 30;
    let directory = tempfile::tempdir().unwrap();
    let counter = directory.path().join("counter");
    std::fs::write(&counter, step.to_be_bytes()).unwrap();
    let mac = format!("hexkey:{}", hex::encode(key));
    let output = std::process::Command::new("openssl")
        .args(["dgst", "-sha1", "-mac", "HMAC", "-macopt", &mac, "-binary"])
        .arg(&counter)
        .output()
        .unwrap();
    let tag = output.stdout;
    let at = usize::from(tag[19] & 15);
    let bits = u32::from_be_bytes([tag[at] & 127, tag[at + 1], tag[at + 2], tag[at + 3]]);
    format!("{:06}", bits % 1_000_000)
}

#[tokio::test]
async fn users_are_seen_to_on_the_command_line() {
    let gateway = Gateway::start(SOURCES).await;
    let invitation = gateway.ok(&["user", "create", "ada@example.com", "--scope", "read"], b"").await;
    let accept = json!({ "token": invitation.trim_end(), "password": PASSWORD }).to_string();
    assert_eq!(gateway.bare("POST", "/invitation", &[JSON], &accept).await.status, 204);
    let begun = gateway.login("ada@example.com", PASSWORD).await.json();
    let token = begun["token"].as_str().unwrap();
    let id = begun["user"]["id"].as_str().unwrap();
    let list = gateway.ok(&["user", "list"], b"").await;
    assert!(list.contains("ada@example.com") && list.contains(id), "{list}");
    gateway.ok(&["user", "disable", id], b"").await;
    assert_eq!(gateway.api_as(token, "GET", "/me", "").await.status, 401);
    gateway.ok(&["user", "enable", id], b"").await;
    assert_eq!(gateway.login("ada@example.com", PASSWORD).await.status, 200);
    let again = gateway.ok(&["user", "reset", id], b"").await;
    assert!(again.starts_with("invitation."), "{again}");
    assert_eq!(gateway.login("ada@example.com", PASSWORD).await.status, 401);
    gateway.ok(&["user", "remove", id], b"").await;
    assert_eq!(gateway.run(&["user", "remove", id], b"").await.status, 3);
}

#[tokio::test]
async fn a_new_organization_comes_with_its_first_key_and_lives_for_itself() {
    let gateway = Gateway::start(SOURCES).await;
    let made = gateway.api("POST", "/organizations", r#"{"name":"qlens"}"#).await.json();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert!(key.starts_with("qlens_"), "{key}");
    let me = gateway.api_as(key, "GET", "/me", "").await.json();
    assert_eq!(me["organization"], json!({ "id": id, "name": "qlens" }));
    assert_eq!(gateway.api_as(key, "GET", "/sources", "").await.json()["items"], json!([]));
    gateway.user("ada@example.com", &["*"]).await;
    assert_eq!(gateway.api_as(key, "GET", "/users", "").await.json()["items"], json!([]));
    let own = gateway.api_as(key, "GET", "/keys", "").await.json();
    let own = own["items"][0]["id"].as_str().unwrap();
    let last = gateway.api_as(key, "DELETE", &format!("/keys/{own}"), "").await;
    assert_eq!(problem(&last), (409, "not_possible".to_owned()));
    assert_eq!(gateway.api("DELETE", &format!("/keys/{own}"), "").await.status, 404, "nor by who operates all of it");
    let another = gateway.api("POST", &format!("/organizations/{id}/key"), "").await;
    assert_eq!(problem(&another).0, 409);
    assert_eq!(gateway.api_as(key, "POST", &format!("/organizations/{id}/key"), "").await.status, 403);
}
