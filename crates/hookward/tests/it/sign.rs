//! Tests of signing: what is signed verifies, under every scheme, and a list carries a signature for every key.

use hookward::{Draft, Key, Refusal, Scheme, SignError, Signed, UnixTime, catalog};
use proptest::prelude::*;

use crate::support::{Request, generated, key, keys, plain_names, scheme};

const NOW: UnixTime = UnixTime::from_millis(1_700_000_000_123);

fn draft<'a>(id: &'a str, body: &'a [u8]) -> Draft<'a> {
    Draft { id, event_type: "push", method: "POST", url: "https://example.com/hook?x=1", body }
}

fn request(draft: &Draft<'_>, signed: &Signed) -> Request {
    let query: String = signed.query.iter().map(|(name, value)| format!("&{name}={value}")).collect();
    Request {
        method: draft.method.into(),
        url: format!("{}{query}", draft.url),
        headers: signed.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect(),
        body: draft.body.to_vec(),
    }
}

fn generated_keys(scheme: &Scheme, count: u8) -> Vec<Key> {
    (0..count).map(|n| key(scheme, u32::from(count - n), &generated(scheme, 100 + n))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_signed_verifies(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).boxed(),
            "[a-zA-Z0-9&=+%]{0,80}".prop_map(String::into_bytes).boxed(),
            Just(br#"{"id":"evt_9","type":"a.b","event_id":"E","event":{"type":"c"}}"#.to_vec()).boxed(),
        ],
        // Without what stands after an id in some content.
        id in "[!-\\-/-:<-~]{1,40}",
        millis in 0_i64..4_000_000_000_000,
        count in 1_u8..6,
        name in proptest::sample::select(plain_names().collect::<Vec<_>>()),
    ) {
        let scheme = scheme(name);
        // What anybody can have signed as a challenge is no event.
        let answers_anybody = catalog::source(name).unwrap().contains("{hmac:") && !catalog::source(name).unwrap().contains("signed = true");
        prop_assume!(!answers_anybody || body.iter().any(|byte| !byte.is_ascii_alphanumeric() && !b"-._~+/=".contains(byte)));
        let now = UnixTime::from_millis(millis);
        let keys = generated_keys(scheme, count);
        let draft = draft(&id, &body);
        let signed = scheme.sign(&draft, &keys, now).unwrap();
        prop_assert_eq!(signed.signed_by[0], u32::from(count));
        let request = request(&draft, &signed);
        let verified = request.verify(scheme, &keys, now).unwrap();
        prop_assert_eq!(verified.key_version(), u32::from(count));
        if let Some(time) = verified.timestamp() {
            prop_assert!(time <= now && now.as_millis() - time.as_millis() < 1000);
        }
        if verified.binds().id && signed.headers.iter().any(|(_, value)| *value == id) {
            prop_assert_eq!(verified.id(), Some(id.as_str()));
        }
        for version in &signed.signed_by {
            let one: Vec<Key> = keys.iter().filter(|key| key.version() == *version).cloned().collect();
            prop_assert_eq!(request.verify(scheme, &one, now).unwrap().key_version(), *version);
        }
        let stranger = [key(scheme, 9, &generated(scheme, 7))];
        prop_assert!(request.verify(scheme, &stranger, now).is_err());
    }
}

#[test]
fn a_list_carries_every_key_newest_first_and_a_single_header_the_newest() {
    for name in plain_names() {
        let keys = generated_keys(scheme(name), 3);
        let signed = scheme(name).sign(&draft("id", b"{}"), &keys, NOW).unwrap();
        let list = catalog::source(name).unwrap().contains("separator");
        assert_eq!(signed.signed_by, if list { vec![3, 2, 1] } else { vec![3] }, "{name}");
    }
}

