//! Tenants: two organizations with things of the same names, of which none sees the other's.

use std::time::Duration;

use hookward_engine::ids::OrganizationId;
use hookward_engine::jobs::JobAction;
use hookward_engine::model::{DestinationState, Principal, SecretOwner};
use hookward_engine::pull::{Answer, Ask};
use hookward_engine::store::{DeliveryFilter, EventFilter, RefusedFilter};
use hookward_engine::{Authority, Declared, EngineError, NewSecret, Publish, Receipt, Terms};

use crate::support::receiver::Receiver;
use crate::support::{ALL, Rig, SECRET, every_event, everything_in, github, http_to, push};
use crate::{ORG, by};

/// An organization `acme` beside the default one, each with a source `github` and a destination `ci`.
struct Two {
    rig: Rig,
    acme: Principal,
    ours: Receiver,
    theirs: Receiver,
}

async fn two() -> Two {
    let (ours, theirs) = (Receiver::start().await, Receiver::start().await);
    let declared = |to: &Receiver| Declared {
        sources: vec![github()],
        destinations: vec![http_to("ci", to.url())],
        ..Declared::default()
    };
    let rig = Rig::new(declared(&ours)).await;
    let organization = rig.engine.create_organization(&by("test"), "acme", None).await.unwrap();
    assert_eq!(organization.key_prefix, "acme");
    let acme = Principal { organization: organization.id, ..by("key:acme") };
    rig.engine.declare(&acme, Authority::AppliedFile, declared(&theirs)).await.unwrap();
    Two { rig, acme, ours, theirs }
}

impl Two {
    async fn send_to(&self, organization: OrganizationId, id: &str) -> Receipt {
        let source = self.rig.engine.source(organization, "github").unwrap();
        let body = format!("{{\"n\":\"{id}\"}}");
        self.rig.engine.receive(source.id, push(SECRET, id, &body)).await.unwrap()
    }
}

