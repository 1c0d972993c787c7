//! What an operator does to deliveries, as every store must keep it.

use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

fn again(n: u32, destination: u32) -> NewDelivery {
    NewDelivery { cause: DeliveryCause::Redelivery { of: None }, due_at: at(100), ..new_delivery(n, destination) }
}

async fn delivery(store: &Shared, n: u32) -> Delivery {
    store.delivery(ORG, delivery_id(n)).await.unwrap().0
}

pub(crate) async fn a_redelivery_names_the_one_that_it_repeats(store: &Shared) {
    declare(store, 2).await;
    store.commit(owing(new_event(1), 1, 1)).await.unwrap();
    let entry = || audit("event.redeliver", at(90));
    store.redeliver(event_id(1), vec![again(2, 1), again(3, 2)], entry()).await.unwrap();
    store.redeliver(event_id(1), vec![again(4, 1)], entry()).await.unwrap();
    let cause = |of| DeliveryCause::Redelivery { of };
    assert_eq!(delivery(store, 2).await.cause, cause(Some(delivery_id(1))));
    assert_eq!(delivery(store, 3).await.cause, cause(None));
    assert_eq!(delivery(store, 4).await.cause, cause(Some(delivery_id(2))));
    assert_eq!(delivery(store, 4).await.state, DeliveryState::Pending { due_at: at(100) });
    assert_eq!(delivery(store, 4).await.created_at, at(90));
    let log = store.audit(ORG, PAGE).await.unwrap().items;
    assert_eq!(log.iter().filter(|row| row.entry == entry()).count(), 2);
}

pub(crate) async fn a_duplicate_can_be_run_after_all(store: &Shared) {
    declare(store, 1).await;
    store.commit(with_body(with_key(new_event(1), DedupKind::Body, b"k"), b"same")).await.unwrap();
    store.commit(with_body(with_key(new_event(2), DedupKind::Body, b"k"), b"same")).await.unwrap();
    store.redeliver(event_id(2), vec![again(1, 1)], audit("event.redeliver", at(90))).await.unwrap();
    let claimed = store.claim(request(at(100), &[(1, 1)])).await.unwrap().remove(0);
    assert_eq!((claimed.event.id, &claimed.body[..]), (event_id(2), &b"same"[..]));
}

pub(crate) async fn redelivering_what_is_not_there_changes_nothing(store: &Shared) {
    declare(store, 1).await;
    store.commit(new_event(1)).await.unwrap();
    let entry = audit("event.redeliver", at(90));
    let no_event = store.redeliver(event_id(9), vec![again(1, 1)], entry.clone()).await.unwrap_err();
    assert_eq!(no_event, StoreError::NotFound { what: format!("event `{}`", event_id(9)) });
    let no_destination = store.redeliver(event_id(1), vec![again(1, 1), again(2, 9)], entry).await.unwrap_err();
    assert_eq!(no_destination, StoreError::NotFound { what: format!("destination `{}`", destination_id(9)) });
    assert_eq!(store.deliveries(ORG, DeliveryFilter::default(), PAGE).await.unwrap().items, []);
    assert_eq!(store.audit(ORG, PAGE).await.unwrap().items.len(), 1);
}

pub(crate) async fn what_waits_is_cancelled_and_what_is_leased_is_marked(store: &Shared) {
    declare(store, 2).await;
    let mut new = owing(owing(owing(new_event(1), 1, 1), 2, 1), 3, 2);
    new.deliveries[0].due_at = at(1_000);
    store.commit(new).await.unwrap();
    let paused = Change::SetDestinationState(destination_id(2), DestinationState::Paused);
    store.change(vec![paused], vec![audit("destination.pause", at(10))]).await.unwrap();
    store.claim(request(at(20), &[(1, 1)])).await.unwrap();
    let entry = || audit("delivery.cancel", at(30));
    for (n, cancelled) in [(1, Cancel::Done), (2, Cancel::UnderWay), (3, Cancel::Done), (1, Cancel::TooLate)] {
        assert_eq!(store.cancel(delivery_id(n), at(30), entry()).await.unwrap(), cancelled, "delivery {n}");
    }
    assert_eq!(delivery(store, 1).await.state, DeliveryState::Cancelled { at: at(30) });
    assert_eq!(delivery(store, 3).await.state, DeliveryState::Cancelled { at: at(30) });
    let marked = delivery(store, 2).await;
    assert!(matches!(marked.state, DeliveryState::Leased { .. }));
    assert_eq!((marked.cancel_at, marked.superseded_by), (Some(at(30)), None));
    let log = store.audit(ORG, PAGE).await.unwrap().items;
    assert_eq!(log.iter().filter(|row| row.entry == entry()).count(), 3);
    // Resuming brings back nothing that was called off.
    let active = Change::SetDestinationState(destination_id(2), DestinationState::Active);
    store.change(vec![active], vec![]).await.unwrap();
    assert_eq!(store.backlog().await.unwrap().outstanding, 1);
    let unknown = store.cancel(delivery_id(9), at(30), entry()).await.unwrap_err();
    assert_eq!(unknown, StoreError::NotFound { what: format!("delivery `{}`", delivery_id(9)) });
}
