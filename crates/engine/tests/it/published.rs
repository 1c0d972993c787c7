//! Tests of `published.rs`: keys fetched from a provider on loopback, over TLS, for requests that the test's own key signs.

mod provider;

use std::time::Duration;

use hookward::{Refusal, Scheme, Secret};
use hookward_engine::clock::Clock;
use hookward_engine::model::Proof;
use hookward_engine::published::{
    AGAIN_AFTER, DOCUMENT_MAX, FAILED_PAUSE, FETCHES, FRESH_MAX, FRESH_MIN, Fetches, STALE_MAX,
};
use hookward_engine::store::{EventFilter, RefusedFilter};
use hookward_engine::{Declared, DeclaredSource, InboundRequest, KEY_UNAVAILABLE, Receipt};
use serde_json::{Value, json};

use self::provider::{Provider, TOPIC, egress, message, push, set};
use crate::ORG;
use crate::support::{ALL, Rig, github};

const GOOD: &[u8] = include_bytes!("keys/good.pem");
const CERTIFICATE: &str = "/SimpleNotificationService-1.pem";
const SET: &str = "/oauth2/v3/certs";
/// What the push subscription is registered with.
const PUSHED: [(&str, &str); 2] = [("audience", "ours"), ("service_account", "push@example.test")];
const SECOND: Duration = Duration::from_secs(1);

async fn rig(scheme: Scheme, parameters: &[(&str, &str)], secret: Option<Secret>) -> Rig {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut source = DeclaredSource { secret, ..github() };
    source.spec.proof = Proof::Scheme { name: scheme.name().to_owned(), parameters };
    source.spec.dedup.body = false;
    let declared = Declared { sources: vec![source], destinations: vec![], ..Declared::default() };
    Rig::with(declared, vec![scheme], egress()).await
}

/// SNS with its certificate in place.
async fn sns() -> (Provider, Rig) {
    let provider = Provider::start().await;
    provider.put(CERTIFICATE, (200, "", provider.certificate(GOOD)));
    let rig = rig(provider.sns(), &[("topic_arn", TOPIC)], None).await;
    (provider, rig)
}

/// Google's push with keys of these ids in place.
async fn pubsub(ids: &[&str]) -> (Provider, Rig) {
    let provider = Provider::start().await;
    provider.put(SET, (200, "cache-control: public, max-age=3600\r\n", set(ids)));
    let rig = rig(provider.pubsub(), &PUSHED, None).await;
    (provider, rig)
}

fn notification(provider: &Provider, id: &str) -> InboundRequest {
    message("Notification", id, &[("SigningCertURL", provider.url(CERTIFICATE))], |_| {})
}

impl Rig {
    async fn accepts(&self, request: InboundRequest) {
        let receipt = self.send(request).await;
        assert!(matches!(receipt, Receipt::Accepted(_)), "{receipt:?}: {:?}", self.reasons().await);
    }

    async fn refuses(&self, request: InboundRequest, with: Refusal) {
        let receipt = self.send(request).await;
        assert!(matches!(receipt, Receipt::Refused(refusal) if refusal == with), "{receipt:?}");
    }

    async fn cannot_tell(&self, request: InboundRequest) {
        let receipt = self.send(request).await;
        assert!(matches!(receipt, Receipt::Undecided), "{receipt:?}");
    }

    async fn pushed(&self, kid: &str, id: &str) -> Receipt {
        self.send(push(kid, id, self.clock.now().as_secs())).await
    }

    /// Reasons and sentences of what was refused, the last one first.
    async fn reasons(&self) -> Vec<(String, String)> {
        self.engine.run_until_idle().await;
        let refused = self.engine.store().all_refused(ORG, RefusedFilter::default(), ALL).await.unwrap();
        refused.items.into_iter().map(|one| (one.reason, one.explanation)).collect()
    }

    /// What was found out first about the last refused request.
    async fn finding(&self) -> String {
        self.engine.run_until_idle().await;
        let refused = self.engine.store().all_refused(ORG, RefusedFilter::default(), ALL).await.unwrap();
        refused.items[0].detail["findings"][0]["explanation"].as_str().unwrap_or_default().to_owned()
    }

