//! What a receiver got, sent to it again by somebody else: as it was, altered, and with a header that breaks careless code.

use anyhow::{Context, Result, ensure};
use systems::{Request, http};

use super::party::{Arrival, Party};

/// Sends `arrival` again as it came, which is believed, and with a byte changed here or there, which is not.
pub(super) fn alter(party: &Party, path: &str, arrival: &Arrival) -> Result<()> {
    let as_it_came = request(path, arrival, None);
    send(party, &as_it_came, 204, "the same request again")?;
    let length = arrival.body.len();
    for at in [0, length / 2, length - 1] {
        let mut changed = as_it_came.clone();
        changed.body[at] ^= 1;
        send(party, &changed, 401, &format!("byte {at} of {length} changed"))?;
    }
    let mut longer = as_it_came;
    longer.body.push(b' ');
    send(party, &longer, 401, "one byte more")?;
    party.take(path, 5)?;
    Ok(())
}

/// Sends it with other values in the header that has the signature: not believed, and no fault of the receiver either.
pub(super) fn disfigure(party: &Party, path: &str, arrival: &Arrival, signature: &str) -> Result<()> {
    let value = arrival.header(signature)?.as_bytes();
    let (last, rest) = value.split_last().context("an empty signature")?;
    ensure!(*last != 0, "no signature ends so");
    // As many characters as the right value has, and more bytes: a length in characters, then a comparison of bytes, throws.
    let wide = [rest, &[0xe9]].concat();
    let multibyte = [rest, "é".as_bytes()].concat();
    let prefix = value.split(|byte| *byte == b'=').next().unwrap_or_default();
    let upper = value.to_ascii_uppercase();
    for (what, value) in [
        ("latin-1", wide.as_slice()),
        ("multibyte", &multibyte),
        ("upper-case", &upper),
        ("cut", rest),
        ("a prefix for a", prefix),
        ("empty", b""),
    ] {
        send(party, &request(path, arrival, Some((signature, value))), 401, &format!("{what} signature"))?;
    }
    party.take(path, 6)?;
    Ok(())
}

/// Sends `arrival` again as it came, when its time is over.
pub(super) fn too_late(party: &Party, path: &str, arrival: &Arrival) -> Result<()> {
    send(party, &request(path, arrival, None), 401, "the same request after an hour")?;
    party.take(path, 1)?;
    Ok(())
}

/// The request that arrived, with one header's value replaced.
fn request(path: &str, arrival: &Arrival, replaced: Option<(&str, &[u8])>) -> Request {
    let mut request = Request::post(&format!("/{path}")).body(&arrival.body);
    for (name, value) in arrival.headers() {
        if ["host", "content-length", "connection", "transfer-encoding"].contains(&name) {
            continue;
        }
        let value = match replaced {
            Some((header, other)) if name.eq_ignore_ascii_case(header) => other,
            _ => value.as_bytes(),
        };
        request.headers.push((name.to_owned(), value.to_vec()));
    }
    request
}

fn send(party: &Party, request: &Request, expected: u16, what: &str) -> Result<()> {
    let status = http::send(party.address, request)?.status;
    ensure!(status == expected, "{what}: answered {status}, not {expected}");
    Ok(())
}
