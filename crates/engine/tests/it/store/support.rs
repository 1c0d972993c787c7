//! What the store's tests share: a store in a temporary directory, and samples of what goes into it.
//! Samples differ by the number they are made of, never by chance or time.

pub(crate) use crate::ORG;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::{AttemptId, DeliveryId, DestinationId, EventId, NodeId, OrganizationId, SourceId};
use hookward_engine::model::*;
use hookward_engine::store::sql::{Limits as StoreLimits, SqlStore};
use hookward_engine::store::sqlite;
use hookward_engine::store::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// A store as the suite takes it, whatever keeps its data.
pub(crate) type Shared = Arc<dyn Store>;

/// A commit that can run beside others.
pub(crate) fn commit_in_task(
    store: &Shared,
    new: NewEvent,
) -> impl Future<Output = Result<Committed, StoreError>> + use<> {
    let store = Arc::clone(store);
    async move { store.commit(new).await }
}

/// A store that is closed and removed at the end of its test.
pub(crate) struct Fixture {
    pub(crate) store: SqlStore,
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&StoreLimits::default())
    }

    pub(crate) fn with(limits: &StoreLimits) -> Self {
        let dir = TempDir::new().unwrap();
        Self { store: sqlite::open_with(dir.path(), limits).unwrap(), dir }
    }

    pub(crate) fn reopened(self) -> Self {
        let Self { store, dir } = self;
        drop(store);
        Self { store: sqlite::open(dir.path()).unwrap(), dir }
    }
}

pub(crate) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + millis)
}

pub(crate) fn id_bytes(kind: u8, n: u32) -> [u8; 16] {
    let mut bytes = [kind; 16];
    bytes[12..].copy_from_slice(&n.to_be_bytes());
    bytes
}

pub(crate) fn source_id(n: u32) -> SourceId {
    SourceId::from_bytes(id_bytes(1, n))
}

pub(crate) fn destination_id(n: u32) -> DestinationId {
    DestinationId::from_bytes(id_bytes(2, n))
}

pub(crate) fn event_id(n: u32) -> EventId {
    EventId::from_bytes(id_bytes(3, n))
}

pub(crate) fn delivery_id(n: u32) -> DeliveryId {
    DeliveryId::from_bytes(id_bytes(4, n))
}

pub(crate) fn node_id(n: u32) -> NodeId {
    NodeId::from_bytes(id_bytes(5, n))
}

pub(crate) fn source(n: u32) -> Source {
    Source {
        id: source_id(n),
        organization: OrganizationId::DEFAULT,
        name: format!("source-{n}"),
        spec: SourceSpec {
            proof: Proof::by("github"),
            dedup: DedupPolicy { id_headers: vec![], body: true, window: Duration::from_secs(60) },
            grace: Duration::ZERO,
            event_types: vec![],
            filter: None,
            rate: None,
            retention: Retention::default(),
            door: json!({ "path": format!("/in/source-{n}") }),
        },
        declaration: Declaration { table: json!({ "scheme": "github" }), manager: Manager::Api },
        created_at: at(0),
        removed_at: None,
    }
}

pub(crate) fn scheme(name: &str, version: u32) -> PrivateScheme {
    PrivateScheme {
        organization: OrganizationId::DEFAULT,
        name: name.to_owned(),
        toml: format!("# Of our own.\nname = \"{name}\""),
        version,
        declaration: Declaration { table: json!({ "name": name }), manager: Manager::Api },
        created_at: at(1),
        updated_at: at(version.into()),
    }
}

pub(crate) fn destination(n: u32) -> Destination {
    Destination {
        id: destination_id(n),
        organization: OrganizationId::DEFAULT,
        name: format!("destination-{n}"),
        spec: DestinationSpec {
            kind: DestinationKind::Command(CommandSpec {
                argv: vec!["/bin/true".to_owned()],
                directory: None,
                environment: vec![],
                output_bytes: OUTPUT_BYTES,
                checkout: None,
            }),
            sources: vec![],
            event_types: vec![],
            rules: Rules::default(),
            retry: RetrySchedule::default(),
            concurrency: 4,
            timeout: Duration::from_secs(15),
            limits: Limits::default(),
            health: Health::default(),
            order: None,
            signing: vec![],
            grace: Duration::from_secs(86_400),
        },
        declaration: Declaration { table: json!({ "type": "command" }), manager: Manager::File },
        state: DestinationState::Active,
        condition: Condition::default(),
        created_at: at(0),
    }
}

pub(crate) fn secret(owner: SecretOwner, version: u32) -> SealedSecret {
    SealedSecret {
        owner,
        version,
        sealed: hookward_engine::kms::Sealed {
            key_id: "local:01234567".to_owned(),
            wrapped_key: vec![1; 60],
            ciphertext: vec![2; 48],
        },
        not_before: at(0),
        not_after: None,
        revoked_at: None,
        created_at: at(0),
        origin: "generated".to_owned(),
        first_used_at: None,
        last_used_at: None,
        uses: 0,
        purpose: String::new(),
        last_accepted_at: None,
    }
}

pub(crate) fn audit(action: &str, now: Timestamp) -> AuditEntry {
    AuditEntry {
        organization: ORG,
        actor: "test".to_owned(),
        address: String::new(),
        action: action.to_owned(),
        target: "store".to_owned(),
        at: now,
        detail: json!({ "why": "a test" }),
    }
}

