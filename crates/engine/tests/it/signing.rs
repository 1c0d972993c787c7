//! How deliveries are signed when several schemes and several secrets are in play, on a clock that the test moves.

use std::time::Duration;

use base64::Engine as _;
use hookward::Secret;
use hookward_engine::clock::Timestamp;
use hookward_engine::model::{Attempt, DeliveryState, Outcome, Principal, SecretOwner, SignWith, Signing};
use hookward_engine::{Authority, Declared, DeclaredDestination, DeclaredSecret, EngineError, NewSecret};

use crate::support::receiver::{Received, Receiver};
use crate::support::{Rig, SECRET, github, http_to, push};
use crate::{ORG, by, grace};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const MILLISECOND: Duration = Duration::from_millis(1);

/// Values of two versions, in the form of each scheme's keys.
const QLENS: [&str; 2] = ["the-old-secret-of-qlens", "the-new-secret-of-qlens"];
const QFLOW: [&str; 2] = ["b2xkLXNlY3JldC1vZi1xZmxvdw==", "bmV3LXNlY3JldC1vZi1xZmxvdw=="];

fn value(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn given(text: &str) -> NewSecret {
    NewSecret::Given(value(text))
}

/// A destination that signs with these schemes, each with its first secret.
fn signed_by(receiver: &Receiver, signing: &[(Signing, &str)]) -> DeclaredDestination {
    let mut destination = http_to("ci", receiver.url());
    destination.spec.signing = signing.iter().map(|(signing, _)| signing.clone()).collect();
    let secrets = signing.iter().filter(|(_, secret)| !secret.is_empty());
    destination.secrets =
        secrets.map(|(signing, secret)| DeclaredSecret::new(&signing.scheme, value(secret))).collect();
    destination
}

fn qlens(with: Option<SignWith>) -> (Signing, &'static str) {
    (Signing { sign_with: with, ..Signing::by("qlens") }, QLENS[0])
}

async fn rig(destination: DeclaredDestination) -> Rig {
    Rig::new(Declared { sources: vec![github()], destinations: vec![destination], ..Declared::default() }).await
}

impl Rig {
    fn owner(&self) -> SecretOwner {
        SecretOwner::Destination(self.engine.destination(ORG, "ci").unwrap().id)
    }

    fn now(&self) -> Timestamp {
        hookward_engine::clock::Clock::now(&*self.clock)
    }

    async fn rotate(&self, scheme: Option<&str>, to: &str, for_: Duration) -> u32 {
        self.engine.put_secret(self.owner(), scheme, given(to), grace(for_), &by("test")).await.unwrap()
    }

    async fn event(&self, id: &str) {
        self.send(push(SECRET, id, &format!("{{\"id\":\"{id}\"}}"))).await;
        self.engine.run_until_idle().await;
    }

    /// Every attempt of the newest delivery.
    async fn attempts(&self) -> Vec<Attempt> {
        let newest = self.deliveries().await.remove(0);
        self.engine.store().delivery(ORG, newest.id).await.unwrap().1
    }

    /// Version, purpose and whether it may be used now, newest first.
    async fn versions(&self) -> Vec<(u32, String, bool)> {
        let now = self.now();
        let secrets = self.engine.secrets(self.owner()).await.unwrap();
        secrets.into_iter().map(|secret| (secret.version, secret.purpose.clone(), secret.is_live(now))).collect()
    }

    async fn declares(&self, destination: DeclaredDestination) -> Result<(), EngineError> {
        let declared = Declared { sources: vec![github()], destinations: vec![destination], ..Declared::default() };
        self.engine.declare(&Principal::config(), Authority::ServedFile, declared).await.map(drop)
    }
}

/// Which of QLens's two secrets signed each request.
fn qlens_signers(requests: &[Received]) -> Vec<usize> {
    let signer = |request: &Received| {
        let made = QLENS.map(|secret| systems_signature(secret, &request.body));
        made.iter().position(|made| made == request.header("x-qlens-signature")).expect("one of the two")
    };
    requests.iter().map(signer).collect()
}

/// As the provider documents it, not as the library signs.
fn systems_signature(secret: &str, body: &[u8]) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    format!("sha256={}", hex::encode(aws_lc_rs::hmac::sign(&key, body)))
}

