//! Tests of the verdict: every refusal is reachable, limits and tolerances hold on both sides, and no bytes make it panic.

use std::collections::BTreeSet;

use hookward::{
    Binds, Key, MAX_ASYMMETRIC_SIGNATURES, MAX_FORM_FIELDS, MAX_SIGNATURES, Refusal, Scheme, UnixTime, catalog,
};
use proptest::prelude::*;

use crate::handshake::outcome;
use crate::support::{Request, generated, handshakes, key, keys, plain_names, scheme, vectors};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

/// Refusals, each once, and a match over them: a new variant fails to compile until it is in the list.
macro_rules! every {
    ($($name:ident $({ $field:ident: $value:literal })?),* $(,)?) => {{
        let all = [$(Refusal::$name $({ $field: $value })?),*];
        for refusal in &all {
            match refusal {
                $(Refusal::$name $({ $field: _ })? => {})*
            }
        }
        all
    }};
}

fn all_refusals() -> BTreeSet<&'static str> {
    let all = every![
        NoUsableSecret,
        SignatureMissing,
        SignatureRepeated,
        SignatureMalformed,
        TooManySignatures,
        SignatureMismatch,
        CredentialMissing,
        CredentialRepeated,
        CredentialMalformed,
        CredentialMismatch,
        TimestampMissing,
        TimestampRepeated,
        TimestampMalformed,
        TimestampTooOld { age_s: 1 },
        TimestampTooNew { ahead_s: 1 },
        IdMissing,
        IdRepeated,
        IdMalformed,
        EventTypeRepeated,
        EventTypeMalformed,
        UrlNotAbsolute,
        TooManyFormFields,
        PartMissing,
        PartRepeated,
        PartMalformed,
        ParameterMissing,
        AlgorithmRefused,
        ClaimMissing,
        ClaimMismatch,
        UrlDigestMismatch,
        BodyDigestMissing,
        BodyDigestMismatch,
        PartMismatch,
        UrlMissing,
        UrlRefused,
        KeyUnknown,
        KeyRefused,
        BodyIsChallenge,
        ChallengeMalformed,
    ];
    for refusal in &all {
        assert!(refusal.to_string().starts_with(char::is_lowercase), "{refusal}");
    }
    all.iter().map(Refusal::id).collect()
}

#[test]
fn every_refusal_is_reachable() {
    let mut reached: BTreeSet<&str> = BTreeSet::new();
    for name in catalog::names() {
        for vector in vectors(name) {
            let keys = keys(scheme(name), &vector.secrets);
            let judged = |scheme: &Scheme| vector.request().verify(scheme, &keys, vector.now()).err();
            reached.extend(judged(scheme(name)).map(|refusal| refusal.id()));
            reached.extend(judged(&vector.scheme(name)).map(|refusal| refusal.id()));
        }
    }
    for name in catalog::names() {
        let refused = handshakes(name).into_iter().filter_map(|vector| outcome(name, &vector)?.err());
        reached.extend(refused.map(|refusal| refusal.id()));
    }
    reached.extend(form_of(MAX_FORM_FIELDS + 1).err().map(|refusal| refusal.id()));
    reached.extend(Request::post(&[], "").verify(scheme("github"), &[], NOW).err().map(|refusal| refusal.id()));
    reached.extend(crate::language::refusals());
    reached.extend(crate::published::refusals());
    // That is for whoever fetches a certificate to say; the gateway's tests do.
    reached.insert(Refusal::KeyRefused.id());
    assert_eq!(reached, all_refusals());
}

#[test]
fn a_refusal_for_time_says_by_how_much() {
    let message = Refusal::TimestampTooOld { age_s: 412 }.to_string();
    assert_eq!(message, "the request was signed 412 s ago, which is too old");
    let vector = vectors("stripe").into_iter().find(|vector| vector.name == "301 s old").unwrap();
    let keys = keys(scheme("stripe"), &vector.secrets);
    let refusal = vector.request().verify(scheme("stripe"), &keys, vector.now()).unwrap_err();
    assert_eq!(refusal, Refusal::TimestampTooOld { age_s: 301 });
}

