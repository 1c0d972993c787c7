//! Owns the reasons why a request was not believed. A refusal is an answer, not an error: it never holds a secret, an expected
//! signature, or anything that the sender wrote.

/// Why a request was refused. The set is closed, so that callers and tests can be exhaustive; [`Refusal::id`] is stable.
///
/// The sentence (`Display`) is for the operator. A sender is told nothing but 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// None of the keys given can be used with this scheme.
    NoUsableSecret,
    /// The place where the signature belongs is absent.
    SignatureMissing,
    /// The signature's place occurs more than once, or two places for it are filled.
    SignatureRepeated,
    /// There is a signature, but nothing in it has the form that the scheme prescribes.
    SignatureMalformed,
    /// More than [`MAX_SIGNATURES`](crate::MAX_SIGNATURES) signatures were sent, or more than
    /// [`MAX_ASYMMETRIC_SIGNATURES`](crate::MAX_ASYMMETRIC_SIGNATURES) of an asymmetric algorithm.
    TooManySignatures,
    /// No signature sent matches any live key.
    SignatureMismatch,
    /// The token or password is absent.
    CredentialMissing,
    /// The token or password was sent more than once, or in two places.
    CredentialRepeated,
    /// The place of the token or password is filled with something else.
    CredentialMalformed,
    /// The token or password is not one of the live ones.
    CredentialMismatch,
    /// The signed timestamp is absent.
    TimestampMissing,
    /// The signed timestamp occurs more than once.
    TimestampRepeated,
    /// The signed timestamp is not written as the scheme has it.
    TimestampMalformed,
    /// The request was signed too long ago: perhaps an old one sent again, perhaps a clock is wrong.
    TimestampTooOld {
        /// Seconds between the timestamp and now.
        age_s: u64,
    },
    /// The request claims to come from the future, by more than the tolerance.
    TimestampTooNew {
        /// Seconds between now and the timestamp.
        ahead_s: u64,
    },
    /// The delivery id, which is part of the signed bytes, is absent or empty.
    IdMissing,
    /// The delivery id occurs more than once.
    IdRepeated,
    /// The delivery id has characters that it may not have: control characters, or the separator of the signed bytes.
    IdMalformed,
    /// The event type occurs more than once.
    EventTypeRepeated,
    /// The event type has control or non-ASCII characters.
    EventTypeMalformed,
    /// The scheme signs the absolute URL, and the caller gave only a path.
    UrlNotAbsolute,
    /// The scheme signs the form, and the form has more than [`MAX_FORM_FIELDS`](crate::MAX_FORM_FIELDS) fields.
    TooManyFormFields,
    /// A value that is signed with the rest is absent: a header, a query parameter, a form field or a JSON value.
    PartMissing,
    /// A value that is signed with the rest occurs more than once.
    PartRepeated,
    /// A value that is signed with the rest holds what stands after it in the signed bytes, or cannot be read.
    PartMalformed,
    /// The scheme has a parameter, and nobody has said its value.
    ParameterMissing,
    /// The request names an algorithm or version that the scheme does not take.
    AlgorithmRefused,
    /// A claim of the token that the scheme asks for is absent.
    ClaimMissing,
    /// A claim of the token is not what it must be.
    ClaimMismatch,
    /// The digest of the URL in the token is not that of the URL.
    UrlDigestMismatch,
    /// The body is bound by a digest, and the request carries none.
    BodyDigestMissing,
    /// The digest of the body that the request carries is not the body's.
    BodyDigestMismatch,
    /// A value that is signed is not the one that this endpoint is registered for: the request is another endpoint's.
    PartMismatch,
    /// The request names no URL where it should: that of its key, or the one to be visited.
    UrlMissing,
    /// The URL that the request names is none that the scheme allows.
    UrlRefused,
    /// The provider publishes no key of the id, or at the URL, that the request names.
    KeyUnknown,
    /// The key that the request names is not its provider's: its certificate is not valid now, of somebody else, or issued by nobody
    /// who is trusted. Whoever fetches keys says so.
    KeyRefused,
    /// The body is a bare text, which anybody can have signed as a handshake's challenge.
    BodyIsChallenge,
    /// A handshake asks with a text that is too long, sent twice, or not plain.
    ChallengeMalformed,
}