#[tokio::test]
async fn a_delivery_is_signed_by_every_scheme() {
    let receiver = Receiver::start().await;
    let schemes = [qlens(None), (Signing::by("qflow"), QFLOW[0]), (Signing::by("bearer"), "a-token-of-some-length")];
    let rig = rig(signed_by(&receiver, &schemes)).await;
    rig.event("1").await;
    let received = receiver.received();
    assert_eq!(qlens_signers(&received), [0]);
    assert!(received[0].header("qflow-signature").starts_with("sha256="));
    assert_eq!(received[0].header("authorization"), "Bearer a-token-of-some-length");
    assert_eq!(rig.attempts().await[0].signed_by, [1, 2, 3]);
    let purposes: Vec<_> = rig.versions().await.into_iter().map(|(_, purpose, _)| purpose).collect();
    assert_eq!(purposes, ["bearer", "qflow", "qlens"]);
}

#[tokio::test]
async fn for_seven_days_both_of_qflows_secrets_sign_newest_first() {
    let receiver = Receiver::start().await;
    let mut destination = signed_by(&receiver, &[(Signing::by("qflow"), QFLOW[0])]);
    destination.spec.grace = 7 * DAY;
    let rig = rig(destination).await;
    receiver.answer_next("500 Oops", "");
    rig.event("1").await;
    let terms = hookward_engine::Terms::default();
    rig.engine.put_secret(rig.owner(), None, given(QFLOW[1]), terms, &by("test")).await.unwrap();
    rig.clock.advance(7 * DAY - MILLISECOND);
    // The event from before the rotation, tried again: with today's keys.
    rig.engine.run_until_idle().await;
    rig.clock.advance(MILLISECOND);
    rig.event("2").await;
    let signatures: Vec<Vec<String>> = receiver
        .received()
        .iter()
        .map(|request| {
            let signed =
                [request.header("qflow-request-id"), ".", request.header("qflow-timestamp"), "."].concat().into_bytes();
            let signed = [signed, request.body.clone()].concat();
            let entry = |secret: &str| {
                let key = base64_of(secret);
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
                format!("sha256={}", to_base64(aws_lc_rs::hmac::sign(&key, &signed).as_ref()))
            };
            let made = QFLOW.map(entry);
            let name =
                |entry: &str| ["old", "new"][made.iter().position(|made| made == entry).expect("one of the two")];
            request.header("qflow-signature").split(',').map(|entry| name(entry).to_owned()).collect()
        })
        .collect();
    assert_eq!(signatures, [vec!["old"], vec!["new", "old"], vec!["new"]]);
    assert_eq!(rig.attempts().await[0].signed_by, [2]);
}

