//! The store's verb for backups: everything as it stood at one moment, while the store goes on.

use std::fs::File;

use async_trait::async_trait;

use super::StoreError;
use crate::model::Head;

/// A copy of everything that a store keeps, in one file without a name: it is gone when this is dropped.
#[derive(Debug)]
pub struct Copied {
    /// The copy, to be read from its start.
    pub file: File,
    /// The schema that it is in.
    pub schema: u32,
    /// The audit log's head at that moment.
    pub head: Head,
    /// The KMS keys under which something in it is sealed, in order.
    pub key_ids: Vec<String>,
}

/// What a store can be saved by.
#[async_trait]
pub trait Backups: Send + Sync + std::fmt::Debug {
    /// Copies everything committed before. Writers are not kept waiting.
    async fn copy(&self) -> Result<Copied, StoreError>;
}
