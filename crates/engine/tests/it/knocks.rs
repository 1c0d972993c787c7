//! Tests of `knocks.rs`: nodes whose clocks stand still, so that none of them looks by itself again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hookward_engine::ids::{DestinationId, NodeId};
use hookward_engine::pull::Ask;
use hookward_engine::store::{Knock, StoreError};
use hookward_engine::{Authority, Declared, Waking};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::nodes::{Cluster, in_and_out, receive};
use crate::pull::pulled;
use crate::store::postgres;
use crate::support::receiver::Receiver;
use crate::support::{Rig, github};
use crate::{ORG, by};

/// How often a node knocks at most.
const KNOCK_EVERY: Duration = Duration::from_millis(50);

/// What is waited for comes in a moment, or not at all.
async fn soon<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let awaited = tokio::time::timeout(Duration::from_secs(30), awaited);
    awaited.await.unwrap_or_else(|_| panic!("{what}: it never came"))
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    soon(what, looking).await;
}

/// Nodes that run, each until it is told to stop; they are ended where they are.
struct Running(Vec<(CancellationToken, JoinHandle<()>)>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.iter().for_each(|(_, node)| node.abort());
    }
}

/// Runs every node. They have looked at everything, and so many listen.
async fn run(cluster: &Cluster, listening: usize) -> Running {
    let run = |node: &Rig| {
        let (engine, stop) = (node.engine.clone(), CancellationToken::new());
        let told = stop.clone();
        (stop, tokio::spawn(async move { engine.run(told).await }))
    };
    let running = Running(cluster.nodes.iter().map(run).collect());
    let asked = "select count(*) from pg_stat_activity
        where datname = current_database() and query ~ '^(listen|notify) hookward'";
    until("the nodes listen", || cluster.database.query(asked) == [listening.to_string()]).await;
    for node in &cluster.nodes {
        may_knock(node).await;
    }
    level(&cluster.nodes);
    for node in &cluster.nodes {
        is_quiet(node).await;
    }
    running
}

/// Clocks that stand still stand where each node looked at the database's last: what is due by one is due by the other as well.
fn level(nodes: &[Rig]) {
    let latest = nodes.iter().map(|node| node.engine.clock().now()).max().expect("there are nodes");
    for node in nodes {
        node.clock.advance(latest.since(node.engine.clock().now()));
    }
}

/// What a node had to tell from its start is told, and it may knock again; it does not look yet.
async fn may_knock(node: &Rig) {
    is_quiet(node).await;
    node.clock.advance(KNOCK_EVERY);
    is_quiet(node).await;
}

/// A node that has nothing to do but to wait for its clock.
async fn is_quiet(node: &Rig) {
    let sleeps = || node.clock.sleeps.load(Ordering::SeqCst);
    let waiting = async {
        loop {
            let before = sleeps();
            // A read of the database takes longer than tasks do among themselves.
            for _ in 0..10 {
                node.store.nodes().await.unwrap();
            }
            if sleeps() == before && before > 0 {
                break;
            }
        }
    };
    soon("the node is quiet", waiting).await;
}

/// A source, and a destination that is waited for longer than a test waits.
fn patient(receiver: &Receiver) -> Declared {
    let mut declared = in_and_out(receiver);
    declared.destinations[0].spec.timeout = Duration::from_secs(120);
    declared
}

