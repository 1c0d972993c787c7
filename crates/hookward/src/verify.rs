//! Owns the verdict on a request: the order of the checks, and the proof type [`Verified`]. How each part is found, decoded or
//! compared is its neighbours' business.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::content::{Content, Ingredients};
use crate::encoding::{Encoding, TAG_ROOM};
use crate::gzip;
use crate::json;
use crate::jwt;
use crate::key::{Key, Material};
use crate::message::Message;
use crate::place::{self, Fault, Place};
use crate::proof::Proof;
use crate::refusal::Refusal;
use crate::scheme::Scheme;
use crate::signature::{Found, Stamp};
use crate::template::Template;
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
    is_weak: bool,
}

/// At most this many items of one request are proven, where each has a signature of its own.
pub const MAX_ITEMS: usize = 100;

/// What the proof covers. Whatever is not covered can be changed by whoever captures a request: an id that is not bound does not stop
/// a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Binds {
    /// The body.
    pub body: bool,
    /// The time of signing, which was checked.
    pub time: bool,
    /// The URL. Where a scheme has it directly beside something else, such as the body, only both together are bound: the end of
    /// one could be sent as the beginning of the other. Say as a parameter which URL was registered, and there is no such choice.
    pub url: bool,
    /// The delivery id: as part of the signed bytes, or inside a signed body.
    pub id: bool,
    /// Some values of the body, which is not bound as a whole: everything else in it may be anybody's.
    pub part_of_body: bool,
    /// What tells a repeat: a bound id, or a bound body where no two honest ones are the same.
    pub unique: bool,
}

impl Verified<'_> {
    /// The scheme's name.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The version of the key that matched; [`PUBLISHED`](crate::PUBLISHED) for one that its provider publishes.
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
        let Self { scheme, key_version, id, event_type, timestamp, binds, is_weak } = self;
        Verified { scheme, key_version, id: own(id), event_type: own(event_type), timestamp, binds, is_weak }
    }

    /// Whether the proof is of a kind that experts could make without the key: a plain hash over the secret, or RSA with SHA-1.
    pub fn is_weak(&self) -> bool {
        self.is_weak
    }
}

/// What one proof says of a request.
pub(crate) struct Judged<'m> {
    pub(crate) key_version: u32,
    pub(crate) id: Option<Cow<'m, str>>,
    pub(crate) event_type: Option<Cow<'m, str>>,
    pub(crate) timestamp: Option<UnixTime>,
    pub(crate) binds: Binds,
}

/// A live key with its version.
pub(crate) type Live<'k> = (u32, &'k Material);

