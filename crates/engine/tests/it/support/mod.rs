//! The one way tests build an engine: a real SQLite store and local KMS in a directory of their own, a clock
//! that the test moves, and a receiver on loopback that answers as told.

pub(crate) mod code_host;
pub(crate) mod fake_kms;
pub(crate) mod outbound;
pub(crate) mod receiver;
pub(crate) mod world;

use crate::ORG;
use hookward_engine::model::Principal;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward::{Draft, Secret, UnixTime};
use hookward_engine::clock::SystemEntropy;
use hookward_engine::egress::EgressPolicy;
use hookward_engine::event_types::Undeclared;
use hookward_engine::kms::Kms;
use hookward_engine::kms::cache::CachePolicy;
use hookward_engine::kms::local::LocalKms;
use hookward_engine::model::{
    DedupPolicy, DestinationKind, DestinationSpec, Health, HttpSpec, JobSpec, Limits, Proof, RetrySchedule, Rules,
    Signing, SourceSpec,
};
use hookward_engine::store::sqlite;
use hookward_engine::store::{DeliveryFilter, EventFilter, Page, Store};
use hookward_engine::{
    Authority, Declared, DeclaredDestination, DeclaredSecret, DeclaredSource, Engine, InboundRequest, NodeSettings,
    Parts,
};

use self::world::FakeClock;

/// The GitHub source's secret in every test.
pub(crate) const SECRET: &str = "it's a secret to everybody";

/// All of a list.
pub(crate) const ALL: Page = Page { before: None, limit: 250 };

/// An engine and the world it runs in.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) dir: tempfile::TempDir,
}

impl Rig {
    /// A fresh engine with `declared` in force.
    pub(crate) async fn new(declared: Declared) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(FakeClock::default());
        let (engine, store) = open(dir.path(), &clock).await;
        engine.declare(&Principal::config(), Authority::ServedFile, declared).await.expect("a good declaration");
        Self { engine, store, clock, dir }
    }

    /// The same with private schemes and another way out.
    pub(crate) async fn with(declared: Declared, schemes: Vec<hookward::Scheme>, egress: EgressPolicy) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let clock = Arc::new(FakeClock::default());
        let kms = LocalKms::open(&dir.path().join("master.key"), Arc::new(SystemEntropy)).expect("a local key");
        let (engine, store) = open_parts(dir.path(), &clock, Arc::new(kms), schemes, egress).await;
        engine.declare(&Principal::config(), Authority::ServedFile, declared).await.expect("a good declaration");
        Self { engine, store, clock, dir }
    }

    /// A fresh engine with this KMS, nothing declared and nothing opened.
    pub(crate) async fn on(dir: tempfile::TempDir, kms: Arc<dyn Kms>) -> Self {
        let clock = Arc::new(FakeClock::default());
        let (engine, store) = open_with(dir.path(), &clock, kms).await;
        Self { engine, store, clock, dir }
    }

    /// The same data under a new process: the old engine is gone without a farewell.
    pub(crate) async fn restart(self) -> Self {
        let Self { engine, store, clock, dir } = self;
        let_go(engine, store).await;
        let (engine, store) = open(dir.path(), &clock).await;
        engine.warm().await;
        Self { engine, store, clock, dir }
    }

    pub(crate) async fn send(&self, request: InboundRequest) -> hookward_engine::Receipt {
        let source = self.engine.source(ORG, "github").expect("the source is declared");
        self.engine.receive(source.id, request).await.expect("the store answers")
    }

    /// States of all deliveries, newest first, by name.
    pub(crate) async fn deliveries(&self) -> Vec<hookward_engine::model::Delivery> {
        self.engine.store().deliveries(ORG, DeliveryFilter::default(), ALL).await.expect("readable").items
    }

    /// How many events and how many duplicates there are.
    pub(crate) async fn event_counts(&self) -> (usize, usize) {
        let events = self.engine.store().events(ORG, EventFilter::default(), ALL).await.expect("readable").items;
        let duplicates = events.iter().filter(|event| event.duplicate_of.is_some()).count();
        (events.len() - duplicates, duplicates)
    }

    /// Actions in the audit log, newest first.
    pub(crate) async fn audit(&self) -> Vec<String> {
        let rows = self.engine.store().audit(ORG, ALL).await.expect("readable").items;
        rows.into_iter().map(|row| row.entry.action).collect()
    }
}

/// Lets go of an engine and its store, and waits until nothing has it any more: what was under way ends with its task.
pub(crate) async fn let_go(engine: Engine, store: Arc<dyn Store>) {
    let last = Arc::downgrade(&store);
    drop((engine, store));
    while last.strong_count() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Every byte of every file below `directory`.
pub(crate) fn everything_in(directory: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("readable").path());
    let bytes = entries
        .flat_map(|path| if path.is_dir() { everything_in(&path) } else { std::fs::read(path).expect("a file") });
    bytes.collect()
}

async fn open(dir: &Path, clock: &Arc<FakeClock>) -> (Engine, Arc<dyn Store>) {
    let kms = LocalKms::open(&dir.join("master.key"), Arc::new(SystemEntropy)).expect("a local key");
    open_with(dir, clock, Arc::new(kms)).await
}

