//! Owns the spellings of bytes as text. A signature has exactly one spelling in each encoding (hex may vary in case), so nothing
//! but the canonical one is decoded; secrets typed by people are read more leniently.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD,
};
use serde::Deserialize;

/// The longest signature of any algorithm, in bytes.
pub(crate) const MAX_TAG: usize = 64;

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    Hex,
    Base64,
    Base64Unpadded,
    Base64url,
    Base64urlUnpadded,
}

/// A decoded signature: `len` bytes of a fixed buffer, so that decoding needs no heap.
pub(crate) struct Tag {
    // Two bytes more than a tag needs: the base64 decoder asks for room in whole groups of three.
    bytes: [u8; MAX_TAG + 2],
    len: usize,
}

impl Tag {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl Encoding {
    /// Decodes exactly `len` bytes from their canonical spelling, or nothing. `len` is at most [`MAX_TAG`].
    pub(crate) fn decode_tag(self, text: &[u8], len: usize) -> Option<Tag> {
        let mut tag = Tag { bytes: [0; MAX_TAG + 2], len };
        if self == Self::Hex {
            hex::decode_to_slice(text, &mut tag.bytes[..len]).ok()?;
            return Some(tag);
        }
        // Checked first: the decoder below may then write nowhere but into the buffer's `len` bytes.
        if text.len() > MAX_TAG.div_ceil(3) * 4 {
            return None;
        }
        let decoded = self.base64().decode_slice(text, &mut tag.bytes).ok()?;
        (decoded == len).then_some(tag)
    }

    /// Decodes a secret's text: padding may be missing and dangling bits may be set, as secrets in the wild have it.
    pub(crate) fn decode_key(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 | Self::Base64Unpadded => LENIENT_STANDARD.decode(text).ok(),
            Self::Base64url | Self::Base64urlUnpadded => LENIENT_URL_SAFE.decode(text).ok(),
        }
    }

    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            _ => self.base64().encode(bytes),
        }
    }

    fn base64(self) -> &'static GeneralPurpose {
        match self {
            Self::Hex | Self::Base64 => &STANDARD,
            Self::Base64Unpadded => &STANDARD_NO_PAD,
            Self::Base64url => &URL_SAFE,
            Self::Base64urlUnpadded => &URL_SAFE_NO_PAD,
        }
    }
}