impl Refusal {
    /// The stable name of this refusal, for logs, metrics, tests and scripts.
    pub const fn id(&self) -> &'static str {
        match self {
            Self::NoUsableSecret => "no-usable-secret",
            Self::SignatureMissing => "signature-missing",
            Self::SignatureRepeated => "signature-repeated",
            Self::SignatureMalformed => "signature-malformed",
            Self::TooManySignatures => "too-many-signatures",
            Self::SignatureMismatch => "signature-mismatch",
            Self::CredentialMissing => "credential-missing",
            Self::CredentialRepeated => "credential-repeated",
            Self::CredentialMalformed => "credential-malformed",
            Self::CredentialMismatch => "credential-mismatch",
            Self::TimestampMissing => "timestamp-missing",
            Self::TimestampRepeated => "timestamp-repeated",
            Self::TimestampMalformed => "timestamp-malformed",
            Self::TimestampTooOld { .. } => "timestamp-too-old",
            Self::TimestampTooNew { .. } => "timestamp-too-new",
            Self::IdMissing => "id-missing",
            Self::IdRepeated => "id-repeated",
            Self::IdMalformed => "id-malformed",
            Self::EventTypeRepeated => "event-type-repeated",
            Self::EventTypeMalformed => "event-type-malformed",
            Self::UrlNotAbsolute => "url-not-absolute",
            Self::TooManyFormFields => "too-many-form-fields",
            Self::PartMissing => "part-missing",
            Self::PartRepeated => "part-repeated",
            Self::PartMalformed => "part-malformed",
            Self::ParameterMissing => "parameter-missing",
            Self::AlgorithmRefused => "algorithm-refused",
            Self::ClaimMissing => "claim-missing",
            Self::ClaimMismatch => "claim-mismatch",
            Self::UrlDigestMismatch => "url-digest-mismatch",
            Self::BodyDigestMissing => "body-digest-missing",
            Self::BodyDigestMismatch => "body-digest-mismatch",
            Self::PartMismatch => "part-mismatch",
            Self::UrlMissing => "url-missing",
            Self::UrlRefused => "url-refused",
            Self::KeyUnknown => "key-unknown",
            Self::KeyRefused => "key-refused",
            Self::BodyIsChallenge => "body-is-challenge",
            Self::ChallengeMalformed => "challenge-malformed",
        }
    }
}

impl Refusal {
    /// How far the signed timestamp is from now, in seconds: positive for one from the past, negative for one from the future,
    /// `None` where the refusal is about something else.
    pub fn skew_s(&self) -> Option<i64> {
        match *self {
            Self::TimestampTooOld { age_s } => Some(i64::try_from(age_s).unwrap_or(i64::MAX)),
            Self::TimestampTooNew { ahead_s } => Some(i64::try_from(ahead_s).map_or(i64::MIN, |ahead| -ahead)),
            _ => None,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sentence = match self {
            Self::NoUsableSecret => "no live secret can be used with this scheme",
            Self::SignatureMissing => "the signature is missing",
            Self::SignatureRepeated => "the signature was sent more than once",
            Self::SignatureMalformed => "the signature does not have the form that the scheme prescribes",
            Self::TooManySignatures => "too many signatures were sent",
            Self::SignatureMismatch => {
                "no signature matches a live secret: the secret is another one, or the signed bytes changed"
            }
            Self::CredentialMissing => "the token or password is missing",
            Self::CredentialRepeated => "the token or password was sent more than once",
            Self::CredentialMalformed => "the token or password does not have the form that the scheme prescribes",
            Self::CredentialMismatch => "the token or password is not a live one",
            Self::TimestampMissing => "the signed timestamp is missing",
            Self::TimestampRepeated => "the signed timestamp was sent more than once",
            Self::TimestampMalformed => "the signed timestamp is not written as the scheme has it",
            Self::TimestampTooOld { age_s } => {
                return write!(f, "the request was signed {age_s} s ago, which is too old");
            }
            Self::TimestampTooNew { ahead_s } => {
                return write!(f, "the signed timestamp lies {ahead_s} s in the future: a clock or its unit is wrong");
            }
            Self::IdMissing => "the signed delivery id is missing",
            Self::IdRepeated => "the delivery id was sent more than once",
            Self::IdMalformed => "the delivery id has characters that it may not have",
            Self::EventTypeRepeated => "the event type was sent more than once",
            Self::EventTypeMalformed => "the event type has characters that it may not have",
            Self::UrlNotAbsolute => "the scheme signs the absolute url, and only a path is known",
            Self::TooManyFormFields => "the form has too many fields",
            Self::PartMissing => "a header, parameter or field that is signed is missing",
            Self::PartRepeated => "a header, parameter or field that is signed was sent more than once",
            Self::PartMalformed => "a header, parameter or field that is signed has characters that it may not have",
            Self::ParameterMissing => "the scheme has a parameter whose value nobody has said",
            Self::AlgorithmRefused => "the request names an algorithm or version that the scheme does not take",
            Self::ClaimMissing => "a claim of the token is missing",
            Self::ClaimMismatch => "a claim of the token is not what it must be",
            Self::UrlDigestMismatch => "the digest in the token is not that of the url",
            Self::BodyDigestMissing => "the body is bound by a digest, and the request carries none",
            Self::BodyDigestMismatch => "the digest that the request carries is not that of the body",
            Self::PartMismatch => {
                "a signed value is not the one of this endpoint: the request was made for another one"
            }
            Self::UrlMissing => "the url that the request is to name is missing: that of its key, or the one to visit",
            Self::UrlRefused => {
                "the url that the request names, of its key or to visit, is none that the scheme allows"
            }
            Self::KeyUnknown => "the provider publishes no such key as the request names",
            Self::KeyRefused => "the certificate of the key that the request names is not a valid one of its provider",
            Self::BodyIsChallenge => "the body is a bare text, which anybody can have signed as a challenge",
            Self::ChallengeMalformed => "the handshake's challenge is too long, repeated, or not plain text",
        };
        f.write_str(sentence)
    }
}

/// So that a caller for whom a refusal is an error can use `?`.
impl std::error::Error for Refusal {}
