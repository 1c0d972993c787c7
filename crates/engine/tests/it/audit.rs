//! The audit log's head, told to whoever keeps it, and the log taken out.

use std::time::Duration;

use hookward_engine::audit::{Chain, HEAD};
use hookward_engine::model::{Head, Principal, Verifier};
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
