//! Owns signatures with RSA, by AWS-LC. Reads no key's text.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, KeyPair, ParsedPublicKey, RsaEncoding, RsaKeyPair};

use crate::key::SecretError;
use crate::pair::{self, Pair};
use crate::proof::Algorithm;

/// A shorter modulus can be taken apart, or will soon be.
const LEAST_BITS: usize = 2048;

/// An RSA key for one algorithm. Only the private half signs.
#[derive(Clone)]
pub(crate) struct RsaKey {
    public: Arc<ParsedPublicKey>,
    private: Option<Arc<RsaKeyPair>>,
}

impl RsaKey {
    pub(crate) fn new(algorithm: Algorithm, pair: &Pair) -> Result<Self, SecretError> {
        let der = match pair {
            Pair::RsaPublic(der) => der.as_slice(),
            Pair::RsaPrivate(der) => der.as_slice(),
            _ => return Err(SecretError::OtherKind("an RSA key")),
        };
        let bits = pair::rsa_bits(der).ok_or(SecretError::BadPublicKey)?;
        if bits < LEAST_BITS {
            return Err(SecretError::WeakKey { bits, least: LEAST_BITS });
        }
        let private = match pair {
            Pair::RsaPrivate(der) => Some(Arc::new(RsaKeyPair::from_der(der).map_err(|_| SecretError::BadPrivateKey)?)),
            _ => None,
        };
        let public = match &private {
            Some(private) => ParsedPublicKey::new(verifier(algorithm), private.public_key()),
            None => ParsedPublicKey::new(verifier(algorithm), der),
        };
        Ok(Self { public: Arc::new(public.map_err(|_| SecretError::BadPublicKey)?), private })
    }

    pub(crate) fn verifies(&self, signed: &[u8], tag: &[u8]) -> bool {
        self.public.verify_sig(signed, tag).is_ok()
    }

    /// The signature, where the private half is at hand; none with SHA-1, which AWS-LC verifies only.
    pub(crate) fn sign(&self, algorithm: Algorithm, signed: &[u8]) -> Option<Vec<u8>> {
        let private = self.private.as_ref()?;
        let encoding: &dyn RsaEncoding = match algorithm {
            Algorithm::RsaSha256 => &signature::RSA_PKCS1_SHA256,
            Algorithm::RsaSha512 => &signature::RSA_PKCS1_SHA512,
            Algorithm::RsaPssSha256 => &signature::RSA_PSS_SHA256,
            Algorithm::RsaPssSha512 => &signature::RSA_PSS_SHA512,
            _ => return None,
        };
        let mut tag = vec![0; private.public_modulus_len()];
        private.sign(encoding, &SystemRandom::new(), signed, &mut tag).ok()?;
        Some(tag)
    }
}

fn verifier(algorithm: Algorithm) -> &'static dyn signature::VerificationAlgorithm {
    match algorithm {
        Algorithm::RsaSha1 => &signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
        Algorithm::RsaSha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => &signature::RSA_PKCS1_2048_8192_SHA256,
    }
}
