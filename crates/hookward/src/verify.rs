//! Owns the verdict on a request: the order of the checks, and the proof type [`Verified`]. How each part is found, decoded or
//! compared is its neighbours' business.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::encoding::{Encoding, TAG_ROOM};
use crate::key::{Key, Material};
use crate::message::Message;
use crate::place::{self, Fault, Place};
use crate::proof::Proof;
use crate::refusal::Refusal;
use crate::scheme::Scheme;
use crate::signature::Found;
use crate::template::{Content, Part};
use crate::time::UnixTime;
use crate::url;

/// Proof that a request came from the holder of a key. Minted by [`Scheme::verify`] and by nothing else.
#[derive(Clone, Debug)]
pub struct Verified<'m> {
    scheme: Arc<str>,
    key_version: u32,
    id: Option<Cow<'m, str>>,
    event_type: Option<Cow<'m, str>>,
    timestamp: Option<UnixTime>,
    binds: Binds,
}

/// What the proof covers. Whatever is not covered can be changed by whoever captures a request: an id that is not bound does not stop
/// a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binds {
    /// The body.
    pub body: bool,
    /// The time of signing, which was checked.
    pub time: bool,
    /// The URL.
    pub url: bool,
    /// The delivery id: as part of the signed bytes, or inside a signed body.
    pub id: bool,
}

impl Verified<'_> {
    /// The scheme's name.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The version of the key that matched.
    pub fn key_version(&self) -> u32 {
        self.key_version
    }

    /// The delivery's id, where the scheme knows one. See [`Binds::id`] before trusting it.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The event's type, where the scheme knows one.
    pub fn event_type(&self) -> Option<&str> {
        self.event_type.as_deref()
    }

    /// When it was signed, where the scheme signs a time.
    pub fn timestamp(&self) -> Option<UnixTime> {
        self.timestamp
    }

    /// What the proof covers.
    pub fn binds(&self) -> Binds {
        self.binds
    }

    /// The same, outliving the request that it was read from.
    pub fn into_owned(self) -> Verified<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        let Self { scheme, key_version, id, event_type, timestamp, binds } = self;
        Verified { scheme, key_version, id: own(id), event_type: own(event_type), timestamp, binds }
    }
}

/// A live key with its version.
type Live<'k> = (u32, &'k Material);

impl Scheme {
    /// Decides whether the request was made by a holder of one of `keys`, all of which are taken as live.
    ///
    /// Of a scheme with several proofs the strongest one that was sent, and for which there is a key, decides alone: a wrong signature
    /// is never made good by a right token.
    pub fn verify<'m>(&self, message: &Message<'m>, keys: &[Key], now: UnixTime) -> Result<Verified<'m>, Refusal> {
        let mut refusal = Refusal::NoUsableSecret;
        for (index, proof) in self.proofs().iter().enumerate() {
            let material = |key| Key::material(key, self.shared_name(), index);
            let mut live = keys.iter().filter_map(|key| Some((key.version(), material(key)?))).peekable();
            if live.peek().is_none() {
                continue;
            }
            match proof.signature.find(message).map_err(|fault| proof.refusal(fault))? {
                Some(found) => return self.judge(proof, &found, message, live, now),
                None if refusal == Refusal::NoUsableSecret => refusal = proof.refusal(Fault::Missing),
                None => {}
            }
        }
        Err(refusal)
    }

    fn judge<'m, 'k>(
        &self,
        proof: &Proof,
        found: &Found<'_>,
        message: &Message<'m>,
        live: impl Iterator<Item = Live<'k>>,
        now: UnixTime,
    ) -> Result<Verified<'m>, Refusal> {
        let mut verdict = match proof.algorithm.is_credential() {
            true => self.judge_credential(proof, found, live)?,
            false => self.judge_signature(proof, found, message, live, now)?,
        };
        if verdict.id.is_none() {
            let (id, signed) = first(&proof.id, message).map_err(|fault| match fault {
                Fault::Repeated => Refusal::IdRepeated,
                _ => Refusal::IdMalformed,
            })?;
            verdict.binds.id = signed && verdict.binds.body;
            verdict.id = id;
        }
        let (event_type, _) = first(&proof.event_type, message).map_err(|fault| match fault {
            Fault::Repeated => Refusal::EventTypeRepeated,
            _ => Refusal::EventTypeMalformed,
        })?;
        verdict.event_type = event_type;
        Ok(verdict)
    }

    fn judge_credential<'m, 'k>(
        &self,
        proof: &Proof,
        found: &Found<'_>,
        mut live: impl Iterator<Item = Live<'k>>,
    ) -> Result<Verified<'m>, Refusal> {
        let sent = found.credential(&proof.signature).ok_or(Refusal::CredentialMalformed)?;
        let (version, _) = live.find(|(_, material)| material.is_token(sent)).ok_or(Refusal::CredentialMismatch)?;
        Ok(self.verdict(version))
    }

    fn judge_signature<'m, 'k>(
        &self,
        proof: &Proof,
        found: &Found<'_>,
        message: &Message<'m>,
        live: impl Iterator<Item = Live<'k>>,
        now: UnixTime,
    ) -> Result<Verified<'m>, Refusal> {
        if proof.has_too_many(found) {
            return Err(Refusal::TooManySignatures);
        }
        let stamp = proof.timestamp.as_ref().map(|spec| spec.read(message, &proof.signature, found)).transpose()?;
        let id = signed_id(proof, message)?;
        let form = form(proof, message)?;
        let content = Content {
            template: &proof.content,
            body: message.body,
            timestamp: stamp.as_ref().map_or("", |stamp| stamp.text),
            id: id.unwrap_or_default(),
            method: message.method,
            url: message.url,
            form: form.as_deref().unwrap_or_default(),
        };
        if proof.content.has_url() && !url::is_absolute(message.url) {
            return Err(Refusal::UrlNotAbsolute);
        }
        let version = matching_key(proof, found, content, live)?;
        if self.could_be_a_challenge(message.body) {
            return Err(Refusal::BodyIsChallenge);
        }
        check_body_digest(proof, form.is_some(), message)?;
        if let (Some(spec), Some(stamp)) = (&proof.timestamp, &stamp) {
            spec.check(stamp.time, now)?;
        }
        let binds = Binds {
            body: proof.content.has(&Part::Body) || proof.content.has(&Part::FormSorted),
            time: stamp.is_some(),
            url: proof.content.has_url(),
            id: id.is_some(),
        };
        let timestamp = stamp.map(|stamp| stamp.time);
        Ok(Verified { id: id.map(Cow::Borrowed), timestamp, binds, ..self.verdict(version) })
    }

    fn verdict<'m>(&self, key_version: u32) -> Verified<'m> {
        let scheme = Arc::clone(self.shared_name());
        Verified { scheme, key_version, id: None, event_type: None, timestamp: None, binds: Binds::default() }
    }
}

