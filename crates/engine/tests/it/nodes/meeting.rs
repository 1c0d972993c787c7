//! Writes that meet: what two nodes change at the same moment comes to one of the two orders, the audit log tells the same
//! one, and nothing is half of either.

use std::collections::BTreeMap;

use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Delivery, DeliveryState, DestinationState, NodeState, Principal};
use hookward_engine::pull::{Answer, Ask};
use hookward_engine::store::{DeliveryFilter, Resources};
use hookward_engine::{Kind, Publish};
use serde_json::Value;

use super::*;
use crate::pull::pulled;
use crate::support::ALL;

/// How often two nodes meet in a test: each time they may pass each other by.
const MEETINGS: usize = 15;

impl Cluster {
    fn pair(&self) -> (&Rig, &Rig) {
        (&self.nodes[0], &self.nodes[1])
    }

    async fn kept(&self) -> Resources {
        self.nodes[0].store.load().await.unwrap()
    }

    /// Action and detail of the operators' audit entries about `target`, oldest first.
    async fn told(&self, target: &str) -> Vec<(String, Value)> {
        let rows = self.nodes[0].store.audit(ORG, ALL).await.unwrap().items;
        let about = rows.into_iter().map(|row| row.entry).filter(|entry| entry.target == target);
        let mut told: Vec<_> = about.map(|entry| (entry.action, entry.detail)).collect();
        told.reverse();
        told
    }
}

