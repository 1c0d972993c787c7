//! Any request under the scheme and with the secret that it names: no panic; and where a request is believed whose body is bound, that
//! body with one byte changed is not.
#![no_main]

use hookward::{Message, Secret};
use hookward_fuzz::Input;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(input) = Input::read(input) else { return };
    let Some(key) = Secret::new(input.secret.as_slice()).ok().and_then(|secret| input.scheme.key(1, &secret).ok())
    else {
        return;
    };
    let keys = [key];
    let message = input.message();
    let Ok(verified) = input.scheme.verify(&message, &keys, input.now) else { return };
    for text in [verified.id(), verified.event_type()].into_iter().flatten() {
        assert!(!text.is_empty() && !text.chars().any(char::is_control), "{text:?}");
    }
    // Of a sorted form two spellings are the same form.
    let is_form = message.headers.nth("Content-Type", 0).is_some_and(|is| is.starts_with(b"application/x-www-form"));
    if !verified.binds().body || is_form || input.body.is_empty() {
        return;
    }
    let mut body = input.body.to_vec();
    let at = body.len() / 2;
    body[at] ^= 1;
    let changed = Message { body: &body, ..message };
    assert!(input.scheme.verify(&changed, &keys, input.now).is_err(), "{}: a changed body", input.scheme.name());
});
