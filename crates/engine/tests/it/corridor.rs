//! The corridor end to end: what the doors answer, what is kept, what reaches the destinations, and when.

use crate::{ORG, by, grace};
use hookward_engine::model::Principal;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use hookward::{Message, Refusal, Secret, UnixTime};
use hookward_engine::clock::Clock;
use hookward_engine::model::{DeliveryState, DestinationState, Outcome, Rules, SecretOwner};
use hookward_engine::store::Cancel;
use hookward_engine::{Authority, Declared, NewSecret, Publish, PublishError, Published, Receipt};

use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, everything_in, github, http_to, push, signing_to};

const DAY: Duration = Duration::from_secs(86_400);

async fn rig_to(receiver: &Receiver) -> Rig {
    let destinations = vec![http_to("ci", receiver.url())];
    Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await
}

#[tokio::test]
async fn an_authentic_request_is_kept_and_delivered_once_byte_for_byte() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    let body = "{\"b\":1,\"a\":2 ,  \"a\":3}\r\n";
    let Receipt::Accepted(committed) = rig.send(push(SECRET, "d-1", body)).await else { panic!("not accepted") };
    assert_eq!(rig.engine.store().body(ORG, committed.event()).await.unwrap(), body);
    rig.engine.run_until_idle().await;
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body, body.as_bytes());
    assert_eq!(received[0].header("x-github-delivery"), "d-1");
    let verdict = hookward::catalog::find("github").unwrap();
    let key = verdict.key(1, &Secret::new(SECRET).unwrap()).unwrap();
    let headers = received[0].headers();
    let message = Message { method: "POST", url: "/", headers: &headers, body: &received[0].body };
    assert!(verdict.verify(&message, &[key], UnixTime::from_secs(0)).is_ok());
    assert!(matches!(rig.deliveries().await[0].state, DeliveryState::Delivered { .. }));
    assert_eq!(rig.audit().await.first().map(String::as_str), Some("webhook.deliver"));
}

#[tokio::test]
async fn twice_is_once_by_id_and_by_body() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    let Receipt::Accepted(first) = rig.send(push(SECRET, "d-1", "{\"n\":1}")).await else { panic!("not accepted") };
    for (id, body) in [("d-1", "{\"n\":1}"), ("fresh", "{\"n\":1}"), ("d-1", "{\"n\":2}")] {
        let Receipt::Duplicate(again) = rig.send(push(SECRET, id, body)).await else { panic!("{id} ran again") };
        assert_eq!(again.first_event(), first.event());
    }
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(rig.event_counts().await, (1, 3));
}

#[tokio::test]
async fn a_refused_request_leaves_only_an_audit_entry() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    let mut tampered = push(SECRET, "d-1", "{\"n\":1}");
    tampered.body = "{\"n\":2}".into();
    assert!(matches!(rig.send(tampered).await, Receipt::Refused(Refusal::SignatureMismatch)));
    rig.engine.run_until_idle().await;
    assert_eq!(rig.event_counts().await, (0, 0));
    assert!(receiver.received().is_empty());
    assert_eq!(rig.audit().await[0], "webhook.refused");
}

#[tokio::test]
async fn a_failing_receiver_is_retried_on_schedule_until_exhausted() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    rig.send(push(SECRET, "d-1", "{}")).await;
    for (attempt, wait_s) in [5, 300, 1800, 7200, 18_000, 36_000, 36_000].into_iter().enumerate() {
        receiver.answer_next("500 Oops", "");
        rig.engine.run_until_idle().await;
        assert_eq!(receiver.received().len(), attempt + 1);
        rig.clock.advance(Duration::from_secs(wait_s) - Duration::from_millis(1));
        rig.engine.run_until_idle().await;
        assert_eq!(receiver.received().len(), attempt + 1, "attempt {} came early", attempt + 2);
        rig.clock.advance(Duration::from_millis(1));
    }
    receiver.answer_next("500 Oops", "");
    rig.engine.run_until_idle().await;
    let delivery = rig.deliveries().await.remove(0);
    assert!(matches!(delivery.state, DeliveryState::Exhausted { .. }));
    let (_, attempts) = rig.engine.store().delivery(ORG, delivery.id).await.unwrap();
    assert_eq!(attempts.len(), 8);
    assert!(attempts.iter().all(|attempt| attempt.outcome == Outcome::Status && attempt.status == Some(500)));
    rig.clock.advance(30 * DAY);
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 8);
}

