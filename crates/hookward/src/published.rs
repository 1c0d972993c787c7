//! Owns published keys: where a provider keeps the public keys of its signatures, which of them a request names, and reading what is
//! found there. Fetches nothing, and judges no certificate: that is whoever fetches.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::jwt;
use crate::key::Key;
use crate::message::Message;
use crate::place::{Fault, Place};
use crate::proof::{Prefix, Proof};
use crate::refusal::Refusal;
use crate::scheme::Scheme;
use crate::secret::Secret;

/// The version of every published key: none of a keyring.
pub const PUBLISHED: u32 = 0;

/// The longest URL that a request may name, in bytes.
pub const MAX_NAMED_URL: usize = 2048;

/// The most keys of a set that are looked at.
pub const MAX_PUBLISHED_KEYS: usize = 64;

/// The longest id of a key, in bytes.
const MAX_ID: usize = 256;

/// Around a certificate in PEM.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// Where a provider publishes its keys, as data. A checked `RawPublished`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawPublished")]
pub(crate) struct Published {
    format: KeyFormat,
    url: Vec<UrlPattern>,
    at: Option<Place>,
    id: Option<Place>,
    names: Vec<String>,
    issuers: Vec<UrlPattern>,
}

/// The `[keys]` table: where the provider publishes the public keys that requests are proven with. The gateway fetches them for a source
/// that has no secret of its own; whoever uses the library supplies them.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPublished {
    /// What is found there.
    format: KeyFormat,
    /// The one URL; or, with `at`, all that a request may name.
    url: Vec<UrlPattern>,
    /// Where a request names the URL of its key, for `certificate`.
    at: Option<Place>,
    /// Where a request names the id of its key, for `jwks`; the `kid` in its token's header where nothing is said. Where a request names
    /// none, every key of the set is tried.
    id: Option<Place>,
    /// What a certificate must be for, one of these: the name of a host, in which `*` is what the first `*` in `url` stands for.
    #[serde(default)]
    names: Vec<String>,
    /// Where the certificate of the one who issued a certificate may be fetched, where it does not come along. These may begin with
    /// `http://`, because certificates are judged by their signatures.
    #[serde(default)]
    issuers: Vec<UrlPattern>,
}

/// What is found at the URL of a published key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeyFormat {
    /// A certificate in PEM, and perhaps those that it is issued by.
    Certificate,
    /// A set of JSON Web Keys.
    Jwks,
}

/// A URL in which `*` stands for letters, digits, `-` and `_`, and `?*` at its end for any query. It may name parameters, as `{const:NAME}`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct UrlPattern(Prefix);

impl TryFrom<String> for UrlPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let named = rest.and_then(|rest| rest.split_once('/')).filter(|(host, _)| !host.is_empty());
        let plain =
            text.len() <= MAX_NAMED_URL && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#@\\".contains(&byte));
        if named.is_none() || !plain {
            return Err(format!("`{}` is no URL with a host and a path", text.escape_debug()));
        }
        // So a URL fits in one way only, and that is found without a search.
        let starred = text.strip_suffix("?*").unwrap_or(&text);
        if starred
            .split('*')
            .skip(1)
            .any(|after| after.bytes().next().is_some_and(|byte| is_filler(byte) || byte == b'*'))
            || starred.contains("**")
        {
            return Err(format!("a `*` in `{text}` must be followed by a sign that it cannot stand for"));
        }
        Ok(Self(text.into()))
    }
}

/// What a `*` stands for.
fn is_filler(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl UrlPattern {
    fn text(&self) -> &str {
        self.0.as_str()
    }

    fn is_one_url(&self) -> bool {
        !self.text().contains('*')
    }

    pub(crate) fn is_over_tls(&self) -> bool {
        self.text().starts_with("https://")
    }

    fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.parameters()
    }

    pub(crate) fn fill(&mut self, values: &BTreeMap<String, String>) {
        self.0.fill(values);
    }

    /// What each `*` stands for in `url`, if it fits.
    pub(crate) fn matches<'u>(&self, url: &'u str) -> Option<Vec<&'u str>> {
        if url.len() > MAX_NAMED_URL || !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return None;
        }
        let (pattern, any_query) = match self.text().strip_suffix("?*") {
            Some(pattern) => (pattern, true),
            None => (self.text(), false),
        };
        let mut literals = pattern.split('*');
        let mut rest = url.strip_prefix(literals.next()?)?;
        let mut found = Vec::new();
        for literal in literals {
            let (filler, after) = rest.split_at(rest.bytes().take_while(|byte| is_filler(*byte)).count());
            if filler.is_empty() {
                return None;
            }
            found.push(filler);
            rest = after.strip_prefix(literal)?;
        }
        let fits = if any_query { rest.starts_with('?') && rest.len() > 1 } else { rest.is_empty() };
        fits.then_some(found)
    }
}

