//! Refused requests as the operator finds them: with their reason, without anything that could be used again.

use crate::ORG;
use std::time::Duration;

use bytes::Bytes;
use hookward::Secret;
use hookward_engine::clock::Clock;
use hookward_engine::model::{Proof, RefusedAt, RefusedRequest};
use hookward_engine::store::RefusedFilter;
use hookward_engine::{Declared, DeclaredSource, InboundRequest, Receipt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{ALL, Rig, SECRET, github, push};

fn with_scheme(name: &str, scheme: &str, secret: &str) -> DeclaredSource {
    let mut source = github();
    source.name = name.to_owned();
    source.spec.proof = Proof::by(scheme);
    source.secret = Some(Secret::new(secret).unwrap());
    source
}

async fn rig(sources: Vec<DeclaredSource>) -> Rig {
    Rig::new(Declared { sources, destinations: vec![], ..Declared::default() }).await
}

fn request(headers: &[(&str, &str)], url: &str, body: &'static str) -> InboundRequest {
    InboundRequest {
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), Bytes::copy_from_slice(v.as_bytes()))).collect(),
        body: body.into(),
        remote: "192.0.2.7:4711".to_owned(),
    }
}

impl Rig {
    async fn refused(&self, source: &str, request: InboundRequest) {
        let id = self.engine.source(ORG, source).unwrap().id;
        let receipt = self.engine.receive(id, request).await.unwrap();
        assert!(matches!(receipt, Receipt::Refused(_)), "{receipt:?}");
    }

    async fn all_refused(&self) -> Vec<RefusedRequest> {
        self.engine.run_until_idle().await;
        self.engine.store().all_refused(ORG, RefusedFilter::default(), ALL).await.unwrap().items
    }
}

#[tokio::test]
async fn a_refused_request_is_kept_with_its_private_reason() {
    let rig = rig(vec![github()]).await;
    let mut tampered = push(SECRET, "d-1", "{\"n\":1}");
    tampered.body = "{\"n\":2}".into();
    let headers = tampered.headers.clone();
    rig.refused("github", tampered).await;
    let refused = rig.all_refused().await.remove(0);
    assert_eq!(refused.refused_at, RefusedAt::Source("github".to_owned()));
    assert_eq!((refused.reason.as_str(), refused.count), ("signature-mismatch", 1));
    assert_eq!(refused.detail["scheme"], "github");
    assert_eq!(refused.detail["places"], json!(["header:X-Hub-Signature-256"]));
    assert_eq!(refused.request.headers, headers);
    assert_eq!((&refused.body_start[..], refused.body_len), (&b"{\"n\":2}"[..], 7));
    assert_eq!(rig.engine.store().refused(ORG, refused.id).await.unwrap(), refused);
    let audit = rig.engine.store().audit(ORG, ALL).await.unwrap().items.remove(0).entry;
    assert_eq!(audit.target, "source:github");
    assert_eq!(audit.detail["refused"], refused.id.to_string());
    assert_eq!((&audit.detail["count"], audit.address.as_str()), (&json!(1), "192.0.2.7:4711"));
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_told_by_how_much() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let rig = rig(vec![with_scheme("std", "standard-webhooks", secret)]).await;
    let scheme = hookward::catalog::find("standard-webhooks").unwrap();
    let key = scheme.key(1, &Secret::new(secret).unwrap()).unwrap();
    for (offset_s, skew_s) in [(-301, 301), (400, -400)] {
        let draft = hookward::Draft { id: "msg_1", event_type: "", method: "POST", url: "/", body: b"{}" };
        let signed_at = hookward::UnixTime::from_secs(1_700_000_000 + offset_s);
        let signed = scheme.sign(&draft, std::slice::from_ref(&key), signed_at).unwrap();
        let headers: Vec<_> = signed.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        rig.refused("std", request(&headers, "/in/std", "{}")).await;
        let refused = rig.all_refused().await.remove(0);
        assert_eq!(refused.detail["skew_s"], skew_s);
        assert_eq!(refused.detail["places"], json!(["header:webhook-timestamp"]));
    }
}

#[tokio::test]
async fn an_almost_right_credential_is_nowhere() {
    let rig = rig(vec![github(), with_scheme("bearer", "bearer", "almost-right-token")]).await;
    let almost = "almost-right-tokem";
    let bearer = format!("Bearer {almost}");
    rig.refused("bearer", request(&[("authorization", &bearer)], "/in/bearer", "")).await;
    rig.all_refused().await;
    rig.refused("bearer", request(&[], &format!("/in/bearer?a=b&token={almost}&c"), "")).await;
    // Another scheme's credential, at a source that has no use for it.
    rig.refused("github", request(&[("x-gitlab-token", almost)], "/in/github", "")).await;
    let all = rig.all_refused().await;
    assert_eq!(all.len(), 3);
    let audit = rig.engine.store().audit(ORG, ALL).await.unwrap();
    assert!(!format!("{all:?} {audit:?}").contains(almost));
    assert!(all.iter().any(|refused| refused.request.target == "/in/bearer?a=b&token=[redacted]&c"));
}

#[tokio::test]
async fn a_flood_is_written_once_a_second_as_a_few_requests_and_a_count() {
    let rig = rig(vec![github()]).await;
    let stop = CancellationToken::new();
    let (engine, stopping) = (rig.engine.clone(), stop.clone());
    let running = tokio::spawn(async move { engine.run(stopping).await });
    let kept = async || rig.engine.store().all_refused(ORG, RefusedFilter::default(), ALL).await.unwrap().items;
    rig.refused("github", request(&[], "/in/github", "first")).await;
    while kept().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let began = rig.clock.now();
    for _ in 0..500 {
        rig.refused("github", request(&[], "/in/github", "flood")).await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept().await.len(), 1, "the second has not passed");
    while kept().await.len() < 2 {
        rig.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let counts: Vec<u64> = kept().await.iter().map(|refused| refused.count).collect();
    // 48 in all one by one, and the rest of the flood in one.
    assert_eq!((counts.len(), counts.iter().max(), counts.iter().sum::<u64>()), (49, Some(&453), 501));
    assert_eq!(rig.audit().await.iter().filter(|action| *action == "webhook.refused").count(), 49);
    for _ in 0..500 {
        rig.refused("github", request(&[], "/in/github", "flood")).await;
    }
    while kept().await.len() == 49 {
        rig.clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let seconds = usize::try_from(rig.clock.now().since(began).as_secs()).unwrap();
    assert!(kept().await.len() <= 50 + seconds, "a flood that goes on is told of once a second");
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_door_without_a_source_is_known_by_its_path() {
    let rig = rig(vec![github()]).await;
    let wanted = request(&[("authorization", "Bearer x")], "/v1/webhooks/github?token=y", "{}");
    let at = RefusedAt::Path("/v1/webhooks/github".to_owned());
    rig.engine.refused(ORG, at.clone(), "source-unknown", "no source at this path is meant", &wanted).await;
    let refused = rig.all_refused().await.remove(0);
    assert_eq!((refused.refused_at, refused.reason.as_str()), (at, "source-unknown"));
    assert_eq!(refused.request.target, "/v1/webhooks/github?token=[redacted]");
    assert_eq!(rig.engine.store().audit(ORG, ALL).await.unwrap().items[0].entry.target, "path:/v1/webhooks/github");
}
