//! Owns the named filters of a template: what is signed of a value instead of the value itself. Finds no value.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::encoding::Encoding;
use crate::explain::spelling::{Escapes, Json, Layout, Numbers, Order, Spelling};

/// What is done to a value before it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Sha256Hex,
    Sha256Raw,
    Sha256Base64,
    Crc32,
    Lower,
    Upper,
    Base64,
    Base64url,
    JsonString,
    PhpJson,
    UnescapeHubspot,
    Free,
}

/// Each filter with its name and what it makes of a value; the reference has these lines.
pub(crate) const FILTERS: [(&str, Filter, &str); 12] = [
    ("sha256hex", Filter::Sha256Hex, "its SHA-256 in lower-case hex"),
    ("sha256raw", Filter::Sha256Raw, "the 32 bytes of its SHA-256"),
    ("sha256base64", Filter::Sha256Base64, "its SHA-256 in base64"),
    (
        "crc32",
        Filter::Crc32,
        "its CRC-32 as a decimal number, which proves nothing of it: anybody can make another value with the same",
    ),
    ("lower", Filter::Lower, "it with ASCII letters in lower case"),
    ("upper", Filter::Upper, "it with ASCII letters in upper case"),
    ("base64", Filter::Base64, "it in base64"),
    ("base64url", Filter::Base64url, "it in base64url without padding"),
    ("json-string", Filter::JsonString, "it as a string in JSON, with its quotes; it must be UTF-8"),
    ("php-json", Filter::PhpJson, "a JSON value as PHP's `json_encode` writes it, its numbers as they are"),
    ("unescape-hubspot", Filter::UnescapeHubspot, "it with the escapes decoded that HubSpot decodes in a URL"),
    ("free", Filter::Free, "itself; it alone, of all the values of a template, may hold the text that follows it"),
];

impl Filter {
    /// The filter called so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        FILTERS.iter().find(|(known, ..)| *known == name).map(|(_, filter, _)| *filter)
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        FILTERS.iter().map(|(name, ..)| *name)
    }

    /// Whether nobody can find two values of which it makes the same.
    pub(crate) fn keeps_all(&self) -> bool {
        match self {
            Self::Crc32 | Self::Lower | Self::Upper | Self::PhpJson | Self::UnescapeHubspot => false,
            Self::Sha256Hex | Self::Sha256Raw | Self::Sha256Base64 => true,
            Self::Base64 | Self::Base64url | Self::JsonString | Self::Free => true,
        }
    }

    /// Whether what it makes has one length or alphabet, so that no border can be shifted into it.
    pub(crate) fn is_bounded(self) -> bool {
        !matches!(self, Self::Lower | Self::Upper | Self::UnescapeHubspot)
    }

    /// What is signed instead of `value`; nothing for a value that it cannot be laid on.
    pub(crate) fn apply(self, value: Cow<'_, [u8]>) -> Option<Cow<'_, [u8]>> {
        Some(match self {
            Self::Sha256Hex => Encoding::Hex.encode(&Sha256::digest(&value)).into_bytes().into(),
            Self::Sha256Raw => Sha256::digest(&value).to_vec().into(),
            Self::Sha256Base64 => Encoding::Base64.encode(&Sha256::digest(&value)).into_bytes().into(),
            Self::Crc32 => crc32(&value).to_string().into_bytes().into(),
            Self::Lower => value.to_ascii_lowercase().into(),
            Self::Upper => value.to_ascii_uppercase().into(),
            Self::Base64 => Encoding::Base64.encode(&value).into_bytes().into(),
            Self::Base64url => Encoding::Base64urlUnpadded.encode(&value).into_bytes().into(),
            Self::JsonString => serde_json::to_vec(std::str::from_utf8(&value).ok()?).ok()?.into(),
            Self::PhpJson => Json::read(&value)?.spelled(PHP).into(),
            Self::UnescapeHubspot => unescape_hubspot(&value).into(),
            Self::Free => value,
        })
    }
}

/// No blanks, and escapes for the slash and everything beyond ASCII.
const PHP: Spelling = Spelling {
    layout: Layout::Compact,
    order: Order::AsItIs,
    escapes: Escapes::AsciiAndSlash,
    numbers: Numbers::AsTheyAre,
};

/// CRC-32 of IEEE 802.3, bit by bit: whoever needs it signs no large bodies.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// The escapes that HubSpot decodes in the URL before it signs, and no others.
/// From <https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests>.
const HUBSPOT: [(&[u8; 3], u8); 12] = [
    (b"%3A", b':'),
    (b"%2F", b'/'),
    (b"%3F", b'?'),
    (b"%40", b'@'),
    (b"%21", b'!'),
    (b"%24", b'$'),
    (b"%27", b'\''),
    (b"%28", b'('),
    (b"%29", b')'),
    (b"%2A", b'*'),
    (b"%2C", b','),
    (b"%3B", b';'),
];

fn unescape_hubspot(url: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(url.len());
    let mut rest = url;
    while let Some((first, after)) = rest.split_first() {
        let escape = rest.first_chunk::<3>().map(|escape| escape.map(|byte| byte.to_ascii_uppercase()));
        match escape.and_then(|escape| HUBSPOT.iter().find(|(known, _)| **known == escape)) {
            Some((_, byte)) => {
                decoded.push(*byte);
                rest = &rest[3..];
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}
