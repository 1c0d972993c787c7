//! Secrets that stand where none belongs: redacted everywhere, and told to whoever asked to be told.

use crate::ORG;
use hookward_engine::model::Principal;
use std::time::Duration;

use bytes::Bytes;
use hookward::Secret;
use hookward_engine::model::{Event, Proof, REDACTED};
use hookward_engine::store::{EventFilter, RefusedFilter};
use hookward_engine::{Authority, Declared, DeclaredSource, OWN, Receipt, SECRET_EXPOSED};
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::{ALL, Rig, SECRET, everything_in, github, http_to, push, signing_to};

const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "a-token-of-the-bearer-source";

fn bearer() -> DeclaredSource {
    let mut source = github();
    source.name = "bearer".to_owned();
    source.spec.proof = Proof::by("bearer");
    source.secret = Some(Secret::new(TOKEN).unwrap());
    source
}

fn push_with(delivery_id: &str, body: &str, name: &str, value: &str) -> hookward_engine::InboundRequest {
    let mut request = push(SECRET, delivery_id, body);
    request.headers.push((name.to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    request
}

impl Rig {
    /// The alerts there are, newest first.
    async fn alerts(&self) -> Vec<(Event, Value)> {
        let filter = EventFilter { event_type: Some(SECRET_EXPOSED.to_owned()), ..EventFilter::default() };
        let mut alerts = Vec::new();
        for event in self.engine.store().events(ORG, filter, ALL).await.unwrap().items {
            let body = self.engine.store().body(ORG, event.id).await.unwrap();
            alerts.push((event, serde_json::from_slice(&body).unwrap()));
        }
        alerts
    }

    fn contains(&self, text: &str) -> bool {
        everything_in(self.dir.path()).windows(text.len()).any(|window| window == text.as_bytes())
    }
}

#[tokio::test]
async fn a_secret_in_a_header_is_redacted_everywhere_and_told_to_who_asked() {
    let (everything, operators) = (Receiver::start().await, Receiver::start().await);
    let mut to_all = http_to("everything", everything.url());
    let hookward_engine::model::DestinationKind::Http(http) = &mut to_all.spec.kind else { panic!("it is http") };
    http.forward_headers.push("x-*".to_owned());
    let mut to_operators = http_to("operators", operators.url());
    to_operators.spec.sources = vec![OWN.to_owned()];
    let rig =
        Rig::new(Declared { sources: vec![github()], destinations: vec![to_all, to_operators], ..Declared::default() })
            .await;
    let request = push_with("d-1", "{}", "x-debug", &format!("secret={SECRET}"));
    let Receipt::Accepted(committed) = rig.send(request).await else { panic!("not accepted") };
    rig.engine.run_until_idle().await;

    let kept = rig.engine.store().event(ORG, committed.event()).await.unwrap();
    assert_eq!(kept.request.headers.last().unwrap(), &("x-debug".to_owned(), Bytes::from(REDACTED)));
    let received = everything.received();
    assert_eq!(received.len(), 1, "who names no source hears no alert");
    assert!(!received[0].headers().iter().any(|(name, _)| name == "x-debug"));
    let alert = rig.alerts().await.remove(0);
    let facts = json!({
        "at": "source:github", "place": "header:x-debug", "owner": "source:github", "version": 1,
        "remote": "192.0.2.7:4711", "seen_at_ms": 1_700_000_000_000_i64,
    });
    assert_eq!((alert.0.source_name.as_str(), &alert.1), (OWN, &facts));
    assert_eq!(alert.0.verdict, json!({ "proof": "engine" }));
    let told = operators.received();
    assert_eq!((told.len(), serde_json::from_slice::<Value>(&told[0].body).unwrap()), (1, facts.clone()));
    let log = rig.engine.store().audit(ORG, ALL).await.unwrap().items;
    let entry = log.iter().find(|row| row.entry.action == "alert.secret_exposed").unwrap();
    assert_eq!((entry.entry.target.as_str(), &entry.entry.detail), ("source:github", &facts));
    assert_eq!(rig.engine.secrets_exposed(), [("source:github".to_owned(), 1)].into());
    assert!(!rig.contains(SECRET));
}

#[tokio::test]
async fn the_same_thing_is_told_once_a_day_even_by_another_process() {
    let mut rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let send = async |rig: &Rig, n: u32, name: &str| {
        rig.send(push_with(&format!("d-{n}"), &n.to_string(), name, SECRET)).await;
        rig.alerts().await.len()
    };
    assert_eq!(send(&rig, 1, "x-a").await, 1);
    assert_eq!(send(&rig, 2, "x-a").await, 1);
    assert_eq!(send(&rig, 3, "x-b").await, 2);
    rig = rig.restart().await;
    assert_eq!(send(&rig, 4, "x-a").await, 2);
    rig.clock.advance(Duration::from_millis(86_400_000 - 1));
    assert_eq!(send(&rig, 5, "x-a").await, 2);
    rig.clock.advance(Duration::from_millis(1));
    assert_eq!(send(&rig, 6, "x-a").await, 3);
    assert_eq!(rig.audit().await.iter().filter(|action| *action == "alert.secret_exposed").count(), 3);
}

#[tokio::test]
async fn a_refused_request_is_looked_at_as_well() {
    let receiver = Receiver::start().await;
    let destinations = vec![signing_to("signed", receiver.url())];
    let rig = Rig::new(Declared { sources: vec![github(), bearer()], destinations, ..Declared::default() }).await;
    let mut request = push_with("d-1", "{}", "x-key", &SIGNING["whsec_".len()..]);
    request.url = format!("/in/github?key={TOKEN}&a=b");
    request.body = "tampered".into();
    assert!(matches!(rig.send(request).await, Receipt::Refused(_)));
    rig.engine.run_until_idle().await;
    let refused = rig.engine.store().all_refused(ORG, RefusedFilter::default(), ALL).await.unwrap().items.remove(0);
    assert_eq!(refused.request.target, "/in/github?key=[redacted]&a=b");
    assert_eq!(refused.request.headers.last().unwrap().1, REDACTED);
    let mut told: Vec<_> = rig.alerts().await.into_iter().map(|(_, facts)| facts).collect();
    told.sort_by_key(|facts| facts["place"].to_string());
    let owners: Vec<_> = told.iter().map(|facts| (&facts["place"], &facts["owner"])).collect();
    let expected = [(json!("header:x-key"), json!("destination:signed")), (json!("query:key"), json!("source:bearer"))];
    assert_eq!(owners, expected.iter().map(|(place, owner)| (place, owner)).collect::<Vec<_>>());
    assert!(!rig.contains(TOKEN) && !rig.contains(&SIGNING["whsec_".len()..]));
}

#[tokio::test]
async fn a_credential_in_its_own_place_is_no_alert_and_in_anothers_is_one() {
    let rig =
        Rig::new(Declared { sources: vec![github(), bearer()], destinations: vec![], ..Declared::default() }).await;
    let authorization = format!("Bearer {TOKEN}");
    let mut request = push_with("d-1", "1", "authorization", &authorization);
    let bearer = rig.engine.source(ORG, "bearer").unwrap().id;
    assert!(matches!(rig.engine.receive(bearer, request).await.unwrap(), Receipt::Accepted(_)));
    assert_eq!(rig.alerts().await.len(), 0);
    request = push_with("d-2", "2", "authorization", &authorization);
    assert!(matches!(rig.send(request).await, Receipt::Accepted(_)));
    assert_eq!(rig.alerts().await[0].1["place"], "header:authorization");
}

#[tokio::test]
async fn a_secret_sent_as_the_delivery_id_is_not_kept_as_one() {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let Receipt::Accepted(committed) = rig.send(push(SECRET, SECRET, "{}")).await else { panic!("not accepted") };
    let event = rig.engine.store().event(ORG, committed.event()).await.unwrap();
    assert_eq!(event.delivery_id.as_deref(), Some(REDACTED));
    assert!(!rig.contains(SECRET));
}

#[tokio::test]
async fn the_name_of_the_own_door_is_taken() {
    let rig = Rig::new(Declared::default()).await;
    let mut source = github();
    source.name = OWN.to_owned();
    assert!(
        rig.engine
            .declare(
                &Principal::config(),
                Authority::ServedFile,
                Declared { sources: vec![source], destinations: vec![], ..Declared::default() }
            )
            .await
            .is_err()
    );
    assert!(rig.engine.sources(ORG).is_empty());
    assert!(rig.engine.source_id(ORG, OWN).await.is_ok());
}
