//! Secrets of ours in a request where none belongs: recognised by fingerprint, so that they can be taken out.
//! Owns the fingerprints and where they are looked for; redacting is `redact`'s, telling operators is `alert`'s.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookward::Secret;
use percent_encoding::percent_decode;
use siphasher::sip::SipHasher13;
use zeroize::Zeroizing;

use crate::clock::Entropy;
use crate::model::{REDACTED, SecretOwner};
use crate::receive::InboundRequest;
use crate::redact::{Credentials, pairs};

/// Shorter values are not looked for: they occur by chance.
const VALUE_MIN: usize = 8;

/// Values of this length and longer share a place in the table of lengths.
const LENGTH_MAX: usize = 1023;

/// What separates one token of a header from the next.
const IS_SEPARATOR: [bool; 256] = {
    let mut table = [false; 256];
    let separators = b" \t,;\"'&?";
    let mut at = 0;
    while at < separators.len() {
        table[separators[at] as usize] = true;
        at += 1;
    }
    table
};

/// Keyed fingerprints of every secret that was opened and is still somebody's, whether or not its key is open now: what they are of cannot be read back, and two processes do not share them.
#[derive(Debug)]
pub(crate) struct Fingerprints {
    key: [u8; 16],
    /// Whether any value has this length: most tokens need no hash.
    lengths: Vec<AtomicBool>,
    known: RwLock<HashMap<u64, Vec<Held>>>,
}

/// Whose value it is, and which.
type Held = (SecretOwner, u32);

/// One search of one request.
struct Search<'a> {
    known: &'a Fingerprints,
    is_live: &'a dyn Fn(Held) -> bool,
}

/// Where secrets stood in one request.
#[derive(Debug, Default)]
pub(crate) struct Exposed {
    /// Places of headers in their order.
    pub(crate) headers: Vec<usize>,
    /// Places of query parameters in their order.
    pub(crate) query: Vec<usize>,
    /// Whose, and where.
    pub(crate) secrets: Vec<ExposedSecret>,
}

/// A secret that stood where it does not belong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ExposedSecret {
    pub(crate) owner: SecretOwner,
    pub(crate) version: u32,
    /// `header:NAME` or `query:NAME`.
    pub(crate) place: String,
}

impl Fingerprints {
    /// None yet.
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut key = [0; 16];
        entropy.fill(&mut key);
        let lengths = (0..=LENGTH_MAX).map(|_| AtomicBool::new(false)).collect();
        Self { key, lengths, known: RwLock::default() }
    }

    /// Adds a value that was opened, as it is configured and without a prefix like `whsec_`.
    pub(crate) fn add(&self, owner: SecretOwner, version: u32, value: &Secret) {
        let whole = value.expose();
        for value in [Some(whole), without_prefix(whole)].into_iter().flatten().filter(|value| value.len() >= VALUE_MIN)
        {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let held = known.entry(self.hash(value)).or_default();
            if !held.contains(&(owner, version)) {
                held.push((owner, version));
            }
            self.lengths[value.len().min(LENGTH_MAX)].store(true, Ordering::Release);
        }
    }

    /// Forgets the values that are nobody's any more.
    pub(crate) fn keep(&self, is_kept: impl Fn(SecretOwner, u32) -> bool) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, held| {
            held.retain(|(owner, version)| is_kept(*owner, *version));
            !held.is_empty()
        });
    }

    /// Every place of `request` with a secret that `is_live`, except where this source's requests carry theirs.
    pub(crate) fn find(
        &self,
        request: &InboundRequest,
        own: Credentials<'_>,
        is_live: &dyn Fn((SecretOwner, u32)) -> bool,
    ) -> Exposed {
        Search { known: self, is_live }.find(request, own)
    }

    fn hash(&self, value: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.key).hash(value)
    }
}

