//! Owns the scheme language: what a scheme file may say about one way of proving a request, and which combinations make sense.
//! Does nothing with a request.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::encoding::Encoding;
use crate::message::Message;
use crate::place::{Fault, Place};
use crate::refusal::Refusal;
use crate::template::Template;

/// One way to prove a request: an algorithm, where its parts stand, and what is signed. A checked `RawProof`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawProof")]
pub(crate) struct Proof {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: KeySpec,
    pub(crate) signature: SignatureSpec,
    pub(crate) content: Template,
    pub(crate) prehash: Option<Prehash>,
    pub(crate) timestamp: Option<TimestampSpec>,
    pub(crate) id: Vec<Place>,
    pub(crate) event_type: Vec<Place>,
    pub(crate) body_sha256: Option<String>,
    pub(crate) verify_only: bool,
    pub(crate) when: Conditions,
    pub(crate) items: Option<Vec<String>>,
    pub(crate) alg: Vec<Alg>,
    pub(crate) claims: Vec<(String, Template)>,
    pub(crate) must: Vec<(Place, Prefix)>,
}

/// A `[[proof]]` table: one way to prove a request.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProof {
    /// How the proof is computed.
    pub(crate) algorithm: Algorithm,
    /// How the text of a secret becomes a key.
    #[serde(default)]
    pub(crate) key: KeySpec,
    /// Where the signature stands and how it is written.
    pub(crate) signature: SignatureSpec,
    /// The signed bytes; empty for `token`, `basic` and `jwt`.
    #[serde(default)]
    pub(crate) content: Template,
    /// What is signed instead of the content.
    pub(crate) prehash: Option<Prehash>,
    /// The signed time.
    pub(crate) timestamp: Option<TimestampSpec>,
    /// Where the delivery's id may stand, in order.
    #[serde(default)]
    pub(crate) id: Vec<Place>,
    /// Where the event's type may stand, in order.
    #[serde(default)]
    pub(crate) event_type: Vec<Place>,
    /// The query parameter with the SHA-256 of a body that is not a form, in hex: such a body is bound through the signed URL.
    pub(crate) body_sha256: Option<Place>,
    /// Accepted, but never sent: a provider's older or second spelling.
    #[serde(default)]
    pub(crate) verify_only: bool,
    /// What stands in which place of a request that is proven in this way; `*` for anything. A signature for which no proof has its
    /// conditions met is refused: so a header can choose among algorithms, and only among these.
    #[serde(default)]
    pub(crate) when: Conditions,
    /// The JSON pointer of an array in the body, each element of which is signed on its own: pointers start at the element.
    pub(crate) items: Option<String>,
    /// The algorithms that a token's header may name, for `jwt` and `jws`. All are of one kind of key.
    #[serde(default)]
    pub(crate) alg: Vec<Alg>,
    /// What the claims of a token must be. A claim for the body may be absent where the body is empty; of a claim that is an array
    /// one element must be it.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, Template>,
    /// What a signed value must be, where the provider signs for everybody with one key: what makes a request this endpoint's. It may
    /// name parameters: `{const:NAME}`.
    #[serde(default)]
    pub(crate) must: BTreeMap<Place, Prefix>,
}

/// What stands where, as a table of places and texts; `*` for anything but nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub(crate) struct Conditions(pub(crate) Vec<(Place, String)>);

impl TryFrom<BTreeMap<String, String>> for Conditions {
    type Error = String;

    fn try_from(raw: BTreeMap<String, String>) -> Result<Self, String> {
        let pairs = raw.into_iter().map(|(place, is)| Ok((Place::try_from(place)?, is)));
        pairs.collect::<Result<_, String>>().map(Self)
    }
}

impl Conditions {
    /// Whether a body could be of such a request: it has what must be there, or lacks what can be put there.
    pub(crate) fn could_be_met(&self, body: &[u8]) -> bool {
        let message = Message { method: "", url: "", headers: &[("", ""); 0], body };
        let mut inside = self.0.iter().filter(|(place, _)| matches!(place, Place::Json(_) | Place::Form(_)));
        inside.all(|(place, is)| match place.sent(&message) {
            Ok(Some(found)) => (is == "*" && !found.is_empty()) || *found == *is.as_bytes(),
            Ok(None) => is != "*",
            Err(_) => false,
        })
    }

    /// Whether they are met, read strictly.
    pub(crate) fn are_met(&self, message: &Message<'_>) -> bool {
        self.0.iter().all(|(place, is)| match place.sent(message) {
            Ok(Some(found)) => (is == "*" && !found.is_empty()) || *found == *is.as_bytes(),
            _ => false,
        })
    }
}

