//! Any text as a scheme file: no panic; an error stands within the file. A file that is accepted then signs, verifies and explains: no
//! panic, and what is believed is refused under another key.
#![no_main]

use std::collections::BTreeMap;

use hookward::explain::{KnownSecret, MAX_HMACS, Standing, explain};
use hookward::{Draft, Message, Scheme, Secret, UnixTime};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let scheme = match Scheme::from_toml(text) {
        Ok(scheme) => scheme,
        Err(error) => {
            assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1 && error.column >= 1, "{error}");
            return;
        }
    };
    let values: BTreeMap<String, String> =
        scheme.parameters().iter().map(|n| ((*n).to_owned(), "v".to_owned())).collect();
    let scheme = scheme.with_parameters(&values).expect("any parameter takes a letter");
    let secret = |byte: u8| {
        let generated = scheme.generate(&mut |bytes| bytes.fill(byte)).ok();
        generated.or_else(|| Secret::new(["dXNlcjpwYXNzd29yZA==", "dXNlcjpvdGhlcndvcmQ="][usize::from(byte & 1)]).ok())
    };
    let (Some(ours), Some(another)) = (secret(6), secret(7)) else { return };
    let (Ok(key), Ok(other)) = (scheme.key(1, &ours), scheme.key(1, &another)) else { return };
    let now = UnixTime::from_secs(1_700_000_000);
    let draft = Draft { id: "id-1", event_type: "a", method: "POST", url: "https://x.example/", body: b"{\"a\":1}" };
    let Ok(signed) = scheme.sign(&draft, std::slice::from_ref(&key), now) else { return };
    let query: Vec<String> = signed.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = if query.is_empty() { draft.url.to_owned() } else { format!("{}?{}", draft.url, query.join("&")) };
    let body = signed.body.as_deref().unwrap_or(draft.body);
    let message = Message { method: draft.method, url: &url, headers: &signed.headers, body };
    // A scheme may contradict itself, as with one header for two things; then its own signature is refused, but nothing worse.
    let _ = scheme.verify(&message, &[key], now);
    assert!(scheme.verify(&message, &[other], now).is_err(), "another key");
    let known = [KnownSecret { label: "another", secret: &another, standing: Standing::InForce }];
    assert!(explain(&scheme, &message, &known, now).hmacs() <= MAX_HMACS);
});