impl Search<'_> {
    fn find(&self, request: &InboundRequest, own: Credentials<'_>) -> Exposed {
        let mut exposed = Exposed::default();
        for (index, (name, value)) in request.headers.iter().enumerate() {
            if value.len() >= VALUE_MIN
                && !own.has_header(name)
                && self.look(value, &mut |held| exposed.secret(held, format!("header:{name}")))
            {
                exposed.headers.push(index);
            }
        }
        let query = request.url.split_once('?').map_or("", |(_, query)| query);
        for (index, (name, pair)) in pairs(query).enumerate() {
            if pair.len() < VALUE_MIN || own.has_query(&name) {
                continue;
            }
            let decoded: Vec<u8> = percent_decode(pair.as_bytes()).collect();
            let place = || match pair.contains('=') {
                true => format!("query:{name}"),
                false => "query".to_owned(),
            };
            if self.look(pair.as_bytes(), &mut |held| exposed.secret(held, place()))
                | self.look(&decoded, &mut |held| exposed.secret(held, place()))
            {
                exposed.query.push(index);
            }
        }
        exposed
    }

    /// Whether `value` is a secret or contains one as a token; each is told.
    fn look(&self, value: &[u8], found: &mut dyn FnMut(Held)) -> bool {
        let value = value.trim_ascii();
        let mut any = self.is_known(value, found);
        if let Some((_, rest)) = split_at(value, b'=') {
            any |= self.is_known(rest, found);
        }
        if let Some((_, rest)) = split_at(value, b' ') {
            any |= self.is_known(rest.trim_ascii_start(), found);
            any |= self.look_in_basic(value, found);
        }
        let mut rest = value;
        loop {
            let end = rest.iter().position(|byte| IS_SEPARATOR[usize::from(*byte)]).unwrap_or(rest.len());
            let token = &rest[..end];
            if token.len() >= VALUE_MIN {
                any |= token.len() < value.len() && self.is_known(token, found);
                if let Some((_, after)) = split_at(token, b'=') {
                    any |= self.is_known(after, found);
                }
            }
            if end == rest.len() {
                return any;
            }
            rest = &rest[end + 1..];
        }
    }

    /// The user name and password that a value like `Basic …` stands for.
    fn look_in_basic(&self, value: &[u8], found: &mut dyn FnMut(Held)) -> bool {
        let Some((scheme, encoded)) = split_at(value, b' ') else { return false };
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return false;
        }
        let Ok(decoded) = STANDARD.decode(encoded.trim_ascii()).map(Zeroizing::new) else { return false };
        let (user, password) = split_at(&decoded, b':').unwrap_or((&decoded, b""));
        self.is_known(&decoded, found) | self.is_known(user, found) | self.is_known(password, found)
    }

    fn is_known(&self, value: &[u8], found: &mut dyn FnMut(Held)) -> bool {
        let Fingerprints { lengths, known, .. } = self.known;
        if value.len() < VALUE_MIN || !lengths[value.len().min(LENGTH_MAX)].load(Ordering::Acquire) {
            return false;
        }
        let known = known.read().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = known.get(&self.known.hash(value)) else { return false };
        let mut any = false;
        for held in held.iter().filter(|held| (self.is_live)(**held)) {
            found(*held);
            any = true;
        }
        any
    }
}

impl Exposed {
    /// Whether nothing was found, which is so for nearly every request.
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// `text`, unless it is what a header says in which a secret stood.
    pub(crate) fn hide(&self, text: String, request: &InboundRequest) -> String {
        let shown = self.headers.iter().any(|index| request.headers[*index].1 == text.as_bytes());
        if shown { REDACTED.to_owned() } else { text }
    }

    fn secret(&mut self, (owner, version): Held, place: String) {
        let secret = ExposedSecret { owner, version, place };
        if !self.secrets.contains(&secret) {
            self.secrets.push(secret);
        }
    }
}

/// What follows a short name and an underscore: `whsec_…`, `whsk_…`.
fn without_prefix(value: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = split_at(value, b'_')?;
    let is_name = (1..=8).contains(&prefix.len()) && prefix.iter().all(u8::is_ascii_lowercase);
    is_name.then_some(rest)
}

