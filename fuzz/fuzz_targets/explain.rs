//! Any refused request, secret and other secret, under a few schemes: no panic, the bounds hold, and nothing that is said holds the secret.
//!
//! The input is lines: the scheme's number, two secrets, the time, the URL, then headers as `Name: value` up to an empty line; the
//! rest is the body.
#![no_main]

use hookward::explain::{KnownSecret, MAX_HMACS, Standing, explain};
use hookward::{Message, Secret, UnixTime, catalog};
use libfuzzer_sys::fuzz_target;

const SCHEMES: [&str; 7] = ["github", "stripe", "svix", "twilio", "gitlab", "basic", "standard-webhooks-ed25519"];

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    };
    let number = line().and_then(|text| text.first().copied()).unwrap_or_default();
    let scheme = catalog::find(SCHEMES[usize::from(number) % SCHEMES.len()]).expect("it is in the catalog");
    let secrets = [line(), line()].map(|text| Secret::new(text.unwrap_or(b"secret")));
    let now = line().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or_default();
    let url = line().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    let mut headers = Vec::new();
    while let Some(text) = line().filter(|text| !text.is_empty()) {
        let (name, value) = text.split_at(text.iter().position(|byte| *byte == b':').unwrap_or(text.len()));
        headers.push((String::from_utf8_lossy(name).into_owned(), value.strip_prefix(b": ").unwrap_or(value)));
    }
    let message = Message { method: "POST", url, headers: &headers, body: rest };
    let standings = [Standing::InForce, Standing::Another];
    let known: Vec<KnownSecret<'_>> = secrets
        .iter()
        .zip(standings)
        .filter_map(|(secret, standing)| Some(KnownSecret { label: "a label", secret: secret.as_ref().ok()?, standing }))
        .collect();
    let explanation = explain(scheme, &message, &known, UnixTime::from_millis(now));
    assert!(explanation.hmacs() <= MAX_HMACS);
    let said = explanation.to_string();
    for secret in known.iter().map(|known| known.secret.expose()).filter(|secret| secret.len() > 24) {
        let secret = std::str::from_utf8(secret).unwrap_or("not text");
        // Headers are named, and a fuzzer may call one like the secret.
        assert!(!said.contains(secret) || headers.iter().any(|(name, _)| name.contains(secret)), "{said}");
    }
});
