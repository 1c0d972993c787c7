//! Retention, as every store must keep it: what is owed stays, a repeat stays known, the totals stay exact.

use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;
use crate::support::every_event;

fn strip(before: Option<i64>, size_bytes: Option<u64>) -> Strip {
    Strip {
        source: source_id(1),
        after: i64::MIN,
        before: before.map(at),
        size_bytes,
        events: 64,
        body_bytes: 1 << 20,
        now: at(10_000),
    }
}

/// Strips until nothing is left to strip, one event in each step; returns how many went.
async fn strip_all(store: &Shared, wanted: Strip) -> u32 {
    let mut wanted = Strip { events: 1, ..wanted };
    let mut stripped = 0;
    loop {
        let retained = store.strip(wanted.clone()).await.unwrap();
        stripped += retained.stripped;
        match retained.next {
            Some(next) => wanted.after = next,
            None => return stripped,
        }
    }
}

async fn is_stripped(store: &Shared, n: u32) -> bool {
    let event = store.event(ORG, event_id(n)).await.unwrap();
    let body = store.body(ORG, event_id(n)).await;
    assert_eq!(event.stripped_at.is_some(), body.is_err(), "{n}");
    event.stripped_at.is_some()
}

async fn totals(store: &Shared) -> (u64, u64) {
    let kept = store.kept().await.unwrap();
    kept.iter().find(|kept| kept.source == source_id(1)).map_or((0, 0), |kept| (kept.events, kept.body_bytes))
}

pub(crate) async fn an_old_event_is_stripped_to_its_row(store: &Shared) {
    declare(store, 1).await;
    let old =
        with_key(owing(new_event(1), 1, 1), DedupKind::DeliveryId, &hookward_engine::dedup::text_key("delivery 1"));
    store.commit(old).await.unwrap();
    store.commit(new_event(9)).await.unwrap();
    let claimed = store.claim(request(at(10), &[(1, 1)])).await.unwrap().remove(0);
    store.settle(vec![settlement(&claimed.claim, at(10), Next::Delivered)]).await.unwrap();
    let before = store.event(ORG, event_id(1)).await.unwrap();
    assert_eq!(strip_all(store, strip(Some(9), None)).await, 1);
    let after = store.event(ORG, event_id(1)).await.unwrap();
    let request = RequestRecord { headers: vec![], ..before.request.clone() };
    assert_eq!(after, Event { request, stripped_at: Some(at(10_000)), ..before });
    let gone = format!("body of event `{}` any more: it was removed by retention", event_id(1));
    assert_eq!(store.body(ORG, event_id(1)).await, Err(StoreError::NotFound { what: gone.clone() }));
    assert!(store.delivery(ORG, delivery_id(1)).await.is_err());
    let again = NewDelivery { cause: DeliveryCause::Redelivery { of: None }, ..new_delivery(2, 1) };
    let refused = store.redeliver(event_id(1), vec![again], audit("event.redeliver", at(20))).await;
    assert_eq!(refused, Err(StoreError::NotFound { what: gone }));
    assert!(!is_stripped(store, 9).await);
    assert_eq!(strip_all(store, strip(Some(9), None)).await, 0, "once is enough");
    let look = store.look(ORG, every_event(1), store.range().await.unwrap(), 9, 9).await.unwrap();
    assert_eq!(look.events.iter().map(|event| event.event).collect::<Vec<_>>(), [event_id(9)]);
}

pub(crate) async fn what_is_owed_is_never_stripped(store: &Shared) {
    declare(store, 2).await;
    let paused = Change::SetDestinationState(destination_id(2), DestinationState::Paused);
    store.change(vec![paused], vec![]).await.unwrap();
    store.commit(owing(new_event(1), 1, 1)).await.unwrap();
    store.commit(owing(new_event(2), 2, 2)).await.unwrap();
    store.commit(owing(new_event(3), 3, 1)).await.unwrap();
    store.commit(new_event(4)).await.unwrap();
    let claimed = store.claim(request(at(10), &[(1, 1)])).await.unwrap().remove(0);
    // Leased, held, pending: only the last owes nothing.
    assert_eq!(strip_all(store, strip(Some(100), None)).await, 1);
    assert!(is_stripped(store, 4).await);
    store.settle(vec![settlement(&claimed.claim, at(20), Next::Exhausted)]).await.unwrap();
    store.cancel(delivery_id(2), at(30), audit("delivery.cancel", at(30))).await.unwrap();
    assert_eq!(strip_all(store, strip(Some(100), None)).await, 2);
    assert!(!is_stripped(store, 3).await);
}

