//! Lists, as every store must give them: newest first, in pages that neither skip nor repeat.

use hookward_engine::clock::Timestamp;
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

/// When what has this number came, twenty seconds after the one before it, give or take twenty.
fn came_at(n: u32) -> Timestamp {
    at(i64::from(n) * 20_000 + (i64::from(n * 7 % 5) - 2) * 10_000)
}

/// Everything of a list that is asked for page by page, in its order.
async fn whole<T>(mut page_of: impl AsyncFnMut(Page) -> Listing<T>) -> Vec<T> {
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = page_of(Page { before, limit: 7 }).await;
        seen.extend(page.items);
        match page.next {
            None => return seen,
            next => before = next,
        }
    }
}

pub(crate) async fn a_span_of_time_has_all_that_came_in_it(store: &Shared) {
    const ALL: u32 = 60;
    declare(store, 2).await;
    for n in 1..=ALL {
        let mut new = owing(new_event(n), n, n % 2 + 1);
        (new.event.received_at, new.audit_accepted.at) = (came_at(n), came_at(n));
        store.commit(new).await.unwrap();
    }
    // Where a time is among others that are out of their order depends on where the halving comes by: any may be asked for.
    let of_all = [(None, None), (Some(at(0)), Some(at(10_000_000))), (Some(came_at(17)), Some(came_at(40)))];
    let each = (1..=ALL).flat_map(|n| [(None, Some(came_at(n))), (Some(came_at(n)), None)]);
    for (from, until) in of_all.into_iter().chain(each) {
        let is_in = |at: Timestamp| from.is_none_or(|from| from <= at) && until.is_none_or(|until| at < until);
        let expected: Vec<u32> = (1..=ALL).rev().filter(|n| is_in(came_at(*n))).collect();
        let said = format!("{from:?} to {until:?}");
        let filter = EventFilter { from, until, ..EventFilter::default() };
        let events = whole(async |page| store.events(ORG, filter.clone(), page).await.unwrap()).await;
        assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), ids(&expected), "{said}");
        let filter = DeliveryFilter { from, until, ..DeliveryFilter::default() };
        let deliveries = whole(async |page| store.deliveries(ORG, filter.clone(), page).await.unwrap()).await;
        let owed: Vec<_> = expected.iter().map(|n| delivery_id(*n)).collect();
        assert_eq!(deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), owed, "{said}");
        let filter = AuditFilter { since: from, until, ..AuditFilter::default() };
        let rows = whole(async |page| store.audit_matching(ORG, filter.clone(), page).await.unwrap()).await;
        let seqs: Vec<_> = expected.iter().map(|n| i64::from(*n)).collect();
        assert_eq!(rows.iter().map(|row| row.seq).collect::<Vec<_>>(), seqs, "{said}");
    }
}

pub(crate) async fn a_look_for_what_is_seldom_ends_and_the_next_goes_on_behind_it(store: &Shared) {
    const ALL: u32 = 10_030;
    let action = |n: &u32| if *n <= 20 { "rare" } else { "common" };
    let entries = (1..=ALL).map(|n| audit(action(&n), at(i64::from(n))));
    store.record(entries.collect()).await.unwrap();
    for (action, found) in [("rare", 20), ("never", 0)] {
        let filter = AuditFilter { action: Some(action.to_owned()), ..Default::default() };
        let looks = async |page| store.audit_matching(ORG, filter.clone(), page).await.unwrap();
        let first = looks(PAGE).await;
        assert_eq!((first.items.len(), first.next), (0, Some(31)));
        assert_eq!(whole(looks).await.len(), found);
    }
}
