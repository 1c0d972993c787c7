//! Tests of `opening.rs`: what is opened when, what goes on while the KMS is away, and what is said of what does not open.

use std::sync::Arc;
use std::time::Duration;

use hookward::Secret;
use hookward_engine::kms::Kms;
use hookward_engine::kms::cache::CachePolicy;
use hookward_engine::kms::local::LocalKms;
use hookward_engine::kms::{KmsError, Sealed};
use hookward_engine::model::{Delivery, SecretOwner};
use hookward_engine::store::{DeliveryFilter, EventFilter};
use hookward_engine::{
    Authority, Declared, DeclaredSource, Engine, EngineError, NewSecret, OWN, Receipt, SECRET_DAMAGED, Terms,
    Unavailable,
};
use tokio_util::sync::CancellationToken;

use crate::support::fake_kms::{FakeKms, Mood};
use crate::support::{ALL, Rig, SECRET, github, open_with, push, signing_to};
use crate::{ORG, by};

/// The secrets before it end with the rotation.
const AT_ONCE: Terms = Terms { grace: Some(Duration::ZERO), not_before: None, not_after: None, newest: None };

const HOUR: Duration = Duration::from_secs(3600);

/// Nobody listens there: an attempt fails, and tells what it was signed with.
const NOWHERE: &str = "http://127.0.0.1:9/";

fn named(name: &str) -> DeclaredSource {
    DeclaredSource { name: name.to_owned(), ..github() }
}

fn two_sources_and_a_signing_destination() -> Declared {
    let sources = vec![github(), named("other")];
    Declared { sources, destinations: vec![signing_to("ci", NOWHERE.to_owned())], ..Declared::default() }
}

/// A rig on a KMS that has moods; nothing is opened ahead of time.
struct Moody {
    rig: Rig,
    kms: Arc<FakeKms>,
}

impl Moody {
    async fn new(declared: Declared) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let kms = FakeKms::new(dir.path());
        let rig = Rig::on(dir, Arc::clone(&kms) as _).await;
        rig.engine.declare(&by("config"), Authority::ServedFile, declared).await.unwrap();
        Self { rig, kms }
    }

    /// Another process on the same data and KMS, which is in this mood.
    async fn restart(self, mood: Mood) -> Self {
        let Self { rig: Rig { engine, store, clock, dir }, kms } = self;
        crate::support::let_go(engine, store).await;
        kms.set(mood);
        let (engine, store) = open_with(dir.path(), &clock, Arc::clone(&kms) as _).await;
        Self { rig: Rig { engine, store, clock, dir }, kms }
    }

    fn engine(&self) -> &Engine {
        &self.rig.engine
    }

    async fn send_to(&self, source: &str, secret: &str, id: &str) -> Result<Receipt, Unavailable> {
        let source = self.engine().source(ORG, source).expect("the source is declared");
        self.engine().receive(source.id, push(secret, id, &format!("{{\"id\":\"{id}\"}}"))).await
    }

    async fn accepts(&self, source: &str, id: &str) -> bool {
        matches!(self.send_to(source, SECRET, id).await, Ok(Receipt::Accepted(_)))
    }

    fn owner(&self, source: &str) -> SecretOwner {
        SecretOwner::Source(self.engine().source(ORG, source).expect("the source is declared").id)
    }

    async fn wrapped(&self, source: &str) -> Vec<u8> {
        self.engine().secrets(self.owner(source)).await.unwrap()[0].sealed.wrapped_key.clone()
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        self.engine().store().deliveries(ORG, DeliveryFilter::default(), ALL).await.unwrap().items
    }

    /// Which secrets are said not to be open, and why.
    fn shut(&self) -> Vec<(String, KmsError)> {
        self.engine().shut_secrets().into_iter().map(|shut| (shut.owner, shut.error)).collect()
    }

    async fn alerts(&self) -> usize {
        let filter = EventFilter { event_type: Some(SECRET_DAMAGED.to_owned()), ..EventFilter::default() };
        self.engine().store().events(ORG, filter, ALL).await.unwrap().items.len()
    }

    /// Of a secret of this source: another byte at this place (from 1) of a column.
    fn flip_a_bit(&self, column: &str, at: usize, source: &str) {
        let SecretOwner::Source(id) = self.owner(source) else { panic!("it is a source's") };
        let database = rusqlite::Connection::open(self.rig.dir.path().join("hookward.db")).unwrap();
        let read = format!("select {column} from secrets where owner_id = ?1");
        let mut bytes: Vec<u8> = database.query_row(&read, [id.as_bytes()], |row| row.get(0)).unwrap();
        bytes[at - 1] ^= 1;
        let write = format!("update secrets set {column} = ?2 where owner_id = ?1");
        assert_eq!(database.execute(&write, (id.as_bytes(), bytes)).unwrap(), 1, "{column} {at}");
    }

    fn change_row(&self, sql: &str, source: &str) {
        let SecretOwner::Source(id) = self.owner(source) else { panic!("it is a source's") };
        let database = rusqlite::Connection::open(self.rig.dir.path().join("hookward.db")).unwrap();
        assert_eq!(database.execute(sql, [id.as_bytes()]).unwrap(), 1, "{sql}");
    }
}

