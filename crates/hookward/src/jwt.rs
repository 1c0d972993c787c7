//! Owns JSON Web Tokens as proofs: taking one apart, the algorithms that its header may name, and what its claims must say of a
//! request. Finds no token, and has no opinion of its own about algorithms.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::content::{Content, Ingredients};
use crate::encoding::Encoding;
use crate::json;
use crate::key::Material;
use crate::message::{Draft, Message};
use crate::place::{self, Place};
use crate::proof::{Algorithm, Proof};
use crate::refusal::Refusal;
use crate::template::Template;
use crate::time::UnixTime;
use crate::verify::{Binds, Judged, Live, part_refusal};

/// The longest token, in bytes. Nothing longer is decoded.
pub const MAX_JWT: usize = 64 * 1024;

/// How many seconds a token's `exp`, `nbf` and `iat` may be off: clocks differ.
const LEEWAY_S: i64 = 60;

/// How long a token that is made here is good for, in seconds.
const LIFE_S: i64 = 300;

/// A token taken apart, of which nothing is believed.
struct Parts<'t> {
    /// The name that its header has for the algorithm.
    alg: String,
    header: &'t str,
    claims: &'t str,
    tag: Vec<u8>,
}

impl<'t> Parts<'t> {
    fn read(sent: &'t [u8]) -> Option<Self> {
        if sent.len() > MAX_JWT {
            return None;
        }
        let mut parts = std::str::from_utf8(sent).ok()?.split('.');
        let (header, claims, tag) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        // A member that is no text would look absent.
        let decoded = String::from_utf8(decode(header)?).ok()?;
        let member = |name: &str| json::unique(decoded.as_bytes(), &[name.to_owned()]);
        let alg = json::text(member("alg").ok()??)?.into_owned();
        // What must be understood is not: neither an unencoded payload nor anything else.
        let is_plain = matches!(member("crit"), Ok(None)) && matches!(member("b64"), Ok(None));
        is_plain.then_some(Self { alg, header, claims, tag: decode(tag)? })
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    Encoding::Base64urlUnpadded.decode_text(part.as_bytes())
}

fn encode(bytes: &[u8]) -> String {
    Encoding::Base64urlUnpadded.encode(bytes)
}

/// The id of its key that a token names. Nothing of it is believed.
pub(crate) fn key_id(sent: &[u8]) -> Result<Option<String>, Refusal> {
    let header = Parts::read(sent).and_then(|parts| decode(parts.header)).ok_or(Refusal::SignatureMalformed)?;
    let kid = json::unique(&header, &["kid".to_owned()]).map_err(|_| Refusal::SignatureMalformed)?;
    Ok(kid.and_then(json::text).map(Cow::into_owned))
}

/// Judges the token `sent`: its algorithm, its signature, then what its claims say.
pub(crate) fn judge<'k>(
    proof: &Proof,
    sent: &[u8],
    message: &Message<'_>,
    url: &str,
    live: impl Iterator<Item = Live<'k>>,
    now: UnixTime,
) -> Result<Judged<'static>, Refusal> {
    let parts = Parts::read(sent).ok_or(Refusal::SignatureMalformed)?;
    let from = |timestamp| Ingredients { message, url, timestamp, id: "", list: None };
    if proof.algorithm == Algorithm::Jws {
        return judge_detached(proof, &parts, message, from(""), live, now);
    }
    let signed = format!("{}.{}", parts.header, parts.claims);
    let key_version = matching_key(&parts, signed.as_bytes(), live)?;
    let claims = decode(parts.claims).ok_or(Refusal::SignatureMalformed)?;
    for (name, template) in &proof.claims {
        check_claim(name, template, &claims, &from(""))?;
    }
    let expires = check_times(proof, &claims, now)?;
    let mut timestamp = None;
    if let Some(spec) = &proof.timestamp
        && let Place::Claim(name) = &spec.at
    {
        let text = claim(&claims, name)?.map(|text| Cow::Owned(text.into_bytes()));
        let stamp = spec.understand(Ok(text))?;
        spec.check(stamp.time, now)?;
        timestamp = Some(stamp.time);
    }
    let judged = proof.timestamp.as_ref().is_some_and(|spec| spec.tolerance_s.is_some());
    let covers = |covers: fn(&Template) -> bool| proof.claims.iter().any(|(_, template)| covers(template));
    let body = proof.signature.at.contains(&Place::Body) || covers(Template::covers_body);
    let named = |places: &[Place]| {
        let texts = places.iter().filter_map(|place| match place {
            Place::Claim(name) => claim(&claims, name).transpose(),
            _ => None,
        });
        texts.filter_map(Result::ok).find(|text| place::is_plain(text)).map(Cow::Owned)
    };
    let id = named(&proof.id);
    let binds = Binds {
        body,
        time: judged || expires,
        url: covers(Template::covers_url),
        id: id.is_some(),
        part_of_body: !body && covers(Template::touches_body),
        unique: false,
    };
    Ok(Judged { key_version, id, event_type: named(&proof.event_type), timestamp, binds })
}

