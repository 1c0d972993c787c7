//! What only the embedded store has: its files, its limits, its one writer.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use hookward_engine::model::*;
use hookward_engine::store::sql::{Limits, SqlStore};
use hookward_engine::store::sqlite::{self, DATABASE_FILE, LOCK_FILE, OpenError};
use hookward_engine::store::*;
use rusqlite::Connection;
use tokio::task::JoinSet;

use super::support::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A connection behind the store's back.
fn outside(dir: &Path) -> Connection {
    Connection::open(dir.join(DATABASE_FILE)).unwrap()
}

#[tokio::test]
async fn only_the_owner_can_read_what_is_kept() {
    let parent = tempfile::TempDir::new().unwrap();
    let dir = parent.path().join("a/data");
    let store = sqlite::open(&dir).unwrap();
    store.commit(new_event(1)).await.unwrap();
    assert_eq!((mode(&dir), mode(dir.parent().unwrap())), (0o700, 0o700));
    let mut names = Vec::new();
    for file in fs::read_dir(&dir).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(
        names,
        [
            DATABASE_FILE.to_owned(),
            format!("{DATABASE_FILE}-shm"),
            format!("{DATABASE_FILE}-wal"),
            LOCK_FILE.to_owned()
        ]
    );
}

#[test]
fn what_everybody_could_write_is_closed() {
    let dir = tempfile::TempDir::new().unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let database = dir.path().join(DATABASE_FILE);
    drop(sqlite::open(dir.path()).unwrap());
    for (given, closed) in [(0o777, 0o755), (0o702, 0o700), (0o770, 0o770), (0o755, 0o755)] {
        set(dir.path(), given);
        set(&database, 0o666);
        drop(sqlite::open(dir.path()).unwrap());
        assert_eq!((mode(dir.path()), mode(&database)), (closed, 0o600), "{given:o}");
    }
    // In a sticky directory nobody replaces another's files.
    set(dir.path(), 0o1777);
    drop(sqlite::open(dir.path()).unwrap());
    assert_eq!(mode(dir.path()), 0o777);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let Fixture { store, dir } = Fixture::new();
    let error = sqlite::open(dir.path()).unwrap_err();
    assert!(matches!(&error, OpenError::InUse { path } if path == dir.path()));
    assert_eq!(
        error.to_string(),
        format!("the data directory `{}` is in use by another process", dir.path().display())
    );
    drop(store);
    sqlite::open(dir.path()).unwrap();
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    for place in [file.clone(), file.join("below")] {
        let error = sqlite::open(&place).unwrap_err();
        assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
    let path = dir.path().join(DATABASE_FILE);
    fs::write(&path, [b'x'; 8192]).unwrap();
    let error = sqlite::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_newer_schema_is_refused() {
    let Fixture { store, dir } = Fixture::new();
    drop(store);
    outside(dir.path()).execute("insert into migrations (number, name) values (9999, 'of the future')", []).unwrap();
    let error = sqlite::open(dir.path()).unwrap_err();
    assert!(matches!(error, OpenError::SchemaTooNew { found: 9999, .. }), "{error:?}");
}

#[tokio::test]
async fn what_was_answered_is_there_after_reopening() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    store
        .change(vec![Change::PutSource(source(1)), Change::PutDestination(Box::new(destination(1)))], vec![])
        .await
        .unwrap();
    store.commit(with_key(owing(new_event(1), 1, 1), DedupKind::Body, b"k")).await.unwrap();
    let claimed = store.claim(request_of(1, at(10), &[(1, 1)])).await.unwrap();
    let fixture = fixture.reopened();
    let store = &fixture.store;
    assert_eq!(store.event(ORG, event_id(1)).await.unwrap(), new_event(1).event);
    assert_eq!(store.commit(with_key(new_event(2), DedupKind::Body, b"k")).await.unwrap().first_event(), event_id(1));
    assert_eq!(store.recover(node_id(2), at(20)).await.unwrap(), 1);
    let late = settlement(&claimed[0].claim, at(15), Next::Delivered);
    assert_eq!(store.settle(vec![late]).await.unwrap(), [Settled::LeaseLost]);
    let again = store.claim(request_of(2, at(20), &[(1, 1)])).await.unwrap();
    assert_eq!((again[0].claim.delivery(), again[0].claim.number()), (delivery_id(1), 2));
}

#[tokio::test]
async fn what_was_answered_is_in_the_files_already() {
    let fixture = Fixture::new();
    fixture.store.commit(new_event(1)).await.unwrap();
    // What a crash would leave: the files as they are, with the store still open.
    let crashed = tempfile::TempDir::new().unwrap();
    for name in [DATABASE_FILE.to_owned(), format!("{DATABASE_FILE}-wal")] {
        fs::copy(fixture.dir.path().join(&name), crashed.path().join(&name)).unwrap();
    }
    let store = sqlite::open(crashed.path()).unwrap();
    assert_eq!(store.event(ORG, event_id(1)).await.unwrap(), new_event(1).event);
    assert_eq!(store.body(ORG, event_id(1)).await.unwrap(), new_event(1).body);
}

#[tokio::test]
async fn a_full_disk_refuses_leaves_nothing_and_passes() {
    let fixture = Fixture::new();
    let store: Arc<SqlStore> = Arc::new(fixture.store);
    let shared: Shared = Arc::clone(&store) as Shared;
    declare(&shared, 1).await;
    sqlite::bound_size(&store, 400_000).await.unwrap();
    let large =
        |n: u32| with_key(owing(with_body(new_event(n), &dense(50_000)), n, 1), DedupKind::Body, &n.to_be_bytes());
    let mut tasks = JoinSet::new();
    for n in 1..=32 {
        let commit = commit_in_task(&shared, large(n));
        tasks.spawn(async move { (n, commit.await) });
    }
    let mut kept: Vec<u32> = Vec::new();
    for (n, outcome) in tasks.join_all().await {
        match outcome {
            Ok(_) => kept.push(n),
            Err(StoreError::Unavailable(why)) => {
                assert!(why.contains(DATABASE_FILE) && why.contains("full"), "{why}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(kept.len() < 8, "{kept:?}");
    // The disk is full, but reading goes on; of what was refused there is no trace.
    let mut listed: Vec<_> = listed(&shared, EventFilter::default()).await;
    listed.sort();
    kept.sort_unstable();
    assert_eq!(listed, kept.iter().map(|n| event_id(*n)).collect::<Vec<_>>());
    assert_eq!(shared.audit(ORG, PAGE).await.unwrap().items.len(), kept.len());
    assert_eq!(shared.backlog().await.unwrap().outstanding, kept.len() as u64);
    sqlite::bound_size(&store, u64::MAX).await.unwrap();
    for n in (1..=32).filter(|n| !kept.contains(n)) {
        assert_eq!(shared.commit(large(n)).await.unwrap().original(), None);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let fixture = Fixture::with(&Limits { queue_bytes: 100, queue_entries: 3, ..Limits::default() });
    let store: Shared = Arc::new(fixture.store);
    // Another writer keeps the store's own waiting, so that the queue does not empty.
    let blocker = outside(fixture.dir.path());
    blocker.execute_batch("begin immediate").unwrap();
    let (large, byte_too_many, second, third, entry_too_many, own) = tokio::join!(
        // A body of more than the whole allowance is taken when nothing else waits.
        commit_in_task(&store, with_body(new_event(1), &[b'x'; 1000])),
        commit_in_task(&store, with_body(new_event(2), b"x")),
        commit_in_task(&store, with_body(new_event(3), b"")),
        commit_in_task(&store, with_body(new_event(4), b"")),
        commit_in_task(&store, with_body(new_event(5), b"")),
        async {
            // The engine's own writes have places of their own.
            let own = store.change(vec![], vec![]);
            blocker.execute_batch("rollback").unwrap();
            own.await
        }
    );
    for refused in [byte_too_many, entry_too_many] {
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    for outcome in [large, second, third] {
        outcome.unwrap();
    }
    own.unwrap();
    store.commit(new_event(6)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_write_ahead_log_stays_bounded_under_load() {
    const BOUND: u64 = 2 << 20;
    let fixture = Fixture::with(&Limits { wal_bytes: BOUND, group_entries: 8, ..Limits::default() });
    let store: Shared = Arc::new(fixture.store);
    let wal = fixture.dir.path().join(format!("{DATABASE_FILE}-wal"));
    let mut longest = 0;
    for round in 0..40 {
        let mut tasks = JoinSet::new();
        for n in 0..64 {
            let new = with_body(new_event(1 + round * 64 + n), &dense(8_000));
            tasks.spawn(commit_in_task(
                &store,
                with_key(new, DedupKind::Body, &sha256(&(round * 64 + n).to_be_bytes())),
            ));
        }
        tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
        longest = longest.max(fs::metadata(&wal).unwrap().len());
    }
    // 20 MiB of bodies alone went through it.
    assert!(longest < 5 * BOUND, "the log grew to {longest} bytes");
    drop(store);
    assert!(!wal.exists(), "a store that is closed leaves its log empty");
}

#[tokio::test]
async fn an_impossible_row_is_named_and_harms_no_other() {
    let fixture = Fixture::new();
    let store: Shared = Arc::new(fixture.store);
    declare(&store, 1).await;
    store.commit(owing(new_event(1), 1, 1)).await.unwrap();
    store.commit(owing(new_event(2), 2, 1)).await.unwrap();
    let damage = outside(fixture.dir.path());
    damage.execute_batch("pragma ignore_check_constraints = on").unwrap();
    let inconsistent = |error: StoreError| match error {
        StoreError::Inconsistent { table, row, .. } => (table, row),
        other => panic!("{other}"),
    };
    for change in ["verdict = '{'", "headers = x'07'", "body_sha256 = x'00'", "body_len = -1"] {
        damage.execute_batch(&format!("savepoint s; update events set {change} where seq = 1; release s")).unwrap();
        let error = store.event(ORG, event_id(1)).await.unwrap_err();
        assert_eq!(inconsistent(error), ("events", "1".to_owned()), "{change}");
    }
    assert_eq!(store.event(ORG, event_id(2)).await.unwrap(), new_event(2).event);
    // The other delivery goes out all the same.
    let claimed = store.claim(request(at(10), &[(1, 9)])).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.claim.delivery()).collect::<Vec<_>>(), [delivery_id(2)]);
    damage.execute_batch("update deliveries set state = 'lost' where seq = 2").unwrap();
    let error = store.delivery(ORG, delivery_id(2)).await.unwrap_err();
    assert_eq!(inconsistent(error), ("deliveries", "2".to_owned()));
    damage.execute_batch("delete from bodies where event_seq = 2").unwrap();
    assert_eq!(inconsistent(store.body(ORG, event_id(2)).await.unwrap_err()), ("bodies", "2".to_owned()));
    damage.execute_batch("update destinations set spec = '{}'").unwrap();
    let error = store.load().await.unwrap_err();
    assert_eq!(inconsistent(error).0, "destinations");
}

#[tokio::test]
async fn a_body_is_kept_once_for_all_its_duplicates() {
    let fixture = Fixture::new();
    for n in 1..=3 {
        let new = with_body(with_key(new_event(n), DedupKind::Body, b"k"), b"the same");
        fixture.store.commit(new).await.unwrap();
    }
    let bodies: i64 =
        outside(fixture.dir.path()).query_row("select count(*) from bodies", [], |row| row.get(0)).unwrap();
    assert_eq!(bodies, 1);
}

#[tokio::test]
async fn a_proven_event_whose_secret_is_gone_is_kept_all_the_same() {
    let fixture = Fixture::new();
    let mut new = new_event(1);
    new.proven_by = Some((SecretOwner::Source(source_id(1)), 1));
    fixture.store.commit(new).await.unwrap();
}

#[tokio::test]
async fn the_totals_of_what_is_kept_are_exact_whatever_was_taken() {
    let fixture = Fixture::new();
    let dir = fixture.dir.path().to_owned();
    let store: Shared = Arc::new(fixture.store);
    declare(&store, 1).await;
    let connection = Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let counted = || -> (i64, i64) {
        let sql = "select (select count(*) from events where stripped_at_ms is null),
                          (select coalesce(sum(e.body_len), 0) from bodies b join events e on e.seq = b.event_seq)";
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let kept = || -> (i64, i64) {
        let sql = "select coalesce(sum(events), 0), coalesce(sum(body_bytes), 0) from source_totals";
        connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let mut rng = 7_u32;
    let mut chance = move |below: u32| {
        rng = rng.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (rng >> 16) % below
    };
    for n in 1..=300 {
        // A few bodies and a few keys: originals, duplicates that share a body, and some that differ.
        let key = [u8::try_from(chance(12)).unwrap()];
        let body = vec![b'x'; chance(3) as usize * 50 + usize::from(key[0])];
        let new = with_body(with_key(new_event(n), DedupKind::Body, &key), &body);
        store.commit(if chance(5) == 0 { owing(new, n, 1) } else { new }).await.unwrap();
        if chance(4) == 0 {
            let strip = Strip {
                source: source_id(1),
                after: i64::from(chance(n)),
                before: Some(at(i64::from(chance(n)))),
                size_bytes: None,
                events: chance(9) + 1,
                body_bytes: 1 << 20,
                now: at(i64::from(n)),
            };
            store.strip(strip).await.unwrap();
            store.remove_rows(at(i64::from(n) + 59_900), chance(9)).await.unwrap();
        }
        assert_eq!(kept(), counted(), "after event {n}");
    }
    let stripped: i64 = connection
        .query_row("select count(*) from events where stripped_at_ms is not null", [], |row| row.get(0))
        .unwrap();
    assert!(stripped > 0);
    let broken: i64 =
        connection.query_row("select count(*) from pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!(broken, 0);
    // Whatever is whole has its body.
    for event in store.events(ORG, EventFilter::default(), PAGE).await.unwrap().items {
        let body = store.body(ORG, event.id).await;
        assert_eq!(body.is_ok(), event.stripped_at.is_none());
        assert!(body.is_err() || sha256(&body.unwrap()) == event.body_sha256);
    }
}
