//! Owns keys: a secret's text turned into one of the distinct kinds of key, so that a public key can never reach an HMAC. Knows no
//! request.

use std::fmt;
use std::sync::Arc;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use p256::ecdsa;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, Zeroizing};

use crate::content::Content;
use crate::curve::{ed25519, ed25519_verifies, p256, p256_sign, p256_verifies};
use crate::encoding::Encoding;
use crate::pair::{self, Pair};
use crate::proof::{Alg, Algorithm, KeyHash, KeySpec, Proof};
#[cfg(feature = "rsa")]
use crate::rsa::RsaKey;
use crate::secret::Secret;
use crate::signature::Found;
use crate::template::Template;

/// The longest token, in bytes: what a sane header holds.
pub const MAX_TOKEN: usize = 4096;

/// Nothing longer can be a token, not even in base64; so the work for one request is bounded.
const MAX_SENT: usize = MAX_TOKEN.div_ceil(3) * 4;

/// One version of a secret, ready for one scheme: the hash state of an HMAC is computed once, here, not for every request.
#[derive(Clone)]
pub struct Key {
    version: u32,
    scheme: Arc<str>,
    /// One for each of the scheme's proofs that this secret has the shape of.
    materials: Vec<Option<Material>>,
}

/// Why a secret cannot be a key of a scheme. Who set the secret must act. Never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// A prefix that marks this kind of secret is absent.
    #[error("the secret must begin with `{0}`")]
    PrefixMissing(String),
    /// The prefix marks another kind of secret.
    #[error("the secret may not begin with `{0}`")]
    PrefixRefused(String),
    /// The text is not in the encoding that the scheme prescribes.
    #[error("the secret is not {0}")]
    NotDecodable(&'static str),
    /// Nothing is left after the prefix.
    #[error("the secret is empty after its prefix")]
    Empty,
    /// A key of this algorithm has another length.
    #[error("the key has {found} bytes, not {expected}")]
    WrongLength {
        /// What the algorithm needs, in words.
        expected: &'static str,
        /// What was given.
        found: usize,
    },
    /// A new secret that whoever has seen a few requests could guess.
    #[error("the key has {found} bytes, and a new one needs at least {least}")]
    TooShort {
        /// What the scheme asks for.
        least: usize,
        /// What was given.
        found: usize,
    },
    /// A token that could not be sent in a header.
    #[error("a token must be printable text without blanks at its ends, of at most {MAX_TOKEN} bytes")]
    NotSendable,
    /// Basic credentials without a colon.
    #[error("basic credentials are written user:password")]
    NoColon,
    /// Bytes that are no public key, or one under which anybody can sign.
    #[error("the public key is not a valid one")]
    BadPublicKey,
    /// A key of another algorithm, or a text that is none.
    #[error("the key is not {0}, in PEM, DER, JWK or the scheme's own encoding")]
    OtherKind(&'static str),
    /// A key that is too short to prove anything.
    #[error("the key has {bits} bits, and needs at least {least}")]
    WeakKey {
        /// What was given.
        bits: usize,
        /// What it needs.
        least: usize,
    },
    /// The library was built without its feature `rsa`.
    #[error("this build has no rsa")]
    NoRsa,
    /// The public half in a private key is not its own.
    #[error("the two halves of the private key do not belong together")]
    BadPrivateKey,
}

/// The kinds of key. What each can do is decided by its type.
#[derive(Clone)]
pub(crate) enum Material {
    HmacSha1(Hmac<Sha1>),
    HmacSha256(Hmac<Sha256>),
    HmacSha384(Hmac<Sha384>),
    HmacSha512(Hmac<Sha512>),
    /// A secret that is hashed with the content.
    Plain(Algorithm, Secret),
    Ed25519Public(Box<VerifyingKey>),
    Ed25519Private(Box<SigningKey>),
    EcdsaPublic(Algorithm, Box<ecdsa::VerifyingKey>),
    EcdsaPrivate(Algorithm, Box<ecdsa::SigningKey>),
    #[cfg(feature = "rsa")]
    Rsa(Algorithm, RsaKey),
    /// One for each algorithm that a token may name.
    Each(Vec<(Alg, Self)>),
    Token(Token),
}

/// A secret that is sent itself, with the digest that it is compared by.
#[derive(Clone)]
pub(crate) struct Token {
    text: Secret,
    digest: [u8; 32],
}

impl Key {
    pub(crate) fn new(version: u32, scheme: Arc<str>, proofs: &[Proof], secret: &Secret) -> Result<Self, SecretError> {
        let derived: Vec<_> = proofs.iter().map(|proof| Material::derive(proof, secret.expose())).collect();
        if derived.iter().all(Result::is_err) {
            // The proof whose prefix fits knows best what is wrong with the rest.
            let mut errors = derived.into_iter().filter_map(Result::err);
            let first = errors.next().expect("a scheme has at least one proof");
            let about_prefix =
                |e: &SecretError| matches!(e, SecretError::PrefixMissing(_) | SecretError::PrefixRefused(_));
            return Err(if about_prefix(&first) { errors.find(|e| !about_prefix(e)).unwrap_or(first) } else { first });
        }
        Ok(Self { version, scheme, materials: derived.into_iter().map(Result::ok).collect() })
    }

    /// The version given when the key was made; a verdict names it.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The material for the proof at `index` of `scheme`, if this key has that shape.
    pub(crate) fn material(&self, scheme: &Arc<str>, index: usize) -> Option<&Material> {
        if !Arc::ptr_eq(&self.scheme, scheme) && self.scheme != *scheme {
            return None;
        }
        self.materials.get(index)?.as_ref()
    }
}

/// What begins like a public key is no secret: whoever verifies with it would publish what signs.
const PUBLIC_PREFIX: &str = "whpk_";

/// Whether a secret may be set now. Stricter than what a key can be made of, because secrets that are in use stay usable.
pub(crate) fn check_new(proof: &Proof, secret: &[u8]) -> Result<(), SecretError> {
    if proof.is_asymmetric() {
        return Ok(());
    }
    if secret.starts_with(PUBLIC_PREFIX.as_bytes()) {
        return Err(SecretError::PrefixRefused(PUBLIC_PREFIX.to_owned()));
    }
    let Some(least) = proof.key.least_bytes else { return Ok(()) };
    let found = key_bytes(&proof.key, secret)?.len();
    if found < least { Err(SecretError::TooShort { least, found }) } else { Ok(()) }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("scheme", &self.scheme).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Material {
    fn derive(proof: &Proof, secret: &[u8]) -> Result<Self, SecretError> {
        if proof.alg.is_empty() {
            return Self::of(proof.algorithm, &proof.key, secret);
        }
        let each = proof.alg.iter().map(|alg| Ok((*alg, Self::of(alg.algorithm(), &proof.key, secret)?)));
        each.collect::<Result<_, SecretError>>().map(Self::Each)
    }

    fn of(algorithm: Algorithm, spec: &KeySpec, secret: &[u8]) -> Result<Self, SecretError> {
        match algorithm {
            Algorithm::HmacSha1 => Ok(Self::HmacSha1(hmac(&key_bytes(spec, secret)?))),
            Algorithm::HmacSha256 => Ok(Self::HmacSha256(hmac(&key_bytes(spec, secret)?))),
            Algorithm::HmacSha384 => Ok(Self::HmacSha384(hmac(&key_bytes(spec, secret)?))),
            Algorithm::HmacSha512 => Ok(Self::HmacSha512(hmac(&key_bytes(spec, secret)?))),
            Algorithm::Ed25519 => ed25519(spec, secret),
            _ if algorithm.is_plain_hash() => {
                let key = key_bytes(spec, secret)?;
                Secret::new(key.as_slice()).map(|key| Self::Plain(algorithm, key)).map_err(|_| SecretError::Empty)
            }
            _ if algorithm.is_ecdsa() => p256(algorithm, spec, secret),
            _ if algorithm.is_rsa() => rsa(algorithm, spec, secret),
            Algorithm::Basic if !secret.contains(&b':') => Err(SecretError::NoColon),
            Algorithm::Basic => {
                let text = Zeroizing::new(Encoding::Base64.encode(&sendable(spec, secret)?));
                Token::new(text.as_bytes()).map(Self::Token)
            }
            _ => Token::new(&sendable(spec, secret)?).map(Self::Token),
        }
    }

    /// Whether any of the signatures sent proves the content; `None` if none of them has the right form, and then nothing was hashed.
    /// Every one is compared, in constant time.
    pub(crate) fn accepts(&self, content: &Content<'_>, proof: &Proof, found: &Found<'_>) -> Option<bool> {
        match self {
            Self::HmacSha1(state) => is_any(state, content, proof, found),
            Self::HmacSha256(state) => is_any(state, content, proof, found),
            Self::HmacSha384(state) => is_any(state, content, proof, found),
            Self::HmacSha512(state) => is_any(state, content, proof, found),
            Self::Plain(algorithm, secret) => {
                let mut expected = None;
                let mut any = Choice::from(0);
                let hash = || plain(*algorithm, &Content { secret: secret.expose(), ..*content });
                proof.each_tag(found, |sent| any |= equal(sent, expected.get_or_insert_with(hash)));
                expected.map(|_| any.into())
            }
            Self::Token(_) | Self::Each(_) => None,
            pair => {
                let mut signed = None;
                let mut any = false;
                proof.each_tag(found, |sent| {
                    any |= pair.verifies(signed.get_or_insert_with(|| content.to_vec()), sent);
                });
                signed.map(|_: Vec<u8>| any)
            }
        }
    }

    /// Whether the signature is that of these bytes.
    pub(crate) fn verifies(&self, signed: &[u8], sent: &[u8]) -> bool {
        match self {
            Self::Ed25519Public(key) => ed25519_verifies(key, signed, sent),
            Self::Ed25519Private(key) => ed25519_verifies(&key.verifying_key(), signed, sent),
            Self::EcdsaPublic(algorithm, key) => p256_verifies(*algorithm, key, signed, sent),
            Self::EcdsaPrivate(algorithm, key) => p256_verifies(*algorithm, key.verifying_key(), signed, sent),
            #[cfg(feature = "rsa")]
            Self::Rsa(_, key) => key.verifies(signed, sent),
            Self::HmacSha1(_) | Self::HmacSha256(_) | Self::HmacSha384(_) | Self::HmacSha512(_) => {
                let expected = self.sign(&Content::of_body(&Template::body(), signed));
                expected.is_some_and(|expected| equal(sent, &expected).into())
            }
            Self::Plain(..) | Self::Token(_) | Self::Each(_) => false,
        }
    }

    /// The key for this algorithm of a token.
    pub(crate) fn for_alg(&self, name: &str) -> Option<(Alg, &Self)> {
        match self {
            Self::Each(each) => each.iter().find(|(alg, _)| alg.name() == name).map(|(alg, key)| (*alg, key)),
            _ => None,
        }
    }

    /// The key for the first algorithm of a token, which is the one that is sent.
    pub(crate) fn first_alg(&self) -> Option<(Alg, &Self)> {
        match self {
            Self::Each(each) => each.first().map(|(alg, key)| (*alg, key)),
            _ => None,
        }
    }

    /// Whether `sent` is this token. Compares digests, so that the time says nothing about the secret, not even its length.
    pub(crate) fn is_token(&self, sent: &[u8]) -> bool {
        match self {
            Self::Token(token) if sent.len() <= MAX_SENT => equal(&Sha256::digest(sent), &token.digest).into(),
            _ => false,
        }
    }

    /// The signature of the content, where this kind of key can make one.
    pub(crate) fn sign(&self, content: &Content<'_>) -> Option<Vec<u8>> {
        match self {
            Self::HmacSha1(state) => Some(tag(state, content).to_vec()),
            Self::HmacSha256(state) => Some(tag(state, content).to_vec()),
            Self::HmacSha384(state) => Some(tag(state, content).to_vec()),
            Self::HmacSha512(state) => Some(tag(state, content).to_vec()),
            Self::Plain(algorithm, secret) => Some(plain(*algorithm, &Content { secret: secret.expose(), ..*content })),
            Self::Ed25519Private(key) => Some(key.sign(&content.to_vec()).to_bytes().to_vec()),
            Self::EcdsaPrivate(algorithm, key) => p256_sign(*algorithm, key, &content.to_vec()),
            #[cfg(feature = "rsa")]
            Self::Rsa(algorithm, key) => key.sign(*algorithm, &content.to_vec()),
            Self::Ed25519Public(_) | Self::EcdsaPublic(..) | Self::Token(_) | Self::Each(_) => None,
        }
    }

    /// The token's text, where this is one.
    pub(crate) fn token(&self) -> Option<&str> {
        match self {
            Self::Token(token) => std::str::from_utf8(token.text.expose()).ok(),
            _ => None,
        }
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.digest.zeroize();
    }
}

fn hmac<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("hmac takes keys of any length")
}

fn tag<M: Mac + Clone>(state: &M, content: &Content<'_>) -> hmac::digest::Output<M> {
    let mut mac = state.clone();
    content.feed(|piece| mac.update(piece));
    mac.finalize().into_bytes()
}

fn is_any<M: Mac + Clone>(state: &M, content: &Content<'_>, proof: &Proof, found: &Found<'_>) -> Option<bool> {
    let mut expected = None;
    let mut any = Choice::from(0);
    proof.each_tag(found, |sent| any |= equal(sent, expected.get_or_insert_with(|| tag(state, content))));
    expected.map(|_| any.into())
}

/// Compares in constant time, by words: by bytes it takes as long as hashing a block.
fn equal(one: &[u8], other: &[u8]) -> Choice {
    let (words, rest) = one.as_chunks::<8>();
    let (other_words, other_rest) = other.as_chunks::<8>();
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let same_len = one.len().ct_eq(&other.len());
    words
        .iter()
        .zip(other_words)
        .fold(same_len & rest.ct_eq(other_rest), |equal, (one, other)| equal & word(one).ct_eq(&word(other)))
}

/// The hash of a content that holds the secret.
fn plain(algorithm: Algorithm, content: &Content<'_>) -> Vec<u8> {
    fn hash<D: Digest>(content: &Content<'_>) -> Vec<u8> {
        let mut state = D::new();
        content.feed(|piece| state.update(piece));
        state.finalize().to_vec()
    }
    match algorithm {
        Algorithm::Md5 => hash::<Md5>(content),
        Algorithm::Sha1 => hash::<Sha1>(content),
        Algorithm::Sha384 => hash::<Sha384>(content),
        Algorithm::Sha512 => hash::<Sha512>(content),
        _ => hash::<Sha256>(content),
    }
}

/// The key's bytes: prefix off, then decoded.
pub(crate) fn key_bytes(spec: &KeySpec, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let mut text = secret;
    if let Some(prefix) = &spec.prefix {
        text = text.strip_prefix(prefix.as_bytes()).ok_or_else(|| SecretError::PrefixMissing(prefix.clone()))?;
    }
    if let Some(prefix) = &spec.optional_prefix {
        text = text.strip_prefix(prefix.as_bytes()).unwrap_or(text);
    }
    if let Some(prefix) = spec.refused_prefix.as_ref().filter(|prefix| text.starts_with(prefix.as_bytes())) {
        return Err(SecretError::PrefixRefused(prefix.clone()));
    }
    let bytes = decode(spec.encoding, text)?;
    Ok(match spec.hash {
        None => bytes,
        Some(KeyHash::Sha1) => Zeroizing::new(Sha1::digest(&bytes).to_vec()),
        Some(KeyHash::Sha256) => Zeroizing::new(Sha256::digest(&bytes).to_vec()),
    })
}

pub(crate) fn decode(encoding: Option<Encoding>, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let bytes = match encoding {
        None => text.to_vec(),
        Some(Encoding::Hex | Encoding::HexUpper) => {
            Encoding::Hex.decode_key(text).ok_or(SecretError::NotDecodable("hex"))?
        }
        Some(base64) => base64.decode_key(text).ok_or(SecretError::NotDecodable("base64"))?,
    };
    if bytes.is_empty() { Err(SecretError::Empty) } else { Ok(Zeroizing::new(bytes)) }
}

/// Whichever key the secret is, as PEM, JWK or DER in the scheme's encoding.
pub(crate) fn pair(spec: &KeySpec, secret: &[u8], wanted: &'static str) -> Result<Pair, SecretError> {
    let pair = match Pair::from_text(secret) {
        Some(pair) => pair,
        None => Pair::from_der(&key_bytes(spec, secret)?),
    };
    pair.ok_or(SecretError::OtherKind(wanted))
}

#[cfg(feature = "rsa")]
fn rsa(algorithm: Algorithm, spec: &KeySpec, secret: &[u8]) -> Result<Material, SecretError> {
    let pair = pair(spec, secret, "an RSA key")?;
    RsaKey::new(algorithm, &pair).map(|key| Material::Rsa(algorithm, key))
}

#[cfg(not(feature = "rsa"))]
fn rsa(_: Algorithm, _: &KeySpec, _: &[u8]) -> Result<Material, SecretError> {
    Err(SecretError::NoRsa)
}

/// The bytes of a token that a header could carry and give back unchanged.
fn sendable(spec: &KeySpec, secret: &[u8]) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let bytes = key_bytes(spec, secret)?;
    let printable = |text: &str| !text.chars().any(char::is_control) && text.trim() == text;
    let fits = bytes.len() <= MAX_TOKEN && std::str::from_utf8(&bytes).is_ok_and(printable);
    if fits { Ok(bytes) } else { Err(SecretError::NotSendable) }
}

