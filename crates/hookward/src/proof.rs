//! Owns the scheme language: what a scheme file may say about one way of proving a request, and which combinations make sense.
//! Does nothing with a request.

use serde::Deserialize;

use crate::encoding::Encoding;
use crate::place::{Fault, Place};
use crate::refusal::Refusal;
use crate::template::{Part, Template};

/// One way to prove a request: an algorithm, where its parts stand, and what is signed. A checked `RawProof`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawProof")]
pub(crate) struct Proof {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: KeySpec,
    pub(crate) signature: SignatureSpec,
    pub(crate) content: Template,
    pub(crate) timestamp: Option<TimestampSpec>,
    pub(crate) id: Vec<Place>,
    pub(crate) event_type: Vec<Place>,
    pub(crate) body_sha256: Option<String>,
    pub(crate) verify_only: bool,
}

/// A `[[proof]]` table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProof {
    algorithm: Algorithm,
    #[serde(default)]
    key: KeySpec,
    signature: SignatureSpec,
    /// The signed bytes; empty for `token` and `basic`.
    #[serde(default)]
    content: Template,
    timestamp: Option<TimestampSpec>,
    /// Where the delivery's id may stand, in order.
    #[serde(default)]
    id: Vec<Place>,
    /// Where the event's type may stand, in order.
    #[serde(default)]
    event_type: Vec<Place>,
    /// The query parameter with the SHA-256 of a body that is not a form, in hex: such a body is bound through the signed URL.
    body_sha256: Option<Place>,
    /// Accepted, but never sent: a provider's older or second spelling.
    #[serde(default)]
    verify_only: bool,
}

/// How the proof is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Algorithm {
    HmacSha1,
    HmacSha256,
    HmacSha512,
    Ed25519,
    /// The secret itself.
    Token,
    /// The secret itself, `user:password` in base64.
    Basic,
}

/// How the text of a secret becomes a key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySpec {
    /// Absent: the bytes of the text. Otherwise the text is decoded.
    pub(crate) encoding: Option<Encoding>,
    /// Must be there, and is taken off before decoding.
    pub(crate) prefix: Option<String>,
    /// May be there, and is then taken off before decoding.
    pub(crate) optional_prefix: Option<String>,
    /// May not be there: such a secret is of another kind.
    pub(crate) refused_prefix: Option<String>,
    /// Marks a private key, where `prefix` marks a public one.
    pub(crate) private_prefix: Option<String>,
    /// A new secret has at least this many bytes of key. Shorter ones that are in use already go on working.
    pub(crate) least_bytes: Option<usize>,
    /// The provider's own format, for making a new secret.
    pub(crate) generate: Option<GenerateSpec>,
}

/// What a new secret looks like.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateSpec {
    #[serde(default)]
    pub(crate) prefix: String,
    /// How many random bytes.
    pub(crate) bytes: usize,
    pub(crate) encoding: Encoding,
}

/// Where the signature stands and how it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignatureSpec {
    /// The places, of which exactly one may be filled; the first is the one that is sent.
    pub(crate) at: Vec<Place>,
    /// What stands before each signature: `sha256=`, or `v1=` in a list of `key=value` entries.
    #[serde(default)]
    pub(crate) prefix: String,
    /// Between the entries of a list; without one the whole value is a single entry.
    pub(crate) separator: Option<Separator>,
    /// The spellings accepted; the first is sent.
    #[serde(default)]
    pub(crate) encodings: Vec<Encoding>,
    /// Whether the header may occur several times, each with its signatures.
    #[serde(default)]
    pub(crate) repeats: bool,
}

/// One ASCII character.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Separator(pub(crate) u8);

impl TryFrom<String> for Separator {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_bytes() {
            [byte] if byte.is_ascii() => Ok(Self(*byte)),
            _ => Err(format!("the separator must be one ascii character, not `{text}`")),
        }
    }
}

/// Where the signed timestamp stands and how far from now it may be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TimestampSpec {
    pub(crate) at: Place,
    pub(crate) unit: Unit,
    /// Accepted age and skew, in seconds.
    pub(crate) tolerance_s: u32,
}

/// What a timestamp counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    S,
    Ms,
}

impl Algorithm {
    /// Whether the proof is the secret itself, so that it covers nothing of the request.
    pub(crate) fn is_credential(self) -> bool {
        matches!(self, Self::Token | Self::Basic)
    }

    /// Bytes of a signature.
    pub(crate) fn tag_len(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 | Self::Token | Self::Basic => 32,
            Self::HmacSha512 | Self::Ed25519 => 64,
        }
    }
}

impl Proof {
    /// The refusal for what is wrong in the signature's or the credential's place.
    pub(crate) fn refusal(&self, fault: Fault) -> Refusal {
        match (self.algorithm.is_credential(), fault) {
            (true, Fault::Missing) => Refusal::CredentialMissing,
            (true, Fault::Repeated) => Refusal::CredentialRepeated,
            (true, Fault::Malformed) => Refusal::CredentialMalformed,
            (false, Fault::Missing) => Refusal::SignatureMissing,
            (false, Fault::Repeated) => Refusal::SignatureRepeated,
            (false, Fault::Malformed) => Refusal::SignatureMalformed,
        }
    }

