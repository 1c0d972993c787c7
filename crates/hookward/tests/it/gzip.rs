//! Tests of compressed bodies: what is signed is what was compressed, all of it, up to a limit.

use hookward::{Draft, Refusal, UnixTime};
use miniz_oxide::deflate::compress_to_vec;

use crate::support::{Request, keys, scheme};

/// The longest body that a compressed one is turned back into.
const MOST: usize = 8 << 20;

/// One file of gzip, with what `flags` of its head say is there.
fn gzip(plain: &[u8], flags: u8, extra: &[u8]) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255];
    let length = u32::try_from(plain.len()).unwrap().to_le_bytes();
    [&head[..], extra, &compress_to_vec(plain, 6), &[0; 4], &length].concat()
}

/// What becomes of `sent`, signed as `plain`.
fn judge(plain: &[u8], sent: Vec<u8>) -> Result<Option<String>, Refusal> {
    let scheme = scheme("stream-chat");
    let (keys, now) = (keys(scheme, &["secret"]), UnixTime::from_secs(1_700_000_000));
    let draft = Draft { id: "", event_type: "", method: "POST", url: "https://example.com", body: plain };
    let headers = scheme.sign(&draft, &keys, now).unwrap().headers;
    let headers = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    let request = Request { method: "POST".into(), url: "https://example.com".into(), headers, body: sent };
    request.verify(scheme, &keys, now).map(|verified| verified.event_type().map(str::to_owned))
}

#[test]
fn what_was_compressed_is_proven_and_looked_into() {
    let plain = br#"{"type":"message.new"}"#;
    let new = Ok(Some("message.new".to_owned()));
    assert_eq!(judge(plain, plain.to_vec()), new);
    for (flags, extra) in [(0, &b""[..]), (4, b"\x02\0ab"), (8, b"name\0"), (16, b"comment\0"), (2, b"\0\0")] {
        assert_eq!(judge(plain, gzip(plain, flags, extra)), new, "{flags}");
    }
}

#[test]
fn only_one_file_from_end_to_end_is_believed() {
    let plain = br#"{"type":"message.new"}"#;
    let whole = gzip(plain, 0, b"");
    let wrong = Err(Refusal::SignatureMismatch);
    for at in 0..whole.len() {
        assert_eq!(judge(plain, whole[..at].to_vec()), wrong, "{at}");
    }
    assert_eq!(judge(plain, [&whole[..], b"\0"].concat()), wrong);
    // A reader of gzip would go on with the second one.
    assert_eq!(judge(plain, [&whole[..], &gzip(b"more", 0, b"")].concat()), wrong);
    // Its trailer says another length.
    let (last, shorter) = (whole.len() - 4, u8::try_from(plain.len() - 1).unwrap());
    let lying = whole.iter().enumerate().map(|(at, byte)| if at == last { shorter } else { *byte });
    assert_eq!(judge(plain, lying.collect()), wrong);
}

#[test]
fn a_compressed_body_is_turned_back_up_to_a_limit() {
    for (length, holds) in [(MOST, true), (MOST + 1, false)] {
        let plain = vec![b' '; length];
        assert_eq!(judge(&plain, gzip(&plain, 0, b"")).is_ok(), holds, "{length}");
    }
}

#[test]
fn a_body_that_may_be_compressed_is_not_unique() {
    let proof = "[[proof]]\nalgorithm = \"hmac-sha256\"\nsignature = { at = [\"header:S\"], encodings = [\"hex\"] }\ncontent = \"{body}\"";
    let file = format!("name = \"own\"\ntitle = \"Own\"\nbody_is_unique = true\ngzip = true\n{proof}");
    let error = hookward::Scheme::from_toml(&file).unwrap_err();
    assert!(error.message.contains("`gzip`"), "{error}");
}