#[tokio::test]
async fn a_secret_is_opened_once_and_stays_open_whatever_else_is_changed() {
    let moody = Moody::new(two_sources_and_a_signing_destination()).await;
    let wrapped = moody.wrapped("github").await;
    assert_eq!(moody.kms.unwraps_of(&wrapped), 0, "nothing is opened before it is needed");
    for n in 0..50 {
        assert!(moody.accepts("github", &format!("d-{n}")).await);
        moody
            .engine()
            .put_secret(moody.owner("other"), None, NewSecret::Generated, Terms::default(), &by("test"))
            .await
            .unwrap();
    }
    assert_eq!(moody.kms.unwraps_of(&wrapped), 1);
    moody.engine().warm().await;
    assert_eq!(moody.kms.unwraps_of(&wrapped), 1);
    assert_eq!(moody.engine().opened_secrets().1, 0, "everything that is needed is open");
}

#[tokio::test]
async fn one_unwrap_serves_a_thousand_requests_that_wait() {
    let moody = Moody::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let wrapped = moody.wrapped("github").await;
    moody.kms.set(Mood::Hangs);
    let source = moody.engine().source(ORG, "github").unwrap().id;
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let engine = moody.engine().clone();
        let request = push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"));
        waiting.spawn(async move { engine.receive(source, request).await });
    }
    moody.kms.is_asked(&wrapped).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(moody.kms.unwraps_of(&wrapped), 1, "one asks, the others wait for it");
    moody.kms.set(Mood::Answers);
    let receipts = waiting.join_all().await;
    assert!(receipts.iter().all(|receipt| matches!(receipt, Ok(Receipt::Accepted(_)))));
    assert_eq!(moody.kms.unwraps_of(&wrapped), 1);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_kms_that_hangs_has_an_end() {
    let moody = Moody::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let wrapped = moody.wrapped("github").await;
    moody.kms.set(Mood::Hangs);
    let started = tokio::time::Instant::now();
    let Err(Unavailable(problem)) = moody.send_to("github", SECRET, "a").await else { panic!("nothing was proven") };
    assert_eq!(started.elapsed().as_secs(), CachePolicy::default().timeout.as_secs());
    assert!(problem.contains("no answer within 5000 ms"), "{problem}");
    // Whoever comes next does not wait at all, until somebody may ask again.
    assert!(moody.send_to("github", SECRET, "b").await.is_err());
    assert_eq!(started.elapsed().as_secs(), CachePolicy::default().timeout.as_secs());
    assert_eq!(moody.kms.unwraps_of(&wrapped), 1);
    moody.kms.set(Mood::Answers);
    moody.rig.clock.advance(Duration::from_secs(1));
    assert!(moody.accepts("github", "c").await);
}

