//! Tests of the scheme language: what is wrong in a file is named with its line, its column and the nearest known name.

use std::time::Duration;

use hookward::{Draft, Refusal, Scheme, UnixTime, catalog};
use proptest::prelude::*;

use crate::support::{generated, key, plain_names, scheme};

const GOOD: &str = r#"name = "mine"
title = "Mine"

[[proof]]
algorithm = "hmac-sha256"
signature = { at = ["header:X-Sig"], encodings = ["hex"] }
content = "{timestamp}.{body}"
timestamp = { at = "header:X-Time", unit = "s", tolerance_s = 60 }
"#;

fn error(text: &str) -> String {
    Scheme::from_toml(text).expect_err(text).to_string()
}

fn changed(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    error(&GOOD.replace(from, to))
}

#[test]
fn a_private_scheme_reads() {
    let scheme = Scheme::from_toml(GOOD).unwrap();
    assert_eq!((scheme.name(), scheme.title(), scheme.docs()), ("mine", "Mine", None));
    assert_eq!(scheme.tolerance(), Some(Duration::from_secs(60)));
    assert!(!scheme.body_is_unique());
}

#[test]
fn a_scheme_can_stand_in_another_document() {
    #[derive(serde::Deserialize)]
    struct Config {
        scheme: Vec<Scheme>,
    }
    let text = "[[scheme]]\n".to_owned() + &GOOD.replace("[[proof]]", "[[scheme.proof]]");
    assert_eq!(toml::from_str::<Config>(&text).unwrap().scheme[0].name(), "mine");
}

#[test]
fn an_unknown_name_is_located_and_the_nearest_one_named() {
    assert_eq!(
        changed("algorithm =", "algoritm ="),
        "line 5, column 1: unknown field `algoritm`, expected one of `algorithm`, `key`, `signature`, `content`, `prehash`, `timestamp`, `id`, \
         `event_type`, `body_sha256`, `verify_only`, `when`, `items`, `alg`, `claims`, `must`; did you mean `algorithm`?"
    );
    assert_eq!(
        changed("hmac-sha256", "hmac-sha265"),
        "line 5, column 13: unknown variant `hmac-sha265`, expected one of `hmac-sha1`, `hmac-sha256`, `hmac-sha384`, \
         `hmac-sha512`, `md5`, `sha1`, `sha256`, `sha384`, `sha512`, `ed25519`, `ecdsa-p256`, `ecdsa-p256-raw`, \
         `ecdsa-p256-sha1`, `rsa-sha1`, `rsa-sha256`, `rsa-sha512`, `rsa-pss-sha256`, `rsa-pss-sha512`, `jwt`, `jws`, `token`, `basic`; did you mean `hmac-sha256`?"
    );
    assert!(changed("{timestamp}", "{tmestamp}").starts_with("line 7, column 11: unknown part `tmestamp`"));
    assert!(changed("{timestamp}", "{tmestamp}").ends_with("did you mean `timestamp`?"));
    assert!(changed("header:X-Time", "headr:X-Time").ends_with("did you mean `header`?"));
    assert!(changed("tolerance_s", "tolerance").contains("did you mean `tolerance_s`?"));
    assert!(!changed("title", "zzzzzzzzzzzz").contains("did you mean"));
}

#[test]
fn a_contradiction_is_an_error_at_its_proof() {
    let proof = "line 4, column 1: ";
    for (from, to, message) in [
        ("{timestamp}.", "", "`timestamp` and the content's `{timestamp}` need each other"),
        ("{body}", "{id}", "the content's `{id}` needs a header as the first place of `id`"),
        ("{body}", "{secret}", "a plain hash and the content's `{secret}` need each other"),
        ("encodings = [\"hex\"]", "encodings = []", "a signature needs `content` and `signature.encodings`"),
        (
            "\"header:X-Sig\"",
            "",
            "`signature.at` needs places of kind header, authorization or query, or json and form where the content does not hold the whole body",
        ),
        (
            "header:X-Sig",
            "json:/sig",
            "`signature.at` needs places of kind header, authorization or query, or json and form where the content does not hold the whole body",
        ),
        ("header:X-Time", "signature:t", "a timestamp in the signature needs `signature.separator`"),
        (
            "header:X-Time",
            "authorization:t",
            "`timestamp.at` needs a place of kind header, signature, json, form, query or claim",
        ),
        (
            "hmac-sha256",
            "token",
            "a token signs nothing: it has no content, timestamp, encodings, separator or repeats",
        ),
        ("hmac-sha256", "ed25519", "an asymmetric key needs `key.encoding`"),
    ] {
        assert_eq!(changed(from, to), format!("{proof}{message}"));
    }
    for (line, message) in [
        (
            "id = [\"claim:jti\"]",
            "`id` and `event_type` need places of kind header, json, form, query or, of a jwt, claim",
        ),
        (
            "key = { prefix = \"a\", optional_prefix = \"b\" }",
            "a key has at most one of `prefix`, `optional_prefix` and `refused_prefix`",
        ),
        (
            "key = { private_prefix = \"a\" }",
            "`key.private_prefix` needs an asymmetric algorithm and `key.prefix` for public keys",
        ),
        ("key = { generate = { bytes = 0, encoding = \"hex\" } }", "`key.generate.bytes` must be from 1 to 64"),
    ] {
        assert_eq!(error(&format!("{GOOD}{line}\n")), format!("{proof}{message}"));
    }
}