pub(crate) fn sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Event `n` of source 1 at `at(n)` with a body of its own and no dedup keys, owing nothing.
pub(crate) fn new_event(n: u32) -> NewEvent {
    let body = Bytes::from(format!("body of event {n}"));
    let now = at(i64::from(n));
    let event = Event {
        id: event_id(n),
        organization: OrganizationId::DEFAULT,
        source: source_id(1),
        source_name: "source-1".to_owned(),
        event_type: "push".to_owned(),
        delivery_id: Some(format!("delivery {n}")),
        received_at: now,
        verdict: json!({ "key_version": 1 }),
        request: RequestRecord {
            method: "POST".to_owned(),
            target: "/in/source-1?a=b".to_owned(),
            headers: vec![
                ("content-type".to_owned(), Bytes::from_static(b"application/json")),
                ("x-odd".to_owned(), Bytes::from_static(b"\xff\x00 twice")),
                ("x-odd".to_owned(), Bytes::new()),
            ],
            remote: "192.0.2.1:4711".to_owned(),
        },
        body_len: body.len() as u64,
        body_sha256: sha256(&body),
        duplicate_of: None,
        stripped_at: None,
    };
    NewEvent {
        event,
        body,
        dedup: vec![],
        on_duplicate: OnDuplicate::Keep,
        deliveries: vec![],
        failed: vec![],
        proven_by: None,
        audit_accepted: audit("webhook.deliver", now),
        audit_failed: None,
        audit_duplicate: audit("webhook.duplicate", now),
    }
}

/// Replaces the event's body.
pub(crate) fn with_body(mut new: NewEvent, body: &[u8]) -> NewEvent {
    new.body = Bytes::copy_from_slice(body);
    new.event.body_len = body.len() as u64;
    new.event.body_sha256 = sha256(body);
    new
}

/// A body that no packing makes shorter.
pub(crate) fn dense(len: usize) -> Vec<u8> {
    (0_u64..).flat_map(|n| sha256(&n.to_be_bytes())).take(len).collect()
}

/// Adds a key that is remembered for 60 seconds.
pub(crate) fn with_key(mut new: NewEvent, kind: DedupKind, key: &[u8]) -> NewEvent {
    let expires_at = new.event.received_at.plus(Duration::from_secs(60));
    new.dedup.push(DedupKey { kind, key: Bytes::copy_from_slice(key), expires_at });
    new
}

/// Adds delivery `n` to destination `destination`, due at the event's time.
pub(crate) fn owing(mut new: NewEvent, n: u32, destination: u32) -> NewEvent {
    new.deliveries.push(NewDelivery { due_at: new.event.received_at, ..new_delivery(n, destination) });
    new
}

pub(crate) fn new_delivery(n: u32, destination: u32) -> NewDelivery {
    NewDelivery {
        id: delivery_id(n),
        destination: destination_id(destination),
        due_at: at(0),
        cause: DeliveryCause::Event,
        held: false,
        once: None,
        latest: None,
        order: None,
    }
}

/// Declares source 1 and destinations 1 to `destinations`, each with version 1 of a secret.
pub(crate) async fn declare(store: &Shared, destinations: u32) {
    let mut changes =
        vec![Change::PutSource(source(1)), Change::PutSecret(secret(SecretOwner::Source(source_id(1)), 1))];
    for n in 1..=destinations {
        changes.push(Change::PutDestination(Box::new(destination(n))));
        changes.push(Change::PutSecret(secret(SecretOwner::Destination(destination_id(n)), 1)));
    }
    store.change(changes, vec![]).await.unwrap();
}

/// What node 1 asks for at `now` with a lease of 30 seconds.
pub(crate) fn request(now: Timestamp, room: &[(u32, u32)]) -> ClaimRequest {
    request_of(1, now, room)
}

pub(crate) fn request_of(node: u32, now: Timestamp, room: &[(u32, u32)]) -> ClaimRequest {
    ClaimRequest {
        node: node_id(node),
        now,
        until: now.plus(Duration::from_secs(30)),
        room: room.iter().map(|&(destination, room)| (destination_id(destination), room)).collect(),
        probes: vec![],
    }
}

/// What was sent and what came back.
pub(crate) fn exchange() -> Exchange {
    Exchange {
        method: "POST".to_owned(),
        target: "https://example.com/hook".to_owned(),
        request_headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))],
        response_headers: vec![("x-note".to_owned(), Bytes::from_static(b"\xff not text"))],
        timings: Timings { first_byte: Some(Duration::from_micros(1234)), ..Timings::default() },
    }
}

/// The end of a claimed attempt that took 7 ms.
pub(crate) fn settlement(claim: &Claim, started_at: Timestamp, next: Next) -> Settlement {
    let success = next == Next::Delivered;
    Settlement {
        claim: claim.clone(),
        attempt: Attempt {
            id: AttemptId::from_bytes(id_bytes(6, claim.number())),
            number: claim.number(),
            started_at,
            duration: Duration::from_millis(7),
            outcome: if success { Outcome::Success } else { Outcome::Status },
            signed_by: vec![1],
            status: Some(if success { 204 } else { 500 }),
            exit_code: None,
            excerpt: Bytes::from_static(b"an answer"),
            detail: String::new(),
            node: Some(claim.node()),
            exchange: success.then(exchange),
        },
        output: None,
        next,
        then: Vec::new(),
        disable: None,
    }
}

pub(crate) const PAGE: Page = Page { before: None, limit: 250 };

/// The numbers of the events listed.
pub(crate) async fn listed(store: &Shared, filter: EventFilter) -> Vec<EventId> {
    store.events(ORG, filter, PAGE).await.unwrap().items.into_iter().map(|event| event.id).collect()
}

pub(crate) async fn state_of(store: &Shared, n: u32) -> DeliveryState {
    store.delivery(ORG, delivery_id(n)).await.unwrap().0.state
}