#[tokio::test]
async fn retry_after_puts_the_next_attempt_off() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    receiver.answer_next("503 Busy", "retry-after: 60\r\n");
    rig.send(push(SECRET, "d-1", "{}")).await;
    rig.engine.run_until_idle().await;
    rig.clock.advance(Duration::from_secs(59));
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    rig.clock.advance(Duration::from_secs(1));
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn gone_disables_the_destination_and_resuming_it_drains_what_was_held() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    receiver.answer_next("410 Gone", "");
    rig.send(push(SECRET, "d-1", "{\"n\":1}")).await;
    rig.engine.run_until_idle().await;
    rig.send(push(SECRET, "d-2", "{\"n\":2}")).await;
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    assert!(matches!(rig.engine.destination(ORG, "ci").unwrap().state, DestinationState::Disabled { .. }));
    assert_eq!(rig.audit().await.iter().filter(|action| *action == "destination.disable").count(), 1);
    assert!(rig.deliveries().await.iter().all(|delivery| matches!(delivery.state, DeliveryState::Held { .. })));
    rig.engine.set_destination_state("ci", DestinationState::Active, &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn a_destination_that_is_not_declared_any_more_holds_what_it_is_owed() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    receiver.answer_next("500 Oops", "");
    rig.send(push(SECRET, "d-1", "{}")).await;
    rig.engine.run_until_idle().await;
    rig.engine
        .declare(
            &Principal::config(),
            Authority::ServedFile,
            Declared { sources: vec![github()], destinations: vec![], ..Declared::default() },
        )
        .await
        .unwrap();
    rig.clock.advance(DAY);
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    let back =
        Declared { sources: vec![github()], destinations: vec![http_to("ci", receiver.url())], ..Declared::default() };
    rig.engine.declare(&Principal::config(), Authority::ServedFile, back).await.unwrap();
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn the_old_secret_verifies_until_the_last_millisecond_of_its_grace() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    let new = NewSecret::Given(Secret::new("the new one").unwrap());
    assert_eq!(rig.engine.put_secret(owner, None, new, grace(DAY), &by("test")).await, Ok(2));
    assert!(matches!(rig.send(push("the new one", "n", "{\"n\":1}")).await, Receipt::Accepted(_)));
    rig.clock.advance(DAY - Duration::from_millis(1));
    assert!(matches!(rig.send(push(SECRET, "o", "{\"n\":2}")).await, Receipt::Accepted(_)));
    rig.clock.advance(Duration::from_millis(1));
    assert!(matches!(rig.send(push(SECRET, "o2", "{\"n\":3}")).await, Receipt::Refused(Refusal::SignatureMismatch)));
    let secrets = rig.engine.secrets(owner).await.unwrap();
    assert_eq!(secrets.iter().map(|secret| (secret.version, secret.uses)).collect::<Vec<_>>(), [(2, 1), (1, 1)]);
}

#[tokio::test]
async fn with_no_grace_the_old_secret_ends_at_once_and_revoking_the_last_refuses_everything() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    let version =
        rig.engine.put_secret(owner, None, NewSecret::Generated, grace(Duration::ZERO), &by("test")).await.unwrap();
    assert!(matches!(rig.send(push(SECRET, "d", "{}")).await, Receipt::Refused(Refusal::SignatureMismatch)));
    rig.engine.revoke(owner, version, false, &by("test")).await.unwrap();
    assert!(matches!(rig.send(push(SECRET, "d", "{}")).await, Receipt::Refused(Refusal::NoUsableSecret)));
}

#[tokio::test]
async fn a_configured_secret_enters_its_keyring_once() {
    let mut rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    rig.engine.put_secret(owner, None, NewSecret::Generated, grace(Duration::ZERO), &by("test")).await.unwrap();
    rig = rig.restart().await;
    rig.engine
        .declare(
            &Principal::config(),
            Authority::ServedFile,
            Declared { sources: vec![github()], destinations: vec![], ..Declared::default() },
        )
        .await
        .unwrap();
    assert!(matches!(rig.send(push(SECRET, "d", "{}")).await, Receipt::Refused(_)));
    let mut changed = github();
    changed.secret = Some(Secret::new("a changed value").unwrap());
    rig.engine
        .declare(
            &Principal::config(),
            Authority::ServedFile,
            Declared { sources: vec![changed], destinations: vec![], ..Declared::default() },
        )
        .await
        .unwrap();
    assert!(matches!(rig.send(push("a changed value", "d", "{}")).await, Receipt::Accepted(_)));
    let versions: Vec<_> = rig.engine.secrets(owner).await.unwrap().iter().map(|secret| secret.version).collect();
    assert_eq!(versions, [3, 2, 1]);
}

