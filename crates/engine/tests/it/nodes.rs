//! Tests of `nodes.rs`: engines on one shared store. Each has a clock and a directory of its own, and the same master key.

mod meeting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hookward::Secret;
use hookward_engine::clock::SystemEntropy;
use hookward_engine::kms::local::LocalKms;
use hookward_engine::model::{Node, NodeState, Principal, SecretOwner};
use hookward_engine::store::sql::Limits;
use hookward_engine::store::{Change, ClaimRequest, StoreError, postgres};
use hookward_engine::{Authority, Declared, Engine, EngineError, NewSecret, NodeSettings, Receipt, Terms, Waking};
use tokio_util::sync::CancellationToken;

use crate::store::postgres::Database;
use crate::support::receiver::Receiver;
use crate::support::world::FakeClock;
use crate::support::{Rig, SECRET, github, http_to, open_as, push};
use crate::{ORG, by};

const MINUTES: Duration = Duration::from_secs(600);

/// For how long a node may go on that is cut off.
const VALIDITY: Duration = Duration::from_secs(10);

/// Nodes that share a database.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Rig>,
    pub(crate) database: Database,
}

impl Cluster {
    /// Two nodes with `declared` in force, the second one's clock ten minutes ahead; nothing where there is no PostgreSQL.
    pub(crate) async fn of_two(declared: Declared) -> Option<Self> {
        Self::of_two_waking(declared, Waking::default()).await
    }

    /// The same, where they tell each other to look or not.
    pub(crate) async fn of_two_waking(declared: Declared, waking: Waking) -> Option<Self> {
        let mut cluster = Self { nodes: vec![], database: Database::make()? };
        for ahead in [Duration::ZERO, MINUTES] {
            cluster.add(ahead, waking).await;
        }
        let first = &cluster.nodes[0].engine;
        first.declare(&Principal::config(), Authority::ServedFile, declared).await.unwrap();
        for node in &cluster.nodes {
            node.engine.look_around().await.unwrap();
        }
        Some(cluster)
    }

    async fn add(&mut self, ahead: Duration, waking: Waking) {
        let dir = tempfile::tempdir().unwrap();
        let key = self.nodes.first().map_or(dir.path(), |first| first.dir.path()).join("master.key");
        let clock = Arc::new(FakeClock::default());
        clock.advance(ahead);
        let (store, kms) = (self.database.open(), LocalKms::open(&key, Arc::new(SystemEntropy)));
        let kms = Arc::new(kms.unwrap());
        let node = NodeSettings { waking, ..NodeSettings::default() };
        let engine = open_as(node, Arc::clone(&store), dir.path(), &clock, kms).await;
        self.nodes.push(Rig { engine, store, clock, dir });
    }
}

pub(crate) fn in_and_out(receiver: &Receiver) -> Declared {
    let mut destination = http_to("ci", receiver.url());
    destination.spec.retry.waits_s = vec![300];
    Declared { sources: vec![github()], destinations: vec![destination], ..Declared::default() }
}

