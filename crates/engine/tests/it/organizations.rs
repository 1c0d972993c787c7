//! Tenants: two organizations with things of the same names, of which none sees the other's.

use std::time::Duration;

use hookward_engine::ids::OrganizationId;
use hookward_engine::jobs::JobAction;
use hookward_engine::model::{DestinationState, Principal, SecretOwner};
use hookward_engine::pull::{Answer, Ask};
use hookward_engine::store::{DeliveryFilter, EventFilter, RefusedFilter};
use hookward_engine::{Authority, Declared, EngineError, NewSecret, Publish, Receipt, Terms};

use crate::support::receiver::Receiver;
use crate::support::{ALL, Rig, SECRET, every_event, github, http_to, push};
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
    let declared = |to: &Receiver| Declared { sources: vec![github()], destinations: vec![http_to("ci", to.url())] };
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
    assert!(audited.iter().all(|row| row.entry.organization == organization && row.entry.actor == "key:acme"));
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
    is_not_found(rig.engine.put_secret(owner, NewSecret::Generated, Terms::default(), acme).await.unwrap_err());
    assert_eq!(rig.engine.count_redeliveries(acme.organization, every_event(1)).await, Ok(0));
}

#[tokio::test]
async fn anothers_lease_is_a_lost_one() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![crate::pull::pulled(true)] }).await;
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