#[tokio::test]
async fn while_the_kms_is_away_what_is_open_goes_on_until_its_time_is_over() {
    let moody = Moody::new(two_sources_and_a_signing_destination()).await;
    moody.engine().warm().await;
    moody.kms.set(Mood::Away);
    let ttl = CachePolicy::default().ttl;
    moody.rig.clock.advance(ttl - Duration::from_millis(1));
    assert!(moody.accepts("github", "a").await);
    assert!(
        matches!(moody.send_to("github", "another secret", "x").await, Ok(Receipt::Refused(_))),
        "it is still known"
    );
    moody.engine().run_until_idle().await;
    let delivery = &moody.deliveries().await[0];
    let (_, attempts) = moody.engine().store().delivery(ORG, delivery.id).await.unwrap();
    assert_eq!(attempts[0].signed_by, [1], "it is still signed");
    let owner = moody.owner("github");
    let away = |error: EngineError| matches!(error, EngineError::Unavailable(_));
    assert!(away(moody.engine().reveal(owner, 1, &by("test"), "a test").await.unwrap_err()));
    assert!(away(
        moody.engine().put_secret(owner, None, NewSecret::Generated, Terms::default(), &by("test")).await.unwrap_err()
    ));
    moody.rig.clock.advance(Duration::from_millis(1));
    for secret in [SECRET, "another secret"] {
        assert!(moody.send_to("github", secret, "b").await.is_err(), "never a refusal while it cannot be known");
    }
    moody.rig.clock.advance(HOUR);
    moody.engine().run_until_idle().await;
    let (_, attempts) = moody.engine().store().delivery(ORG, delivery.id).await.unwrap();
    assert_eq!(attempts.len(), 1, "what cannot be signed is not attempted, and costs no attempt");
    assert_eq!(moody.shut().len(), 4, "two sources, a destination and the installation key");
    moody.kms.set(Mood::Answers);
    moody.rig.clock.advance(Duration::from_secs(30));
    moody.engine().run_until_idle().await;
    let (_, attempts) = moody.engine().store().delivery(ORG, delivery.id).await.unwrap();
    assert_eq!((attempts.len(), &attempts[1].signed_by[..]), (2, &[1][..]), "it goes on by itself");
    assert!(moody.accepts("github", "b").await);
    assert_eq!(moody.shut(), []);
}