    /// Where the id stands that is part of the signed bytes.
    pub(crate) fn signed_id(&self) -> Option<&str> {
        let place = self.id.first().filter(|_| self.content.has(&Part::Id))?;
        place.header()
    }
}

impl TryFrom<RawProof> for Proof {
    type Error = String;

    fn try_from(raw: RawProof) -> Result<Self, String> {
        raw.check_places()?;
        raw.check_content()?;
        raw.check_key()?;
        let body_sha256 = match raw.body_sha256 {
            Some(Place::Query(name)) => Some(name),
            None => None,
            Some(_) => return Err("`body_sha256` must be a query place".into()),
        };
        Ok(Self {
            algorithm: raw.algorithm,
            key: raw.key,
            signature: raw.signature,
            content: raw.content,
            timestamp: raw.timestamp,
            id: raw.id,
            event_type: raw.event_type,
            body_sha256,
            verify_only: raw.verify_only,
        })
    }
}

impl RawProof {
    fn check_places(&self) -> Result<(), String> {
        let sendable = |place: &Place| matches!(place, Place::Header(_) | Place::Authorization(_) | Place::Query(_));
        // A token in the body can be read, but no body is changed to send one.
        let carries =
            |place: &Place| sendable(place) || (self.algorithm == Algorithm::Token && matches!(place, Place::Json(_)));
        if !self.signature.at.first().is_some_and(sendable) || !self.signature.at.iter().all(carries) {
            return Err("`signature.at` needs places of kind header, authorization or query".into());
        }
        if self.signature.repeats && !matches!(self.signature.at.as_slice(), [Place::Header(_)]) {
            return Err("`signature.repeats` needs one header as the only place".into());
        }
        let names = |place: &Place| matches!(place, Place::Header(_) | Place::Json(_));
        if !self.id.iter().chain(&self.event_type).all(names) {
            return Err("`id` and `event_type` need places of kind header or json".into());
        }
        match self.timestamp.as_ref().map(|timestamp| &timestamp.at) {
            None | Some(Place::Header(_)) => Ok(()),
            Some(Place::Signature(_)) if self.signature.separator.is_some() && !self.signature.repeats => Ok(()),
            Some(Place::Signature(_)) => Err("a timestamp in the signature needs `signature.separator`".into()),
            Some(_) => Err("`timestamp.at` needs a place of kind header or signature".into()),
        }
    }

    fn check_content(&self) -> Result<(), String> {
        if self.algorithm.is_credential() {
            let signs = !self.content.is_empty() || self.timestamp.is_some() || self.body_sha256.is_some();
            let spells = !self.signature.encodings.is_empty() || self.signature.separator.is_some();
            return match signs || spells || self.signature.repeats {
                true => {
                    Err("a token signs nothing: it has no content, timestamp, encodings, separator or repeats".into())
                }
                false => Ok(()),
            };
        }
        if self.content.is_empty() || self.signature.encodings.is_empty() {
            return Err("a signature needs `content` and `signature.encodings`".into());
        }
        if self.content.has(&Part::Timestamp) != self.timestamp.is_some() {
            return Err("`timestamp` and the content's `{timestamp}` need each other".into());
        }
        if self.content.has(&Part::Id) && !matches!(self.id.first(), Some(Place::Header(_))) {
            return Err("the content's `{id}` needs a header as the first place of `id`".into());
        }
        if self.content.has(&Part::FormSorted) != self.body_sha256.is_some() {
            return Err("`body_sha256` and the content's `{form:sorted}` need each other".into());
        }
        if self.body_sha256.is_some() && !self.content.has_url() {
            return Err("`body_sha256` needs the url in the content".into());
        }
        Ok(())
    }

    fn check_key(&self) -> Result<(), String> {
        let key = &self.key;
        let prefixes = [&key.prefix, &key.optional_prefix, &key.refused_prefix];
        if prefixes.iter().filter(|prefix| prefix.is_some()).count() > 1 {
            return Err("a key has at most one of `prefix`, `optional_prefix` and `refused_prefix`".into());
        }
        let asymmetric = self.algorithm == Algorithm::Ed25519;
        if key.private_prefix.is_some() && (!asymmetric || key.prefix.is_none()) {
            return Err("`key.private_prefix` needs an asymmetric algorithm and `key.prefix` for public keys".into());
        }
        if asymmetric && key.encoding.is_none() {
            return Err("an asymmetric key needs `key.encoding`".into());
        }
        match &key.generate {
            Some(generate) if generate.bytes == 0 || generate.bytes > 64 => {
                Err("`key.generate.bytes` must be from 1 to 64".into())
            }
            Some(generate) if asymmetric && (generate.bytes != 32 || key.private_prefix.is_none()) => {
                Err("an asymmetric key is generated from 32 bytes and needs `key.private_prefix`".into())
            }
            _ => Ok(()),
        }
    }
}
