//! Tests of handshakes: what each provider is answered, what is refused, and what is none.

use hookward::{Handshake, MAX_CHALLENGE, Refusal, Scheme, Secret, catalog};
use proptest::prelude::*;

use crate::support::{Answer, HandshakeVector, Request, generated, handshakes, key, keys, plain_names, scheme};

/// What becomes of a request as a handshake: asked with what arrived, and again with the proof if there is one.
pub(crate) fn outcome(name: &str, vector: &HandshakeVector) -> Option<Result<Handshake, Refusal>> {
    let (scheme, request) = (scheme(name), vector.request());
    let keys = keys(scheme, &vector.secrets);
    let token = vector.token.as_ref().map(|token| Secret::new(token.as_str()).unwrap());
    let unproven = scheme.handshake(&request.message(), &keys, token.as_ref(), None);
    unproven.or_else(|| {
        let verified = request.verify(scheme, &keys, vector.now()).ok()?;
        scheme.handshake(&request.message(), &keys, token.as_ref(), Some(&verified))
    })
}

#[test]
fn every_handshake_has_its_answer() {
    let mut wrong = Vec::new();
    for name in catalog::names() {
        for vector in handshakes(name) {
            let found = outcome(name, &vector);
            let answer = found.as_ref().and_then(|found| found.as_ref().ok()).map(|found| Answer {
                content_type: found.content_type.map(str::to_owned),
                headers: found.headers.clone(),
                body: found.body.clone(),
                adopts: found.adopts.as_ref().map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap()),
            });
            let refused = found.as_ref().and_then(|found| found.as_ref().err()).map(|refusal| refusal.id().to_owned());
            let event = found.is_none().then(|| {
                let keys = keys(scheme(name), &vector.secrets);
                match vector.request().verify(scheme(name), &keys, vector.now()) {
                    Ok(_) => "verified".to_owned(),
                    Err(refusal) => refusal.id().to_owned(),
                }
            });
            if (&answer, &refused, &event) != (&vector.answer, &vector.refused, &vector.event) {
                wrong.push(format!("{name}: {}: {found:?} {event:?}", vector.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_scheme_with_a_handshake_has_vectors_of_it() {
    for name in catalog::names() {
        let vectors = handshakes(name);
        // What is to be visited is no part of an answer; `published` has tests of it.
        let text = catalog::source(name).unwrap();
        let has = text.contains("[[handshake]]") && !text.contains("visit = ");
        assert_eq!(vectors.iter().any(|vector| vector.answer.is_some()), has, "{name}");
        assert_eq!(vectors.iter().any(|vector| vector.event.is_some()), has, "{name}");
    }
}

#[test]
fn where_a_handshake_holds_a_secret_is_redacted() {
    assert_eq!(scheme("meta").credential_query(), ["hub.verify_token"]);
    assert_eq!(scheme("asana").credential_headers(), ["X-Hook-Secret"]);
    assert_eq!(scheme("microsoft-graph").credential_query(), ["token"]);
    assert!(scheme("meta").has_handshake_token() && !scheme("x").has_handshake_token());
    let methods = |name: &str| scheme(name).handshake_methods().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(methods("meta"), ["GET"]);
    assert_eq!(methods("asana"), ["POST"]);
    assert!(methods("slack").is_empty(), "it comes signed, like events");
}

#[test]
fn a_mistake_in_a_handshake_is_an_error() {
    let dropbox = catalog::source("dropbox").unwrap();
    let error = |from: &str, to: &str| {
        assert!(dropbox.contains(from), "{from}");
        Scheme::from_toml(&dropbox.replace(from, to)).unwrap_err().message
    };
    let challenge = "challenge = \"query:challenge\"";
    let places = "a handshake reads places of kind header, query, form or json, and `when` also the body";
    assert_eq!(error("query:challenge", "authorization:Bearer"), places);
    assert_eq!(error(challenge, &format!("{challenge}\nwhen = {{ \"signature:a\" = \"b\" }}")), places);
    assert_eq!(error(challenge, "token = \"body\""), places);
    let bare = "a handshake needs a `challenge` or `when`, or the method GET, HEAD or OPTIONS";
    assert_eq!(
        error(&format!("method = \"GET\"\n{challenge}\nanswer = {{ text = \"{{challenge}}\" }}"), "method = \"POST\""),
        bare
    );
    assert_eq!(error(challenge, ""), "the answer names a `challenge`, and the handshake has none");
    assert_eq!(error(challenge, "adopt = true"), "a handshake that does `adopt` needs a `challenge`");
    let signed = "a handshake that is `signed` has no `token` and does not `adopt`";
    assert_eq!(error(challenge, &format!("{challenge}\nsigned = true\nadopt = true")), signed);
    assert_eq!(error(challenge, &format!("{challenge}\nsigned = true\ntoken = \"query:t\"")), signed);
    let one = "a handshake's answer is at most one of `text`, `json` and `header`";
    assert_eq!(error("{ text = ", "{ json = {}, text = "), one);
    assert_eq!(error("\"{challenge}\"", "\"{challenge\""), "unbalanced braces in the answer `{challenge`");
    let unknown = "unknown part `chalenge`, expected one of `challenge`, `hmac:hex`, `hmac:base64`, `sha256:hex`";
    assert_eq!(error("\"{challenge}\"", "\"{chalenge}\""), unknown);
    assert_eq!(error("{ text = ", "{ header = { \"X Y\" = \"\" } } #"), "`X Y` is not the name of a header");
    assert_eq!(error("\"{challenge}\"", "\"a\\n\""), "the answer `a\\n` is not plain text");
    assert!(error("[[handshake]]", "[[handshake]]\nmetod = \"GET\"").contains("unknown field `metod`"));
}

proptest! {
    /// What X is answered proves no event, whatever is asked: a bare text is refused as a body, and nothing else is signed.
    #[test]
    fn no_answer_is_the_signature_of_an_event(challenge in "[ -~]{1,60}|[A-Za-z0-9+/=._~-]{1,60}") {
        let x = scheme("x");
        let keys = [key(x, 1, &generated(x, 1))];
        let escaped: String = challenge.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let mut request = Request::post(&[], "");
        (request.method, request.url) = ("GET".into(), format!("/?crc_token={escaped}"));
        let Some(Ok(answer)) = x.handshake(&request.message(), &keys, None, None) else { return Ok(()) };
        let signature = answer.body.split('"').nth(3).unwrap();
        let forged = Request::post(&[("x-twitter-webhooks-signature", signature)], &challenge);
        let verdict = forged.verify(x, &keys, hookward::UnixTime::from_secs(0)).map(|_| ());
        prop_assert_eq!(verdict, Err(Refusal::BodyIsChallenge));
    }

    #[test]
    fn no_bytes_make_it_panic(
        name in proptest::sample::select(plain_names().collect::<Vec<_>>()),
        query in "\\PC{0,60}|(challenge|crc_token|validationToken|hub.mode|hub.challenge|&|=|%|subscribe|[a-f0-9]){0,20}",
        header in proptest::collection::vec(any::<u8>(), 0..40),
        get in any::<bool>(),
    ) {
        let scheme = scheme(name);
        let keys = [key(scheme, 1, &generated(scheme, 1))];
        let headers = ["X-Hook-Secret", "X-Okta-Verification-Challenge"].map(|name| (name.to_owned(), header.clone()));
        let method = if get { "GET" } else { "POST" };
        let request = Request { method: method.into(), url: format!("/?{query}"), headers: headers.into(), body: vec![] };
        if let Some(Ok(answer)) = scheme.handshake(&request.message(), &keys, None, None) {
            let plain = |text: &str| text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            prop_assert!(plain(&answer.body) && answer.body.len() <= 2 * MAX_CHALLENGE + 200);
            prop_assert!(answer.headers.iter().all(|(_, value)| plain(value)));
        }
    }
}

#[test]
fn a_digest_is_of_the_challenge_the_token_and_the_registered_url() {
    let scheme = scheme("ebay");
    let asked = |scheme: &Scheme, url: &str, token: Option<&str>| {
        let request = Request { method: "GET".into(), url: url.into(), headers: Vec::new(), body: Vec::new() };
        let token = token.map(|token| Secret::new(token).unwrap());
        scheme.handshake(&request.message(), &[], token.as_ref(), None).unwrap().map(|answer| answer.body)
    };
    // Of `codetokenhttps://example.com/hook` and `codetokenhttps://door.example/ebay`, by the Python standard library.
    let called = "2cc2e67c876ddb7c448cca17e0d56053693d074ec75b09bf7dd514201df4d7c7";
    let registered = "108d02c605e59b0bc9af1da55227cc3f64d06a02ee4917a2971172c1b05b2b40";
    let answer = |digest: &str| Ok(format!("{{\"challengeResponse\":\"{digest}\"}}"));
    let url = "https://example.com/hook?challenge_code=code";
    assert_eq!(asked(scheme, url, Some("token")), answer(called));
    let at = scheme.with_parameters(&[("url".to_owned(), "https://door.example/ebay".to_owned())].into()).unwrap();
    assert_eq!(asked(&at, url, Some("token")), answer(registered));
    assert_eq!(asked(scheme, url, None), Err(Refusal::NoUsableSecret));
    assert_eq!(asked(scheme, "/hook?challenge_code=code", Some("token")), Err(Refusal::UrlNotAbsolute));
    assert!(scheme.has_handshake_token());
}