    fn fetches(&self) -> Fetches {
        self.engine.key_fetches().get("github").copied().unwrap_or_default()
    }
}

#[tokio::test]
async fn a_certificate_is_fetched_once_with_its_issuers_and_kept() {
    let (provider, rig) = sns().await;
    rig.accepts(notification(&provider, "m-1")).await;
    rig.accepts(notification(&provider, "m-2")).await;
    assert_eq!((provider.asked(CERTIFICATE), provider.asked("/issuer.cer")), (1, 1));
    let events = rig.engine.store().events(ORG, EventFilter::default(), ALL).await.unwrap().items;
    let verdict = &events[0].verdict;
    assert_eq!((&verdict["proof"], &verdict["key_version"]), (&json!("verified"), &Value::Null));
    let forged = message("Notification", "m-3", &[("SigningCertURL", provider.url(CERTIFICATE))], |body| {
        body["Message"] = json!("another");
    });
    rig.refuses(forged, Refusal::SignatureMismatch).await;
    assert_eq!(rig.fetches(), Fetches { found: 1, ..Fetches::default() });
}

#[tokio::test]
async fn what_comes_at_once_waits_for_one_fetch() {
    let (provider, rig) = sns().await;
    let accepted = |id: &'static str| rig.accepts(notification(&provider, id));
    tokio::join!(accepted("m-1"), accepted("m-2"), accepted("m-3"), accepted("m-4"), accepted("m-5"));
    assert_eq!(provider.asked(CERTIFICATE), 1);
}

#[tokio::test]
async fn a_url_elsewhere_is_refused_and_never_asked() {
    let (provider, rig) = sns().await;
    let port = provider.url("").rsplit(':').next().unwrap().to_owned();
    for url in [
        format!("https://127.0.0.2:{port}{CERTIFICATE}"),
        provider.url(CERTIFICATE).replace("https://", "http://"),
        provider.url("/SimpleNotificationService-/../x.pem"),
        provider.url(&format!("{CERTIFICATE}?x")),
        format!("https://evil.test@127.0.0.1:{port}{CERTIFICATE}"),
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem".to_owned(),
        String::new(),
    ] {
        let with = if url.is_empty() { Refusal::UrlMissing } else { Refusal::UrlRefused };
        rig.refuses(message("Notification", "m-1", &[("SigningCertURL", url)], |_| {}), with).await;
    }
    assert_eq!(provider.connections(), 0);
    let reasons = rig.reasons().await;
    let (reason, sentence) = reasons.get(1).unwrap();
    assert_eq!(
        (reason.as_str(), sentence.contains("none that the scheme allows")),
        ("url-refused", true),
        "{sentence}"
    );
    // Nor is anything asked for a request that nothing could prove.
    let unsigned = message("Notification", "m-1", &[("SigningCertURL", provider.url(CERTIFICATE))], |body| {
        body.as_object_mut().unwrap().remove("Signature");
    });
    rig.refuses(unsigned, Refusal::SignatureMissing).await;
    assert_eq!(provider.connections(), 0);
}

#[tokio::test]
async fn a_message_of_another_topic_is_refused_though_it_is_rightly_signed() {
    let (provider, rig) = sns().await;
    let members = [("SigningCertURL", provider.url(CERTIFICATE)), ("TopicArn", TOPIC.replace("orders", "theirs"))];
    rig.refuses(message("Notification", "m-1", &members, |_| {}), Refusal::PartMismatch).await;
    // The doctor knows the key that was fetched.
    let finding = rig.finding().await;
    assert!(finding.contains("made for another one, at json:/TopicArn"), "{finding}");
    let cut = message("Notification", "m-2", &[("SigningCertURL", provider.url(CERTIFICATE))], |body| {
        body["Message"] = json!("another");
    });
    rig.refuses(cut, Refusal::SignatureMismatch).await;
    let finding = rig.finding().await;
    assert!(!finding.contains("no live secret"), "{finding}");
}

