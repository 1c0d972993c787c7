//! Owns reading what is compressed with gzip (RFC 1952). Decides nothing about whether it should be.

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// The longest body, in bytes, that a compressed one is turned back into.
pub(crate) const MAX_INFLATED: usize = 8 << 20;

/// No byte of DEFLATE stands for more than this many.
const MOST_OF_A_BYTE: usize = 1032;

/// Bytes after the compressed data: its check sum, and the length of what was compressed.
const TRAILER: usize = 8;

/// What was compressed; nothing for a body that is not one file of gzip from its first byte to its last: whoever reads it might go on
/// where this stops.
pub(crate) fn inflated(body: &[u8]) -> Option<Vec<u8>> {
    let data = data(body)?;
    let (data, trailer) = data.split_at_checked(data.len().checked_sub(TRAILER)?)?;
    let length = trailer.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes))?;
    let length = usize::try_from(length).ok()?;
    if length > MAX_INFLATED.min(data.len().saturating_mul(MOST_OF_A_BYTE)) {
        return None;
    }
    let mut plain = vec![0; length];
    let mut state = DecompressorOxide::new();
    let (status, read, written) = decompress(&mut state, data, &mut plain, 0, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
    (status == TINFLStatus::Done && read == data.len() && written == length).then_some(plain)
}

/// What follows the head of a file: the compressed data and the trailer.
pub(crate) fn data(body: &[u8]) -> Option<&[u8]> {
    let [0x1f, 0x8b, 8, flags, ..] = body else { return None };
    let mut rest = body.get(10..)?;
    if flags & 4 != 0 {
        let len = usize::from(u16::from_le_bytes([*rest.first()?, *rest.get(1)?]));
        rest = rest.get(2 + len..)?;
    }
    for text in [8, 16] {
        if flags & text != 0 {
            rest = rest.get(rest.iter().position(|byte| *byte == 0)? + 1..)?;
        }
    }
    if flags & 2 != 0 { rest.get(2..) } else { Some(rest) }
}
