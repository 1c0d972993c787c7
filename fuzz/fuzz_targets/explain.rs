//! Any request, secret and scheme: no panic, the bounds hold, and what is said holds neither the secret nor a signature that was expected.
#![no_main]

use hookward::explain::{KnownSecret, MAX_HMACS, Standing, explain};
use hookward::{Draft, Secret};
use hookward_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// A shorter text may be in a sentence by chance.
const LEAST: usize = 16;

fuzz_target!(|input: &[u8]| {
    let Some(input) = Input::read(input) else { return };
    let Ok(secret) = Secret::new(input.secret.as_slice()) else { return };
    let other = Secret::new("the secret of another source").expect("it is not blank");
    let known = [
        KnownSecret { label: "a label", secret: &secret, standing: Standing::InForce },
        KnownSecret { label: "another", secret: &other, standing: Standing::Another },
    ];
    let message = input.message();
    let explanation = explain(&input.scheme, &message, &known, input.now);
    assert!(explanation.hmacs() <= MAX_HMACS);
    let said: String = explanation.findings().iter().map(|finding| format!("{finding}\n")).collect();

    // A sentence names headers and tells times; only what the sender does not know must not be in it.
    let sent = String::from_utf8_lossy(message.body).into_owned()
        + message.url
        + &input.headers.iter().map(|(n, v)| format!("{n}\n{}\n", String::from_utf8_lossy(v))).collect::<String>();
    let hides = |text: &str| text.len() < LEAST || !said.contains(text) || sent.contains(text);
    for secret in known.iter().filter_map(|known| std::str::from_utf8(known.secret.expose()).ok()) {
        assert!(hides(secret), "{said}");
    }
    let draft = Draft { id: "msg_1", event_type: "", method: message.method, url: message.url, body: message.body };
    let keys: Vec<_> = input.scheme.key(1, &secret).into_iter().collect();
    for (_, value) in input.scheme.sign(&draft, &keys, input.now).map(|signed| signed.headers).unwrap_or_default() {
        for text in value.split([',', ' ', '=', ';']) {
            let is_signature = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte));
            assert!(!is_signature || text.len() < 2 * LEAST || hides(text), "{said}");
        }
    }
});
