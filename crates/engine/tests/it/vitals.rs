//! How a destination fares: left alone while it fails, looked at now and then, given up after long enough; and what
//! operators hear of it.

use crate::{ORG, by};
use std::time::Duration;

use bytes::Bytes;
use hookward_engine::clock::{Clock, Timestamp};
use hookward_engine::ids::EventId;
use hookward_engine::model::{BreakerSpec, DeliveryState, DestinationState, Health, OpenBreaker};
use hookward_engine::store::EventFilter;
use hookward_engine::{
    DELIVERY_EXHAUSTED, DESTINATION_DISABLED, DESTINATION_FAILING, DESTINATION_RECOVERED, Declared,
    DeclaredDestination, OWN, Publish, Published,
};
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::{ALL, Rig, http_to};

const DAY: Duration = Duration::from_secs(86_400);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A destination whose breaker opens after four attempts, and that nobody gives up.
fn fragile(receiver: &Receiver) -> DeclaredDestination {
    let mut destination = http_to("ci", receiver.url());
    let breaker = BreakerSpec { min_attempts: 4, ..BreakerSpec::default() };
    destination.spec.health = Health { breaker: Some(breaker), disable_after: None };
    destination
}

async fn rig_of(destinations: Vec<DeclaredDestination>) -> Rig {
    Rig::new(Declared { destinations, ..Declared::default() }).await
}

impl Rig {
    pub(crate) async fn publish(&self, event_type: &str, payload: &str) -> EventId {
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        let publish = Publish { event_type: event_type.to_owned(), payload, idempotency_key: None, by: by("test") };
        match self.engine.publish(publish).await.unwrap() {
            Published::Accepted(committed) | Published::Repeated(committed) => committed.event(),
        }
    }

    /// Publishes so many events.
    async fn publish_many(&self, count: usize) {
        for n in 0..count {
            self.publish("push", &n.to_string()).await;
        }
    }

    async fn pass_for(&self, time: Duration) {
        self.clock.advance(time);
        self.engine.run_until_idle().await;
    }

    fn time(&self) -> Timestamp {
        Clock::now(&*self.clock)
    }

    fn open(&self) -> Option<OpenBreaker> {
        self.engine.destination(ORG, "ci").unwrap().condition.open
    }

    /// The facts of the operational events of this type, oldest first.
    async fn told(&self, event_type: &str) -> Vec<Value> {
        let filter = EventFilter { event_type: Some(event_type.to_owned()), ..EventFilter::default() };
        let mut facts = Vec::new();
        for event in self.engine.store().events(ORG, filter, ALL).await.unwrap().items {
            assert_eq!(event.source_name, OWN);
            facts.push(serde_json::from_slice(&self.engine.store().body(ORG, event.id).await.unwrap()).unwrap());
        }
        facts.reverse();
        facts
    }

    /// How many deliveries are delivered, pending and held.
    async fn states(&self) -> (usize, usize, usize) {
        let deliveries = self.deliveries().await;
        let count = |is: fn(&DeliveryState) -> bool| deliveries.iter().filter(|one| is(&one.state)).count();
        (
            count(|state| matches!(state, DeliveryState::Delivered { .. })),
            count(|state| matches!(state, DeliveryState::Pending { .. })),
            count(|state| matches!(state, DeliveryState::Held { .. })),
        )
    }
}

#[tokio::test]
async fn a_failing_destination_is_left_alone_looked_at_once_and_then_gets_what_was_held() {
    let receiver = Receiver::start().await;
    let mut rig = rig_of(vec![fragile(&receiver)]).await;
    receiver.answer_always("503 Service Unavailable");
    let start = rig.time();
    rig.publish_many(4).await;
    rig.engine.run_until_idle().await;
    let open = OpenBreaker { since: start, probe_at: start.plus(seconds(30)), opens: 1 };
    assert_eq!((rig.open(), rig.states().await), (Some(open), (0, 0, 4)));

    rig.publish_many(3).await;
    rig.pass_for(seconds(29)).await;
    assert_eq!((receiver.received().len(), rig.owed("ci").await), (4, (0, 7, 0)), "what comes is held as well");

    // One looks; it is no better; it is left alone for twice as long. A restart forgets nothing of that.
    rig.pass_for(seconds(1)).await;
    let again = OpenBreaker { probe_at: start.plus(seconds(90)), opens: 2, ..open };
    assert_eq!((receiver.received().len(), rig.open()), (5, Some(again)));
    rig = rig.restart().await;
    rig.pass_for(seconds(59)).await;
    assert_eq!((receiver.received().len(), rig.open(), rig.owed("ci").await), (5, Some(again), (0, 7, 0)));

    // It is back: the probe is taken, and so is the rest, in its time.
    receiver.answer_always("204 No Content");
    rig.pass_for(seconds(1)).await;
    assert_eq!((receiver.received().len(), rig.open()), (5 + 7, None));
    assert_eq!(rig.states().await, (7, 0, 0));
    let mut probed: Vec<_> = rig.deliveries().await.into_iter().map(|one| (one.probes, one.attempts)).collect();
    probed.sort_unstable();
    // Whoever was tried in vain goes behind the others: it may be the event that is at fault.
    assert_eq!(probed, [(0, 1), (0, 2), (0, 2), (0, 2), (0, 2), (1, 1), (1, 2)]);
}

