//! Tests of `published.rs`: which key a request names, where it may be, and what is read there.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookward::explain::{Cause, explain};
use hookward::{
    KeyFormat, KeySetError, MAX_NAMED_URL, MAX_PUBLISHED_KEYS, PUBLISHED, Refusal, Scheme, UnixTime, WantedKey,
};
use serde_json::{Value, json};

use crate::support::{Request, scheme, vectors};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// What each refusal that only published keys have is for.
pub(crate) fn refusals() -> Vec<&'static str> {
    let of = |url: Value| sns(&with_url(url)).unwrap_err();
    let unknown = pushed(&token(&json!({ "alg": "RS256", "kid": "k".repeat(257) })));
    let refused =
        [of(json!("")), of(json!("https://evil.example/x.pem")), wanted("google-pubsub-push", &unknown).unwrap_err()];
    refused.iter().map(Refusal::id).collect()
}

fn wanted(name: &str, request: &Request) -> Result<WantedKey, Refusal> {
    scheme(name).wanted_key(&request.message()).expect("its keys are published")
}

fn sns(body: &Value) -> Result<WantedKey, Refusal> {
    wanted("aws-sns", &Request::post(&[], &body.to_string()))
}

fn with_url(url: Value) -> Value {
    json!({ "Type": "Notification", "SignatureVersion": "2", "Signature": "AAAA", "SigningCertURL": url })
}

fn token(header: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.AAAA", part(header), part(&json!({})))
}

fn pushed(token: &str) -> Request {
    Request::post(&[("Authorization", &format!("Bearer {token}"))], "{}")
}

#[test]
fn a_certificate_is_named_where_its_provider_keeps_them_and_nowhere_else() {
    let found =
        sns(&with_url(json!("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem"))).unwrap();
    assert_eq!((found.format, found.id), (KeyFormat::Certificate, None));
    assert_eq!(found.url, "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b.pem");
    assert!(found.names.contains(&"sns-signing.eu-west-1.amazonaws.com".to_owned()), "{:?}", found.names);
    assert!(sns(&with_url(json!("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem"))).is_ok());
    for url in [
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem?x=1",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem#x",
        "https://sns.eu-west-1.amazonaws.com/x/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1/../x.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-%31.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem",
        "https://sns.evil.example/sns.x.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.a.b.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns..amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.evil.example/.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu-west-1@evil.example/.amazonaws.com/SimpleNotificationService-1.pem",
        "https://s3.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        "HTTPS://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        " https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.eu\u{2024}west.amazonaws.com/SimpleNotificationService-1.pem",
    ] {
        assert_eq!(sns(&with_url(json!(url))).unwrap_err(), Refusal::UrlRefused, "{url}");
    }
    let long = |more: usize| {
        let around = "https://sns.x.amazonaws.com/SimpleNotificationService-.pem".len();
        let filler = "a".repeat(MAX_NAMED_URL - around + more);
        sns(&with_url(json!(format!("https://sns.x.amazonaws.com/SimpleNotificationService-{filler}.pem"))))
    };
    assert!(long(0).is_ok());
    assert_eq!(long(1).unwrap_err(), Refusal::UrlRefused);
    assert_eq!(sns(&with_url(json!(""))).unwrap_err(), Refusal::UrlMissing);
    assert_eq!(sns(&with_url(json!({}))).unwrap_err(), Refusal::UrlMissing);
    let twice = r#"{"Type":"Notification","SignatureVersion":"2","Signature":"AAAA","SigningCertURL":"a","SigningCertURL":"b"}"#;
    assert_eq!(wanted("aws-sns", &Request::post(&[], twice)).unwrap_err(), Refusal::UrlRefused);
}

#[test]
fn what_nothing_could_prove_names_no_key() {
    let mut body = with_url(json!("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"));
    body["SignatureVersion"] = json!("3");
    assert_eq!(sns(&body).unwrap_err(), Refusal::AlgorithmRefused);
    body.as_object_mut().unwrap().remove("Signature");
    assert_eq!(sns(&body).unwrap_err(), Refusal::SignatureMissing);
    assert_eq!(scheme("github").wanted_key(&Request::post(&[], "{}").message()), None);
}

#[test]
fn a_key_of_a_set_is_named_by_the_token_or_beside_it() {
    let google = |header: Value| wanted("google-pubsub-push", &pushed(&token(&header)));
    let found = google(json!({ "alg": "RS256", "kid": "k1" })).unwrap();
    assert_eq!((found.url.as_str(), found.id.as_deref()), ("https://www.googleapis.com/oauth2/v3/certs", Some("k1")));
    assert_eq!((found.format, found.names), (KeyFormat::Jwks, vec![]));
    assert_eq!(google(json!({ "alg": "RS256" })).unwrap().id, None, "every key is tried");
    assert_eq!(google(json!({ "alg": "RS256", "kid": "k".repeat(256) })).unwrap().id.unwrap().len(), 256);
    assert_eq!(google(json!({ "alg": "RS256", "kid": "k".repeat(257) })).unwrap_err(), Refusal::KeyUnknown);
    assert_eq!(wanted("google-pubsub-push", &pushed("no.token")).unwrap_err(), Refusal::SignatureMalformed);
    let headers = [
        ("x-shipengine-rsa-sha256-signature", "AAAA"),
        ("x-shipengine-rsa-sha256-key-id", "k2"),
        ("x-shipengine-timestamp", "x"),
    ];
    assert_eq!(wanted("shipstation-v2", &Request::post(&headers, "{}")).unwrap().id.as_deref(), Some("k2"));
}

