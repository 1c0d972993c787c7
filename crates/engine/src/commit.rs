//! The only way from the doors into the store: something proven, with everything that must be true at once.
//! Owns the proof type; what a request needs to be proven is `receive`'s and `publish`'s.

use std::sync::Arc;

use bytes::Bytes;
use hookward::Verified;
use serde_json::json;

use crate::clock::Timestamp;
use crate::engine::Inner;
use crate::expression::Subject;
use crate::fanout;
use crate::ids::{DeliveryId, DestinationId, EventId};
use crate::model::{AuditEntry, DeliveryCause, Event, Principal, RequestRecord, SecretOwner, Source};
use crate::registry::{LiveDestination, Registry};
use crate::routing::{self, Asks, Decision, Question};
use crate::store::{Committed, DedupKey, FailedFilter, NewDelivery, NewEvent, OnDuplicate, StoreError};

/// Why an event is believed. There is no other way to commit one.
#[derive(Debug)]
pub(crate) enum Proven<'m> {
    /// A scheme verified it under one of the source's secrets.
    Verified(Verified<'m>),
    /// The source is openly configured as unsigned.
    Open(OpenDoor),
    /// The API authenticated whoever published it.
    Published {
        /// Who.
        by: Principal,
    },
    /// The engine found it out itself; its audit entry says what.
    Own(AuditEntry),
}

/// Proof that a source is configured to believe everything. Made only from such a source.
#[derive(Debug)]
pub(crate) struct OpenDoor(());

impl OpenDoor {
    /// The proof, if `source` says so.
    pub(crate) fn of(source: &Source) -> Option<Self> {
        matches!(source.spec.proof, crate::model::Proof::Unsigned).then_some(Self(()))
    }
}

/// What is known of an event besides its proof.
#[derive(Debug)]
pub(crate) struct Fact {
    /// The event type; may be empty.
    pub(crate) event_type: String,
    /// The sender's delivery id.
    pub(crate) delivery_id: Option<String>,
    /// The request as kept.
    pub(crate) request: RequestRecord,
    /// The raw bytes.
    pub(crate) body: Bytes,
    /// Their SHA-256.
    pub(crate) body_sha256: [u8; 32],
    /// What makes it the same as an earlier one.
    pub(crate) dedup: Vec<DedupKey>,
    /// What to do if it is.
    pub(crate) on_duplicate: OnDuplicate,
}

/// Commits a proven fact, the deliveries it owes and its audit entry. Returns once all of it is on disk.
pub(crate) async fn commit(
    inner: &Inner,
    registry: &Registry,
    source: &Source,
    proven: Proven<'_>,
    fact: Fact,
    now: Timestamp,
) -> Result<Committed, StoreError> {
    let event = prepare(inner, registry, source, proven, fact, now).await;
    let owed = owed(&event);
    let committed = inner.store().commit(event).await?;
    is_committed(inner, &committed, owed);
    Ok(committed)
}

/// What follows from a commit at once: what it superseded ends, what it owes is looked at, who follows is told.
pub(crate) fn is_committed(inner: &Inner, committed: &Committed, owed: Vec<DestinationId>) {
    inner.cancel_running(committed.superseded());
    if committed.owed() > 0 {
        inner.nudge_for(owed);
    }
    inner.tell_followers();
}

/// Who is owed an event, unless the store finds that it is a repeat.
pub(crate) fn owed(event: &NewEvent) -> Vec<DestinationId> {
    event.deliveries.iter().map(|delivery| delivery.destination).collect()
}

/// All that a commit of a proven fact puts into the store.
pub(crate) async fn prepare(
    inner: &Inner,
    registry: &Registry,
    source: &Source,
    proven: Proven<'_>,
    fact: Fact,
    now: Timestamp,
) -> NewEvent {
    let id = EventId::new(now, inner.entropy());
    let Routed { deliveries, failed, named } = route(inner, registry, source, &fact, now).await;
    let by = principal(&proven, source, &fact.request.remote);
    let audit = |action: &str| {
        let detail = json!({
            "delivery_id": fact.delivery_id,
            "event": fact.event_type,
            "event_id": id.to_string(),
            "destinations": deliveries.len(),
            "key_version": proven_by(&proven, source).map(|(_, version)| version),
        });
        AuditEntry::by(&by, action, format!("source:{}", source.name), now, detail)
    };
    let audit_accepted = match &proven {
        Proven::Own(entry) => entry.clone(),
        Proven::Verified(_) | Proven::Open(_) | Proven::Published { .. } => audit("webhook.deliver"),
    };
    let audit_duplicate = audit("webhook.duplicate");
    let audit_failed = (!named.is_empty()).then(|| AuditEntry {
        target: format!("event:{id}"),
        detail: routing::failures(&named),
        ..audit("filter.failed")
    });
    let event = Event {
        id,
        organization: source.organization,
        source: source.id,
        source_name: source.name.clone(),
        event_type: fact.event_type,
        delivery_id: fact.delivery_id,
        received_at: now,
        verdict: verdict(&proven),
        request: fact.request,
        body_len: fact.body.len() as u64,
        body_sha256: fact.body_sha256,
        duplicate_of: None,
        stripped_at: None,
    };
    NewEvent {
        event,
        body: fact.body,
        dedup: fact.dedup,
        on_duplicate: fact.on_duplicate,
        deliveries,
        failed,
        proven_by: proven_by(&proven, source),
        audit_accepted,
        audit_failed,
        audit_duplicate,
    }
}

