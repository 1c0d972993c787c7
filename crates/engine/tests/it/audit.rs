//! The audit log's head, told to whoever keeps it, and the log taken out.

use std::time::Duration;

use hookward_engine::audit::ChainCheck;
use hookward_engine::audit::{Chain, HEAD};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Broken, Head, Principal, Verifier, Why};
use hookward_engine::store::sqlite;
use hookward_engine::{Declared, OWN};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::ORG;
use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, github, http_to, push};

const HOUR: Duration = Duration::from_secs(3600);

/// The heads that came, oldest first.
fn heads(receiver: &Receiver) -> Vec<Head> {
    let head = |body: &[u8]| {
        let told: Value = serde_json::from_slice(body).unwrap();
        let head: Head = told["head"].as_str().unwrap().parse().unwrap();
        assert_eq!((&told["seq"], &told["hash"]), (&head.seq.into(), &head.hash.to_string().into()));
        head
    };
    receiver.received().iter().map(|request| head(&request.body)).collect()
}

#[tokio::test]
async fn the_head_is_told_once_an_hour_and_holds_the_log_to_it() {
    let receiver = Receiver::start().await;
    let mut keeper = http_to("keeper", receiver.url());
    keeper.spec.sources = vec![OWN.to_owned()];
    keeper.spec.event_types = vec![HEAD.to_owned()];
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![keeper], ..Declared::default() }).await;
    let stop = CancellationToken::new();
    let publishing = tokio::spawn({
        let (engine, stop) = (rig.engine.clone(), stop.clone());
        async move { engine.publish_heads(HOUR, &stop).await }
    });
    for told in 1..=3 {
        while heads(&receiver).len() < told {
            rig.engine.run_until_idle().await;
            tokio::task::yield_now().await;
        }
        rig.send(push(SECRET, &format!("d-{told}"), &format!("{{\"n\":{told}}}"))).await;
        rig.clock.advance(HOUR - Duration::from_millis(1));
        rig.engine.run_until_idle().await;
        assert_eq!(heads(&receiver).len(), told, "told before it was time");
        rig.clock.advance(Duration::from_millis(1));
    }
    stop.cancel();
    publishing.await.unwrap();
    for head in heads(&receiver) {
        sqlite::check_audit(rig.dir.path(), Verifier::whole().against(head)).unwrap().unwrap();
        let other = Head { seq: head.seq, ..heads(&receiver)[usize::from(head == heads(&receiver)[0])] };
        assert!(sqlite::check_audit(rig.dir.path(), Verifier::whole().against(other)).unwrap().is_err());
    }
}

#[tokio::test]
async fn an_export_ends_where_the_log_stood_when_it_began() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let entry = |n: i64| {
        let now = hookward_engine::clock::Timestamp::from_millis(n);
        hookward_engine::model::AuditEntry::by(&Principal::system(ORG), "test", "log", now, serde_json::json!({}))
    };
    rig.store.record((0..1_200).map(entry).collect()).await.unwrap();
    let mut export = rig.engine.export_audit(&Principal::system(ORG), Chain::All, 0).await.unwrap();
    let until = rig.engine.audit_head().await.unwrap().seq;
    let mut rows = Vec::new();
    loop {
        let step = export.next().await.unwrap();
        assert!(step.len() <= 500);
        if step.is_empty() {
            break;
        }
        rows.extend(step);
        rig.send(push(SECRET, &format!("d-{}", rows.len()), &format!("{{\"n\":{}}}", rows.len()))).await;
    }
    assert!(rows.iter().map(|row| row.seq).eq(1..=until));
    assert_eq!(rows.last().unwrap().action, "audit.export");
}

/// Checks to the end in steps of 700 rows; how many steps that took.
async fn checked(rig: &Rig, organization: Option<OrganizationId>, check: ChainCheck) -> Result<(Head, u32), Broken> {
    let (mut check, mut steps) = (check, 0);
    while !check.is_done() {
        check = rig.engine.check_audit(organization, check, 700).await.unwrap()?;
        steps += 1;
    }
    rig.engine.check_audit(organization, check, 700).await.unwrap().map(|check| (check.head, steps))
}

#[tokio::test]
async fn the_chain_is_checked_in_steps_wherever_it_begins() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let entry = |n: i64| {
        let now = hookward_engine::clock::Timestamp::from_millis(n);
        hookward_engine::model::AuditEntry::by(&Principal::system(ORG), "test", "log", now, serde_json::json!({}))
    };
    rig.store.record((0..2_000).map(entry).collect()).await.unwrap();
    let head = rig.engine.audit_head().await.unwrap();
    let whole = rig.engine.begin_audit_check(None, None).await.unwrap();
    assert_eq!((whole.after, whole.until, whole.is_done()), (0, head.seq, false));
    assert_eq!(checked(&rig, None, whole).await, Ok((head, 3)));
    let some = rig.engine.begin_audit_check(Some(10), None).await.unwrap();
    assert_eq!((some.after, checked(&rig, None, some).await), (head.seq - 10, Ok((head, 1))));
    let own = checked(&rig, Some(ORG), whole).await.unwrap();
    assert_eq!(own.0, head);
    // Whoever has nothing in it has nothing to check.
    let other = Some(OrganizationId::from_bytes([9; 16]));
    assert_eq!(checked(&rig, other, whole).await.unwrap().0.seq, head.seq);
    // Against what was published: right, wrong, and not reached.
    let against = async |published: Head| {
        let check = rig.engine.begin_audit_check(Some(1), Some(published)).await.unwrap();
        checked(&rig, None, check).await.map(|(head, _)| head)
    };
    assert_eq!(against(head).await, Ok(head));
    let fifth = rig.engine.check_audit(None, whole, 5).await.unwrap().unwrap().head;
    assert_eq!(against(fifth).await, Ok(head));
    let wrong = Head { seq: 6, ..fifth };
    assert_eq!(against(wrong).await, Err(Broken { seq: 6, why: Why::NotAsPublished }));
    let beyond = Head { seq: head.seq + 5, ..head };
    assert_eq!(against(beyond).await, Err(Broken { seq: head.seq + 1, why: Why::Missing { next: None } }));
}

#[tokio::test]
async fn a_row_that_was_changed_or_taken_out_is_named() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    for n in 0..20 {
        rig.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
    }
    let head = rig.engine.audit_head().await.unwrap();
    let database = rusqlite::Connection::open(rig.dir.path().join(sqlite::DATABASE_FILE)).unwrap();
    let whole = rig.engine.begin_audit_check(None, None).await.unwrap();
    database.execute("update audit set actor = 'nobody' where seq = 12", []).unwrap();
    assert_eq!(checked(&rig, None, whole).await, Err(Broken { seq: 12, why: Why::Altered }));
    assert_eq!(checked(&rig, Some(ORG), whole).await, Err(Broken { seq: 12, why: Why::Altered }));
    let behind = rig.engine.begin_audit_check(Some(4), None).await.unwrap();
    assert_eq!(checked(&rig, None, behind).await.map(|(head, _)| head), Ok(head), "it begins after that row");
    database.execute("delete from audit where seq = 7", []).unwrap();
    let missing = Why::Missing { next: Some(8) };
    assert_eq!(checked(&rig, None, whole).await, Err(Broken { seq: 7, why: missing }));
    database.execute("delete from audit where seq > ?1", [head.seq - 2]).unwrap();
    let cut = Why::Missing { next: None };
    assert_eq!(checked(&rig, None, behind).await, Err(Broken { seq: head.seq - 1, why: cut }));
}
