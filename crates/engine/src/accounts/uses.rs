//! When keys and sessions were last used: noted in memory at each request, written together now and then.
//! What is noted when the process is killed is lost; nothing depends on it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::store::{Credential, Store};

/// Uses that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Uses {
    noted: Mutex<HashMap<Credential, Timestamp>>,
    added: Notify,
}

impl Uses {
    /// A credential was used.
    pub(crate) fn note(&self, credential: Credential, at: Timestamp) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.insert(credential, at).is_none() {
            self.added.notify_one();
        }
    }

    /// The last use that is not written yet.
    pub(crate) fn noted(&self, credential: Credential) -> Option<Timestamp> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).get(&credential).copied()
    }

    /// Completes when there is something to write.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Writes what is noted, in one transaction.
    pub(crate) async fn write(&self, store: &dyn Store) {
        let noted: Vec<_> = self.noted.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        if noted.is_empty() {
            return;
        }
        if let Err(error) = store.used(noted).await {
            tracing::warn!(%error, "when keys and sessions were last used could not be written");
        }
    }
}
