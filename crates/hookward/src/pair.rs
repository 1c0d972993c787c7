//! Owns reading keys that come in pairs: PEM, DER (a public key, a certificate, a private key) and JWK, each taken apart to the
//! numbers that an algorithm needs. Of a certificate nothing but its key counts: whoever supplies it has judged the rest. Signs and
//! verifies nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::encoding::Encoding;

/// The longest text of a key, in bytes.
const MAX_KEY: usize = 32 * 1024;

/// The bytes of a private key, wiped when dropped.
pub(crate) type Private = Zeroizing<Vec<u8>>;

/// Half of a pair, or both.
pub(crate) enum Pair {
    /// 32 bytes.
    Ed25519Public(Vec<u8>),
    /// The seed.
    Ed25519Private(Private),
    /// A point as SEC 1 has it.
    P256Public(Vec<u8>),
    /// 32 bytes.
    P256Private(Private),
    /// `RSAPublicKey` of PKCS #1, in DER.
    #[cfg_attr(not(feature = "rsa"), expect(dead_code, reason = "such keys are told apart in every build"))]
    RsaPublic(Vec<u8>),
    /// `RSAPrivateKey` of PKCS #1, in DER.
    #[cfg_attr(not(feature = "rsa"), expect(dead_code, reason = "such keys are told apart in every build"))]
    RsaPrivate(Private),
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OID: u8 = 0x06;
const VERSION: u8 = 0xa0;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// What every Ed25519 key in PKCS #8 begins with; the seed follows.
const ED25519_PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What a P-256 key in PKCS #8 without its public half begins with; the number follows.
const P256_PKCS8: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20,
];

impl Pair {
    /// Reads PEM or JWK; `None` for a text that is neither, `Some(None)` for one that is broken or of an unknown kind.
    pub(crate) fn from_text(text: &[u8]) -> Option<Option<Self>> {
        if text.len() > MAX_KEY {
            return Some(None);
        }
        let trimmed = text.trim_ascii();
        if trimmed.starts_with(b"{") {
            return Some(from_jwk(trimmed));
        }
        let text = std::str::from_utf8(trimmed).ok()?;
        let (_, rest) = text.split_once("-----BEGIN ")?;
        let body = rest.split_once("-----").and_then(|(_, rest)| rest.split_once("-----END ")).map(|(body, _)| body);
        let body: Option<Zeroizing<String>> =
            body.map(|body| body.chars().filter(|letter| !letter.is_ascii_whitespace()).collect::<String>().into());
        Some(body.and_then(|body| Self::from_der(&Zeroizing::new(Encoding::Base64.decode_key(body.as_bytes())?))))
    }

    /// Reads whichever key, or certificate, this DER is.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        let (outer, rest) = expect(der, SEQUENCE)?;
        let (tag, first, after) = tlv(outer)?;
        let (second_tag, second, _) = tlv(after)?;
        match (tag, second_tag) {
            _ if !rest.is_empty() => None,
            (SEQUENCE, BIT_STRING) => public(first, second),
            (SEQUENCE, SEQUENCE) => certificate(first),
            (INTEGER, SEQUENCE) => private(second, expect(tlv(after)?.2, OCTET_STRING)?.0),
            (INTEGER, OCTET_STRING) => Some(Self::P256Private(second.to_vec().into())),
            // Two numbers are a public key; more of them begin with a version.
            (INTEGER, INTEGER) if tlv(after)?.2.is_empty() => Some(Self::RsaPublic(der.to_vec())),
            (INTEGER, INTEGER) => Some(Self::RsaPrivate(der.to_vec().into())),
            _ => None,
        }
    }
}

/// Tag, content and what follows, of definite length.
fn tlv(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = tlv(der)?;
    (tag == wanted).then_some((content, rest))
}

/// `SubjectPublicKeyInfo`, taken apart.
fn public(algorithm: &[u8], bits: &[u8]) -> Option<Pair> {
    let (oid, parameters) = expect(algorithm, OID)?;
    let (0, key) = bits.split_first().map(|(unused, key)| (*unused, key))? else { return None };
    match oid {
        RSA => Some(Pair::RsaPublic(key.to_vec())),
        EC if expect(parameters, OID)?.0 == P256 => Some(Pair::P256Public(key.to_vec())),
        ED25519 => Some(Pair::Ed25519Public(key.to_vec())),
        _ => None,
    }
}

