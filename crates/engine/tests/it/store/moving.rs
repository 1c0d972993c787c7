//! Whole stores, moved from one kind to the other: ended in the middle, tampered with, refused, saved and put back.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hookward_engine::clock::{Entropy, SystemEntropy};
use hookward_engine::ids::OrganizationId;
use hookward_engine::kms::Kms;
use hookward_engine::kms::keychain::Keychain;
use hookward_engine::kms::local::LocalKms;
use hookward_engine::kms::seal::{associated_data, open, seal};
use hookward_engine::model::{Head, SealedSecret, SecretOwner};
use hookward_engine::moving::{self, Address, Copy, MoveError, Moved, Progress, Run, Stage, Watcher};
use hookward_engine::store::postgres::{self, Access, OpenError};
use hookward_engine::store::sql::{Limits, SqlStore};
use hookward_engine::store::sqlite::{self, DATABASE_FILE};
use hookward_engine::store::status;
use hookward_engine::store::{AuditLog as _, Backups as _, Change, DedupKind, Store as _};
use rusqlite::Connection;

use super::postgres::Database;
use super::support::*;

const EVERYTHING: &str = include_str!("moving/everything.sql");

/// A data directory with rows in every table.
async fn filled() -> (tempfile::TempDir, Head) {
    let Fixture { store, dir } = Fixture::new();
    store.record((0..500).map(|n| audit("secret.reveal", at(n))).collect()).await.unwrap();
    let head = store.audit_head().await.unwrap();
    drop(store);
    outside(dir.path()).execute_batch(EVERYTHING).unwrap();
    (dir, head)
}

fn outside(dir: &Path) -> Connection {
    Connection::open(dir.join(DATABASE_FILE)).unwrap()
}

fn of(dir: &tempfile::TempDir) -> Address {
    Address::Sqlite(dir.path().to_owned())
}

fn at_postgres(database: &Database) -> Address {
    Address::Postgres(Access::to(database.address()))
}

fn unwatched() -> Watcher {
    Box::new(|_| ControlFlow::Continue(()))
}

fn copying(from: &Address, to: &Address) -> Copy {
    Copy { from: from.clone(), to: to.clone(), kms: None, entropy: Arc::new(SystemEntropy), now: at(1) }
}

async fn copy(from: &Address, to: &Address) -> Result<Moved, MoveError> {
    moving::copy(copying(from, to), unwatched()).await
}

/// Ends the copy at its `n`th word on progress.
async fn copy_a_little(from: &Address, to: &Address, n: u32) -> Result<Moved, MoveError> {
    let told = AtomicU32::new(0);
    let watch = move |_: &Progress<'_>| match told.fetch_add(1, Ordering::Relaxed) + 1 < n {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    moving::copy(copying(from, to), Box::new(watch)).await
}

