//! Looking at a database that another process has open, and at one that somebody has changed.

use hookward_engine::model::*;
use hookward_engine::store::sqlite::{DATABASE_FILE, OpenError, check_audit, examine};
use hookward_engine::store::{AuditLog as _, Store as _};
use rusqlite::Connection;

use super::support::*;

/// A closed store with so many rows in its audit log.
async fn logged(rows: i64) -> tempfile::TempDir {
    let Fixture { store, dir } = Fixture::new();
    store.record((0..rows).map(|n| audit("secret.reveal", at(n))).collect()).await.unwrap();
    drop(store);
    dir
}

fn broken(dir: &tempfile::TempDir) -> Broken {
    check_audit(dir.path(), Verifier::whole()).unwrap().unwrap_err()
}

#[tokio::test]
async fn a_log_is_checked_while_its_store_goes_on() {
    let Fixture { store, dir } = Fixture::new();
    for n in 1..=20 {
        store.commit(new_event(n)).await.unwrap();
        let checked = check_audit(dir.path(), Verifier::whole()).unwrap().unwrap();
        assert_eq!((checked.rows, checked.head), (n.into(), store.audit_head().await.unwrap()));
    }
    let head = store.audit_head().await.unwrap();
    drop(store);
    assert_eq!(check_audit(dir.path(), Verifier::whole().against(head)).unwrap().unwrap().head, head);
    assert_eq!(examine(&dir.path().join(DATABASE_FILE)).unwrap().head, head);
}

#[tokio::test]
async fn every_byte_of_a_row_changed_in_the_database_is_found_there() {
    let dir = logged(1_000).await;
    let outside = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    let mut flips = 0;
    for column in ["organization_id", "actor", "action", "target", "detail", "hash"] {
        let read = format!("select cast({column} as blob) from audit where seq = 500");
        let bytes: Vec<u8> = outside.query_row(&read, [], |row| row.get(0)).unwrap();
        let kind = if matches!(column, "organization_id" | "hash") { "blob" } else { "text" };
        let write = format!("update audit set {column} = cast(?1 as {kind}) where seq = 500");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            outside.execute(&write, [flipped]).unwrap();
            assert_eq!(broken(&dir), Broken { seq: 500, why: Why::Altered }, "byte {at} of {column}");
            flips += 1;
        }
        outside.execute(&write, [bytes]).unwrap();
    }
    for bit in 0..40 {
        outside.execute("update audit set at_ms = at_ms + ?1 where seq = 500", [1_i64 << bit]).unwrap();
        assert_eq!(broken(&dir), Broken { seq: 500, why: Why::Altered }, "bit {bit} of the time");
        outside.execute("update audit set at_ms = at_ms - ?1 where seq = 500", [1_i64 << bit]).unwrap();
    }
    assert!(flips > 80, "{flips}");
    assert_eq!(check_audit(dir.path(), Verifier::whole()).unwrap().unwrap().rows, 1_000);
}

#[tokio::test]
async fn rows_deleted_swapped_and_put_in_are_found() {
    let dir = logged(20).await;
    let head = check_audit(dir.path(), Verifier::whole()).unwrap().unwrap().head;
    let outside = Connection::open(dir.path().join(DATABASE_FILE)).unwrap();
    let then_back = |statements: &str| {
        outside.execute_batch(&format!("begin; {statements}; commit")).unwrap();
        let found = check_audit(dir.path(), Verifier::whole().against(head)).unwrap().unwrap_err();
        outside.execute_batch("delete from audit; insert into audit select * from kept").unwrap();
        found
    };
    outside.execute_batch("create table kept as select * from audit").unwrap();
    let missing = |seq, next| Broken { seq, why: Why::Missing { next } };
    assert_eq!(then_back("delete from audit where seq = 7"), missing(7, Some(8)));
    assert_eq!(then_back("delete from audit where seq < 4"), missing(1, Some(4)));
    assert_eq!(then_back("delete from audit where seq > 15"), missing(16, None));
    assert_eq!(then_back("delete from audit"), missing(1, None));
    let altered = |seq| Broken { seq, why: Why::Altered };
    assert_eq!(
        then_back(
            "update audit set seq = -1 where seq = 7; update audit set seq = 7 where seq = 8; \
                   update audit set seq = 8 where seq = -1"
        ),
        altered(7)
    );
    assert_eq!(
        then_back(
            "insert into audit select 21, organization_id, at_ms, actor, address, action, target, detail, hash \
                   from audit where seq = 20"
        ),
        altered(21)
    );
}

#[tokio::test]
async fn a_damaged_database_is_told_as_such() {
    let dir = logged(2_000).await;
    let path = dir.path().join(DATABASE_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0x55);
    std::fs::write(&path, bytes).unwrap();
    let error = examine(&path).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. } | OpenError::Database { .. }), "{error}");
}
