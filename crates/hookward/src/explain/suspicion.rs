//! Owns what can be suspected of a request where no signature proves it: from its length, its headers and what is in its body.

use super::KnownSecret;
use super::body::{has_length_of_a_cut, is_whole_json};
use super::cause::{Cause, Change};
use super::frame::{Frame, other_schemes};
use crate::message::Message;
use crate::place::Place;
use crate::refusal::Refusal;
use crate::scheme::Scheme;

/// What a body becomes in a program that takes it for text or for nothing.
const PLACEHOLDERS: [&[u8]; 3] = [b"", b"undefined", b"[object Object]"];

/// The same, of what may be a body too.
const PLAUSIBLE: [&[u8]; 2] = [b"{}", b"null"];

/// What a character becomes that could not be decoded, in UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// What is likely, the likeliest first; never nothing.
pub(super) fn suspected(
    refusal: Refusal,
    scheme: &Scheme,
    message: &Message<'_>,
    known: &[KnownSecret<'_>],
) -> Vec<Change> {
    let mut found = Vec::new();
    if !matches!(refusal, Refusal::SignatureMismatch | Refusal::CredentialMismatch) {
        found.extend(of_refusal(refusal, scheme, message));
    }
    if !scheme.proofs().iter().all(|proof| proof.algorithm.is_credential()) {
        found.extend(of_body(message));
    }
    let is_mismatch = matches!(refusal, Refusal::SignatureMismatch | Refusal::CredentialMismatch);
    if is_mismatch || (refusal == Refusal::NoUsableSecret && !known.is_empty()) || found.is_empty() {
        found.push(Change::new(Cause::SecretUnknown, "the sender has another secret than those that are known here"));
    }
    found
}

fn of_refusal(refusal: Refusal, scheme: &Scheme, message: &Message<'_>) -> Vec<Change> {
    let is_missing = matches!(refusal, Refusal::SignatureMissing | Refusal::CredentialMissing);
    let places = scheme.places_of(&refusal).join(" or ");
    if is_missing {
        let others = other_schemes(scheme, message);
        // A credential in `Authorization` or in the query may be for anybody.
        let is_telling = |frame: &&Frame| match frame.proof().signature.at.first() {
            Some(Place::Header(name)) => !name.eq_ignore_ascii_case("Authorization"),
            _ => false,
        };
        let named = others.iter().filter(is_telling).flat_map(|frame| &frame.changes).take(1);
        let mut found: Vec<Change> = named.cloned().collect();
        found.push(Change::new(Cause::NotSigned, format!("the request has nothing at {places}")));
        return found;
    }
    if refusal == Refusal::ParameterMissing {
        let names = scheme.parameters().join("`, `");
        return vec![Change::new(Cause::ParameterMissing, format!("nobody has said the scheme's parameter `{names}`"))];
    }
    let place = if places.is_empty() { String::new() } else { format!(", at {places}") };
    vec![Change::new(Cause::Malformed, format!("{refusal}{place}"))]
}

fn of_body(message: &Message<'_>) -> Vec<Change> {
    let body = message.body;
    let mut found = Vec::new();
    let text = |name: &str| std::str::from_utf8(message.headers.nth(name, 0)?).ok();
    let announced: Option<usize> = text("Content-Length").and_then(|text| text.trim().parse().ok());
    let len = body.len();
    let json = is_whole_json(body);
    let is_lost = match announced {
        Some(announced) => announced != len && (PLACEHOLDERS.contains(&body) || PLAUSIBLE.contains(&body)),
        None => PLACEHOLDERS.contains(&body),
    };
    if is_lost {
        let how = "the body was consumed before it came here: it is empty or a placeholder";
        found.push(Change::new(Cause::BodyLost, how));
    } else if let Some(announced) = announced.filter(|announced| *announced > len && json != Some(true)) {
        let how = format!("the body was cut off: {announced} bytes were announced and {len} are here");
        found.push(Change::new(Cause::Truncated, how));
    } else if let Some(announced) = announced.filter(|announced| *announced != len) {
        let how = format!("the body was written again: {announced} bytes were announced and {len} are here");
        found.push(Change::new(Cause::Reserialised, how));
    } else if let Some(how) = cut_off(body, json) {
        found.push(Change::new(Cause::Truncated, how));
    }
    let encoding =
        text("Content-Encoding").map(str::trim).filter(|encoding| !encoding.eq_ignore_ascii_case("identity"));
    let is_compressed = matches!(body, [0x1f, 0x8b, ..] | [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..]);
    if encoding.is_some_and(|encoding| !encoding.is_empty()) && !is_compressed {
        found.push(Change::new(Cause::Compressed, "the body was decompressed on its way, and was signed compressed"));
    }
    if body.windows(REPLACEMENT.len()).any(|bytes| bytes == REPLACEMENT) {
        let how = "the body lost characters when it was decoded: it holds the sign that stands for one";
        found.push(Change::new(Cause::Charset, how));
    }
    found
}

fn cut_off(body: &[u8], json: Option<bool>) -> Option<String> {
    let power = has_length_of_a_cut(body).then(|| format!("its {} bytes are a power of two", body.len()));
    let open = (json == Some(false)).then(|| "its json has no end".to_owned());
    let signs: Vec<String> = power.into_iter().chain(open).collect();
    (!signs.is_empty()).then(|| format!("the body was cut off: {}", signs.join(" and ")))
}
