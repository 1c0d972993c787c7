//! The secrets by which people and programs prove themselves: each is made over the API, used, and then looked for.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::{Canary, Hookward, Request, Response};

const PASSWORD: &str = "canary-password/6a2f+77c1";
const NEW_PASSWORD: &str = "canary-password-2/0d4e+19ab";
const WRONG_PASSWORD: &str = "canary-wrong-password/5f5f";

/// Makes a key, a user with a password, a session and a second factor, and uses them, rightly and wrongly. Gives what must
/// be found nowhere.
pub(super) fn drive(server: &Hookward) -> Result<Vec<Canary>> {
    let mut canaries = vec![
        Canary::new("the password", PASSWORD),
        Canary::new("the new password", NEW_PASSWORD),
        Canary::new("a wrong password", WRONG_PASSWORD),
    ];
    let mut found = |name: &str, secret: &str| canaries.push(Canary::new(name, secret));

    let key = ask(server, "/keys", None, &json!({ "name": "leak", "scopes": ["read"] }), 201)?;
    let key = text(&key, "key")?;
    found("an API key", &key);
    let read = server.send_as(&key, Request::get("/api/v1/sources"))?;
    ensure!(read.status == 200, "the key is not taken: {}", read.text());

    let email = "leak@example.test";
    let invited = ask(server, "/users", None, &json!({ "email": email, "scopes": ["read"] }), 201)?;
    let invitation = text(&invited, "invitation")?;
    found("an invitation", &invitation);
    ask(server, "/invitation", Some(""), &json!({ "token": invitation, "password": PASSWORD }), 204)?;
    ask(server, "/login", Some(""), &json!({ "email": email, "password": WRONG_PASSWORD }), 401)?;
    let begun = ask(server, "/login", Some(""), &json!({ "email": email, "password": PASSWORD }), 200)?;
    let token = text(&begun, "token")?;
    found("a session's token", &token);
    let started = ask(server, "/me/totp", Some(&token), &json!({ "password": PASSWORD }), 200)?;
    let uri = text(&started, "uri")?;
    let secret =
        uri.split(['?', '&']).find_map(|part| part.strip_prefix("secret=")).context("a second factor's secret")?;
    found("a second factor's secret", secret);
    canaries.push(Canary::of_bytes("a second factor's key", &base32(secret)?));
    let change = json!({ "current": PASSWORD, "new": NEW_PASSWORD });
    ask(server, "/me/password", Some(&token), &change, 204)?;
    Ok(canaries)
}

/// Posts with the given credential; the server's own API key if there is none.
fn ask(server: &Hookward, path: &str, credential: Option<&str>, body: &Value, status: u16) -> Result<Value> {
    let request = Request::post(&format!("/api/v1{path}"))
        .header("Content-Type", "application/json")
        .body(body.to_string().as_bytes());
    let response: Response = match credential {
        None => server.admin(request)?,
        Some(credential) => server.send_as(credential, request)?,
    };
    ensure!(response.status == status, "POST {path}: {} {}", response.status, response.text());
    Ok(if response.message.body.is_empty() { Value::Null } else { response.json() })
}

fn text(value: &Value, member: &str) -> Result<String> {
    Ok(value[member].as_str().with_context(|| format!("no `{member}` in an answer"))?.to_owned())
}

fn base32(text: &str) -> Result<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for letter in text.bytes() {
        let digit = DIGITS.iter().position(|digit| *digit == letter).context("a letter that base32 does not have")?;
        bits = bits << 5 | u32::try_from(digit)?;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff)?);
        }
    }
    Ok(bytes)
}
