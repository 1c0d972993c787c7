//! What a store knows of requests that are to be carried out once: begun, answered, given up.

use async_trait::async_trait;
use bytes::Bytes;

use super::StoreError;
use crate::clock::Timestamp;
use crate::ids::OrganizationId;

/// A request under an idempotency key, as a store tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// Whose.
    pub organization: OrganizationId,
    /// A digest of who asks, for what, under which key.
    pub digest: [u8; 32],
}

/// A request that is about to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Which.
    pub key: RequestKey,
    /// A keyed digest of its body: tells the same request sent again from another one under the same key.
    pub fingerprint: [u8; 32],
    /// Until when it is remembered.
    pub expires_at: Timestamp,
}

/// The answer to a request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its HTTP status.
    pub status: u16,
    /// Its body, or the part that may be kept.
    pub body: Bytes,
    /// Whether `body` is all of it. It is not when the answer showed a secret, once.
    pub is_whole: bool,
}

/// What a store knows of a request before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// Nothing; from now on it is begun.
    Begun,
    /// It was begun before, and nothing is known of its end.
    Unfinished,
    /// It was carried out, and answered so.
    Answered(KeptAnswer),
    /// There was another request under this key.
    Another,
}

/// The verbs for requests that are carried out once.
#[async_trait]
pub trait Idempotency: Send + Sync {
    /// Begins a request unless it is known. Also forgets some that expired before `now`.
    async fn begin(&self, request: NewRequest, now: Timestamp) -> Result<Known, StoreError>;

    /// Keeps the answer to a request that was begun.
    async fn keep_answer(&self, key: RequestKey, answer: KeptAnswer) -> Result<(), StoreError>;

    /// Forgets a request that was begun and came to nothing, so that it may be sent again.
    async fn give_up(&self, key: RequestKey) -> Result<(), StoreError>;
}
