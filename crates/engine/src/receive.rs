//! The inbound door: a request is proven or refused, and what is proven is committed before anyone is told.
//! Owns the order of checks after the body is in; HTTP statuses are the gateway's business.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward::{Handshake, Message, Refusal, Scheme, UnixTime, Verified, WantedKey};

use crate::clock::Timestamp;
use crate::commit::{Fact, OpenDoor, Proven, commit};
use crate::dedup;
use crate::engine::Engine;
use crate::exposure::Exposed;
use crate::ids::{OrganizationId, SourceId};
use crate::keyring::Live;
use crate::model::{RefusedAt, Source};
use crate::published::NoKey;
use crate::redact::{self, Credentials};
use crate::refusals::Why;
use crate::registry::{LiveSource, Registry};
use crate::store::{Committed, OnDuplicate, StoreError};

/// The stable reason of what is authentic and too much.
const RATE_LIMITED: &str = "rate-limited";

/// The stable reason of what may be authentic, and cannot be judged yet.
pub const KEY_UNAVAILABLE: &str = "key-unavailable";

/// Bytes as they arrived, unproven.
#[derive(Debug)]
pub struct InboundRequest {
    /// `POST`, …
    pub method: String,
    /// The URL as the sender called it: absolute, or path and query.
    pub url: String,
    /// In order of arrival, names lower case.
    pub headers: Vec<(String, Bytes)>,
    /// The raw body.
    pub body: Bytes,
    /// The peer's address, for the audit log.
    pub remote: String,
}

/// What became of a request.
#[derive(Debug)]
pub enum Receipt {
    /// Proven, new, and on disk.
    Accepted(Committed),
    /// Proven, and the same as an earlier one; on disk, owing nothing.
    Duplicate(Committed),
    /// Not believed. The reason is for the operator only.
    Refused(Refusal),
    /// A handshake: what the provider wants to hear. It is no event.
    Answered(Handshake),
    /// Neither believed nor refused: the published key that would decide cannot be fetched now. The reason is for the operator only.
    Undecided,
    /// Proven, but more than the source takes; nothing was kept.
    Limited {
        /// When there will be room for it.
        retry_after: Duration,
    },
}

/// Why a door turned a request away before any secret was tried. The reason is for the operator only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedAway {
    /// The hint in its body is that of no source on its path, or it has none.
    NoSourceForHint {
        /// A source on that path: the request is held against its secrets too, for nothing but the time that it takes. So the
        /// time of an answer does not tell which hints have a source.
        like: SourceId,
    },
    /// Its sender's address is none of those that may come here.
    AddressNotAllowed,
}

impl TurnedAway {
    /// The stable name of the reason, for logs, metrics and scripts.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NoSourceForHint { .. } => "no-source-for-hint",
            Self::AddressNotAllowed => "address-not-allowed",
        }
    }

    /// One sentence for the operator.
    pub fn explanation(&self) -> &'static str {
        match self {
            Self::NoSourceForHint { .. } => "no source on this path has the hint that is in the body",
            Self::AddressNotAllowed => "the sender's address is not in `allow_addresses`",
        }
    }
}

/// Our own fault, never the sender's: nothing was kept, and the sender should try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

