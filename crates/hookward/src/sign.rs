//! Owns making the headers that prove a request of ours. What is signed and how it is written comes from the same data that
//! verification reads.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::encoding::Encoding;
use crate::key::{Key, Material};
use crate::message::Draft;
use crate::place::Place;
use crate::proof::{Proof, Unit};
use crate::scheme::Scheme;
use crate::template::{Content, Part};
use crate::time::UnixTime;
use crate::url;

/// What to add to a request so that it proves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Headers, in the order in which the provider documents them.
    pub headers: Vec<(String, String)>,
    /// Query parameters to append to the URL; they need no escaping.
    pub query: Vec<(String, String)>,
    /// The versions of the keys that signed, newest first.
    pub signed_by: Vec<u32>,
}

/// Why a request could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// None of the keys given can be used with this scheme.
    #[error("no secret can be used with this scheme")]
    NoUsableSecret,
    /// Only public keys were given.
    #[error("a public key verifies, it cannot sign")]
    OnlyPublicKeys,
    /// The id is empty where it is signed, or has characters that it may not have.
    #[error("the delivery id is empty or has characters that it may not have")]
    BadId,
    /// The event type could not be sent in a header.
    #[error("the event type has characters that a header may not have")]
    BadEventType,
    /// The scheme signs the absolute URL, and the draft has none.
    #[error("the scheme signs the absolute url, and only a path is given")]
    UrlNotAbsolute,
    /// The scheme signs the form, and the form has more than [`MAX_FORM_FIELDS`](crate::MAX_FORM_FIELDS) fields.
    #[error("the form has too many fields")]
    TooManyFormFields,
    /// A time before 1970 cannot be written.
    #[error("the time of signing lies before 1970")]
    BeforeEpoch,
}

impl Scheme {
    /// Signs the draft. A scheme whose header holds several signatures carries one for each key, newest first; another one carries
    /// that of the first usable key.
    pub fn sign(&self, draft: &Draft<'_>, keys: &[Key], now: UnixTime) -> Result<Signed, SignError> {
        let mut signed = Signed::default();
        for (index, proof) in self.proofs().iter().enumerate().filter(|(_, proof)| !proof.verify_only) {
            let usable: Vec<(u32, &Material)> =
                keys.iter().filter_map(|key| Some((key.version(), key.material(self.shared_name(), index)?))).collect();
            if !usable.is_empty() {
                add_proof(proof, draft, &usable, now, &mut signed)?;
            }
        }
        if signed.signed_by.is_empty() { Err(SignError::NoUsableSecret) } else { Ok(signed) }
    }
}

fn add_proof(
    proof: &Proof,
    draft: &Draft<'_>,
    keys: &[(u32, &Material)],
    now: UnixTime,
    signed: &mut Signed,
) -> Result<(), SignError> {
    add_id(proof, draft, signed)?;
    if proof.algorithm.is_credential() {
        let token = keys.iter().find_map(|(version, material)| Some((*version, material.token()?)));
        let (version, token) = token.ok_or(SignError::NoUsableSecret)?;
        signed.signed_by.push(version);
        let text = format!("{}{token}", proof.signature.prefix);
        add_value(proof, text, signed);
        return add_event_type(proof, draft, signed);
    }
    let timestamp = timestamp(proof, now)?;
    if let Some(name) = proof.timestamp.as_ref().and_then(|spec| spec.at.header()) {
        set(&mut signed.headers, name, timestamp.clone());
    }
    add_event_type(proof, draft, signed)?;
    let (url, form) = signed_url(proof, draft, signed)?;
    let content = Content {
        template: &proof.content,
        body: draft.body,
        timestamp: &timestamp,
        id: draft.id,
        method: draft.method,
        url: &url,
        form: &form,
    };
    let mut entries: Vec<String> = match proof.timestamp.as_ref().map(|spec| &spec.at) {
        Some(Place::Signature(name)) => vec![format!("{name}={timestamp}")],
        _ => Vec::new(),
    };
    let able = keys.iter().filter_map(|(version, material)| Some((*version, material.sign(content)?)));
    let most = if proof.signature.separator.is_some() { usize::MAX } else { 1 };
    let before = signed.signed_by.len();
    for (version, tag) in able.take(most) {
        signed.signed_by.push(version);
        entries.push(format!("{}{}", proof.signature.prefix, proof.signature.encodings[0].encode(&tag)));
    }
    if signed.signed_by.len() == before {
        return Err(SignError::OnlyPublicKeys);
    }
    let separator = proof.signature.separator.map_or(String::new(), |separator| char::from(separator.0).to_string());
    add_value(proof, entries.join(&separator), signed);
    Ok(())
}

/// Puts the signature or credential in the first of its places.
fn add_value(proof: &Proof, text: String, signed: &mut Signed) {
    match &proof.signature.at[0] {
        Place::Query(name) => signed.query.push((name.clone(), text)),
        Place::Authorization(scheme) => set(&mut signed.headers, "Authorization", format!("{scheme} {text}")),
        place => set(&mut signed.headers, place.header().unwrap_or_default(), text),
    }
}

fn add_id(proof: &Proof, draft: &Draft<'_>, signed: &mut Signed) -> Result<(), SignError> {
    let bound = proof.content.has(&Part::Id);
    if bound && (draft.id.is_empty() || !proof.content.admits_id(draft.id)) {
        return Err(SignError::BadId);
    }
    match proof.id.first() {
        Some(Place::Header(_)) if !is_printable(draft.id) => Err(SignError::BadId),
        Some(Place::Header(name)) if !draft.id.is_empty() => {
            set(&mut signed.headers, name, draft.id.to_owned());
            Ok(())
        }
        _ => Ok(()),
    }
}

fn add_event_type(proof: &Proof, draft: &Draft<'_>, signed: &mut Signed) -> Result<(), SignError> {
    match proof.event_type.first() {
        Some(Place::Header(_)) if !is_printable(draft.event_type) => Err(SignError::BadEventType),
        Some(Place::Header(name)) if !draft.event_type.is_empty() => {
            set(&mut signed.headers, name, draft.event_type.to_owned());
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether a header could carry the text and give it back unchanged.
fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text
}

/// Sets a header once: the proofs of one scheme may share one.
fn set(headers: &mut Vec<(String, String)>, name: &str, value: String) {
    if !headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
        headers.push((name.to_owned(), value));
    }
}

fn timestamp(proof: &Proof, now: UnixTime) -> Result<String, SignError> {
    let Some(spec) = &proof.timestamp else { return Ok(String::new()) };
    let number = match spec.unit {
        Unit::S => now.as_secs(),
        Unit::Ms => now.as_millis(),
    };
    if number < 0 { Err(SignError::BeforeEpoch) } else { Ok(number.to_string()) }
}

/// The URL that is signed and the sorted form. A body that is not a form gets its digest into the query.
fn signed_url<'a>(proof: &Proof, draft: &Draft<'a>, signed: &mut Signed) -> Result<(Cow<'a, str>, Vec<u8>), SignError> {
    if proof.content.has_url() && !url::is_absolute(draft.url) {
        return Err(SignError::UrlNotAbsolute);
    }
    let Some(name) = &proof.body_sha256 else { return Ok((draft.url.into(), Vec::new())) };
    if url::is_form(None, draft.body) {
        let form = url::sorted_form(draft.body).ok_or(SignError::TooManyFormFields)?;
        return Ok((draft.url.into(), form));
    }
    let digest = Encoding::Hex.encode(&Sha256::digest(draft.body));
    let url = url::with_query(draft.url, name, &digest);
    signed.query.push((name.clone(), digest));
    Ok((url.into(), Vec::new()))
}
