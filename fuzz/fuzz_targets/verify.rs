//! Any request, under every scheme: no panic, and no verdict but a refusal, since the secret is never in the input.
//!
//! The input is lines: the time, the URL, then headers as `Name: value` up to an empty line; the rest is the body.
#![no_main]

use std::sync::LazyLock;

use hookward::{Key, Message, Scheme, Secret, UnixTime, catalog};
use libfuzzer_sys::fuzz_target;

static SCHEMES: LazyLock<Vec<(&'static Scheme, Vec<Key>)>> = LazyLock::new(|| {
    let keys = |scheme: &'static Scheme| {
        // Not a secret that a fuzzer finds by chance, and the same one in every run.
        // Keys for RSA are made elsewhere.
        let secret = scheme.generate(&mut |bytes| bytes.iter_mut().zip(0_u8..).for_each(|(byte, n)| *byte = n ^ 0xa5));
        let generated = secret.ok().map(|secret| scheme.key(1, &secret).expect("it takes what it generates"));
        // GitLab's second kind of key.
        let plain = Secret::new("a plain token that is long").ok().and_then(|secret| scheme.key(2, &secret).ok());
        (scheme, [generated, plain].into_iter().flatten().collect())
    };
    catalog::names().filter_map(catalog::find).map(keys).collect()
});

fuzz_target!(|input: &[u8]| {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    };
    let now = line().and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or_default();
    let url = line().and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    let mut headers = Vec::new();
    while let Some(text) = line().filter(|text| !text.is_empty()) {
        let (name, value) = text.split_at(text.iter().position(|byte| *byte == b':').unwrap_or(text.len()));
        let value = value.strip_prefix(b": ").unwrap_or(value);
        headers.push((String::from_utf8_lossy(name).into_owned(), value));
    }
    let message = Message { method: "POST", url, headers: &headers, body: rest };
    for (scheme, keys) in SCHEMES.iter() {
        let verdict = scheme.verify(&message, keys, UnixTime::from_millis(now));
        assert!(verdict.is_err(), "{} believed {input:?}", scheme.name());
    }
});
