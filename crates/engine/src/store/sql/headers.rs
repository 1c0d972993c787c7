//! Request headers as one blob: lossless, in order, any bytes in values.
//! Owns the encoding, which is kept for ever; which headers are kept is decided before they come here.
//!
//! A byte 1, then for each header: the name's length, the name, the value's length, the value. Lengths are 32 bits, big-endian.

use bytes::{Buf, Bytes};

const FORMAT: u8 = 1;

/// The blob for `headers`.
pub(in crate::store) fn encode(headers: &[(String, Bytes)]) -> Vec<u8> {
    let len: usize = headers.iter().map(|(name, value)| 8 + name.len() + value.len()).sum();
    let mut blob = Vec::with_capacity(1 + len);
    blob.push(FORMAT);
    for (name, value) in headers {
        put(&mut blob, name.as_bytes());
        put(&mut blob, value);
    }
    blob
}

/// The headers in `blob`, whose values share its memory; an error says what is wrong with it.
pub(super) fn decode(mut blob: Bytes) -> Result<Vec<(String, Bytes)>, String> {
    match blob.try_get_u8() {
        Ok(FORMAT) => {}
        Ok(other) => return Err(format!("headers in the unknown format {other}")),
        Err(_) => return Err("headers without a format".to_owned()),
    }
    let mut headers = Vec::new();
    while blob.has_remaining() {
        let name = take(&mut blob)?;
        let name = std::str::from_utf8(&name).map_err(|_| "a header name that is not text")?.to_owned();
        headers.push((name, take(&mut blob)?));
    }
    Ok(headers)
}

fn put(blob: &mut Vec<u8>, part: &[u8]) {
    let len = u32::try_from(part.len()).expect("a request's headers are far below 4 GiB");
    blob.extend_from_slice(&len.to_be_bytes());
    blob.extend_from_slice(part);
}

fn take(blob: &mut Bytes) -> Result<Bytes, String> {
    let len = blob.try_get_u32().map_err(|_| "headers cut off in a length")?;
    let len = usize::try_from(len).map_err(|_| "a header longer than memory")?;
    if blob.remaining() < len {
        return Err("headers cut off in a name or value".to_owned());
    }
    Ok(blob.split_to(len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn decoding_is_the_inverse_of_encoding(
            headers in prop::collection::vec(("[a-z0-9-]{1,40}", prop::collection::vec(any::<u8>(), 0..200)), 0..40)
        ) {
            let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name, Bytes::from(value))).collect();
            prop_assert_eq!(decode(Bytes::from(encode(&headers))), Ok(headers));
        }

        #[test]
        fn no_bytes_make_decoding_panic(blob in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(Bytes::from(blob));
        }

        #[test]
        fn a_blob_cut_inside_a_header_is_refused(cut in 2_usize..20) {
            let blob = encode(&[("name".to_owned(), Bytes::from_static(b"a value"))]);
            prop_assert!(decode(Bytes::copy_from_slice(&blob[..cut.min(blob.len() - 1)])).is_err());
        }
    }
}
