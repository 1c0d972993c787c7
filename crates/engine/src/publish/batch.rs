//! Many events published at once. Each is judged by itself; those that may be published are committed together, in their
//! order, in one transaction.

use super::{Publish, PublishError, Published, publish_door, published, unavailable};
use crate::commit::{Proven, is_committed, owed, prepare};
use crate::engine::Engine;

/// The most events in one batch.
pub const BATCH_MAX: usize = 1000;

impl Engine {
    /// Publishes many events of one caller. The answers are in their order: one that is refused, or that repeats another
    /// under its idempotency key, does not keep the others out. Events of one batch under the same key are told apart as
    /// if they had come one after the other.
    ///
    /// # Errors
    ///
    /// [`PublishError::Invalid`] for more than [`BATCH_MAX`]; [`PublishError::Unavailable`]: then nothing is published.
    pub async fn publish_batch(
        &self,
        batch: Vec<Publish>,
    ) -> Result<Vec<Result<Published, PublishError>>, PublishError> {
        if batch.len() > BATCH_MAX {
            return Err(PublishError::Invalid(format!("a batch has at most {BATCH_MAX} events")));
        }
        let (inner, registry) = (self.inner(), self.inner().registry());
        let mut answers = Vec::with_capacity(batch.len());
        let mut events = Vec::with_capacity(batch.len());
        for publish in batch {
            match self.admitted(&registry, publish).await {
                Err(error @ PublishError::Unavailable(_)) => return Err(error),
                Err(error) => answers.push(Err(error)),
                Ok((fact, by)) => {
                    let (source, digest) = (publish_door(&registry, by.organization)?, fact.body_sha256);
                    let now = inner.clock().now();
                    events.push(prepare(inner, &registry, source, Proven::Published { by }, fact, now).await);
                    answers.push(Ok(digest));
                }
            }
        }
        let owed: Vec<_> = events.iter().map(owed).collect();
        let committed =
            if events.is_empty() { Vec::new() } else { inner.store().commit_all(events).await.map_err(unavailable)? };
        committed.iter().zip(owed).for_each(|(committed, owed)| is_committed(inner, committed, owed));
        let mut committed = committed.into_iter();
        let answer = |admitted: Result<[u8; 32], PublishError>| {
            let digest = admitted?;
            published(committed.next().expect("there is a commit for each event that was admitted"), digest)
        };
        Ok(answers.into_iter().map(answer).collect())
    }
}
