//! Owns what commonly goes wrong between the text of a secret and the key that signs, undone: each way gives a secret that may have
//! signed. Nothing here can be printed.

use std::borrow::Cow;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::cause::{Cause, Change};
use super::{KnownSecret, Standing};
use crate::encoding::Encoding;
use crate::key::Key;
use crate::proof::{KeySpec, Proof};
use crate::secret::Secret;

/// So many of the secrets that are not in force are tried together with something else.
pub(super) const MOST_SPELLED: usize = 8;

/// What stands before a secret in several schemes and in others is part of it.
const PREFIX: &str = "whsec_";

/// A secret that may have signed, and how its text becomes a key.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) changes: Vec<Change>,
    /// Its position among those that are known.
    pub(super) of: usize,
    secret: Secret,
    /// Instead of the scheme's own.
    spec: Option<KeySpec>,
}

impl Reading {
    /// The key that it is for a proof; nothing if it is none.
    pub(super) fn key(&self, version: u32, scheme: &Arc<str>, proof: &Proof) -> Option<Key> {
        let respelled = self.spec.as_ref().map(|spec| Proof { key: spec.clone(), ..proof.clone() });
        let proof = respelled.as_ref().unwrap_or(proof);
        Key::new(version, Arc::clone(scheme), std::slice::from_ref(proof), &self.secret).ok()
    }

    fn with(
        &self,
        cause: Cause,
        how: impl Into<Cow<'static, str>>,
        text: &[u8],
        spec: Option<KeySpec>,
    ) -> Option<Self> {
        let mut changes = self.changes.clone();
        changes.push(Change::new(cause, how));
        Some(Self { changes, of: self.of, secret: Secret::new(text).ok()?, spec })
    }
}

/// The secrets in force as the scheme reads them, newest first.
pub(super) fn in_force(known: &[KnownSecret<'_>]) -> Vec<Reading> {
    readings(known, |standing| standing == Standing::InForce).collect()
}

/// Every secret that is not in force, as the scheme reads it.
pub(super) fn others(known: &[KnownSecret<'_>]) -> Vec<Reading> {
    readings(known, |standing| standing != Standing::InForce).collect()
}

fn readings(known: &[KnownSecret<'_>], wanted: impl Fn(Standing) -> bool) -> impl Iterator<Item = Reading> {
    known.iter().enumerate().filter(move |(_, known)| wanted(known.standing)).map(|(of, known)| {
        let change = match known.standing {
            Standing::InForce => None,
            Standing::Ended => {
                Some(Change::new(Cause::SecretEnded, format!("{}, which is not in force, is taken", known.label)))
            }
            Standing::Another => {
                Some(Change::new(Cause::SecretOfAnother, format!("the secret of {} is taken", known.label)))
            }
        };
        Reading { changes: change.into_iter().collect(), of, secret: known.secret.clone(), spec: None }
    })
}

/// The one mistake more in each of the readings; `proof` says how the scheme reads a secret.
pub(super) fn spelled(readings: &[Reading], proof: &Proof) -> Vec<Reading> {
    readings.iter().flat_map(|reading| [surrounded(reading), recoded(reading, proof)].concat()).collect()
}

/// Both mistakes in each of the readings, and either in one that is not in force.
pub(super) fn spelled_twice(in_force: &[Reading], others: &[Reading], proof: &Proof) -> Vec<Reading> {
    let twice = in_force.iter().flat_map(surrounded).flat_map(|reading| recoded(&reading, proof));
    twice.chain(spelled(others, proof)).collect()
}

fn surrounded(reading: &Reading) -> Vec<Reading> {
    const CAUSE: Cause = Cause::SecretSurrounded;
    let text = reading.secret.expose();
    let mut found = Vec::new();
    let bare = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii();
    if bare.len() < text.len() {
        found.push(reading.with(CAUSE, "the blanks or newline around the secret are taken off", bare, None));
    }
    if let [first @ (b'"' | b'\'' | b'`'), inside @ .., last] = bare
        && first == last
    {
        found.push(reading.with(CAUSE, "the quotes around the secret are taken off", inside, None));
    }
    if let Some(before) = bare.strip_suffix(b"\\n") {
        found.push(reading.with(CAUSE, "the written-out \\n at the secret's end is taken off", before, None));
    }
    let mut add = |how: &'static str, before: &[u8], after: &[u8]| {
        let text = Zeroizing::new([before, text, after].concat());
        found.push(reading.with(CAUSE, how, &text, None));
    };
    add("a newline is put at the secret's end", b"", b"\n");
    add("a crlf is put at the secret's end", b"", b"\r\n");
    add("a blank is put at the secret's end", b"", b" ");
    add("the secret is put in double quotes", b"\"", b"\"");
    add("the secret is put in single quotes", b"'", b"'");
    found.into_iter().flatten().collect()
}

fn recoded(reading: &Reading, proof: &Proof) -> Vec<Reading> {
    const CAUSE: Cause = Cause::SecretEncoding;
    let text = reading.secret.expose();
    let own = &proof.key;
    let own_prefix = [&own.prefix, &own.optional_prefix].into_iter().flatten().next();
    let taken_off = |prefix: &str| text.strip_prefix(prefix.as_bytes());
    let own_strips = own_prefix.is_some_and(|prefix| taken_off(prefix).is_some());
    let is_key = reading.key(0, &Arc::from(""), proof).is_some();
    let mut found = Vec::new();
    let stripped = own_prefix.and_then(|prefix| taken_off(prefix)).or_else(|| taken_off(PREFIX));
    for (text, strips) in [(Some(text), false), (stripped, true)] {
        let Some(text) = text else { continue };
        for encoding in [None, Some(Encoding::Hex), Some(Encoding::Base64), Some(Encoding::Base64url)] {
            let is_own = is_key && encoding == own.encoding && strips == own_strips;
            let has_url_letters = text.iter().any(|byte| b"-_".contains(byte));
            let decodes = encoding.is_none_or(|encoding| encoding.decode_key(text).is_some());
            if is_own || !decodes || (encoding == Some(Encoding::Base64url) && !has_url_letters) {
                continue;
            }
            let how = match (encoding, strips) {
                (None, false) => "the secret's text is the key as it stands",
                (None, true) => "the secret's text is the key without its prefix",
                (Some(Encoding::Hex), false) => "the secret's text is decoded from hex",
                (Some(Encoding::Hex), true) => "the secret's text is decoded from hex after its prefix",
                (Some(_), false) => "the secret's text is decoded from base64",
                (Some(_), true) => "the secret's text is decoded from base64 after its prefix",
            };
            let spec = KeySpec { encoding, private_prefix: own.private_prefix.clone(), ..KeySpec::default() };
            found.push(reading.with(CAUSE, how, text, Some(spec)));
        }
    }
    let as_it_stands = Some(KeySpec::default());
    let hex = Zeroizing::new(Encoding::Hex.encode(text));
    found.push(reading.with(
        CAUSE,
        "the hex digits of the secret's text are the key",
        hex.as_bytes(),
        as_it_stands.clone(),
    ));
    let base64 = Zeroizing::new(Encoding::Base64.encode(text));
    found.push(reading.with(CAUSE, "the base64 of the secret's text is the key", base64.as_bytes(), as_it_stands));
    found.into_iter().flatten().collect()
}
