//! Owns a scheme as plain data, for whoever explains it: which bytes are signed, with what key, where the result stands. It is
//! what programs that know no scheme file are written from. Proves and signs nothing.

use crate::encoding::Encoding;
use crate::place::Place;
use crate::proof::{Algorithm, Proof, TimestampSpec, Unit};
use crate::scheme::Scheme;
use crate::template::Part;

/// How requests of a scheme are proven, as it sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe<'s> {
    /// What is computed.
    pub algorithm: RecipeAlgorithm,
    /// Where the signature or the credential stands.
    pub place: RecipePlace<'s>,
    /// What stands before each signature in its place.
    pub prefix: &'s str,
    /// What stands between the entries, where there may be several.
    pub separator: Option<char>,
    /// How a signature is written; `None` for a credential, which is text.
    pub encoding: Option<RecipeEncoding>,
    /// The signed bytes, one after the other; none for a credential.
    pub content: Vec<Piece<'s>>,
    /// The signed time, if there is one.
    pub time: Option<RecipeTime<'s>>,
    /// The header with the delivery's id.
    pub id: Option<&'s str>,
    /// The header with the event's type.
    pub event_type: Option<&'s str>,
    /// How the text of the secret becomes a key: decoded so, or its bytes.
    pub key_encoding: Option<RecipeEncoding>,
    /// What is taken off the secret's text before that, where it is there.
    pub key_prefix: &'s str,
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipeAlgorithm {
    /// An HMAC with SHA-1.
    HmacSha1,
    /// An HMAC with SHA-256.
    HmacSha256,
    /// An HMAC with SHA-512.
    HmacSha512,
    /// A signature by a private key.
    Ed25519,
    /// Nothing: the secret is sent.
    Token,
    /// Nothing: the secret, `user:password`, is sent in base64.
    Basic,
    /// What only a library computes: a plain hash, a token with claims, ECDSA, RSA.
    Other,
}

/// A part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipePlace<'s> {
    /// A header.
    Header(&'s str),
    /// The header `Authorization`, after this word.
    Authorization(&'s str),
    /// A parameter of the query.
    Query(&'s str),
    /// Somewhere in the body.
    Body,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipeEncoding {
    /// Two digits for each byte, small letters.
    Hex,
    /// With `+`, `/` and padding.
    Base64,
    /// Another kind of base64.
    OtherBase64,
    /// Another way.
    Other,
}

/// A piece of the signed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'s> {
    /// This text.
    Text(&'s str),
    /// The raw body.
    Body,
    /// The signed time, as it was sent.
    Time,
    /// The delivery's id.
    Id,
    /// What only a library can put together: the URL as it was called, a form's fields in order.
    Other,
}

/// The signed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeTime<'s> {
    /// Its header; `None` where it is an entry beside the signatures.
    pub header: Option<&'s str>,
    /// The name of that entry, before a `=`; empty in a header of its own.
    pub entry: &'s str,
    /// Whether it is in milliseconds, not in seconds.
    pub is_in_millis: bool,
    /// How far from now it may be, in seconds.
    pub tolerance_s: u32,
}

impl Scheme {
    /// How its requests are proven, as it sends them: by the strongest of its proofs.
    pub fn recipe(&self) -> Recipe<'_> {
        let sent = self.proofs().iter().find(|proof| !proof.verify_only);
        recipe(sent.expect("a scheme has a proof that is sent"))
    }
}

fn recipe(proof: &Proof) -> Recipe<'_> {
    let key = &proof.key;
    let is_special = proof.prehash.is_some()
        || proof.items.is_some()
        || !proof.when.0.is_empty()
        || key.hash.is_some()
        || proof.parameters().next().is_some()
        || proof.signature.assign.0 != b'='
        || proof.timestamp.as_ref().is_some_and(has_unusual_time);
    let key_prefix = [&key.private_prefix, &key.prefix, &key.optional_prefix].into_iter().flatten().next();
    Recipe {
        algorithm: match proof.algorithm {
            _ if is_special => RecipeAlgorithm::Other,
            Algorithm::HmacSha1 => RecipeAlgorithm::HmacSha1,
            Algorithm::HmacSha256 => RecipeAlgorithm::HmacSha256,
            Algorithm::HmacSha512 => RecipeAlgorithm::HmacSha512,
            Algorithm::Ed25519 => RecipeAlgorithm::Ed25519,
            Algorithm::Token => RecipeAlgorithm::Token,
            Algorithm::Basic => RecipeAlgorithm::Basic,
            _ => RecipeAlgorithm::Other,
        },
        place: match &proof.signature.at[0] {
            Place::Authorization(word) => RecipePlace::Authorization(word),
            Place::Query(name) => RecipePlace::Query(name),
            place => place.header().map_or(RecipePlace::Body, RecipePlace::Header),
        },
        prefix: proof.signature.prefix.as_str(),
        separator: proof.signature.separator.map(|separator| char::from(separator.0)),
        encoding: proof.signature.encodings.first().copied().map(encoding),
        content: proof.content.parts().iter().map(piece).collect(),
        time: proof.timestamp.as_ref().map(|spec| RecipeTime {
            header: spec.at.header(),
            entry: match &spec.at {
                Place::Signature(name) => name,
                _ => "",
            },
            is_in_millis: spec.unit == Unit::Ms,
            tolerance_s: spec.tolerance_s.unwrap_or_default(),
        }),
        id: header(&proof.id),
        event_type: header(&proof.event_type),
        key_encoding: key.encoding.map(encoding),
        key_prefix: key_prefix.map_or("", String::as_str),
    }
}

/// Whether the time is neither a number in a header or a named entry, nor judged.
fn has_unusual_time(spec: &TimestampSpec) -> bool {
    let is_number = matches!(spec.unit, Unit::S | Unit::Ms);
    let is_usual = match &spec.at {
        Place::Header(_) => true,
        Place::Signature(name) => !name.starts_with('#'),
        _ => false,
    };
    !is_number || !is_usual || spec.tolerance_s.is_none()
}

/// The header that is sent, where the first place is one.
fn header(places: &[Place]) -> Option<&str> {
    match places.first()? {
        Place::Header(name) => Some(name),
        _ => None,
    }
}

fn encoding(encoding: Encoding) -> RecipeEncoding {
    match encoding {
        Encoding::Hex => RecipeEncoding::Hex,
        Encoding::Base64 => RecipeEncoding::Base64,
        Encoding::Base64Unpadded | Encoding::Base64url | Encoding::Base64urlUnpadded => RecipeEncoding::OtherBase64,
        Encoding::HexUpper | Encoding::Base64Percent | Encoding::Base64urlPercent | Encoding::Base64Hex => {
            RecipeEncoding::Other
        }
    }
}

fn piece(part: &Part) -> Piece<'_> {
    match part {
        Part::Literal(text) => Piece::Text(text),
        Part::Body => Piece::Body,
        Part::Timestamp => Piece::Time,
        Part::Id => Piece::Id,
        Part::Method | Part::Url | Part::UrlAnyPort | Part::FormSorted => Piece::Other,
        Part::Secret | Part::Const(_) | Part::Made(_) => Piece::Other,
    }
}