#[test]
fn keys_of_another_scheme_or_none_verify_nothing() {
    let vector = vectors("github").into_iter().find(|vector| vector.verified.is_some()).unwrap();
    let foreign = keys(scheme("qlens"), &vector.secrets);
    assert_eq!(vector.request().verify(scheme("github"), &foreign, NOW).unwrap_err(), Refusal::NoUsableSecret);
    assert_eq!(vector.request().verify(scheme("github"), &[], NOW).unwrap_err(), Refusal::NoUsableSecret);
}

#[test]
fn a_verdict_says_what_it_binds() {
    let binds = |name: &str| {
        let vector = vectors(name).into_iter().find(|vector| vector.verified.as_ref().is_some_and(|v| v.id.is_some()));
        let vector = vector.or_else(|| vectors(name).into_iter().find(|vector| vector.verified.is_some())).unwrap();
        vector.request().verify(scheme(name), &keys(scheme(name), &vector.secrets), vector.now()).unwrap().binds()
    };
    assert_eq!(binds("github"), Binds { body: true, unique: true, ..Binds::default() });
    assert_eq!(binds("stripe"), Binds { body: true, time: true, id: true, unique: true, ..Binds::default() });
    assert_eq!(
        binds("standard-webhooks"),
        Binds { body: true, time: true, id: true, unique: true, ..Binds::default() }
    );
    assert_eq!(binds("twilio"), Binds { body: true, url: true, ..Binds::default() });
    assert_eq!(binds("bearer"), Binds::default());
    assert_eq!(binds("gitlab-token"), Binds::default());
}

#[test]
fn the_number_of_signatures_is_limited() {
    let github = include_str!("../../schemes/github.toml");
    let list = Scheme::from_toml(&github.replace("prefix = ", "separator = \",\", prefix = ")).unwrap();
    let repeats = Scheme::from_toml(&github.replace("prefix = ", "repeats = true, prefix = ")).unwrap();
    let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let wrong = format!("sha256={}", "0".repeat(64));
    for (count, fits) in [(MAX_SIGNATURES, true), (MAX_SIGNATURES + 1, false)] {
        let values: Vec<&str> = (1..count).map(|_| wrong.as_str()).chain([good]).collect();
        let joined = Request::post(&[("X-Hub-Signature-256", &values.join(","))], "Hello, World!");
        let headers: Vec<(&str, &str)> = values.iter().map(|value| ("X-Hub-Signature-256", *value)).collect();
        for (request, scheme) in [(joined, &list), (Request::post(&headers, "Hello, World!"), &repeats)] {
            let answer = request.verify(scheme, &keys(scheme, &["It's a Secret to Everybody"]), NOW);
            assert_eq!(answer.err(), (!fits).then_some(Refusal::TooManySignatures));
        }
    }
}

#[test]
fn asymmetric_signatures_are_limited_more_tightly() {
    let ed25519 = scheme("standard-webhooks-ed25519");
    let valid = vectors(ed25519.name()).into_iter().find(|vector| vector.name == "v1a ed25519").unwrap();
    for (count, refusal) in
        [(MAX_ASYMMETRIC_SIGNATURES, None), (MAX_ASYMMETRIC_SIGNATURES + 1, Some(Refusal::TooManySignatures))]
    {
        let mut request = valid.request();
        let signature = request.headers.iter_mut().find(|(name, _)| name == "webhook-signature").unwrap();
        let wrong = format!("v1a,{} ", crate::support::base64(&[0; 64])).repeat(count - 1);
        signature.1 = [wrong.into_bytes(), signature.1.clone()].concat();
        assert_eq!(request.verify(ed25519, &keys(ed25519, &valid.secrets), valid.now()).err(), refusal);
    }
}