#[tokio::test]
async fn reveal_returns_the_value_and_the_audit_log_has_it_first() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    let value = rig.engine.reveal(owner, 1, &by("test"), "because").await.unwrap();
    assert_eq!(value.expose(), SECRET.as_bytes());
    assert_eq!(rig.audit().await[0], "secret.reveal");
    assert!(rig.engine.reveal(owner, 2, &by("test"), "because").await.is_err());
}

#[tokio::test]
async fn every_attempt_has_a_fresh_signature_under_the_same_id() {
    let receiver = Receiver::start().await;
    let destinations = vec![signing_to("out", receiver.url())];
    let rig = Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await;
    receiver.answer_next("500 Oops", "");
    rig.send(push(SECRET, "d-1", "{}")).await;
    rig.engine.run_until_idle().await;
    rig.clock.advance(Duration::from_secs(600));
    rig.engine.run_until_idle().await;
    let received = receiver.received();
    assert_eq!(received.len(), 2);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"));
    assert_ne!(received[0].header("webhook-timestamp"), received[1].header("webhook-timestamp"));
    let scheme = hookward::catalog::find("standard-webhooks").unwrap();
    let key = scheme.key(1, &Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()).unwrap();
    let now = UnixTime::from_millis(rig.clock.now().as_millis());
    let headers = received[1].headers();
    let message = Message { method: "POST", url: "/", headers: &headers, body: &received[1].body };
    assert!(scheme.verify(&message, &[key], now).is_ok());
}

#[tokio::test]
async fn an_attempt_that_a_crash_cut_short_is_on_record_and_made_again() {
    let receiver = Receiver::start().await;
    let mut rig = rig_to(&receiver).await;
    rig.send(push(SECRET, "d-1", "{}")).await;
    let destination = rig.engine.destination(ORG, "ci").unwrap().id;
    let node = hookward_engine::ids::NodeId::from_bytes([9; 16]);
    let now = rig.clock.now();
    let request = hookward_engine::store::ClaimRequest {
        node,
        now,
        until: now.plus(DAY),
        room: vec![(destination, 1)],
        probes: vec![],
    };
    assert_eq!(rig.store.claim(request).await.unwrap().len(), 1);
    rig = rig.restart().await;
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    let delivery = rig.deliveries().await.remove(0);
    let (_, attempts) = rig.engine.store().delivery(ORG, delivery.id).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.outcome)).collect();
    assert_eq!(outcomes, [(1, Outcome::Interrupted), (2, Outcome::Success)]);
}

fn publish(payload: &str, key: Option<&str>) -> Publish {
    Publish {
        event_type: "invoice.paid".to_owned(),
        payload: payload.to_owned().into(),
        idempotency_key: key.map(str::to_owned),
        by: by("key:test"),
    }
}

#[tokio::test]
async fn an_idempotency_key_publishes_once_and_refuses_another_payload() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    let Ok(Published::Accepted(first)) = rig.engine.publish(publish("{ \"n\": 1 }", Some("k"))).await else {
        panic!("not published")
    };
    let Ok(Published::Repeated(again)) = rig.engine.publish(publish("{ \"n\": 1 }", Some("k"))).await else {
        panic!("not recognised")
    };
    assert_eq!(again.first_event(), first.event());
    let conflict = rig.engine.publish(publish("{ \"n\": 2 }", Some("k"))).await.unwrap_err();
    assert_eq!(conflict, PublishError::IdempotencyConflict { first: first.event() });
    rig.engine.run_until_idle().await;
    assert_eq!(rig.event_counts().await, (1, 0));
    assert_eq!(receiver.received()[0].body, b"{ \"n\": 1 }");
}