impl Engine {
    /// Takes a request that arrived at `source`: proves it, finds out whether it is a repeat, and commits it with the
    /// deliveries it owes. `Ok` with a [`Committed`] means that it is on disk.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the store cannot keep it now, a secret that might prove it is not open, this node was cut off from
    /// the others, or the source is not declared any more.
    pub async fn receive(&self, source: SourceId, request: InboundRequest) -> Result<Receipt, Unavailable> {
        self.inner().cut_off().map_or(Ok(()), |problem| Err(Unavailable(problem)))?;
        let registry = self.inner().registry();
        let Some(live) = registry.source(source) else {
            return Err(Unavailable(format!("source `{source}` is not declared")));
        };
        let now = self.inner().clock().now();
        let exposed = self.exposed(&registry, live, &request, now).await;
        if let Some(receipt) = self.handshake(live, &request, None, &exposed, now).await? {
            return Ok(receipt);
        }
        let proven = match self.prove(live, &message(&request), now).await? {
            Ok(proven) => proven,
            Err(NoKey::Refused(refusal, problem)) => {
                let why = || Why::of(&refusal, live.scheme.as_deref()).because(problem).at_source(source);
                self.inner().refuse(live.door(), refusal.id(), why, &request, &exposed, now);
                return Ok(Receipt::Refused(refusal));
            }
            Err(NoKey::Unavailable(problem)) => return Ok(self.undecided(live, problem, &request, &exposed, now)),
        };
        if let Proven::Verified(verified) = &proven
            && let Some(receipt) = self.handshake(live, &request, Some(verified), &exposed, now).await?
        {
            return Ok(receipt);
        }
        if let Err(retry_after) = live.take(self.inner().clock().elapsed()) {
            let at = live.door();
            let why = || Why::plain(RATE_LIMITED, "authentic, but more than the source's `rate`");
            self.inner().refuse(at, RATE_LIMITED, why, &request, &exposed, now);
            return Ok(Receipt::Limited { retry_after });
        }
        let (sender_id, event_type) = match &proven {
            Proven::Verified(verified) => identity(live, verified, &request),
            Proven::Open(_) | Proven::Published { .. } | Proven::Own(_) => {
                (header_id(&live.source, &request), String::new())
            }
        };
        let sender_id = sender_id.map(|id| exposed.hide(id, &request));
        let event_type = exposed.hide(event_type, &request);
        let body_sha256 = dedup::sha256(&request.body);
        let tolerance = live.scheme.as_ref().and_then(|scheme| scheme.tolerance());
        let dedup = dedup::keys(&live.source.spec.dedup, sender_id.as_deref(), &body_sha256, tolerance, now);
        let fact = Fact {
            event_type,
            delivery_id: sender_id,
            request: redact::record(
                request.method.clone(),
                &request.url,
                request.headers.clone(),
                request.remote.clone(),
                credentials(live),
                &exposed,
            ),
            body: request.body.clone(),
            body_sha256,
            dedup,
            on_duplicate: OnDuplicate::Keep,
        };
        match commit(self.inner(), &registry, &live.source, proven, fact, now).await {
            Ok(committed) if committed.original().is_some() => Ok(Receipt::Duplicate(committed)),
            Ok(committed) => Ok(Receipt::Accepted(committed)),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Proves a request with the keys that are open. What these do not prove is refused only when no other key might.
    async fn prove<'m>(
        &self,
        live: &LiveSource,
        message: &Message<'m>,
        now: Timestamp,
    ) -> Result<Result<Proven<'m>, NoKey>, Unavailable> {
        let refused = |refusal| NoKey::Refused(refusal, None);
        let keys = self.live_keys(live, now);
        if keys.keys.is_empty()
            && keys.shut.is_empty()
            && let Some(scheme) = live.scheme.as_ref()
            && let Some(wanted) = scheme.wanted_key(message)
        {
            return Ok(self.prove_by_published(live, scheme, wanted, message, now).await);
        }
        let proof = prove(live, message, &keys, now);
        if proof.is_ok() || keys.shut.is_empty() {
            return Ok(proof.map_err(refused));
        }
        let keys = self.inner().opened(&live.keyring, now).await;
        match (prove(live, message, &keys, now), keys.problem()) {
            (Err(_), Some(problem)) => Err(Unavailable(problem)),
            (proof, _) => Ok(proof.map_err(refused)),
        }
    }

