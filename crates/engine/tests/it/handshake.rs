//! Handshakes: answered, never an event, in the audit log within bounds; and a secret that comes with one.

use crate::{ORG, by};
use std::time::Duration;

use bytes::Bytes;
use hookward::{Draft, Handshake, Refusal, Secret, UnixTime};
use hookward_engine::clock::Clock;
use hookward_engine::handshake::HANDSHAKES_LISTED;
use hookward_engine::model::{Proof, SecretOwner};
use hookward_engine::{Declared, DeclaredSource, InboundRequest, Receipt};

use crate::support::{ALL, Rig, everything_in, github};

async fn rig(scheme: &str, secret: Option<&str>, token: Option<&str>) -> Rig {
    let secret_of = |text: &str| Secret::new(text).expect("not empty");
    let mut source =
        DeclaredSource { secret: secret.map(secret_of), handshake_token: token.map(secret_of), ..github() };
    source.spec.proof = Proof::by(scheme);
    Rig::new(Declared { sources: vec![source], destinations: vec![], ..Declared::default() }).await
}

fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> InboundRequest {
    InboundRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        remote: "192.0.2.7:4711".to_owned(),
    }
}

fn signed(rig: &Rig, scheme: &str, secret: &str, body: &str) -> InboundRequest {
    let scheme = hookward::catalog::find(scheme).expect("in the catalog");
    let key = scheme.key(1, &Secret::new(secret).expect("not empty")).expect("any text");
    let draft = Draft { id: "", event_type: "", method: "POST", url: "/", body: body.as_bytes() };
    let signed = scheme.sign(&draft, &[key], UnixTime::from_millis(rig.clock.now().as_millis())).expect("signable");
    let headers: Vec<_> = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    request("POST", "/", &headers, body)
}

fn answered(receipt: Receipt) -> Handshake {
    match receipt {
        Receipt::Answered(handshake) => handshake,
        other => panic!("not answered: {other:?}"),
    }
}

fn owner(rig: &Rig) -> SecretOwner {
    SecretOwner::Source(rig.engine.source(ORG, "github").expect("declared").id)
}

#[tokio::test]
async fn a_signed_handshake_is_answered_and_is_no_event() {
    let rig = rig("slack", Some("slack-secret"), None).await;
    let body = r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#;
    assert_eq!(answered(rig.send(signed(&rig, "slack", "slack-secret", body)).await).body, "3eZbrw1a");
    let forged = rig.send(signed(&rig, "slack", "another-secret", body)).await;
    assert!(matches!(forged, Receipt::Refused(Refusal::SignatureMismatch)));
    assert_eq!(rig.event_counts().await, (0, 0));
    let event = r#"{"type":"event_callback","challenge":"3eZbrw1a"}"#;
    assert!(matches!(rig.send(signed(&rig, "slack", "slack-secret", event)).await, Receipt::Accepted(_)));
    rig.engine.run_until_idle().await;
    let entries = rig.engine.store().audit(ORG, ALL).await.expect("readable").items;
    let entry = entries.iter().find(|row| row.entry.action == "webhook.handshake").expect("audited");
    assert_eq!((entry.entry.target.as_str(), entry.entry.address.as_str()), ("source:github", "192.0.2.7:4711"));
}

#[tokio::test]
async fn a_handshake_token_is_compared_and_never_kept() {
    let rig = rig("meta", Some("app-secret"), Some("agreed-verify-token")).await;
    let ask = |token: &str| {
        request("GET", &format!("/?hub.mode=subscribe&hub.challenge=1158&hub.verify_token={token}"), &[], "")
    };
    let source = rig.engine.source(ORG, "github").expect("declared").id;
    let shake = async |request| rig.engine.shake_hands(source, &request).await.expect("the store answers");
    assert_eq!(answered(shake(ask("agreed-verify-token")).await.expect("a handshake")).body, "1158");
    for wrong in ["agreed-verify-tokens", "app-secret"] {
        assert!(matches!(shake(ask(wrong)).await, Some(Receipt::Refused(Refusal::CredentialMismatch))), "{wrong}");
    }
    assert!(shake(request("GET", "/", &[], "")).await.is_none(), "it asks nothing");
    assert_eq!(rig.engine.handshake_methods(source), ["GET"]);
    rig.engine.run_until_idle().await;
    drop(rig.store);
    let kept = everything_in(rig.dir.path());
    assert!(!kept.windows(19).any(|part| part == b"agreed-verify-token"), "neither the right one nor one like it");
}

#[tokio::test]
async fn the_first_secret_that_comes_is_adopted_and_no_other_ever() {
    let rig = rig("asana", None, None).await;
    let hello = |secret: &str| request("POST", "/", &[("x-hook-secret", secret)], "");
    let (one, other) = tokio::join!(rig.send(hello("the-first-secret")), rig.send(hello("the-other-secret")));
    let (won, lost) = if matches!(one, Receipt::Answered(_)) { (one, other) } else { (other, one) };
    let answer = answered(won);
    let secret = answer.headers[0].1.clone();
    assert_eq!((answer.headers[0].0.as_str(), answer.adopts.is_none()), ("X-Hook-Secret", true));
    assert!(matches!(lost, Receipt::Refused(_)), "{lost:?}");
    let secrets = rig.engine.secrets(owner(&rig)).await.expect("declared");
    assert_eq!((secrets.len(), secrets[0].origin.as_str()), (1, "handshake"));
    let event = r#"{"events":[{"action":"changed"}]}"#;
    assert!(matches!(rig.send(signed(&rig, "asana", &secret, event)).await, Receipt::Accepted(_)));
    assert!(matches!(rig.send(hello("a-third-secret")).await, Receipt::Refused(Refusal::SignatureMissing)));
    rig.engine.revoke(owner(&rig), 1, true, &by("test")).await.expect("there");
    assert!(matches!(rig.send(hello("a-fourth-secret")).await, Receipt::Refused(_)), "not after it was revoked either");
    assert_eq!(rig.engine.secrets(owner(&rig)).await.expect("declared").len(), 1);
    let audit = rig.audit().await;
    assert_eq!(audit.iter().filter(|action| *action == "secret.rotate").count(), 1);
}

#[tokio::test]
async fn a_flood_of_handshakes_is_answered_and_listed_up_to_the_bound() {
    let rig = rig("dropbox", None, None).await;
    let listed = async || rig.audit().await.into_iter().filter(|action| action == "webhook.handshake").count();
    let burst = usize::try_from(HANDSHAKES_LISTED.burst).expect("small");
    let ask = || request("GET", "/?challenge=abc", &[], "");
    for n in 1..=burst + 5 {
        assert_eq!(answered(rig.send(ask()).await).body, "abc");
        assert_eq!(listed().await, n.min(burst));
    }
    rig.clock.advance(HANDSHAKES_LISTED.per - Duration::from_millis(1));
    answered(rig.send(ask()).await);
    assert_eq!(listed().await, burst);
    rig.clock.advance(Duration::from_millis(1));
    answered(rig.send(ask()).await);
    assert_eq!(listed().await, burst + 1);
    let entries = rig.engine.store().audit(ORG, ALL).await.expect("readable").items;
    assert_eq!(entries[0].entry.detail["unlisted_before"], 6);
}