#[tokio::test]
async fn what_is_used_is_opened_anew_after_half_its_time() {
    let moody = Moody::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let wrapped = moody.wrapped("github").await;
    let stop = CancellationToken::new();
    let (engine, stopped) = (moody.engine().clone(), stop.clone());
    let running = tokio::spawn(async move { engine.run(stopped).await });
    let opened = async |times| {
        while moody.kms.unwraps_of(&wrapped) < times {
            tokio::task::yield_now().await;
        }
        // What was asked for is there when everybody had their turn.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    opened(1).await;
    let ttl = CachePolicy::default().ttl;
    for times in 2..5 {
        moody.rig.clock.advance(ttl / 2);
        opened(times).await;
    }
    moody.kms.set(Mood::Away);
    moody.rig.clock.advance(ttl - Duration::from_secs(1));
    assert!(moody.accepts("github", "a").await, "half of its time and more was left");
    moody.kms.set(Mood::Answers);
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_process_that_starts_without_its_kms_refuses_nobody_and_recovers_alone() {
    let moody = Moody::new(two_sources_and_a_signing_destination()).await;
    let moody = moody.restart(Mood::Away).await;
    moody
        .engine()
        .declare(&by("config"), Authority::ServedFile, two_sources_and_a_signing_destination())
        .await
        .unwrap();
    moody.engine().warm().await;
    for secret in [SECRET, "another secret"] {
        assert!(moody.send_to("github", secret, "a").await.is_err());
    }
    let owners: Vec<_> = moody.shut().into_iter().map(|(owner, _)| owner).collect();
    assert_eq!(owners, ["destination:ci", "installation key", "source:github", "source:other"]);
    assert!(moody.shut().iter().all(|(_, error)| matches!(error, KmsError::Unavailable(_))));
    assert_eq!(moody.rig.event_counts().await, (0, 0));
    let asked = moody.kms.unwraps();
    for n in 0..100 {
        assert!(moody.send_to("github", SECRET, &n.to_string()).await.is_err());
    }
    assert_eq!(moody.kms.unwraps(), asked, "who is away is left alone for a moment");
    moody.kms.set(Mood::Answers);
    moody.rig.clock.advance(Duration::from_secs(30));
    moody.engine().run_until_idle().await;
    assert!(moody.accepts("github", "a").await);
    assert_eq!(moody.shut(), []);
    let versions = moody.engine().secrets(moody.owner("github")).await.unwrap();
    assert_eq!(versions.len(), 1, "the configured secret had entered before, and is the same");
}

#[tokio::test]
async fn a_first_start_without_the_kms_enters_configured_secrets_later() {
    let dir = tempfile::tempdir().unwrap();
    let kms = FakeKms::new(dir.path());
    kms.set(Mood::Away);
    let moody = Moody { rig: Rig::on(dir, Arc::clone(&kms) as _).await, kms };
    moody
        .engine()
        .declare(&by("config"), Authority::ServedFile, two_sources_and_a_signing_destination())
        .await
        .unwrap();
    assert_eq!(moody.engine().secrets(moody.owner("github")).await.unwrap().len(), 0);
    moody.kms.set(Mood::Answers);
    moody.rig.clock.advance(Duration::from_secs(30));
    moody.engine().run_until_idle().await;
    assert_eq!(moody.engine().secrets(moody.owner("github")).await.unwrap().len(), 1);
    assert!(moody.accepts("github", "a").await);
}

#[tokio::test]
async fn a_damaged_secret_shuts_its_source_alone_and_is_told() {
    for column in ["ciphertext", "wrapped_key"] {
        // Of the ciphertext: its form, its commitment, its nonce, the value.
        for at in if column == "ciphertext" { vec![3, 20, 45, 60] } else { vec![1, 30] } {
            let moody = Moody::new(two_sources_and_a_signing_destination()).await;
            moody.flip_a_bit(column, at, "github");
            let moody = moody.restart(Mood::Answers).await;
            moody.engine().warm().await;
            for secret in [SECRET, "another secret"] {
                assert!(moody.send_to("github", secret, "a").await.is_err(), "{column} {at}");
            }
            assert!(moody.accepts("other", "b").await, "{column} {at}");
            assert_eq!(moody.shut(), [("source:github".to_owned(), KmsError::Damaged)], "{column} {at}");
            assert_eq!(moody.alerts().await, 1, "{column} {at}");
            assert!(moody.rig.audit().await.contains(&"alert.secret_damaged".to_owned()));
            let moody = moody.restart(Mood::Answers).await;
            moody.engine().warm().await;
            assert_eq!(moody.alerts().await, 1, "the same thing is told once a day");
        }
    }
}

#[tokio::test]
async fn a_secret_copied_over_anothers_opens_at_neither() {
    let moody = Moody::new(two_sources_and_a_signing_destination()).await;
    let copy = "update secrets set (key_id, wrapped_key, ciphertext) =
        (select key_id, wrapped_key, ciphertext from secrets join sources on id = owner_id where name = 'other')
        where owner_id = ?1";
    moody.change_row(copy, "github");
    let moody = moody.restart(Mood::Answers).await;
    moody.engine().warm().await;
    assert!(moody.send_to("github", SECRET, "a").await.is_err());
    assert!(moody.accepts("other", "a").await);
    assert_eq!(moody.shut(), [("source:github".to_owned(), KmsError::Damaged)]);
    assert_eq!(moody.alerts().await, 1);
    // An operator enters it again: the new version serves, and once the damaged one has ended there is nothing to say.
    let owner = moody.owner("github");
    let again = NewSecret::Given(Secret::new("entered again").unwrap());
    moody.engine().put_secret(owner, None, again, AT_ONCE, &by("test")).await.unwrap();
    assert!(matches!(moody.send_to("github", "entered again", "b").await, Ok(Receipt::Accepted(_))));
    assert!(matches!(moody.send_to("github", SECRET, "c").await, Ok(Receipt::Refused(_))));
    assert_eq!(moody.shut(), []);
}

#[tokio::test]
async fn a_newer_secret_serves_while_an_older_one_in_its_grace_is_damaged() {
    let moody = Moody::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let owner = moody.owner("github");
    let newer = NewSecret::Given(Secret::new("newer").unwrap());
    moody.engine().put_secret(owner, None, newer, Terms::default(), &by("test")).await.unwrap();
    moody.change_row("update secrets set ciphertext = x'' where version = 1 and owner_id = ?1", "github");
    let moody = moody.restart(Mood::Answers).await;
    assert!(matches!(moody.send_to("github", "newer", "a").await, Ok(Receipt::Accepted(_))));
    assert!(moody.send_to("github", SECRET, "b").await.is_err(), "the older one might have proven it");
    moody.engine().revoke(owner, 1, true, &by("test")).await.unwrap();
    assert!(matches!(moody.send_to("github", SECRET, "c").await, Ok(Receipt::Refused(_))));
}

#[tokio::test]
async fn a_kms_that_hands_out_another_key_is_found_out() {
    let moody = Moody::new(two_sources_and_a_signing_destination()).await;
    let moody = moody.restart(Mood::Lies).await;
    for secret in [SECRET, "another secret"] {
        assert!(moody.send_to("github", secret, "a").await.is_err());
    }
    assert_eq!(moody.shut()[0], ("source:github".to_owned(), KmsError::Damaged));
    assert_eq!(moody.alerts().await, 1);
    moody.kms.set(Mood::Answers);
    moody.rig.clock.advance(Duration::from_secs(60));
    assert!(moody.accepts("github", "a").await, "nothing was lost by it");
}

/// Every sealed value there is.
fn sealed_rows(dir: &std::path::Path) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let database = rusqlite::Connection::open(dir.join("hookward.db")).unwrap();
    let sql = "select key_id, wrapped_key, ciphertext from secrets
               union all select name, value, value from meta where name = 'installation_key' order by 1, 2";
    let mut rows = database.prepare(sql).unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn data_without_its_key_starts_degraded_and_lists_what_has_to_be_entered_again() {
    let rig = Rig::new(two_sources_and_a_signing_destination()).await;
    assert!(matches!(rig.send(push(SECRET, "a", "{}")).await, Receipt::Accepted(_)));
    let Rig { engine, store, clock, dir } = rig;
    crate::support::let_go(engine, store).await;
    let before = sealed_rows(dir.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let entropy = Arc::new(hookward_engine::clock::SystemEntropy);
    let another = LocalKms::open(&elsewhere.path().join("key"), entropy).unwrap();
    let id = another.key_id().to_owned();
    let (engine, store) = open_with(dir.path(), &clock, Arc::new(another)).await;
    let rig = Rig { engine, store, clock, dir };
    rig.engine.declare(&by("config"), Authority::ServedFile, two_sources_and_a_signing_destination()).await.unwrap();
    rig.engine.warm().await;
    let shut = rig.engine.shut_secrets();
    let owners: Vec<_> = shut.iter().map(|shut| (shut.owner.as_str(), shut.version)).collect();
    let expected = [("destination:ci", 1), ("installation key", 1), ("source:github", 1), ("source:other", 1)];
    assert_eq!(owners, expected);
    let is_wrong = |error: &KmsError| matches!(error, KmsError::WrongKey { holds, .. } if *holds == id);
    assert!(shut.iter().all(|shut| is_wrong(&shut.error)), "{shut:?}");
    assert_eq!(rig.event_counts().await, (1, 0), "events are readable");
    assert!(rig.audit().await.contains(&"webhook.deliver".to_owned()), "the audit log is readable");
    assert_eq!(sealed_rows(rig.dir.path()), before, "nothing is overwritten");
    let source = rig.engine.source(ORG, "github").unwrap().id;
    assert!(rig.engine.receive(source, push(SECRET, "b", "{\"b\":1}")).await.is_err());
    // Entered again, it works again.
    let again = NewSecret::Given(Secret::new("entered again").unwrap());
    let owner = SecretOwner::Source(source);
    rig.engine.put_secret(owner, None, again, AT_ONCE, &by("test")).await.unwrap();
    assert!(matches!(rig.send(push("entered again", "c", "{\"c\":1}")).await, Receipt::Accepted(_)));
    assert!(!rig.engine.shut_secrets().iter().any(|shut| shut.owner == "source:github"));
    let after = sealed_rows(rig.dir.path());
    assert!(before.iter().all(|row| after.contains(row)), "nothing is overwritten");
}

#[tokio::test]
async fn no_two_of_fifty_sealed_secrets_can_be_exchanged() {
    use hookward_engine::clock::SystemEntropy;
    use hookward_engine::ids::{DestinationId, OrganizationId, SourceId};
    use hookward_engine::kms::seal::{associated_data, open, seal};
    let dir = tempfile::tempdir().unwrap();
    let kms = LocalKms::open(&dir.path().join("key"), Arc::new(SystemEntropy)).unwrap();
    let mut all: Vec<(Vec<u8>, Sealed)> = Vec::new();
    for n in 0..50_u8 {
        // Neighbours differ in one part only: version, kind of owner, owner, organization.
        let organization = OrganizationId::from_bytes([n / 25; 16]);
        let owner = match n % 4 / 2 {
            0 => SecretOwner::Source(SourceId::from_bytes([n % 25 / 4; 16])),
            _ => SecretOwner::Destination(DestinationId::from_bytes([n % 25 / 4; 16])),
        };
        let place = associated_data(organization, owner, 1 + u32::from(n % 25 % 2) + u32::from(n % 25 / 24) * 2);
        let sealed = seal(&kms, &SystemEntropy, &place, b"the same value everywhere").await.unwrap();
        all.push((place, sealed));
    }
    let mut exchanged = 0;
    for (at, (place, _)) in all.iter().enumerate() {
        for (from, (_, sealed)) in all.iter().enumerate() {
            match at == from {
                true => assert!(open(&kms, place, sealed).await.is_ok(), "{at}"),
                false => {
                    assert_eq!(open(&kms, place, sealed).await, Err(KmsError::Damaged), "{from} at {at}");
                    exchanged += 1;
                }
            }
        }
    }
    assert_eq!(exchanged, 50 * 49);
}

#[tokio::test]
async fn an_alert_of_a_damaged_secret_reaches_who_asked_for_it() {
    let mut operators = signing_to("operators", NOWHERE.to_owned());
    operators.spec.sources = vec![OWN.to_owned()];
    let moody =
        Moody::new(Declared { sources: vec![github()], destinations: vec![operators], ..Declared::default() }).await;
    moody.change_row("update secrets set ciphertext = zeroblob(100) where owner_id = ?1", "github");
    let moody = moody.restart(Mood::Answers).await;
    assert!(moody.send_to("github", SECRET, "a").await.is_err());
    let owed = moody.deliveries().await;
    assert_eq!(owed.len(), 1);
    let event = moody.engine().store().event(ORG, owed[0].event).await.unwrap();
    assert_eq!(event.event_type, SECRET_DAMAGED);
}