#[test]
fn a_bad_text_is_an_error_where_it_stands() {
    for (from, to, message) in [
        ("{timestamp}.{body}", "{timestamp.{body", "line 7, column 11: "),
        ("{timestamp}.{body}", "timestamp}", "line 7, column 11: unbalanced braces in the template `timestamp}`"),
        ("header:X-Sig", "X-Sig", "line 6, column 20: a place is written kind:name, not `X-Sig`"),
        ("header:X-Sig", "header:", "line 6, column 20: the name of the place `header:` must be visible ascii"),
        ("header:X-Time", "json:type", "line 8, column 20: the JSON pointer `type` must begin with `/`"),
        (
            "\"mine\"",
            "\"My Scheme\"",
            "line 1, column 1: the scheme's name `My Scheme` must be of lower-case letters, digits and hyphens",
        ),
        (
            "encodings =",
            "separator = \", \", encodings =",
            "line 6, column 50: the separator must be one ascii character, not `, `",
        ),
        ("tolerance_s = 60", "tolerance_s = -60", "line 8, column 63: "),
        ("name = ", "name ", "line 1, column "),
        ("[[proof]]", "[proof]", "line 4, column 1: "),
    ] {
        let found = changed(from, to);
        assert!(found.starts_with(message), "{found}\nis not\n{message}");
    }
    let deep = format!("json:/{}", ["a"; 17].join("/"));
    assert!(error(&format!("{GOOD}id = [\"{deep}\"]\n")).contains("is deeper than 16"));
    assert!(error(&format!("{GOOD}verify_only = true\n")).contains("not `verify_only`"));
}

#[test]
fn a_scheme_names_the_headers_it_reads_and_those_to_redact() {
    assert_eq!(scheme("gitlab").credential_headers(), ["X-Gitlab-Token"]);
    assert_eq!(
        scheme("gitlab").signature_headers(),
        ["webhook-signature", "webhook-timestamp", "webhook-id", "X-Gitlab-Event", "X-Gitlab-Token", "Idempotency-Key"]
    );
    assert_eq!(scheme("bearer").credential_headers(), ["Authorization"]);
    assert_eq!(scheme("bearer").credential_query(), ["token"]);
    assert_eq!(scheme("basic").credential_headers(), ["Authorization"]);
    assert_eq!(scheme("github").credential_headers(), <[&str; 0]>::default());
    assert_eq!(scheme("github").credential_query(), <[&str; 0]>::default());
    assert_eq!(scheme("github").signature_headers(), ["X-Hub-Signature-256", "X-GitHub-Delivery", "X-GitHub-Event"]);
    assert_eq!(scheme("twilio").signature_headers(), ["X-Twilio-Signature", "Content-Type"]);
    assert_eq!(scheme("stripe").signature_headers(), ["Stripe-Signature"]);
}

#[test]
fn a_scheme_says_where_the_part_stands_that_a_refusal_is_about() {
    let places = |name: &str, refusal: Refusal| scheme(name).places_of(&refusal);
    assert_eq!(places("github", Refusal::SignatureMissing), ["header:X-Hub-Signature-256"]);
    assert_eq!(places("github", Refusal::CredentialMissing), <[&str; 0]>::default());
    assert_eq!(places("bearer", Refusal::CredentialMismatch), ["authorization:Bearer", "query:token"]);
    assert_eq!(places("gitlab", Refusal::CredentialMismatch), ["header:X-Gitlab-Token"]);
    assert_eq!(places("gitlab", Refusal::SignatureMismatch), ["header:webhook-signature"]);
    assert_eq!(places("gitlab", Refusal::TimestampTooOld { age_s: 301 }), ["header:webhook-timestamp"]);
    assert_eq!(places("stripe", Refusal::TimestampMissing), ["signature:t"]);
    assert_eq!(places("stripe", Refusal::EventTypeMalformed), ["json:/type"]);
    assert_eq!(places("twilio", Refusal::BodyDigestMissing), ["query:bodySHA256"]);
    assert_eq!(places("svix", Refusal::IdMissing)[..1], ["header:svix-id"]);
    assert_eq!(places("github", Refusal::NoUsableSecret), <[&str; 0]>::default());
}

#[test]
fn a_refusal_over_time_says_by_how_much() {
    assert_eq!(Refusal::TimestampTooOld { age_s: 301 }.skew_s(), Some(301));
    assert_eq!(Refusal::TimestampTooNew { ahead_s: 301 }.skew_s(), Some(-301));
    assert_eq!(Refusal::TimestampTooNew { ahead_s: u64::MAX }.skew_s(), Some(i64::MIN));
    assert_eq!(Refusal::TimestampMissing.skew_s(), None);
}