pub(crate) async fn receive(engine: &Engine, id: &str) -> Result<Receipt, hookward_engine::Unavailable> {
    let source = engine.source(ORG, "github").unwrap();
    engine.receive(source.id, push(SECRET, id, &format!("{{\"id\":\"{id}\"}}"))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_differ_by_minutes_agree_on_leases_and_on_what_is_due() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(in_and_out(&receiver)).await else { return };
    let [one, ahead] = &cluster.nodes[..] else { panic!("two nodes") };
    receiver.answer_always("500 Broken");
    receive(&one.engine, "d-1").await.unwrap();
    one.engine.run_until_idle().await;
    ahead.engine.look_around().await.unwrap();
    ahead.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1, "the retry is due in five minutes, by the clock that they share");
    // A lease that the first node holds for a minute.
    receive(&one.engine, "d-2").await.unwrap();
    let destination = one.engine.destination(ORG, "ci").unwrap().id;
    let claim = |node: &Rig| {
        let (now, room) = (node.engine.clock().now(), vec![(destination, 8)]);
        let until = now.plus(Duration::from_secs(60));
        ClaimRequest { node: node.engine.node(), now, until, room, probes: vec![] }
    };
    assert_eq!(one.store.claim(claim(one)).await.unwrap().len(), 1);
    assert_eq!(ahead.store.claim(claim(ahead)).await.unwrap().len(), 0, "it holds by the other's clock too");
    ahead.clock.advance(Duration::from_secs(61));
    assert_eq!(ahead.store.claim(claim(ahead)).await.unwrap().len(), 1, "until it runs out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_changes_is_in_force_at_the_other_after_a_look() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(in_and_out(&receiver)).await else { return };
    let [one, other] = &cluster.nodes[..] else { panic!("two nodes") };
    assert!(matches!(receive(&other.engine, "d-1").await.unwrap(), Receipt::Accepted(_)));
    let source = one.engine.source(ORG, "github").unwrap().id;
    one.engine.revoke(SecretOwner::Source(source), 1, true, &by("ana")).await.unwrap();
    other.engine.look_around().await.unwrap();
    assert!(matches!(receive(&other.engine, "d-2").await.unwrap(), Receipt::Refused(_)));
    let declared = |nodes: &[Node]| nodes.iter().map(|node| node.declared).collect::<Vec<_>>();
    one.engine.look_around().await.unwrap();
    for node in &cluster.nodes {
        let stop = CancellationToken::new();
        stop.cancel();
        node.engine.clone().run(stop).await;
    }
    let nodes = one.engine.nodes().await.unwrap();
    assert_eq!(nodes.len(), 2);
    assert!(nodes.iter().all(|node| node.state == NodeState::Gone), "{nodes:?}");
    assert!(declared(&nodes)[0] > 0 && declared(&nodes)[0] == declared(&nodes)[1], "{nodes:?}");
    let ahead: Vec<_> = nodes.iter().map(|node| node.clock_ahead_ms).collect();
    assert!((ahead[1] - ahead[0] - 600_000).abs() < 60_000, "{ahead:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_who_change_the_same_thing_at_two_nodes_are_told_of_each_other() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(Declared::default()).await else { return };
    let [one, other] = &cluster.nodes[..] else { panic!("two nodes") };
    let destination = |timeout| {
        let mut destination = http_to("ci", receiver.url());
        destination.spec.timeout = Duration::from_secs(timeout);
        Declared { destinations: vec![destination], ..Declared::default() }
    };
    let put = async |node: &Rig, authority, declared| node.engine.declare(&by("ana"), authority, declared).await;
    put(one, Authority::Creation, destination(5)).await.unwrap();
    // Both look, then both change what they saw.
    let [seen, too] = [one.engine.catch_up().await.unwrap(), other.engine.catch_up().await.unwrap()];
    assert!(seen.is_some() && seen == too);
    let changed = |timeout, since| Declared { since, ..destination(timeout) };
    put(one, Authority::Alteration, changed(6, seen)).await.unwrap();
    let late = put(other, Authority::Alteration, changed(7, too)).await;
    assert_eq!(late, Err(EngineError::Moved));
    let timeout = |node: &Rig| node.engine.destination(ORG, "ci").unwrap().spec.timeout.as_secs();
    assert_eq!([timeout(one), timeout(other)], [6, 6], "the other one sees it at once");
    let since = other.engine.catch_up().await.unwrap();
    put(other, Authority::Alteration, changed(7, since)).await.unwrap();
    // What nobody looked at beforehand comes after the other's.
    put(one, Authority::Alteration, changed(8, None)).await.unwrap();
    other.engine.look_around().await.unwrap();
    assert_eq!([timeout(one), timeout(other)], [8, 8]);
    // The store has the last word, whatever a node takes for the last change.
    let stale = one.store.change(vec![Change::Since(1)], vec![]).await;
    assert_eq!(stale, Err(StoreError::Moved));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_never_give_two_secrets_one_version() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(in_and_out(&receiver)).await else { return };
    let owner = SecretOwner::Source(cluster.nodes[0].engine.source(ORG, "github").unwrap().id);
    let put = async |node: &Rig| {
        let value = NewSecret::Given(Secret::new("another secret of somebody's").unwrap());
        node.engine.put_secret(owner, None, value, Terms::default(), &by("ana")).await
    };
    let mut versions = Vec::new();
    for _ in 0..10 {
        let (one, other) = tokio::join!(put(&cluster.nodes[0]), put(&cluster.nodes[1]));
        for put in [one, other] {
            match put {
                Ok(version) => versions.push(version),
                Err(error) => assert_eq!(error, EngineError::Moved),
            }
        }
    }
    assert!(versions.len() >= 10, "{versions:?}");
    assert_eq!(versions.iter().collect::<BTreeSet<_>>().len(), versions.len(), "{versions:?}");
    let kept = cluster.nodes[0].store.load().await.unwrap().secrets;
    assert_eq!(kept.len(), versions.len() + 1, "every one that was confirmed is there: {versions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_refuses_when_what_it_knows_is_too_old_and_comes_back_by_itself() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(in_and_out(&receiver)).await else { return };
    let node = &cluster.nodes[1];
    // What a start looks at is over.
    node.engine.run_until_idle().await;
    receive(&node.engine, "d-1").await.unwrap();
    node.clock.advance(VALIDITY);
    node.engine.check_current().expect("as long as it may");
    node.clock.advance(Duration::from_millis(1));
    let problem = node.engine.check_current().unwrap_err();
    assert!(matches!(&problem, EngineError::Unavailable(text) if text.contains("10 s")), "{problem}");
    // The database still answers writes: it is what the node knows that is too old.
    receive(&node.engine, "d-2").await.unwrap_err();
    node.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 0, "nothing is signed and sent");
    cluster.database.cut();
    node.engine.look_around().await.unwrap_err();
    node.engine.check_current().unwrap_err();
    cluster.database.heal();
    node.engine.look_around().await.unwrap();
    node.engine.check_current().unwrap();
    receive(&node.engine, "d-3").await.unwrap();
    node.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 2, "what was owed meanwhile, and what came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_on_with_a_newer_schema_that_lets_it_and_stops_with_one_that_does_not() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(in_and_out(&receiver)).await else { return };
    let node = &cluster.nodes[0];
    cluster.database.query("insert into migrations values (9998, 'wider', 15)");
    node.engine.look_around().await.unwrap();
    node.engine.check_current().expect("an expansion");
    let open = || postgres::open(&postgres::Access::to(cluster.database.address()), &Limits::default());
    drop(open().expect("it may also start"));
    cluster.database.query("insert into migrations values (9999, 'narrower', 9999)");
    // What came to be meanwhile may not be readable here: that it must not go on is known all the same.
    let _ = node.engine.look_around().await;
    let problem = node.engine.check_current().unwrap_err().to_string();
    assert!(problem.contains("9999"), "{problem}");
    receive(&node.engine, "d-1").await.unwrap_err();
    let problem = open().unwrap_err().to_string();
    assert!(problem.contains("schema 9999") && problem.contains("must not go on"), "{problem}");
}
