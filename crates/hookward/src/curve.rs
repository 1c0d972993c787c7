//! Owns signatures on elliptic curves: Ed25519 and ECDSA over P-256, with the keys for them. Finds no signature in a request.

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use p256::ecdsa;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::signature::{Signer, Verifier};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::key::{Material, SecretError, decode, key_bytes, pair};
use crate::pair::Pair;
use crate::proof::{Algorithm, KeySpec};

pub(crate) fn ed25519_verifies(key: &VerifyingKey, signed: &[u8], sent: &[u8]) -> bool {
    Signature::from_slice(sent).is_ok_and(|signature| key.verify_strict(signed, &signature).is_ok())
}

pub(crate) fn p256_verifies(algorithm: Algorithm, key: &ecdsa::VerifyingKey, signed: &[u8], sent: &[u8]) -> bool {
    let signature = match algorithm {
        Algorithm::EcdsaP256Raw => ecdsa::Signature::from_slice(sent),
        _ => ecdsa::Signature::from_der(sent),
    };
    signature.is_ok_and(|signature| match algorithm {
        Algorithm::EcdsaP256Sha1 => key.verify_prehash(&Sha1::digest(signed), &signature).is_ok(),
        _ => key.verify(signed, &signature).is_ok(),
    })
}

pub(crate) fn p256_sign(algorithm: Algorithm, key: &ecdsa::SigningKey, signed: &[u8]) -> Option<Vec<u8>> {
    let signature: ecdsa::Signature = match algorithm {
        Algorithm::EcdsaP256Sha1 => key.sign_prehash(&Sha1::digest(signed)).ok()?,
        _ => key.try_sign(signed).ok()?,
    };
    Some(match algorithm {
        Algorithm::EcdsaP256Raw => signature.to_bytes().to_vec(),
        _ => signature.to_der().as_bytes().to_vec(),
    })
}

pub(crate) fn ed25519(spec: &KeySpec, secret: &[u8]) -> Result<Material, SecretError> {
    let private = |seed: &[u8]| ed25519_private(seed).map(|key| Material::Ed25519Private(Box::new(key)));
    let marked = spec.private_prefix.as_ref().and_then(|prefix| secret.strip_prefix(prefix.as_bytes()));
    if let Some(text) = marked {
        return private(&decode(spec.encoding, text)?);
    }
    let bytes = match Pair::from_text(secret) {
        Some(Some(Pair::Ed25519Private(seed))) => return private(&seed),
        Some(Some(Pair::Ed25519Public(bytes))) => Zeroizing::new(bytes),
        Some(_) => return Err(SecretError::OtherKind("an Ed25519 key")),
        None => key_bytes(spec, secret)?,
    };
    let found = bytes.len();
    let bytes = <&[u8; 32]>::try_from(bytes.as_slice());
    let bytes = bytes.map_err(|_| SecretError::WrongLength { expected: "32", found })?;
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| SecretError::BadPublicKey)?;
    if key.is_weak() { Err(SecretError::BadPublicKey) } else { Ok(Material::Ed25519Public(Box::new(key))) }
}

pub(crate) fn p256(algorithm: Algorithm, spec: &KeySpec, secret: &[u8]) -> Result<Material, SecretError> {
    const WANTED: &str = "a P-256 key";
    match pair(spec, secret, WANTED)? {
        Pair::P256Public(point) => {
            let key = ecdsa::VerifyingKey::from_sec1_bytes(&point).map_err(|_| SecretError::BadPublicKey)?;
            Ok(Material::EcdsaPublic(algorithm, Box::new(key)))
        }
        Pair::P256Private(number) => {
            let key = ecdsa::SigningKey::from_slice(&number).map_err(|_| SecretError::BadPrivateKey)?;
            Ok(Material::EcdsaPrivate(algorithm, Box::new(key)))
        }
        _ => Err(SecretError::OtherKind(WANTED)),
    }
}

/// A private key is its seed, or its seed followed by the public key.
fn ed25519_private(bytes: &[u8]) -> Result<SigningKey, SecretError> {
    if let Ok(pair) = <&[u8; 64]>::try_from(bytes) {
        return SigningKey::from_keypair_bytes(pair).map_err(|_| SecretError::BadPrivateKey);
    }
    let seed = <&[u8; 32]>::try_from(bytes);
    seed.map(SigningKey::from_bytes).map_err(|_| SecretError::WrongLength { expected: "32 or 64", found: bytes.len() })
}
