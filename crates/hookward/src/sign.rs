//! Owns making the headers that prove a request of ours. What is signed and how it is written comes from the same data that
//! verification reads.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::content::{Content, Ingredients};
use crate::encoding::Encoding;
use crate::key::{Key, Material};
use crate::message::{Draft, Message};
use crate::place::Place;
use crate::proof::{Proof, Unit};
use crate::scheme::Scheme;
use crate::signature::Found;
use crate::template::{Source, Template};
use crate::time::{self, UnixTime};
use crate::{json, jwt, url};

/// What to add to a request so that it proves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Headers, in the order in which the provider documents them.
    pub headers: Vec<(String, String)>,
    /// Query parameters to append to the URL; they need no escaping.
    pub query: Vec<(String, String)>,
    /// The body to send instead, for a scheme whose proof stands in it.
    pub body: Option<Vec<u8>>,
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
    /// A value of the body or the URL that is signed is absent there, or cannot be signed.
    #[error("the body or url lacks a value that the scheme signs, or has one that it may not have")]
    BadPart,
    /// The signature stands in the body, and the body is not of the kind in which it could.
    #[error("the scheme signs inside the body, and the body is not json or not a form")]
    BodyCannotCarry,
    /// The scheme has a parameter, and nobody has said its value.
    #[error("the scheme has a parameter whose value nobody has said")]
    ParameterMissing,
    /// A time before 1970 cannot be written.
    #[error("the time of signing lies before 1970")]
    BeforeEpoch,
}

impl Scheme {
    /// Signs the draft. A scheme whose header holds several signatures carries one for each key, newest first; another one carries
    /// that of the first usable key. What a scheme signs beside body, URL, id and time is put into a header of its own, if that is where
    /// it stands, and has to be in the body otherwise.
    pub fn sign(&self, draft: &Draft<'_>, keys: &[Key], now: UnixTime) -> Result<Signed, SignError> {
        if self.lacks_parameters() {
            return Err(SignError::ParameterMissing);
        }
        let mut signed = Signed::default();
        let (mut filled, mut is_of_another_kind) = (Vec::new(), false);
        for (index, proof) in self.proofs().iter().enumerate().filter(|(_, proof)| !proof.verify_only) {
            let usable: Vec<(u32, &Material)> =
                keys.iter().filter_map(|key| Some((key.version(), key.material(self.shared_name(), index)?))).collect();
            if usable.is_empty() {
                continue;
            }
            // Of proofs that exclude one another, or that stand in one place, the first is sent.
            let excluded = !proof.when.0.is_empty() && !signed.signed_by.is_empty();
            if excluded || filled.contains(&&proof.signature.at[0]) {
                continue;
            }
            if !proof.when.could_be_met(signed.body.as_deref().unwrap_or(draft.body)) {
                is_of_another_kind = true;
                continue;
            }
            filled.push(&proof.signature.at[0]);
            let body = signed.body.take();
            let draft = Draft { body: body.as_deref().unwrap_or(draft.body), ..*draft };
            let before = draft.body.to_vec();
            let mut work = Work { proof, draft, url: self.signed_url(draft.url), now, body: before, signed };
            match &proof.items {
                Some(items) => work.add_to_items(items, &usable)?,
                None => work.add_proof(&usable)?,
            }
            let changed = body.is_some() || work.body != draft.body;
            signed = work.signed;
            signed.body = changed.then_some(work.body);
        }
        match signed.signed_by.is_empty() {
            false => Ok(signed),
            true if is_of_another_kind => Err(SignError::BadPart),
            true => Err(SignError::NoUsableSecret),
        }
    }
}

/// One proof on its way into a request.
struct Work<'a> {
    proof: &'a Proof,
    draft: Draft<'a>,
    /// The URL that is signed, without what signing adds.
    url: &'a str,
    now: UnixTime,
    body: Vec<u8>,
    signed: Signed,
}

