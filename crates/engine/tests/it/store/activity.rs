//! Looking for events by what became of them, as every store must answer: all that is asked, and nothing twice.

use std::collections::BTreeMap;

use hookward_engine::clock::Timestamp;
use hookward_engine::dedup::text_key;
use hookward_engine::ids::{AttemptId, OrganizationId};
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

/// Events 1 to 12, each owed to destinations 1 and 2 as deliveries n and 100 + n; the last two are duplicates of the first
/// two and owe nothing. At destination 1 the first four are delivered, the next two exhausted after a 503, and the seventh
/// waits for its next attempt after a timeout.
async fn fill(store: &Shared) {
    declare(store, 2).await;
    for n in 1..=12 {
        let mut new = with_key(new_event(n), DedupKind::Body, &[u8::try_from((n - 1) % 10).unwrap()]);
        new = with_key(new, DedupKind::DeliveryId, &text_key(&format!("delivery {n}")));
        new.event.event_type = ["invoice.paid", "invoice.void", "push"][n as usize % 3].to_owned();
        if n % 2 == 0 {
            new.event.source = source_id(2);
        }
        store.commit(owing(owing(new, n, 1), 100 + n, 2)).await.unwrap();
    }
    let claimed = store.claim(request(at(100), &[(1, 7)])).await.unwrap();
    let mut settlements = Vec::new();
    for (n, claimed) in (1_u32..).zip(&claimed) {
        let next = match n {
            1..=4 => Next::Delivered,
            5..=6 => Next::Exhausted,
            _ => Next::Again { due_at: at(9_000) },
        };
        let mut settlement = settlement(&claimed.claim, at(110), next);
        let attempt = &mut settlement.attempt;
        attempt.id = AttemptId::from_bytes(id_bytes(6, 1_000 + n));
        (attempt.outcome, attempt.status) = match n {
            1..=4 => (Outcome::Success, Some(200)),
            5..=6 => (Outcome::Status, Some(503)),
            _ => (Outcome::Timeout, None),
        };
        settlements.push(settlement);
    }
    assert_eq!(settlements.len(), 7);
    store.settle(settlements).await.unwrap();
}

async fn found(store: &Shared, filter: ActivityFilter) -> Vec<u32> {
    let numbers: BTreeMap<_, _> = (1..=12).map(|n| (event_id(n), n)).collect();
    let (mut seen, mut before) = (Vec::new(), None);
    // In pages of three, so that what a page ends with is tried as well.
    loop {
        let page = store.activity(ORG, filter.clone(), Page { before, limit: 3 }).await.unwrap();
        assert!(page.items.len() <= 3 && page.looked_back_to.is_none());
        seen.extend(page.items.iter().map(|activity| numbers[&activity.event.id]));
        before = page.next;
        if before.is_none() {
            return seen;
        }
    }
}

