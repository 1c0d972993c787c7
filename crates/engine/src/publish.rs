//! The API's door: an authenticated caller publishes an event, or many. Owns its limits and the meaning of idempotency keys.

mod batch;

use bytes::Bytes;

use crate::commit::{Fact, Proven, commit};
use crate::dedup;
use crate::engine::Engine;
use crate::event_types::{Misfit, told};
use crate::ids::{EventId, OrganizationId};
use crate::model::{Principal, RequestRecord, Source};
use crate::registry::Registry;
use crate::store::{Committed, DedupKey, DedupKind, OnDuplicate, StoreError};

pub use batch::BATCH_MAX;

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
    /// The payload does not fit the schema of its type.
    #[error("the payload does not fit its type: {}", told(.0))]
    Misfits(Vec<Misfit>),
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
        let registry = self.inner().registry();
        let (fact, by) = self.admitted(&registry, publish).await?;
        let source = publish_door(&registry, by.organization)?;
        let (body_sha256, now) = (fact.body_sha256, self.inner().clock().now());
        let committed = commit(self.inner(), &registry, source, Proven::Published { by }, fact, now).await;
        published(committed.map_err(unavailable)?, body_sha256)
    }

    /// What is known of an event that may be published.
    async fn admitted(&self, registry: &Registry, publish: Publish) -> Result<(Fact, Principal), PublishError> {
        validate(&publish)?;
        let Publish { event_type, payload, idempotency_key, by } = publish;
        self.inner().admit(registry.event_types(), by.organization, &event_type, &payload).await?;
        let window = publish_door(registry, by.organization)?.spec.dedup.window;
        let expires_at = self.inner().clock().now().plus(window);
        let dedup = idempotency_key.as_deref().map(|key| DedupKey {
            kind: DedupKind::Idempotency,
            key: Bytes::copy_from_slice(&dedup::text_key(key)),
            expires_at,
        });
        let fact = Fact {
            event_type,
            delivery_id: idempotency_key,
            request: RequestRecord {
                method: "POST".to_owned(),
                target: "/api/v1/events".to_owned(),
                headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))],
                remote: by.address.clone(),
            },
            body_sha256: dedup::sha256(&payload),
            body: payload,
            dedup: dedup.into_iter().collect(),
            on_duplicate: OnDuplicate::Discard,
        };
        Ok((fact, by))
    }
}

fn publish_door(registry: &Registry, organization: OrganizationId) -> Result<&Source, PublishError> {
    let gone = || PublishError::Unavailable(format!("organization `{organization}` is not in force"));
    Ok(&registry.doors(organization).ok_or_else(gone)?.publish)
}

/// What a commit means to whoever published a body with this digest.
fn published(committed: Committed, body_sha256: [u8; 32]) -> Result<Published, PublishError> {
    match committed.original() {
        None => Ok(Published::Accepted(committed)),
        Some(original) if original.body_sha256 == body_sha256 => Ok(Published::Repeated(committed)),
        Some(original) => Err(PublishError::IdempotencyConflict { first: original.event }),
    }
}

fn unavailable(error: StoreError) -> PublishError {
    tracing::error!(%error, "a published event could not be committed");
    PublishError::Unavailable(error.to_string())
}

/// Whether an event may be of a type of this name.
pub(crate) fn is_event_type(name: &str) -> bool {
    let type_ok = |c: u8| c.is_ascii_alphanumeric() || b"._:/-".contains(&c);
    (1..=EVENT_TYPE_MAX).contains(&name.len()) && name.bytes().all(type_ok)
}

fn validate(publish: &Publish) -> Result<(), PublishError> {
    if !is_event_type(&publish.event_type) {
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
