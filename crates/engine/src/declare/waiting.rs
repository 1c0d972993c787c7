//! A served file's secrets while the KMS is away: what it declares comes into force without them, and they follow.

use super::{Authority, Declared, Planned};
use crate::engine::{Engine, EngineError};
use crate::model::Principal;

/// What was declared, and by whom.
pub(crate) type Waiting = (Principal, Declared);

impl Engine {
    /// Puts `declared` in force but for its secrets, and keeps it for when the KMS answers.
    pub(super) async fn put_without_secrets(
        &self,
        by: &Principal,
        declared: Declared,
        problem: &str,
    ) -> Result<Vec<Planned>, EngineError> {
        let whole = declared.clone();
        let mut declared = declared;
        declared.sources.iter_mut().for_each(|source| source.secret = None);
        declared.destinations.iter_mut().for_each(|destination| destination.secrets.clear());
        let planned = self.put(by, Authority::ServedFile, &declared).await?;
        tracing::error!(problem, "secrets of the configuration are not entered yet: they wait for the KMS");
        self.inner().opening().wait_with((by.clone(), whole));
        Ok(planned)
    }

    /// Enters the secrets that waited for the KMS, if it answers now.
    pub(crate) async fn enter_waiting(&self) {
        if !self.inner().opening().has_waiting() {
            return;
        }
        let _one_at_a_time = self.inner().administration().await;
        let Some((by, declared)) = self.inner().opening().take_waiting() else { return };
        match self.put(&by, Authority::ServedFile, &declared).await {
            Ok(_) => tracing::info!("secrets of the configuration that waited for the KMS are entered"),
            Err(EngineError::Unavailable(_)) => self.inner().opening().wait_with((by, declared)),
            Err(error) => tracing::error!(%error, "secrets of the configuration cannot be entered"),
        }
    }
}