/// A token without its payload: that is the content.
fn judge_detached<'k>(
    proof: &Proof,
    parts: &Parts<'_>,
    message: &Message<'_>,
    from: Ingredients<'_>,
    live: impl Iterator<Item = Live<'k>>,
    now: UnixTime,
) -> Result<Judged<'static>, Refusal> {
    if !parts.claims.is_empty() {
        return Err(Refusal::SignatureMalformed);
    }
    let text = match &proof.timestamp {
        Some(spec) => Some(spec.understand(match &spec.at {
            Place::Header(name) => place::header_bytes(message, name).map(|found| found.map(Cow::Borrowed)),
            place => place.sent(message),
        })?),
        None => None,
    };
    let timestamp = text.as_ref().map_or("", |stamp| &stamp.text);
    let content = write(&proof.content, &Ingredients { timestamp, ..from }).map_err(part_refusal)?;
    let signed = format!("{}.{}", parts.header, encode(&content));
    let key_version = matching_key(parts, signed.as_bytes(), live)?;
    if let (Some(spec), Some(stamp)) = (&proof.timestamp, &text) {
        spec.check(stamp.time, now)?;
    }
    let binds = Binds {
        body: proof.content.covers_body(),
        time: proof.timestamp.as_ref().is_some_and(|spec| spec.tolerance_s.is_some()),
        url: proof.content.covers_url(),
        id: false,
        part_of_body: !proof.content.covers_body() && proof.content.touches_body(),
        unique: false,
    };
    let timestamp = text.map(|stamp| stamp.time);
    Ok(Judged { key_version, id: None, event_type: None, timestamp, binds })
}

fn matching_key<'k>(parts: &Parts<'_>, signed: &[u8], live: impl Iterator<Item = Live<'k>>) -> Result<u32, Refusal> {
    let mut refusal = Refusal::AlgorithmRefused;
    for (version, material) in live {
        if let Some((_, key)) = material.for_alg(&parts.alg) {
            if key.verifies(signed, &parts.tag) {
                return Ok(version);
            }
            refusal = Refusal::SignatureMismatch;
        }
    }
    Err(refusal)
}

/// A template written out.
fn write(template: &Template, from: &Ingredients<'_>) -> Result<Vec<u8>, place::Fault> {
    let made = template.make(from)?;
    let Message { method, body, .. } = *from.message;
    let content = Content {
        template,
        body,
        timestamp: from.timestamp,
        id: from.id,
        method,
        url: from.url,
        form: &[],
        made: &made,
        secret: &[],
    };
    Ok(content.to_vec())
}

/// A claim that is a string, number or boolean, as text.
fn claim(claims: &[u8], name: &str) -> Result<Option<String>, Refusal> {
    let raw = json::unique(claims, &[name.to_owned()]).map_err(|_| Refusal::ClaimMismatch)?;
    Ok(raw.and_then(json::text).map(Cow::into_owned))
}

