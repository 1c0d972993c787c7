//! The KMS that is a variable: 32 random bytes as text, which whoever starts the process hands over.
//! Owns the text's form. Where the text comes from is the caller's: the engine reads no environment.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hookward::Secret;
use zeroize::Zeroizing;

use super::master::{KEY_LEN, MasterKey, is_random};
use super::{Kms, KmsError};
use crate::clock::Entropy;

/// Why a text is not a master key. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentKmsError {
    /// It is neither base64 nor hexadecimal digits.
    #[error("it is neither base64 nor hexadecimal digits; `openssl rand -base64 32` makes a key")]
    NotText,
    /// It stands for too few or too many bytes.
    #[error("it stands for {0} bytes instead of {KEY_LEN}; `openssl rand -base64 32` makes a key")]
    Length(usize),
    /// Nobody drew it.
    #[error("every byte of it is the same; `openssl rand -base64 32` makes a key")]
    NotRandom,
}

/// A master key that was handed over as text: base64 (either alphabet, padded or not) or 64 hexadecimal digits.
#[derive(Debug)]
pub struct EnvironmentKms {
    key: MasterKey,
}

impl EnvironmentKms {
    /// The key that `text` stands for.
    ///
    /// # Errors
    ///
    /// [`EnvironmentKmsError`] if it is not 32 random bytes.
    pub fn new(text: &Secret, entropy: Arc<dyn Entropy>) -> Result<Self, EnvironmentKmsError> {
        let key = decode(text.expose().trim_ascii())?;
        Ok(Self { key: MasterKey::new("environment", &key, entropy) })
    }
}

#[async_trait]
impl Kms for EnvironmentKms {
    fn key_id(&self) -> &str {
        self.key.id()
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        Ok(self.key.wrap(data_key, aad))
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        self.key.unwrap(key_id, wrapped, aad)
    }
}

fn decode(text: &[u8]) -> Result<Zeroizing<[u8; KEY_LEN]>, EnvironmentKmsError> {
    let any_padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let is_hex = text.len() == 2 * KEY_LEN && text.iter().all(u8::is_ascii_hexdigit);
    let decoded = match is_hex {
        true => hex::decode(text).ok(),
        false => [STANDARD, URL_SAFE]
            .iter()
            .find_map(|alphabet| GeneralPurpose::new(alphabet, any_padding).decode(text).ok()),
    };
    let decoded = Zeroizing::new(decoded.ok_or(EnvironmentKmsError::NotText)?);
    let mut key = Zeroizing::new([0; KEY_LEN]);
    if decoded.len() != KEY_LEN {
        return Err(EnvironmentKmsError::Length(decoded.len()));
    }
    key.copy_from_slice(&decoded);
    if is_random(&key) { Ok(key) } else { Err(EnvironmentKmsError::NotRandom) }
}