/// What an event comes to at the destinations that hear it.
#[derive(Default)]
struct Routed {
    deliveries: Vec<NewDelivery>,
    failed: Vec<FailedFilter>,
    /// Each failure with its destination's name.
    named: Vec<(String, String)>,
}

async fn route(inner: &Inner, registry: &Registry, source: &Source, fact: &Fact, now: Timestamp) -> Routed {
    let mut routed = Routed::default();
    if !fanout::passes_on(&source.spec, &fact.event_type) {
        return routed;
    }
    let owe = |live: &LiveDestination| {
        fanout::owe(&live.destination, DeliveryId::new(now, inner.entropy()), now, DeliveryCause::Event)
    };
    let hears = |live: &&Arc<LiveDestination>| fanout::hears(&live.destination.spec, &source.name, &fact.event_type);
    let source_rules = registry.source(source.id).map(|live| &live.rules).filter(|rules| !rules.is_empty());
    let is_plain = |live: &&Arc<LiveDestination>| source_rules.is_none() && live.rules.is_empty();
    let (plain, ruled): (Vec<_>, Vec<_>) =
        registry.destinations_of(source.organization).filter(hears).partition(is_plain);
    routed.deliveries.extend(plain.into_iter().map(|live| owe(live)));
    if ruled.is_empty() {
        return routed;
    }
    let question = Question {
        subject: Subject {
            event: fact.event_type.clone(),
            source: source.name.clone(),
            headers: fact.request.headers.clone(),
            body: fact.body.clone(),
        },
        source: source.id,
        asks: Asks::Everything,
        source_rules: source_rules.cloned().unwrap_or_default(),
        destinations: ruled.iter().map(|live| Arc::clone(&live.rules)).collect(),
    };
    for (live, decision) in ruled.iter().zip(inner.evaluator().decide(question).await) {
        match decision {
            Decision::Owed { once, latest, order } => {
                routed.deliveries.push(NewDelivery { once, latest, order, ..owe(live) });
            }
            Decision::Unwanted => {}
            Decision::Failed(detail) => {
                let (destination, name) = (live.destination.id, live.destination.name.clone());
                inner.evaluator().count_failed(&name);
                routed.failed.push(FailedFilter { destination, detail: detail.clone() });
                routed.named.push((name, detail));
            }
        }
    }
    routed
}

/// The secret that proved it.
fn proven_by(proven: &Proven<'_>, source: &Source) -> Option<(SecretOwner, u32)> {
    match proven {
        // A published key is nobody's secret.
        Proven::Verified(verified) if verified.key_version() == hookward::PUBLISHED => None,
        Proven::Verified(verified) => Some((SecretOwner::Source(source.id), verified.key_version())),
        Proven::Open(_) | Proven::Published { .. } | Proven::Own(_) => None,
    }
}

fn principal(proven: &Proven<'_>, source: &Source, remote: &str) -> Principal {
    match proven {
        Proven::Verified(_) | Proven::Open(_) => Principal {
            organization: source.organization,
            actor: format!("source:{}", source.name),
            address: remote.to_owned(),
        },
        Proven::Published { by } => by.clone(),
        Proven::Own(_) => Principal::system(source.organization),
    }
}

fn verdict(proven: &Proven<'_>) -> serde_json::Value {
    match proven {
        Proven::Verified(verified) => {
            let binds = verified.binds();
            json!({
                "proof": "verified",
                "scheme": verified.scheme(),
                "key_version": Some(verified.key_version()).filter(|version| *version != hookward::PUBLISHED),
                "signed_at_ms": verified.timestamp().map(|at| at.as_millis()),
                "binds": {
                    "body": binds.body, "part_of_body": binds.part_of_body, "time": binds.time, "url": binds.url,
                    "id": binds.id, "unique": binds.unique,
                },
                "is_weak": verified.is_weak(),
            })
        }
        Proven::Open(_) => json!({ "proof": "unsigned" }),
        Proven::Published { .. } => json!({ "proof": "api_key" }),
        Proven::Own(_) => json!({ "proof": "engine" }),
    }
}