/// Each entry goes on from what the one before came to.
fn assert_goes_on(told: &[(String, Value)], what: impl Fn(&Value) -> &Value) {
    for pair in told.windows(2) {
        assert_eq!(what(&pair[0].1["after"]), what(&pair[1].1["before"]), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_paused_here_and_resumed_there_is_one_of_both_with_all_that_it_is_owed() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(in_and_out(&receiver)).await else { return };
    let (one, other) = cluster.pair();
    receive(&one.engine, "d-1").await.unwrap();
    receive(&other.engine, "d-2").await.unwrap();
    for n in 0..MEETINGS {
        let (ana, ben) = (by("ana"), by("ben"));
        let (paused, resumed) = tokio::join!(
            one.engine.set_destination_state("ci", DestinationState::Paused, &ana),
            other.engine.set_destination_state("ci", DestinationState::Active, &ben),
        );
        assert_eq!((paused, resumed), (Ok(()), Ok(())), "meeting {n}");
        let kept = cluster.kept().await.destinations.remove(0).state;
        let told = cluster.told("destination:ci").await;
        let told: Vec<_> = told.into_iter().filter(|(_, detail)| detail["after"].is_string()).collect();
        assert_eq!(told.last().unwrap().1["after"], kept.name(), "meeting {n}");
        assert_goes_on(&told, |state| state);
        let owed = one.store.deliveries(ORG, DeliveryFilter::default(), ALL).await.unwrap().items;
        let is_held = |delivery: &Delivery| matches!(delivery.state, DeliveryState::Held { .. });
        assert!(owed.iter().all(|one| is_held(one) == (kept != DestinationState::Active)), "{kept:?}: {owed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_here_does_not_come_back_because_somebody_pauses_or_resumes_it_there() {
    let receiver = Receiver::start().await;
    let Some(cluster) = Cluster::of_two(Declared::default()).await else { return };
    let (one, other) = cluster.pair();
    for n in 0..MEETINGS {
        let destinations = vec![http_to("ci", receiver.url())];
        let declared = Declared { destinations, ..Declared::default() };
        one.engine.declare(&by("ana"), Authority::Creation, declared).await.unwrap();
        other.engine.look_around().await.unwrap();
        let state = if n % 2 == 0 { DestinationState::Paused } else { DestinationState::Active };
        let (ana, ben) = (by("ana"), by("ben"));
        let (removed, changed) = tokio::join!(
            one.engine.retire(&ana, Kind::Destination, "ci"),
            other.engine.set_destination_state("ci", state, &ben),
        );
        // The API tells whoever removes that it was changed meanwhile; they look at it, and do it again.
        if removed != Ok(()) {
            assert_eq!((removed, &changed), (Err(EngineError::Moved), &Ok(())), "meeting {n}");
            one.engine.retire(&ana, Kind::Destination, "ci").await.unwrap();
        }
        assert!(matches!(changed, Ok(()) | Err(EngineError::NotFound(_))), "meeting {n}: {changed:?}");
        let kept = cluster.kept().await.destinations;
        assert!(kept.iter().all(|destination| destination.is_retired()), "meeting {n}: {:?}", kept[0].state);
        assert_eq!(cluster.told("destination:ci").await.last().unwrap().0, "destination.remove");
    }
}

/// An organization that both nodes know.
async fn organization(cluster: &Cluster, name: &str) -> OrganizationId {
    let (one, other) = cluster.pair();
    let made = one.engine.create_organization(&by("ana"), name, Some("first")).await.unwrap();
    other.engine.look_around().await.unwrap();
    made.id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_stands_whatever_is_changed_about_the_organization_elsewhere() {
    let Some(cluster) = Cluster::of_two(Declared::default()).await else { return };
    let (one, other) = cluster.pair();
    for n in 0..MEETINGS {
        let name = format!("acme-{n}");
        let id = organization(&cluster, &name).await;
        let (ana, ben) = (by("ana"), by("ben"));
        let (erased, changed) =
            tokio::join!(one.engine.erase_organization(&ana, id), other.engine.set_key_prefix(&ben, id, "second"),);
        erased.unwrap();
        let kept = cluster.kept().await.organizations;
        let kept = kept.iter().find(|one| one.id == id).unwrap();
        assert!(kept.erasing_at.is_some(), "meeting {n}: it is back");
        let mut wanted = vec!["organization.create", "organization.erase"];
        match changed {
            Ok(_) => wanted.insert(1, "organization.update"),
            Err(error) => assert!(matches!(error, EngineError::NotFound(_)), "{error}"),
        }
        let told = cluster.told(&format!("organization:{name}")).await;
        assert_eq!(told.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(), wanted, "meeting {n}");
        assert_eq!(kept.key_prefix, if wanted.len() == 3 { "second" } else { "first" });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_key_prefixes_the_later_one_counts_and_says_which_it_followed() {
    let Some(cluster) = Cluster::of_two(Declared::default()).await else { return };
    let (one, other) = cluster.pair();
    let id = organization(&cluster, "acme").await;
    for n in 0..MEETINGS {
        let (ana, ben) = (by("ana"), by("ben"));
        let (a, b) = (format!("a{n}"), format!("b{n}"));
        let (first, second) =
            tokio::join!(one.engine.set_key_prefix(&ana, id, &a), other.engine.set_key_prefix(&ben, id, &b));
        assert!(first.is_ok() && second.is_ok(), "meeting {n}: {first:?}, {second:?}");
    }
    let told = cluster.told("organization:acme").await;
    assert_eq!(told.len(), 1 + 2 * MEETINGS);
    assert_goes_on(&told[1..], |about| &about["key_prefix"]);
    let kept = cluster.kept().await.organizations;
    let kept = &kept.iter().find(|one| one.id == id).unwrap().key_prefix;
    assert_eq!(told.last().unwrap().1["after"]["key_prefix"], **kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_remove_what_was_an_organizations_finish_once() {
    let Some(cluster) = Cluster::of_two(Declared::default()).await else { return };
    let (one, other) = cluster.pair();
    let id = organization(&cluster, "acme").await;
    let publisher = Principal { organization: id, ..by("key:acme") };
    for n in 0..200 {
        let node = if n % 2 == 0 { one } else { other };
        let event = Publish {
            event_type: "invoice.paid".to_owned(),
            payload: format!("{{\"n\":{n}}}").into(),
            idempotency_key: None,
            by: publisher.clone(),
        };
        node.engine.publish(event).await.unwrap();
    }
    one.engine.erase_organization(&by("ana"), id).await.unwrap();
    other.engine.look_around().await.unwrap();
    // As long as a node goes on that is cut off, and what it had under way.
    for node in &cluster.nodes {
        node.clock.advance(VALIDITY + Duration::from_secs(10));
        node.engine.look_around().await.unwrap();
    }
    let stop = CancellationToken::new();
    let run = |node: &Rig| {
        let (engine, until) = (node.engine.clone(), stop.clone());
        tokio::spawn(async move { engine.run(until).await })
    };
    let running: Vec<_> = cluster.nodes.iter().map(run).collect();
    while cluster.kept().await.organizations.len() > 1 {
        for node in &cluster.nodes {
            node.clock.advance(Duration::from_millis(100));
        }
        tokio::task::yield_now().await;
    }
    stop.cancel();
    for node in running {
        node.await.unwrap();
    }
    let told = cluster.told("organization:acme").await;
    assert_eq!(told.iter().filter(|(action, _)| action == "organization.erased").count(), 1, "{told:?}");
    let rows = "select count(*) from events where organization_id <> '\\x01900000000070008000000000000001'";
    assert_eq!(cluster.database.query(rows), ["0"]);
    let nodes = one.engine.nodes().await.unwrap();
    assert!(nodes.iter().all(|node| node.state == NodeState::Gone), "{nodes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_together_on_a_new_database_have_one_key_and_one_door_of_each_kind() {
    let Some(database) = Database::make() else { return };
    let mut cluster = Cluster { nodes: vec![], database };
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let key = dirs[0].path().join("master.key");
    let start = async |dir: tempfile::TempDir| {
        let clock = Arc::new(FakeClock::default());
        let kms = Arc::new(LocalKms::open(&key, Arc::new(SystemEntropy)).unwrap());
        let store = cluster.database.open();
        let engine = open_as(NodeSettings::default(), Arc::clone(&store), dir.path(), &clock, kms).await;
        Rig { engine, store, clock, dir }
    };
    drop(LocalKms::open(&key, Arc::new(SystemEntropy)).unwrap());
    let [first, second] = dirs;
    let (one, other) = tokio::join!(start(first), start(second));
    cluster.nodes = vec![one, other];
    let (one, other) = cluster.pair();
    let mut doors = BTreeMap::new();
    for source in cluster.kept().await.sources {
        *doors.entry(source.name).or_insert(0) += 1;
    }
    assert_eq!(doors, BTreeMap::from([("hookward".to_owned(), 1), ("publish".to_owned(), 1)]));
    let declared = Declared { sources: vec![github()], destinations: vec![pulled(false)], ..Declared::default() };
    one.engine.declare(&Principal::config(), Authority::ServedFile, declared).await.unwrap();
    other.engine.look_around().await.unwrap();
    receive(&one.engine, "d-1").await.unwrap();
    receive(&other.engine, "d-2").await.unwrap();
    let ask = || Ask { max: 1, visibility: Duration::from_secs(30), wait: Duration::ZERO };
    let (here, there) = tokio::join!(one.engine.lease(ORG, "worker", ask()), other.engine.lease(ORG, "worker", ask()));
    let token = |leases: Vec<hookward_engine::pull::Lease>| vec![leases[0].token.clone()];
    // A consumer's next request may come to the other node.
    assert_eq!(other.engine.acknowledge(ORG, &token(here.unwrap())).await, Ok(vec![Answer::Acknowledged]));
    assert_eq!(one.engine.acknowledge(ORG, &token(there.unwrap())).await, Ok(vec![Answer::Acknowledged]));
}