fn split_at(value: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = value.iter().position(|other| *other == byte)?;
    Some((&value[..at], &value[at + 1..]))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::SystemEntropy;
    use crate::ids::SourceId;

    const SECRET: &str = "it's a secret, to everybody";
    const TOKEN: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn fingerprints(values: &[&str]) -> Fingerprints {
        let fingerprints = Fingerprints::new(&SystemEntropy);
        for (version, value) in (1..).zip(values) {
            fingerprints.add(owner(), version, &Secret::new(*value).expect("not empty"));
        }
        fingerprints
    }

    fn owner() -> SecretOwner {
        SecretOwner::Source(SourceId::from_bytes([1; 16]))
    }

    fn always(_: Held) -> bool {
        true
    }

    fn request(headers: &[(&str, &str)], url: &str) -> InboundRequest {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), Bytes::copy_from_slice(v.as_bytes()))).collect();
        let (method, url) = ("POST".to_owned(), url.to_owned());
        InboundRequest { method, url, headers, body: Bytes::new(), remote: String::new() }
    }

    fn places(exposed: &Exposed) -> Vec<(&str, u32)> {
        exposed.secrets.iter().map(|secret| (secret.place.as_str(), secret.version)).collect()
    }

    #[test]
    fn a_secret_is_found_however_it_stands_in_a_header() {
        let known = fingerprints(&[SECRET, TOKEN, "user:passw0rd"]);
        let bare = TOKEN.strip_prefix("whsec_").expect("it has it");
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (value, version) in [
            (SECRET.to_owned(), 1),
            (format!("Bearer {SECRET}"), 1),
            (format!("secret={SECRET}"), 1),
            (TOKEN.to_owned(), 2),
            (bare.to_owned(), 2),
            (format!(" {TOKEN} "), 2),
            (format!("Bearer  {TOKEN}"), 2),
            (format!("token={TOKEN}"), 2),
            (format!("a=b; c=\"{bare}\", d"), 2),
            (format!("c='{TOKEN}'"), 2),
            (format!("https://example.com/?a=b&token={bare}"), 2),
            (basic(&format!("hook:{TOKEN}")), 2),
            (basic(&format!("{TOKEN}:")), 2),
            (basic("user:passw0rd").replacen("Basic", "basic", 1), 3),
            (format!("x{TOKEN}"), 0),
            (TOKEN[..TOKEN.len() - 1].to_owned(), 0),
            (String::new(), 0),
        ] {
            let request = request(&[("user-agent", "GitHub-Hookshot/044aadd"), ("x-debug", &value)], "/");
            let exposed = known.find(&request, Credentials::default(), &always);
            let expected: &[(&str, u32)] = if version == 0 { &[] } else { &[("header:x-debug", version)] };
            assert_eq!(places(&exposed), expected, "{value}");
            assert_eq!(exposed.headers, if version == 0 { vec![] } else { vec![1] }, "{value}");
        }
    }

    #[test]
    fn the_query_is_looked_at_too() {
        let known = fingerprints(&[TOKEN]);
        let find = |url: &str| known.find(&request(&[], url), Credentials::default(), &always);
        assert_eq!(places(&find(&format!("/in/x?a=b&k={TOKEN}"))), [("query:k", 1)]);
        assert_eq!(places(&find(&format!("/in/x?{TOKEN}"))), [("query", 1)]);
        assert_eq!(places(&find(&format!("/in/x?k=%77{}", &TOKEN[1..]))), [("query:k", 1)]);
        assert_eq!(find(&format!("/in/x?a=b&k={TOKEN}")).query, [1]);
        let own = ["k".to_owned()];
        let own = Credentials { query: &own, ..Credentials::default() };
        assert!(known.find(&request(&[], &format!("/in/x?K={TOKEN}")), own, &always).is_empty());
    }

    #[test]
    fn a_sources_own_place_short_values_and_other_times_are_left_alone() {
        let known = fingerprints(&[TOKEN, "1234567"]);
        let own = ["X-Gitlab-Token".to_owned()];
        let own = Credentials { headers: &own, ..Credentials::default() };
        assert!(known.find(&request(&[("x-gitlab-token", TOKEN)], "/"), own, &always).is_empty());
        assert!(known.find(&request(&[("x-n", "1234567")], "/"), own, &always).is_empty());
        let elsewhere = request(&[("x-token", TOKEN)], "/");
        assert!(!known.find(&elsewhere, own, &always).is_empty());
        assert!(known.find(&elsewhere, own, &|_| false).is_empty());
        known.add(owner(), 1, &Secret::new(TOKEN).expect("not empty"));
        assert_eq!(
            places(&known.find(&elsewhere, own, &always)),
            [("header:x-token", 1)],
            "once, however often it is opened"
        );
        known.keep(|_, version| version != 1);
        assert!(known.find(&elsewhere, own, &always).is_empty());
        assert!(fingerprints(&[]).find(&elsewhere, own, &always).is_empty());
    }

    #[test]
    fn a_value_is_hidden_where_it_was_taken_over() {
        let known = fingerprints(&[TOKEN]);
        let request = request(&[("x-id", TOKEN), ("x-other", "abc")], "/");
        let exposed = known.find(&request, Credentials::default(), &always);
        assert_eq!(exposed.hide(TOKEN.to_owned(), &request), REDACTED);
        assert_eq!(exposed.hide("abc".to_owned(), &request), "abc");
    }
}