pub(crate) async fn what_happened_is_found_by_all_that_is_asked(store: &Shared) {
    fill(store).await;
    let all = ActivityFilter::default;
    let text = |text: &str| Some(text.to_owned());
    let source = Some(source_id(2));
    let destination = |n| Some(destination_id(n));
    let status = |from, to| Some(Ended::Status(from..=to));
    let ended = |outcome| Some(Ended::Outcome(outcome));
    for (filter, expected) in [
        (all(), &[12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1][..]),
        (ActivityFilter { source, ..all() }, &[12, 10, 8, 6, 4, 2]),
        (ActivityFilter { event_type: text("push"), ..all() }, &[11, 8, 5, 2]),
        (ActivityFilter { event_type: text("invoice.*"), ..all() }, &[12, 10, 9, 7, 6, 4, 3, 1]),
        (ActivityFilter { event_type: text("*v*d"), source, ..all() }, &[12, 10, 6, 4]),
        (ActivityFilter { event_type: text("Push"), ..all() }, &[]),
        (ActivityFilter { duplicate: Some(true), ..all() }, &[12, 11]),
        (ActivityFilter { duplicate: Some(false), source, ..all() }, &[10, 8, 6, 4, 2]),
        (ActivityFilter { delivery_id: text("delivery 7"), ..all() }, &[7]),
        (ActivityFilter { delivery_id: text("delivery 11"), ..all() }, &[11]),
        (ActivityFilter { delivery_id: text("delivery 99"), ..all() }, &[]),
        (ActivityFilter { state: text("delivered"), ..all() }, &[4, 3, 2, 1]),
        (ActivityFilter { state: text("exhausted"), ..all() }, &[6, 5]),
        (ActivityFilter { state: text("exhausted"), destination: destination(2), ..all() }, &[]),
        (ActivityFilter { state: text("pending"), destination: destination(1), ..all() }, &[10, 9, 8, 7]),
        (ActivityFilter { state: text("pending"), ..all() }, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (ActivityFilter { state: text("held"), ..all() }, &[]),
        (ActivityFilter { state: text("no such state"), ..all() }, &[]),
        (ActivityFilter { destination: destination(2), event_type: text("push"), ..all() }, &[8, 5, 2]),
        (ActivityFilter { destination: destination(1), source, duplicate: Some(true), ..all() }, &[]),
        (ActivityFilter { ended: status(500, 599), ..all() }, &[6, 5]),
        (ActivityFilter { ended: status(200, 200), source, ..all() }, &[4, 2]),
        (ActivityFilter { ended: ended(Outcome::Timeout), ..all() }, &[7]),
        (ActivityFilter { ended: ended(Outcome::Timeout), destination: destination(2), ..all() }, &[]),
        (ActivityFilter { ended: ended(Outcome::Status), state: text("exhausted"), source, ..all() }, &[6]),
        (ActivityFilter { from: Some(at(9)), ..all() }, &[12, 11, 10, 9]),
        (ActivityFilter { until: Some(at(3)), ..all() }, &[2, 1]),
        (ActivityFilter { until: Some(at(6)), state: text("exhausted"), ..all() }, &[5]),
        (ActivityFilter { from: Some(at(6)), state: text("exhausted"), ..all() }, &[6]),
    ] {
        assert_eq!(found(store, filter.clone()).await, expected, "{filter:?}");
    }
}

pub(crate) async fn what_is_another_organizations_is_not_found(store: &Shared) {
    fill(store).await;
    let other = OrganizationId::from_bytes([9; 16]);
    let page = Page { before: None, limit: 50 };
    let (destination, state) = (Some(destination_id(1)), Some("exhausted".to_owned()));
    for filter in [
        ActivityFilter::default(),
        ActivityFilter { destination, ..ActivityFilter::default() },
        ActivityFilter { state, ..ActivityFilter::default() },
    ] {
        assert_eq!(store.activity(other, filter, page).await.unwrap().items, []);
    }
    assert_eq!(store.standing(other, vec![event_id(1)]).await.unwrap(), []);
    let attempt = store.delivery(ORG, delivery_id(1)).await.unwrap().1[0].id;
    assert_eq!(store.delivery_of(ORG, attempt).await.unwrap(), delivery_id(1));
    for (organization, attempt) in [(other, attempt), (ORG, AttemptId::from_bytes([7; 16]))] {
        let missing = store.delivery_of(organization, attempt).await.unwrap_err();
        assert_eq!(missing, StoreError::NotFound { what: format!("attempt `{attempt}`") });
    }
}

pub(crate) async fn an_event_stands_as_the_latest_delivery_to_each_destination(store: &Shared) {
    fill(store).await;
    let exhausted = || ActivityFilter { state: Some("exhausted".to_owned()), ..ActivityFilter::default() };
    let page = Page { before: None, limit: 50 };
    let newest = store.activity(ORG, exhausted(), page).await.unwrap().newest;
    let again = NewDelivery { cause: DeliveryCause::Redelivery { of: None }, ..new_delivery(205, 1) };
    store.redeliver(event_id(5), vec![again], audit("event.redeliver", at(200))).await.unwrap();
    // Its latest delivery is pending now, so it is found by that, once, and where it stands now: at the top.
    assert_eq!(found(store, exhausted()).await, [6]);
    let pending = ActivityFilter { state: Some("pending".to_owned()), ..ActivityFilter::default() };
    assert_eq!(found(store, pending.clone()).await, [5, 10, 9, 8, 7, 6, 4, 3, 2, 1]);
    let since = ActivityFilter { after: Some(newest), ..pending };
    assert_eq!(found(store, since).await, [5]);
    let (_, standing) = store.standing(ORG, vec![event_id(5), event_id(99)]).await.unwrap().remove(0);
    let told: Vec<_> = standing.iter().map(|one| (one.delivery.id, one.last.map(|last| last.status))).collect();
    assert_eq!(told, [(delivery_id(205), None), (delivery_id(105), None)]);
    let (_, standing) = store.standing(ORG, vec![event_id(6)]).await.unwrap().remove(0);
    let last = LastAttempt { outcome: Outcome::Status, status: Some(503), exit_code: None };
    assert_eq!(standing.iter().map(|one| one.last).collect::<Vec<_>>(), [None, Some(last)]);
}

pub(crate) async fn a_look_for_what_is_not_there_ends_and_says_how_far_it_came(store: &Shared) {
    declare(store, 1).await;
    let many = (1..=10_050).map(|n| {
        let mut new = new_event(n);
        new.event.event_type = if n == 20 { "rare" } else { "common" }.to_owned();
        new
    });
    for some in many.collect::<Vec<_>>().chunks_mut(1_000) {
        let some = some.iter_mut().map(|new| std::mem::replace(new, new_event(0))).collect();
        store.commit_all(some).await.unwrap();
    }
    let rare = || ActivityFilter { event_type: Some("r*e".to_owned()), ..ActivityFilter::default() };
    let first = store.activity(ORG, rare(), Page { before: None, limit: 10 }).await.unwrap();
    let newest = store.activity(ORG, ActivityFilter::default(), Page { before: None, limit: 1 }).await.unwrap();
    assert_eq!((first.items.len(), first.newest), (0, newest.items[0].position));
    assert_eq!(newest.items[0].event.id, event_id(10_050));
    assert_eq!(first.looked_back_to, Some(at(51)));
    let second = store.activity(ORG, rare(), Page { before: first.next, limit: 10 }).await.unwrap();
    assert_eq!((second.items[0].event.id, second.looked_back_to, second.next), (event_id(20), None, None));
    // A time is found without stepping over what is not of it.
    let from = Timestamp::from_millis(at(10_040).as_millis() + 3_600_000);
    assert_eq!(found(store, ActivityFilter { from: Some(from), ..ActivityFilter::default() }).await, [0; 0]);
}