#[tokio::test]
async fn a_probe_uses_up_nothing_of_the_schedule() {
    let receiver = Receiver::start().await;
    let mut destination = fragile(&receiver);
    destination.spec.retry.waits_s = vec![3600];
    let rig = rig_of(vec![destination]).await;
    receiver.answer_always("500 Internal Server Error");
    rig.publish_many(4).await;
    rig.engine.run_until_idle().await;
    for _ in 0..10 {
        rig.pass_for(seconds(600)).await;
    }
    assert!(receiver.received().len() > 8, "it was looked at several times");
    let deliveries = rig.deliveries().await;
    assert!(deliveries.iter().all(|one| matches!(one.state, DeliveryState::Held { .. })), "{deliveries:?}");
    let counted: Vec<_> = deliveries.iter().map(|one| one.attempts - one.probes).collect();
    assert_eq!(counted, [1, 1, 1, 1]);
}

/// What waits for its retry is not hurried by a breaker that opens and closes meanwhile.
#[tokio::test]
async fn what_was_held_keeps_its_own_due_time() {
    let receiver = Receiver::start().await;
    let mut destination = fragile(&receiver);
    destination.spec.retry.waits_s = vec![3600, 3600];
    let rig = rig_of(vec![destination]).await;
    let start = rig.time();
    receiver.answer_always("500 Internal Server Error");
    rig.publish_many(4).await;
    rig.engine.run_until_idle().await;
    receiver.answer_always("204 No Content");
    rig.pass_for(seconds(30)).await;
    assert_eq!((rig.open(), rig.states().await), (None, (1, 3, 0)), "the probe was taken, three wait");
    let due = DeliveryState::Pending { due_at: start.plus(seconds(3600)) };
    assert_eq!(rig.deliveries().await.iter().filter(|one| one.state == due).count(), 3);
}

#[tokio::test]
async fn where_nothing_is_held_the_next_event_is_the_probe() {
    let receiver = Receiver::start().await;
    let rig = rig_of(vec![fragile(&receiver)]).await;
    receiver.answer_always("500 Internal Server Error");
    rig.publish_many(4).await;
    rig.engine.run_until_idle().await;
    for one in rig.deliveries().await {
        rig.engine.cancel(one.id, &by("test")).await.unwrap();
    }
    receiver.answer_always("204 No Content");
    rig.pass_for(seconds(30)).await;
    assert_eq!((receiver.received().len(), rig.open().is_some()), (4, true));
    rig.publish_many(1).await;
    rig.engine.run_until_idle().await;
    assert_eq!((receiver.received().len(), rig.open()), (5, None));
}

