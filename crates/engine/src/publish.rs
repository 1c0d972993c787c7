//! The API's door: an authenticated caller publishes an event. Owns its limits and the meaning of idempotency keys.

use bytes::Bytes;

use crate::commit::{Fact, Proven, commit};
use crate::dedup;
use crate::engine::Engine;
use crate::ids::EventId;
use crate::model::{Principal, RequestRecord};
use crate::store::{Committed, DedupKey, DedupKind, OnDuplicate};

/// The longest event type, in bytes.
pub const EVENT_TYPE_MAX: usize = 256;

/// The longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// An event from a caller whom the API has authenticated.
#[derive(Debug)]
pub struct Publish {
    /// 1 to 256 characters of `A-Z a-z 0-9 . _ : / -`.
    pub event_type: String,
    /// The bytes that every destination will get, exactly.
    pub payload: Bytes,
    /// The client's `Idempotency-Key`: 1 to 255 printable ASCII characters.
    pub idempotency_key: Option<String>,
    /// Who, whose organization's destinations are to hear it.
    pub by: Principal,
}

/// What became of a published event.
#[derive(Debug)]
pub enum Published {
    /// New, and on disk.
    Accepted(Committed),
    /// The same key and payload as before; `first_event` is the event.
    Repeated(Committed),
}

/// Why nothing was published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The caller must change the request.
    #[error("{0}")]
    Invalid(String),
    /// The key was used before for another payload.
    #[error("the idempotency key was used before, for event `{first}`, with another payload")]
    IdempotencyConflict {
        /// The event it was used for.
        first: EventId,
    },
    /// Our fault: try again.
    #[error("{0}")]
    Unavailable(String),
}

impl Engine {
    /// Commits an event from the API with the deliveries it owes. `Ok` means that it is on disk.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub async fn publish(&self, publish: Publish) -> Result<Published, PublishError> {
        validate(&publish)?;
        let registry = self.inner().registry();
        let organization = publish.by.organization;
        let gone = || PublishError::Unavailable(format!("organization `{organization}` is not in force"));
        let source = &registry.doors(organization).ok_or_else(gone)?.publish;
        let now = self.inner().clock().now();
        let body_sha256 = dedup::sha256(&publish.payload);
        let window = source.spec.dedup.window;
        let dedup = publish.idempotency_key.as_deref().map(|key| DedupKey {
            kind: DedupKind::Idempotency,
            key: Bytes::copy_from_slice(&dedup::text_key(key)),
            expires_at: now.plus(window),
        });
        let fact = Fact {
            event_type: publish.event_type,
            delivery_id: publish.idempotency_key,
            request: RequestRecord {
                method: "POST".to_owned(),
                target: "/api/v1/events".to_owned(),
                headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))],
                remote: publish.by.address.clone(),
            },
            body: publish.payload,
            body_sha256,
            dedup: dedup.into_iter().collect(),
            on_duplicate: OnDuplicate::Discard,
        };
        let proven = Proven::Published { by: publish.by };
        match commit(self.inner(), &registry, source, proven, fact, now).await {
            Ok(committed) => match committed.original() {
                None => Ok(Published::Accepted(committed)),
                Some(original) if original.body_sha256 == body_sha256 => Ok(Published::Repeated(committed)),
                Some(original) => Err(PublishError::IdempotencyConflict { first: original.event }),
            },
            Err(error) => {
                tracing::error!(%error, "a published event could not be committed");
                Err(PublishError::Unavailable(error.to_string()))
            }
        }
    }
}

fn validate(publish: &Publish) -> Result<(), PublishError> {
    let type_ok = |c: u8| c.is_ascii_alphanumeric() || b"._:/-".contains(&c);
    if publish.event_type.is_empty()
        || publish.event_type.len() > EVENT_TYPE_MAX
        || !publish.event_type.bytes().all(type_ok)
    {
        return Err(PublishError::Invalid(format!(
            "the event type must be 1 to {EVENT_TYPE_MAX} characters of `A-Z a-z 0-9 . _ : / -`"
        )));
    }
    if let Some(key) = &publish.idempotency_key
        && (key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX || !key.bytes().all(|c| (0x20..0x7f).contains(&c)))
    {
        return Err(PublishError::Invalid(format!(
            "the idempotency key must be 1 to {IDEMPOTENCY_KEY_MAX} printable ASCII characters"
        )));
    }
    Ok(())
}
