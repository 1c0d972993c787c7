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

/// Room for a signature, so that decoding needs no heap. Two bytes more than one has: base64 is decoded in groups of three.
pub(crate) const TAG_ROOM: usize = MAX_TAG + 2;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const LENIENT_STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const LENIENT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// The value of each hex digit, in either case; for any other byte one with high bits.
const HEX: [u8; 256] = {
    let mut values = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit as usize] as usize] = digit;
        values[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

/// Decodes exactly as many digits as fill `bytes`, by a table: this is on every request's way.
fn decode_hex(text: &[u8], bytes: &mut [u8]) -> bool {
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return false;
    }
    let mut seen = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (HEX[usize::from(*high)], HEX[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | low;
    }
    seen < 16
}

impl Encoding {
    /// Decodes exactly `len` bytes from their canonical spelling, or nothing. `len` is at most [`MAX_TAG`].
    pub(crate) fn decode_tag(self, text: &[u8], len: usize, buffer: &mut [u8; TAG_ROOM]) -> bool {
        if self == Self::Hex {
            return decode_hex(text, &mut buffer[..len]);
        }
        // A longer text is longer than any signature: not worth decoding.
        text.len() <= MAX_TAG.div_ceil(3) * 4 && self.base64().decode_slice(text, buffer) == Ok(len)
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
