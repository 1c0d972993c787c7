//! Tests of what the scheme language can say: each feature signs and verifies, and each way to bend it is refused.

use std::collections::{BTreeMap, BTreeSet};

use hookward::{Binds, Draft, Key, Refusal, Scheme, Signed, UnixTime, Verified};

use crate::support::{Request, generated, key};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const JSON: &str = r#"{"a":"x","b":"y","n":5,"t":true}"#;

/// A scheme with one proof of these lines.
fn scheme(proof: &str) -> Scheme {
    Scheme::from_toml(&format!("name = \"mine\"\ntitle = \"Mine\"\n[[proof]]\n{proof}\n"))
        .unwrap_or_else(|error| panic!("{proof}: {error}"))
}

pub(crate) fn hmac(content: &str) -> Scheme {
    scheme(&format!(
        "algorithm = \"hmac-sha256\"\nsignature = {{ at = [\"header:X-Sig\"], encodings = [\"hex\"] }}\ncontent = '''{content}'''"
    ))
}

fn secret_key(scheme: &Scheme) -> Key {
    match scheme.generate(&mut |bytes| bytes.fill(3)) {
        Ok(_) => key(scheme, 1, &generated(scheme, 3)),
        Err(_) => key(scheme, 1, b"a secret"),
    }
}

fn request(draft: &Draft<'_>, signed: &Signed) -> Request {
    let query: String = signed.query.iter().map(|(name, value)| format!("&{name}={value}")).collect();
    let headers = signed.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
    Request {
        method: draft.method.into(),
        url: format!("{}{query}", draft.url),
        headers: headers.collect(),
        body: signed.body.clone().unwrap_or_else(|| draft.body.to_vec()),
    }
}

/// A request of the scheme that is right.
pub(crate) fn honest(scheme: &Scheme, url: &str, body: &str) -> Request {
    let draft = Draft { id: "id-1", event_type: "", method: "POST", url, body: body.as_bytes() };
    let signed = scheme.sign(&draft, &[secret_key(scheme)], NOW).unwrap_or_else(|error| panic!("{scheme:?}: {error}"));
    request(&draft, &signed)
}

pub(crate) fn verify<'r>(scheme: &Scheme, request: &'r Request) -> Result<Verified<'r>, Refusal> {
    request.verify(scheme, &[secret_key(scheme)], NOW)
}

/// The refusal of a request that `change` bent.
fn bent(scheme: &Scheme, url: &str, body: &str, change: impl Fn(&mut Request)) -> Refusal {
    let mut request = honest(scheme, url, body);
    verify(scheme, &request).unwrap();
    change(&mut request);
    verify(scheme, &request).unwrap_err()
}

pub(crate) const URL: &str = "https://example.com/hook?b=2&a=1";

