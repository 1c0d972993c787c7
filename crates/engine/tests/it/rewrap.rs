//! Tests of `rewrap.rs`: everything comes under the current key, and at no moment is anything under none.

use std::sync::Arc;

use hookward::Secret;
use hookward_engine::clock::SystemEntropy;
use hookward_engine::kms::environment::EnvironmentKms;
use hookward_engine::kms::keychain::Keychain;
use hookward_engine::kms::seal::{associated_data, open};
use hookward_engine::kms::{Kms, Sealed};
use hookward_engine::model::SecretOwner;
use hookward_engine::rewrap::Rewrap;
use hookward_engine::store::{Resealed, RewrapNote, SealedPlace};
use hookward_engine::{Authority, Declared, NewSecret, Receipt, Terms};
use tokio_util::sync::CancellationToken;

use crate::support::fake_kms::{FakeKms, Mood};
use crate::support::{Rig, SECRET, github, open_with, push, signing_to};
use crate::{ORG, by};

/// A new key, and a keychain of it and the rigs' own.
struct Keys {
    new: Arc<dyn Kms>,
    old: Arc<FakeKms>,
    both: Arc<dyn Kms>,
}

fn keys(dir: &std::path::Path) -> Keys {
    let text = Secret::new("00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef").unwrap();
    let new: Arc<dyn Kms> = Arc::new(EnvironmentKms::new(&text, Arc::new(SystemEntropy)).unwrap());
    let old = FakeKms::new(dir);
    let both = Arc::new(Keychain::new(Arc::clone(&new), vec![Arc::clone(&old) as _]));
    Keys { new, old, both }
}

/// Another process on the same data with another KMS.
async fn with(rig: Rig, kms: Arc<dyn Kms>) -> Rig {
    let Rig { engine, store, clock, dir } = rig;
    crate::support::let_go(engine, store).await;
    let (engine, store) = open_with(dir.path(), &clock, kms).await;
    Rig { engine, store, clock, dir }
}

