//! Any template, and two requests: no panic; what is signed by it is believed; and where one signature is believed for both requests,
//! they are the same in all that the verdict says is bound.
//!
//! The input is lines: the template, an id, another id, another URL, one body; the rest is another body.
#![no_main]

use hookward::{Draft, Message, Scheme, Secret, UnixTime};
use libfuzzer_sys::fuzz_target;

const URL: &str = "https://example.com/hook?x=1";

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// A scheme with this content; a time and an id belong to it only if it names them.
fn scheme(content: &str) -> Option<Scheme> {
    let content = toml::Value::from(content);
    let (time, id) = ("timestamp = { at = \"header:X-Time\", unit = \"s\" }\n", "id = [\"header:X-Id\"]\n");
    let with = |algorithm: &str, time: &str, id: &str| {
        let proof = format!("algorithm = \"{algorithm}\"\ncontent = {content}\n{time}{id}");
        let signature = "signature = { at = [\"header:X-Signature\"], encodings = [\"hex\"] }";
        Scheme::from_toml(&format!("name = \"x\"\ntitle = \"X\"\n[[proof]]\n{proof}{signature}\n")).ok()
    };
    let algorithms = ["hmac-sha256", "sha256"].into_iter();
    let all =
        algorithms.flat_map(|algorithm| [(time, id), (time, ""), ("", id), ("", "")].map(|(t, i)| (algorithm, t, i)));
    all.into_iter().find_map(|(algorithm, time, id)| with(algorithm, time, id))
}

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(6, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (content, id, other_id, other_url, body, other_body) = (next(), next(), next(), next(), next(), next());
    let Some(scheme) = scheme(content) else { return };
    let key = scheme.key(1, &Secret::new("a secret of no meaning").expect("it is not blank"));
    let keys = [key.expect("any text is a key of an hmac")];
    let draft = Draft { id, event_type: "", method: "POST", url: URL, body: body.as_bytes() };
    let Ok(signed) = scheme.sign(&draft, &keys, NOW) else { return };
    let body = signed.body.as_deref().unwrap_or(draft.body);
    let mut message = Message { method: "POST", url: URL, headers: &signed.headers, body };
    let own = scheme.verify(&message, &keys, NOW);
    // A signature cannot be part of what it signs.
    assert!(own.is_ok() || content.to_ascii_lowercase().contains("x-signature"), "{own:?}");

    let mut headers = signed.headers.clone();
    headers.iter_mut().filter(|(name, _)| name == "X-Id").for_each(|(_, value)| other_id.clone_into(value));
    let url = if other_url.is_empty() { URL } else { other_url };
    message = Message { url, headers: &headers, body: other_body.as_bytes(), ..message };
    let Ok(verified) = scheme.verify(&message, &keys, NOW) else { return };
    let binds = verified.binds();
    let is_same_url = url == URL || content.contains("any-port");
    // Two spellings of a form are one form. What stands directly beside a URL is bound together with it: see `Binds::url`.
    let is_same_body = message.body == body || content.contains("form:");
    assert!(!binds.body || is_same_body || !is_same_url, "one signature, two bodies");
    assert!(
        !binds.id || verified.id() == Some(id) || !content.contains("id") || !is_same_url,
        "one signature, two ids"
    );
    assert!(!binds.url || is_same_url || message.body != body, "one signature, two urls");
});