fn check_claim(name: &str, template: &Template, claims: &[u8], from: &Ingredients<'_>) -> Result<(), Refusal> {
    let of_body = template.touches_body();
    let raw = json::unique(claims, &[name.to_owned()]).map_err(|_| Refusal::ClaimMismatch)?;
    let Some(raw) = raw else {
        return match of_body {
            true if from.message.body.is_empty() => Ok(()),
            true => Err(Refusal::BodyDigestMissing),
            false => Err(Refusal::ClaimMissing),
        };
    };
    let expected = write(template, from).map_err(part_refusal)?;
    let is = |raw: &str| json::text(raw).is_some_and(|text| text.as_bytes() == expected);
    let fits = match serde_json::from_str::<Vec<&serde_json::value::RawValue>>(raw) {
        Ok(several) => several.iter().any(|raw| is(raw.get())),
        Err(_) => is(raw),
    };
    match fits {
        true => Ok(()),
        false if of_body => Err(Refusal::BodyDigestMismatch),
        false if template.covers_url() => Err(Refusal::UrlDigestMismatch),
        false => Err(Refusal::ClaimMismatch),
    }
}

/// Whether the token ends, after `exp`, `nbf` and `iat` were judged where they are. A claim that the scheme judges itself is left to it.
fn check_times(proof: &Proof, claims: &[u8], now: UnixTime) -> Result<bool, Refusal> {
    let moment = |name: &str| {
        match claim(claims, name)? {
            // A fraction of a second does not count.
            Some(text) => text.split('.').next().and_then(|whole| whole.parse::<i64>().ok()).map(Some),
            None => Some(None),
        }
        .ok_or(Refusal::TimestampMalformed)
    };
    let now_s = now.as_secs();
    let own = |name: &str| proof.timestamp.as_ref().is_some_and(|spec| spec.at == Place::Claim(name.to_owned()));
    for name in ["nbf", "iat"] {
        let Some(begin) = moment(name)?.filter(|_| !own(name)) else { continue };
        let ahead_s = begin.saturating_sub(now_s);
        if ahead_s > LEEWAY_S {
            return Err(Refusal::TimestampTooNew { ahead_s: ahead_s.unsigned_abs() });
        }
    }
    let Some(end) = moment("exp")? else { return Ok(false) };
    let age_s = now_s.saturating_sub(end);
    if age_s >= LEEWAY_S { Err(Refusal::TimestampTooOld { age_s: age_s.unsigned_abs() }) } else { Ok(true) }
}

/// The token that proves the draft, whose request is `message`; `None` where the key cannot sign.
pub(crate) fn sign(
    proof: &Proof,
    draft: &Draft<'_>,
    from: &Ingredients<'_>,
    material: &Material,
    now: UnixTime,
) -> Result<Option<String>, place::Fault> {
    let Some((alg, key)) = material.first_alg() else { return Ok(None) };
    let header = encode(json!({ "alg": alg.name(), "typ": "JWT" }).to_string().as_bytes());
    let is_detached = proof.algorithm == Algorithm::Jws;
    let payload = match is_detached {
        true => write(&proof.content, from)?,
        false => Value::Object(claims(proof, draft, from, now)?).to_string().into_bytes(),
    };
    let payload = encode(&payload);
    let signed = format!("{header}.{payload}");
    let tag = key.sign(&Content::of_body(&Template::body(), signed.as_bytes()));
    let shown = if is_detached { "" } else { &payload };
    Ok(tag.map(|tag| format!("{header}.{shown}.{}", encode(&tag))))
}

fn claims(
    proof: &Proof,
    draft: &Draft<'_>,
    from: &Ingredients<'_>,
    now: UnixTime,
) -> Result<Map<String, Value>, place::Fault> {
    let mut claims = Map::new();
    claims.insert("iat".into(), now.as_secs().into());
    claims.insert("exp".into(), now.as_secs().saturating_add(LIFE_S).into());
    for (places, text) in [(&proof.id, draft.id), (&proof.event_type, draft.event_type)] {
        if let Some(Place::Claim(name)) = places.first()
            && !text.is_empty()
        {
            claims.insert(name.clone(), text.into());
        }
    }
    for (name, template) in &proof.claims {
        if !(template.touches_body() && from.message.body.is_empty()) {
            let text = String::from_utf8(write(template, from)?).map_err(|_| place::Fault::Malformed)?;
            claims.insert(name.clone(), text.into());
        }
    }
    if proof.signature.at.contains(&Place::Body) {
        claims.insert("data".into(), String::from_utf8_lossy(draft.body).into());
    }
    Ok(claims)
}