impl Scheme {
    /// Decides whether the request was made by a holder of one of `keys`, all of which are taken as live.
    ///
    /// Of a scheme with several proofs the strongest one that was sent, and for which there is a key, decides alone: a wrong signature
    /// is never made good by a right token.
    pub fn verify<'m>(&self, message: &Message<'m>, keys: &[Key], now: UnixTime) -> Result<Verified<'m>, Refusal> {
        if self.lacks_parameters() {
            return Err(Refusal::ParameterMissing);
        }
        match self.takes_gzip().then(|| gzip::inflated(message.body)).flatten() {
            Some(body) => self.prove(&Message { body: &body, ..*message }, keys, now).map(Verified::into_owned),
            None => self.prove(message, keys, now),
        }
    }

    fn prove<'m>(&self, message: &Message<'m>, keys: &[Key], now: UnixTime) -> Result<Verified<'m>, Refusal> {
        let mut refusal = Refusal::NoUsableSecret;
        for (index, proof) in self.proofs().iter().enumerate() {
            let material = |key| Key::material(key, self.shared_name(), index);
            let mut live = keys.iter().filter_map(|key| Some((key.version(), material(key)?))).peekable();
            if live.peek().is_none() {
                continue;
            }
            if let Some(items) = &proof.items {
                let items = json::elements(place::bounded(message.body), items, MAX_ITEMS).map_err(part_refusal)?;
                match items {
                    Some(items) if !items.is_empty() => return self.judge_items(proof, &items, message, live, now),
                    _ => refusal = proof.refusal(Fault::Missing),
                }
                continue;
            }
            match proof.signature.find(message).map_err(|fault| proof.refusal(fault))? {
                Some(found) if proof.when.are_met(message) => return self.judge(proof, &found, message, live, now),
                Some(_) => refusal = Refusal::AlgorithmRefused,
                None if refusal == Refusal::NoUsableSecret => refusal = proof.refusal(Fault::Missing),
                None => {}
            }
        }
        Err(refusal)
    }

    /// Every item must prove itself, each under any of the keys; the verdict names the key of the first.
    fn judge_items<'m, 'k>(
        &self,
        proof: &Proof,
        items: &[&str],
        message: &Message<'m>,
        live: impl Iterator<Item = Live<'k>>,
        now: UnixTime,
    ) -> Result<Verified<'m>, Refusal> {
        let live: Vec<Live<'k>> = live.collect();
        let mut verdict = None;
        for item in items {
            let alone = Message { body: item.as_bytes(), ..*message };
            let found = proof.signature.find(&alone).map_err(|fault| proof.refusal(fault))?;
            let found = found.ok_or(proof.refusal(Fault::Missing))?;
            let of_item = self.judge(proof, &found, &alone, live.iter().copied(), now)?;
            // The id and the type of an item are those of the request where it is the only one.
            let named = items.len() == 1;
            let of_item = of_item.into_owned();
            let (id, event_type) = (of_item.id.filter(|_| named), of_item.event_type.filter(|_| named));
            let of_item = Verified { id, event_type, ..of_item };
            verdict = verdict.or(Some(of_item));
        }
        let mut verdict = verdict.ok_or(proof.refusal(Fault::Missing))?;
        verdict.binds.unique &= verdict.id.is_some();
        verdict.binds.id &= verdict.id.is_some();
        Ok(verdict)
    }

    fn judge<'m, 'k>(
        &self,
        proof: &Proof,
        found: &Found<'_>,
        message: &Message<'m>,
        live: impl Iterator<Item = Live<'k>>,
        now: UnixTime,
    ) -> Result<Verified<'m>, Refusal> {
        let judged = if proof.algorithm.is_credential() {
            judge_credential(proof, found, live)?
        } else if proof.algorithm.is_token_of_its_own() {
            self.judge_token(proof, found, message, live, now)?
        } else {
            self.judge_signature(proof, found, message, live, now)?
        };
        let mut binds = judged.binds;
        let mut id = judged.id;
        if id.is_none() {
            let (sent, place) = first(&proof.id, message).map_err(|fault| match fault {
                Fault::Repeated => Refusal::IdRepeated,
                _ => Refusal::IdMalformed,
            })?;
            let is_bound = |place: &Place| match place {
                Place::Json(_) | Place::Form(_) => binds.body || proof.content.has_place(place),
                Place::Query(_) => binds.url || proof.content.has_place(place),
                place => proof.content.has_place(place),
            };
            binds.id = place.is_some_and(is_bound);
            id = sent;
        }
        let mut event_type = judged.event_type;
        if event_type.is_none() {
            (event_type, _) = first(&proof.event_type, message).map_err(|fault| match fault {
                Fault::Repeated => Refusal::EventTypeRepeated,
                _ => Refusal::EventTypeMalformed,
            })?;
        }
        for (place, text) in &proof.must {
            let is = matches!(place.sent(message), Ok(Some(found)) if *found == *text.as_str().as_bytes());
            if !is {
                return Err(Refusal::PartMismatch);
            }
        }
        binds.unique = binds.id || (binds.body && self.body_is_unique());
        Ok(Verified {
            scheme: Arc::clone(self.shared_name()),
            key_version: judged.key_version,
            id,
            event_type,
            timestamp: judged.timestamp,
            binds,
            is_weak: proof.algorithm.is_weak(),
        })
    }

    fn judge_signature<'m, 'k>(
        &self,
        proof: &Proof,
        found: &Found<'_>,
        message: &Message<'m>,
        live: impl Iterator<Item = Live<'k>>,
        now: UnixTime,
    ) -> Result<Judged<'m>, Refusal> {
        if proof.has_too_many(found) {
            return Err(Refusal::TooManySignatures);
        }
        let url = self.signed_url(message.url);
        if proof.content.has_url() && !url::is_absolute(url) {
            return Err(Refusal::UrlNotAbsolute);
        }
        let mut stamp = signed_time(proof, found, message)?;
        let id = signed_id(proof, message)?;
        let form = form(proof, message)?;
        let timestamp = stamp.as_ref().map_or("", |stamp| &stamp.text);
        let from =
            Ingredients { message, url, timestamp, id: id.unwrap_or_default(), list: Some((&proof.signature, found)) };
        let made = proof.content.make(&from).map_err(part_refusal)?;
        let content = Content {
            template: &proof.content,
            body: message.body,
            timestamp,
            id: id.unwrap_or_default(),
            method: message.method,
            url,
            form: form.as_deref().unwrap_or_default(),
            made: &made,
            secret: &[],
        };
        let version = matching_key(proof, found, content, live)?;
        if self.could_be_a_challenge(message.body) {
            return Err(Refusal::BodyIsChallenge);
        }
        check_body_digest(proof, form.is_some(), message)?;
        if let Some(spec) = &proof.timestamp {
            let proven = match stamp.take() {
                Some(stamp) => stamp,
                // In what is proven now.
                None => spec.read(message, &proof.signature, found)?,
            };
            spec.check(proven.time, now)?;
            stamp = Some(proven);
        }
        let binds = Binds {
            body: proof.content.covers_body(),
            time: proof.timestamp.as_ref().is_some_and(|spec| spec.tolerance_s.is_some()),
            url: proof.content.covers_url() && url == message.url,
            id: id.is_some() && proof.content.fences_id(),
            part_of_body: !proof.content.covers_body() && proof.content.touches_body(),
            unique: false,
        };
        let timestamp = stamp.map(|stamp| stamp.time);
        Ok(Judged { key_version: version, id: id.map(Cow::Borrowed), event_type: None, timestamp, binds })
    }

    /// A token of its own: `jwt` checks it, and what its claims say of the request.
    fn judge_token<'m, 'k>(
        &self,
        proof: &Proof,
        found: &Found<'_>,
        message: &Message<'m>,
        live: impl Iterator<Item = Live<'k>>,
        now: UnixTime,
    ) -> Result<Judged<'m>, Refusal> {
        let sent = found.credential(&proof.signature).ok_or(Refusal::SignatureMalformed)?;
        let url = self.signed_url(message.url);
        if proof.signs_url() && !url::is_absolute(url) {
            return Err(Refusal::UrlNotAbsolute);
        }
        let judged = jwt::judge(proof, sent, message, url, live, now)?;
        let binds = Binds { url: judged.binds.url && url == message.url, ..judged.binds };
        Ok(Judged { binds, ..judged })
    }
}

