//! Lists, as every store must give them: newest first, in pages that neither skip nor repeat.

use hookward_engine::dedup::text_key;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

/// Events 1 to 12: even ones at source 2, every third of type `ping`, the last four duplicates of the first four.
async fn fill(store: &Shared) {
    declare(store, 2).await;
    for n in 1..=12 {
        let mut new = with_key(new_event(n), DedupKind::Body, &[u8::try_from((n - 1) % 8).unwrap()]);
        new = with_key(new, DedupKind::DeliveryId, &text_key(&format!("delivery {n}")));
        if n % 2 == 0 {
            new.event.source = source_id(2);
        }
        if n % 3 == 0 {
            new.event.event_type = "ping".to_owned();
        }
        let destination = if n % 2 == 0 { 2 } else { 1 };
        store.commit(owing(new, n, destination)).await.unwrap();
    }
}

fn ids(numbers: &[u32]) -> Vec<hookward_engine::ids::EventId> {
    numbers.iter().map(|n| event_id(*n)).collect()
}

pub(crate) async fn events_are_filtered_by_all_that_is_asked(store: &Shared) {
    fill(store).await;
    let all = EventFilter::default;
    let source = Some(source_id(2));
    let event_type = Some("ping".to_owned());
    for (filter, expected) in [
        (all(), &[12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1][..]),
        (EventFilter { source, ..all() }, &[12, 10, 8, 6, 4, 2]),
        (EventFilter { event_type: event_type.clone(), ..all() }, &[12, 9, 6, 3]),
        (EventFilter { source, event_type: event_type.clone(), ..all() }, &[12, 6]),
        (EventFilter { duplicate: Some(true), ..all() }, &[12, 11, 10, 9]),
        (EventFilter { duplicate: Some(true), source, ..all() }, &[12, 10]),
        (EventFilter { duplicate: Some(false), source, event_type, ..all() }, &[6]),
        (EventFilter { delivery_id: Some("delivery 7".to_owned()), ..all() }, &[7]),
        (EventFilter { delivery_id: Some("delivery 7".to_owned()), source, ..all() }, &[]),
        (EventFilter { delivery_id: Some("delivery 10".to_owned()), ..all() }, &[10]),
        (EventFilter { delivery_id: Some("delivery 10".to_owned()), duplicate: Some(true), source, ..all() }, &[10]),
        (EventFilter { delivery_id: Some("delivery 7".to_owned()), duplicate: Some(true), ..all() }, &[]),
        (EventFilter { delivery_id: Some("delivery 99".to_owned()), ..all() }, &[]),
    ] {
        assert_eq!(listed(store, filter.clone()).await, ids(expected), "{filter:?}");
    }
}

pub(crate) async fn pages_meet_without_gap_or_overlap(store: &Shared) {
    fill(store).await;
    for limit in [1, 5, 12, 250] {
        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let page = store.events(ORG, EventFilter::default(), Page { before, limit }).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            seen.extend(page.items.into_iter().map(|event| event.id));
            before = page.next;
            if before.is_none() {
                break;
            }
            // What comes in meanwhile is newer than every page to come.
            store.commit(new_event(100 + limit * 20 + u32::try_from(seen.len()).unwrap())).await.unwrap();
        }
        let old: Vec<_> = seen.into_iter().filter(|id| *id <= event_id(12)).collect();
        assert_eq!(old, ids(&[12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]));
    }
}

pub(crate) async fn a_page_has_at_least_one_row_and_at_most_250(store: &Shared) {
    store.record((0..300).map(|n| audit("webhook.refused", at(n))).collect()).await.unwrap();
    for (limit, len, next) in [(0, 1, Some(300)), (1, 1, Some(300)), (250, 250, Some(51)), (251, 250, Some(51))] {
        let page = store.audit(ORG, Page { before: None, limit }).await.unwrap();
        assert_eq!((page.items.len(), page.next), (len, next), "limit {limit}");
    }
    let rest = store.audit(ORG, Page { before: Some(51), limit: 250 }).await.unwrap();
    assert_eq!((rest.items.len(), rest.next), (50, None));
    assert!(rest.items.iter().map(|row| row.seq).eq((1..=50).rev()));
    let past = store.audit(ORG, Page { before: Some(1), limit: 250 }).await.unwrap();
    assert_eq!((past.items.len(), past.next), (0, None));
}

pub(crate) async fn deliveries_are_filtered_by_all_that_is_asked(store: &Shared) {
    fill(store).await;
    let claimed = store.claim(request(at(100), &[(1, 2), (2, 1)])).await.unwrap();
    let settlements = claimed.iter().map(|claimed| settlement(&claimed.claim, at(110), Next::Delivered)).collect();
    store.settle(settlements).await.unwrap();
    let all = DeliveryFilter::default;
    let destination = Some(destination_id(1));
    let state = |state: &str| Some(state.to_owned());
    for (filter, expected) in [
        (all(), &[8, 7, 6, 5, 4, 3, 2, 1][..]),
        (DeliveryFilter { destination, ..all() }, &[7, 5, 3, 1]),
        (DeliveryFilter { state: state("delivered"), ..all() }, &[3, 2, 1]),
        (DeliveryFilter { state: state("delivered"), destination, ..all() }, &[3, 1]),
        (DeliveryFilter { state: state("pending"), destination, ..all() }, &[7, 5]),
        (DeliveryFilter { event: Some(event_id(4)), ..all() }, &[4]),
        (DeliveryFilter { event: Some(event_id(4)), destination, ..all() }, &[]),
        (DeliveryFilter { event: Some(event_id(99)), ..all() }, &[]),
        (DeliveryFilter { state: state("leased"), ..all() }, &[]),
        (DeliveryFilter { state: state("no such state"), ..all() }, &[]),
    ] {
        let items = store.deliveries(ORG, filter.clone(), PAGE).await.unwrap().items;
        let expected: Vec<_> = expected.iter().map(|n| delivery_id(*n)).collect();
        assert_eq!(items.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), expected, "{filter:?}");
        assert!(items.iter().all(|delivery| delivery.cause == DeliveryCause::Event));
    }
}

pub(crate) async fn what_is_not_there_is_named(store: &Shared) {
    let not_found = |what: String| StoreError::NotFound { what };
    assert_eq!(store.event(ORG, event_id(1)).await.unwrap_err(), not_found(format!("event `{}`", event_id(1))));
    assert_eq!(store.body(ORG, event_id(1)).await.unwrap_err(), not_found(format!("event `{}`", event_id(1))));
    let delivery = store.delivery(ORG, delivery_id(1)).await.unwrap_err();
    assert_eq!(delivery, not_found(format!("delivery `{}`", delivery_id(1))));
    assert_eq!(store.backlog().await.unwrap(), Backlog::default());
}
