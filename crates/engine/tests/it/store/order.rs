//! Deliveries of a key go out one after the other, whichever verb ends the one before.

use std::time::Duration;

use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;
use crate::support::every_event;

const PARK: OnHeadFailure = OnHeadFailure::Park { after: 1 };

/// Destination 1 keeps an order.
async fn ordering(store: &Shared, order: Option<OnHeadFailure>) {
    let mut one = destination(1);
    one.spec.order = order.map(|on_failure| Ordering { key: "body.key".to_owned(), on_failure });
    store.change(vec![Change::PutDestination(one.into())], vec![]).await.unwrap();
}

fn keyed(n: u32, key: u8) -> NewEvent {
    let mut new = owing(new_event(n), n, 1);
    new.deliveries[0].order = Some([key; 32]);
    new
}

/// Events 1 to `count` owe deliveries of one key.
async fn line(store: &Shared, count: u32) {
    declare(store, 1).await;
    ordering(store, Some(OnHeadFailure::Skip)).await;
    for n in 1..=count {
        store.commit(keyed(n, 1)).await.unwrap();
    }
}

async fn claim(store: &Shared, now: i64) -> Vec<Claimed> {
    store.claim(request(at(now), &[(1, 100)])).await.unwrap()
}

fn numbers(claimed: &[Claimed]) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes[12..].try_into().unwrap());
    claimed.iter().map(|claimed| number(claimed.claim.delivery().as_bytes())).collect()
}

/// Claims everything at `now`, which is delivery `n` alone, and settles it. The attempt takes 7 ms.
async fn end(store: &Shared, n: u32, now: i64, next: Next) -> Claimed {
    let mut claimed = claim(store, now).await;
    assert_eq!(numbers(&claimed), [n]);
    let claimed = claimed.remove(0);
    assert_eq!(store.settle(vec![settlement(&claimed.claim, at(now), next)]).await.unwrap(), [Settled::Written]);
    claimed
}

async fn cancel(store: &Shared, n: u32, now: i64) -> Cancel {
    store.cancel(delivery_id(n), at(now), audit("delivery.cancel", at(now))).await.unwrap()
}

async fn set(store: &Shared, state: DestinationState, now: i64) {
    let change = Change::SetDestinationState(destination_id(1), state);
    store.change(vec![change], vec![audit("destination.set", at(now))]).await.unwrap();
}

async fn delivery(store: &Shared, n: u32) -> Delivery {
    store.delivery(ORG, delivery_id(n)).await.unwrap().0
}

fn waiting(since: i64) -> DeliveryState {
    DeliveryState::Waiting { since: at(since) }
}

fn pending(due_at: i64) -> DeliveryState {
    DeliveryState::Pending { due_at: at(due_at) }
}

pub(crate) async fn of_a_key_one_goes_out_after_the_other(store: &Shared) {
    line(store, 3).await;
    store.commit(keyed(4, 2)).await.unwrap();
    store.commit(owing(new_event(5), 5, 1)).await.unwrap();
    assert_eq!(
        [state_of(store, 1).await, state_of(store, 2).await, state_of(store, 3).await],
        [pending(1), waiting(2), waiting(3)]
    );
    let claimed = claim(store, 10).await;
    assert_eq!(numbers(&claimed), [1, 4, 5], "another key, or none, waits for nobody");
    assert_eq!(claimed.iter().map(|claimed| claimed.ordered).collect::<Vec<_>>(), [true, true, false]);
    let again = settlement(&claimed[0].claim, at(20), Next::Again { due_at: at(500) });
    store.settle(vec![again]).await.unwrap();
    assert!(claim(store, 499).await.is_empty(), "nobody overtakes one that is tried again");
    end(store, 1, 500, Next::Delivered).await;
    assert_eq!([state_of(store, 2).await, state_of(store, 3).await], [pending(507), waiting(3)]);
    end(store, 2, 507, Next::Delivered).await;
    store.commit(keyed(600, 1)).await.unwrap();
    assert_eq!(state_of(store, 600).await, waiting(600));
    end(store, 3, 700, Next::Delivered).await;
    end(store, 600, 707, Next::Delivered).await;
    store.commit(keyed(800, 1)).await.unwrap();
    assert_eq!(state_of(store, 800).await, pending(800));
}

