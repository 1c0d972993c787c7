//! Any bytes as a key, also as the DER of a PEM: no panic; and where a private key is taken, what it signs it verifies, and nothing else.
//!
//! The first byte chooses the algorithm.
#![no_main]

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookward::{Draft, Message, Scheme, Secret, UnixTime};
use libfuzzer_sys::fuzz_target;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

static SCHEMES: LazyLock<Vec<Scheme>> = LazyLock::new(|| {
    let plain =
        ["ecdsa-p256", "ecdsa-p256-raw", "rsa-sha1", "rsa-sha256", "rsa-sha512", "rsa-pss-sha256", "hmac-sha256"];
    let plain = plain.map(|algorithm| {
        format!("algorithm = \"{algorithm}\"\ncontent = \"{{body}}\"\nsignature = {{ at = [\"header:S\"], encodings = [\"base64\"] }}")
    });
    let ed25519 = "algorithm = \"ed25519\"\nkey = { encoding = \"hex\" }\ncontent = \"{body}\"\n\
                   signature = { at = [\"header:S\"], encodings = [\"hex\"] }";
    let tokens = ["ES256", "RS256", "EdDSA"].map(|alg| {
        let key = if alg == "EdDSA" { "key = { encoding = \"hex\" }\n" } else { "" };
        format!(
            "algorithm = \"jwt\"\nalg = [\"{alg}\"]\n{key}claims = {{ body = \"{{sha256hex:body}}\" }}\nsignature = {{ at = [\"header:S\"] }}"
        )
    });
    let proofs = plain.into_iter().chain([ed25519.to_owned()]).chain(tokens);
    let texts = proofs.map(|proof| format!("name = \"x\"\ntitle = \"X\"\n[[proof]]\n{proof}\n"));
    texts.map(|text| Scheme::from_toml(&text).unwrap_or_else(|error| panic!("{error}: {text}"))).collect()
});

fn check(scheme: &Scheme, secret: &[u8]) {
    let Some(key) = Secret::new(secret).ok().and_then(|secret| scheme.key(1, &secret).ok()) else { return };
    let draft = Draft { id: "", event_type: "", method: "POST", url: "/", body: b"{}" };
    let Ok(signed) = scheme.sign(&draft, std::slice::from_ref(&key), NOW) else { return };
    let message = Message { method: "POST", url: "/", headers: &signed.headers, body: draft.body };
    assert!(scheme.verify(&message, std::slice::from_ref(&key), NOW).is_ok(), "its own signature");
    assert!(scheme.verify(&Message { body: b"[]", ..message }, &[key], NOW).is_err(), "another body");
}

fuzz_target!(|input: &[u8]| {
    let Some((first, bytes)) = input.split_first() else { return };
    let scheme = &SCHEMES[usize::from(*first) % SCHEMES.len()];
    check(scheme, bytes);
    check(scheme, format!("-----BEGIN KEY-----\n{}\n-----END KEY-----\n", STANDARD.encode(bytes)).as_bytes());
});
