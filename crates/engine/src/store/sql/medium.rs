//! What a database does besides answering statements, and how its other nodes are followed. Owns nothing of how: that is whose
//! database it is, `sqlite`'s or `postgres`'s.

use std::fmt::Debug;
use std::path::PathBuf;

use async_trait::async_trait;

use super::FirstStart;
use super::readers::Readers;
use crate::store::postgres::knocks::Knocks;
use crate::store::{Copied, Old, StoreError};

/// What the database does besides answering statements.
#[async_trait]
pub(in crate::store) trait Medium: Debug + Send + Sync {
    /// Where other nodes work on it too: the connection over which they are followed, and nothing else is done.
    fn following(&self) -> Option<Following<'_>> {
        None
    }

    /// Takes the turn of whoever may make the first key; `None` when another node has it, or serves. Of a database with one
    /// owner it is his.
    async fn begin(&self) -> Result<Option<FirstStart>, StoreError> {
        Ok(Some(FirstStart::holding(Box::new(()))))
    }

    /// One snapshot of everything, as a file; in `directory`, unless the database has a place of its own for it.
    async fn copy(&self, directory: Option<PathBuf>) -> Result<Copied, StoreError>;

    /// Overwrites what was removed, wherever it may still be read.
    async fn overwrite(&self) -> Result<(), StoreError>;

    /// Makes room for what comes, where that has to be made.
    async fn make_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Drops days that are too old, where there are days.
    async fn drop_days(&self, _: Old) -> Result<Option<u32>, StoreError> {
        Ok(None)
    }
}

/// How the other nodes of a database are followed.
#[derive(Debug)]
pub(in crate::store) struct Following<'m> {
    /// One connection for that alone: nobody is cut off because many read, or because a write takes long.
    pub(in crate::store) connection: &'m Readers,
    /// The newest schema known here.
    pub(in crate::store) schema: i64,
    /// Where they are told to look.
    pub(in crate::store) knocks: &'m Knocks,
}