pub(crate) async fn an_end_of_any_kind_lets_the_next_one_go(store: &Shared) {
    line(store, 9).await;
    end(store, 1, 100, Next::Exhausted).await;
    // Called off while it is due.
    assert_eq!(cancel(store, 2, 200).await, Cancel::Done);
    assert_eq!(state_of(store, 3).await, pending(200));
    // Called off while it is under way: at the end of the attempt.
    let under_way = claim(store, 300).await.remove(0);
    assert_eq!(cancel(store, 3, 310).await, Cancel::UnderWay);
    assert_eq!(state_of(store, 4).await, waiting(4));
    let again = settlement(&under_way.claim, at(320), Next::Again { due_at: at(900) });
    store.settle(vec![again]).await.unwrap();
    assert_eq!(state_of(store, 4).await, pending(327));
    // Likewise, but the lease ends by itself, and is found by whoever claims.
    claim(store, 400).await;
    cancel(store, 4, 410).await;
    assert_eq!(numbers(&claim(store, 30_400).await), [5]);
    // Likewise, and is found at the next start.
    cancel(store, 5, 30_500).await;
    store.recover(node_id(2), at(30_600)).await.unwrap();
    assert_eq!(state_of(store, 6).await, pending(30_600));
    // A lease that is lost gives nobody else a turn.
    claim(store, 30_700).await;
    store.recover(node_id(2), at(30_800)).await.unwrap();
    assert_eq!([state_of(store, 6).await, state_of(store, 7).await], [pending(30_800), waiting(7)]);
    // One that waits is called off without anybody's turn.
    assert_eq!(cancel(store, 7, 30_900).await, Cancel::Done);
    end(store, 6, 31_000, Next::Cancelled).await;
    // A newer event supersedes the head and one that waits.
    for n in [40_000, 40_001, 40_002] {
        let mut new = keyed(n, 2);
        new.deliveries[0].latest = Some([7; 32]);
        store.commit(new).await.unwrap();
    }
    assert_eq!(state_of(store, 40_002).await, pending(40_002));
    end_all(store, 50_000, &[8, 9, 40_002]).await;
}

/// Everything is delivered, in this order.
async fn end_all(store: &Shared, mut now: i64, expected: &[u32]) {
    let mut delivered = Vec::new();
    while store.next_due(vec![destination_id(1)]).await.unwrap()[0].is_some() {
        now += 1_000;
        let claimed = claim(store, now).await;
        delivered.extend(numbers(&claimed));
        for claimed in &claimed {
            store.settle(vec![settlement(&claimed.claim, at(now), Next::Delivered)]).await.unwrap();
        }
    }
    delivered.sort_by_key(|n| expected.iter().position(|other| other == n));
    assert_eq!(delivered, expected);
    let backlog = store.backlog().await.unwrap();
    assert_eq!((backlog.outstanding, backlog.held, backlog.waiting), (0, 0, 0));
}

pub(crate) async fn what_waits_costs_a_claim_nothing(store: &Shared) {
    line(store, 200).await;
    assert_eq!(store.next_due(vec![destination_id(1)]).await.unwrap(), [Some(at(1))]);
    let held = claim(store, 1_000).await;
    assert_eq!(numbers(&held), [1]);
    assert_eq!(store.next_due(vec![destination_id(1)]).await.unwrap(), [Some(at(31_000))], "its lease's end alone");
    let backlog = Backlog { outstanding: 1, held: 0, waiting: 199, oldest_due: None };
    assert_eq!(store.backlog().await.unwrap(), backlog);
}

pub(crate) async fn whoever_is_given_up_is_counted_until_one_is_delivered(store: &Shared) {
    line(store, 5).await;
    assert_eq!(end(store, 1, 100, Next::Exhausted).await.skipped, 0);
    assert_eq!(end(store, 2, 200, Next::Exhausted).await.skipped, 1);
    // Called off is not given up, and neither is it delivered.
    assert_eq!(end(store, 3, 300, Next::Cancelled).await.skipped, 2);
    assert_eq!(end(store, 4, 400, Next::Again { due_at: at(450) }).await.skipped, 2);
    assert_eq!(end(store, 4, 450, Next::Delivered).await.skipped, 2);
    assert_eq!((delivery(store, 4).await.skipped, delivery(store, 5).await.skipped), (2, 0));
    // Whoever comes when the line is empty learns of it, once.
    assert_eq!(end(store, 5, 500, Next::Exhausted).await.skipped, 0);
    store.commit(keyed(600, 1)).await.unwrap();
    store.commit(keyed(601, 1)).await.unwrap();
    assert_eq!(end(store, 600, 700, Next::Cancelled).await.skipped, 1);
    assert_eq!(end(store, 601, 800, Next::Cancelled).await.skipped, 1);
    store.commit(keyed(900, 1)).await.unwrap();
    assert_eq!(end(store, 900, 1_000, Next::Delivered).await.skipped, 1);
    store.commit(keyed(1_100, 1)).await.unwrap();
    store.commit(keyed(1_101, 2)).await.unwrap();
    assert_eq!((delivery(store, 1_100).await.skipped, delivery(store, 1_101).await.skipped), (0, 0));
}

