//! Any JSON Web Token: taken apart as it was sent, and with any header and claims rightly signed. No panic, and none is believed but
//! under an algorithm that the scheme lists.
//!
//! The input is lines: a token's header, its claims, then what is sent as the token; the rest is the body.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use hookward::{Key, Message, Scheme, Secret, UnixTime};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use sha2::Sha256;

const SECRET: &str = "a secret of no meaning";

static SCHEMES: LazyLock<[(Scheme, Key); 2]> = LazyLock::new(|| {
    [
        "algorithm = \"jwt\"\nalg = [\"HS256\"]\nsignature = { at = [\"authorization:Bearer\"] }\n\
         id = [\"claim:jti\"]\nclaims = { iss = \"me\", body = \"{sha256hex:body}\" }\n\
         timestamp = { at = \"claim:iat\", unit = \"s\", tolerance_s = 300 }",
        "algorithm = \"jws\"\nalg = [\"HS256\"]\nsignature = { at = [\"authorization:Bearer\"] }\ncontent = \"{body}\"",
    ]
    .map(|proof| {
        let text = format!("name = \"x\"\ntitle = \"X\"\n[[proof]]\n{proof}\n");
        let scheme = Scheme::from_toml(&text).unwrap_or_else(|error| panic!("{error}"));
        let key = scheme.key(1, &Secret::new(SECRET).expect("it is not blank")).expect("any text is a key");
        (scheme, key)
    })
});

fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(4, |byte| *byte == b'\n');
    let mut next = || parts.next().unwrap_or_default();
    let (header, claims, sent, body) = (next(), next(), next(), next());
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let tag = |signed: &str| {
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("an HMAC takes any key");
        encode(&mac.chain_update(signed).finalize().into_bytes())
    };
    let judge = |token: &[u8]| {
        let headers = [("Authorization", [b"Bearer ", token].concat())];
        let message = Message { method: "POST", url: "https://example.com/", headers: &headers, body };
        SCHEMES.each_ref().map(|(scheme, key)| {
            scheme.verify(&message, std::slice::from_ref(key), UnixTime::from_secs(1_700_000_000)).is_ok()
        })
    };
    assert_eq!(judge(sent), [false; 2], "believed what nobody signed");

    let signed = format!("{}.{}", encode(header), encode(claims));
    let attached = judge(format!("{signed}.{}", tag(&signed)).as_bytes());
    let detached = tag(&format!("{}.{}", encode(header), encode(body)));
    let detached = judge(format!("{}..{detached}", encode(header)).as_bytes());
    if attached[0] || detached[1] {
        let header: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(header).expect("a believed header is JSON");
        let alg: String = serde_json::from_str(header["alg"].get()).expect("a believed algorithm is a text");
        assert!(alg == "HS256" && !header.contains_key("crit") && !header.contains_key("b64"), "{header:?}");
    }
    assert!(!attached[1] && !detached[0] || body.is_empty(), "the one kind for the other");
});
