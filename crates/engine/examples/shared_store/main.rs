//! What a shared store commits and delivers, beside bare transactions of many rows on the same database: the least that anybody
//! does who keeps the same facts in groups. `cargo xtask bench ingest|deliver --store postgres` starts the database and this.
//!
//! Both sides make the same events, on the same tasks, and answer each of them after its commit. The bare side's tables have a
//! primary key each and nothing else: no lists can be read from them, nothing is chained, nothing is counted. What was delivered,
//! to whom and when, they keep as well.

#![expect(clippy::disallowed_methods, reason = "it measures how long things take")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::{AttemptId, DeliveryId, DestinationId, EventId, NodeId, OrganizationId, SourceId};
use hookward_engine::model::*;
use hookward_engine::store::sql::{Limits as StoreLimits, SqlStore};
use hookward_engine::store::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_postgres::{Client, NoTls};

use bare::Bare;

mod bare;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Deliveries that one claim takes, and destinations that they are owed to.
const ROOM: u32 = 256;
const DESTINATIONS: u32 = 4;

/// What to measure.
struct Plan {
    what: String,
    address: String,
    nodes: usize,
    tasks: usize,
    seconds: u64,
    rounds: u32,
    /// A transaction that reads is held open meanwhile.
    snapshot: bool,
}

impl Plan {
    fn read() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).expect("a number");
        Self {
            what: words[0].clone(),
            address: words[1].clone(),
            nodes: number(2) as usize,
            tasks: number(3) as usize,
            seconds: number(4),
            rounds: u32::try_from(number(5)).expect("few rounds"),
            snapshot: words.get(6).is_some_and(|word| word == "snapshot"),
        }
    }
}

fn main() -> Result<(), Failure> {
    let plan = Plan::read();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let stores: Vec<Arc<SqlStore>> = (0..plan.nodes)
        .map(|_| Ok(Arc::new(postgres::open(&postgres::Access::to(&plan.address), &StoreLimits::default())?)))
        .collect::<Result<_, Failure>>()?;
    let outcome = runtime.block_on(measure(&plan, &stores));
    runtime.shutdown_background();
    outcome
}

