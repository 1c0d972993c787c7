//! Who may make the master key of a database that nodes share: one of those that start while nothing is sealed.

use hookward_engine::clock::Timestamp;
use hookward_engine::model::*;
use hookward_engine::store::postgres::{self, Access};
use hookward_engine::store::sql::{Limits, SqlStore};
use hookward_engine::store::*;

use super::postgres::Database;
use super::support::*;

fn open(database: &Database) -> SqlStore {
    postgres::open(&Access::to(database.address()), &Limits::default()).unwrap()
}

/// Completes when somebody waits for another's lock.
async fn somebody_waits(database: &Database) {
    let sql = "select 1 from pg_locks where locktype = 'advisory' and not granted
        and database = (select oid from pg_database where datname = current_database())";
    while database.query(sql).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_meanwhile_waits_and_is_the_first_when_the_other_dies_without_a_key() {
    let Some(database) = Database::make() else { return };
    let (one, two) = (open(&database), open(&database));
    let first = one.first_start().await.unwrap().expect("nothing is sealed");
    let second = tokio::spawn(async move { two.first_start().await });
    somebody_waits(&database).await;
    drop((first, one));
    assert!(second.await.unwrap().unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_meanwhile_is_not_the_first_when_the_other_seals_something() {
    let Some(database) = Database::make() else { return };
    let (one, two) = (open(&database), open(&database));
    let first = one.first_start().await.unwrap().expect("nothing is sealed");
    let second = tokio::spawn(async move { two.first_start().await });
    somebody_waits(&database).await;
    let key = Change::PutNewMeta { name: "installation_key".to_owned(), value: b"sealed".to_vec() };
    one.change(vec![key], vec![]).await.unwrap();
    drop(first);
    assert!(second.await.unwrap().unwrap().is_none());
    assert!(one.first_start().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_beside_a_node_that_serves_is_not_the_first() {
    let Some(database) = Database::make() else { return };
    let (one, two) = (open(&database), open(&database));
    let mut node = Node {
        id: node_id(1),
        name: "one".to_owned(),
        address: String::new(),
        version: String::new(),
        started_at: Timestamp::from_millis(0),
        seen_at: Timestamp::from_millis(0),
        state: NodeState::Serving,
        declared: 0,
        leases: 0,
        clock_ahead_ms: 0,
    };
    one.check_in(node.clone()).await.unwrap();
    assert!(two.first_start().await.unwrap().is_none());
    node.state = NodeState::Gone;
    one.check_in(node).await.unwrap();
    assert!(two.first_start().await.unwrap().is_some(), "it sealed nothing while it served");
}