pub(crate) async fn one_that_is_parked_lets_the_others_go_and_comes_back_in_its_place(store: &Shared) {
    line(store, 4).await;
    ordering(store, Some(PARK)).await;
    end(store, 1, 100, Next::Parked).await;
    let parked = delivery(store, 1).await;
    assert_eq!((parked.state, parked.parked), (DeliveryState::Held { since: at(107) }, true));
    end(store, 2, 200, Next::Parked).await;
    assert_eq!([state_of(store, 3).await, state_of(store, 4).await], [pending(207), waiting(4)]);
    let held = Backlog { outstanding: 1, held: 2, waiting: 1, oldest_due: Some(at(207)) };
    assert_eq!(store.backlog().await.unwrap(), held);
    // They come back before those that wait, but not before the one whose turn it is.
    set(store, DestinationState::Active, 300).await;
    let states =
        [state_of(store, 1).await, state_of(store, 2).await, state_of(store, 3).await, state_of(store, 4).await];
    assert_eq!(states, [waiting(107), waiting(207), pending(207), waiting(4)]);
    assert!(!delivery(store, 1).await.parked);
    for (n, now) in [(3, 400), (1, 500)] {
        end(store, n, now, Next::Delivered).await;
    }
    // Where nobody's turn it is, it is theirs at once.
    end(store, 2, 600, Next::Parked).await;
    end(store, 4, 700, Next::Parked).await;
    set(store, DestinationState::Active, 800).await;
    assert_eq!([state_of(store, 2).await, state_of(store, 4).await], [pending(607), waiting(707)]);
    end_all(store, 900, &[2, 4]).await;
}

pub(crate) async fn a_redelivery_goes_to_the_end_and_takes_the_place_of_what_is_parked(store: &Shared) {
    line(store, 3).await;
    let again = |n| NewDelivery {
        cause: DeliveryCause::Redelivery { of: None },
        due_at: at(150),
        order: Some([1; 32]),
        ..new_delivery(n, 1)
    };
    end(store, 1, 100, Next::Parked).await;
    store.redeliver(event_id(1), vec![again(50)], audit("event.redeliver", at(150))).await.unwrap();
    assert_eq!(state_of(store, 1).await, DeliveryState::Cancelled { at: at(150) });
    assert_eq!(state_of(store, 50).await, waiting(150));
    assert_eq!(delivery(store, 50).await.cause, DeliveryCause::Redelivery { of: Some(delivery_id(1)) });
    // A job does so likewise.
    end(store, 2, 200, Next::Parked).await;
    let spec = JobSpec { state: Some("held".to_owned()), ..every_event(50) };
    let job = store.create_job(super::jobs::job_id(1), spec.clone(), audit("job.create", at(300))).await.unwrap();
    let look = store.look(ORG, spec, job.range, 1000, 1000).await.unwrap();
    assert_eq!(look.events.iter().map(|event| event.event).collect::<Vec<_>>(), [event_id(2)]);
    let step = JobStep {
        job: job.id,
        from: job.range.next,
        next: look.next,
        looked_at: look.looked_at,
        deliveries: vec![(event_id(2), vec![again(51)])],
        now: at(400),
        audit_done: audit("job.done", at(400)),
    };
    assert_eq!(store.advance(step).await.unwrap().unwrap().redelivered, 1);
    assert_eq!(state_of(store, 2).await, DeliveryState::Cancelled { at: at(400) });
    set(store, DestinationState::Active, 500).await;
    for (n, now) in [(3, 600), (50, 700), (51, 800)] {
        end(store, n, now, Next::Delivered).await;
    }
    end_all(store, 900, &[]).await;
}