fn event_of(receipt: &Receipt) -> hookward_engine::ids::EventId {
    match receipt {
        Receipt::Accepted(committed) => committed.event(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_event_is_owed_to_its_own_organization_only() {
    let two = two().await;
    event_of(&two.send_to(ORG, "a").await);
    event_of(&two.send_to(two.acme.organization, "a").await);
    let publish = Publish {
        event_type: "invoice.paid".to_owned(),
        payload: "{}".into(),
        idempotency_key: Some("a".to_owned()),
        by: two.acme.clone(),
    };
    two.rig.engine.publish(publish).await.unwrap();
    two.rig.engine.run_until_idle().await;
    assert_eq!((two.ours.received().len(), two.theirs.received().len()), (1, 2));
    let events = two.rig.store.events(two.acme.organization, EventFilter::default(), ALL).await.unwrap().items;
    assert!(events.iter().all(|event| event.organization == two.acme.organization));
    assert_eq!(events.len(), 2);
}

#[tokio::test]
async fn what_is_anothers_is_not_found_whatever_one_asks() {
    let two = two().await;
    let Two { rig, acme, .. } = &two;
    let event = event_of(&two.send_to(ORG, "a").await);
    let refused = rig.engine.source(ORG, "github").unwrap().id;
    rig.engine.receive(refused, push("a wrong secret", "b", "{\"b\":1}")).await.unwrap();
    rig.engine.run_until_idle().await;
    let job = rig.engine.create_job(every_event(1), &by("test")).await.unwrap().id;
    let delivery = rig.store.deliveries(ORG, DeliveryFilter::default(), ALL).await.unwrap().items[0].id;
    let refused = rig.store.all_refused(ORG, RefusedFilter::default(), ALL).await.unwrap().items[0].id;
    let (store, organization) = (&rig.store, acme.organization);
    assert!(store.event(organization, event).await.is_err());
    assert!(store.body(organization, event).await.is_err());
    assert!(store.passed_over(organization, event).await.is_err());
    assert!(store.delivery(organization, delivery).await.is_err());
    assert!(store.output(organization, delivery, None).await.is_err());
    assert!(store.refused(organization, refused).await.is_err());
    assert!(store.job(organization, job).await.is_err());
    assert_eq!(store.events(organization, EventFilter::default(), ALL).await.unwrap().items, []);
    let by_id = EventFilter { delivery_id: Some("a".to_owned()), ..EventFilter::default() };
    assert_eq!(store.events(organization, by_id, ALL).await.unwrap().items, []);
    assert_eq!(store.deliveries(organization, DeliveryFilter::default(), ALL).await.unwrap().items, []);
    let of_event = DeliveryFilter { event: Some(event), ..DeliveryFilter::default() };
    assert_eq!(store.deliveries(organization, of_event, ALL).await.unwrap().items, []);
    assert_eq!(store.all_refused(organization, RefusedFilter::default(), ALL).await.unwrap().items, []);
    assert_eq!(store.jobs(organization, ALL).await.unwrap().items, []);
    let audited = store.audit(organization, ALL).await.unwrap().items;
    assert!(audited.iter().all(|row| row.entry.organization == organization));
    assert!(audited.iter().all(|row| ["key:acme", "system"].contains(&row.entry.actor.as_str())));
}

#[tokio::test]
async fn nobody_acts_on_what_is_anothers() {
    let two = two().await;
    let Two { rig, acme, .. } = &two;
    rig.engine.set_destination_state("ci", DestinationState::Paused, acme).await.unwrap();
    assert_eq!(rig.engine.destination(ORG, "ci").unwrap().state, DestinationState::Active, "the other one's");
    rig.engine.set_destination_state("ci", DestinationState::Paused, &by("test")).await.unwrap();
    let event = event_of(&two.send_to(ORG, "a").await);
    let job = rig.engine.create_job(every_event(1), &by("test")).await.unwrap().id;
    let delivery = rig.store.deliveries(ORG, DeliveryFilter::default(), ALL).await.unwrap().items[0].id;
    let is_not_found = |error: EngineError| assert!(matches!(error, EngineError::NotFound(_)), "{error:?}");
    is_not_found(rig.engine.redeliver(event, None, acme).await.unwrap_err());
    is_not_found(rig.engine.cancel(delivery, acme).await.unwrap_err());
    is_not_found(rig.engine.act_on_job(job, JobAction::Cancel, acme).await.unwrap_err());
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    is_not_found(rig.engine.reveal(owner, 1, acme, "curious").await.unwrap_err());
    is_not_found(rig.engine.revoke(owner, 1, true, acme).await.unwrap_err());
    is_not_found(rig.engine.set_end(owner, 1, None, true, acme).await.unwrap_err());
    is_not_found(rig.engine.put_secret(owner, None, NewSecret::Generated, Terms::default(), acme).await.unwrap_err());
    assert_eq!(rig.engine.count_redeliveries(acme.organization, every_event(1)).await, Ok(0));
}

#[tokio::test]
async fn anothers_lease_is_a_lost_one() {
    let rig = Rig::new(Declared {
        sources: vec![github()],
        destinations: vec![crate::pull::pulled(true)],
        ..Declared::default()
    })
    .await;
    let acme = rig.engine.create_organization(&by("test"), "acme", Some("ac1")).await.unwrap();
    rig.send(push(SECRET, "a", "{}")).await;
    let ask = Ask { max: 1, visibility: Duration::from_secs(30), wait: Duration::ZERO };
    assert!(rig.engine.lease(acme.id, "worker", ask).await.is_err());
    let token = [rig.engine.lease(ORG, "worker", ask).await.unwrap().remove(0).token];
    assert_eq!(rig.engine.acknowledge(acme.id, &token).await, Ok(vec![Answer::LeaseLost]));
    assert_eq!(rig.engine.release(acme.id, &token).await, Ok(vec![Answer::LeaseLost]));
    assert_eq!(rig.engine.acknowledge(ORG, &token).await, Ok(vec![Answer::Acknowledged]));
}

#[tokio::test]
async fn a_name_is_taken_once_and_a_bad_one_never() {
    let rig = Rig::new(Declared::default()).await;
    rig.engine.create_organization(&by("test"), "acme", None).await.unwrap();
    let again = rig.engine.create_organization(&by("test"), "acme", None).await;
    assert!(matches!(again, Err(EngineError::Conflict(_))), "{again:?}");
    for (name, prefix) in [("", None), ("Acme", None), ("a b", None), ("-", None), ("b", Some("")), ("b", Some("b_"))] {
        let bad = rig.engine.create_organization(&by("test"), name, prefix).await;
        assert!(matches!(bad, Err(EngineError::Invalid(_))), "{name} {prefix:?}: {bad:?}");
    }
    assert_eq!(rig.engine.organizations().len(), 2);
}

/// Texts that are only the erased organization's: a body, a delivery id (which the audit log keeps), a header, a refused
/// body.
const CANARIES: [&str; 4] = ["canary-in-a-body", "canary-in-a-delivery-id", "canary-in-a-header", "canary-refused"];

fn is_there(dir: &std::path::Path, canary: &str) -> bool {
    everything_in(dir).windows(canary.len()).any(|window| window == canary.as_bytes())
}

async fn run_until(rig: &Rig, done: impl AsyncFn() -> bool) {
    let stop = tokio_util::sync::CancellationToken::new();
    let (engine, until) = (rig.engine.clone(), stop.clone());
    let running = tokio::spawn(async move { engine.run(until).await });
    for _ in 0..20_000 {
        rig.clock.advance(Duration::from_millis(100));
        tokio::task::yield_now().await;
        if done().await {
            stop.cancel();
            running.await.unwrap();
            return;
        }
    }
    panic!("it does not come to its end");
}

#[tokio::test]
async fn what_is_erased_is_gone_from_the_disk_and_the_rest_is_as_it_was() {
    let two = two().await;
    two.theirs.answer_next("500 Internal Server Error", "");
    let source = two.rig.engine.source(two.acme.organization, "github").unwrap().id;
    for n in 0..100 {
        let mut request =
            push(SECRET, &format!("canary-in-a-delivery-id-{n}"), &format!("{{\"canary-in-a-body\":{n}}}"));
        request.headers.push(("x-github-canary".to_owned(), "canary-in-a-header".into()));
        event_of(&two.rig.engine.receive(source, request).await.unwrap());
    }
    two.rig.engine.receive(source, push("wrong", "x", "{\"canary-refused\":1}")).await.unwrap();
    for by in [&by("api"), &two.acme] {
        two.rig.engine.declare(by, Authority::Creation, crate::schemes::one_scheme("ours")).await.unwrap();
    }
    event_of(&two.send_to(ORG, "ours").await);
    two.rig.engine.run_until_idle().await;
    let dir = two.rig.dir.path().to_owned();
    for canary in CANARIES {
        assert!(is_there(&dir, canary), "{canary} is looked for where it is");
    }
    two.rig.engine.erase_organization(&by("key:bootstrap"), two.acme.organization).await.unwrap();
    assert_eq!(two.rig.engine.source(two.acme.organization, "github"), None, "nothing of it is in force");
    let unknown = two.rig.engine.receive(source, push(SECRET, "y", "{}")).await;
    assert!(unknown.is_err(), "{unknown:?}");
    let store = std::sync::Arc::clone(&two.rig.store);
    run_until(&two.rig, async || store.load().await.unwrap().organizations.len() == 1).await;
    let resources = store.load().await.unwrap();
    assert!(resources.sources.iter().all(|source| source.organization == ORG));
    assert_eq!(resources.secrets.len(), 1);
    assert!(resources.schemes.iter().all(|scheme| scheme.organization == ORG) && resources.schemes.len() == 1);
    for canary in CANARIES.into_iter().filter(|canary| *canary != "canary-in-a-delivery-id") {
        assert!(!is_there(&dir, canary), "{canary} is still on the disk");
    }
    let events = store.events(ORG, EventFilter::default(), ALL).await.unwrap().items;
    assert_eq!(events.len(), 1);
    assert_eq!(store.body(ORG, events[0].id).await.unwrap(), "{\"n\":\"ours\"}");
    let audit = store.audit(ORG, ALL).await.unwrap().items;
    let entry = |action: &str| audit.iter().find(|row| row.entry.action == action).map(|row| row.entry.target.as_str());
    assert_eq!([entry("organization.erase"), entry("organization.erased")], [Some("organization:acme"); 2]);
}

#[tokio::test]
async fn an_erasure_goes_on_after_a_crash_and_the_default_organization_has_none() {
    let mut two = two().await;
    event_of(&two.send_to(two.acme.organization, "a").await);
    let default = two.rig.engine.erase_organization(&by("test"), ORG).await;
    assert!(matches!(default, Err(EngineError::Conflict(_))), "{default:?}");
    two.rig.engine.erase_organization(&by("test"), two.acme.organization).await.unwrap();
    assert!(two.rig.store.erase_events(two.acme.organization, 1).await.unwrap());
    two.rig = two.rig.restart().await;
    assert_eq!(two.rig.engine.organization(two.acme.organization), None);
    let store = std::sync::Arc::clone(&two.rig.store);
    run_until(&two.rig, async || store.load().await.unwrap().organizations.len() == 1).await;
    two.rig.engine.create_organization(&by("test"), "acme", None).await.expect("the name is free again");
}
