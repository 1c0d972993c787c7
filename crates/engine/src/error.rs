//! Why an operation was not carried out, in the words of whoever asked for it; stores and key services have their own.

use std::time::Duration;

use crate::kms::KmsError;
use crate::store::StoreError;

/// Why an operation was not carried out. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The named thing does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// The caller must ask differently.
    #[error("{0}")]
    Invalid(String),
    /// It stands against what is there: a name that is taken, a secret in use.
    #[error("{0}")]
    Conflict(String),
    /// It is not any more what the caller takes it for.
    #[error("{0}")]
    Stale(String),
    /// Somebody changed it at another node at the same moment.
    #[error("what is declared was changed at another node at the same moment: look at it again, and try once more")]
    Moved,
    /// The caller asks too often.
    #[error("{what} too often: wait for {} s", retry_after.as_secs() + 1)]
    TooOften {
        /// What happens too often, in a few words.
        what: String,
        /// When there will be room for it.
        retry_after: Duration,
    },
    /// Try again later.
    #[error("{0}")]
    Unavailable(String),
    /// Data that its own rules forbid: the operator must look.
    #[error("{0}")]
    Inconsistent(String),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(problem) => Self::Unavailable(problem),
            StoreError::Moved => Self::Moved,
            StoreError::NotFound { what } => Self::NotFound(what),
            StoreError::Inconsistent { .. } => Self::Inconsistent(error.to_string()),
        }
    }
}

/// Whatever is wrong with a key or a sealed value, it is our fault, and what was asked for is not there now.
impl From<KmsError> for EngineError {
    fn from(error: KmsError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