impl Token {
    fn new(text: &[u8]) -> Result<Self, SecretError> {
        Ok(Self { text: Secret::new(text).map_err(|_| SecretError::Empty)?, digest: Sha256::digest(text).into() })
    }
}

/// A new secret in the provider's own format from handed-in entropy. A pair whose format nobody says is made in PEM; none of RSA.
pub(crate) fn generate(proof: &Proof, fill: &mut dyn FnMut(&mut [u8])) -> Option<Secret> {
    let algorithm = proof.alg.first().map_or(proof.algorithm, |alg| alg.algorithm());
    let Some(spec) = &proof.key.generate else {
        let mut number = Zeroizing::new([0; 32]);
        if algorithm == Algorithm::Ed25519 {
            fill(number.as_mut());
            return Secret::new(pair::ed25519_pem(number.as_ref()).as_bytes()).ok();
        }
        if algorithm.is_ecdsa() {
            fill(number.as_mut());
            ecdsa::SigningKey::from_slice(number.as_ref()).ok()?;
            return Secret::new(pair::p256_pem(number.as_ref()).as_bytes()).ok();
        }
        return None;
    };
    let mut entropy = Zeroizing::new(vec![0; spec.bytes]);
    fill(&mut entropy);
    if algorithm == Algorithm::Ed25519 {
        let seed = <&[u8; 32]>::try_from(entropy.as_slice()).expect("checked when the scheme was read");
        let pair = Zeroizing::new(SigningKey::from_bytes(seed).to_keypair_bytes().to_vec());
        return Secret::new(format!("{}{}", spec.prefix, spec.encoding.encode(&pair))).ok();
    }
    Secret::new(format!("{}{}", spec.prefix, spec.encoding.encode(&entropy))).ok()
}