pub(crate) async fn the_oldest_go_until_the_rest_is_small_enough(store: &Shared) {
    declare(store, 1).await;
    for n in 1..=10 {
        store.commit(with_body(new_event(n), &[b'x'; 100])).await.unwrap();
    }
    assert_eq!(totals(store).await, (10, 1000));
    assert_eq!(strip_all(store, strip(None, Some(1000))).await, 0);
    assert_eq!(strip_all(store, strip(None, Some(999))).await, 1);
    assert_eq!(strip_all(store, strip(None, Some(500))).await, 4);
    assert_eq!(totals(store).await, (5, 500));
    assert!(is_stripped(store, 5).await && !is_stripped(store, 6).await);
    // One step has no more than so many events, and so many bytes.
    let few = store.strip(Strip { events: 2, ..strip(None, Some(0)) }).await.unwrap();
    let small = store.strip(Strip { body_bytes: 101, after: few.next.unwrap(), ..strip(None, Some(0)) }).await.unwrap();
    assert_eq!((few.stripped, small.stripped, small.next.is_some()), (2, 2, true));
    let other = Strip { source: source_id(2), ..strip(Some(100), Some(0)) };
    assert_eq!(store.strip(other).await.unwrap(), Retained { stripped: 0, next: None });
}

pub(crate) async fn a_repeat_of_what_was_stripped_is_still_known(store: &Shared) {
    declare(store, 1).await;
    let same = |n: u32| with_body(with_key(new_event(n), DedupKind::Body, &sha256(b"same")), b"same");
    store.commit(same(1)).await.unwrap();
    assert_eq!(strip_all(store, strip(Some(2), None)).await, 1);
    assert_eq!(store.remove_rows(at(60_000), 9).await.unwrap(), 0, "its key is remembered until just after");
    let again = store.commit(same(2)).await.unwrap();
    assert_eq!(again.first_event(), event_id(1));
    assert_eq!(store.body(ORG, event_id(2)).await.unwrap(), "same", "a body of its own, since the first one's is gone");
    assert_eq!(totals(store).await, (1, 4));
    assert_eq!(store.remove_rows(at(60_001), 9).await.unwrap(), 1);
    assert!(store.event(ORG, event_id(1)).await.is_err());
    assert!(store.event(ORG, event_id(2)).await.is_ok());
    let mut later = same(3);
    later.event.received_at = at(60_001);
    assert_eq!(store.commit(later).await.unwrap().original(), None, "the key has ended");
}

pub(crate) async fn a_shared_body_stays_for_the_duplicates_that_need_it(store: &Shared) {
    declare(store, 1).await;
    for n in 1..=4 {
        store.commit(with_body(with_key(new_event(n), DedupKind::Body, b"k"), b"same")).await.unwrap();
    }
    assert_eq!(totals(store).await, (4, 4));
    assert_eq!(strip_all(store, strip(Some(3), None)).await, 2);
    assert_eq!(totals(store).await, (2, 4));
    assert!(is_stripped(store, 1).await && is_stripped(store, 2).await);
    assert_eq!(store.body(ORG, event_id(3)).await.unwrap(), "same");
    // The first one's row cannot go before its body; the second one has gone.
    assert_eq!(store.remove_rows(at(90_000), 9).await.unwrap(), 2);
    assert!(store.event(ORG, event_id(1)).await.is_ok() && store.event(ORG, event_id(2)).await.is_err());
    assert_eq!(store.body(ORG, event_id(4)).await.unwrap(), "same");
    assert_eq!(strip_all(store, strip(Some(9), None)).await, 2);
    assert_eq!(totals(store).await, (0, 0));
    store.remove_rows(at(90_000_000), 9).await.unwrap();
    assert!(store.event(ORG, event_id(1)).await.is_err());
}

pub(crate) async fn a_value_that_ran_well_stays_run(store: &Shared) {
    declare(store, 1).await;
    let once = |n: u32, key: u8| {
        let mut new = owing(new_event(n), n, 1);
        new.deliveries[0].once = Some([key; 32]);
        new = with_key(new, DedupKind::DeliveryId, &hookward_engine::dedup::text_key(&format!("delivery {n}")));
        new
    };
    for (n, next) in [(1, Next::Delivered), (2, Next::Exhausted)] {
        store.commit(once(n, u8::try_from(n).unwrap())).await.unwrap();
        let claimed = store.claim(request(at(10), &[(1, 1)])).await.unwrap().remove(0);
        store.settle(vec![settlement(&claimed.claim, at(10), next)]).await.unwrap();
    }
    assert_eq!(strip_all(store, strip(Some(9), None)).await, 2);
    assert_eq!(store.commit(once(3, 1)).await.unwrap().owed(), 0);
    assert_eq!(store.commit(once(4, 2)).await.unwrap().owed(), 1);
}