/// Which node, and the how manieth, attempts what comes in first, and waits for its answer; and the other one. Both are quiet
/// and may knock: one that claimed it before it was nudged may have done so.
async fn hang<'c>(cluster: &'c Cluster, receiver: &Receiver) -> ((&'c Rig, usize), &'c Rig) {
    receiver.hang_next();
    receive(&cluster.nodes[0].engine, "d-1").await.unwrap();
    soon("the first attempt", receiver.arrived(1)).await;
    for node in &cluster.nodes {
        may_knock(node).await;
    }
    level(&cluster.nodes);
    let holder = cluster.database.query("select encode(node, 'hex') from deliveries_outstanding");
    let is_it = |node: &Rig| node.engine.node().to_string().ends_with(&holder[0]);
    let at = cluster.nodes.iter().position(is_it).expect("one of them has leased it");
    ((&cluster.nodes[at], at), &cluster.nodes[1 - at])
}

/// A node that looks late would have what it takes in due before the other's clock comes to it.
async fn second(cluster: &Cluster, receiver: &Receiver) {
    let is_there = || {
        level(&cluster.nodes);
        receiver.received().len() == 2
    };
    until("the second attempt", is_there).await;
}

/// How many attempts have ended at a node.
fn settled(node: &Rig) -> u64 {
    node.engine.attempts().values().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_declares_is_in_force_at_the_other_at_once() {
    let Some(cluster) = Cluster::of_two(Declared::default()).await else { return };
    let _running = run(&cluster, 2).await;
    let [one, other] = &cluster.nodes[..] else { panic!("two nodes") };
    let declared = Declared { sources: vec![github()], ..Declared::default() };
    one.engine.declare(&by("ana"), Authority::Creation, declared).await.unwrap();
    until("the source is there", || other.engine.source(ORG, "github").is_some()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_has_no_room_for_is_attempted_by_another() {
    let receiver = Receiver::start().await;
    let mut declared = patient(&receiver);
    declared.destinations[0].spec.concurrency = 1;
    let Some(cluster) = Cluster::of_two(declared).await else { return };
    let _running = run(&cluster, 2).await;
    let ((full, _), free) = hang(&cluster, &receiver).await;
    receive(&full.engine, "d-2").await.unwrap();
    second(&cluster, &receiver).await;
    until("it is settled", || settled(free) == 1).await;
    assert_eq!(settled(full), 0, "its only place is taken");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_leaves_what_still_comes_in_to_the_others() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(patient(&receiver)).await else { return };
    let running = run(&cluster, 2).await;
    // It stops, and has an attempt to finish first.
    let ((stops, at), other) = hang(&cluster, &receiver).await;
    running.0[at].0.cancel();
    is_quiet(stops).await;
    receive(&stops.engine, "d-2").await.unwrap();
    second(&cluster, &receiver).await;
    until("it is settled", || settled(other) == 1).await;
    assert_eq!(settled(stops), 0, "it is not done with its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_waits_at_one_node_gets_what_came_in_at_another() {
    let declared = Declared { sources: vec![github()], destinations: vec![pulled(false)], ..Declared::default() };
    let Some(cluster) = Cluster::of_two(declared).await else { return };
    let _running = run(&cluster, 2).await;
    let [one, other] = &cluster.nodes[..] else { panic!("two nodes") };
    let engine = other.engine.clone();
    let ask = Ask { max: 1, visibility: Duration::from_secs(60), wait: Duration::from_secs(20) };
    let before = other.clock.sleeps.load(Ordering::SeqCst);
    let waiting = tokio::spawn(async move { engine.lease(ORG, "worker", ask).await.unwrap() });
    until("it waits", || other.clock.sleeps.load(Ordering::SeqCst) > before).await;
    is_quiet(other).await;
    receive(&one.engine, "d-1").await.unwrap();
    assert_eq!(soon("the lease", waiting).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_each_looks_by_itself_nobody_knocks_or_listens() {
    let Some(cluster) = Cluster::of_two_waking(Declared::default(), Waking::LooksOnly).await else { return };
    let _running = run(&cluster, 0).await;
    let [one, other] = &cluster.nodes[..] else { panic!("two nodes") };
    let listener = cluster.database.open();
    let heard = listener.heard(NodeId::from_bytes([9; 16]));
    tokio::pin!(heard);
    // It listens from the first time on that it is asked.
    let _ = tokio::time::timeout(Duration::from_millis(1), &mut heard).await;
    let declared = Declared { sources: vec![github()], ..Declared::default() };
    one.engine.declare(&by("ana"), Authority::Creation, declared).await.unwrap();
    is_quiet(one).await;
    let last = Knock { declared: true, ..Knock::default() };
    let knocking = cluster.database.open();
    let stranger = NodeId::from_bytes([7; 16]);
    let retold = async {
        loop {
            knocking.knock(stranger, last.clone()).await.unwrap();
            if let Ok(heard) = tokio::time::timeout(Duration::from_millis(50), &mut heard).await {
                break heard;
            }
        }
    };
    assert_eq!(soon("the stranger's knock", retold).await, Ok(last), "and nothing of the nodes' before it");
    other.engine.look_around().await.unwrap();
    assert!(other.engine.source(ORG, "github").is_some(), "whoever looks finds it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_knock_is_heard_by_others_and_after_a_cut_again() {
    let Some((one, database)) = postgres::open() else { return };
    let other = database.open();
    let [here, there] = [[1; 16], [2; 16]].map(NodeId::from_bytes);
    let knock = |byte| Knock { declared: false, owed: [DestinationId::from_bytes([byte; 16])].into() };
    // Knocked again and again, because nobody is told that somebody listens now.
    let heard_of = async |byte: u8| {
        let heard = async {
            loop {
                match other.heard(there).await {
                    Ok(heard) if heard == knock(byte) => break,
                    Ok(heard) => assert_ne!(heard, knock(0), "nobody answers himself"),
                    Err(StoreError::Unavailable(_)) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let knocking = async {
            loop {
                // While it is cut there is nobody to tell.
                let _ = one.knock(here, knock(byte)).await;
                let _ = other.knock(there, knock(0)).await;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { () = heard => {}, () = knocking => {} }
    };
    soon("the first knock", heard_of(1)).await;
    database.cut();
    one.knock(here, knock(2)).await.unwrap_err();
    let broken = async { while other.heard(there).await.is_ok() {} };
    soon("that nothing is heard any more", broken).await;
    database.heal();
    soon("a knock after the cut", heard_of(3)).await;
}