#[tokio::test]
async fn a_certificate_that_is_not_the_providers_is_refused() {
    let (provider, rig) = sns().await;
    let cases: [(&str, &[u8], &str); 2] =
        [("other", include_bytes!("keys/other.pem"), "none of"), ("own", include_bytes!("keys/own.pem"), "")];
    for (name, certificate, why) in cases {
        let path = format!("/SimpleNotificationService-{name}.pem");
        let mut page = provider.certificate(certificate);
        if name == "other" {
            // Its issuer's comes along.
            page.extend_from_slice(include_bytes!("keys/issuer.pem"));
        }
        provider.put(&path, (200, "", if name == "own" { certificate.to_vec() } else { page }));
        let request = message("Notification", "m-1", &[("SigningCertURL", provider.url(&path))], |_| {});
        rig.refuses(request, Refusal::KeyRefused).await;
        let (reason, sentence) = rig.reasons().await.remove(0);
        assert_eq!((reason.as_str(), sentence.contains(why)), ("key-refused", true), "{sentence}");
    }
    let absent = provider.url("/SimpleNotificationService-nowhere.pem");
    let request = || message("Notification", "m-1", &[("SigningCertURL", absent.clone())], |_| {});
    rig.refuses(request(), Refusal::KeyUnknown).await;
    rig.refuses(request(), Refusal::KeyUnknown).await;
    assert_eq!(provider.asked("/SimpleNotificationService-nowhere.pem"), 1);
}

#[tokio::test]
async fn a_certificate_ends_though_it_is_kept() {
    let (provider, rig) = sns().await;
    let path = "/SimpleNotificationService-ending.pem";
    let ending = provider.certificate(include_bytes!("keys/ending.pem"));
    provider.put(path, (200, "cache-control: max-age=86400\r\n", ending));
    let request = |id: &str| message("Notification", id, &[("SigningCertURL", provider.url(path))], |_| {});
    rig.accepts(request("m-1")).await;
    // It ends at midnight, an hour and 46 minutes after the clock begins.
    rig.clock.advance(Duration::from_secs(106 * 60));
    rig.accepts(request("m-2")).await;
    rig.clock.advance(Duration::from_secs(2 * 60));
    rig.refuses(request("m-3"), Refusal::KeyRefused).await;
    assert_eq!(provider.asked(path), 1);
    let (_, sentence) = rig.reasons().await.remove(0);
    assert!(sentence.contains("expired"), "{sentence}");
    rig.refuses(request("m-3"), Refusal::KeyRefused).await;
}

#[tokio::test]
async fn a_provider_that_is_down_is_nobodys_fault_and_is_asked_again_soon() {
    let (provider, rig) = sns().await;
    provider.go_down(true);
    rig.cannot_tell(notification(&provider, "m-1")).await;
    let connections = provider.connections();
    rig.cannot_tell(notification(&provider, "m-1")).await;
    assert_eq!(provider.connections(), connections, "not again at once");
    let failing = rig.engine.failing_keys();
    assert_eq!((failing.len(), failing[0].source.as_str()), (1, "github"));
    assert_eq!(failing[0].url, provider.url(CERTIFICATE));
    let (reason, sentence) = rig.reasons().await.remove(0);
    assert_eq!(reason, KEY_UNAVAILABLE);
    assert!(sentence.starts_with("what decides cannot be fetched from the provider: "), "{sentence}");
    provider.go_down(false);
    rig.cannot_tell(notification(&provider, "m-1")).await;
    rig.clock.advance(FAILED_PAUSE);
    rig.accepts(notification(&provider, "m-1")).await;
    assert_eq!(rig.engine.failing_keys(), []);
    assert_eq!(rig.fetches(), Fetches { found: 1, failed: 1, held_back: 0 });
}

