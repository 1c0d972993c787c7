//! ID tokens of OpenID Connect providers: whether one was signed by this provider, for us, for this sign-in, just now.
//! Pure; fetching a provider's keys and asking for tokens is the gateway's.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// How far a provider's clock may be from ours.
const SKEW: Duration = Duration::from_secs(60);

/// The longest token that is looked at, in bytes.
const TOKEN_MAX: usize = 64 << 10;

/// The most keys of a provider.
const KEYS_MAX: usize = 64;

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Not three parts of base64 with JSON in them, or something that has to be there is not.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// Signed in a way that is not accepted: `none`, with a shared secret, or something else than RS256, ES256, EdDSA.
    #[error("the algorithm `{}` is not accepted", .0.escape_debug())]
    Algorithm(String),
    /// The provider has no such key. It may have a new one.
    #[error("the provider has no key for it")]
    UnknownKey,
    /// The signature is not the provider's.
    #[error("its signature is not the provider's")]
    Signature,
    /// Of another provider.
    #[error("it is another issuer's")]
    Issuer,
    /// For somebody else.
    #[error("it is not for this client")]
    Audience,
    /// Of another sign-in.
    #[error("it belongs to another sign-in")]
    Nonce,
    /// It is over, or not yet valid.
    #[error("it is not valid now")]
    Time,
}

/// What a token has to say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The provider, exactly.
    pub issuer: &'a str,
    /// What we are called there.
    pub client_id: &'a str,
    /// What was sent along with the person.
    pub nonce: &'a str,
    /// When.
    pub now: Timestamp,
}

/// A provider's public keys.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeys {
    keys: Vec<ProviderKey>,
}

#[derive(Debug, Clone)]
struct ProviderKey {
    id: Option<String>,
    key: PublicKey,
}

/// The kinds of key are types: none can be used with another's algorithm.
#[derive(Debug, Clone)]
enum PublicKey {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point on P-256.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Es256,
    EdDsa,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

impl ProviderKeys {
    /// The keys in a JWK set. Those that no accepted algorithm uses are left out.
    ///
    /// # Errors
    ///
    /// When `json` is not a JWK set.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(json).map_err(|error| format!("the keys are not JSON: {error}"))?;
        let keys = set["keys"].as_array().ok_or("there is no list `keys`")?;
        if keys.len() > KEYS_MAX {
            return Err(format!("there are more than {KEYS_MAX} keys"));
        }
        Ok(Self { keys: keys.iter().filter_map(ProviderKey::parse).collect() })
    }

    /// Whether there is none that can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The claims of a token that is all that is expected of it.
    ///
    /// # Errors
    ///
    /// [`TokenRefusal`].
    pub fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Map<String, Value>, TokenRefusal> {
        if token.len() > TOKEN_MAX {
            return Err(TokenRefusal::Malformed("it is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenRefusal::Malformed("it has no signature"))?;
        let (header, claims) = signed.split_once('.').ok_or(TokenRefusal::Malformed("it has no claims"))?;
        let header: Header = json(header)?;
        if header.crit.is_some() {
            return Err(TokenRefusal::Malformed("it asks for an extension"));
        }
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "ES256" => Algorithm::Es256,
            "EdDSA" => Algorithm::EdDsa,
            _ => return Err(TokenRefusal::Algorithm(header.alg.chars().take(32).collect())),
        };
        let signature = decode(signature)?;
        self.key(header.kid.as_deref(), algorithm)?.verify(signed.as_bytes(), &signature)?;
        // Nothing of the claims is read before this.
        let claims: Map<String, Value> = json(claims)?;
        check(&claims, expected)?;
        Ok(claims)
    }

    /// The key that a token names; one that names none is only for who has a single key.
    fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&PublicKey, TokenRefusal> {
        let fitting = self.keys.iter().filter(|key| key.key.algorithm() == algorithm);
        let mut named = fitting.filter(|key| id.is_none() || key.id.as_deref() == id);
        match (named.next(), named.next()) {
            (Some(key), None) => Ok(&key.key),
            _ => Err(TokenRefusal::UnknownKey),
        }
    }
}

impl ProviderKey {
    fn parse(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk[name].as_str();
        let bytes = |name: &str| text(name).and_then(|value| URL_SAFE_NO_PAD.decode(value).ok());
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        let key = match (text("kty")?, text("crv")) {
            ("RSA", None) => PublicKey::Rsa { n: bytes("n")?, e: bytes("e")? },
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes("x")?, bytes("y")?);
                (x.len() == 32 && y.len() == 32).then(|| PublicKey::P256([&[4], &x[..], &y[..]].concat()))?
            }
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes("x")?),
            _ => return None,
        };
        let fits = text("alg").is_none_or(|algorithm| algorithm == key.algorithm().name());
        fits.then(|| Self { id: text("kid").map(str::to_owned), key })
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl PublicKey {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), TokenRefusal> {
        let verdict = match self {
            Self::Rsa { n, e } => PublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
            Self::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature),
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
        };
        verdict.map_err(|_| TokenRefusal::Signature)
    }
}

/// OpenID Connect Core 1.0, 3.1.3.7.
fn check(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), TokenRefusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(TokenRefusal::Issuer);
    }
    let is_us = |value: &Value| value.as_str() == Some(expected.client_id);
    let (is_for_us, is_for_others) = match claims.get("aud") {
        Some(Value::Array(audiences)) => (audiences.iter().any(is_us), audiences.len() > 1),
        Some(audience) => (is_us(audience), false),
        None => (false, false),
    };
    let authorized = claims.get("azp").map(is_us);
    if !is_for_us || authorized == Some(false) || (is_for_others && authorized.is_none()) {
        return Err(TokenRefusal::Audience);
    }
    let nonce = text("nonce").unwrap_or_default();
    if verify_slices_are_equal(nonce.as_bytes(), expected.nonce.as_bytes()).is_err() {
        return Err(TokenRefusal::Nonce);
    }
    let moment = |name: &str| claims.get(name).and_then(Value::as_f64).map(|secs| (secs * 1000.0) as i64);
    let moment = |name| moment(name).map(Timestamp::from_millis);
    let (Some(end), Some(begin)) = (moment("exp"), moment("iat")) else { return Err(TokenRefusal::Time) };
    let from = moment("nbf").map_or(begin, |from| from.max(begin));
    if end.plus(SKEW) <= expected.now || from > expected.now.plus(SKEW) {
        return Err(TokenRefusal::Time);
    }
    match text("sub") {
        Some(subject) if (1..=255).contains(&subject.len()) => Ok(()),
        _ => Err(TokenRefusal::Malformed("it names nobody")),
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenRefusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenRefusal::Malformed("a part is not base64url"))
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, TokenRefusal> {
    serde_json::from_slice(&decode(part)?).map_err(|_| TokenRefusal::Malformed("a part is not the JSON wanted there"))
}

#[cfg(test)]
mod tests;
