//! Owns the causes that a request is refused for: their names, what they mean and what to do about each. Finds none of them.

use std::borrow::Cow;

/// Why a request was not believed, as far as that can be found out. The set is closed; [`Cause::id`] is stable.
///
/// They stand in the order in which they are looked for. Any two of the first [`PAIRED_CAUSES`](super::PAIRED_CAUSES) are found together as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A newline or other blank at an end of the body came or went, or all line ends were changed.
    LineEnds,
    /// A byte order mark at the body's start came or went.
    Bom,
    /// The body was parsed and written again: blanks, order of members, escapes, numbers.
    Reserialised,
    /// The body is a form and was signed decoded, or the reverse, or its escapes are spelled otherwise.
    Form,
    /// The body is compressed and was signed uncompressed, or the reverse.
    Compressed,
    /// The body went through another character encoding.
    Charset,
    /// The body was cut off.
    Truncated,
    /// The secret has blanks, quotes or a newline around it that do not belong to it, or lacks some that do.
    SecretSurrounded,
    /// The secret's text was decoded where it should not be, or was not where it should.
    SecretEncoding,
    /// The sender signs with the secret of something else.
    SecretOfAnother,
    /// The sender signs with a secret that is no longer, or not yet, in force.
    SecretEnded,
    /// The signature stands in another header than the scheme says.
    SignatureHeader,
    /// Before the signature stands something else than the scheme says.
    SignaturePrefix,
    /// The signature is in capital letters.
    SignatureCase,
    /// The signature is written in another encoding than the scheme says.
    SignatureEncoding,
    /// The signature is of another algorithm than the scheme says.
    SignatureAlgorithm,
    /// The timestamp is in milliseconds where the scheme counts seconds, or the reverse.
    TimeUnit,
    /// The request was signed too long ago, or in the future.
    TimeSkew,
    /// The sender left the timestamp out of what it signed.
    TimeUnsigned,
    /// The sender left the delivery id out of what it signed.
    IdUnsigned,
    /// The sender left the URL out of what it signed.
    UrlUnsigned,
    /// The sender left the method out of what it signed.
    MethodUnsigned,
    /// The sender signed more than the scheme says.
    MoreSigned,
    /// The URL that was signed has the other one of `http` and `https`.
    UrlScheme,
    /// The URL that was signed names another host.
    UrlHost,
    /// The URL that was signed has another port, or none.
    UrlPort,
    /// The URL that was signed has a slash at its path's end, or has not.
    UrlSlash,
    /// The URL that was signed has no query.
    UrlQuery,
    /// The URL that was signed is the one that was called, and not the one that is said to be registered.
    UrlRegistered,
    /// Another scheme proves the request.
    OtherScheme,
    /// A weaker proof of the same scheme is right, and the stronger one that was sent beside it is wrong.
    WeakerProof,
    /// The body is not there: something read it before.
    BodyLost,
    /// The request carries no signature at all.
    NotSigned,
    /// A parameter of the scheme was never said.
    ParameterMissing,
    /// Something that the scheme reads is absent, repeated or malformed.
    Malformed,
    /// The sender signs with a secret that nobody named.
    SecretUnknown,
}

impl Cause {
    /// All causes, in the order in which they are looked for.
    pub const ALL: [Self; 36] = [
        Self::LineEnds,
        Self::Bom,
        Self::Reserialised,
        Self::Form,
        Self::Compressed,
        Self::Charset,
        Self::Truncated,
        Self::SecretSurrounded,
        Self::SecretEncoding,
        Self::SecretOfAnother,
        Self::SecretEnded,
        Self::SignatureHeader,
        Self::SignaturePrefix,
        Self::SignatureCase,
        Self::SignatureEncoding,
        Self::SignatureAlgorithm,
        Self::TimeUnit,
        Self::TimeSkew,
        Self::TimeUnsigned,
        Self::IdUnsigned,
        Self::UrlUnsigned,
        Self::MethodUnsigned,
        Self::MoreSigned,
        Self::UrlScheme,
        Self::UrlHost,
        Self::UrlPort,
        Self::UrlSlash,
        Self::UrlQuery,
        Self::UrlRegistered,
        Self::OtherScheme,
        Self::WeakerProof,
        Self::BodyLost,
        Self::NotSigned,
        Self::ParameterMissing,
        Self::Malformed,
        Self::SecretUnknown,
    ];