async fn measure(plan: &Plan, stores: &[Arc<SqlStore>]) -> Result<(), Failure> {
    declare(&stores[0]).await?;
    let bare = Bare::new(&plan.address, plan.nodes).await?;
    let _held = if plan.snapshot { Some(hold_snapshot(&plan.address).await?) } else { None };
    let counters = Arc::new(Counters::default());
    let (mut bare_rates, mut own_rates) = (Vec::new(), Vec::new());
    println!("{:>5} {:>14} {:>14} {:>7}", "round", "bare /s", "hookward /s", "ratio");
    for round in 1..=plan.rounds {
        // Whichever is first finds the machine as the other left it: they take turns.
        let (first, second) = if round % 2 == 0 { (true, false) } else { (false, true) };
        for own in [first, second] {
            let rate = match (&*plan.what, own) {
                ("ingest", true) => ingest(plan, stores, &counters).await?,
                ("ingest", false) => ingest(plan, &bare.nodes, &counters).await?,
                (_, true) => deliver(plan, stores, &counters).await?,
                (_, false) => bare.deliver(plan, &counters).await?,
            };
            if own { own_rates.push(rate) } else { bare_rates.push(rate) }
        }
        let (bare, own) = (bare_rates[bare_rates.len() - 1], own_rates[own_rates.len() - 1]);
        println!("{round:>5} {bare:>14.0} {own:>14.0} {:>7.3}", own / bare);
    }
    let (bare, own) = (median(&mut bare_rates), median(&mut own_rates));
    println!("median bare {bare:.0} hookward {own:.0} ratio {:.3}", own / bare);
    Ok(())
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Numbers that nothing had before.
#[derive(Default)]
struct Counters {
    events: AtomicU64,
}

fn id(kind: u8, n: u64) -> [u8; 16] {
    // Near in time, near in the index: as ids that begin with the time are.
    let mut id = [kind; 16];
    id[..8].copy_from_slice(&n.to_be_bytes());
    id
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// An event of 2 KiB under two keys, as one that a provider sends.
fn event(n: u64, owed: bool) -> NewEvent {
    let noise = Sha256::digest(n.to_be_bytes());
    let hex: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = Bytes::from(json!({ "number": n, "lines": vec![&hex; 28] }).to_string());
    let (body_sha256, at): ([u8; 32], _) = (Sha256::digest(&body).into(), now());
    let expires_at = at.plus(Duration::from_secs(86_400));
    let key = |kind, key: &[u8]| DedupKey { kind, key: Bytes::copy_from_slice(key), expires_at };
    let bytes = body.len();
    let entry = |action: &str| AuditEntry {
        organization: OrganizationId::DEFAULT,
        actor: "source:github".to_owned(),
        address: "192.0.2.1".to_owned(),
        action: action.to_owned(),
        target: "source:github".to_owned(),
        at,
        detail: json!({ "delivery_id": hex, "bytes": bytes }),
    };
    let delivery = NewDelivery {
        id: DeliveryId::from_bytes(id(4, n)),
        destination: destination(n),
        due_at: at,
        cause: DeliveryCause::Event,
        held: false,
        once: None,
        latest: None,
        order: None,
    };
    NewEvent {
        event: Event {
            id: EventId::from_bytes(id(3, n)),
            organization: OrganizationId::DEFAULT,
            source: SourceId::from_bytes([1; 16]),
            source_name: "github".to_owned(),
            event_type: "push".to_owned(),
            delivery_id: Some(hex.clone()),
            received_at: at,
            verdict: json!({ "scheme": "github", "key_version": 1 }),
            request: RequestRecord {
                method: "POST".to_owned(),
                target: "/in/github".to_owned(),
                headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))],
                remote: "192.0.2.1:4711".to_owned(),
            },
            body_len: body.len() as u64,
            body_sha256,
            duplicate_of: None,
            stripped_at: None,
        },
        dedup: vec![key(DedupKind::DeliveryId, &noise), key(DedupKind::Body, &body_sha256)],
        body,
        on_duplicate: OnDuplicate::Keep,
        deliveries: if owed { vec![delivery] } else { vec![] },
        failed: vec![],
        proven_by: None,
        audit_accepted: entry("webhook.deliver"),
        audit_failed: None,
        audit_duplicate: entry("webhook.duplicate"),
    }
}

fn destination(n: u64) -> DestinationId {
    DestinationId::from_bytes([100 + u8::try_from(n % u64::from(DESTINATIONS)).expect("a few"); 16])
}

async fn declare(store: &SqlStore) -> Result<(), Failure> {
    let declaration = || Declaration { table: json!({}), manager: Manager::Api };
    let source = Source {
        id: SourceId::from_bytes([1; 16]),
        organization: OrganizationId::DEFAULT,
        name: "github".to_owned(),
        spec: SourceSpec {
            proof: Proof::by("github"),
            dedup: DedupPolicy { id_headers: vec![], body: true, window: Duration::from_secs(86_400) },
            grace: Duration::ZERO,
            event_types: vec![],
            filter: None,
            rate: None,
            retention: Retention::default(),
            door: json!({}),
        },
        declaration: declaration(),
        created_at: now(),
        removed_at: None,
    };
    let command = CommandSpec {
        argv: vec!["/bin/true".to_owned()],
        directory: None,
        environment: vec![],
        output_bytes: OUTPUT_BYTES,
        checkout: None,
    };
    let one = |n: u64| Destination {
        id: destination(n),
        organization: OrganizationId::DEFAULT,
        name: format!("destination-{n}"),
        spec: DestinationSpec {
            kind: DestinationKind::Command(command.clone()),
            sources: vec![],
            event_types: vec![],
            rules: Rules::default(),
            retry: RetrySchedule::default(),
            concurrency: ROOM,
            timeout: Duration::from_secs(15),
            limits: Limits::default(),
            health: Health::default(),
            order: None,
            signing: vec![],
            grace: Duration::ZERO,
        },
        declaration: declaration(),
        state: DestinationState::Active,
        condition: Condition::default(),
        created_at: now(),
    };
    let mut changes = vec![Change::PutSource(source)];
    changes.extend((0..u64::from(DESTINATIONS)).map(|n| Change::PutDestination(one(n).into())));
    Ok(store.change(changes, vec![]).await?)
}