/// A credential covers nothing of the request.
fn judge_credential<'m, 'k>(
    proof: &Proof,
    found: &Found<'_>,
    mut live: impl Iterator<Item = Live<'k>>,
) -> Result<Judged<'m>, Refusal> {
    let sent = found.credential(&proof.signature).ok_or(Refusal::CredentialMalformed)?;
    let (key_version, _) = live.find(|(_, material)| material.is_token(sent)).ok_or(Refusal::CredentialMismatch)?;
    Ok(Judged { key_version, id: None, event_type: None, timestamp: None, binds: Binds::default() })
}

/// The version of the first key under which one of the signatures is right.
fn matching_key<'k>(
    proof: &Proof,
    found: &Found<'_>,
    content: Content<'_>,
    live: impl Iterator<Item = Live<'k>>,
) -> Result<u32, Refusal> {
    if proof.prehash.is_some() {
        let digest = Sha256::digest(content.to_vec());
        return accepting(proof, found, &[Content::of_body(&Template::body(), &digest)], live);
    }
    let any_port = proof.content.has_url_any_port();
    let other_url = any_port.then(|| url::with_default_port_toggled(content.url)).flatten();
    match other_url.as_deref() {
        Some(url) => accepting(proof, found, &[content, Content { url, ..content }], live),
        None => accepting(proof, found, &[content], live),
    }
}

/// The version of the first key under which one of the signatures is that of one of the contents.
fn accepting<'k>(
    proof: &Proof,
    found: &Found<'_>,
    contents: &[Content<'_>],
    live: impl Iterator<Item = Live<'k>>,
) -> Result<u32, Refusal> {
    for (version, material) in live {
        for content in contents {
            match material.accepts(content, proof, found) {
                Some(true) => return Ok(version),
                Some(false) => {}
                None => return Err(Refusal::SignatureMalformed),
            }
        }
    }
    Err(Refusal::SignatureMismatch)
}

/// The refusal for what is wrong with a value that is signed beside the body, the time and the id.
pub(crate) fn part_refusal(fault: Fault) -> Refusal {
    match fault {
        Fault::Missing => Refusal::PartMissing,
        Fault::Repeated => Refusal::PartRepeated,
        Fault::Malformed => Refusal::PartMalformed,
    }
}

/// The time that is part of the signed bytes for itself, or as one of the headers that are listed, and then has to be listed.
fn signed_time<'a>(
    proof: &'a Proof,
    found: &'a Found<'a>,
    message: &'a Message<'a>,
) -> Result<Option<Stamp<'a>>, Refusal> {
    let Some(spec) = &proof.timestamp else { return Ok(None) };
    let read = || spec.read(message, &proof.signature, found).map(Some);
    match &spec.at {
        _ if proof.content.has_timestamp() => read(),
        Place::Header(name) if proof.content.has_list() => match read()? {
            _ if !proof.content.lists(message, name) => Err(Refusal::PartMissing),
            stamp => Ok(stamp),
        },
        _ => Ok(None),
    }
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
    if !proof.content.has_form() {
        return Ok(None);
    }
    if url::is_form(message.headers.nth("Content-Type", 0), message.body) {
        return url::sorted_form(message.body).map(Some).ok_or(Refusal::TooManyFormFields);
    }
    // Without a digest nothing would bind such a body.
    if proof.body_sha256.is_some() || message.body.is_empty() { Ok(None) } else { Err(Refusal::PartMissing) }
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

/// The first filled place, and what stands there.
fn first<'m, 'p>(
    places: &'p [Place],
    message: &Message<'m>,
) -> Result<(Option<Cow<'m, str>>, Option<&'p Place>), Fault> {
    for place in places {
        if let Some(text) = place.read(message)? {
            return Ok((Some(text), Some(place)));
        }
    }
    Ok((None, None))
}