#[test]
fn the_headers_are_those_that_the_providers_document() {
    let shown = |name: &str, secret: &str, body: &str| {
        let signed = scheme(name).sign(&draft("msg_1", body.as_bytes()), &keys(scheme(name), &[secret]), NOW).unwrap();
        let lines: Vec<String> = signed.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        lines.join("\n")
    };
    // The digests are those of the vector files' requests, or were computed with the Python standard library.
    assert_eq!(
        shown("github", "It's a Secret to Everybody", "Hello, World!"),
        "X-GitHub-Delivery: msg_1\nX-GitHub-Event: push\n\
         X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    );
    assert_eq!(shown("bearer", "s3cret", ""), "Authorization: Bearer s3cret");
    assert_eq!(shown("basic", "Aladdin:open sesame", ""), "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    assert_eq!(shown("gitlab", "plain", "{}"), "Idempotency-Key: msg_1\nX-Gitlab-Token: plain\nX-Gitlab-Event: push");
    assert!(shown("stripe", "whsec_x", "{}").starts_with("Stripe-Signature: t=1700000000,v1="));
    assert!(
        shown("qflow", "c2l4dGVlbg==", "{}").starts_with("Qflow-Request-Id: msg_1\nQflow-TimeStamp: 1700000000123\n")
    );
}

#[test]
fn the_published_signature_is_made_again() {
    let body = br#"{"test": 2432232314}"#;
    let draft = draft("msg_p5jXN8AQM9LWM0D4loKWxJek", body);
    let now = UnixTime::from_secs(1_614_265_330);
    let value = |name: &str, secret: &str| {
        let signed = scheme(name).sign(&draft, &keys(scheme(name), &[secret]), now).unwrap();
        signed.headers.into_iter().find(|(name, _)| name.ends_with("signature")).unwrap().1
    };
    let hmac = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(value("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), hmac);
    assert_eq!(value("svix", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), hmac);
    assert_eq!(
        value(
            "standard-webhooks-ed25519",
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
        ),
        "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
    );
}

#[test]
fn both_kinds_of_gitlab_key_are_used_side_by_side() {
    let gitlab = scheme("gitlab");
    let keys = keys(gitlab, &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "plain"]);
    let draft = draft("id", b"{}");
    let signed = gitlab.sign(&draft, &keys, NOW).unwrap();
    assert_eq!(signed.signed_by, [2, 1]);
    let names: Vec<&str> = signed.headers.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["webhook-id", "webhook-timestamp", "X-Gitlab-Event", "webhook-signature", "Idempotency-Key", "X-Gitlab-Token"];
    assert_eq!(names, expected);
    for key in keys {
        assert!(request(&draft, &signed).verify(gitlab, &[key], NOW).is_ok());
    }
}

#[test]
fn a_draft_that_could_not_be_verified_is_not_signed() {
    let attempt = |name: &str, draft: Draft<'_>, now: UnixTime| {
        scheme(name).sign(&draft, &generated_keys(scheme(name), 1), now).map(|_| ())
    };
    let plain = draft("id", b"{}");
    for id in ["", "a.b", "line\nfeed", " padded", "é"] {
        assert_eq!(attempt("standard-webhooks", Draft { id, ..plain }, NOW), Err(SignError::BadId), "{id:?}");
    }
    assert_eq!(attempt("github", Draft { id: "a.b", ..plain }, NOW), Ok(()));
    assert_eq!(attempt("github", Draft { id: "a\r\nX: y", ..plain }, NOW), Err(SignError::BadId));
    assert_eq!(attempt("github", Draft { event_type: "a\nb", ..plain }, NOW), Err(SignError::BadEventType));
    assert_eq!(attempt("twilio", Draft { url: "/hook", ..plain }, NOW), Err(SignError::UrlNotAbsolute));
    assert_eq!(attempt("slack", plain, UnixTime::from_millis(-1)), Err(SignError::BeforeEpoch));
    assert_eq!(attempt("github", plain, UnixTime::from_millis(-1)), Ok(()));
}

#[test]
fn a_public_key_and_another_schemes_key_sign_nothing() {
    let ed25519 = scheme("standard-webhooks-ed25519");
    let public = keys(ed25519, &["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="]);
    assert_eq!(ed25519.sign(&draft("id", b""), &public, NOW), Err(SignError::OnlyPublicKeys));
    let foreign = keys(scheme("qlens"), &["secret"]);
    assert_eq!(scheme("github").sign(&draft("id", b""), &foreign, NOW), Err(SignError::NoUsableSecret));
    assert_eq!(scheme("github").sign(&draft("id", b""), &[], NOW), Err(SignError::NoUsableSecret));
}

#[test]
fn a_public_key_verifies_what_the_private_one_signed() {
    let ed25519 = scheme("standard-webhooks-ed25519");
    let private = generated(ed25519, 3);
    let seed_and_public = std::str::from_utf8(&private[5..]).unwrap();
    let pair = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, seed_and_public).unwrap();
    let public = format!("whpk_{}", crate::support::base64(&pair[32..]));
    let draft = draft("id", b"{}");
    let signed = ed25519.sign(&draft, &keys(ed25519, &[private]), NOW).unwrap();
    let mut request = request(&draft, &signed);
    assert!(request.verify(ed25519, &keys(ed25519, &[&public]), NOW).is_ok());
    request.body.push(b' ');
    assert_eq!(request.verify(ed25519, &keys(ed25519, &[&public]), NOW).unwrap_err(), Refusal::SignatureMismatch);
}

#[test]
fn a_secret_in_a_header_of_its_own_is_sent_as_it_is_and_made_anew() {
    let scheme = Scheme::of_header("X-Api-Key").unwrap();
    let made = generated(&scheme, 7);
    assert_eq!(made.len(), 64);
    let signed = scheme.sign(&draft("id", b"{}"), &keys(&scheme, &[&made]), NOW).unwrap();
    assert_eq!(signed.headers, [("X-Api-Key".to_owned(), String::from_utf8(made).unwrap())]);
    assert!(scheme.check_new(&hookward::Secret::new("a\nb").unwrap()).is_err());
}

#[test]
fn a_counted_time_in_the_body_is_a_number_unless_a_string_stood_there() {
    let linear = scheme("linear");
    let body = |sent: &'static str| {
        let signed = linear.sign(&draft("id", sent.as_bytes()), &generated_keys(linear, 1), NOW).unwrap();
        String::from_utf8(signed.body.unwrap()).unwrap()
    };
    let millis = NOW.as_millis();
    assert_eq!(body("{\"action\":\"update\"}"), format!("{{\"action\":\"update\",\"webhookTimestamp\":{millis}}}"));
    assert_eq!(body("{\"webhookTimestamp\":\"\"}"), format!("{{\"webhookTimestamp\":\"{millis}\"}}"));
}

#[test]
fn of_proofs_that_exclude_one_another_the_body_chooses() {
    let scheme = scheme("praxis");
    let keys = keys(scheme, &["secret"]);
    let sign = |body: &str| -> Result<Option<String>, SignError> {
        let signed = scheme.sign(&draft("id", body.as_bytes()), &keys, NOW)?;
        let body = signed.body.clone().unwrap();
        let sent = request(&draft("id", &body), &signed);
        let verified = sent.verify(scheme, &keys, NOW).unwrap();
        Ok(verified.event_type().map(str::to_owned))
    };
    let merchant = r#""merchant_id":"m","application_key":"a""#;
    assert_eq!(sign(&format!("{{{merchant},\"event\":\"renewed\"}}")), Ok(Some("renewed".to_owned())));
    assert_eq!(sign(&format!("{{{merchant}}}")), Ok(None));
    let other = br#"{"type":"DELIVERY_STATUS","obj":{}}"#;
    let paymob = catalog::find("paymob").unwrap();
    let refused = paymob.sign(&draft("id", other), &crate::support::keys(paymob, &["secret"]), NOW);
    assert_eq!(refused, Err(SignError::BadPart));
}