#[test]
fn the_body_is_a_dedup_key_only_where_bodies_are_unique_by_nature() {
    // Those whose requests name what happened only once, although no one value in the body is an id of the delivery.
    let by_what_they_tell = ["github", "github-sha1", "gitlab", "gitlab-token"];
    for name in catalog::names().filter(|name| scheme(name).body_is_unique()) {
        let has_id_in_the_body = catalog::source(name).unwrap().contains("\nid = [\"json:/");
        assert!(has_id_in_the_body || by_what_they_tell.contains(&name), "{name}");
    }
    for (name, unique) in [("github", true), ("stripe", true), ("shopify", false), ("bearer", false), ("gitea", false)]
    {
        assert_eq!(scheme(name).body_is_unique(), unique, "{name}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        let _ = Scheme::from_toml(&text);
    }

    #[test]
    fn no_damage_to_a_file_makes_the_parser_panic(
        name in proptest::sample::select(catalog::names().collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(),
        with in "\\PC{0,3}",
        cut in 0_usize..6,
    ) {
        let mut chars: Vec<char> = catalog::source(name).unwrap().chars().collect();
        let start = at.index(chars.len());
        let end = (start + cut).min(chars.len());
        chars.splice(start..end, with.chars());
        if let Err(error) = Scheme::from_toml(&chars.into_iter().collect::<String>()) {
            prop_assert!(error.line >= 1 && error.column >= 1 && !error.message.is_empty());
        }
    }
}

#[test]
fn a_header_of_anybodys_choice_is_a_scheme_that_no_file_can_be() {
    let scheme = Scheme::of_header("X-Api-Key").unwrap();
    assert_eq!((scheme.name(), scheme.credential_headers()), ("header:x-api-key", vec!["X-Api-Key"]));
    assert_eq!(Scheme::of_header_named("header:x-api-key").unwrap().name(), scheme.name());
    for not_one in ["header:X-Api-Key", "header:", "x-api-key", "header:a b", "bearer"] {
        assert!(Scheme::of_header_named(not_one).is_none(), "{not_one}");
    }
    for not_a_name in ["", "X Y", "X:Y", "X\r\nY", "\"", "é", &"x".repeat(65)] {
        assert!(Scheme::of_header(not_a_name).is_none(), "{not_a_name:?}");
    }
    assert!(Scheme::of_header(&"x".repeat(64)).is_some());
    assert!(error(&GOOD.replace("mine", "header:mine")).contains("must be of lower-case letters, digits and hyphens"));
}

#[test]
fn a_scheme_says_whether_a_request_carries_a_signature_of_every_key() {
    let every: Vec<_> = plain_names().filter(|name| scheme(name).carries_every_signature()).collect();
    for name in plain_names() {
        let keys: Vec<_> = [(2, 9), (1, 10)]
            .map(|(version, seed)| key(scheme(name), version, &generated(scheme(name), seed)))
            .to_vec();
        let draft = Draft { id: "id-1", event_type: "push", method: "POST", url: "https://x.test/", body: b"a=1" };
        let signed = scheme(name).sign(&draft, &keys, UnixTime::from_secs(1_700_000_000)).unwrap();
        let mut signers = signed.signed_by;
        signers.sort_unstable();
        signers.dedup();
        // A key of GitLab's is a signing key or a token, and only several of the first kind fit into one request.
        assert_eq!(signers.len() == 2, every.contains(&name) || name == "gitlab", "{name}");
    }
    for (name, expected) in [("qflow", true), ("standard-webhooks", true), ("qlens", false), ("bearer", false)] {
        assert_eq!(every.contains(&name), expected, "{name}");
    }
}

#[test]
fn schemes_clash_that_would_give_one_header_two_values() {
    let clash = |one: &str, other: &str| scheme(one).clashes_with(scheme(other));
    assert_eq!(clash("bearer", "basic"), Some("Authorization"));
    assert_eq!(clash("qlens", "qflow"), None);
    assert_eq!(clash("svix", "standard-webhooks"), None);
    assert_eq!(clash("standard-webhooks", "standard-webhooks-ed25519"), Some("webhook-signature"));
    assert_eq!(clash("qlens", "qlens"), Some("X-QLens-Signature"));
    // What both take from the delivery is the same for both.
    let own = |name: &str, header: &str, unit: &str| {
        let text = format!(
            "name = \"{name}\"\ntitle = \"T\"\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
             signature = {{ at = [\"header:{header}\"], encodings = [\"hex\"] }}\ncontent = \"{{id}}.{{timestamp}}.{{body}}\"\n\
             timestamp = {{ at = \"header:X-Time\", unit = \"{unit}\", tolerance_s = 300 }}\nid = [\"header:X-Id\"]\n"
        );
        Scheme::from_toml(&text).unwrap()
    };
    assert_eq!(own("a", "X-A", "s").clashes_with(&own("b", "X-B", "s")), None);
    assert_eq!(own("a", "X-A", "s").clashes_with(&own("b", "x-a", "s")), Some("X-A"));
    assert_eq!(own("a", "X-A", "s").clashes_with(&own("b", "X-B", "ms")), Some("X-Time"));
    assert_eq!(own("a", "X-A", "s").clashes_with(&own("b", "X-Id", "s")), Some("X-Id"));
}