#[test]
fn a_url_that_lacks_its_parameter_is_none() {
    let kinde = scheme("kinde");
    let takes: Vec<_> = kinde.takes().into_iter().map(|one| (one.name, one.is_required)).collect();
    assert_eq!((kinde.parameters(), takes), (vec![], vec![("domain", false)]));
    assert!(!kinde.publishes_keys());
    assert_eq!(kinde.wanted_key(&Request::post(&[], &token(&json!({ "alg": "RS256" }))).message()), None);
    let domain = BTreeMap::from([("domain".to_owned(), "ours.kinde.com".to_owned())]);
    let ours = kinde.with_parameters(&domain).unwrap();
    let found = ours.wanted_key(&Request::post(&[], &token(&json!({ "alg": "RS256", "kid": "a" }))).message());
    assert_eq!(found.unwrap().unwrap().url, "https://ours.kinde.com/.well-known/jwks");
}

#[test]
fn a_set_is_read_for_what_the_scheme_verifies_with() {
    let fal = scheme("fal-ai");
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let ed25519 = |kid: &str| json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid });
    let mut for_encryption = ed25519("enc");
    for_encryption["use"] = json!("enc");
    let keys = json!([ed25519("a"), { "kty": "oct", "k": "AAAA", "kid": "b" }, { "kty": "RSA" }, for_encryption, ed25519("c"), 7]);
    let read = |keys: &Value| fal.key_set(KeyFormat::Jwks, json!({ "keys": keys }).to_string().as_bytes());
    let set = read(&keys).unwrap();
    assert_eq!((set.named(None).len(), set.named(Some("a")).len(), set.named(Some("c")).len()), (2, 1, 1));
    assert_eq!(set.named(Some("a"))[0].version(), PUBLISHED);
    for absent in ["b", "enc", "", "d"] {
        assert!(set.named(Some(absent)).is_empty(), "{absent}");
    }
    assert!(set.texts(Some("c"))[0].expose().starts_with(b"{"));
    assert_eq!(read(&json!([])).unwrap_err(), KeySetError::NoUsableKey);
    let many =
        |n: usize| read(&json!((0..n).map(|n| ed25519(&n.to_string())).collect::<Vec<_>>())).unwrap().named(None).len();
    assert_eq!((many(MAX_PUBLISHED_KEYS), many(MAX_PUBLISHED_KEYS + 1)), (MAX_PUBLISHED_KEYS, MAX_PUBLISHED_KEYS));
    for text in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[}"] {
        assert_eq!(fal.key_set(KeyFormat::Jwks, text.as_bytes()).unwrap_err(), KeySetError::Malformed, "{text}");
    }
}

#[test]
fn a_certificate_is_one_and_nothing_else() {
    let public = vectors("aws-sns").remove(0).secrets.remove(0);
    let sns = scheme("aws-sns");
    assert_eq!(sns.key_set(KeyFormat::Certificate, public.as_bytes()).unwrap_err(), KeySetError::Malformed);
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(sns.key_set(KeyFormat::Certificate, broken).unwrap_err(), KeySetError::NoUsableKey);
    assert!(sns.allows_issuer("http://crt.r2m01.amazontrust.com/r2m01.cer"));
    for url in
        ["http://crt.evil.example/r2m01.cer", "http://crt.r2m01.amazontrust.com/../r2m01.cer", "file:///r2m01.cer"]
    {
        assert!(!sns.allows_issuer(url), "{url}");
    }
}

