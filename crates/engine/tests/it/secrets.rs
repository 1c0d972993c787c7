//! Keyrings in time: spans, grace, ends that move, what is in use, on a clock that also jumps.

use std::time::Duration;

use hookward::{Refusal, Secret};
use hookward_engine::model::SecretOwner;
use hookward_engine::{Declared, EngineError, IN_USE, NewSecret, Receipt, Terms};

use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, github, push, signing_to};
use crate::{ORG, by, grace};

const HOUR: Duration = Duration::from_secs(3600);
const MILLISECOND: Duration = Duration::from_millis(1);

async fn rig() -> (Rig, SecretOwner) {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    (rig, owner)
}

fn given(text: &str) -> NewSecret {
    NewSecret::Given(Secret::new(text).unwrap())
}

/// Whether a request under each of these secrets is believed now.
async fn believed(rig: &Rig, secrets: &[&str], round: &str) -> Vec<bool> {
    let mut believed = Vec::new();
    for (n, secret) in secrets.iter().enumerate() {
        let receipt = rig.send(push(secret, &format!("{round}-{n}"), &format!("{{\"n\":\"{round}-{n}\"}}"))).await;
        match receipt {
            Receipt::Accepted(_) => believed.push(true),
            Receipt::Refused(Refusal::SignatureMismatch | Refusal::NoUsableSecret) => believed.push(false),
            other => panic!("{other:?}"),
        }
    }
    believed
}

#[tokio::test]
async fn a_secret_is_valid_from_its_beginning_until_its_end_to_the_millisecond() {
    let (rig, owner) = rig().await;
    let now = rig.engine.secrets(owner).await.unwrap()[0].created_at;
    let terms = Terms {
        grace: Some(HOUR),
        not_before: Some(now.plus(2 * HOUR)),
        not_after: Some(now.plus(4 * HOUR)),
        newest: Some(1),
    };
    assert_eq!(rig.engine.put_secret(owner, None, given("the next one"), terms, &by("test")).await, Ok(2));
    let both = [SECRET, "the next one"];
    assert_eq!(believed(&rig, &both, "a").await, [true, false]);
    rig.clock.advance(2 * HOUR - MILLISECOND);
    assert_eq!(believed(&rig, &both, "b").await, [true, false]);
    rig.clock.advance(MILLISECOND);
    assert_eq!(believed(&rig, &both, "c").await, [true, true]);
    rig.clock.advance(HOUR);
    assert_eq!(believed(&rig, &both, "d").await, [false, true], "the grace began with the new one");
    rig.clock.advance(HOUR - MILLISECOND);
    assert_eq!(believed(&rig, &both, "e").await, [false, true]);
    rig.clock.advance(MILLISECOND);
    assert_eq!(believed(&rig, &both, "f").await, [false, false]);
}

#[tokio::test]
async fn a_clock_that_jumps_back_and_forth_changes_nothing_but_the_time() {
    let (rig, owner) = rig().await;
    rig.engine.put_secret(owner, None, given("newer"), grace(HOUR), &by("test")).await.unwrap();
    let both = [SECRET, "newer"];
    assert_eq!(believed(&rig, &both, "a").await, [true, true]);
    rig.clock.advance(2 * HOUR);
    assert_eq!(believed(&rig, &both, "b").await, [false, true]);
    rig.clock.set_back(2 * HOUR);
    assert_eq!(believed(&rig, &both, "c").await, [true, true]);
    rig.clock.advance(HOUR);
    assert_eq!(believed(&rig, &both, "d").await, [false, true]);
    // Before either was made, neither is valid.
    rig.clock.set_back(3 * HOUR);
    assert_eq!(believed(&rig, &both, "e").await, [false, false]);
}

#[tokio::test]
async fn a_key_in_use_ends_only_when_told_twice() {
    let (rig, owner) = rig().await;
    rig.engine.put_secret(owner, None, given("newer"), grace(24 * HOUR), &by("test")).await.unwrap();
    assert_eq!(believed(&rig, &[SECRET], "a").await, [true]);
    rig.clock.advance(IN_USE - MILLISECOND);
    let refused = rig.engine.revoke(owner, 1, false, &by("test")).await.unwrap_err();
    let EngineError::Conflict(problem) = &refused else { panic!("{refused:?}") };
    assert!(
        problem.starts_with("version 1 of source:github is in use: it verified a request 21599 s ago"),
        "{problem}"
    );
    let now = rig.engine.secrets(owner).await.unwrap()[1].last_used_at.unwrap();
    let past = rig.engine.set_end(owner, 1, Some(now.plus(MILLISECOND)), false, &by("test")).await;
    assert!(matches!(past, Err(EngineError::Conflict(_))), "{past:?}");
    assert_eq!(believed(&rig, &[SECRET], "b").await, [true], "nothing was changed");
    rig.clock.advance(IN_USE);
    rig.engine.revoke(owner, 1, false, &by("test")).await.expect("nobody has used it for six hours");
    assert_eq!(believed(&rig, &[SECRET, "newer"], "c").await, [false, true]);
    rig.engine.revoke(owner, 2, true, &by("test")).await.expect("told twice");
    assert_eq!(believed(&rig, &["newer"], "d").await, [false]);
    assert_eq!(rig.audit().await.iter().filter(|action| *action == "secret.revoke").count(), 2);
}

