//! Owns the spellings of bytes as text. A signature has exactly one spelling in each encoding (hex may vary in case), so nothing
//! but the canonical one is decoded; secrets typed by people are read more leniently.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{
    GeneralPurpose, GeneralPurposeConfig, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD,
};
use percent_encoding::percent_decode;
use serde::Deserialize;

/// The longest signature of any algorithm, in bytes.
pub(crate) const MAX_TAG: usize = 64;

/// The longest signature of no fixed length, in bytes: RSA with 8192 bits.
const MAX_LONG_TAG: usize = 1024;

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    /// Two digits a byte. Read in either case, written in lower case.
    Hex,
    /// The same, written in upper case.
    HexUpper,
    Base64,
    Base64Unpadded,
    Base64url,
    Base64urlUnpadded,
    /// Base64 with `%3D` and the like for what a URL may not have.
    Base64Percent,
    /// The same of base64url.
    Base64urlPercent,
    /// The hex text in base64.
    Base64Hex,
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
        if matches!(self, Self::Hex | Self::HexUpper) {
            return decode_hex(text, &mut buffer[..len]);
        }
        if matches!(self, Self::Base64Percent | Self::Base64urlPercent | Self::Base64Hex) {
            let decoded = self.decode_long_tag(text).filter(|decoded| decoded.len() == len);
            return decoded.map(|decoded| buffer[..len].copy_from_slice(&decoded)).is_some();
        }
        // A longer text is longer than any signature: not worth decoding.
        text.len() <= MAX_TAG.div_ceil(3) * 4 && self.base64().decode_slice(text, buffer) == Ok(len)
    }

    /// Decodes a signature of any length from its canonical spelling, or nothing.
    pub(crate) fn decode_long_tag(self, text: &[u8]) -> Option<Vec<u8>> {
        if text.is_empty() || text.len() > MAX_LONG_TAG * 3 {
            return None;
        }
        match self {
            Self::Hex | Self::HexUpper => hex::decode(text).ok(),
            Self::Base64Hex => hex::decode(STANDARD.decode(text).ok()?).ok(),
            Self::Base64Percent | Self::Base64urlPercent => {
                self.base64().decode(percent_decode(text).collect::<Vec<u8>>()).ok()
            }
            _ => self.base64().decode(text).ok(),
        }
    }

    /// Decodes a text in base64 or base64url from its canonical spelling, or nothing.
    pub(crate) fn decode_text(self, text: &[u8]) -> Option<Vec<u8>> {
        self.base64().decode(text).ok()
    }

    /// Decodes a secret's text: padding may be missing and dangling bits may be set, as secrets in the wild have it.
    pub(crate) fn decode_key(self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Hex | Self::HexUpper => hex::decode(text).ok(),
            Self::Base64 | Self::Base64Unpadded => LENIENT_STANDARD.decode(text).ok(),
            Self::Base64url | Self::Base64urlUnpadded => LENIENT_URL_SAFE.decode(text).ok(),
            Self::Base64Percent | Self::Base64urlPercent | Self::Base64Hex => self.decode_long_tag(text),
        }
    }

    pub(crate) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::HexUpper => hex::encode_upper(bytes),
            Self::Base64Hex => STANDARD.encode(hex::encode(bytes)),
            Self::Base64Percent | Self::Base64urlPercent => {
                let text = self.base64().encode(bytes);
                text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
            }
            _ => self.base64().encode(bytes),
        }
    }

    fn base64(self) -> &'static GeneralPurpose {
        match self {
            Self::Hex | Self::HexUpper | Self::Base64 | Self::Base64Percent | Self::Base64Hex => &STANDARD,
            Self::Base64Unpadded => &STANDARD_NO_PAD,
            Self::Base64url | Self::Base64urlPercent => &URL_SAFE,
            Self::Base64urlUnpadded => &URL_SAFE_NO_PAD,
        }
    }
}