/// An engine on the data in `dir` with this KMS.
pub(crate) async fn open_with(dir: &Path, clock: &Arc<FakeClock>, kms: Arc<dyn Kms>) -> (Engine, Arc<dyn Store>) {
    open_parts(dir, clock, kms, vec![], EgressPolicy::default()).await
}

async fn open_parts(
    dir: &Path,
    clock: &Arc<FakeClock>,
    kms: Arc<dyn Kms>,
    schemes: Vec<hookward::Scheme>,
    egress: EgressPolicy,
) -> (Engine, Arc<dyn Store>) {
    let store: Arc<dyn Store> = Arc::new(sqlite::open(dir).expect("a store"));
    let parts = parts(Arc::clone(&store), dir, clock, kms, (schemes, egress));
    (Engine::open(parts).await.expect("an engine"), store)
}

/// An engine that is one of several nodes.
pub(crate) async fn open_as(
    node: NodeSettings,
    store: Arc<dyn Store>,
    dir: &Path,
    clock: &Arc<FakeClock>,
    kms: Arc<dyn Kms>,
) -> Engine {
    let parts = parts(store, dir, clock, kms, (vec![], EgressPolicy::default()));
    Engine::open(Parts { node, ..parts }).await.expect("an engine")
}

fn parts(
    store: Arc<dyn Store>,
    dir: &Path,
    clock: &Arc<FakeClock>,
    kms: Arc<dyn Kms>,
    (schemes, egress): (Vec<hookward::Scheme>, EgressPolicy),
) -> Parts {
    let entropy = Arc::new(SystemEntropy);
    Parts {
        undeclared: Undeclared::Accept,
        store,
        kms,
        clock: Arc::clone(clock) as _,
        entropy,
        schemes,
        egress,
        supervisor: outbound::supervisor(),
        key_cache: CachePolicy::default(),
        node: NodeSettings::default(),
        checkouts: dir.join("checkouts"),
        lease_margin: Duration::from_secs(30),
    }
}

/// A GitHub source named `github`, with its secret.
pub(crate) fn github() -> DeclaredSource {
    DeclaredSource {
        name: "github".to_owned(),
        spec: SourceSpec {
            proof: Proof::by("github"),
            dedup: DedupPolicy { id_headers: vec![], body: true, window: Duration::from_secs(30 * 86_400) },
            grace: Duration::from_secs(86_400),
            event_types: vec![],
            filter: None,
            rate: None,
            retention: hookward_engine::model::Retention::default(),
            door: serde_json::Value::Null,
        },
        table: serde_json::Value::Null,
        secret: Some(Secret::new(SECRET).expect("not empty")),
        handshake_token: None,
    }
}

/// An `http` destination at `url` that passes on GitHub's headers.
pub(crate) fn http_to(name: &str, url: String) -> DeclaredDestination {
    DeclaredDestination {
        name: name.to_owned(),
        spec: DestinationSpec {
            kind: DestinationKind::Http(HttpSpec {
                url,
                forward_headers: vec!["x-hub-signature-256".to_owned(), "x-github-*".to_owned()],
                set_headers: vec![],
                allow_addresses: vec!["127.0.0.0/8".parse().expect("a range")],
                oauth2: None,
                mtls: None,
            }),
            sources: vec![],
            event_types: vec![],
            rules: Rules::default(),
            retry: RetrySchedule { jitter_percent: 0, ..RetrySchedule::default() },
            concurrency: 4,
            timeout: Duration::from_secs(5),
            limits: Limits::default(),
            health: Health::default(),
            order: None,
            signing: vec![],
            grace: Duration::from_secs(86_400),
        },
        table: serde_json::Value::Null,
        secrets: vec![],
    }
}

/// The same destination, signing with Standard Webhooks.
pub(crate) fn signing_to(name: &str, url: String) -> DeclaredDestination {
    let mut destination = http_to(name, url);
    destination.spec.signing = vec![Signing::by("standard-webhooks")];
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("not empty");
    destination.secrets = vec![DeclaredSecret::new("standard-webhooks", secret)];
    destination
}

/// The redelivery of every event there is, to whoever wants it.
pub(crate) fn every_event(rate_per_s: u32) -> JobSpec {
    JobSpec {
        source: None,
        event_type: None,
        from: None,
        to: None,
        duplicate: None,
        destination: None,
        state: None,
        filter: None,
        recover: None,
        rate_per_s,
    }
}

/// A GitHub push under `secret`, with this body and delivery id.
pub(crate) fn push(secret: &str, delivery_id: &str, body: &str) -> InboundRequest {
    let scheme = hookward::catalog::find("github").expect("in the catalog");
    let key = scheme.key(1, &Secret::new(secret).expect("not empty")).expect("any text");
    let draft = Draft {
        id: delivery_id,
        event_type: "push",
        method: "POST",
        url: "http://hooks.example/in/github",
        body: body.as_bytes(),
    };
    let signed = scheme.sign(&draft, &[key], UnixTime::from_secs(0)).expect("signable");
    let headers = signed.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), Bytes::from(value)));
    InboundRequest {
        method: "POST".to_owned(),
        url: "/in/github".to_owned(),
        headers: headers.collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        remote: "192.0.2.7:4711".to_owned(),
    }
}