/// `PrivateKeyInfo` of PKCS #8, taken apart.
fn private(algorithm: &[u8], key: &[u8]) -> Option<Pair> {
    let (oid, parameters) = expect(algorithm, OID)?;
    match oid {
        RSA => Some(Pair::RsaPrivate(key.to_vec().into())),
        EC if expect(parameters, OID)?.0 == P256 => {
            let (_, after) = expect(expect(key, SEQUENCE)?.0, INTEGER)?;
            Some(Pair::P256Private(expect(after, OCTET_STRING)?.0.to_vec().into()))
        }
        ED25519 => Some(Pair::Ed25519Private(expect(key, OCTET_STRING)?.0.to_vec().into())),
        _ => None,
    }
}

/// The key of an X.509 certificate, given what is signed of it.
fn certificate(tbs: &[u8]) -> Option<Pair> {
    let mut rest = tbs;
    if let Some((_, after)) = expect(rest, VERSION) {
        rest = after;
    }
    rest = expect(rest, INTEGER)?.1;
    // The algorithm of the issuer's signature, the issuer, the validity, the subject.
    for _ in 0..4 {
        rest = expect(rest, SEQUENCE)?.1;
    }
    let (algorithm, after) = expect(expect(rest, SEQUENCE)?.0, SEQUENCE)?;
    public(algorithm, expect(after, BIT_STRING)?.0)
}

/// A JSON Web Key.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Zeroizing<String>>,
}

fn from_jwk(text: &[u8]) -> Option<Pair> {
    let jwk: Jwk = serde_json::from_slice(text).ok()?;
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
    let secret = |text: &Zeroizing<String>| URL_SAFE_NO_PAD.decode(text.as_bytes()).ok().map(Zeroizing::new);
    match (jwk.kty.as_str(), jwk.crv.as_deref(), &jwk.d) {
        ("RSA", _, None) => Some(Pair::RsaPublic(rsa_public(&bytes(&jwk.n)?, &bytes(&jwk.e)?))),
        ("EC", Some("P-256"), Some(d)) => Some(Pair::P256Private(secret(d)?)),
        ("EC", Some("P-256"), None) => {
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            (x.len() == 32 && y.len() == 32).then(|| Pair::P256Public([&[4][..], &x, &y].concat()))
        }
        ("OKP", Some("Ed25519"), Some(d)) => Some(Pair::Ed25519Private(secret(d)?)),
        ("OKP", Some("Ed25519"), None) => Some(Pair::Ed25519Public(bytes(&jwk.x)?)),
        _ => None,
    }
}

/// `RSAPublicKey` of PKCS #1 from modulus and exponent.
fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let first = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
        let digits = &number[first..];
        let sign = if digits.first().is_none_or(|byte| byte & 0x80 != 0) { &[0][..] } else { &[] };
        wrap(INTEGER, &[sign, digits].concat())
    };
    wrap(SEQUENCE, &[integer(modulus), integer(exponent)].concat())
}

fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let digits = content.len().to_be_bytes();
    let digits = &digits[digits.iter().position(|byte| *byte != 0).unwrap_or(digits.len())..];
    let mut der = vec![tag];
    match content.len() {
        0..0x80 => der.push(u8::try_from(content.len()).expect("less than 128")),
        _ => {
            der.push(0x80 | u8::try_from(digits.len()).expect("at most eight digits"));
            der.extend_from_slice(digits);
        }
    }
    der.extend_from_slice(content);
    der
}

/// The bits of the modulus of an `RSAPublicKey` or `RSAPrivateKey`, for whoever refuses short ones.
#[cfg_attr(not(feature = "rsa"), expect(dead_code, reason = "such keys are told apart in every build"))]
pub(crate) fn rsa_bits(der: &[u8]) -> Option<usize> {
    let (first, rest) = expect(expect(der, SEQUENCE)?.0, INTEGER)?;
    let modulus = if first == [0] { expect(rest, INTEGER)?.0 } else { first };
    let first = modulus.iter().position(|byte| *byte != 0)?;
    Some((modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize)
}

/// An Ed25519 seed as PKCS #8 in PEM.
pub(crate) fn ed25519_pem(seed: &[u8]) -> Zeroizing<String> {
    pem(&ED25519_PKCS8, seed)
}

/// A P-256 number as PKCS #8 in PEM.
pub(crate) fn p256_pem(number: &[u8]) -> Zeroizing<String> {
    pem(&P256_PKCS8, number)
}

fn pem(head: &[u8], number: &[u8]) -> Zeroizing<String> {
    let der = Zeroizing::new([head, number].concat());
    let text = Zeroizing::new(Encoding::Base64.encode(&der));
    let mut pem = Zeroizing::new(String::from("-----BEGIN PRIVATE KEY-----\n"));
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    pem
}