#[tokio::test]
async fn what_was_fetched_counts_for_its_time_and_a_little_longer_while_nothing_newer_is_to_be_had() {
    let (provider, rig) = sns().await;
    provider.put(CERTIFICATE, (200, "cache-control: max-age=1\r\n", provider.certificate(GOOD)));
    rig.accepts(notification(&provider, "m-1")).await;
    rig.clock.advance(FRESH_MIN - SECOND);
    rig.accepts(notification(&provider, "m-2")).await;
    assert_eq!(provider.asked(CERTIFICATE), 1, "however little its server says");
    rig.clock.advance(SECOND);
    provider.put(CERTIFICATE, (200, "cache-control: max-age=31536000\r\n", provider.certificate(GOOD)));
    rig.accepts(notification(&provider, "m-3")).await;
    assert_eq!(provider.asked(CERTIFICATE), 2);
    rig.clock.advance(FRESH_MAX - SECOND);
    rig.accepts(notification(&provider, "m-4")).await;
    assert_eq!(provider.asked(CERTIFICATE), 2);
    provider.go_down(true);
    rig.clock.advance(SECOND);
    rig.accepts(notification(&provider, "m-5")).await;
    assert_eq!(rig.engine.failing_keys().len(), 1, "operators are told");
    rig.clock.advance(STALE_MAX - SECOND);
    rig.accepts(notification(&provider, "m-6")).await;
    rig.clock.advance(SECOND);
    rig.cannot_tell(notification(&provider, "m-7")).await;
    // What its provider takes back is no key, whatever was kept.
    provider.go_down(false);
    rig.clock.advance(FAILED_PAUSE);
    rig.accepts(notification(&provider, "m-8")).await;
    rig.clock.advance(FRESH_MAX);
    provider.put(CERTIFICATE, (404, "", vec![]));
    rig.refuses(notification(&provider, "m-9"), Refusal::KeyUnknown).await;
}

#[tokio::test]
async fn an_answer_has_bounds_and_no_redirect_is_followed() {
    let (provider, rig) = sns().await;
    let mut page = provider.certificate(GOOD);
    page.resize(DOCUMENT_MAX, b'\n');
    let path = |n: usize| format!("/SimpleNotificationService-{n}.pem");
    let request = |n: usize| message("Notification", "m-1", &[("SigningCertURL", provider.url(&path(n)))], |_| {});
    provider.put(&path(11), (200, "", page.clone()));
    rig.accepts(request(11)).await;
    page.push(b'\n');
    provider.put(&path(12), (200, "", page));
    rig.cannot_tell(request(12)).await;
    provider.put(&path(13), (302, "location: /elsewhere\r\n", vec![]));
    rig.cannot_tell(request(13)).await;
    assert_eq!(provider.asked("/elsewhere"), 0);
    provider.put(&path(14), (200, "", b"no certificate".to_vec()));
    rig.cannot_tell(request(14)).await;
}

#[tokio::test]
async fn strangers_who_name_certificates_make_us_ask_no_oftener_than_said() {
    let (provider, rig) = sns().await;
    rig.accepts(notification(&provider, "m-1")).await;
    let named = |n: usize| provider.url(&format!("/SimpleNotificationService-stranger{n}.pem"));
    for n in 0..200 {
        let request = message("Notification", "m-2", &[("SigningCertURL", named(n))], |_| {});
        assert!(matches!(rig.send(request).await, Receipt::Refused(Refusal::KeyUnknown) | Receipt::Undecided));
    }
    // The first one was the honest one's, and its issuer's is part of it.
    let most = usize::try_from(FETCHES.burst).unwrap() + 1;
    assert_eq!(provider.asked_at_all(), most);
    assert_eq!(rig.fetches().held_back, 200 + 1 - u64::from(FETCHES.burst));
    // Whoever was known before goes on, and is asked for anew.
    rig.accepts(notification(&provider, "m-3")).await;
    rig.clock.advance(FRESH_MAX);
    for n in 200..400 {
        rig.send(message("Notification", "m-4", &[("SigningCertURL", named(n))], |_| {})).await;
    }
    rig.accepts(notification(&provider, "m-5")).await;
    assert_eq!(provider.asked(CERTIFICATE), 2);
}

#[tokio::test]
async fn a_new_key_of_a_set_is_fetched_once_it_is_named() {
    let (provider, rig) = pubsub(&["k1"]).await;
    assert!(matches!(rig.pushed("k1", "p-1").await, Receipt::Accepted(_)));
    provider.put(SET, (200, "", set(&["k1", "k2"])));
    rig.clock.advance(AGAIN_AFTER);
    assert!(matches!(rig.pushed("k2", "p-2").await, Receipt::Accepted(_)));
    assert!(matches!(rig.pushed("k2", "p-3").await, Receipt::Accepted(_)));
    assert!(matches!(rig.pushed("k1", "p-4").await, Receipt::Accepted(_)));
    assert_eq!(provider.asked(SET), 2);
    // One that is not there: asked for once more, and then believed for a while.
    rig.clock.advance(AGAIN_AFTER);
    for _ in 0..3 {
        assert!(matches!(rig.pushed("k3", "p-5").await, Receipt::Refused(Refusal::KeyUnknown)));
    }
    assert_eq!(provider.asked(SET), 3);
}