    /// Proves a request with a key that its provider publishes, for a source that has no secret of its own.
    async fn prove_by_published<'m>(
        &self,
        live: &LiveSource,
        scheme: &Arc<Scheme>,
        wanted: Result<WantedKey, Refusal>,
        message: &Message<'m>,
        now: Timestamp,
    ) -> Result<Proven<'m>, NoKey> {
        let refused = |refusal| NoKey::Refused(refusal, None);
        let wanted = wanted.map_err(refused)?;
        let set = self.inner().published_keys(live, scheme, &wanted).await?;
        let keys = set.named(wanted.id.as_deref());
        let verified = scheme.verify(message, keys, UnixTime::from_millis(now.as_millis()));
        verified.map(Proven::Verified).map_err(refused)
    }

    /// Takes note of a request that cannot be judged now.
    pub(crate) fn undecided(
        &self,
        live: &LiveSource,
        problem: String,
        request: &InboundRequest,
        exposed: &Exposed,
        now: Timestamp,
    ) -> Receipt {
        let why =
            || Why::plain(KEY_UNAVAILABLE, &format!("what decides cannot be fetched from the provider: {problem}"));
        self.inner().refuse(live.door(), KEY_UNAVAILABLE, why, request, exposed, now);
        Receipt::Undecided
    }

    fn live_keys(&self, live: &LiveSource, now: Timestamp) -> Arc<Live> {
        live.keyring.live_at(now, self.inner().clock().elapsed())
    }

    /// Secrets of ours that stand where none belongs; the operator is told.
    pub(crate) async fn exposed(
        &self,
        registry: &Registry,
        live: &LiveSource,
        request: &InboundRequest,
        now: Timestamp,
    ) -> Exposed {
        let exposed = self.inner().find_exposed(registry, request, credentials(live), now);
        if !exposed.is_empty() {
            let door = (live.source.organization, format!("source:{}", live.source.name));
            self.inner().tell_exposed(registry, door, &exposed, &request.remote, now).await;
        }
        exposed
    }

    /// Takes note of a request that a door turned away.
    pub async fn turn_away(
        &self,
        organization: OrganizationId,
        at: RefusedAt,
        why: TurnedAway,
        request: &InboundRequest,
    ) {
        if let TurnedAway::NoSourceForHint { like } = why
            && let Some(live) = self.inner().registry().source(like)
        {
            let now = self.inner().clock().now();
            let _ = prove(live, &message(request), &self.live_keys(live, now), now);
        }
        self.refused(organization, at, why.id(), why.explanation(), request).await;
    }
}

fn credentials(live: &LiveSource) -> Credentials<'_> {
    Credentials { headers: &live.credential_headers, query: &live.credential_query }
}

/// A request as the library reads it.
pub(crate) fn message(request: &InboundRequest) -> Message<'_> {
    Message { method: &request.method, url: &request.url, headers: &request.headers, body: &request.body }
}

fn prove<'m>(live: &LiveSource, message: &Message<'m>, keys: &Live, now: Timestamp) -> Result<Proven<'m>, Refusal> {
    if let Some(open) = OpenDoor::of(&live.source) {
        return Ok(Proven::Open(open));
    }
    let Some(scheme) = &live.scheme else {
        return Err(Refusal::NoUsableSecret);
    };
    scheme.verify(message, &keys.keys, UnixTime::from_millis(now.as_millis())).map(Proven::Verified)
}

/// The sender's delivery id and the event type of a verified request. A source's own choice of id headers replaces
/// the scheme's.
fn identity(live: &LiveSource, verified: &Verified<'_>, request: &InboundRequest) -> (Option<String>, String) {
    let id = if live.source.spec.dedup.id_headers.is_empty() {
        verified.id().map(str::to_owned)
    } else {
        header_id(&live.source, request)
    };
    (id, verified.event_type().unwrap_or_default().to_owned())
}

fn header_id(source: &Source, request: &InboundRequest) -> Option<String> {
    source.spec.dedup.id_headers.iter().find_map(|wanted| {
        let (_, value) = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
    })
}

/// Nothing of a store's trouble is the sender's fault.
fn unavailable(error: &StoreError) -> Unavailable {
    tracing::error!(%error, "an event could not be committed");
    Unavailable(error.to_string())
}