/// A signed form with `fields` distinct fields, verified.
fn form_of(fields: usize) -> Result<(), Refusal> {
    let twilio = scheme("twilio");
    let keys = keys(twilio, &["12345"]);
    let draft = hookward::Draft { id: "", event_type: "", method: "POST", url: "https://example.com/hook", body: b"" };
    let signed = twilio.sign(&draft, &keys, NOW).unwrap();
    let body: Vec<String> = (0..fields).map(|n| format!("{n}=")).collect();
    let request = Request::post(&[("X-Twilio-Signature", &signed.headers[0].1)], &body.join("&"));
    request.verify(twilio, &keys, NOW).map(|_| ())
}

#[test]
fn the_number_of_form_fields_is_limited() {
    assert_eq!(form_of(MAX_FORM_FIELDS), Err(Refusal::SignatureMismatch), "looked at");
    assert_eq!(form_of(MAX_FORM_FIELDS + 1), Err(Refusal::TooManyFormFields));
}

#[test]
fn every_scheme_with_a_timestamp_holds_its_tolerance_on_both_sides() {
    for scheme in plain_names().map(scheme).filter(|scheme| scheme.tolerance().is_some()) {
        let keys = [key(scheme, 1, &generated(scheme, 1))];
        let draft =
            hookward::Draft { id: "id", event_type: "", method: "POST", url: "https://example.com/hook", body: b"{}" };
        let signed = scheme.sign(&draft, &keys, NOW).unwrap();
        let headers: Vec<(&str, &str)> = signed.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let request = Request::post(&headers, "{}");
        let tolerance = i64::try_from(scheme.tolerance().unwrap().as_millis()).unwrap();
        let step = if catalog::source(scheme.name()).unwrap().contains("unit = \"ms\"") { 1 } else { 1000 };
        let answer = |offset: i64| {
            let now = UnixTime::from_millis(NOW.as_millis() + offset);
            request.verify(scheme, &keys, now).map(|_| ()).map_err(|refusal| refusal.id())
        };
        assert_eq!(answer(tolerance), Ok(()), "{}", scheme.name());
        assert_eq!(answer(tolerance + step), Err("timestamp-too-old"), "{}", scheme.name());
        assert_eq!(answer(-tolerance), Ok(()), "{}", scheme.name());
        assert_eq!(answer(-tolerance - step), Err("timestamp-too-new"), "{}", scheme.name());
    }
}

#[test]
fn both_secrets_of_a_rotation_verify_and_the_verdict_names_the_one() {
    for scheme in plain_names().map(scheme) {
        let secrets = [generated(scheme, 2), generated(scheme, 1)];
        let both = keys(scheme, &secrets);
        for signing in &both {
            let draft = hookward::Draft {
                id: "id",
                event_type: "",
                method: "POST",
                url: "https://example.com/hook",
                body: b"",
            };
            let signed = scheme.sign(&draft, std::slice::from_ref(signing), NOW).unwrap();
            let headers: Vec<(&str, &str)> = signed.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let query = signed.query.iter().map(|(name, value)| format!("?{name}={value}")).collect::<String>();
            let mut request = Request::post(&headers, "");
            request.url += &query;
            assert_eq!(
                request.verify(scheme, &both, NOW).unwrap().key_version(),
                signing.version(),
                "{}",
                scheme.name()
            );
            let other: Vec<Key> = both.iter().filter(|key| key.version() != signing.version()).cloned().collect();
            assert!(request.verify(scheme, &other, NOW).is_err(), "{}", scheme.name());
        }
    }
}