impl TryFrom<RawPublished> for Published {
    type Error = String;

    fn try_from(raw: RawPublished) -> Result<Self, String> {
        let RawPublished { format, url, at, id, names, issuers } = raw;
        let reads =
            |place: &Place| matches!(place, Place::Header(_) | Place::Json(_) | Place::Form(_) | Place::Query(_));
        if !at.iter().chain(&id).all(reads) {
            return Err("`keys.at` and `keys.id` read places of kind header, json, form or query".into());
        }
        if url.is_empty() || !url.iter().all(UrlPattern::is_over_tls) {
            return Err("`keys.url` needs URLs that begin with `https://`".into());
        }
        if at.is_none() && (url.len() > 1 || !url.iter().all(UrlPattern::is_one_url)) {
            return Err("without `keys.at`, `keys.url` is one URL without a `*`".into());
        }
        match format {
            KeyFormat::Certificate if names.is_empty() => Err("a certificate needs `keys.names`".into()),
            KeyFormat::Certificate if id.is_some() => Err("`keys.id` is for a set of keys".into()),
            KeyFormat::Jwks if at.is_some() || !names.is_empty() || !issuers.is_empty() => {
                Err("`keys.at`, `keys.names` and `keys.issuers` are for a certificate".into())
            }
            _ => Ok(Self { format, url, at, id, names, issuers }),
        }
    }
}

impl Published {
    /// The parameters that its URLs name.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.url.iter().chain(&self.issuers).flat_map(UrlPattern::parameters)
    }

    /// Where a request names its key.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Place> {
        self.at.iter().chain(&self.id)
    }

    pub(crate) fn fill(&mut self, values: &BTreeMap<String, String>) {
        self.url.iter_mut().chain(&mut self.issuers).for_each(|pattern| pattern.fill(values));
    }

    /// The URL of the request's key, and what the first `*` stands for in it.
    fn url_of(&self, message: &Message<'_>) -> Result<(String, Option<String>), Refusal> {
        let Some(place) = &self.at else {
            let only = self.url.first().map(UrlPattern::text).unwrap_or_default();
            return Ok((only.to_owned(), None));
        };
        let named = match place.sent(message) {
            Ok(Some(named)) if !named.is_empty() => named,
            Ok(_) => return Err(Refusal::UrlMissing),
            Err(_) => return Err(Refusal::UrlRefused),
        };
        allowed(&self.url, &named)
    }
}

/// The URL that a request names, where one of the patterns allows it, and what the first `*` stands for in it.
pub(crate) fn allowed(patterns: &[UrlPattern], named: &[u8]) -> Result<(String, Option<String>), Refusal> {
    let named = std::str::from_utf8(named).map_err(|_| Refusal::UrlRefused)?;
    let found = patterns.iter().find_map(|pattern| pattern.matches(named)).ok_or(Refusal::UrlRefused)?;
    Ok((named.to_owned(), found.first().map(|filler| (*filler).to_owned())))
}

/// A key that a request says it can be proven with. Its URL is one that the scheme allows; nothing else of it is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedKey {
    /// Where it is: `https`, at a place that is the provider's.
    pub url: String,
    /// Which of the keys there; `None` where all of them are tried.
    pub id: Option<String>,
    /// What is found there.
    pub format: KeyFormat,
    /// The names of hosts, for one of which a certificate must be issued.
    pub names: Vec<String>,
}

/// The keys that were found at a URL.
#[derive(Clone, Debug)]
pub struct KeySet {
    ids: Vec<Option<String>>,
    keys: Vec<Key>,
    texts: Vec<Secret>,
}

/// What was found at the URL of a key is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is not what the scheme says that is there.
    #[error("it is neither a certificate in pem nor a set of json web keys, whichever the scheme has")]
    Malformed,
    /// There are keys, and none of them is of the kind that the scheme verifies with.
    #[error("none of the keys there is of the scheme's kind")]
    NoUsableKey,
}

impl Scheme {
    /// Whether its keys are published, and may so be fetched. Not while a parameter of their URL has no value.
    pub fn publishes_keys(&self) -> bool {
        self.published().is_some_and(|published| published.parameters().next().is_none())
    }

    /// Which published key would prove the request; `None` for a scheme that does not say where its keys are.
    ///
    /// # Errors
    ///
    /// For what no key can prove: there is no signature, or its key's URL is not one that the scheme allows.
    pub fn wanted_key(&self, message: &Message<'_>) -> Option<Result<WantedKey, Refusal>> {
        let published = self.published().filter(|_| self.publishes_keys())?;
        Some(self.proof_of(message).and_then(|proof| {
            let (url, filler) = published.url_of(message)?;
            let id = match published.format {
                KeyFormat::Certificate => None,
                KeyFormat::Jwks => published.id_of(proof, message)?,
            };
            let name = |name: &String| match &filler {
                Some(filler) => name.replace('*', filler),
                None => name.clone(),
            };
            Ok(WantedKey { url, id, format: published.format, names: published.names.iter().map(name).collect() })
        }))
    }

