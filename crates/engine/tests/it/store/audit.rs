//! The audit log as a store keeps it: a chain, whatever wrote to it, that lists and ranges only show parts of.

use hookward_engine::ids::OrganizationId;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

const EVERYTHING: AuditRange = AuditRange { organization: None, after: 0, until: i64::MAX, limit: 1000 };

fn other() -> OrganizationId {
    OrganizationId::from_bytes([9; 16])
}

/// Checks rows as they were taken out. The last one's place.
pub(super) fn check(rows: &[KeptRow], mut verifier: Verifier) -> Checked {
    for row in rows {
        let prev = Some(row.prev.as_bytes().as_slice());
        let found = ChainRow { seq: row.seq, facts: row.facts(), prev, hash: row.hash.as_bytes() };
        verifier.check(&found).unwrap();
    }
    verifier.finish().unwrap()
}

pub(crate) async fn everything_that_is_told_is_chained(store: &Shared) {
    assert_eq!(store.audit_head().await.unwrap(), Head::START);
    declare(store, 1).await;
    store.commit(new_event(1)).await.unwrap();
    store.record((0..600).map(|n| audit("webhook.refused", at(n))).collect()).await.unwrap();
    let mut commits = tokio::task::JoinSet::new();
    (2..40).for_each(|n| drop(commits.spawn(commit_in_task(store, new_event(n)))));
    commits.join_all().await;
    let rows = store.audit_rows(EVERYTHING).await.unwrap();
    let checked = check(&rows, Verifier::whole());
    assert_eq!(checked.head, store.audit_head().await.unwrap());
    assert_eq!(checked.rows, 639);
    let listed = store.audit(ORG, PAGE).await.unwrap().items;
    assert_eq!((listed[0].seq, listed[0].hash), (checked.head.seq, checked.head.hash));
}

pub(crate) async fn one_that_fails_leaves_no_hole_in_the_chain(store: &Shared) {
    declare(store, 1).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 1..60 {
        // Every third is owed to a destination that there is not.
        tasks.spawn(commit_in_task(store, owing(new_event(n), n, if n % 3 == 0 { 9 } else { 1 })));
    }
    let failed = tasks.join_all().await.into_iter().filter(Result::is_err).count();
    assert_eq!(failed, 19);
    let rows = store.audit_rows(EVERYTHING).await.unwrap();
    assert_eq!(check(&rows, Verifier::whole()).rows, 40);
}

pub(crate) async fn rows_of_one_organization_are_each_checked_alone(store: &Shared) {
    let entry = |n: i64, organization| AuditEntry { organization, ..audit("secret.reveal", at(n)) };
    let organization = |n: i64| if n % 3 == 0 { other() } else { ORG };
    store.record((0..30).map(|n| entry(n, organization(n))).collect()).await.unwrap();
    let range = AuditRange { organization: Some(other()), limit: 4, ..EVERYTHING };
    let (mut rows, mut after) = (Vec::new(), 0);
    loop {
        let page = store.audit_rows(AuditRange { after, until: 28, ..range }).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 4);
        after = last.seq;
        rows.extend(page);
    }
    assert!(rows.iter().map(|row| row.seq).eq((1..=28).step_by(3)));
    assert!(rows.iter().all(|row| row.organization == other()));
    assert_eq!(check(&rows, Verifier::of_some()).linked, 1);
    let own = store.audit_rows(AuditRange { organization: Some(ORG), ..EVERYTHING }).await.unwrap();
    assert_eq!(own.len(), 20);
}

pub(crate) async fn a_list_is_narrowed_by_all_that_is_asked(store: &Shared) {
    let entry = |n: i64| AuditEntry {
        actor: format!("key:{}", n % 2),
        target: format!("source:{}", n % 3),
        ..audit(if n < 10 { "secret.reveal" } else { "secret.rotate" }, at(n))
    };
    store.record((0..20).map(entry).collect()).await.unwrap();
    let seqs = async |filter| {
        let listed = store.audit_matching(ORG, filter, PAGE).await.unwrap().items;
        listed.into_iter().map(|row| row.seq).collect::<Vec<_>>()
    };
    let all = AuditFilter::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(seqs(AuditFilter { action: text("secret.rotate"), ..all() }).await.len(), 10);
    assert_eq!(seqs(AuditFilter { actor: text("key:1"), target: text("source:0"), ..all() }).await, [16, 10, 4]);
    assert_eq!(seqs(AuditFilter { since: Some(at(18)), ..all() }).await, [20, 19]);
    assert_eq!(seqs(AuditFilter { until: Some(at(2)), ..all() }).await, [2, 1]);
    assert_eq!(seqs(AuditFilter { actor: text("key"), ..all() }).await, [0; 0]);
    let page = Page { before: Some(10), limit: 2 };
    let paged = store.audit_matching(ORG, AuditFilter { actor: text("key:1"), ..all() }, page).await.unwrap();
    assert_eq!((paged.items.iter().map(|row| row.seq).collect::<Vec<_>>(), paged.next), (vec![8, 6], Some(6)));
}