#[tokio::test]
async fn what_events_are_refused_for_opens_nothing_and_closes_what_is_open() {
    let receiver = Receiver::start().await;
    let rig = rig_of(vec![fragile(&receiver)]).await;
    receiver.answer_always("422 Unprocessable Entity");
    rig.publish_many(9).await;
    rig.engine.run_until_idle().await;
    assert_eq!((receiver.received().len(), rig.open()), (9, None));
    receiver.answer_always("429 Too Many Requests");
    rig.pass_for(seconds(5)).await;
    assert!(rig.open().is_some());
    receiver.answer_always("422 Unprocessable Entity");
    rig.pass_for(seconds(30)).await;
    assert_eq!(rig.open(), None, "whoever refuses is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_start_begins_with_one_at_a_time() {
    let receiver = Receiver::start().await;
    let mut destination = fragile(&receiver);
    destination.spec.concurrency = 10;
    let rig = rig_of(vec![destination]).await;
    receiver.answer_always("500 Internal Server Error");
    rig.publish_many(4).await;
    rig.engine.run_until_idle().await;
    rig.publish_many(20).await;
    receiver.answer_always("204 No Content");
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (engine, stop) = (rig.engine.clone(), stop.clone());
        async move { engine.run(stop).await }
    });
    // The probe succeeds, and the one after it never ends: at a tenth of ten at once, nothing goes out beside it.
    receiver.answer_next("204 No Content", "");
    receiver.hang_next();
    rig.clock.advance(seconds(30));
    receiver.arrived(6).await;
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(receiver.received().len(), 6);
    // Half-way it gets half of its pace, so the one that hangs is no hindrance any more.
    rig.clock.advance(seconds(31));
    rig.publish_many(1).await;
    receiver.arrived(25).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn five_days_of_nothing_but_failures_disable_it_and_a_redelivery_works_afterwards() {
    let receiver = Receiver::start().await;
    let mut destination = http_to("ci", receiver.url());
    destination.spec.event_types = vec!["push".to_owned()];
    let operators = Receiver::start().await;
    let mut to_operators = http_to("operators", operators.url());
    to_operators.spec.sources = vec![OWN.to_owned()];
    to_operators.spec.event_types = vec!["hookward.destination.*".to_owned()];
    let mut rig = rig_of(vec![destination, to_operators]).await;
    receiver.answer_always("500 Internal Server Error");
    let first = rig.publish("push", "first").await;
    rig.engine.run_until_idle().await;
    for hour in 0..120 {
        if hour % 24 == 0 {
            rig.publish_many(2).await;
        }
        if hour == 60 {
            rig = rig.restart().await;
        }
        rig.pass_for(seconds(3600)).await;
        let state = rig.engine.destination(ORG, "ci").unwrap().state;
        assert_eq!(state, DestinationState::Active, "after {} hours", hour + 1);
    }
    rig.publish_many(1).await;
    rig.engine.run_until_idle().await;
    let reason = "every attempt has failed for 5 days";
    let destination = rig.engine.destination(ORG, "ci").unwrap();
    assert_eq!(destination.state, DestinationState::Disabled { reason: reason.to_owned() });
    let told = rig.told(DESTINATION_DISABLED).await;
    assert_eq!((told.len(), &told[0]["destination"], &told[0]["reason"]), (1, &json!("ci"), &json!(reason)));
    let heard: Vec<Value> = operators.received().iter().map(|one| serde_json::from_slice(&one.body).unwrap()).collect();
    assert_eq!(heard, told, "whoever asked to hear of it did");
    assert!(rig.audit().await.contains(&"destination.disable".to_owned()));

    receiver.answer_always("204 No Content");
    rig.publish("push", "held").await;
    assert_eq!(rig.owed("ci").await.1, rig.states().await.2 as u64);
    rig.engine.set_destination_state("ci", DestinationState::Active, &by("test")).await.unwrap();
    rig.engine.redeliver(first, Some("ci"), &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    let condition = rig.engine.destination(ORG, "ci").unwrap().condition;
    assert_eq!((condition.failing_since, condition.open), (None, None));
    assert_eq!(receiver.received().last().unwrap().body, b"first");
}

#[tokio::test]
async fn whoever_takes_one_now_and_then_is_never_disabled() {
    let receiver = Receiver::start().await;
    let mut destination = http_to("ci", receiver.url());
    destination.spec.retry.waits_s = vec![];
    let rig = rig_of(vec![destination]).await;
    for hour in 0..24 * 7 {
        receiver.answer_next(if hour % 2 == 0 { "200 OK" } else { "500 Internal Server Error" }, "");
        rig.publish_many(1).await;
        rig.pass_for(seconds(3600)).await;
    }
    let destination = rig.engine.destination(ORG, "ci").unwrap();
    assert_eq!((destination.state, destination.condition.open), (DestinationState::Active, None));
    assert_eq!(rig.told(DESTINATION_DISABLED).await, Vec::<Value>::new());
}

#[tokio::test]
async fn operators_hear_once_that_it_fails_and_once_that_it_has_recovered() {
    let receiver = Receiver::start().await;
    let rig = rig_of(vec![fragile(&receiver)]).await;
    receiver.answer_always("503 Service Unavailable");
    let start = rig.time();
    rig.publish_many(9).await;
    rig.engine.run_until_idle().await;
    for _ in 0..5 {
        rig.pass_for(seconds(600)).await;
    }
    let id = rig.engine.destination(ORG, "ci").unwrap().id.to_string();
    let failing = json!({
        "destination": "ci", "destination_id": id, "at_ms": start, "failing_since_ms": start,
        "probe_at_ms": start.plus(seconds(30)), "outcome": "status", "status": 503,
    });
    assert_eq!(rig.told(DESTINATION_FAILING).await, [failing]);
    // It comes back, falls over during the slow start, comes back again: all that is one story.
    receiver.answer_next("204 No Content", "");
    rig.pass_for(seconds(600)).await;
    assert!(rig.open().is_some());
    receiver.answer_always("204 No Content");
    rig.pass_for(seconds(600)).await;
    assert_eq!((rig.open(), rig.told(DESTINATION_RECOVERED).await.len()), (None, 0));
    rig.pass_for(seconds(59)).await;
    assert_eq!(rig.told(DESTINATION_RECOVERED).await.len(), 0, "not before the slow start is over");
    rig.pass_for(seconds(1)).await;
    assert_eq!(rig.told(DESTINATION_RECOVERED).await.len(), 1);
    assert_eq!(rig.told(DESTINATION_FAILING).await.len(), 1);
    assert_eq!(rig.engine.destination(ORG, "ci").unwrap().condition, Default::default());
}

#[tokio::test]
async fn exhausted_deliveries_are_told_together_and_never_of_what_operators_are_told() {
    let receiver = Receiver::start().await;
    let mut destination = http_to("ci", receiver.url());
    destination.spec.sources = vec!["publish".to_owned(), OWN.to_owned()];
    destination.spec.retry.waits_s = vec![];
    destination.spec.health = Health { breaker: None, disable_after: None };
    let rig = rig_of(vec![destination]).await;
    receiver.answer_always("500 Internal Server Error");
    rig.publish_many(1).await;
    rig.engine.run_until_idle().await;
    let counts = async |rig: &Rig| -> Vec<u64> {
        rig.told(DELIVERY_EXHAUSTED).await.iter().map(|facts| facts["count"].as_u64().unwrap()).collect()
    };
    assert_eq!(counts(&rig).await, [1], "the first is told at once");
    rig.publish_many(50).await;
    rig.pass_for(seconds(299)).await;
    assert_eq!(counts(&rig).await, [1]);
    rig.pass_for(seconds(1)).await;
    assert_eq!(counts(&rig).await, [1, 50], "the others together");
    rig.pass_for(DAY).await;
    assert_eq!(counts(&rig).await, [1, 50], "the end of what tells of ends is not told");
    let told = rig.told(DELIVERY_EXHAUSTED).await;
    let first = &rig.deliveries().await.pop().unwrap();
    assert_eq!(told[0]["first_delivery_id"], first.id.to_string());
    assert_eq!(told[0]["first_event_id"], first.event.to_string());
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_of_once() {
    let receiver = Receiver::start().await;
    let rig = rig_of(vec![http_to("ci", receiver.url())]).await;
    receiver.answer_always("410 Gone");
    rig.publish_many(4).await;
    rig.engine.run_until_idle().await;
    let told = rig.told(DESTINATION_DISABLED).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["reason"], "the receiver answered 410 Gone");
    rig.engine.set_destination_state("ci", DestinationState::Active, &by("test")).await.unwrap();
    rig.pass_for(seconds(1)).await;
    assert_eq!(rig.told(DESTINATION_DISABLED).await.len(), 2, "after a resume it is news again");
}

#[tokio::test]
async fn an_operator_who_resumes_closes_the_breaker_and_whoever_does_without_one_is_let_go() {
    let receiver = Receiver::start().await;
    let rig = rig_of(vec![fragile(&receiver)]).await;
    receiver.answer_always("500 Internal Server Error");
    rig.publish_many(4).await;
    rig.engine.run_until_idle().await;
    assert!(rig.open().is_some());
    receiver.answer_always("204 No Content");
    rig.engine.set_destination_state("ci", DestinationState::Active, &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    assert_eq!((rig.open(), rig.states().await), (None, (4, 0, 0)));

    receiver.answer_always("500 Internal Server Error");
    rig.publish_many(8).await;
    rig.engine.run_until_idle().await;
    assert!(rig.open().is_some());
    let mut without = fragile(&receiver);
    without.spec.health.breaker = None;
    without.spec.retry.waits_s = vec![0];
    receiver.answer_always("204 No Content");
    let declared = Declared { destinations: vec![without], ..Declared::default() };
    rig.engine
        .declare(&hookward_engine::model::Principal::config(), hookward_engine::Authority::ServedFile, declared)
        .await
        .unwrap();
    rig.pass_for(seconds(5)).await;
    assert_eq!((rig.open(), rig.states().await), (None, (12, 0, 0)));
}