    /// Whether the certificate of an issuer may be fetched from there.
    pub fn allows_issuer(&self, url: &str) -> bool {
        self.published().is_some_and(|published| published.issuers.iter().any(|pattern| pattern.matches(url).is_some()))
    }

    /// Reads what was found at the URL of a key. Of a certificate the caller has judged everything but the kind of its key.
    ///
    /// # Errors
    ///
    /// When there is no key in it that this scheme can verify with.
    pub fn key_set(&self, format: KeyFormat, document: &[u8]) -> Result<KeySet, KeySetError> {
        let mut set = KeySet { ids: Vec::new(), keys: Vec::new(), texts: Vec::new() };
        match format {
            KeyFormat::Certificate => {
                // That of the key is the first one.
                let end = document.windows(END.len()).position(|bytes| bytes == END).ok_or(KeySetError::Malformed)?;
                let document = &document[..end + END.len()];
                if !document.trim_ascii_start().starts_with(BEGIN) {
                    return Err(KeySetError::Malformed);
                }
                set.add(self, None, document);
            }
            KeyFormat::Jwks => {
                let jwks: Jwks<'_> = serde_json::from_slice(document).map_err(|_| KeySetError::Malformed)?;
                for raw in jwks.keys.into_iter().take(MAX_PUBLISHED_KEYS) {
                    let Ok(about) = serde_json::from_str::<About>(raw.get()) else { continue };
                    if about.purpose.is_none_or(|purpose| purpose == "sig") {
                        set.add(self, about.kid, raw.get().as_bytes());
                    }
                }
            }
        }
        if set.keys.is_empty() { Err(KeySetError::NoUsableKey) } else { Ok(set) }
    }

    /// The proof by which a request would be judged.
    fn proof_of(&self, message: &Message<'_>) -> Result<&Proof, Refusal> {
        let mut refusal = None;
        for proof in self.proofs() {
            match proof.signature.find(message).map_err(|fault| proof.refusal(fault))? {
                Some(_) if proof.when.are_met(message) => return Ok(proof),
                Some(_) => refusal = Some(Refusal::AlgorithmRefused),
                None => refusal = refusal.or(Some(proof.refusal(Fault::Missing))),
            }
        }
        Err(refusal.unwrap_or(Refusal::NoUsableSecret))
    }
}

impl Published {
    fn id_of(&self, proof: &Proof, message: &Message<'_>) -> Result<Option<String>, Refusal> {
        let id = match &self.id {
            Some(place) => match place.sent(message) {
                Ok(id) => id.and_then(|id| String::from_utf8(id.into_owned()).ok()).filter(|id| !id.is_empty()),
                Err(_) => return Err(Refusal::KeyUnknown),
            },
            None if proof.algorithm.is_token_of_its_own() => {
                let found = proof.signature.find(message).map_err(|fault| proof.refusal(fault))?;
                let sent = found.as_ref().and_then(|found| found.credential(&proof.signature));
                jwt::key_id(sent.ok_or(Refusal::SignatureMalformed)?)?
            }
            None => None,
        };
        match id {
            Some(id) if id.len() > MAX_ID => Err(Refusal::KeyUnknown),
            id => Ok(id),
        }
    }
}

impl KeySet {
    /// The key of this id; all of them where none is named. Empty when there is no such key.
    pub fn named(&self, id: Option<&str>) -> &[Key] {
        &self.keys[self.places(id)]
    }

    /// The same as texts, each of which is what a secret of the scheme would be: for [`explain`](mod@crate::explain).
    pub fn texts(&self, id: Option<&str>) -> &[Secret] {
        &self.texts[self.places(id)]
    }

    fn places(&self, id: Option<&str>) -> Range<usize> {
        let Some(id) = id else { return 0..self.keys.len() };
        let at = self.ids.iter().position(|known| known.as_deref() == Some(id));
        at.map_or(0..0, |at| at..at + 1)
    }

    /// Adds what can be a key of the scheme.
    fn add(&mut self, scheme: &Scheme, id: Option<String>, text: &[u8]) {
        if let Ok(text) = Secret::new(text)
            && let Ok(key) = scheme.key(PUBLISHED, &text)
        {
            self.ids.push(id);
            self.keys.push(key);
            self.texts.push(text);
        }
    }
}

/// A set of JSON Web Keys (RFC 7517, section 5).
#[derive(Deserialize)]
struct Jwks<'d> {
    #[serde(borrow)]
    keys: Vec<&'d RawValue>,
}

/// What tells one key of a set from the others.
#[derive(Deserialize)]
struct About {
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
}
