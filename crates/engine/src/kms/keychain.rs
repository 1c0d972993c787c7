//! Several master keys at once: the current one wraps, and each unwraps what it wrapped. So a move from one key or provider
//! to another takes no moment at which something does not open. Owns the choice only.

use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::{Kms, KmsError};

/// The current key and those before it.
#[derive(Debug)]
pub struct Keychain {
    current: Arc<dyn Kms>,
    previous: Vec<Arc<dyn Kms>>,
}

impl Keychain {
    /// Wraps with `current`; unwraps with it and with `previous`.
    pub fn new(current: Arc<dyn Kms>, previous: Vec<Arc<dyn Kms>>) -> Self {
        Self { current, previous }
    }

    fn all(&self) -> impl Iterator<Item = &Arc<dyn Kms>> {
        std::iter::once(&self.current).chain(&self.previous)
    }
}

#[async_trait]
impl Kms for Keychain {
    fn key_id(&self) -> &str {
        self.current.key_id()
    }

    fn holds(&self, key_id: &str) -> bool {
        self.all().any(|kms| kms.holds(key_id))
    }

    fn key_ids(&self) -> Vec<String> {
        self.all().flat_map(|kms| kms.key_ids()).collect()
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.current.wrap(data_key, aad).await
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        match self.all().find(|kms| kms.holds(key_id)) {
            Some(kms) => kms.unwrap(key_id, wrapped, aad).await,
            None => Err(KmsError::WrongKey { sealed_under: key_id.to_owned(), holds: self.key_ids().join("`, `") }),
        }
    }
}
