//! Who may make the master key: whoever starts while nothing is sealed yet, one at a time. Owns when that is; how nodes take
//! turns is their database's.

use std::fmt::Debug;

use super::{SqlStore, sealed};
use crate::store::StoreError;

/// The right to make the key under which everything will be sealed. While it is held no other node that starts gets it, so
/// something has to be sealed before it is dropped.
#[derive(Debug)]
pub struct FirstStart {
    _turn: Box<dyn Debug + Send + Sync>,
}

impl FirstStart {
    /// One that lasts as long as `turn`.
    pub(in crate::store) fn holding(turn: Box<dyn Debug + Send + Sync>) -> Self {
        Self { _turn: turn }
    }
}

impl SqlStore {
    /// The right to make the master key, where nothing was sealed yet and nobody else has it. Waits some moments for another
    /// node that has.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the database does not answer.
    pub async fn first_start(&self) -> Result<Option<FirstStart>, StoreError> {
        if self.readers.read(sealed::is_anything).await? {
            return Ok(None);
        }
        let turn = self.medium.begin().await?;
        // Whoever had the turn before may have sealed something.
        let is_sealed = self.readers.read(sealed::is_anything).await?;
        Ok(turn.filter(|_| !is_sealed))
    }
}