    /// The stable name, for logs, tests and scripts.
    pub const fn id(self) -> &'static str {
        match self {
            Self::LineEnds => "line-ends",
            Self::Bom => "bom",
            Self::Reserialised => "reserialised",
            Self::Form => "form",
            Self::Compressed => "compressed",
            Self::Charset => "charset",
            Self::Truncated => "truncated",
            Self::SecretSurrounded => "secret-surrounded",
            Self::SecretEncoding => "secret-encoding",
            Self::SecretOfAnother => "secret-of-another",
            Self::SecretEnded => "secret-ended",
            Self::SignatureHeader => "signature-header",
            Self::SignaturePrefix => "signature-prefix",
            Self::SignatureCase => "signature-case",
            Self::SignatureEncoding => "signature-encoding",
            Self::SignatureAlgorithm => "signature-algorithm",
            Self::TimeUnit => "time-unit",
            Self::TimeSkew => "time-skew",
            Self::TimeUnsigned => "time-unsigned",
            Self::IdUnsigned => "id-unsigned",
            Self::UrlUnsigned => "url-unsigned",
            Self::MethodUnsigned => "method-unsigned",
            Self::MoreSigned => "more-signed",
            Self::UrlScheme => "url-scheme",
            Self::UrlHost => "url-host",
            Self::UrlPort => "url-port",
            Self::UrlSlash => "url-slash",
            Self::UrlQuery => "url-query",
            Self::UrlRegistered => "url-registered",
            Self::OtherScheme => "other-scheme",
            Self::WeakerProof => "weaker-proof",
            Self::BodyLost => "body-lost",
            Self::NotSigned => "not-signed",
            Self::ParameterMissing => "parameter-missing",
            Self::Malformed => "malformed",
            Self::SecretUnknown => "secret-unknown",
        }
    }

    /// What to change, for whoever runs the receiver.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::LineEnds => "keep the body's bytes as they arrived: no editor, shell or text mode between",
            Self::Bom => "read the body as bytes, not as text",
            Self::Reserialised => "verify the bytes as they arrived, before a parser or a proxy writes them anew",
            Self::Form => "verify the raw form, before it is decoded into fields",
            Self::Compressed => "verify what was signed: let nothing compress or decompress the body on its way",
            Self::Charset => "read the body as bytes; where text must be, as utf-8 on all the way",
            Self::Truncated => "raise the limit of whatever cuts the body off, so that it arrives whole",
            Self::SecretSurrounded => "store the secret exactly as the sender shows it, without anything around it",
            Self::SecretEncoding => "have both sides make the key from the secret's text in the same way",
            Self::SecretOfAnother => "set at this source the secret that its sender shows",
            Self::SecretEnded => "have the sender use the secret in force, or set the one that it uses",
            Self::SignatureHeader => {
                "send the signature in the header that the scheme names, or choose the scheme of this header"
            }
            Self::SignaturePrefix => "write the signature's prefix as the scheme says",
            Self::SignatureCase => "write the signature in small letters",
            Self::SignatureEncoding => "write the signature in the scheme's encoding",
            Self::SignatureAlgorithm => "sign with the scheme's algorithm, or choose the scheme of this one",
            Self::TimeUnit => "send the timestamp in the scheme's unit",
            Self::TimeSkew => {
                "compare both clocks; a request that waited so long must be signed anew, and an old capture is judged as of its own time"
            }
            Self::TimeUnsigned => "sign the timestamp too: without it an old request can be sent again",
            Self::IdUnsigned => "sign the delivery's id too",
            Self::UrlUnsigned => "sign the url too",
            Self::MethodUnsigned => "sign the method too",
            Self::MoreSigned => "choose a scheme that signs what the sender signs",
            Self::UrlScheme => "tell the verifier the url as the sender called it: tls ends before it",
            Self::UrlHost => "tell the verifier the host that the sender called, not the one behind the proxy",
            Self::UrlPort => "tell the verifier the port that the sender called, not the one behind the proxy",
            Self::UrlSlash => "register at the sender the very path that is served",
            Self::UrlQuery => "register at the sender the url with its query, or without one",
            Self::UrlRegistered => "say as `url` what the provider has as this endpoint's url, or leave it out",
            Self::OtherScheme => "choose the scheme that the sender uses",
            Self::WeakerProof => "set the secret of the stronger proof, which decides where it is sent",
            Self::BodyLost => "hand on the raw body: take it before a parser consumes it",
            Self::NotSigned => "set a secret at the sender, and let no proxy drop its headers",
            Self::ParameterMissing => "say it among the parameters of this endpoint",
            Self::Malformed => "look at what the sender sends there",
            Self::SecretUnknown => "copy the secret of this very endpoint anew from the sender",
        }
    }

    /// What it means, in a sentence for the documents.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::LineEnds => "blanks at the body's ends came or went, or its line ends were changed",
            Self::Bom => "a byte order mark came or went",
            Self::Reserialised => "the body was parsed and written again",
            Self::Form => "a form was decoded, encoded, or spelled otherwise",
            Self::Compressed => "the body was compressed or decompressed",
            Self::Charset => "the body went through another character encoding",
            Self::Truncated => "the body was cut off",
            Self::SecretSurrounded => "blanks, quotes or a newline around the secret",
            Self::SecretEncoding => "the secret's text was decoded, or was not, against the scheme",
            Self::SecretOfAnother => "the secret of another source",
            Self::SecretEnded => "a secret that is no longer or not yet in force",
            Self::SignatureHeader => "the signature stands in another header",
            Self::SignaturePrefix => "another prefix before the signature",
            Self::SignatureCase => "the signature is in capital letters",
            Self::SignatureEncoding => "base64 for hex, or another such exchange",
            Self::SignatureAlgorithm => "another algorithm, such as SHA-1 for SHA-256",
            Self::TimeUnit => "milliseconds for seconds, or the reverse",
            Self::TimeSkew => "signed too long ago or in the future, and by how much",
            Self::TimeUnsigned => "the timestamp is not part of what was signed",
            Self::IdUnsigned => "the id is not part of what was signed",
            Self::UrlUnsigned => "the URL is not part of what was signed",
            Self::MethodUnsigned => "the method is not part of what was signed",
            Self::MoreSigned => "a time, an id, the method or the URL was signed beside the body",
            Self::UrlScheme => "`http` for `https`, or the reverse: TLS ended at a proxy",
            Self::UrlHost => "another host, as behind a proxy",
            Self::UrlPort => "another port or none, as behind a proxy",
            Self::UrlSlash => "a slash at the path's end more or less",
            Self::UrlQuery => "the query is not part of the signed URL",
            Self::UrlRegistered => "the URL as it was called, not as the parameter `url` has it",
            Self::OtherScheme => "another scheme of the catalog proves the request",
            Self::WeakerProof => "the stronger of two proofs is wrong and the weaker right",
            Self::BodyLost => "the body is empty or a placeholder: something consumed it",
            Self::NotSigned => "no signature was sent",
            Self::ParameterMissing => "nobody has said the value of a parameter that the scheme needs",
            Self::Malformed => "something that the scheme reads is absent, repeated or malformed",
            Self::SecretUnknown => "most likely a secret that was not given",
        }
    }
}

/// One thing that was changed to find out more, with the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) cause: Cause,
    /// Goes on from "the signature is right if".
    pub(super) how: Cow<'static, str>,
}

impl Change {
    pub(super) fn new(cause: Cause, how: impl Into<Cow<'static, str>>) -> Self {
        Self { cause, how: how.into() }
    }
}