fn open_postgres(database: &Database) -> Result<SqlStore, OpenError> {
    postgres::open(&Access::to(database.address()), &Limits::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_to_postgresql_and_back_the_same() {
    let Some(database) = Database::make() else { return };
    let (first, head) = filled().await;
    let (shared, second) = (at_postgres(&database), tempfile::tempdir().unwrap());
    let there = copy(&of(&first), &shared).await.unwrap();
    assert_eq!(there.verified.head, head);
    assert_eq!(there.verified.replaced, 0);
    // Whoever adds a table puts rows of it into `everything.sql`.
    let empty: Vec<_> = there.verified.tables.iter().filter(|table| table.rows == 0).collect();
    assert!(empty.is_empty(), "{empty:?}");
    let back = copy(&shared, &of(&second)).await.unwrap();
    assert_eq!(there.verified, back.verified);
    assert_eq!(there.sealed, [("local:01234567".to_owned(), 6)]);

    // Places go on after the largest that was ever given out, which is not the largest there is.
    let (first, second) = (outside(first.path()), outside(second.path()));
    let last = |connection: &Connection| -> i64 {
        connection.query_row("select seq from sqlite_sequence where name = 'events'", [], |row| row.get(0)).unwrap()
    };
    assert!(last(&first) == 12_000 && last(&second) >= 12_000);
    let next: i64 = database.query("select nextval('events_seq')")[0].parse().unwrap();
    assert!(next > 12_000);
    assert_eq!(database.query("select nextval(pg_get_serial_sequence('jobs', 'seq'))"), ["10"]);
    assert!(open_postgres(&database).unwrap().first_start().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_on_where_it_was_copied_to() {
    let Some(database) = Database::make() else { return };
    let dir = tempfile::tempdir().unwrap();
    let store: Shared = Arc::new(sqlite::open(dir.path()).unwrap());
    declare(&store, 1).await;
    for n in 1..=20 {
        store.commit(owing(with_key(new_event(n), DedupKind::Body, &n.to_be_bytes()), n, 1)).await.unwrap();
    }
    drop(store);
    copy(&of(&dir), &at_postgres(&database)).await.unwrap();
    let store: Shared = Arc::new(open_postgres(&database).unwrap());
    store.commit(with_key(new_event(21), DedupKind::Body, &7_u32.to_be_bytes())).await.unwrap();
    assert_eq!(store.event(ORG, event_id(21)).await.unwrap().duplicate_of, Some(event_id(7)));
    let claimed = store.claim(request(at(100), &[(1, 100)])).await.unwrap();
    assert_eq!(claimed.len(), 20);
    store.commit(owing(new_event(22), 22, 1)).await.unwrap();
    assert_eq!(listed(&store, Default::default()).await[0], event_id(22));
    assert!(store.audit_head().await.unwrap().seq > 20);
}

/// Ends the copy again and again, a little later each time, until it is through.
async fn with_ends(from: &Address, to: &Address, while_unfinished: impl Fn()) -> (Moved, u32) {
    for ends in 0.. {
        match copy_a_little(from, to, 2 + ends % 3).await {
            Ok(moved) => return (moved, ends),
            Err(MoveError::Stopped) => while_unfinished(),
            Err(error) => panic!("{error}"),
        }
        if ends > 30 {
            // What is compared is compared anew each time.
            return (copy(from, to).await.unwrap(), ends);
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_ended_goes_on_and_is_not_served_before_its_end() {
    let Some(database) = Database::make() else { return };
    let (first, _) = filled().await;
    let (shared, second) = (at_postgres(&database), tempfile::tempdir().unwrap());
    let whole = {
        let other = tempfile::tempdir().unwrap();
        copy(&of(&first), &of(&other)).await.unwrap()
    };
    let (there, ends) = with_ends(&of(&first), &shared, || {
        let refused = open_postgres(&database).unwrap_err();
        assert!(matches!(refused, OpenError::Unfinished { .. }), "{refused}");
    })
    .await;
    assert!(ends > 20, "{ends}");
    assert_eq!(there, whole);
    let (back, _) = with_ends(&shared, &of(&second), || {
        let refused = sqlite::open(second.path()).unwrap_err();
        assert!(matches!(refused, sqlite::OpenError::Unfinished { .. }), "{refused}");
    })
    .await;
    assert_eq!(back, whole);
    assert!(sqlite::open(second.path()).is_ok());
}

/// Does something to the target when all rows are there and before they are read back.
fn before_it_is_compared(mut act: impl FnMut() + Send + 'static) -> Watcher {
    let mut is_done = false;
    Box::new(move |progress| {
        if progress.stage == Stage::Copying
            && progress.all_rows == progress.all_of
            && !std::mem::replace(&mut is_done, true)
        {
            act();
        }
        ControlFlow::Continue(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_value_changed_on_the_way_is_found() {
    let Some(_) = Database::make() else { return };
    let (first, _) = filled().await;
    for (sql, table) in [
        ("update events set remote = 'x' where seq = 5000", "events"),
        ("update deliveries set skipped = 1 where seq = 77", "deliveries"),
        ("delete from outputs where delivery_seq = 5", "outputs"),
        ("update meta set value = '\\x' where name = 'name 2a'", "meta"),
        ("update audit set detail = detail || ' ' where seq = 300", "its audit log"),
        ("delete from audit where seq = 500", "its audit log"),
    ] {
        let database = Arc::new(Database::make().unwrap());
        let tampered = Arc::clone(&database);
        let watch = before_it_is_compared(move || drop(tampered.query(sql)));
        let shared = at_postgres(&database);
        let error = moving::copy(copying(&of(&first), &shared), watch).await.unwrap_err().to_string();
        assert!(error.contains(table), "{sql}: {error}");
        assert!(matches!(open_postgres(&database), Err(OpenError::Unfinished { .. })), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_empty_or_not_the_same_is_left_alone() {
    let Some(database) = Database::make() else { return };
    let shared = at_postgres(&database);
    let (first, _) = filled().await;
    let (other, _) = filled().await;
    outside(other.path()).execute("update events set remote = 'y'", []).unwrap();
    outside(other.path()).execute("delete from once where event_seq = 2", []).unwrap();
    let refused = |error: MoveError, said: &str| {
        assert!(matches!(error, MoveError::Refused(_)) && error.to_string().contains(said), "{error}");
    };
    refused(copy(&of(&first), &of(&first)).await.unwrap_err(), "into itself");
    refused(copy(&of(&first), &of(&other)).await.unwrap_err(), "holds something already (in `");
    let nothing = tempfile::tempdir().unwrap();
    let missing = copy(&of(&nothing), &shared).await.unwrap_err();
    assert!(matches!(missing, MoveError::Missing(_)), "{missing}");
    assert!(!nothing.path().join("lock").exists());

    let served = sqlite::open(first.path()).unwrap();
    let in_use = copy(&of(&first), &shared).await.unwrap_err();
    assert!(matches!(in_use, MoveError::Sqlite(sqlite::OpenError::InUse { .. })), "{in_use}");
    drop(served);

    assert!(matches!(copy_a_little(&of(&first), &shared, 5).await, Err(MoveError::Stopped)));
    refused(copy(&of(&other), &shared).await.unwrap_err(), "holds an unfinished copy of `sqlite:");
    let store = sqlite::open(first.path()).unwrap();
    store.record(vec![audit("secret.reveal", at(9))]).await.unwrap();
    drop(store);
    refused(copy(&of(&first), &shared).await.unwrap_err(), "has changed since its copy into");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_serves_or_copies_a_database_that_is_being_copied() {
    let Some(database) = Database::make() else { return };
    let (first, _) = filled().await;
    let shared = at_postgres(&database);
    let (address, tried) = (database.address(), Arc::new(AtomicU32::new(0)));
    let (counted, again, from) = (Arc::clone(&tried), shared.clone(), of(&first));
    let watch = before_it_is_compared(move || {
        let served = postgres::open(&Access::to(&address), &Limits::default()).unwrap_err();
        assert!(matches!(served, OpenError::BeingCopied(_)), "{served}");
        let said = status::status(&again).unwrap().unfinished_copy_of;
        assert_eq!(said, Some(from.to_string()));
        counted.fetch_add(1, Ordering::Relaxed);
    });
    moving::copy(copying(&of(&first), &shared), watch).await.unwrap();
    assert_eq!(tried.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_postgresql_cannot_hold_is_replaced_or_named() {
    let Some(database) = Database::make() else { return };
    let (first, _) = filled().await;
    let set = |sql: &str| assert_eq!(outside(first.path()).execute(sql, []).unwrap(), 1);
    set("update events set event_type = 'a' || char(0) || 'b' where seq = 20");
    let moved = copy(&of(&first), &at_postgres(&database)).await.unwrap();
    assert_eq!(moved.verified.replaced, 1);
    assert_eq!(database.query("select event_type from events where seq = 20"), ["a\u{fffd}b"]);

    set("update audit set target = target || char(0) where seq = 7");
    let other = Database::make().unwrap();
    let error = copy(&of(&first), &at_postgres(&other)).await.unwrap_err().to_string();
    assert!(error.contains("`audit`, row Integer(7): the text in `target` has a zero in it"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_come_under_the_key_of_the_target() {
    let Some(database) = Database::make() else { return };
    let keys = tempfile::tempdir().unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let local = |name: &str| LocalKms::open(&keys.path().join(name), Arc::clone(&entropy)).unwrap();
    let (old, dir) = (local("old"), tempfile::tempdir().unwrap());
    let store = sqlite::open(dir.path()).unwrap();
    let owner = SecretOwner::Source(source_id(1));
    let mut changes = vec![Change::PutSource(source(1))];
    let place = |version| associated_data(OrganizationId::DEFAULT, owner, version);
    for version in 1..=100 {
        let sealed = seal(&old, &*entropy, &place(version), b"a secret").await.unwrap();
        changes.push(Change::PutSecret(SealedSecret { sealed, ..secret(owner, version) }));
    }
    store.change(changes, vec![]).await.unwrap();
    drop(store);

    let (new, shared) = (local("new"), at_postgres(&database));
    let (to, from) = (new.key_id().to_owned(), old.key_id().to_owned());
    assert_ne!(to, from);
    let (new, old): (Arc<dyn Kms>, Arc<dyn Kms>) = (Arc::new(new), Arc::new(old));
    let unknown = Copy { kms: Some(Arc::clone(&new)), ..copying(&of(&dir), &of(&keys)) };
    let moved = moving::copy(unknown, unwatched()).await.unwrap();
    assert_eq!(moved.rewrapped.map(|rewrapped| (rewrapped.done, rewrapped.skipped)), Some((0, 100)));
    assert_eq!(moved.sealed, [(from, 100)]);

    let kms: Arc<dyn Kms> = Arc::new(Keychain::new(Arc::clone(&new), vec![old]));
    let moved = moving::copy(Copy { kms: Some(kms), ..copying(&of(&dir), &shared) }, unwatched()).await.unwrap();
    assert_eq!(moved.rewrapped.map(|rewrapped| (rewrapped.done, rewrapped.skipped)), Some((100, 0)));
    assert_eq!(moved.sealed, [(to, 100)]);
    let store = open_postgres(&database).unwrap();
    for secret in &store.load().await.unwrap().secrets {
        let opened = open(&*new, &place(secret.version), &secret.sealed).await.unwrap();
        assert_eq!(opened.as_slice(), b"a secret");
    }
    assert_eq!(store.audit(ORG, PAGE).await.unwrap().items[0].entry.action, "kms.rewrapped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_postgresql_is_taken_while_it_is_served_and_goes_anywhere() {
    let Some(database) = Database::make() else { return };
    let (first, _) = filled().await;
    let shared = at_postgres(&database);
    let there = copy(&of(&first), &shared).await.unwrap();
    let (place, moved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open_postgres(&database).unwrap();
    assert!(store.copy().await.is_err());
    let store = store.copying_in(place.path().to_owned());
    let copied = store.copy().await.unwrap();
    assert_eq!((copied.head, copied.key_ids), (there.verified.head, vec!["local:01234567".to_owned()]));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);

    let mut backup = moving::backup(shared.clone(), place.path().to_owned(), at(5)).await.unwrap();
    let mut bytes = std::mem::take(&mut backup.head);
    std::io::Read::read_to_end(&mut backup.database, &mut bytes).unwrap();
    let file = place.path().join("b");
    std::fs::write(&file, &bytes).unwrap();
    drop(store);

    let (other, data) = (Database::make().unwrap(), Address::Sqlite(moved.path().join("data")));
    for to in [&data, &at_postgres(&other)] {
        let restored = moving::restore(file.clone(), to.clone(), unwatched()).await.unwrap();
        assert_eq!(restored.audit_rows, 500);
    }
    let (again, third) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert_eq!(copy(&data, &of(&again)).await.unwrap().verified, there.verified);
    assert_eq!(copy(&at_postgres(&other), &of(&third)).await.unwrap().verified, there.verified);
    // A second time, there is something already.
    assert!(moving::restore(file.clone(), at_postgres(&other), unwatched()).await.is_err());
    // Room that was taken beside it is free again.
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_migrated_and_before_that_only_looked_at() {
    let (first, _) = filled().await;
    let newest = moving::migrate(of(&first), Run::OnlyToSay).await.unwrap();
    assert_eq!((newest.from, newest.names.len()), (newest.to, 0));
    outside(first.path())
        .execute_batch("delete from migrations where number = (select max(number) from migrations)")
        .unwrap();
    let would = moving::migrate(of(&first), Run::OnlyToSay).await.unwrap();
    assert_eq!((would.from + 1, would.names.len()), (would.to, 1));
    let other = tempfile::tempdir().unwrap();
    let refused = copy(&of(&first), &of(&other)).await.unwrap_err().to_string();
    assert!(refused.contains("run `hookward db migrate` on it first"), "{refused}");
    assert_eq!(moving::status(of(&first)).await.unwrap().schema, would.from);

    let Some(database) = Database::make() else { return };
    let shared = at_postgres(&database);
    assert_eq!(moving::status(shared.clone()).await.unwrap().schema, 0);
    assert_eq!(moving::migrate(shared.clone(), Run::OnlyToSay).await.unwrap().from, 0);
    assert_eq!(moving::status(shared.clone()).await.unwrap().schema, 0);
    let done = moving::migrate(shared.clone(), Run::Really).await.unwrap();
    assert_eq!((done.from, moving::status(shared.clone()).await.unwrap().schema), (0, done.to));
    let missing = moving::migrate(Address::Sqlite(other.path().join("none")), Run::Really).await.unwrap_err();
    assert!(matches!(missing, MoveError::Missing(_)), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_database_stands_is_the_same_on_both() {
    let Some(database) = Database::make() else { return };
    let (first, _) = filled().await;
    let shared = at_postgres(&database);
    copy(&of(&first), &shared).await.unwrap();
    let (here, there) = (moving::status(of(&first)).await.unwrap(), moving::status(shared.clone()).await.unwrap());
    assert_eq!((here.outstanding, here.oldest_due_at_ms), (1_180, Some(5)));
    assert_eq!((there.outstanding, there.oldest_due_at_ms), (1_180, Some(5)));
    assert_eq!((here.schema, there.schema), (here.newest_schema, there.newest_schema));
    assert!(here.size_bytes > 1 << 20 && there.size_bytes > 1 << 20);
    let events = |status: &moving::Status| status.rows.iter().find(|rows| rows.table == "events").map(|rows| rows.rows);
    assert_eq!(events(&here), Some(5_950));
    assert!(here.kept_by.starts_with("SQLite 3") && there.kept_by.starts_with("PostgreSQL "));
    assert!(
        there.dead_rows.is_some()
            && there.locks.is_some_and(|locks| !locks.is_tight())
            && there.unfinished_copy_of.is_none()
    );
}
