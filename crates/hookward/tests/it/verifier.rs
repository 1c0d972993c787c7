//! The verifier: what it refuses to be made of, tolerance, origin, and what tells two requests apart.

use std::time::Duration;

use hookward::{Draft, Message, Scheme, SecretError, UnixTime, Verifier, VerifierError, catalog};

use crate::support::{generated, plain_names, scheme};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

fn draft<'a>(id: &'a str, body: &'a [u8]) -> Draft<'a> {
    Draft { id, event_type: "", method: "POST", url: "https://example.com/hook", body }
}

#[test]
fn every_scheme_of_the_catalog_verifies_what_it_signs() {
    for name in plain_names() {
        let Ok(secret) = std::panic::catch_unwind(|| generated(scheme(name), 7)) else { continue };
        let verifier = Verifier::new(name, [&secret]).unwrap();
        let signed = verifier.sign(&draft("one", b"{}"), NOW).unwrap_or_else(|error| panic!("{name}: {error}"));
        let query: Vec<_> = signed.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let url = format!("https://example.com/hook?{}", query.join("&"));
        let url = if signed.query.is_empty() { "https://example.com/hook" } else { &url };
        let request = Message { method: "POST", url, headers: &signed.headers, body: b"{}" };
        let verified = verifier.verify(&request, NOW).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!((verified.scheme(), verified.key_version()), (name, 1));
    }
}

#[test]
fn it_is_not_made_of_less_than_it_needs() {
    let none: [&str; 0] = [];
    assert_eq!(Verifier::new("github", none).unwrap_err().to_string(), "scheme `github` needs a secret");
    let unknown = Verifier::new("gihtub", ["x"]).unwrap_err();
    assert_eq!(unknown.to_string(), "no scheme is called `gihtub`; did you mean `github`?");
    assert_eq!(Verifier::new("quite another", ["x"]).unwrap_err().to_string(), "no scheme is called `quite another`");
    let blank = Verifier::new("github", ["fine", " "]).unwrap_err();
    let expected = VerifierError::Secret { scheme: "github".into(), index: 1, error: SecretError::Empty };
    assert_eq!(blank, expected);
    assert!(blank.to_string().starts_with("secret 2 of scheme `github`: "), "{blank}");
}

#[test]
fn what_it_shows_of_itself_is_no_secret() {
    let shown = format!("{:?}", Verifier::new("github", ["hunter2"]).unwrap());
    assert_eq!(shown, "Verifier { scheme: \"github\", keys: 1, origin: None }");
}

#[test]
fn a_tolerance_is_kept_to_the_second_on_both_sides_and_by_every_proof() {
    for name in ["stripe", "svix", "standard-webhooks-ed25519"] {
        let secret = generated(scheme(name), 3);
        let verifier = Verifier::new(name, [&secret]).unwrap().with_tolerance(Duration::from_secs(10));
        assert_eq!(verifier.scheme().tolerance(), Some(Duration::from_secs(10)));
        let signed = verifier.sign(&draft("a", b"{}"), NOW).unwrap();
        let request = Message { method: "POST", url: "/", headers: &signed.headers, body: b"{}" };
        let at = |secs: i64| {
            verifier.verify(&request, UnixTime::from_secs(1_700_000_000 + secs)).map_err(|refusal| refusal.id())
        };
        assert!(at(10).is_ok() && at(-10).is_ok(), "{name}");
        assert_eq!(at(11).unwrap_err(), "timestamp-too-old");
        assert_eq!(at(-11).unwrap_err(), "timestamp-too-new");
    }
    let github = Verifier::new("github", ["x"]).unwrap().with_tolerance(Duration::ZERO);
    assert_eq!(github.scheme().tolerance(), None);
}

#[test]
fn a_path_is_completed_by_the_origin_and_an_absolute_url_is_not_touched() {
    let twilio = Verifier::new("twilio", ["token"]).unwrap();
    let signed = twilio.sign(&draft("", b"a=1"), NOW).unwrap();
    let request = |url| Message { method: "POST", url, headers: &signed.headers, body: b"a=1" };
    assert_eq!(twilio.verify(&request("/hook"), NOW).unwrap_err().id(), "url-not-absolute");

    let here = twilio.clone().with_origin("https://example.com").unwrap();
    assert!(here.verify(&request("/hook"), NOW).is_ok());
    assert!(here.verify(&request("https://example.com/hook"), NOW).is_ok());
    assert_eq!(here.verify(&request("https://example.org/hook"), NOW).unwrap_err().id(), "signature-mismatch");
    assert_eq!(here.verify(&request("/hook?x"), NOW).unwrap_err().id(), "signature-mismatch");

    for wrong in
        ["example.com", "https://", "https://example.com/", "https://a@b", "ftp://a", "https://a b", "https://a?b", ""]
    {
        assert!(twilio.clone().with_origin(wrong).is_err(), "{wrong}");
    }
}

/// The id where it is bound, else the body where bodies are unique, else the id as it came.
#[test]
fn two_requests_are_told_apart_by_what_the_proof_covers() {
    let key = |verifier: &Verifier, id: &str, body: &[u8]| {
        let signed = verifier.sign(&draft(id, body), NOW).unwrap();
        let request = Message { method: "POST", url: "https://example.com/hook", headers: &signed.headers, body };
        verifier.replay_key(&verifier.verify(&request, NOW).unwrap(), body)
    };
    let svix = Verifier::new("svix", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
    assert_eq!(key(&svix, "a", b"1"), key(&svix, "a", b"2"));
    assert_ne!(key(&svix, "a", b"1"), key(&svix, "b", b"1"));

    let github = Verifier::new("github", ["x"]).unwrap();
    assert_eq!(key(&github, "a", b"1"), key(&github, "b", b"1"));
    assert_ne!(key(&github, "a", b"1"), key(&github, "a", b"2"));

    let plain = catalog::source("github").unwrap().replace("body_is_unique = true", "");
    let plain = Verifier::of(Scheme::from_toml(&plain).unwrap(), ["x"]).unwrap();
    assert_eq!(key(&plain, "a", b"1"), key(&plain, "a", b"2"));
    assert_eq!(key(&plain, "", b"1"), None);
}