#[tokio::test]
async fn strangers_who_name_keys_make_us_ask_no_oftener_than_said() {
    let (provider, rig) = pubsub(&["k1"]).await;
    for n in 0..120 {
        assert!(matches!(rig.pushed(&format!("stranger-{n}"), "p-1").await, Receipt::Refused(Refusal::KeyUnknown)));
        rig.clock.advance(SECOND);
    }
    assert_eq!(provider.asked(SET), 4, "every half minute");
    assert!(matches!(rig.pushed("k1", "p-2").await, Receipt::Accepted(_)));
    // Nor while the provider is down.
    provider.go_down(true);
    let connections = provider.connections();
    rig.clock.advance(AGAIN_AFTER);
    for n in 0..60 {
        assert!(matches!(rig.pushed(&format!("stranger-{n}"), "p-3").await, Receipt::Undecided));
        assert!(matches!(rig.pushed("k1", &format!("q-{n}")).await, Receipt::Accepted(_)));
        rig.clock.advance(SECOND);
    }
    assert_eq!(provider.connections() - connections, 12, "every five seconds");
}

#[tokio::test]
async fn a_source_with_a_secret_of_its_own_fetches_nothing() {
    let provider = Provider::start().await;
    let pinned = Secret::new(GOOD).unwrap();
    let rig = rig(provider.sns(), &[("topic_arn", TOPIC)], Some(pinned)).await;
    rig.accepts(notification(&provider, "m-1")).await;
    assert_eq!(provider.connections(), 0);
}

#[tokio::test]
async fn a_subscription_of_the_registered_topic_is_confirmed_and_no_other() {
    let (provider, rig) = sns().await;
    let visit = "/?Action=ConfirmSubscription&Token=t1";
    let members = |visit: String, topic: &str| {
        [
            ("SigningCertURL", provider.url(CERTIFICATE)),
            ("SubscribeURL", visit),
            ("Token", "t1".to_owned()),
            ("TopicArn", topic.to_owned()),
        ]
    };
    let asks = |kind: &str, visit: String, topic: &str| message(kind, "c-1", &members(visit, topic), |_| {});
    let theirs = TOPIC.replace("orders", "theirs");
    rig.refuses(asks("SubscriptionConfirmation", provider.url(visit), &theirs), Refusal::PartMismatch).await;
    let forged = message("SubscriptionConfirmation", "c-1", &members(provider.url("/"), TOPIC), |body| {
        body["SubscribeURL"] = json!(provider.url(visit));
    });
    rig.refuses(forged, Refusal::SignatureMismatch).await;
    let elsewhere = "https://127.0.0.2/?Action=ConfirmSubscription".to_owned();
    rig.refuses(asks("SubscriptionConfirmation", elsewhere, TOPIC), Refusal::UrlRefused).await;
    rig.cannot_tell(asks("SubscriptionConfirmation", provider.url("/?Action=Nothing"), TOPIC)).await;
    assert_eq!(provider.asked(visit), 0);
    provider.put(visit, (200, "", b"<ConfirmSubscriptionResponse/>".to_vec()));
    let receipt = rig.send(asks("SubscriptionConfirmation", provider.url(visit), TOPIC)).await;
    assert!(matches!(&receipt, Receipt::Answered(handshake) if handshake.body.is_empty()), "{receipt:?}");
    assert_eq!(provider.asked(visit), 1);
    assert_eq!(rig.event_counts().await, (0, 0));
    assert!(rig.audit().await.contains(&"webhook.handshake".to_owned()));
    // Who leaves is not called back.
    rig.accepts(asks("UnsubscribeConfirmation", provider.url(visit), TOPIC)).await;
    assert_eq!(provider.asked(visit), 1);
}