#[test]
fn json_is_looked_up_within_bounds() {
    let standard = scheme("standard-webhooks");
    let keys = keys(standard, &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let event_type = |body: &str| {
        let draft = hookward::Draft { id: "id", event_type: "", method: "POST", url: "/", body: body.as_bytes() };
        let signed = standard.sign(&draft, &keys, NOW).unwrap();
        let headers: Vec<(&str, &str)> = signed.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let request = Request::post(&headers, body);
        request.verify(standard, &keys, NOW).unwrap().event_type().map(str::to_owned)
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(event_type(r#"{"type":"a","x":{"type":"b"}}"#), some("a"));
    assert_eq!(
        event_type(r#"{"type":"a","type":"b"}"#),
        some("b"),
        "the last one counts, as for the receiver's own parser"
    );
    assert_eq!(event_type(r#"{"\u0074ype":"caf\u00e9"}"#), some("café"));
    assert_eq!(event_type(r#"{"type":7}"#), some("7"));
    for none in [
        "",
        "[]",
        "7",
        "null",
        "{not json",
        r#"{"type":true}"#,
        r#"{"type":{"type":"a"}}"#,
        r#"{"type":""}"#,
        r#"{"type":"a"} x"#,
    ] {
        assert_eq!(event_type(none), None, "{none}");
    }
    assert_eq!(event_type(r#"{"type":"a\u0000b"}"#), None, "a control character");
    assert_eq!(event_type(&format!(r#"{{"type":"{}"}}"#, "a".repeat(1024))), Some("a".repeat(1024)));
    assert_eq!(event_type(&format!(r#"{{"type":"{}"}}"#, "a".repeat(1025))), None);
    assert_eq!(event_type(&"[".repeat(1_000_000)), None);
    assert_eq!(event_type(&format!(r#"{{"x":{},"type":"a"}}"#, "[".repeat(1_000_000))), None);
    let deep = format!(r#"{{"x":{}{},"type":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(event_type(&deep), some("a"), "depth costs no stack");
}

fn any_headers() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let names: Vec<String> =
        catalog::names().flat_map(|name| scheme(name).signature_headers()).map(str::to_owned).collect();
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..80).boxed(),
        "(v1,|v1a,|sha256=|sha1=|v0=|t=[0-9]{0,20},v1=|Bearer |Basic )?[A-Za-z0-9+/=, ]{0,100}"
            .prop_map(String::into_bytes)
            .boxed(),
        "[0-9]{0,25}".prop_map(String::into_bytes).boxed(),
    ];
    proptest::collection::vec((proptest::sample::select(names), value), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_bytes_make_it_panic(
        headers in any_headers(),
        body in proptest::collection::vec(any::<u8>(), 0..200),
        url in "\\PC{0,60}|https?://[a-z:@\\[\\]0-9.]{0,20}(/[a-z%&=?#]{0,30})?|/p\\?token=[%a-f0-9&]{0,30}",
        secret in proptest::collection::vec(any::<u8>(), 1..90),
        now in any::<i64>(),
    ) {
        for name in plain_names() {
            let scheme = scheme(name);
            let given = hookward::Secret::new(secret.clone()).ok().and_then(|secret| scheme.key(2, &secret).ok());
            let keys: Vec<Key> = given.into_iter().chain([key(scheme, 1, &generated(scheme, 1))]).collect();
            let request = Request { method: "POST".into(), url: url.clone(), headers: headers.clone(), body: body.clone() };
            prop_assert!(request.verify(scheme, &keys, UnixTime::from_millis(now)).is_err(), "{name} believed noise");
        }
    }

    #[test]
    fn a_damaged_request_is_refused_and_never_panics(at in any::<prop::sample::Index>(), flip in 1_u8..128, pick in any::<prop::sample::Index>()) {
        for name in ["github", "stripe", "slack", "shopify", "standard-webhooks", "standard-webhooks-ed25519", "qflow", "bearer", "basic"] {
            let valid: Vec<_> = vectors(name).into_iter().filter(|vector| vector.verified.is_some()).collect();
            let vector = pick.get(&valid);
            let keys = keys(scheme(name), &vector.secrets);
            let mut request = vector.request();
            let bound = request.verify(scheme(name), &keys, vector.now()).unwrap().binds().body;
            if bound && !request.body.is_empty() {
                let at = at.index(request.body.len());
                request.body[at] ^= flip;
                prop_assert!(request.verify(scheme(name), &keys, vector.now()).is_err());
            }
        }
    }
}