#[tokio::test]
async fn no_secret_can_be_read_from_what_is_on_disk() {
    use base64::Engine as _;
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let mut request = push(SECRET, "d-1", "{}");
    request.url = format!("/in/github?token={SECRET}");
    request.headers.push(("authorization".to_owned(), format!("Bearer {SECRET}").into()));
    assert!(matches!(rig.send(request).await, Receipt::Accepted(_)));
    let forms = [
        SECRET.as_bytes().to_vec(),
        hex::encode(SECRET).into_bytes(),
        BASE64_STANDARD.encode(SECRET).trim_end_matches('=').as_bytes().to_vec(),
        BASE64_URL_SAFE_NO_PAD.encode(SECRET).into_bytes(),
        percent_encoding::utf8_percent_encode(SECRET, percent_encoding::NON_ALPHANUMERIC).to_string().into_bytes(),
    ];
    let kept = everything_in(rig.dir.path());
    for form in &forms {
        let form_text = String::from_utf8_lossy(form);
        assert!(!kept.windows(form.len()).any(|window| window == form), "a secret is readable as {form_text}");
    }
    assert!(kept.len() > 10_000, "the database itself must have been scanned");
}

#[tokio::test]
async fn a_hanging_destination_slows_only_itself() {
    let (hanging, quick) = (Receiver::start().await, Receiver::start().await);
    let mut slow = http_to("slow", hanging.url());
    slow.spec.concurrency = 1;
    slow.spec.timeout = Duration::from_secs(60);
    let destinations = vec![slow, http_to("quick", quick.url())];
    let rig = Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await;
    hanging.hang_next();
    let (engine, stop) = (rig.engine.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let running = tokio::spawn(async move { engine.run(stopped).await });
    for n in 0..5 {
        rig.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
    }
    quick.arrived(5).await;
    assert_eq!(hanging.received().len(), 1);
    running.abort();
}

#[tokio::test]
async fn the_dispatcher_wakes_by_itself_when_a_retry_falls_due_and_finishes_what_is_under_way_when_stopped() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    receiver.answer_next("500 Oops", "");
    let (engine, stop) = (rig.engine.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let running = tokio::spawn(async move { engine.run(stopped).await });
    rig.send(push(SECRET, "d-1", "{}")).await;
    receiver.arrived(1).await;
    // Whether the settlement is written before or after the clock moves, the retry is due within the hour.
    while receiver.received().len() < 2 {
        rig.clock.advance(Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    assert!(matches!(rig.deliveries().await[0].state, DeliveryState::Delivered { .. }));
}

#[tokio::test]
async fn a_delivery_called_off_under_way_ends_at_once_and_is_cancelled() {
    let receiver = Receiver::start().await;
    let rig = rig_to(&receiver).await;
    receiver.hang_next();
    rig.send(push(SECRET, "d-1", "{}")).await;
    let delivery = rig.deliveries().await.remove(0).id;
    let engine = rig.engine.clone();
    let running = tokio::spawn(async move { engine.run_until_idle().await });
    receiver.arrived(1).await;
    assert_eq!(rig.engine.cancel(delivery, &by("test")).await, Ok(Cancel::UnderWay));
    running.await.unwrap();
    let (delivery, attempts) = rig.engine.store().delivery(ORG, delivery).await.unwrap();
    assert!(matches!(delivery.state, DeliveryState::Cancelled { .. }));
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Outcome::Cancelled]);
    assert_eq!(rig.engine.cancel(delivery.id, &by("test")).await, Ok(Cancel::TooLate));
    rig.clock.advance(DAY);
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
}

fn ruled(receiver: &Receiver, rules: Rules) -> Declared {
    let mut destination = http_to("ci", receiver.url());
    destination.spec.rules = rules;
    Declared { sources: vec![github()], destinations: vec![destination], ..Declared::default() }
}

#[tokio::test]
async fn a_filter_keeps_every_event_and_delivers_what_it_lets_through() {
    let receiver = Receiver::start().await;
    let rules = Rules { filter: Some("event == 'push' && body.ref == 'main'".to_owned()), ..Rules::default() };
    let rig = Rig::new(ruled(&receiver, rules)).await;
    let mut events = Vec::new();
    for (id, body, owed) in [("1", "{\"ref\":\"main\"}", 1), ("2", "{\"ref\":\"x\"}", 0), ("3", "{}", 0)] {
        let Receipt::Accepted(committed) = rig.send(push(SECRET, id, body)).await else { panic!("not accepted") };
        assert_eq!(committed.owed(), owed);
        events.push(committed.event());
    }
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(receiver.received()[0].body, b"{\"ref\":\"main\"}");
    let mut passed = Vec::new();
    for event in events {
        passed.push(rig.engine.store().passed_over(ORG, event).await.unwrap().len());
    }
    assert_eq!(passed, [0, 0, 1], "what a filter simply does not let through needs no word");
    assert_eq!(rig.engine.failed_filters().get("ci"), Some(&1));
    assert_eq!(rig.audit().await.iter().filter(|action| *action == "filter.failed").count(), 1);
}

#[tokio::test]
async fn a_sources_filter_gates_every_destination_and_rules_change_with_what_is_declared() {
    let receiver = Receiver::start().await;
    let mut declared =
        Declared { sources: vec![github()], destinations: vec![http_to("ci", receiver.url())], ..Declared::default() };
    declared.sources[0].spec.filter = Some("body.n > 1".to_owned());
    let rig = Rig::new(declared).await;
    rig.send(push(SECRET, "1", "{\"n\":1}")).await;
    rig.send(push(SECRET, "2", "{\"n\":2}")).await;
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 1);
    let open =
        Declared { sources: vec![github()], destinations: vec![http_to("ci", receiver.url())], ..Declared::default() };
    rig.engine.declare(&Principal::config(), Authority::ServedFile, open).await.unwrap();
    rig.send(push(SECRET, "3", "{\"n\":0}")).await;
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 2);
    let mut wrong = Declared { sources: vec![github()], destinations: vec![], ..Declared::default() };
    wrong.sources[0].spec.filter = Some("body.n >".to_owned());
    assert!(
        rig.engine
            .declare(&Principal::config(), Authority::ServedFile, wrong)
            .await
            .unwrap_err()
            .to_string()
            .starts_with("source `github`: `body.n >`: line 1")
    );
}

