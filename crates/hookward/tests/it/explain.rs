//! Tests of the doctor: every cause alone. Any two of the first ten are `pairs`, its bounds `limits`.

mod case;
mod limits;
mod pairs;

use std::collections::BTreeSet;

use base64::Engine as _;
use hookward::explain::{Cause, Evidence, Standing};
use hookward::{Scheme, UnixTime, catalog};
use miniz_oxide::deflate;

use self::case::{Case, ENDED, NOW_S, OTHER, SECRET, check, gzip, proven, signed};
use crate::support::scheme;

const JSON: &str = r#"{"b":1,"a":[1,2,{"c":"x/<y>"}],"é":"ü","n":1.5}"#;

#[test]
fn each_spelling_of_a_body_is_found() {
    let spellings = [
        r#"{"b": 1, "a": [1, 2, {"c": "x/<y>"}], "é": "ü", "n": 1.5}"#,
        r#"{"b":1,"a":[1,2,{"c":"x/<y>"}],"\u00e9":"\u00fc","n":1.5}"#,
        r#"{"b": 1, "a": [1, 2, {"c": "x/<y>"}], "\u00e9": "\u00fc", "n": 1.5}"#,
        r#"{"b":1,"a":[1,2,{"c":"x\/<y>"}],"\u00e9":"\u00fc","n":1.5}"#,
        r#"{"b":1,"a":[1,2,{"c":"x/\u003cy\u003e"}],"é":"ü","n":1.5}"#,
        r#"{"b":1,"a":[1,2,{"c":"x/\u003Cy\u003E"}],"\u00E9":"\u00FC","n":1.5}"#,
        r#"{"a":[1,2,{"c":"x/<y>"}],"b":1,"n":1.5,"é":"ü"}"#,
        "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    2,\n    {\n      \"c\": \"x/<y>\"\n    }\n  ],\n  \"é\": \"ü\",\n  \"n\": 1.5\n}",
        "{\n    \"b\": 1,\n    \"a\": [\n        1,\n        2,\n        {\n            \"c\": \"x/<y>\"\n        }\n    ],\n    \"é\": \"ü\",\n    \"n\": 1.5\n}",
        "{\n\t\"b\": 1,\n\t\"a\": [\n\t\t1,\n\t\t2,\n\t\t{\n\t\t\t\"c\": \"x/<y>\"\n\t\t}\n\t],\n\t\"é\": \"ü\",\n\t\"n\": 1.5\n}",
        "{\n  \"b\" : 1,\n  \"a\" : [ 1, 2, {\n    \"c\" : \"x/<y>\"\n  } ],\n  \"é\" : \"ü\",\n  \"n\" : 1.5\n}",
    ];
    for sent in spellings {
        check(sent, &Case::new("github", sent.as_bytes()).arrives(JSON), &[Cause::Reserialised]);
        let compact = Case::new("stripe", JSON.as_bytes()).arrives(sent);
        let is_sorted = sent.starts_with("{\"a\"");
        // What was sorted cannot be put in its old order again.
        if !is_sorted {
            check(sent, &compact, &[Cause::Reserialised]);
        }
    }
    let numbers = Case::new("github", br#"{"a":1,"b":1000000}"#).arrives(r#"{"a": 1.0, "b": 1e6}"#);
    check("javascript's numbers", &numbers, &[Cause::Reserialised]);
    let numbers = Case::new("github", br#"{"a": 1e-07, "b": 1e+16}"#).arrives(r#"{"a":0.0000001,"b":1.0e16}"#);
    check("python's numbers", &numbers, &[Cause::Reserialised]);
    let quoted = Case::new("github", br#"{"a":1}"#).arrives(r#""{\"a\":1}""#);
    check("json in a string", &quoted, &[Cause::Reserialised]);
}

#[test]
fn what_is_done_to_bodies_is_found() {
    let crlf = "{\r\n \"a\": [\"x\\ny\", 1 ]\r\n}";
    let bom = "\u{feff}{ \"a\":1 }";
    let long = format!("{{ \"a\":\"{}\" }}", "x".repeat(700));
    let latin: Vec<u8> = b"{ \"a\":\"\xe9\" }".to_vec();
    let cases: Vec<(&str, Case, Cause)> = vec![
        ("newline added", Case::new("github", b"x").arrives("x\n"), Cause::LineEnds),
        ("crlf added", Case::new("github", b"x").arrives("x\r\n"), Cause::LineEnds),
        ("newline lost", Case::new("github", b"x\n").arrives("x"), Cause::LineEnds),
        ("crlf lost", Case::new("github", b"x\r\n").arrives("x"), Cause::LineEnds),
        ("blanks added", Case::new("github", b"x").arrives(" x \n"), Cause::LineEnds),
        ("crlf to lf", Case::new("github", crlf.as_bytes()).arrives(crlf.replace('\r', "")), Cause::LineEnds),
        ("lf to crlf", Case::new("github", crlf.replace('\r', "").as_bytes()).arrives(crlf), Cause::LineEnds),
        ("bom added", Case::new("github", b"{ \"a\":1 }").arrives(bom), Cause::Bom),
        ("bom lost", Case::new("github", bom.as_bytes()).arrives(&bom[3..]), Cause::Bom),
        ("form decoded", Case::new("github", b"payload=%7B%22a%22%3A1%7D").arrives(r#"{"a":1}"#), Cause::Form),
        ("form encoded", Case::new("github", br#"{"a":1}"#).arrives("payload=%7B%22a%22%3A1%7D"), Cause::Form),
        ("form to members", Case::new("github", b"a=1+x&b=%C3%A9").arrives(r#"{"a":"1 x","b":"é"}"#), Cause::Form),
        ("form with %20", Case::new("github", b"a=1%20x&b=2").arrives("a=1+x&b=2"), Cause::Form),
        ("form in small letters", Case::new("github", b"a=%c3%a9").arrives("a=%C3%A9"), Cause::Form),
        ("gzip applied", Case::new("github", b"{ \"a\":1 }").arrives(gzip(b"{ \"a\":1 }")), Cause::Compressed),
        (
            "deflate applied",
            Case::new("github", b"{ \"a\":1 }").arrives(deflate::compress_to_vec_zlib(b"{ \"a\":1 }", 6)),
            Cause::Compressed,
        ),
        ("latin-1 made utf-8", Case::new("github", &latin).arrives("{ \"a\":\"é\" }"), Cause::Charset),
        ("utf-8 twice", Case::new("github", "é ".as_bytes()).arrives("Ã© "), Cause::Charset),
        ("utf-8 made latin-1", Case::new("github", "{ \"a\":\"é\" }".as_bytes()).arrives(&latin), Cause::Charset),
        ("windows-1252", Case::new("github", b"{ \"a\":\"\x80\" }").arrives("{ \"a\":\"€\" }"), Cause::Charset),
        ("signed cut off", Case::new("github", &long.as_bytes()[..512]).arrives(&long), Cause::Truncated),
    ];
    for (what, case, cause) in cases {
        check(what, &case, &[cause]);
    }
}

#[test]
fn what_is_done_to_secrets_is_found() {
    let body = br#"{"a":1}"#;
    let github = |secret: &[u8]| Case::by(scheme("github"), secret, body);
    let svix = |secret: &[u8]| Case::by(scheme("svix"), secret, body);
    let decoded = base64::engine::general_purpose::STANDARD.decode(SECRET).unwrap();
    let hex = hex::encode(&decoded);
    let prefixed = format!("whsec_{SECRET}");
    let cases: Vec<(&str, Case, Cause)> = vec![
        ("newline", github(SECRET.as_bytes()).holding(format!("{SECRET}\n")), Cause::SecretSurrounded),
        ("blanks", github(SECRET.as_bytes()).holding(format!(" {SECRET}\t")), Cause::SecretSurrounded),
        ("quotes", github(SECRET.as_bytes()).holding(format!("\"{SECRET}\"")), Cause::SecretSurrounded),
        ("single quotes", github(SECRET.as_bytes()).holding(format!("'{SECRET}'\n")), Cause::SecretSurrounded),
        ("written out", github(SECRET.as_bytes()).holding(format!("{SECRET}\\n")), Cause::SecretSurrounded),
        ("sender's newline", github(format!("{SECRET}\n").as_bytes()), Cause::SecretSurrounded),
        ("sender's quotes", github(format!("\"{SECRET}\"").as_bytes()), Cause::SecretSurrounded),
        ("newline of base64", svix(SECRET.as_bytes()).holding(format!("{SECRET}\r\n")), Cause::SecretSurrounded),
        ("decoded by the sender", github(&decoded), Cause::SecretEncoding),
        ("hex decoded by the sender", github(&decoded).holding(&hex), Cause::SecretEncoding),
        ("text of base64", github(SECRET.as_bytes()).holding(&decoded), Cause::SecretEncoding),
        ("text of hex", github(hex.as_bytes()).holding(&decoded), Cause::SecretEncoding),
        ("prefix taken off", github(SECRET.as_bytes()).holding(&prefixed), Cause::SecretEncoding),
        ("prefix and decoded", github(&decoded).holding(&prefixed), Cause::SecretEncoding),
        ("another source", github(OTHER.as_bytes()), Cause::SecretOfAnother),
        ("ended", github(ENDED.as_bytes()), Cause::SecretEnded),
    ];
    for (what, case, cause) in cases {
        check(what, &case, &[cause]);
    }
    let explanation = github(OTHER.as_bytes()).explained();
    assert_eq!(explanation.findings()[0].secret(), Some("source other"));
    // A sender that takes the whole text for the key, where the scheme decodes it.
    let svix = catalog::source("svix").unwrap();
    let raw = svix
        .replace("encoding = \"base64\", optional_prefix = \"whsec_\"", "")
        .replace("{ , ", "{ ")
        .replace("{  }", "{}");
    let raw = Scheme::from_toml(&raw).unwrap();
    let case = Case::by(&raw, prefixed.as_bytes(), body).holding(&prefixed).read_as("svix");
    check("not decoded by the sender", &case, &[Cause::SecretEncoding]);
}

#[test]
fn how_a_signature_is_written_is_found() {
    let case = || Case::new("github", br#"{"a":1}"#);
    let header = "X-Hub-Signature-256";
    let sent = case().value(header);
    let digits = sent.trim_start_matches("sha256=").to_owned();
    let bytes = hex::decode(&digits).unwrap();
    let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&bytes);
    check("another header", &case().moved(header, "X-Signature"), &[Cause::SignatureHeader]);
    check("no prefix", &case().set(header, &digits), &[Cause::SignaturePrefix]);
    check("another prefix", &case().set(header, format!("hmac={digits}")), &[Cause::SignaturePrefix]);
    check("large letters", &case().set(header, sent.to_uppercase()), &[Cause::SignatureCase]);
    check("base64", &case().set(header, format!("sha256={base64}")), &[Cause::SignatureEncoding]);
    check("url-safe", &case().set(header, format!("sha256={url_safe}")), &[Cause::SignatureEncoding]);
    let shopify = Case::new("shopify", br#"{"a":1}"#);
    let bytes = base64::engine::general_purpose::STANDARD.decode(shopify.value("X-Shopify-Hmac-Sha256")).unwrap();
    let hex = hex::encode(&bytes);
    check("hex", &shopify.set("X-Shopify-Hmac-Sha256", hex), &[Cause::SignatureEncoding]);
    let beside = Case::new("github-sha1", br#"{"a":1}"#).read_as("github");
    check("sha-1 beside", &beside, &[Cause::SignatureHeader, Cause::SignaturePrefix, Cause::SignatureAlgorithm]);
    let sha1 = Case::new("github-sha1", br#"{"a":1}"#);
    let sha1 = sha1.moved("X-Hub-Signature", header).read_as("github");
    check("sha-1 instead", &sha1, &[Cause::SignaturePrefix, Cause::SignatureAlgorithm]);
    let stripe = Case::new("stripe", br#"{"a":1}"#);
    let value = stripe.value("Stripe-Signature").replace("v1=", "v0=");
    check("stripe's other version", &stripe.set("Stripe-Signature", value), &[Cause::SignaturePrefix]);
    let token = Case::new("gitlab-token", b"x").moved("X-Gitlab-Token", "X-Signature");
    check("a token elsewhere", &token, &[Cause::SignatureHeader]);
}

#[test]
fn what_is_wrong_with_the_time_is_found() {
    let body = br#"{"a":1}"#;
    let source = |name: &str| catalog::source(name).unwrap().to_owned();
    let slack = |change: &dyn Fn(String) -> String| {
        let by = Scheme::from_toml(&change(source("slack"))).unwrap();
        let mut case = Case::by(&by, SECRET.as_bytes(), body);
        case.scheme = scheme("slack").clone();
        case
    };
    let in_ms = slack(&|text| text.replace("unit = \"s\"", "unit = \"ms\""));
    check("milliseconds", &in_ms, &[Cause::TimeUnit]);
    let ms = Scheme::from_toml(&source("slack").replace("unit = \"s\"", "unit = \"ms\"")).unwrap();
    let mut in_s = Case::new("slack", body);
    in_s.scheme = ms;
    check("seconds", &in_s, &[Cause::TimeUnit]);
    let header = "X-Slack-Request-Timestamp";
    let sent_in_ms = Case::new("slack", body).set(header, format!("{NOW_S}000"));
    check("sent in milliseconds, signed in seconds", &sent_in_ms, &[Cause::TimeUnit]);
    let bare = slack(&|text| {
        text.replace("v0:{timestamp}:{body}", "v0:{body}")
            .replace("timestamp = { at = \"header:X-Slack-Request-Timestamp\", unit = \"s\", tolerance_s = 300 }", "")
    });
    check("time not signed", &bare.set(header, NOW_S.to_string()), &[Cause::TimeUnsigned]);
    let late = Case::new("stripe", body).explained_at(UnixTime::from_secs(NOW_S + 1000));
    assert_eq!(proven(&late), BTreeSet::from([Cause::TimeSkew]));
    assert!(late.to_string().contains("1000 s ago, 700 s more than the 300 s"), "{late}");
    let early = Case::new("stripe", body).explained_at(UnixTime::from_secs(NOW_S - 400));
    assert!(early.to_string().contains("400 s in the future, 100 s more"), "{early}");
    let both = Case::new("stripe", body).arrives("{\"a\":1}\n").explained_at(UnixTime::from_secs(NOW_S + 86_400));
    assert_eq!(proven(&both), BTreeSet::from([Cause::LineEnds, Cause::TimeSkew]));
}

#[test]
fn what_is_not_in_the_content_is_found() {
    let body = br#"{"a":1}"#;
    let own = |content: &str, more: &str| {
        let text = format!(
            "name = \"own\"\ntitle = \"Own\"\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
             signature = {{ at = [\"header:X-Signature\"], encodings = [\"hex\"] }}\ncontent = \"{content}\"\n{more}"
        );
        Scheme::from_toml(&text).unwrap()
    };
    let id = "id = [\"header:X-Id\"]";
    let cases = [
        ("id", own("{id}.{body}", id), own("{body}", id), Cause::IdUnsigned),
        ("url", own("{url}{body}", ""), own("{body}", ""), Cause::UrlUnsigned),
        ("method", own("{method}\\n{url}\\n{body}", ""), own("{url}\\n{body}", ""), Cause::MethodUnsigned),
        ("more: url", own("{body}", ""), own("{url}{body}", ""), Cause::MoreSigned),
        ("more: method and url", own("{body}", ""), own("{method}\\n{url}\\n{body}", ""), Cause::MoreSigned),
    ];
    for (what, expected, by, cause) in cases {
        let mut case = Case::by(&by, SECRET.as_bytes(), body);
        case.scheme = expected;
        check(what, &case, &[cause]);
    }
    let time = "timestamp = { at = \"header:X-Timestamp\", unit = \"s\", tolerance_s = 300 }";
    let mut case = Case::by(&own("{timestamp}.{body}", time), SECRET.as_bytes(), body);
    case.scheme = own("{body}", "");
    check("more: time", &case, &[Cause::MoreSigned]);
}

#[test]
fn another_url_is_found() {
    let twilio = |url: &str| {
        let mut case = Case::new("twilio", b"a=1&b=2");
        case.request = signed(scheme("twilio"), SECRET.as_bytes(), b"a=1&b=2", url, NOW_S);
        case
    };
    let cases: [(&str, &str, &[Cause]); 7] = [
        ("https://a.example/h", "http://a.example/h", &[Cause::UrlScheme]),
        ("https://a.example/h", "https://a.example:8443/h", &[Cause::UrlPort]),
        ("https://a.example/h", "http://a.example:8080/h", &[Cause::UrlScheme, Cause::UrlPort]),
        ("https://a.example/h/", "https://a.example/h", &[Cause::UrlSlash]),
        ("https://a.example/h?x=1", "https://a.example/h/?x=1", &[Cause::UrlSlash]),
        ("https://a.example/h", "https://a.example/h?x=1", &[Cause::UrlQuery]),
        ("http://a.example/h", "https://a.example/h", &[Cause::UrlScheme]),
    ];
    for (called, seen, causes) in cases {
        check(seen, &twilio(called).at(seen), causes);
    }
    let behind = twilio("https://a.example/h").at("https://inner/h").set("X-Forwarded-Host", "a.example");
    check("host", &behind, &[Cause::UrlHost]);
    let path = twilio("https://a.example/h").at("/h").set("Host", "a.example");
    assert_eq!(path.explained().findings()[0].evidence(), Evidence::Proven);
}

#[test]
fn another_url_than_the_registered_one_is_found() {
    let registered = |url: &str, signed_url: &str| {
        let mut case = Case::new("twilio", b"a=1&b=2").at("http://inner:8080/h");
        let seen = signed(scheme("twilio"), SECRET.as_bytes(), b"a=1&b=2", signed_url, NOW_S);
        case.request.headers = seen.headers;
        case.scheme = scheme("twilio").for_endpoint(&[("url".into(), url.into())].into()).unwrap();
        case
    };
    let right = registered("https://a.example/h", "https://a.example/h");
    assert_eq!(right.explained().refusal(), None);
    check("slash", &registered("https://a.example/h/", "https://a.example/h"), &[Cause::UrlSlash]);
    check("tls", &registered("http://a.example/h", "https://a.example/h"), &[Cause::UrlScheme]);
    check("called", &registered("https://a.example/h", "http://inner:8080/h"), &[Cause::UrlRegistered]);
    let both = registered("https://a.example/h", "https://inner:8080/h");
    check("called over tls", &both, &[Cause::UrlRegistered, Cause::UrlScheme]);
}

#[test]
fn a_parameter_that_nobody_said_is_named() {
    let mut case = Case::new("github", b"{}").read_as("tiktok-shop").set("Authorization", "ab".repeat(32));
    case.request.headers.drain(..case.request.headers.len() - 1);
    let explanation = case.explained();
    assert_eq!(explanation.findings()[0].causes().collect::<Vec<_>>(), [Cause::ParameterMissing]);
    assert!(explanation.to_string().contains("`app_key`: say it among the parameters"), "{explanation}");
}

#[test]
fn another_scheme_is_found() {
    let body = br#"{"a":1}"#;
    for (by, read_as) in [("stripe", "github"), ("slack", "stripe"), ("shopify", "slack"), ("svix", "shopify")] {
        let case = Case::new(by, body).read_as(read_as);
        check(by, &case, &[Cause::OtherScheme]);
        let sentence = case.explained().to_string();
        assert!(sentence.contains(&format!("the scheme is `{by}`")), "{sentence}");
    }
    let by_another = Case::by(scheme("stripe"), OTHER.as_bytes(), body).read_as("github");
    check("and another secret", &by_another, &[Cause::OtherScheme, Cause::SecretOfAnother]);
}

#[test]
fn a_weaker_proof_is_told_of() {
    let signing = format!("whsec_{SECRET}");
    let mut case = Case::by(scheme("gitlab"), signing.as_bytes(), b"x").holding(&signing).set("X-Gitlab-Token", OTHER);
    case.secrets[1] = ("the token", OTHER.as_bytes().to_vec(), Standing::InForce);
    case.secrets.truncate(2);
    check("the token alone", &case.arrives("y"), &[Cause::WeakerProof]);
}
