//! Owns the ways in which a signature or a token is written other than the scheme says: another header, prefix, case, encoding or
//! algorithm. Each is rewritten as the scheme has it, so that the scheme itself can judge it.

use super::cause::{Cause, Change};
use super::frame::{Frame, named_headers};
use crate::catalog;
use crate::encoding::{Encoding, TAG_ROOM};
use crate::message::Message;
use crate::place::Place;
use crate::proof::{Algorithm, Proof};

/// At most so many texts of a request are taken for a signature.
const MOST_TEXTS: usize = 16;

/// A longer header holds no signature.
const MAX_HEADER: usize = 1024;

/// Headers of signatures that a scheme of the catalog need not name.
const USUAL: [&str; 8] = [
    "X-Hub-Signature-256",
    "X-Hub-Signature",
    "X-Signature",
    "X-Signature-256",
    "X-Webhook-Signature",
    "X-Hmac-Signature",
    "Signature",
    "Authorization",
];

/// A text that may be a signature, where it was found.
struct Found<'a> {
    header: &'a str,
    prefix: &'a str,
    text: &'a str,
}

/// Frames in which the scheme finds, written as it likes it, what the request has elsewhere or otherwise.
pub(super) fn rewritten(frame: &Frame, message: &Message<'_>) -> Vec<Frame> {
    let proof = frame.proof();
    let Some((header, word)) = home(proof) else { return Vec::new() };
    let own = frame.proof().signature.separator.and_then(|_| own_value(message, header));
    let mut frames: Vec<Frame> = Vec::new();
    for found in texts(header, message) {
        for (text, algorithm, mut changes) in spelled(&found, proof) {
            if !found.header.eq_ignore_ascii_case(header) {
                let how = format!("the signature is the one in the header {}", found.header);
                changes.insert(0, Change::new(Cause::SignatureHeader, how));
            }
            let entry = format!("{}{text}", proof.signature.prefix.as_str());
            // What else stands in a list, such as the time, stays.
            let value = match (own, proof.signature.separator) {
                (Some(own), Some(separator)) => format!("{own}{}{entry}", char::from(separator.0)),
                _ => entry,
            };
            let value = word.map_or_else(|| value.clone(), |word| format!("{word} {value}"));
            let mut changed = match algorithm {
                Some(algorithm) => {
                    let change =
                        Change::new(Cause::SignatureAlgorithm, format!("the algorithm is {}", name(algorithm)));
                    frame.with(change, |proof| proof.algorithm = algorithm)
                }
                None => frame.clone(),
            };
            changed.changes.extend(changes);
            changed.headers.push((header.to_owned(), value.into_bytes()));
            frames.push(changed);
        }
    }
    frames.sort_by_key(|frame| frame.changes.len());
    frames
}

/// The header that the scheme has the signature in, and the word before it.
fn home(proof: &Proof) -> Option<(&str, Option<&str>)> {
    match proof.signature.at.first()? {
        Place::Header(name) => Some((name, None)),
        Place::Authorization(word) => Some(("Authorization", Some(word))),
        _ => None,
    }
}

fn own_value<'m>(message: &Message<'m>, header: &str) -> Option<&'m str> {
    std::str::from_utf8(message.headers.nth(header, 0)?).ok()
}

/// What may be a signature, in the scheme's own header first.
fn texts<'m>(own: &'m str, message: &Message<'m>) -> Vec<Found<'m>> {
    let mut names: Vec<&str> = vec![own];
    let listed = catalog::names().filter_map(catalog::source).flat_map(named_headers);
    for name in USUAL.into_iter().chain(listed) {
        let is_sent = message.headers.nth(name, 0).is_some();
        if is_sent && !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name);
        }
    }
    let values = names.into_iter().filter_map(|name| Some((name, own_value(message, name)?)));
    let texts = values.filter(|(_, value)| value.len() <= MAX_HEADER).flat_map(|(header, value)| {
        let entries = value.split([',', ';', ' ']).chain([value]).map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(move |entry| {
            let (prefix, text) = without_prefix(entry);
            Found { header, prefix, text }
        })
    });
    let mut found: Vec<Found<'_>> = Vec::new();
    for text in texts {
        if !found.iter().any(|known| (known.header, known.prefix, known.text) == (text.header, text.prefix, text.text))
        {
            found.push(text);
        }
    }
    found.truncate(MOST_TEXTS);
    found
}

