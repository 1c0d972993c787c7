//! Pushes as GitHub sends and signs them, made without the product's own signing code.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::http::Request;

/// HMAC-SHA-256 of `message` under `key`.
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// The value of `X-Hub-Signature-256` for `body` under `secret`.
pub fn signature(secret: &[u8], body: &[u8]) -> String {
    format!("sha256={}", hex::encode(hmac_sha256(secret, body)))
}

/// A signed `push` to `path` under the delivery id `delivery`.
pub fn push(path: &str, secret: &[u8], delivery: &str, body: &[u8]) -> Request {
    event("push", path, secret, delivery, body)
}

/// A signed request of any event type.
pub fn event(event_type: &str, path: &str, secret: &[u8], delivery: &str, body: &[u8]) -> Request {
    Request::post(path)
        .header("Content-Type", "application/json")
        .header("User-Agent", "GitHub-Hookshot/f05835d")
        .header("X-GitHub-Event", event_type)
        .header("X-GitHub-Delivery", delivery)
        .header("X-Hub-Signature-256", &signature(secret, body))
        .body(body)
}

/// A push body that no other number shares.
pub fn push_body(number: u64) -> Vec<u8> {
    format!(
        concat!(
            r#"{{"ref":"refs/heads/main","after":"{number:040x}","repository":{{"id":186853002,"full_name":"acme/web"}},"#,
            r#""pusher":{{"name":"mona"}},"commits":[{{"id":"{number:040x}","message":"change {number}"}}]}}"#
        ),
        number = number
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_githubs_documentation_prints() {
        assert_eq!(
            signature(b"It's a Secret to Everybody", b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }
}