#[test]
fn a_confirmation_names_what_is_to_be_visited() {
    let vector = vectors("aws-sns").into_iter().find(|vector| vector.name == "proof 2: accepted").unwrap();
    let scheme = vector.scheme("aws-sns");
    let key = scheme.key(1, &hookward::Secret::new(vector.secrets[0].as_bytes()).unwrap()).unwrap();
    let request = vector.request();
    let verified = scheme.verify(&request.message(), std::slice::from_ref(&key), vector.now()).unwrap();
    // What that vector has there is no URL.
    let keys = [key];
    let asked = |body: &str| {
        let request = Request::post(&[], body);
        scheme.handshake(&request.message(), &keys, None, Some(&verified)).map(|answer| answer.map(|one| one.visits))
    };
    let body = |kind: &str, url: &str| json!({ "Type": kind, "SubscribeURL": url }).to_string();
    let good = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:x&Token=1";
    assert_eq!(asked(&body("SubscriptionConfirmation", good)), Some(Ok(Some(good.to_owned()))));
    assert_eq!(asked(&body("UnsubscribeConfirmation", good)), None);
    assert_eq!(asked(&body("SubscriptionConfirmation", "")), Some(Err(Refusal::UrlRefused)));
    assert_eq!(asked(r#"{"Type":"SubscriptionConfirmation"}"#), Some(Err(Refusal::UrlMissing)));
    for url in [
        "https://sns.eu-west-1.amazonaws.com/",
        "https://sns.eu-west-1.amazonaws.com/?",
        "https://sns.eu-west-1.amazonaws.com/x?Action=ConfirmSubscription",
        "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://169.254.169.254/?Action=ConfirmSubscription",
        "https://sns.eu-west-1.amazonaws.com/?a#b",
        "https://sns.eu-west-1.amazonaws.com/?a b",
    ] {
        assert_eq!(asked(&body("SubscriptionConfirmation", url)), Some(Err(Refusal::UrlRefused)), "{url}");
    }
}

#[test]
fn what_makes_no_sense_is_an_error_of_the_file() {
    let head = "name = \"x\"\ntitle = \"X\"\n";
    let proof = "[[proof]]\nalgorithm = \"rsa-sha256\"\nsignature = { at = [\"header:S\"], encodings = [\"base64\"] }\ncontent = \"{body}\"\n";
    let hmac = proof.replace("rsa-sha256", "hmac-sha256");
    let good = "[keys]\nformat = \"jwks\"\nurl = [\"https://a.test/jwks\"]\n";
    let read = |keys: &str, proof: &str| Scheme::from_toml(&format!("{head}{keys}{proof}"));
    assert!(read(good, proof).is_ok());
    let certificate = "[keys]\nformat = \"certificate\"\nat = \"header:C\"\nnames = [\"a.test\"]\nurl = [\"https://*.a.test/*.pem\"]\n";
    assert!(read(certificate, proof).is_ok());
    let say = |keys: &str, proof: &str| read(keys, proof).unwrap_err().message;
    assert_eq!(say(good, &hmac), "`[keys]` is for proofs by a public key");
    for (from, to, said) in [
        ("https://a.test/jwks", "http://a.test/jwks", "begin with `https://`"),
        ("https://a.test/jwks", "https://*.test/jwks", "without `keys.at`, `keys.url` is one URL"),
        ("https://a.test/jwks", "https://a.test", "no URL with a host and a path"),
        ("https://a.test/jwks", "https:///jwks", "no URL with a host and a path"),
        ("https://a.test/jwks", "https://u@a.test/jwks", "no URL with a host and a path"),
        ("[\"https://a.test/jwks\"]", "[]", "begin with `https://`"),
        ("\"jwks\"", "\"certificate\"", "a certificate needs `keys.names`"),
        ("url =", "names = [\"a.test\"]\nurl =", "are for a certificate"),
        ("url =", "id = \"body\"\nurl =", "read places of kind"),
        ("url =", "urls =", "unknown field `urls`"),
    ] {
        let message = say(&good.replace(from, to), proof);
        assert!(message.contains(said), "{to}: {message}");
    }
    for star in ["https://*a.test/x.pem", "https://a.test/**.pem", "https://a.test/*-x.pem"] {
        let message = say(&certificate.replace("https://*.a.test/*.pem", star), proof);
        assert!(message.contains("must be followed by a sign"), "{star}: {message}");
    }
    let must = |place: &str| read("", &format!("{proof}must = {{ \"{place}\" = \"{{const:n}}\" }}\n"));
    assert_eq!(must("json:/a").unwrap().parameters(), ["n"]);
    assert!(must("header:A").unwrap_err().message.contains("part of what is signed"));
    let visit = "[[handshake]]\nmethod = \"POST\"\nwhen = { \"json:/t\" = \"x\" }\nvisit = { at = \"json:/u\", url = [\"https://a.test/?*\"] }\n";
    assert!(say("", &format!("{proof}{visit}")).contains("is `signed`"));
    assert!(read("", &format!("{proof}{}", visit.replace("when", "signed = true\nwhen"))).is_ok());
}

#[test]
fn the_doctor_says_what_is_wrong_with_the_key_that_is_named() {
    let request = Request::post(&[], &with_url(json!("https://evil.example/x.pem")).to_string());
    let explanation = explain(scheme("aws-sns"), &request.message(), &[], NOW);
    assert_eq!(explanation.refusal(), Some(Refusal::UrlRefused));
    let finding = explanation.findings().first().unwrap();
    assert_eq!(finding.causes().collect::<Vec<_>>(), [Cause::Malformed]);
    let sentence = finding.to_string();
    assert!(
        sentence.contains("none that the scheme allows") && sentence.contains("at json:/SigningCertURL"),
        "{sentence}"
    );
}