/// The version of the first key under which one of the signatures is right.
fn matching_key<'k>(
    proof: &Proof,
    found: &Found<'_>,
    content: Content<'_>,
    live: impl Iterator<Item = Live<'k>>,
) -> Result<u32, Refusal> {
    let any_port = proof.content.has(&Part::UrlAnyPort);
    let other_url = any_port.then(|| url::with_default_port_toggled(content.url)).flatten();
    let other_content = other_url.as_deref().map(|url| Content { url, ..content });
    for (version, material) in live {
        for content in [Some(content), other_content].into_iter().flatten() {
            match material.accepts(content, proof, found) {
                Some(true) => return Ok(version),
                Some(false) => {}
                None => return Err(Refusal::SignatureMalformed),
            }
        }
    }
    Err(Refusal::SignatureMismatch)
}

/// The id that is part of the signed bytes. It must be there, and may not shift the border to the next part.
fn signed_id<'m>(proof: &Proof, message: &Message<'m>) -> Result<Option<&'m str>, Refusal> {
    let Some(name) = proof.signed_id() else { return Ok(None) };
    match place::header_text(message, name) {
        Ok(Some(id)) if proof.content.admits_id(id) => Ok(Some(id)),
        Ok(Some(_)) => Err(Refusal::IdMalformed),
        Ok(None) => Err(Refusal::IdMissing),
        Err(Fault::Repeated) => Err(Refusal::IdRepeated),
        Err(_) => Err(Refusal::IdMalformed),
    }
}

/// The sorted form, where the scheme signs it and the body is one.
fn form(proof: &Proof, message: &Message<'_>) -> Result<Option<Vec<u8>>, Refusal> {
    let wanted = proof.content.has(&Part::FormSorted);
    if !wanted || !url::is_form(message.headers.nth("Content-Type", 0), message.body) {
        return Ok(None);
    }
    url::sorted_form(message.body).map(Some).ok_or(Refusal::TooManyFormFields)
}

/// A body that is not a form is bound by its digest in the signed URL.
fn check_body_digest(proof: &Proof, is_form: bool, message: &Message<'_>) -> Result<(), Refusal> {
    let Some(name) = proof.body_sha256.as_ref().filter(|_| !is_form && !message.body.is_empty()) else { return Ok(()) };
    let Ok(Some(sent)) = url::query_value(message.url, name) else { return Err(Refusal::BodyDigestMissing) };
    let digest = Sha256::digest(message.body);
    let mut buffer = [0; TAG_ROOM];
    let decoded = Encoding::Hex.decode_tag(&sent, digest.len(), &mut buffer);
    let equal: bool = buffer[..digest.len()].ct_eq(&digest).into();
    if decoded && equal { Ok(()) } else { Err(Refusal::BodyDigestMismatch) }
}

/// The first filled place, and whether it is inside the body.
fn first<'m>(places: &[Place], message: &Message<'m>) -> Result<(Option<Cow<'m, str>>, bool), Fault> {
    for place in places {
        if let Some(text) = place.read(message)? {
            return Ok((Some(text), place.header().is_none()));
        }
    }
    Ok((None, false))
}