/// How the proof is computed. What hashes a secret together with the content, and what uses MD5 or SHA-1 without a key, is weak: a
/// verdict says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Algorithm {
    HmacSha1,
    HmacSha256,
    HmacSha384,
    HmacSha512,
    /// A plain hash of a content that holds `{secret}`. Weak.
    Md5,
    /// A plain hash of a content that holds `{secret}`. Weak.
    Sha1,
    /// A plain hash of a content that holds `{secret}`. Weak.
    Sha256,
    /// A plain hash of a content that holds `{secret}`. Weak.
    Sha384,
    /// A plain hash of a content that holds `{secret}`. Weak.
    Sha512,
    Ed25519,
    /// ECDSA over P-256 with SHA-256, its two numbers in DER.
    EcdsaP256,
    /// ECDSA over P-256 with SHA-256, its two numbers of 32 bytes one after the other.
    EcdsaP256Raw,
    /// ECDSA over P-256 with SHA-1, its two numbers in DER. Weak.
    EcdsaP256Sha1,
    /// RSA with SHA-1, padded as in PKCS #1 1.5. Weak.
    RsaSha1,
    /// RSA with SHA-256, padded as in PKCS #1 1.5.
    RsaSha256,
    /// RSA with SHA-512, padded as in PKCS #1 1.5.
    RsaSha512,
    /// RSA with SHA-256, padded as in PSS.
    RsaPssSha256,
    /// RSA with SHA-512, padded as in PSS.
    RsaPssSha512,
    /// A JSON Web Token, of which `claims` says how it covers the request.
    Jwt,
    /// A JSON Web Signature of the content, which is not in it: `header..signature`.
    Jws,
    /// The secret itself.
    Token,
    /// The secret itself, `user:password` in base64.
    Basic,
}

/// An algorithm of JSON Web Signatures, by its registered name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum Alg {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
    /// RSA with SHA-256, PKCS #1 1.5.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA with SHA-512, PKCS #1 1.5.
    #[serde(rename = "RS512")]
    Rs512,
    /// ECDSA over P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Alg {
    /// Its registered name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// What it computes.
    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HmacSha256,
            Self::Hs384 => Algorithm::HmacSha384,
            Self::Hs512 => Algorithm::HmacSha512,
            Self::Rs256 => Algorithm::RsaSha256,
            Self::Rs512 => Algorithm::RsaSha512,
            Self::Es256 => Algorithm::EcdsaP256Raw,
            Self::EdDsa => Algorithm::Ed25519,
        }
    }
}

/// What is signed instead of the content: its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Prehash {
    /// The 32 bytes of its SHA-256.
    Sha256,
}

/// How the text of a secret becomes a key.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The key is the digest of the text, not the text.
    pub(crate) hash: Option<KeyHash>,
    /// The provider's own format, for making a new secret.
    pub(crate) generate: Option<GenerateSpec>,
}

/// What a key is derived by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyHash {
    /// The 20 bytes of the text's SHA-1.
    Sha1,
    /// The 32 bytes of the text's SHA-256.
    Sha256,
}

/// What a new secret looks like.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateSpec {
    /// What it begins with.
    #[serde(default)]
    pub(crate) prefix: String,
    /// How many random bytes.
    pub(crate) bytes: usize,
    /// How they are written.
    pub(crate) encoding: Encoding,
}

/// Where the signature stands and how it is written.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SignatureSpec {
    /// The places, of which exactly one may be filled; the first is the one that is sent.
    pub(crate) at: Vec<Place>,
    /// What stands before each signature: `sha256=`, or `v1=` in a list of `key=value` entries. It may name parameters: `{const:NAME}|`.
    #[serde(default)]
    pub(crate) prefix: Prefix,
    /// Between the entries of a list; without one the whole value is a single entry.
    pub(crate) separator: Option<Separator>,
    /// Between the name and the value of an entry that is not a signature: `=` where nothing is said.
    #[serde(default)]
    pub(crate) assign: Assign,
    /// The spellings accepted; the first is sent.
    #[serde(default)]
    pub(crate) encodings: Vec<Encoding>,
    /// Whether all places count together, and each header may occur several times, each with its signatures.
    #[serde(default)]
    pub(crate) repeats: bool,
}

/// A text that may name parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Prefix(String);

impl From<String> for Prefix {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// How a parameter is named in a prefix.
const CONST: &str = "{const:";

impl Prefix {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.split(CONST).skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
    }

    pub(crate) fn fill(&mut self, values: &BTreeMap<String, String>) {
        for (name, value) in values {
            self.0 = self.0.replace(&format!("{CONST}{name}}}"), value);
        }
    }
}

/// One ASCII character.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Separator(pub(crate) u8);