/// Whoever takes an event and answers when it is committed.
trait Takes: Send + Sync + 'static {
    fn take(&self, event: NewEvent) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl Takes for SqlStore {
    async fn take(&self, event: NewEvent) -> Result<(), Failure> {
        Ok(self.commit(event).await.map(drop)?)
    }
}

/// Events in a second, each committed before it is counted.
async fn ingest<T: Takes>(plan: &Plan, nodes: &[Arc<T>], counters: &Arc<Counters>) -> Result<f64, Failure> {
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    let began = Instant::now();
    for task in 0..plan.tasks {
        let (node, over) = (Arc::clone(&nodes[task % nodes.len()]), Arc::clone(&over));
        let counters = Arc::clone(counters);
        tasks.spawn(async move {
            let mut taken = 0_u64;
            while !over.load(Ordering::Relaxed) {
                node.take(event(counters.events.fetch_add(1, Ordering::Relaxed), false)).await?;
                taken += 1;
            }
            Ok::<u64, Failure>(taken)
        });
    }
    tokio::time::sleep(Duration::from_secs(plan.seconds)).await;
    over.store(true, Ordering::Relaxed);
    let mut taken = 0;
    while let Some(task) = tasks.join_next().await {
        taken += task??;
    }
    Ok(taken as f64 / began.elapsed().as_secs_f64())
}

/// Deliveries in a second: leased, loaded and settled, each with its attempt. Both sides write the ends of one group while they lease
/// the next.
async fn deliver(plan: &Plan, stores: &[Arc<SqlStore>], counters: &Arc<Counters>) -> Result<f64, Failure> {
    let owed = plan.tasks as u64 * 100;
    let mut left = owed;
    while left > 0 {
        let some = left.min(1_000);
        left -= some;
        let events = (0..some).map(|_| event(counters.events.fetch_add(1, Ordering::Relaxed), true)).collect();
        stores[0].commit_all(events).await?;
    }
    let began = Instant::now();
    let settled = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for (node, store) in (1..).zip(stores) {
        let (store, settled) = (Arc::clone(store), Arc::clone(&settled));
        tasks.spawn(async move {
            let mut ending = None;
            while settled.load(Ordering::Relaxed) < owed {
                let room = (0..u64::from(DESTINATIONS)).map(|n| (destination(n), ROOM / DESTINATIONS)).collect();
                let (at, node) = (now(), NodeId::from_bytes([node; 16]));
                let request =
                    ClaimRequest { node, now: at, until: at.plus(Duration::from_secs(60)), room, probes: vec![] };
                let claimed = store.claim(request).await?;
                count(ending.take(), &settled).await?;
                let ends: Vec<Settlement> = claimed.iter().map(|one| end(&one.claim)).collect();
                if !ends.is_empty() {
                    let store = Arc::clone(&store);
                    ending = Some(tokio::spawn(async move { Ok(store.settle(ends).await?.len() as u64) }));
                }
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(owed as f64 / began.elapsed().as_secs_f64())
}

/// Attempts whose ends are being written, beside the leases of the next.
type Ending = tokio::task::JoinHandle<Result<u64, Failure>>;

/// Waits for them, and counts them.
async fn count(ending: Option<Ending>, settled: &AtomicU64) -> Result<(), Failure> {
    if let Some(ending) = ending {
        settled.fetch_add(ending.await??, Ordering::Relaxed);
    }
    Ok(())
}

fn end(claim: &Claim) -> Settlement {
    Settlement {
        claim: claim.clone(),
        attempt: Attempt {
            id: AttemptId::from_bytes(*claim.delivery().as_bytes()),
            number: claim.number(),
            started_at: now(),
            duration: Duration::from_millis(7),
            outcome: Outcome::Success,
            signed_by: vec![],
            status: Some(200),
            exit_code: None,
            excerpt: Bytes::from_static(b"ok"),
            detail: String::new(),
            node: Some(claim.node()),
            exchange: None,
        },
        output: None,
        next: Next::Delivered,
        then: Vec::new(),
        disable: None,
    }
}

/// A connection that looks at the database as it is now, until it is dropped.
async fn hold_snapshot(address: &str) -> Result<Client, Failure> {
    let client = connect(address).await?;
    client.batch_execute("begin isolation level repeatable read; select count(*) from destinations").await?;
    Ok(client)
}

async fn connect(address: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