#[tokio::test]
async fn a_value_runs_once_and_again_when_its_run_came_to_nothing() {
    let receiver = Receiver::start().await;
    let rules = Rules { once_per: Some("body.sha".to_owned()), ..Rules::default() };
    let mut declared = ruled(&receiver, rules);
    declared.destinations[0].spec.retry.waits_s.clear();
    let rig = Rig::new(declared).await;
    let send = async |id: &str, body: &str| match rig.send(push(SECRET, id, body)).await {
        Receipt::Accepted(committed) => committed.owed(),
        other => panic!("{other:?}"),
    };
    receiver.answer_next("500 Oops", "");
    assert_eq!(send("1", "{\"sha\":\"a\",\"n\":1}").await, 1);
    assert_eq!(send("2", "{\"sha\":\"a\",\"n\":2}").await, 0);
    rig.engine.run_until_idle().await;
    assert_eq!(send("3", "{\"sha\":\"a\",\"n\":3}").await, 1, "the first one is exhausted");
    rig.engine.run_until_idle().await;
    assert_eq!(send("4", "{\"sha\":\"a\",\"n\":4}").await, 0);
    assert_eq!(send("5", "{\"sha\":null,\"n\":5}").await, 1);
    assert_eq!(send("6", "{\"sha\":null,\"n\":6}").await, 1);
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 4);
}

#[tokio::test]
async fn a_newer_event_of_a_key_ends_the_attempt_of_the_older_one() {
    let receiver = Receiver::start().await;
    let rules = Rules { latest_wins: Some("body.ref".to_owned()), ..Rules::default() };
    let rig = Rig::new(ruled(&receiver, rules)).await;
    receiver.hang_next();
    rig.send(push(SECRET, "1", "{\"ref\":\"a\",\"n\":1}")).await;
    let (engine, stop) = (rig.engine.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let running = tokio::spawn(async move { engine.run(stopped).await });
    receiver.arrived(1).await;
    rig.send(push(SECRET, "2", "{\"ref\":\"b\",\"n\":2}")).await;
    receiver.arrived(2).await;
    let Receipt::Accepted(newer) = rig.send(push(SECRET, "3", "{\"ref\":\"a\",\"n\":3}")).await else {
        panic!("not accepted")
    };
    receiver.arrived(3).await;
    stop.cancel();
    running.await.unwrap();
    let older = rig.deliveries().await.pop().unwrap();
    assert!(matches!(older.state, DeliveryState::Cancelled { .. }), "{older:?}");
    assert_eq!(older.superseded_by, Some(newer.event()));
    let (_, attempts) = rig.engine.store().delivery(ORG, older.id).await.unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Outcome::Cancelled]);
    assert!(rig.deliveries().await[..2].iter().all(|one| matches!(one.state, DeliveryState::Delivered { .. })));
}