impl Work<'_> {
    fn add_proof(&mut self, keys: &[(u32, &Material)]) -> Result<(), SignError> {
        let proof = self.proof;
        for (place, is) in proof.when.0.iter().filter(|(_, is)| is != "*") {
            self.put(place, is)?;
        }
        self.add_id()?;
        if proof.algorithm.is_credential() {
            let token = keys.iter().find_map(|(version, material)| Some((*version, material.token()?)));
            let (version, token) = token.ok_or(SignError::NoUsableSecret)?;
            self.signed.signed_by.push(version);
            self.put(&proof.signature.at[0], &format!("{}{token}", proof.signature.prefix.as_str()))?;
            return self.add_event_type();
        }
        let timestamp = timestamp(proof, self.now)?;
        match proof.timestamp.as_ref().map(|spec| &spec.at) {
            // A time that is counted is a number in JSON, as those who send it there write it.
            Some(Place::Json(pointer)) => {
                let value = timestamp.parse::<u64>().map_or_else(|_| Value::from(timestamp.as_str()), Value::from);
                self.put_json(pointer, value)?;
            }
            Some(place) => self.put(place, &timestamp)?,
            None => {}
        }
        self.add_event_type()?;
        self.add_values()?;
        // A signature is put into a body that is written anew: what is signed is how it stands there.
        if let Place::Json(pointer) = &proof.signature.at[0] {
            self.put_json(pointer, "".into())?;
        }
        let tags = self.tags(keys, &timestamp)?;
        if tags.is_empty() {
            return Err(SignError::OnlyPublicKeys);
        }
        let mut entries: Vec<String> = match proof.timestamp.as_ref().map(|spec| &spec.at) {
            // By its number it stands alone.
            Some(Place::Signature(name)) if name.starts_with('#') => vec![timestamp],
            Some(Place::Signature(name)) => vec![format!("{name}{}{timestamp}", char::from(proof.signature.assign.0))],
            _ => Vec::new(),
        };
        entries.extend(self.entries());
        for (version, tag) in tags {
            self.signed.signed_by.push(version);
            entries.push(format!("{}{tag}", proof.signature.prefix.as_str()));
        }
        let separator =
            proof.signature.separator.map_or(String::new(), |separator| char::from(separator.0).to_string());
        self.put(&proof.signature.at[0], &entries.join(&separator))
    }

    /// Each element of the array gets a signature of its own.
    fn add_to_items(&mut self, items: &[String], keys: &[(u32, &Material)]) -> Result<(), SignError> {
        let mut whole: Value = serde_json::from_slice(&self.body).map_err(|_| SignError::BodyCannotCarry)?;
        let pointer: String = items.iter().map(|token| format!("/{token}")).collect();
        let array = whole.pointer_mut(&pointer).and_then(Value::as_array_mut).ok_or(SignError::BodyCannotCarry)?;
        if array.is_empty() {
            return Err(SignError::BadPart);
        }
        for item in array {
            self.body = item.to_string().into_bytes();
            let before = std::mem::take(&mut self.signed.signed_by);
            self.add_proof(keys)?;
            self.signed.signed_by.splice(..0, before);
            self.signed.signed_by.dedup();
            *item = serde_json::from_slice(&self.body).map_err(|_| SignError::BodyCannotCarry)?;
        }
        self.body = whole.to_string().into_bytes();
        Ok(())
    }

    /// The signatures of the keys that can sign, as they are written; one alone where there is no list.
    fn tags(&mut self, keys: &[(u32, &Material)], timestamp: &str) -> Result<Vec<(u32, String)>, SignError> {
        let proof = self.proof;
        let (url, form) = self.signed_url()?;
        let body = std::mem::take(&mut self.body);
        let headers = std::mem::take(&mut self.signed.headers);
        let method = self.draft.method;
        let message = Message { method, url: &url, headers: &headers, body: &body };
        let list =
            self.entries().join(&proof.signature.separator.map_or(String::new(), |by| char::from(by.0).to_string()));
        let found = Found::Text(list.as_bytes().into());
        let list = Some((&proof.signature, &found));
        let from = Ingredients { message: &message, url: &url, timestamp, id: self.draft.id, list };
        let tags = self.tags_of(keys, &from, &form);
        self.body = body;
        self.signed.headers = headers;
        tags
    }

    fn tags_of(
        &self,
        keys: &[(u32, &Material)],
        from: &Ingredients<'_>,
        form: &[u8],
    ) -> Result<Vec<(u32, String)>, SignError> {
        let proof = self.proof;
        let most = if proof.signature.separator.is_some() { usize::MAX } else { 1 };
        if proof.algorithm.is_token_of_its_own() {
            let tokens = keys.iter().filter_map(|(version, material)| {
                let token = jwt::sign(proof, &self.draft, from, material, self.now).transpose()?;
                Some(token.map(|token| (*version, token)).map_err(|_| SignError::BadPart))
            });
            return tokens.take(most).collect();
        }
        let Message { method, body, .. } = *from.message;
        let made = proof.content.make(from).map_err(|_| SignError::BadPart)?;
        let Ingredients { url, timestamp, id, .. } = *from;
        let content =
            Content { template: &proof.content, body, timestamp, id, method, url, form, made: &made, secret: &[] };
        let digest = proof.prehash.map(|_| Sha256::digest(content.to_vec()));
        let whole = Template::body();
        let content = digest.as_ref().map_or(content, |digest| Content::of_body(&whole, digest));
        let able = keys.iter().filter_map(|(version, material)| Some((*version, material.sign(&content)?)));
        Ok(able.take(most).map(|(version, tag)| (version, proof.signature.encodings[0].encode(&tag))).collect())
    }

    /// The entries beside the signature that are signed and are not the time: each carries the id.
    fn entries(&self) -> Vec<String> {
        let time = self.proof.timestamp.as_ref().map(|spec| &spec.at);
        let entries = self.proof.content.values().filter_map(|(_, source)| match source {
            Source::Place(place @ Place::Signature(name)) if Some(place) != time => Some(name),
            _ => None,
        });
        entries.map(|name| format!("{name}{}{}", char::from(self.proof.signature.assign.0), self.filler())).collect()
    }

    /// What stands in a place for which the draft has nothing.
    fn filler(&self) -> &str {
        if self.draft.id.is_empty() { "1" } else { self.draft.id }
    }

    /// Headers that are signed and that nothing else has filled.
    fn add_values(&mut self) -> Result<(), SignError> {
        let proof = self.proof;
        let values: Vec<&Place> = proof
            .templates()
            .flat_map(Template::values)
            .filter_map(|(_, source)| match source {
                Source::Place(place @ (Place::Header(_) | Place::Entry(..))) => Some(place),
                _ => None,
            })
            .collect();
        let filler = self.filler().to_owned();
        if !values.is_empty() && !is_printable(&filler) {
            return Err(SignError::BadId);
        }
        values.into_iter().try_for_each(|place| self.put(place, &filler))?;
        self.add_lists()
    }

    /// Headers that list what is signed of the others: themselves, and the time.
    fn add_lists(&mut self) -> Result<(), SignError> {
        let time = self.proof.timestamp.as_ref().and_then(|spec| spec.at.header());
        let lists = self.proof.content.values().filter_map(|(_, source)| match source {
            Source::Listed(list) => Some(list),
            _ => None,
        });
        for list in lists {
            let mut names: Vec<String> = time.into_iter().chain([list.as_str()]).map(str::to_ascii_lowercase).collect();
            names.sort();
            self.put(&Place::Header(list.clone()), &names.join(","))?;
        }
        Ok(())
    }

    /// Writes a text into its place. What a header has already stays.
    fn put(&mut self, place: &Place, text: &str) -> Result<(), SignError> {
        match place {
            Place::Query(name) => self.signed.query.push((name.clone(), url::encoded(text.as_bytes()))),
            Place::Authorization(scheme) => set(&mut self.signed.headers, "Authorization", format!("{scheme} {text}")),
            Place::Json(pointer) => self.put_json(pointer, text.into())?,
            Place::Form(name) => match url::is_form(None, &self.body) {
                true => self.body = url::with_field(&self.body, name, text),
                false => return Err(SignError::BodyCannotCarry),
            },
            Place::Body => self.body = text.as_bytes().to_vec(),
            Place::Entry(header, name) => add_entry(&mut self.signed.headers, header, name, text),
            Place::Base64Json(header, member) => {
                let object = serde_json::json!({ member: text }).to_string();
                set(&mut self.signed.headers, header, Encoding::Base64.encode(object.as_bytes()));
            }
            Place::Signature(_) | Place::Claim(_) => {}
            place => set(&mut self.signed.headers, place.header().unwrap_or_default(), text.to_owned()),
        }
        Ok(())
    }

    fn put_json(&mut self, pointer: &[String], value: Value) -> Result<(), SignError> {
        self.body = json::with(&self.body, pointer, value).ok_or(SignError::BodyCannotCarry)?;
        Ok(())
    }

    fn add_id(&mut self) -> Result<(), SignError> {
        let (proof, id) = (self.proof, self.draft.id);
        let bound = proof.content.has_id();
        if bound && (id.is_empty() || !proof.content.admits_id(id)) {
            return Err(SignError::BadId);
        }
        match proof.id.first() {
            Some(Place::Header(_)) if !is_printable(id) => Err(SignError::BadId),
            Some(place @ Place::Header(_)) if !id.is_empty() => self.put(place, id),
            // A value of the body that is signed for itself, and that the body has not; otherwise the body is the sender's.
            Some(place @ (Place::Json(_) | Place::Form(_))) if proof.content.has_place(place) && !id.is_empty() => {
                let sent = Message { method: "", url: "", headers: &self.signed.headers, body: &self.body };
                let is_there = !matches!(place.sent(&sent), Ok(None));
                if is_there { Ok(()) } else { self.put(place, id) }
            }
            _ => Ok(()),
        }
    }

    fn add_event_type(&mut self) -> Result<(), SignError> {
        match self.proof.event_type.first() {
            Some(Place::Header(_)) if !is_printable(self.draft.event_type) => Err(SignError::BadEventType),
            Some(place @ Place::Header(_)) if !self.draft.event_type.is_empty() => {
                self.put(place, self.draft.event_type)
            }
            _ => Ok(()),
        }
    }

    /// The URL that is signed and the sorted form. A body that is not a form gets its digest into the query.
    fn signed_url(&mut self) -> Result<(String, Vec<u8>), SignError> {
        let proof = self.proof;
        if proof.signs_url() && !url::is_absolute(self.url) {
            return Err(SignError::UrlNotAbsolute);
        }
        let mut form = Vec::new();
        if proof.content.has_form() && url::is_form(None, &self.body) {
            form = url::sorted_form(&self.body).ok_or(SignError::TooManyFormFields)?;
        } else if let Some(name) = &proof.body_sha256 {
            let digest = Encoding::Hex.encode(&Sha256::digest(&self.body));
            self.signed.query.push((name.clone(), digest));
        } else if proof.content.has_form() {
            return Err(SignError::BodyCannotCarry);
        }
        let added = self.signed.query.iter();
        let url = added.fold(self.url.to_owned(), |url, (name, value)| url::with_query(&url, name, value));
        Ok((url, form))
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

/// Adds an entry to a header of several; a number needs no quotes.
fn add_entry(headers: &mut Vec<(String, String)>, header: &str, name: &str, text: &str) {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let entry = if is_number { format!("{name}={text}") } else { format!("{name}=\"{text}\"") };
    match headers.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(header)) {
        Some((_, value)) => *value = format!("{value};{entry}"),
        None => headers.push((header.to_owned(), entry)),
    }
}

fn timestamp(proof: &Proof, now: UnixTime) -> Result<String, SignError> {
    let Some(spec) = &proof.timestamp else { return Ok(String::new()) };
    if now.as_millis() < 0 {
        return Err(SignError::BeforeEpoch);
    }
    Ok(match spec.unit {
        Unit::S | Unit::SOrMs => now.as_secs().to_string(),
        Unit::Ms => now.as_millis().to_string(),
        Unit::Rfc3339 | Unit::Iso8601 => time::to_rfc3339(now),
        Unit::HttpDate => time::to_http_date(now),
    })
}