/// What stands before the letters and digits at the end of an entry, and these.
fn without_prefix(entry: &str) -> (&str, &str) {
    let bare = entry.trim_end_matches('=');
    let is_digit = |char: char| char.is_ascii_alphanumeric() || "+/-_".contains(char);
    let start =
        bare.rfind(|char| !is_digit(char)).map_or(0, |at| at + bare[at..].chars().next().map_or(1, char::len_utf8));
    entry.split_at(start)
}

/// The text as the scheme writes it, with the algorithm that it has instead of the scheme's.
fn spelled(found: &Found<'_>, proof: &Proof) -> Vec<(String, Option<Algorithm>, Vec<Change>)> {
    let mut changes = Vec::new();
    let wanted = proof.signature.prefix.as_str();
    if found.prefix.eq_ignore_ascii_case(wanted) && found.prefix != wanted {
        changes.push(Change::new(Cause::SignatureCase, "the signature's prefix is in small letters"));
    } else if found.prefix != wanted && !ends_in(found.prefix, wanted, proof) {
        changes.push(Change::new(Cause::SignaturePrefix, "the signature has the scheme's prefix"));
    }
    if proof.algorithm.is_credential() {
        return vec![(found.text.to_owned(), None, changes)];
    }
    let Some(own_encoding) = proof.signature.encodings.first() else { return Vec::new() };
    let own_len = proof.algorithm.tag_len().unwrap_or_default();
    let mut spelled: Vec<(String, Option<Algorithm>, Vec<Change>)> = Vec::new();
    for encoding in ENCODINGS {
        for len in [20, 32, 64] {
            let mut buffer = [0; TAG_ROOM];
            let algorithm = if len == own_len { Some(None) } else { hmac_of(proof, len).map(Some) };
            let Some(algorithm) = algorithm else { continue };
            let as_it_is = encoding.decode_tag(found.text.as_bytes(), len, &mut buffer);
            let small = found.text.to_ascii_lowercase();
            let in_small =
                !as_it_is && encoding == Encoding::Hex && encoding.decode_tag(small.as_bytes(), len, &mut buffer);
            if !as_it_is && !in_small {
                continue;
            }
            let mut changes = changes.clone();
            if in_small {
                changes.push(Change::new(Cause::SignatureCase, "the signature is in small letters"));
            }
            if !proof.signature.encodings.contains(&encoding) {
                let how = format!("the signature is read as {}", encoding_name(encoding));
                changes.push(Change::new(Cause::SignatureEncoding, how));
            }
            let text = own_encoding.encode(&buffer[..len]);
            if !spelled.iter().any(|(known, ..)| *known == text) {
                spelled.push((text, algorithm, changes));
            }
        }
    }
    spelled
}

/// In a list whose separator the prefix holds, only its end is left before the signature.
fn ends_in(found: &str, wanted: &str, proof: &Proof) -> bool {
    proof.signature.separator.is_some() && found.is_empty() && wanted.ends_with([',', ' ', ';'])
}

const ENCODINGS: [Encoding; 5] =
    [Encoding::Hex, Encoding::Base64, Encoding::Base64Unpadded, Encoding::Base64url, Encoding::Base64urlUnpadded];

fn encoding_name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Hex => "hex",
        Encoding::Base64 => "base64",
        Encoding::Base64Unpadded => "base64 without padding",
        Encoding::Base64url => "url-safe base64",
        Encoding::Base64urlUnpadded => "url-safe base64 without padding",
        Encoding::HexUpper => "hex in upper case",
        Encoding::Base64Percent | Encoding::Base64urlPercent => "base64 with percent signs",
        Encoding::Base64Hex => "hex in base64",
    }
}

/// The HMAC with signatures of this length, where the scheme's own is another one.
fn hmac_of(proof: &Proof, len: usize) -> Option<Algorithm> {
    if !is_hmac(proof.algorithm) {
        return None;
    }
    match len {
        20 => Some(Algorithm::HmacSha1),
        32 => Some(Algorithm::HmacSha256),
        64 => Some(Algorithm::HmacSha512),
        _ => None,
    }
}

/// Whether a signature is an HMAC, which costs little.
pub(super) fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HmacSha1 | Algorithm::HmacSha256 | Algorithm::HmacSha512)
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HmacSha1 => "hmac-sha1",
        Algorithm::HmacSha512 => "hmac-sha512",
        _ => "hmac-sha256",
    }
}