fn base64_of(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn to_base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn what_the_receiver_accepted_last_signs_until_its_grace_ends_to_the_millisecond() {
    let receiver = Receiver::start().await;
    let rig = rig(signed_by(&receiver, &[qlens(None)])).await;
    rig.event("1").await;
    rig.rotate(None, QLENS[1], 24 * HOUR).await;
    rig.event("2").await;
    rig.clock.advance(24 * HOUR - MILLISECOND);
    rig.event("3").await;
    rig.clock.advance(MILLISECOND);
    rig.event("4").await;
    assert_eq!(qlens_signers(&receiver.received()), [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_refusal_in_the_grace_is_answered_with_the_other_secret_at_once() {
    let receiver = Receiver::start().await;
    let rig = rig(signed_by(&receiver, &[qlens(None)])).await;
    rig.event("1").await;
    rig.rotate(None, QLENS[1], 24 * HOUR).await;
    receiver.answer_next("401 Unauthorized", "");
    rig.event("2").await;
    let attempts = rig.attempts().await;
    assert_eq!(attempts.len(), 1, "it is one attempt");
    assert_eq!((attempts[0].outcome, attempts[0].status), (Outcome::Success, Some(204)));
    assert_eq!(attempts[0].signed_by, [2]);
    assert_eq!(attempts[0].detail, "refused with version 1 (401), accepted with version 2");
    // From then on the new one, until the receiver goes back.
    rig.event("3").await;
    assert_eq!(rig.attempts().await[0].detail, "");
    receiver.answer_next("403 Forbidden", "");
    rig.event("4").await;
    rig.event("5").await;
    assert_eq!(qlens_signers(&receiver.received()), [0, 0, 1, 1, 1, 0, 0]);
    let secrets = rig.engine.secrets(rig.owner()).await.unwrap();
    assert!(secrets.iter().all(|secret| secret.last_accepted_at.is_some()));
    assert_eq!(secrets.iter().map(|secret| secret.uses).collect::<Vec<_>>(), [2, 3], "what was refused is no use");
}

#[tokio::test]
async fn refused_with_both_it_is_tried_again_on_the_schedule_and_never_a_third_time() {
    let receiver = Receiver::start().await;
    let rig = rig(signed_by(&receiver, &[qlens(None)])).await;
    rig.event("1").await;
    rig.rotate(None, QLENS[1], 24 * HOUR).await;
    receiver.answer_next("401 Unauthorized", "");
    receiver.answer_next("403 Forbidden", "");
    rig.event("2").await;
    assert_eq!(receiver.received().len(), 3);
    let attempts = rig.attempts().await;
    assert_eq!((attempts[0].outcome, attempts[0].status), (Outcome::Status, Some(403)));
    assert_eq!(attempts[0].detail, "refused with version 1 (401) and with version 2 (403)");
    rig.clock.advance(Duration::from_secs(5));
    rig.engine.run_until_idle().await;
    assert_eq!(qlens_signers(&receiver.received()), [0, 0, 1, 0]);
    assert!(matches!(rig.deliveries().await[0].state, DeliveryState::Delivered { .. }));
}

#[tokio::test]
async fn a_second_try_that_gets_no_answer_is_the_one_that_counts() {
    let receiver = Receiver::start().await;
    let mut destination = signed_by(&receiver, &[qlens(None)]);
    destination.spec.timeout = Duration::from_millis(300);
    let rig = rig(destination).await;
    rig.event("1").await;
    rig.rotate(None, QLENS[1], HOUR).await;
    receiver.answer_next("401 Unauthorized", "");
    receiver.hang_next();
    rig.event("2").await;
    let attempt = rig.attempts().await.remove(0);
    assert_eq!((attempt.outcome, attempt.signed_by.as_slice()), (Outcome::Timeout, &[2][..]));
    assert!(attempt.detail.starts_with("refused with version 1 (401); with version 2: "), "{}", attempt.detail);
}

#[tokio::test]
async fn there_is_no_second_try_without_another_secret_or_another_answer() {
    let receiver = Receiver::start().await;
    let schemes = [qlens(None), (Signing::by("qflow"), QFLOW[0])];
    let rig = rig(signed_by(&receiver, &schemes)).await;
    let refused = async |id: &str, status: &str| {
        let before = receiver.received().len();
        receiver.answer_next(status, "");
        rig.event(id).await;
        receiver.received().len() - before
    };
    assert_eq!(refused("1", "401 Unauthorized").await, 1, "there is one secret");
    rig.rotate(Some("qflow"), QFLOW[1], 24 * HOUR).await;
    assert_eq!(refused("2", "401 Unauthorized").await, 1, "a header with every signature leaves nothing to try");
    rig.rotate(Some("qlens"), QLENS[1], 24 * HOUR).await;
    assert_eq!(refused("3", "400 Bad Request").await, 1, "it was not refused for its signature");
    assert_eq!(refused("4", "500 Oops").await, 1);
    assert_eq!(refused("5", "401 Unauthorized").await, 2);
    rig.clock.advance(24 * HOUR);
    rig.engine.run_until_idle().await;
    assert_eq!(refused("6", "401 Unauthorized").await, 1, "the grace is over");
}

#[tokio::test]
async fn whoever_says_which_secret_signs_has_it_so() {
    for (with, expected) in [(SignWith::Newest, [0, 1, 1, 1]), (SignWith::Previous, [0, 0, 0, 1])] {
        let receiver = Receiver::start().await;
        let rig = rig(signed_by(&receiver, &[qlens(Some(with))])).await;
        rig.event("1").await;
        rig.rotate(None, QLENS[1], 24 * HOUR).await;
        rig.event("2").await;
        receiver.answer_next("401 Unauthorized", "");
        rig.event("3").await;
        assert_eq!(rig.attempts().await[0].status, Some(401), "{with:?} tries nothing else");
        rig.clock.advance(24 * HOUR);
        rig.engine.run_until_idle().await;
        assert_eq!(qlens_signers(&receiver.received()), expected, "{with:?}");
    }
}

#[tokio::test]
async fn what_a_receiver_accepted_last_is_known_after_a_restart() {
    for switched in [false, true] {
        let receiver = Receiver::start().await;
        let destination = signed_by(&receiver, &[qlens(None)]);
        let rig = rig(destination.clone()).await;
        rig.event("1").await;
        rig.rotate(None, QLENS[1], 24 * HOUR).await;
        rig.clock.advance(HOUR);
        if switched {
            receiver.answer_next("401 Unauthorized", "");
        }
        rig.event("2").await;
        let rig = rig.restart().await;
        rig.declares(destination).await.unwrap();
        let before = receiver.received().len();
        rig.event("3").await;
        assert_eq!(qlens_signers(&receiver.received()[before..]), [usize::from(switched)]);
    }
}

#[tokio::test]
async fn a_credential_that_is_sent_itself_is_changed_in_the_same_way() {
    let receiver = Receiver::start().await;
    let rig = rig(signed_by(&receiver, &[(Signing::by("bearer"), "the-old-token-of-ci")])).await;
    rig.event("1").await;
    rig.rotate(None, "the-new-token-of-ci", HOUR).await;
    receiver.answer_next("401 Unauthorized", "");
    rig.event("2").await;
    let received = receiver.received();
    let tokens: Vec<_> = received.iter().map(|request| request.header("authorization")).collect();
    assert_eq!(tokens, ["Bearer the-old-token-of-ci", "Bearer the-old-token-of-ci", "Bearer the-new-token-of-ci"]);
}

#[tokio::test]
async fn a_scheme_signs_until_its_end_and_no_longer() {
    let receiver = Receiver::start().await;
    let until = Timestamp::from_millis(1_700_000_000_000).plus(HOUR);
    let old = Signing { until: Some(until), ..Signing::by("qlens") };
    let rig = rig(signed_by(&receiver, &[(old, QLENS[0]), (Signing::by("qflow"), QFLOW[0])])).await;
    rig.clock.advance(HOUR - MILLISECOND);
    rig.event("1").await;
    rig.clock.advance(MILLISECOND);
    rig.event("2").await;
    let has =
        |request: &Received| ["x-qlens-signature", "qflow-signature"].map(|name| !request.header(name).is_empty());
    let received = receiver.received();
    assert_eq!(received.iter().map(has).collect::<Vec<_>>(), [[true, true], [false, true]]);
    assert_eq!(rig.attempts().await[0].signed_by, [2]);
    let ended = rig.engine.ended_schemes(ORG);
    assert_eq!(ended, [("ci".to_owned(), "qlens".to_owned())]);
}

#[tokio::test]
async fn a_rotation_ends_what_is_for_the_same() {
    let receiver = Receiver::start().await;
    let rig = rig(signed_by(&receiver, &[qlens(None), (Signing::by("qflow"), QFLOW[0])])).await;
    assert_eq!(rig.rotate(Some("qflow"), QFLOW[1], Duration::ZERO).await, 3);
    let live = |versions: Vec<(u32, String, bool)>| {
        versions
            .into_iter()
            .filter(|(.., live)| *live)
            .map(|(version, purpose, _)| (version, purpose))
            .collect::<Vec<_>>()
    };
    assert_eq!(live(rig.versions().await), [(3, "qflow".to_owned()), (1, "qlens".to_owned())]);
    assert_eq!(rig.rotate(None, QLENS[1], Duration::ZERO).await, 4, "unsaid, it is for the first scheme");
    assert_eq!(live(rig.versions().await), [(4, "qlens".to_owned()), (3, "qflow".to_owned())]);
    let terms = hookward_engine::Terms::default();
    for (scheme, problem) in [
        ("github", "destination:ci has no secret for `github`; those that it has are for `qlens`, `qflow`"),
        ("headers", "destination:ci has no secret for `headers`; those that it has are for `qlens`, `qflow`"),
    ] {
        let wrong = rig.engine.put_secret(rig.owner(), Some(scheme), given(QLENS[0]), terms, &by("test")).await;
        assert_eq!(wrong, Err(EngineError::Invalid(problem.to_owned())));
    }
    let wrong = rig.engine.put_secret(rig.owner(), Some("qflow"), given("not base64!"), terms, &by("test")).await;
    assert!(matches!(wrong, Err(EngineError::Invalid(_))), "it is checked against its own scheme: {wrong:?}");
}

#[tokio::test]
async fn an_entry_that_goes_takes_its_secrets_along_and_each_enters_once() {
    let receiver = Receiver::start().await;
    let both = signed_by(&receiver, &[qlens(None), (Signing::by("qflow"), QFLOW[0])]);
    let rig = rig(both.clone()).await;
    rig.declares(both.clone()).await.unwrap();
    assert_eq!(rig.versions().await.len(), 2, "said again, they are known");
    // The order is no matter, either.
    let turned = signed_by(&receiver, &[(Signing::by("qflow"), QFLOW[0]), qlens(None)]);
    rig.declares(turned).await.unwrap();
    assert_eq!(rig.versions().await.len(), 2);
    rig.declares(signed_by(&receiver, &[qlens(None)])).await.unwrap();
    let live = |versions: &[(u32, String, bool)]| {
        versions.iter().map(|(version, _, live)| (*version, *live)).collect::<Vec<_>>()
    };
    assert_eq!(live(&rig.versions().await), [(2, false), (1, true)]);
    rig.event("1").await;
    assert_eq!(receiver.received()[0].header("qflow-signature"), "");
    // Whoever brings it back brings its secret, too.
    rig.declares(both).await.unwrap();
    assert_eq!(live(&rig.versions().await), [(3, true), (2, false), (1, true)]);
}

#[tokio::test]
async fn schemes_that_cannot_stand_side_by_side_are_refused() {
    let receiver = Receiver::start().await;
    let rig = rig(signed_by(&receiver, &[qlens(None)])).await;
    let by = |names: &[&str]| names.iter().map(|name| (Signing::by(*name), "")).collect::<Vec<_>>();
    let ended = Signing { until: Some(rig.now().plus(DAY)), ..Signing::by("qlens") };
    for (signing, expected) in [
        (by(&["qlens", "nothing"]), "no scheme `nothing`"),
        (by(&["qlens", "qlens"]), "scheme `qlens` signs once: give one entry for it"),
        (by(&["bearer", "basic"]), "schemes `bearer` and `basic` both write header `Authorization`: keep one of them"),
        (by(&["qlens", "qflow", "bearer", "github", "stripe"]), "a destination signs with at most 4 schemes"),
        (
            vec![(ended, "")],
            "nothing would be signed once the last `until` is past: leave it out of the scheme that stays",
        ),
    ] {
        let refused = rig.declares(signed_by(&receiver, &signing)).await.unwrap_err();
        assert_eq!(refused, EngineError::Invalid(format!("destination `ci`: {expected}")));
    }
    let mut stray = signed_by(&receiver, &[qlens(None)]);
    stray.secrets.push(DeclaredSecret::new("qflow", value(QFLOW[0])));
    let refused = rig.declares(stray).await.unwrap_err().to_string();
    assert!(refused.contains("it has a secret for `qflow`, and does not sign with that"), "{refused}");
}

#[tokio::test]
async fn what_a_scheme_leaves_to_be_said_is_signed() {
    let receiver = Receiver::start().await;
    let by = |scheme: &str, name: &str, is: &str| Signing {
        parameters: [(name.to_owned(), is.to_owned())].into(),
        ..Signing::by(scheme)
    };
    let registered = "https://shop.example/hooks?of=1";
    let shop = (by("tiktok-shop", "app_key", "6a3f"), "the-secret-of-the-app");
    let square = (by("square", "url", registered), "the-secret-of-square");
    let rig = rig(signed_by(&receiver, &[shop.clone(), square.clone()])).await;
    rig.event("1").await;
    let received = receiver.received();
    let body = String::from_utf8(received[0].body.to_vec()).unwrap();
    let hmac = |secret: &str, text: String| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        aws_lc_rs::hmac::sign(&key, text.as_bytes())
    };
    assert_eq!(received[0].header("authorization"), hex::encode(hmac(shop.1, format!("6a3f{body}"))));
    let base64 = base64::engine::general_purpose::STANDARD.encode(hmac(square.1, format!("{registered}{body}")));
    assert_eq!(received[0].header("x-square-hmacsha256-signature"), base64);

    for (wrong, problem) in [
        (Signing::by("tiktok-shop"), "needs the parameter `app_key`: the app's key"),
        (by("tiktok-shop", "app_kay", "6a3f"), "has no parameter `app_kay`; did you mean `app_key`?"),
        (by("square", "url", "/hooks"), "must be an absolute url"),
    ] {
        let error = rig.declares(signed_by(&receiver, &[(wrong, "")])).await.unwrap_err().to_string();
        assert!(error.starts_with("destination `ci`: ") && error.contains(problem), "{error}");
    }
}
