//! A master key in this process's memory, wherever it came from. Owns wrapping under it; making and finding keys is the
//! providers'.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::LessSafeKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::KmsError;
use super::seal::{cipher, decrypt, encrypt};
use crate::clock::Entropy;

/// A key of AES-256, in bytes.
pub(super) const KEY_LEN: usize = 32;

/// A key and its name.
pub(super) struct MasterKey {
    id: String,
    cipher: LessSafeKey,
    entropy: Arc<dyn Entropy>,
}

/// Whether `key` was drawn at all: an empty page of memory or of a disk was not.
pub(super) fn is_random(key: &[u8; KEY_LEN]) -> bool {
    key.iter().any(|byte| *byte != key[0])
}

impl MasterKey {
    /// The key of a provider, named after it and after a fingerprint of itself. The name stands beside whatever the key
    /// sealed, so what it is made of never changes.
    pub(super) fn new(provider: &str, key: &[u8; KEY_LEN], entropy: Arc<dyn Entropy>) -> Self {
        let tag = format!("hookward/{provider}-kms/fingerprint/v1\0");
        let fingerprint = Sha256::new().chain_update(tag).chain_update(key).finalize();
        Self { id: format!("{provider}:{}", hex::encode(&fingerprint[..4])), cipher: cipher(key), entropy }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Vec<u8> {
        encrypt(&self.cipher, &*self.entropy, aad, data_key)
    }

    pub(super) fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        if key_id != self.id {
            return Err(KmsError::WrongKey { sealed_under: key_id.to_owned(), holds: self.id.clone() });
        }
        data_key(&decrypt(&self.cipher, aad, wrapped)?)
    }
}

/// An unwrapped data key, if it has the length of one.
pub(super) fn data_key(opened: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
    let mut data_key = Zeroizing::new([0; 32]);
    if opened.len() != data_key.len() {
        return Err(KmsError::Damaged);
    }
    data_key.copy_from_slice(opened);
    Ok(data_key)
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}