#[tokio::test]
async fn an_end_moves_both_ways_and_a_revocation_does_not() {
    let (rig, owner) = rig().await;
    rig.engine.put_secret(owner, None, given("newer"), grace(HOUR), &by("test")).await.unwrap();
    let now = rig.engine.secrets(owner).await.unwrap()[0].created_at;
    rig.engine.set_end(owner, 1, Some(now.plus(3 * HOUR)), false, &by("test")).await.unwrap();
    rig.clock.advance(3 * HOUR - MILLISECOND);
    assert_eq!(believed(&rig, &[SECRET], "a").await, [true]);
    rig.clock.advance(MILLISECOND);
    assert_eq!(believed(&rig, &[SECRET], "b").await, [false]);
    rig.engine.set_end(owner, 1, None, false, &by("test")).await.unwrap();
    assert_eq!(believed(&rig, &[SECRET], "c").await, [true]);
    rig.engine.revoke(owner, 1, true, &by("test")).await.unwrap();
    let again = rig.engine.set_end(owner, 1, None, true, &by("test")).await;
    assert_eq!(again, Err(EngineError::Invalid("version 1 was revoked, and stays so".to_owned())));
    let empty = rig.engine.set_end(owner, 2, Some(now), true, &by("test")).await;
    assert!(matches!(empty, Err(EngineError::Invalid(_))), "{empty:?}");
}

#[tokio::test]
async fn of_rotations_from_the_same_version_one_happens() {
    let (rig, owner) = rig().await;
    let terms = Terms { newest: Some(1), ..grace(HOUR) };
    let who = by("test");
    let rotations = (0..20).map(|_| rig.engine.put_secret(owner, None, NewSecret::Generated, terms, &who));
    let mut done = Vec::new();
    for rotation in rotations {
        done.push(rotation.await);
    }
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(done.iter().skip(1).all(|done| matches!(done, Err(EngineError::Stale(_)))), "{done:?}");
}

#[tokio::test]
async fn a_look_at_many_secrets_takes_its_time() {
    let (rig, owner) = rig().await;
    let mut shown = 0;
    let wait = loop {
        match rig.engine.reveal(owner, 1, &by("key:script"), "all of them").await {
            Ok(_) => shown += 1,
            Err(EngineError::TooOften { retry_after, .. }) => break retry_after,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(shown, 20);
    rig.engine.reveal(owner, 1, &by("user:ada@example.com"), "hers is another count").await.unwrap();
    rig.clock.advance(wait);
    rig.engine.reveal(owner, 1, &by("key:script"), "one more").await.unwrap();
    assert_eq!(rig.audit().await.iter().filter(|action| *action == "secret.reveal").count(), shown + 2);
}

#[tokio::test]
async fn each_secret_knows_what_it_verified_or_signed() {
    let receiver = Receiver::start().await;
    let destinations = vec![signing_to("receiver", receiver.url())];
    let rig = Rig::new(Declared { sources: vec![github()], destinations, ..Declared::default() }).await;
    let source = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    let destination = SecretOwner::Destination(rig.engine.destination(ORG, "receiver").unwrap().id);
    let first = rig.engine.secrets(source).await.unwrap()[0].created_at;
    assert_eq!(believed(&rig, &[SECRET], "a").await, [true]);
    rig.engine.run_until_idle().await;
    rig.clock.advance(HOUR);
    assert_eq!(believed(&rig, &[SECRET], "b").await, [true]);
    rig.engine.put_secret(destination, None, NewSecret::Generated, grace(HOUR), &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    let uses = async |owner| {
        let secrets = rig.engine.secrets(owner).await.unwrap();
        let uses =
            secrets.iter().map(|secret| (secret.version, secret.first_used_at, secret.last_used_at, secret.uses));
        uses.collect::<Vec<_>>()
    };
    let second = first.plus(HOUR);
    assert_eq!(uses(source).await, [(1, Some(first), Some(second), 2)]);
    // Both sign while the grace lasts: the scheme's header has room for several signatures.
    let expected = [(2, Some(second), Some(second), 1), (1, Some(first), Some(second), 2)];
    assert_eq!(uses(destination).await, expected);
}