/// One ASCII character, `=` where nothing is said.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Assign(pub(crate) u8);

impl Default for Assign {
    fn default() -> Self {
        Self(b'=')
    }
}

impl TryFrom<String> for Assign {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Separator::try_from(text).map(|separator| Self(separator.0))
    }
}

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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct TimestampSpec {
    /// The place. A time that the content does not name must be in a signed body (`json:`), a signed form, or a claim.
    pub(crate) at: Place,
    /// What it counts, or how it is written.
    pub(crate) unit: Unit,
    /// Accepted age and skew, in seconds. Without it the time is told but not judged, and an old request proves itself for ever.
    pub(crate) tolerance_s: Option<u32>,
}

/// What a timestamp counts, or how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Seconds since 1970.
    S,
    /// Milliseconds since 1970.
    Ms,
    /// Either, by its digits: twelve and more are milliseconds. For a provider that writes both.
    SOrMs,
    /// A date as in RFC 3339.
    Rfc3339,
    /// The same, but it may be without a zone and is then in UTC.
    Iso8601,
    /// A date as in HTTP and mail.
    HttpDate,
}

impl Unit {
    /// Whether bounds are counted in whole seconds.
    pub(crate) fn is_in_seconds(self) -> bool {
        matches!(self, Self::S | Self::HttpDate)
    }
}

impl Algorithm {
    /// Whether the proof is the secret itself, so that it covers nothing of the request.
    pub(crate) fn is_credential(self) -> bool {
        matches!(self, Self::Token | Self::Basic)
    }

    /// Whether it is a token of its own, in which signature and signed bytes stand together.
    pub(crate) fn is_token_of_its_own(self) -> bool {
        matches!(self, Self::Jwt | Self::Jws)
    }

    /// Whether it is a plain hash of a content that holds the secret.
    pub(crate) fn is_plain_hash(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1 | Self::Sha256 | Self::Sha384 | Self::Sha512)
    }

    /// Whether one key signs and another one verifies. Of a `jwt` and `jws` the names of algorithms say it.
    pub(crate) fn is_asymmetric(self) -> bool {
        self == Self::Ed25519 || self.is_ecdsa() || self.is_rsa()
    }

    pub(crate) fn is_ecdsa(self) -> bool {
        matches!(self, Self::EcdsaP256 | Self::EcdsaP256Raw | Self::EcdsaP256Sha1)
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 | Self::RsaPssSha256 | Self::RsaPssSha512)
    }

    /// Whether experts could make a proof without the key.
    pub(crate) fn is_weak(self) -> bool {
        self.is_plain_hash() || matches!(self, Self::RsaSha1 | Self::EcdsaP256Sha1)
    }

    /// Bytes of a signature; none where they are not always the same number.
    pub(crate) fn tag_len(self) -> Option<usize> {
        match self {
            Self::Md5 => Some(16),
            Self::HmacSha1 | Self::Sha1 => Some(20),
            Self::HmacSha256 | Self::Sha256 | Self::Token | Self::Basic => Some(32),
            Self::HmacSha384 | Self::Sha384 => Some(48),
            Self::HmacSha512 | Self::Sha512 | Self::Ed25519 | Self::EcdsaP256Raw => Some(64),
            Self::EcdsaP256 | Self::EcdsaP256Sha1 | Self::Jwt | Self::Jws => None,
            Self::RsaSha1 | Self::RsaSha256 | Self::RsaSha512 | Self::RsaPssSha256 | Self::RsaPssSha512 => None,
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
        let place = self.id.first().filter(|_| self.content.has_id())?;
        place.header()
    }

    /// Whether its keys are pairs.
    pub(crate) fn is_asymmetric(&self) -> bool {
        self.algorithm.is_asymmetric() || self.alg.iter().any(|alg| alg.algorithm().is_asymmetric())
    }

    /// Every template of it.
    pub(crate) fn templates(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.content).chain(self.claims.iter().map(|(_, template)| template))
    }

    /// The parameters that it names.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &str> {
        let texts = std::iter::once(&self.signature.prefix).chain(self.must.iter().map(|(_, text)| text));
        self.templates().flat_map(Template::parameters).chain(texts.flat_map(Prefix::parameters))
    }

    /// Puts the values of parameters in their places.
    pub(crate) fn fill(&mut self, values: &BTreeMap<String, String>) {
        self.content.fill(values);
        self.claims.iter_mut().for_each(|(_, template)| template.fill(values));
        self.signature.prefix.fill(values);
        self.must.iter_mut().for_each(|(_, text)| text.fill(values));
    }

    /// Whether the URL is among what is signed.
    pub(crate) fn signs_url(&self) -> bool {
        self.templates().any(Template::has_url)
    }
}
