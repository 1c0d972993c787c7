//! The seam to key management: wrap and unwrap the small data keys that seal secrets.
//! Owns the sealed form and its associated data; which secret is live is `keyring`.

#[cfg(feature = "kms-aws")]
pub mod aws;
pub mod cache;
pub mod environment;
pub mod keychain;
pub mod local;
mod master;
#[cfg(feature = "kms-pkcs11")]
pub mod pkcs11;
pub mod seal;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::clock::Entropy;

/// A value under envelope encryption: AES-256-GCM under a data key of its own, which is wrapped by a KMS key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Which KMS key wrapped the data key, such as `local:<8 hex of its fingerprint>`.
    pub key_id: String,
    /// The wrapped data key.
    pub wrapped_key: Vec<u8>,
    /// The sealed bytes; see [`seal`].
    pub ciphertext: Vec<u8>,
}

/// Why a value could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KmsError {
    /// The KMS does not answer now; try again later.
    #[error("the KMS is unavailable: {0}")]
    Unavailable(String),
    /// The value was sealed under a key that this KMS does not hold.
    #[error("the secret was sealed under KMS key `{sealed_under}`, but this KMS holds `{holds}`")]
    WrongKey {
        /// The key that sealed it.
        sealed_under: String,
        /// The key at hand.
        holds: String,
    },
    /// The ciphertext is not what was sealed for this place: damaged, or moved from another.
    #[error("the sealed value does not open here: it is damaged or belongs to another place")]
    Damaged,
}

/// Holds master keys. Data keys pass through it; secrets never do.
#[async_trait]
pub trait Kms: Send + Sync + std::fmt::Debug {
    /// The key that `wrap` uses now.
    fn key_id(&self) -> &str;

    /// Whether `unwrap` knows this key.
    fn holds(&self, key_id: &str) -> bool {
        key_id == self.key_id()
    }

    /// Every key that `unwrap` knows, the one that `wrap` uses first.
    fn key_ids(&self) -> Vec<String> {
        vec![self.key_id().to_owned()]
    }

    /// Wraps a data key, bound to `aad`.
    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError>;

    /// Unwraps a data key that `key_id` wrapped, bound to the same `aad`.
    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError>;
}

/// Wraps a fresh data key and unwraps it again: that the KMS answers, and answers right.
///
/// # Errors
///
/// Whatever the KMS fails with; [`KmsError::Damaged`] when what comes back is another key.
pub async fn check(kms: &dyn Kms, entropy: &dyn Entropy) -> Result<(), KmsError> {
    const PLACE: &[u8] = b"hookward/check/v1";
    let mut data_key = Zeroizing::new([0; 32]);
    entropy.fill(data_key.as_mut());
    let wrapped = kms.wrap(&data_key, PLACE).await?;
    let unwrapped = kms.unwrap(kms.key_id(), &wrapped, PLACE).await?;
    // Nothing is sealed under this key, so there is nothing to find out by the time that comparing takes.
    if unwrapped == data_key { Ok(()) } else { Err(KmsError::Damaged) }
}