pub(crate) async fn what_waits_stays_behind_while_its_destination_takes_nothing(store: &Shared) {
    line(store, 3).await;
    set(store, DestinationState::Paused, 100).await;
    let held = |since| DeliveryState::Held { since: at(since) };
    assert_eq!([state_of(store, 1).await, state_of(store, 2).await], [held(100), waiting(2)]);
    store.commit(keyed(110, 1)).await.unwrap();
    assert_eq!(state_of(store, 110).await, waiting(110));
    // Whose turn it comes to be is held as well.
    cancel(store, 1, 120).await;
    assert_eq!([state_of(store, 2).await, state_of(store, 3).await], [held(120), waiting(3)]);
    set(store, DestinationState::Active, 200).await;
    assert_eq!([state_of(store, 2).await, state_of(store, 3).await], [pending(120), waiting(3)]);
    // A receiver that is gone holds its head; those behind it go on waiting.
    let claimed = claim(store, 300).await.remove(0);
    let gone = Settlement { disable: Some("gone".to_owned()), ..settlement(&claimed.claim, at(300), Next::Held) };
    store.settle(vec![gone]).await.unwrap();
    assert_eq!([state_of(store, 2).await, state_of(store, 3).await], [held(307), waiting(3)]);
    set(store, DestinationState::Active, 400).await;
    end_all(store, 500, &[2, 3, 110]).await;
}

pub(crate) async fn a_destination_that_keeps_no_order_any_more_is_owed_everything_at_once(store: &Shared) {
    line(store, 4).await;
    end(store, 1, 100, Next::Parked).await;
    let claimed = claim(store, 200).await.remove(0);
    // Another way to fail keeps the order, and so does another key: those of the old one wait for each other still.
    ordering(store, Some(PARK)).await;
    assert_eq!([state_of(store, 3).await, state_of(store, 4).await], [waiting(3), waiting(4)]);
    ordering(store, None).await;
    let states = [state_of(store, 1).await, state_of(store, 3).await, state_of(store, 4).await];
    assert_eq!(states, [pending(107), pending(3), pending(4)]);
    assert!(!delivery(store, 1).await.parked);
    store.settle(vec![settlement(&claimed.claim, at(300), Next::Delivered)]).await.unwrap();
    assert_eq!(numbers(&claim(store, 400).await), [3, 4, 1]);
    // At one that is paused all of it is held.
    ordering(store, Some(PARK)).await;
    set(store, DestinationState::Paused, 500).await;
    for n in [600, 601] {
        store.commit(keyed(n, 1)).await.unwrap();
    }
    ordering(store, None).await;
    let since = [600, 601].map(|n| DeliveryState::Held { since: at(n) });
    assert_eq!([state_of(store, 600).await, state_of(store, 601).await], since);
    set(store, DestinationState::Active, 700).await;
    assert_eq!([state_of(store, 600).await, state_of(store, 601).await], [pending(600), pending(601)]);
    // Consumers have an order of their own.
    let mut pulled = destination(1);
    pulled.spec.kind = DestinationKind::Pull(PullSpec { ordered: false });
    store.change(vec![Change::PutDestination(pulled.into())], vec![]).await.unwrap();
    for n in [800, 801] {
        store.commit(keyed(n, 1)).await.unwrap();
    }
    assert_eq!([state_of(store, 800).await, state_of(store, 801).await], [pending(800), pending(801)]);
}

pub(crate) async fn what_waits_is_found_counted_and_kept(store: &Shared) {
    line(store, 3).await;
    set(store, DestinationState::Paused, 100).await;
    let found = async |state: &str| {
        let filter = DeliveryFilter { state: Some(state.to_owned()), ..DeliveryFilter::default() };
        let found = store.deliveries(ORG, filter, PAGE).await.unwrap().items;
        found.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>()
    };
    assert_eq!(found("waiting").await, [delivery_id(3), delivery_id(2)]);
    assert_eq!(found("held").await, [delivery_id(1)]);
    let strip = Strip {
        source: source_id(1),
        after: 0,
        before: Some(at(1_000_000)),
        size_bytes: None,
        events: 100,
        body_bytes: 1 << 20,
        now: at(1_000_000).plus(Duration::from_secs(1)),
    };
    assert_eq!(store.strip(strip.clone()).await.unwrap().stripped, 0, "it is owed");
    let spec = JobSpec { state: Some("waiting".to_owned()), ..every_event(50) };
    let look = store.look(ORG, spec, store.range().await.unwrap(), 1000, 1000).await.unwrap();
    assert_eq!(look.events.len(), 2);
    // With the head goes what it was the last to know.
    cancel(store, 2, 200).await;
    cancel(store, 3, 200).await;
    set(store, DestinationState::Active, 300).await;
    end(store, 1, 400, Next::Exhausted).await;
    assert_eq!(store.strip(strip).await.unwrap().stripped, 3);
    store.commit(keyed(500, 1)).await.unwrap();
    assert_eq!(end(store, 500, 600, Next::Delivered).await.skipped, 0);
}
