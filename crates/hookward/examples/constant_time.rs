//! What `cargo xtask constant-time` counts the instructions of: a verdict on a request that is wrong in exactly one place, for
//! every place where a signature or a token of the schemes named as arguments can be wrong, and a planted comparison that leaks.
//! Prints a line for each count.

use std::hint::black_box;

use hookward::{Draft, Key, Message, Refusal, Scheme, Secret, UnixTime, catalog};

/// Verdicts before the first that is counted.
const SETTLE: usize = 64;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const BODY: &[u8] = b"{\"zen\":\"Keep it logically awesome.\"}";
const URL: &str = "https://example.com/hook";

/// A request that proves itself, until one of its characters is changed.
struct Request {
    url: String,
    headers: Vec<(String, Vec<u8>)>,
}

/// A text of the request: its query, or one of its headers.
#[derive(Clone, Copy)]
enum Part {
    Url,
    Header(usize),
}

impl Request {
    fn message(&self) -> Message<'_> {
        Message { method: "POST", url: &self.url, headers: &self.headers, body: BODY }
    }

    fn text(&self, part: Part) -> &[u8] {
        match part {
            Part::Url => self.url.as_bytes(),
            Part::Header(index) => &self.headers[index].1,
        }
    }

    fn set(&mut self, part: Part, at: usize, byte: u8) {
        match part {
            Part::Url => self.url.replace_range(at..=at, char::from(byte).encode_utf8(&mut [0; 4])),
            Part::Header(index) => self.headers[index].1[at] = byte,
        }
    }
}

/// The instructions in here are counted. Callgrind knows it by its name.
#[inline(never)]
fn counted_verdict(scheme: &Scheme, message: &Message<'_>, keys: &[Key]) -> bool {
    black_box(scheme.verify(message, keys, NOW)).is_err()
}

/// The control, counted likewise: it stops at the first byte that differs, as no comparison of a secret may.
#[inline(never)]
fn counted_leak(expected: &[u8], sent: &[u8]) -> bool {
    expected.iter().zip(sent).any(|(one, other)| black_box(one) != black_box(other))
}

/// Ends what one line is about.
#[inline(never)]
fn counted_end(name: &str, at: usize) {
    println!("{name} {at}");
}

fn main() {
    for name in std::env::args().skip(1) {
        let scheme = catalog::find(&name).unwrap_or_else(|| panic!("the catalog has no `{name}`"));
        count_scheme(scheme);
    }
    let expected = *b"the tag that only the key's holder can know";
    for at in 0..expected.len() {
        let mut sent = expected;
        sent[at] ^= 1;
        assert!(counted_leak(black_box(&expected), black_box(&sent)));
        counted_end("planted", at);
    }
}

/// Counts a verdict for every character of the signature or the token: it is another one of its kind, so that the request is
/// well-formed, and wrong just there.
fn count_scheme(scheme: &Scheme) {
    // The newest key is not the one that signed, so that more than one is tried.
    let keys = [key(scheme, 2), key(scheme, 1)];
    let draft = Draft { id: "msg-1", event_type: "push", method: "POST", url: URL, body: BODY };
    let signed = scheme.sign(&draft, &keys[1..], NOW).expect("the draft has all that a scheme can ask for");
    let query: Vec<String> = signed.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut request = Request {
        url: if query.is_empty() { URL.to_owned() } else { format!("{URL}?{}", query.join("&")) },
        headers: signed.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect(),
    };
    // Where a verdict takes from the heap, it takes the same steps each time only after a few.
    for _ in 0..SETTLE {
        let verdict = scheme.verify(&request.message(), &keys, NOW).map(drop);
        verdict.unwrap_or_else(|refusal| panic!("{}: its own request is refused: {refusal}", scheme.name()));
    }
    for part in parts(scheme, &request) {
        for at in 0..request.text(part).len() {
            let right = request.text(part)[at];
            if let Some(wrong) = wrong_byte(scheme, &mut request, &keys, part, at) {
                request.set(part, at, wrong);
                assert!(counted_verdict(black_box(scheme), &black_box(request.message()), black_box(&keys)));
                counted_end(scheme.name(), at);
            }
            request.set(part, at, right);
        }
    }
}

/// Where the scheme's signature or token stands.
fn parts(scheme: &Scheme, request: &Request) -> Vec<Part> {
    let refusals = [Refusal::SignatureMismatch, Refusal::CredentialMismatch];
    let places: Vec<String> = refusals.iter().flat_map(|refusal| scheme.places_of(refusal)).collect();
    let header = |place: &String| match place.split_once(':') {
        Some(("header", name)) => Some(name.to_owned()),
        Some(("authorization", _)) => Some("Authorization".to_owned()),
        _ => None,
    };
    let names: Vec<String> = places.iter().filter_map(header).collect();
    let is_named = |(name, _): &(String, Vec<u8>)| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    let headers = request.headers.iter().enumerate().filter(|(_, header)| is_named(header));
    let url = places.iter().any(|place| place.starts_with("query:")).then_some(Part::Url);
    headers.map(|(index, _)| Part::Header(index)).chain(url).collect()
}

/// A byte of the same kind (digit, upper case, lower case, other) that makes the request wrong but not malformed, here.
fn wrong_byte(scheme: &Scheme, request: &mut Request, keys: &[Key], part: Part, at: usize) -> Option<u8> {
    let right = request.text(part)[at];
    let kinds: [&[u8]; 4] = [b"0123456789", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b"abcdefghijklmnopqrstuvwxyz", b"+/"];
    let kind = kinds.into_iter().find(|kind| kind.contains(&right))?;
    kind.iter().copied().filter(|byte| *byte != right).find(|byte| {
        request.set(part, at, *byte);
        let verdict = scheme.verify(&request.message(), keys, NOW);
        verdict.is_err_and(|refusal| matches!(refusal, Refusal::SignatureMismatch | Refusal::CredentialMismatch))
    })
}

/// A key in the scheme's own format, another one for each `version`.
fn key(scheme: &Scheme, version: u8) -> Key {
    let mut next = version;
    let mut fill = |buffer: &mut [u8]| {
        for byte in buffer {
            *byte = next;
            next = next.wrapping_mul(5).wrapping_add(17);
        }
    };
    let secret = scheme.generate(&mut fill).unwrap_or_else(|_| {
        Secret::new(format!("user-{version}:a password of number {version}")).expect("the text is not blank")
    });
    scheme.key(version.into(), &secret).expect("the secret is in the scheme's format")
}
