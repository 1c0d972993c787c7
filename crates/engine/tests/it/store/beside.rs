//! Several nodes write to one database side by side: what must not happen twice happens once, whoever reads forward misses
//! nothing, and the chain is one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use hookward_engine::ids::EventId;
use hookward_engine::model::{Ordering as KeyOrder, *};
use hookward_engine::store::tallies::{Span, Window};
use hookward_engine::store::*;
use tokio::task::JoinSet;

use super::postgres;
use super::support::*;

const NODES: usize = 3;

/// A store for each node, and what keeps their database.
async fn nodes() -> Option<(Vec<Shared>, postgres::Database)> {
    let (first, database) = postgres::open()?;
    let mut stores = vec![first];
    stores.extend((1..NODES).map(|_| database.open()));
    declare(&stores[0], 2).await;
    let mut ordering = destination(2);
    ordering.spec.order = Some(KeyOrder { key: "body.key".to_owned(), on_failure: OnHeadFailure::Skip });
    stores[0].change(vec![Change::PutDestination(ordering.into())], vec![]).await.unwrap();
    Some((stores, database))
}

/// Commits what `make` makes of each number, each at some node, `at_once` at a time.
async fn commit_at_all(stores: &[Shared], numbers: u32, at_once: u32, make: fn(u32) -> NewEvent) -> Vec<Committed> {
    let next = Arc::new(AtomicU32::new(1));
    let mut tasks = JoinSet::new();
    for task in 0..at_once {
        let (next, store) = (Arc::clone(&next), Arc::clone(&stores[task as usize % stores.len()]));
        tasks.spawn(async move {
            let mut committed = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::SeqCst);
                if n > numbers {
                    return committed;
                }
                committed.push(store.commit(make(n)).await.unwrap());
            }
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

/// Each key comes several times, at whichever node, and crossed with another that others have.
fn repeating(n: u32) -> NewEvent {
    let (id, body) = (n / 4, n / 3);
    let new = with_key(owing(new_event(n), n, 1), DedupKind::DeliveryId, format!("id {id}").as_bytes());
    with_key(new, DedupKind::Body, format!("body {body}").as_bytes())
}

/// Lists that wait, as many at once as may be read, hold up neither leases nor what goes with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_attempts_does_not_wait_for_lists() {
    let Some((stores, database)) = nodes().await else { return };
    let store = &stores[0];
    store.commit(owing(new_event(1), 1, 1)).await.unwrap();
    let lock = database.holding("lock table audit in access exclusive mode");
    let lists: Vec<_> = (0..2)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.audit(ORG, PAGE).await })
        })
        .collect();
    database.has_waiting(lists.len()).await;
    let claimed = store.claim(request(at(10), &[(1, 1)])).await.unwrap();
    assert_eq!(claimed[0].event.id, event_id(1));
    assert_eq!(store.next_due(vec![destination_id(1)]).await.unwrap(), [Some(at(30_010))]);
    assert!(lists.iter().all(|list| !list.is_finished()), "they still wait");
    drop(lock);
    for list in lists {
        assert!(list.await.unwrap().is_ok());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_one_event_wherever_its_repeats_arrive() {
    let Some((stores, _kept)) = nodes().await else { return };
    let committed = commit_at_all(&stores, 600, 24, repeating).await;
    let originals: HashSet<EventId> =
        committed.iter().filter(|one| one.original().is_none()).map(|c| c.event()).collect();
    let mut keys = HashSet::new();
    for n in 1..=600 {
        let event = stores[0].event(ORG, event_id(n)).await.unwrap();
        assert_eq!(stores[0].body(ORG, event_id(n)).await.unwrap(), new_event(n).body, "{n}");
        match event.duplicate_of {
            None => {
                assert!(originals.contains(&event_id(n)), "{n}");
                for key in repeating(n).dedup {
                    assert!(keys.insert((key.kind, key.key)), "{n} has a key of another");
                }
            }
            Some(original) => assert!(originals.contains(&original), "{n} repeats {original}, which is no original"),
        }
    }
    let owed = stores[0].deliveries(ORG, DeliveryFilter::default(), Page { before: None, limit: 250 }).await.unwrap();
    assert_eq!(owed.items.len(), originals.len().min(250));
    let kept = stores[0].kept().await.unwrap();
    assert_eq!(kept[0].events, 600);
}

fn of_a_few_keys(n: u32) -> NewEvent {
    let mut new = owing(new_event(n), n, 2);
    new.deliveries[0].order = Some([u8::try_from(n % 5).unwrap(); 32]);
    new
}

/// Claims and delivers at one node until `total` were delivered anywhere, and notes in which order.
async fn deliver(store: Shared, node: u32, shared: Arc<Delivering>, total: u32) {
    let mut idle = 0;
    while shared.delivered.load(Ordering::SeqCst) < total {
        let now = at(1_000_000 + shared.ticks.fetch_add(1, Ordering::SeqCst));
        let claimed = store.claim(request_of(node, now, &[(2, 3)])).await.unwrap();
        if claimed.is_empty() {
            idle += 1;
            assert!(idle < 20_000, "the lines stand still after {}", shared.delivered.load(Ordering::SeqCst));
            tokio::task::yield_now().await;
            continue;
        }
        let mut under_way = HashSet::new();
        for one in &claimed {
            let key = of_a_few_keys(number(one.event.id)).deliveries[0].order.unwrap();
            assert!(under_way.insert(key), "two of one key at once");
            assert!(shared.under_way.lock().unwrap().insert(key), "another node has one of this key");
            shared.order.lock().unwrap().entry(key).or_default().push(number(one.event.id));
        }
        let settlements = claimed.iter().map(|one| settlement(&one.claim, now, Next::Delivered)).collect();
        // Once it is settled another may have the next.
        under_way.iter().for_each(|key| assert!(shared.under_way.lock().unwrap().remove(key)));
        let settled = store.settle(settlements).await.unwrap();
        assert!(settled.iter().all(|one| *one == Settled::Written));
        shared.delivered.fetch_add(u32::try_from(settled.len()).unwrap(), Ordering::SeqCst);
    }
}

fn number(event: EventId) -> u32 {
    u32::from_be_bytes(event.as_bytes()[12..].try_into().unwrap())
}

#[derive(Default)]
struct Delivering {
    ticks: AtomicI64,
    delivered: AtomicU32,
    under_way: std::sync::Mutex<HashSet<[u8; 32]>>,
    order: std::sync::Mutex<HashMap<[u8; 32], Vec<u32>>>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keys_deliveries_go_out_one_after_the_other_whichever_node_has_them() {
    const TOTAL: u32 = 300;
    let Some((stores, _kept)) = nodes().await else { return };
    let shared = Arc::new(Delivering::default());
    let mut tasks = JoinSet::new();
    for (node, store) in (1..).zip(&stores) {
        tasks.spawn(deliver(Arc::clone(store), node, Arc::clone(&shared), TOTAL));
    }
    commit_at_all(&stores, TOTAL, 12, of_a_few_keys).await;
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let order = shared.order.lock().unwrap().clone();
    assert_eq!(order.values().map(Vec::len).sum::<usize>(), TOTAL as usize);
    for (key, went) in order {
        assert_eq!(went.iter().collect::<HashSet<_>>().len(), went.len(), "{key:?}: something went out twice");
    }
}

/// One value, which runs once; one key, of which the newest counts.
fn entangled(n: u32) -> NewEvent {
    let mut new = owing(owing(new_event(n), n, 1), 10_000 + n, 2);
    new.deliveries[0].once = Some([u8::try_from(n % 3).unwrap(); 32]);
    new.deliveries[1].latest = Some([u8::try_from(n % 2).unwrap(); 32]);
    new
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_runs_once_and_the_newest_of_a_key_counts_wherever_they_arrive() {
    let Some((stores, _kept)) = nodes().await else { return };
    commit_at_all(&stores, 120, 12, entangled).await;
    let pending = |destination| {
        let filter = DeliveryFilter {
            state: Some("pending".to_owned()),
            destination: Some(destination_id(destination)),
            ..DeliveryFilter::default()
        };
        stores[0].deliveries(ORG, filter, PAGE)
    };
    assert_eq!(pending(1).await.unwrap().items.len(), 3, "of each value one runs");
    assert_eq!(pending(2).await.unwrap().items.len(), 2, "of each key the newest is owed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_forward_misses_nothing_that_is_committed_behind_him() {
    const TOTAL: u32 = 900;
    let Some((stores, _kept)) = nodes().await else { return };
    let over = Arc::new(AtomicBool::new(false));
    let (follower, ended) = (Arc::clone(&stores[0]), Arc::clone(&over));
    let following = tokio::spawn(async move {
        let (mut position, mut seen) = (0, Vec::new());
        loop {
            let was_over = ended.load(Ordering::SeqCst);
            let stretch = follower.events_after(ORG, FeedFilter::default(), position, 50).await.unwrap();
            assert!(stretch.position >= position, "the feed went back");
            position = stretch.position;
            seen.extend(stretch.items.iter().map(|event| event.id));
            follower.tally(at(2_000)).await.unwrap();
            if was_over && stretch.items.is_empty() {
                return seen;
            }
        }
    });
    commit_at_all(&stores, TOTAL, 18, |n| owing(new_event(n), n, 1)).await;
    over.store(true, Ordering::SeqCst);
    let seen = following.await.unwrap();
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "something was seen twice");
    assert_eq!(seen.len(), TOTAL as usize);
    while stores[1].tally(at(2_000)).await.unwrap() {}
    let window = Window { from: at(-60_000), span: Span::Minute, step: Duration::from_secs(60) };
    let tallied = stores[2].tallied(ORG, window).await.unwrap();
    assert_eq!(tallied.doors["source-1"].accepted, u64::from(TOTAL));
    let rows =
        stores[1].audit_rows(AuditRange { organization: None, after: 0, until: i64::MAX, limit: 2_000 }).await.unwrap();
    assert_eq!(super::audit::check(&rows, Verifier::whole()).rows, u64::from(TOTAL));
}