/// Lets the engine run until the rewrap is as wanted.
async fn run_until(rig: &Rig, is_enough: impl Fn(&Rewrap) -> bool) -> Rewrap {
    let stop = CancellationToken::new();
    let (engine, stopped) = (rig.engine.clone(), stop.clone());
    let running = tokio::spawn(async move { engine.run(stopped).await });
    while !is_enough(&rig.engine.rewrap().await.unwrap().expect("one was begun")) {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    running.await.unwrap();
    rig.engine.rewrap().await.unwrap().expect("it is still known")
}

fn declared() -> Declared {
    Declared {
        sources: vec![github()],
        destinations: vec![signing_to("ci", "http://127.0.0.1:9/".to_owned())],
        ..Declared::default()
    }
}

/// A source with `versions` secrets, one of them revoked and most of them over, and a destination with one.
async fn rig_with(versions: u32) -> Rig {
    let rig = Rig::new(declared()).await;
    let owner = owner(&rig);
    for _ in 1..versions {
        rig.engine.put_secret(owner, None, NewSecret::Generated, Terms::default(), &by("test")).await.unwrap();
    }
    rig.engine.revoke(owner, 1, true, &by("test")).await.unwrap();
    let secret = NewSecret::Given(Secret::new(SECRET).unwrap());
    rig.engine.put_secret(owner, None, secret, Terms::default(), &by("test")).await.unwrap();
    rig
}

fn owner(rig: &Rig) -> SecretOwner {
    SecretOwner::Source(rig.engine.source(ORG, "github").expect("declared").id)
}

/// That every version of the source's secrets opens with `kms`.
async fn all_open(rig: &Rig, kms: &dyn Kms) {
    for secret in rig.engine.secrets(owner(rig)).await.unwrap() {
        let place = associated_data(ORG, secret.owner, secret.version);
        open(kms, &place, &secret.sealed).await.unwrap_or_else(|error| panic!("{}: {error}", secret.version));
    }
}

#[tokio::test]
async fn everything_comes_under_the_new_key_and_the_old_one_can_go() {
    let rig = rig_with(10).await;
    let Keys { new, old, both } = keys(rig.dir.path());
    let rig = with(rig, Arc::clone(&both)).await;
    let begun = rig.engine.start_rewrap(&by("key:bootstrap"), false).await.unwrap();
    assert_eq!(
        (begun.total, begun.to.as_str()),
        (13, new.key_id()),
        "11 versions, a destination's, the installation key"
    );
    let ended = run_until(&rig, |rewrap| !rewrap.running).await;
    assert_eq!((ended.done, ended.skipped, ended.problem), (13, 0, None));
    let status = rig.engine.kms_status().await.unwrap();
    assert_eq!(status.sealed, [(new.key_id().to_owned(), 13)]);
    assert_eq!((status.key_id.as_str(), &status.previous[..]), (new.key_id(), &[old.key_id().to_owned()][..]));
    assert!(matches!(rig.send(push(SECRET, "a", "{}")).await, Receipt::Accepted(_)));
    // What is open is opened anew without the old key, even in this process.
    old.set(Mood::Away);
    rig.clock.advance(std::time::Duration::from_secs(3600 * 3));
    rig.engine.run_until_idle().await;
    assert_eq!(rig.engine.shut_secrets(), []);
    let audit = rig.audit().await;
    assert!(["kms.rewrap", "kms.rewrapped"].iter().all(|action| audit.contains(&(*action).to_owned())), "{audit:?}");
    let rig = with(rig, Arc::clone(&new)).await;
    rig.engine.declare(&by("config"), Authority::ServedFile, declared()).await.unwrap();
    rig.engine.warm().await;
    assert_eq!(rig.engine.shut_secrets(), []);
    all_open(&rig, &*new).await;
    assert_eq!(rig.engine.secrets(owner(&rig)).await.unwrap().len(), 11, "the configured secret is still known");
}

#[tokio::test]
async fn a_rewrap_that_was_killed_goes_on_in_the_next_process() {
    let rig = rig_with(200).await;
    let Keys { new, both, .. } = keys(rig.dir.path());
    let mut rig = with(rig, Arc::clone(&both)).await;
    rig.engine.start_rewrap(&by("test"), false).await.unwrap();
    let mut rotations = 0;
    for done in [1, 65, 129] {
        let rewrap = run_until(&rig, |rewrap| rewrap.done >= done).await;
        // On a busy machine it may come to its end before it is stopped.
        if rewrap.done == rewrap.total {
            break;
        }
        all_open(&rig, &*both).await;
        let counts = rig.engine.kms_status().await.unwrap().sealed;
        let under_new = counts.iter().find(|(key_id, _)| key_id == new.key_id()).expect("some are").1;
        assert_eq!(under_new, rewrap.done + rotations, "what is said to be done is done");
        rig = with(rig, Arc::clone(&both)).await;
        // A rotation in between is under the new key from the start, and stays what it is.
        rig.engine.put_secret(owner(&rig), None, NewSecret::Generated, Terms::default(), &by("test")).await.unwrap();
        rotations += 1;
    }
    assert!(rotations > 0, "it was stopped half-way at least once");
    let ended = run_until(&rig, |rewrap| !rewrap.running).await;
    assert_eq!((ended.done, ended.total), (203, 203));
    assert_eq!(rig.engine.kms_status().await.unwrap().sealed, [(new.key_id().to_owned(), 203 + rotations)]);
    all_open(&rig, &*new).await;
}

#[tokio::test]
async fn a_rewrap_waits_for_a_kms_that_is_away() {
    let rig = rig_with(3).await;
    let Keys { new, old, both } = keys(rig.dir.path());
    let rig = with(rig, Arc::clone(&both)).await;
    old.set(Mood::Away);
    rig.engine.start_rewrap(&by("test"), false).await.unwrap();
    let waiting = run_until(&rig, |rewrap| rewrap.problem.is_some()).await;
    assert!(waiting.running && waiting.done == 0, "{waiting:?}");
    old.set(Mood::Answers);
    run_until(&rig, |rewrap| !rewrap.running).await;
    assert_eq!(rig.engine.kms_status().await.unwrap().sealed, [(new.key_id().to_owned(), 6)]);
}

#[tokio::test]
async fn what_does_not_open_stays_as_it_is_and_is_counted() {
    let rig = rig_with(5).await;
    let database = rusqlite::Connection::open(rig.dir.path().join("hookward.db")).unwrap();
    database.execute("update secrets set wrapped_key = zeroblob(60) where version = 2", []).unwrap();
    drop(database);
    let Keys { old, both, .. } = keys(rig.dir.path());
    let rig = with(rig, both).await;
    rig.engine.start_rewrap(&by("test"), false).await.unwrap();
    let ended = run_until(&rig, |rewrap| !rewrap.running).await;
    assert_eq!((ended.total, ended.done, ended.skipped), (8, 7, 1));
    let counts = rig.engine.kms_status().await.unwrap().sealed;
    assert!(counts.contains(&(old.key_id().to_owned(), 1)), "{counts:?}");
}

#[tokio::test]
async fn a_lost_installation_key_is_made_anew_only_when_that_is_said() {
    let rig = rig_with(1).await;
    let Keys { new, .. } = keys(rig.dir.path());
    let rig = with(rig, Arc::clone(&new)).await;
    for (give_up, is_there) in [(false, false), (true, true)] {
        rig.engine.start_rewrap(&by("test"), give_up).await.unwrap();
        run_until(&rig, |rewrap| !rewrap.running).await;
        rig.engine.run_until_idle().await;
        let is_shut = rig.engine.shut_secrets().iter().any(|shut| shut.owner == "installation key");
        assert_eq!(!is_shut, is_there);
    }
    let kept = rig.store.meta("installation_key.given_up").await.unwrap();
    assert!(kept.is_some_and(|kept| !kept.is_empty()), "nothing is thrown away");
}

#[tokio::test]
async fn a_value_that_changed_meanwhile_is_left_alone() {
    let rig = rig_with(1).await;
    let before = rig.engine.secrets(owner(&rig)).await.unwrap()[0].clone();
    let place = SealedPlace::Secret { organization: ORG, owner: before.owner, version: before.version };
    let other = |name: &str| Sealed { key_id: name.to_owned(), ..before.sealed.clone() };
    let note = || RewrapNote { name: "kms_rewrap", value: b"null".to_vec() };
    let reseal = async |from: Sealed, to: Sealed| {
        let value = Resealed { place: place.clone(), before: from, after: to };
        rig.store.reseal(vec![value], note(), vec![]).await.unwrap();
        rig.engine.secrets(owner(&rig)).await.unwrap()[0].sealed.key_id.clone()
    };
    assert_eq!(reseal(other("stale"), other("new")).await, before.sealed.key_id);
    assert_eq!(reseal(before.sealed.clone(), other("new")).await, "new");
}