/// Every way in which a part of the content may be wrong.
fn cases() -> Vec<(Refusal, Refusal)> {
    let json = hmac("{json:/a}.{json:/b}");
    let query = hmac("{query:a}{body}");
    let drop = |name: &'static str| move |request: &mut Request| request.headers.retain(|(known, _)| known != name);
    let header = hmac("{header:X-Extra}.{body}");
    let own = |body: &'static str| move |request: &mut Request| request.body = body.into();
    let sumsub = scheme(
        "algorithm = \"hmac-sha256\"\nwhen = { \"header:X-Alg\" = \"SHA256\" }\n\
         signature = { at = [\"header:X-Sig\"], encodings = [\"hex\"] }\ncontent = \"{body}\"",
    );
    let jwt = jwt();
    vec![
        (bent(&json, URL, JSON, own(r#"{"a":"x"}"#)), Refusal::PartMissing),
        (bent(&json, URL, JSON, own(r#"{"a":"x","b":"y","b":"z"}"#)), Refusal::PartRepeated),
        (bent(&json, URL, JSON, own(r#"{"a":"x.y","b":"z"}"#)), Refusal::PartMalformed),
        (bent(&json, URL, JSON, own(r#"{"a":"x","b":"z"}"#)), Refusal::SignatureMismatch),
        (bent(&json, URL, JSON, own(r#"{"a":"x","b":"y""#)), Refusal::PartMissing),
        (bent(&query, URL, JSON, |request| request.url.push_str("&a=1")), Refusal::PartRepeated),
        (bent(&query, URL, JSON, |request| request.url = "https://example.com/".into()), Refusal::PartMissing),
        (bent(&header, URL, JSON, drop("X-Extra")), Refusal::PartMissing),
        (
            bent(&header, URL, JSON, |request| request.headers.push(("x-extra".into(), b"2".to_vec()))),
            Refusal::PartRepeated,
        ),
        (bent(&sumsub, URL, JSON, drop("X-Alg")), Refusal::AlgorithmRefused),
        (
            bent(&sumsub, URL, JSON, |request| {
                let alg = request.headers.iter_mut().find(|(name, _)| name == "X-Alg").unwrap();
                alg.1 = b"SHA1".to_vec();
            }),
            Refusal::AlgorithmRefused,
        ),
        (bent(&jwt, URL, JSON, own("{}")), Refusal::BodyDigestMismatch),
        (bent(&jwt, URL, "", own("{}")), Refusal::BodyDigestMissing),
        (bent(&jwt, URL, JSON, own("")), Refusal::BodyDigestMismatch),
        (bent(&jwt, URL, JSON, |request| request.url.push('x')), Refusal::UrlDigestMismatch),
        (parameterless(), Refusal::ParameterMissing),
        (claims(r#"{"iss":"them"}"#), Refusal::ClaimMismatch),
        (claims(r#"{"iss":["them","me"]}"#), Refusal::SignatureMismatch),
        (claims("{}"), Refusal::ClaimMissing),
        (claims(r#"{"iss":"me","exp":1699999940}"#), Refusal::TimestampTooOld { age_s: 60 }),
        (claims(r#"{"iss":"me","nbf":1700000061}"#), Refusal::TimestampTooNew { ahead_s: 61 }),
        (claims(r#"{"iss":"me","exp":"soon"}"#), Refusal::TimestampMalformed),
    ]
}

fn jwt() -> Scheme {
    scheme(
        "algorithm = \"jwt\"\nalg = [\"HS256\", \"HS512\"]\nsignature = { at = [\"authorization:Bearer\"] }\n\
         claims = { iss = \"me\", body_hash = \"{sha256hex:body}\", url_hash = \"{sha256hex:url}\" }\nid = [\"claim:jti\"]",
    )
}

fn parameterless() -> Refusal {
    let scheme = hmac("{const:app}{body}");
    Request::post(&[("X-Sig", "00")], "").verify(&scheme, &[secret_key(&scheme)], NOW).unwrap_err()
}

/// A scheme of tokens that asks for an issuer.
fn issued() -> Scheme {
    scheme("algorithm = \"jwt\"\nalg = [\"HS256\"]\nsignature = { at = [\"header:X-Jwt\"] }\nclaims = { iss = \"me\" }")
}

/// A token's signed text, and the whole of it.
fn token(header: &[u8], claims: &str) -> (String, String) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    // The same bytes under a scheme that signs bodies give the signature.
    let plain = hmac("{body}");
    let tag = honest(&plain, URL, &signed).headers.remove(0).1;
    let tag = URL_SAFE_NO_PAD.encode(hex::decode(tag).unwrap());
    let whole = format!("{signed}.{tag}");
    (signed, whole)
}

/// What becomes of a token with these claims.
fn claims(claims: &str) -> Refusal {
    let scheme = issued();
    let (signed, whole) = token(br#"{"alg":"HS256"}"#, claims);
    let request = Request::post(&[("X-Jwt", &whole)], "");
    match verify(&scheme, &request) {
        Ok(verified) => {
            assert!(!verified.binds().body);
            // A forged one of the same form is not believed.
            verify(&scheme, &Request::post(&[("X-Jwt", &format!("{signed}.AAAA"))], "")).unwrap_err()
        }
        Err(refusal) => refusal,
    }
}

#[test]
fn a_token_whose_header_is_not_text_is_refused_as_a_whole() {
    let verdict = |header: &[u8]| {
        let request = Request::post(&[("X-Jwt", &token(header, r#"{"iss":"me"}"#).1)], "");
        verify(&issued(), &request).map(drop)
    };
    assert_eq!(verdict(br#"{"alg":"HS256","kid":"1"}"#), Ok(()));
    assert_eq!(verdict(b"{\"alg\":\"HS256\",\"kid\":\"\xe9\"}"), Err(Refusal::SignatureMalformed));
    assert_eq!(verdict(b"{\"alg\":\"HS256\",\"crit\":\"\xe9\"}"), Err(Refusal::SignatureMalformed));
}

/// The refusals that these cases reach.
pub(crate) fn refusals() -> BTreeSet<&'static str> {
    cases().into_iter().map(|(found, _)| found.id()).collect()
}

#[test]
fn every_bent_request_has_its_refusal() {
    for (at, (found, expected)) in cases().into_iter().enumerate() {
        assert_eq!(found, expected, "case {at}");
    }
}

/// Contents, each with what it binds of a request with a JSON body.
#[test]
fn what_is_said_to_be_bound_is_bound() {
    let part = Binds { part_of_body: true, ..Binds::default() };
    let whole = Binds { body: true, ..Binds::default() };
    for (content, binds) in [
        ("{body}", whole),
        ("{sha256hex:body}", whole),
        ("{sha256raw:body}", whole),
        ("{base64:body}.x", whole),
        ("{crc32:body}", part),
        ("{lower:body}", part),
        ("{json:/a}", part),
        ("{json:/n}:{json:/t}", part),
        ("{json-raw:/a}", part),
        ("{method}\n{path_and_query}\n{host}", Binds::default()),
        ("{url}", Binds { url: true, ..Binds::default() }),
        ("{url}{body}", Binds { url: true, ..whole }),
        ("{upper:url}", Binds::default()),
        ("{query:sorted}{sha256hex:body}", whole),
        ("{{{json-string:json:/a}}}[[x]]", part),
        ("[{json:/absent}/]{json:/b}", part),
        ("{free:json:/a}/{json:/b}", part),
    ] {
        let scheme = hmac(content);
        let mut request = honest(&scheme, URL, JSON);
        assert_eq!(verify(&scheme, &request).unwrap().binds(), binds, "{content}");
        request.body.push(b' ');
        let refused = verify(&scheme, &request).is_err();
        assert!(refused || !binds.body, "{content} does not bind the body");
    }
}

#[test]
fn a_border_cannot_be_shifted() {
    let scheme = hmac("{json:/a}:{json:/b}");
    let request = honest(&scheme, URL, r#"{"a":"x","b":"y:z"}"#);
    verify(&scheme, &request).unwrap();
    let shifted = Request { body: br#"{"a":"x:y","b":"z"}"#.to_vec(), ..request };
    assert_eq!(verify(&scheme, &shifted).unwrap_err(), Refusal::PartMalformed);

    // What may hold the text after it may do so alone.
    let scheme = hmac("{json:/a}:{free:json:/b}:{json:/n}");
    let request = honest(&scheme, URL, r#"{"a":"x","b":"y:z","n":5}"#);
    verify(&scheme, &request).unwrap();
    let shifted = Request { body: br#"{"a":"x:y","b":"z","n":5}"#.to_vec(), ..request };
    assert_eq!(verify(&scheme, &shifted).unwrap_err(), Refusal::PartMalformed);
}

#[test]
fn a_value_in_brackets_is_left_out_with_its_text() {
    let scheme = hmac("[a:{json:/a};][c:{json:/c};]{json:/b}");
    let plain = hmac("{body}");
    let signature = |text: &str| honest(&plain, URL, text).headers.remove(0).1;
    assert_eq!(honest(&scheme, URL, JSON).headers[0].1, signature("a:x;y"));
    assert_eq!(honest(&scheme, URL, r#"{"c":"z","b":"y"}"#).headers[0].1, signature("c:z;y"));
}

#[test]
fn parameters_are_put_in_and_nothing_else_is() {
    let scheme = hmac("{const:app}|{url}{body}");
    assert_eq!(scheme.parameters(), ["app"]);
    let with = |pairs: &[(&str, &str)]| {
        let values: BTreeMap<String, String> = pairs.iter().map(|(name, is)| ((*name).into(), (*is).into())).collect();
        scheme.with_parameters(&values)
    };
    let filled = with(&[("app", "17"), ("url", "https://registered.example/hook")]).unwrap();
    assert!(filled.parameters().is_empty());
    let request = honest(&filled, URL, JSON);
    assert_eq!(request.headers, honest(&hmac("17|https://registered.example/hook{body}"), URL, JSON).headers);
    assert!(
        !verify(&filled, &request).unwrap().binds().url,
        "it is bound that it was sent there, not where it arrived"
    );
    assert_eq!(
        with(&[("ap", "1")]).unwrap_err().to_string(),
        "scheme `mine` has no parameter `ap`; did you mean `app`?"
    );
    assert_eq!(with(&[("url", "/hook")]).unwrap_err().to_string(), "the parameter `url` must be an absolute url");
    assert!(with(&[("app", "a\nb")]).is_err() && with(&[("app", "")]).is_err());
    assert!(with(&[("app", &"x".repeat(2048))]).is_ok() && with(&[("app", &"x".repeat(2049))]).is_err());
    let only = hmac("{url}{body}").with_parameters(&[("uri".into(), URL.into())].into());
    assert_eq!(only.unwrap_err().to_string(), "scheme `mine` has no parameter `uri`; did you mean `url`?");
}

#[test]
fn what_an_endpoint_must_say_is_named_and_explained() {
    let meanings = "[meanings]\napp = \"the app's number\"";
    let proof = "algorithm = \"hmac-sha256\"\nsignature = { at = [\"header:X\"], encodings = [\"hex\"] }";
    let text = |meanings: &str| {
        let content = "content = \"{const:app}|{const:more}|{url}{body}\"";
        format!("name = \"mine\"\ntitle = \"Mine\"\n[[proof]]\n{proof}\n{content}\n{meanings}")
    };
    let scheme = Scheme::from_toml(&text(meanings)).unwrap();
    let taken: Vec<_> = scheme.takes().iter().map(|one| (one.name, one.meaning, one.is_required)).collect();
    assert_eq!(taken[..2], [("app", "the app's number", true), ("more", "", true)]);
    assert_eq!((taken.len(), taken[2].0, taken[2].2), (3, "url", false));
    let given = |pairs: &[(&str, &str)]| {
        let values: BTreeMap<String, String> = pairs.iter().map(|(name, is)| ((*name).into(), (*is).into())).collect();
        scheme.for_endpoint(&values).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(given(&[]).unwrap_err(), "scheme `mine` needs the parameter `app`: the app's number");
    assert_eq!(given(&[("app", "1")]).unwrap_err(), "scheme `mine` needs the parameter `more`");
    assert_eq!(given(&[("app", "1"), ("more", "2")]), Ok(()));
    let error = Scheme::from_toml(&text("[meanings]\nap = \"x\"")).unwrap_err().to_string();
    assert!(error.contains("`ap`, which is no parameter of this scheme; did you mean `app`?"), "{error}");
}

#[test]
fn plain_hashes_are_weak_and_say_so() {
    for algorithm in ["md5", "sha1", "sha256", "sha384", "sha512"] {
        let scheme = scheme(&format!(
            "algorithm = \"{algorithm}\"\nsignature = {{ at = [\"header:X-Sig\"], encodings = [\"hex\"] }}\ncontent = \"{{secret}}{{body}}\""
        ));
        let request = honest(&scheme, URL, JSON);
        assert!(verify(&scheme, &request).unwrap().is_weak(), "{algorithm}");
        let other = key(&scheme, 1, b"another secret");
        assert_eq!(request.verify(&scheme, &[other], NOW).unwrap_err(), Refusal::SignatureMismatch);
    }
    let strong = hmac("{body}");
    assert!(!verify(&strong, &honest(&strong, URL, JSON)).unwrap().is_weak());
}

#[test]
fn every_spelling_of_time_is_judged() {
    for (unit, text) in [
        ("s", "1700000000"),
        ("ms", "1700000000000"),
        ("s-or-ms", "1700000000"),
        ("s-or-ms", "1700000000000"),
        ("rfc3339", "2023-11-14T22:13:20Z"),
        ("rfc3339", "2023-11-14T23:13:20.000+01:00"),
        ("iso8601", "2023-11-14T22:13:20.123456"),
        ("http-date", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("http-date", "Tue, 14 Nov 2023 23:13:20 +0100"),
    ] {
        let timed = format!(
            "algorithm = \"token\"\nsignature = {{ at = [\"header:X\"] }}\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
             signature = {{ at = [\"header:X-Sig\"], encodings = [\"hex\"] }}\ncontent = \"{{timestamp}}.{{body}}\"\n\
             timestamp = {{ at = \"header:X-Time\", unit = \"{unit}\", tolerance_s = 5 }}"
        );
        let timed = scheme(&timed);
        let tag = honest(&hmac("{body}"), URL, &format!("{text}.{JSON}")).headers.remove(0).1;
        let tag = String::from_utf8(tag).unwrap();
        let request = Request::post(&[("X-Sig", &tag), ("X-Time", text)], JSON);
        let at = |now_s| request.verify(&timed, &[key(&timed, 1, &generated_text())], UnixTime::from_secs(now_s));
        assert_eq!(at(1_700_000_000).unwrap().timestamp().unwrap().as_secs(), 1_700_000_000, "{text}");
        assert!(at(1_700_000_005).is_ok(), "{text}");
        assert_eq!(at(1_700_000_007).unwrap_err().id(), "timestamp-too-old", "{text}");
        assert_eq!(at(1_699_999_993).unwrap_err().id(), "timestamp-too-new", "{text}");
    }
}

/// The secret that `hmac` schemes have in these tests.
fn generated_text() -> Vec<u8> {
    b"a secret".to_vec()
}

#[test]
fn no_other_spelling_of_time_is_read() {
    for (unit, text) in [
        ("s", "+1700000000"),
        ("s", "1700000000.0"),
        ("rfc3339", "2023-11-14T22:13:20"),
        ("rfc3339", "2023-11-14 22:13:20Z"),
        ("rfc3339", "2023-02-29T22:13:20Z"),
        ("rfc3339", "2023-11-14T24:00:00Z"),
        ("rfc3339", "2023-11-14T22:13:20.Z"),
        ("rfc3339", "+2023-11-14T22:13:20Z"),
        ("http-date", "14 Nov 2023 22:13:20 GMT"),
        ("http-date", "Tue, 14 Nov 2023 22:13:20 PST"),
        ("http-date", "Tue, 14 Nov 2023 22:13:20 GMT x"),
    ] {
        let timed = scheme(&format!(
            "algorithm = \"hmac-sha256\"\nsignature = {{ at = [\"header:X-Sig\"], encodings = [\"hex\"] }}\n\
             content = \"{{timestamp}}.{{body}}\"\ntimestamp = {{ at = \"header:X-Time\", unit = \"{unit}\" }}"
        ));
        let request = Request::post(&[("X-Sig", "00"), ("X-Time", text)], JSON);
        assert_eq!(verify(&timed, &request).unwrap_err(), Refusal::TimestampMalformed, "{text}");
    }
}

#[test]
fn a_time_that_nobody_judges_binds_no_time() {
    let timed = scheme(
        "algorithm = \"hmac-sha256\"\nsignature = { at = [\"header:X-Sig\"], encodings = [\"hex\"] }\n\
         content = \"{body}\"\ntimestamp = { at = \"json:/sent_at\", unit = \"ms\" }",
    );
    assert_eq!(timed.tolerance(), None);
    let request = honest(&timed, URL, JSON);
    let verified = request.verify(&timed, &[secret_key(&timed)], UnixTime::from_secs(1)).unwrap();
    assert_eq!(verified.timestamp(), Some(NOW));
    assert!(!verified.binds().time);
}

#[test]
fn signatures_stand_wherever_a_provider_puts_them() {
    for (at, rest) in [
        ("json:/meta/sig", "content = \"{json:/a}\""),
        ("query:sig", "content = \"{body}\""),
        ("header:X-Sig-{n}", "content = \"{body}\""),
        ("header:X-Sig", "content = \"{body}\"\nprehash = \"sha256\""),
    ] {
        let repeats = if at.contains("{n}") { ", repeats = true" } else { "" };
        let scheme = scheme(&format!(
            "algorithm = \"hmac-sha256\"\nsignature = {{ at = [\"{at}\"], encodings = [\"hex\"]{repeats} }}\n{rest}"
        ));
        let request = honest(&scheme, URL, JSON);
        verify(&scheme, &request).unwrap_or_else(|refusal| panic!("{at}: {refusal} {request:?}"));
        let other = key(&scheme, 1, b"another secret");
        assert_eq!(request.verify(&scheme, &[other], NOW).unwrap_err(), Refusal::SignatureMismatch, "{at}");
    }
    let form = scheme(
        "algorithm = \"hmac-sha1\"\nkey = { hash = \"sha1\" }\ncontent = \"{form:payload}\"\n\
         signature = { at = [\"form:sig\"], encodings = [\"hex\"], separator = \"&\", prefix = \"key|\" }",
    );
    let request = honest(&form, URL, "payload=a%26b");
    assert!(verify(&form, &request).unwrap().binds().part_of_body);
    let twice = Request { body: [request.body.as_slice(), b"&payload=x"].concat(), ..request };
    assert_eq!(verify(&form, &twice).unwrap_err(), Refusal::PartRepeated);
}

#[test]
fn numbered_headers_count_up_to_the_limit_and_each_once() {
    let scheme = scheme(
        "algorithm = \"hmac-sha256\"\nsignature = { at = [\"header:X-Sig-{n}\"], encodings = [\"hex\"], repeats = true }\ncontent = \"{body}\"",
    );
    let good = honest(&scheme, URL, JSON).headers.remove(0).1;
    let numbered = |count: usize| {
        let bad = |number| (format!("x-sig-{number}"), vec![b'0'; 64]);
        let mut headers: Vec<_> = (1..count).map(bad).collect();
        headers.push((format!("x-sig-{count}"), good.clone()));
        Request { headers, ..Request::post(&[], JSON) }
    };
    verify(&scheme, &numbered(hookward::MAX_SIGNATURES)).unwrap();
    assert_eq!(verify(&scheme, &numbered(hookward::MAX_SIGNATURES + 1)).unwrap_err(), Refusal::TooManySignatures);
}

#[test]
fn every_item_of_a_batch_is_proven_for_itself() {
    let batch = scheme(
        "algorithm = \"hmac-sha256\"\nitems = \"/items\"\nid = [\"json:/ref\"]\ncontent = \"{json:/ref}:[{json:/amount/value}]\"\n\
         signature = { at = [\"json:/extra/sig\"], encodings = [\"base64\"] }",
    );
    let body = r#"{"items":[{"ref":"1","amount":{"value":7},"extra":{}},{"ref":"2"}]}"#;
    let request = honest(&batch, URL, body);
    let verified = verify(&batch, &request).unwrap();
    assert_eq!((verified.id(), verified.binds().part_of_body, verified.binds().body), (None, true, false));
    let one = honest(&batch, URL, r#"{"items":[{"ref":"1"}]}"#);
    assert_eq!(verify(&batch, &one).unwrap().id(), Some("1"));
    let text = String::from_utf8(request.body.clone()).unwrap();
    for (from, to, refusal) in [
        ("\"value\":7", "\"value\":8", Refusal::SignatureMismatch),
        ("\"ref\":\"2\"", "\"ref\":\"3\"", Refusal::SignatureMismatch),
        ("[{", "[{},{", Refusal::SignatureMissing),
        ("\"items\"", "\"others\"", Refusal::SignatureMissing),
        ("{\"items\"", "{\"items\":[],\"items\"", Refusal::PartRepeated),
    ] {
        assert!(text.contains(from), "{text}");
        let changed = Request { body: text.replacen(from, to, 1).into_bytes(), ..request.clone() };
        assert_eq!(verify(&batch, &changed).unwrap_err(), refusal, "{to}");
    }
    let many = |count: usize| format!(r#"{{"items":[{}]}}"#, vec![r#"{"ref":"1"}"#; count].join(","));
    let most = honest(&batch, URL, &many(hookward::MAX_ITEMS));
    verify(&batch, &most).unwrap();
    let more = honest(&batch, URL, &many(hookward::MAX_ITEMS + 1));
    assert_eq!(verify(&batch, &more).unwrap_err(), Refusal::SignatureMissing);
}

/// The reference names what the language knows: each part of it is read.
#[test]
fn the_page_of_reference_is_of_this_language() {
    let page = include_str!("../../../../docs/schemes.md");
    let rows = page.split("## Parts of a template").nth(1).unwrap().lines();
    let parts = rows.filter_map(|row| row.strip_prefix("| `{")?.split_once("}`")).map(|(part, _)| part.to_owned());
    let mut count = 0;
    for part in parts.filter(|part| !matches!(part.as_str(), "FILTER:PART" | "secret" | "timestamp" | "id")) {
        let separator = if part.starts_with("signature:") { ", separator = \",\"" } else { "" };
        scheme(&format!(
            "algorithm = \"hmac-sha256\"\ncontent = \"{{{part}}}\"\n\
             signature = {{ at = [\"header:X-Sig\"], encodings = [\"hex\"]{separator} }}"
        ));
        count += 1;
    }
    assert_eq!(count, 22, "the page lists other parts");
}

#[test]
fn a_token_cannot_choose_its_algorithm() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let scheme = jwt();
    let request = honest(&scheme, URL, JSON);
    let verified = verify(&scheme, &request).unwrap();
    assert_eq!(verified.id(), Some("id-1"));
    assert_eq!(
        verified.binds(),
        Binds { body: true, time: true, url: true, id: true, unique: true, part_of_body: false }
    );
    let token = String::from_utf8(request.headers[0].1.clone()).unwrap();
    let (_, rest) = token.split_once('.').unwrap();
    for (header, refusal) in [
        (r#"{"alg":"none"}"#, Refusal::AlgorithmRefused),
        (r#"{"alg":"HS384"}"#, Refusal::AlgorithmRefused),
        (r#"{"alg":"hs256"}"#, Refusal::AlgorithmRefused),
        (r#"{"alg":"RS256"}"#, Refusal::AlgorithmRefused),
        (r#"{"alg":"HS512"}"#, Refusal::SignatureMismatch),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, Refusal::SignatureMalformed),
        (r#"{"alg":"HS256","alg":"HS256"}"#, Refusal::SignatureMalformed),
        ("{}", Refusal::SignatureMalformed),
        ("HS256", Refusal::SignatureMalformed),
    ] {
        let mut forged = request.clone();
        forged.headers[0].1 = format!("Bearer {}.{rest}", URL_SAFE_NO_PAD.encode(header)).into_bytes();
        assert_eq!(verify(&scheme, &forged).unwrap_err(), refusal, "{header}");
    }
    let mut long = request.clone();
    long.headers[0].1.resize(hookward::MAX_JWT + 8, b'a');
    assert_eq!(verify(&scheme, &long).unwrap_err(), Refusal::SignatureMalformed);
}
