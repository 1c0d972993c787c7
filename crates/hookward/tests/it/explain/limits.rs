//! What the doctor cannot prove, does not say, and does no more of than its bounds allow.

use std::collections::BTreeSet;

use hookward::explain::{Cause, Evidence, Explanation, MAX_EXPLAINED, MAX_HMACS, Standing};
use hookward::{Draft, Secret, catalog};
use proptest::prelude::*;

use super::case::{Case, URL, gzip, now};
use crate::support::scheme;

fn suspected(explanation: &Explanation) -> Vec<Cause> {
    assert!(explanation.findings().iter().all(|finding| finding.evidence() == Evidence::Suspected), "{explanation}");
    explanation.findings().iter().flat_map(|finding| finding.causes().collect::<Vec<_>>()).collect()
}

#[test]
fn what_cannot_be_proven_is_suspected_and_said_so() {
    let case = |signed: &str, arrived: &[u8]| Case::new("github", signed.as_bytes()).arrives(arrived);
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(2000));
    let cut = case(&long, &long.as_bytes()[..1024]);
    assert_eq!(suspected(&cut.explained()), [Cause::Truncated, Cause::SecretUnknown]);
    let sentence = cut.explained().to_string();
    assert!(
        sentence.starts_with("perhaps the body was cut off: its 1024 bytes are a power of two and its json has no end"),
        "{sentence}"
    );
    let announced = case(&long, &long.as_bytes()[..1000]).set("Content-Length", long.len().to_string());
    assert_eq!(suspected(&announced.explained()), [Cause::Truncated, Cause::SecretUnknown]);
    let rewritten = case("{\"a\" :1}", br#"{"a":2}"#).set("Content-Length", "8");
    assert_eq!(suspected(&rewritten.explained()), [Cause::Reserialised, Cause::SecretUnknown]);
    let lost = case(&long, b"").set("Content-Length", "2008");
    assert_eq!(suspected(&lost.explained()), [Cause::BodyLost, Cause::SecretUnknown]);
    assert_eq!(suspected(&case(&long, b"[object Object]").explained()), [Cause::BodyLost, Cause::SecretUnknown]);
    let parsed = case(&long, b"{}").set("Content-Length", "2008");
    assert_eq!(suspected(&parsed.explained()), [Cause::BodyLost, Cause::SecretUnknown]);
    assert_eq!(
        suspected(&case("{ }", b"{}x").set("Content-Length", "3").explained()),
        [Cause::Truncated, Cause::SecretUnknown]
    );
    assert_eq!(suspected(&case("other", b"null").explained()), [Cause::SecretUnknown]);
    let inflated = case("\u{1f}compressed", b"hello").set("Content-Encoding", "gzip");
    assert_eq!(suspected(&inflated.explained()), [Cause::Compressed, Cause::SecretUnknown]);
    let damaged = case("\"caf\u{e9}\"", "\"caf\u{fffd}\"".as_bytes());
    assert_eq!(suspected(&damaged.explained()), [Cause::Charset, Cause::SecretUnknown]);
    let mut unsigned = case("x", b"x");
    unsigned.request.headers.retain(|(name, _)| name != "X-Hub-Signature-256");
    assert_eq!(suspected(&unsigned.explained()), [Cause::NotSigned]);
    let with_key = unsigned.clone().set("Authorization", "Bearer of something else");
    assert_eq!(suspected(&with_key.explained()), [Cause::NotSigned]);
    let mut foreign = Case::new("stripe", b"x").read_as("github");
    foreign.secrets[0].1 = b"nobody has this secret at all".to_vec();
    foreign.secrets.truncate(1);
    assert_eq!(suspected(&foreign.explained()), [Cause::OtherScheme, Cause::NotSigned]);
    let malformed = Case::new("stripe", b"x").set("Stripe-Signature", "t=x,v1=00");
    assert_eq!(suspected(&malformed.explained()), [Cause::Malformed]);
}

#[test]
fn an_authentic_request_has_no_findings() {
    let explanation = Case::new("github", b"x").explained();
    assert_eq!((explanation.refusal(), explanation.findings(), explanation.hmacs()), (None, &[][..], 0));
    assert_eq!(explanation.to_string(), "the request is authentic");
}

#[test]
fn the_work_is_bounded() {
    let hopeless = |body: &[u8], others: usize| {
        let mut case = Case::by(scheme("github"), b"nobody has this secret at all", body);
        let more = (0..others).map(|n| ("another", format!("the secret number {n}").into_bytes(), Standing::Another));
        case.secrets.extend(more);
        case.explained()
    };
    let body = format!("{{\"b\": [1.50, \"é/<&>\"], \"a\": \"{}\"}}", "x".repeat(8 << 10));
    let whole = hopeless(body.as_bytes(), 0);
    assert!(whole.hmacs() <= MAX_HMACS);
    let crowded = hopeless(body.as_bytes(), 3000);
    assert_eq!((crowded.hmacs(), crowded.is_complete()), (MAX_HMACS, false));
    let small = hopeless(b"{}", 0);
    assert!(small.is_complete() && small.hmacs() < MAX_HMACS, "{}", small.hmacs());
    let largest = vec![b'x'; MAX_EXPLAINED];
    let explanation = hopeless(&largest, 0);
    assert!(explanation.hmacs() > 0 && explanation.hmacs() < 200, "{}", explanation.hmacs());
    let larger = vec![b'x'; MAX_EXPLAINED + 1];
    let explanation = hopeless(&larger, 0);
    assert_eq!((explanation.hmacs(), explanation.is_complete()), (0, false));
    assert_eq!(suspected(&explanation), [Cause::SecretUnknown]);
}

#[test]
fn a_compressed_body_grows_no_larger_than_its_bound() {
    let bomb = gzip(&vec![b'x'; 16 << 20]);
    let case = Case::by(scheme("github"), b"nobody has this secret at all", b"").arrives(bomb);
    assert_eq!(suspected(&case.explained()), [Cause::SecretUnknown]);
}

#[test]
fn causes_have_names_of_their_own_and_stand_in_order() {
    let ids: BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.id()).collect();
    assert_eq!(ids.len(), Cause::ALL.len());
    assert!(Cause::ALL.is_sorted());
    let plain = |text: &str| {
        !text.is_empty()
            && !text.ends_with('.')
            && text.starts_with(|char: char| char.is_ascii_lowercase() || char == '`')
    };
    assert!(Cause::ALL.iter().all(|cause| plain(cause.advice()) && plain(cause.meaning())));
}

#[test]
fn the_document_lists_every_cause() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/doctor.md");
    let text = std::fs::read_to_string(path).unwrap();
    let row = |cause: &Cause| format!("| `{}` | {} | {} |", cause.id(), cause.meaning(), cause.advice());
    let table: Vec<String> = Cause::ALL.iter().map(row).collect();
    assert!(text.contains(&table.join("\n")), "docs/doctor.md should hold:\n{}", table.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever arrives, under whatever scheme: `explained` holds what is said against every secret and signature.
    #[test]
    fn nothing_said_holds_a_secret(
        of in 0..catalog::names().count(),
        secret in "[a-zA-Z0-9+/]{12,40}={0,2}",
        body in prop_oneof!["[ -~]{0,40}", "\\{\"[a-z]\": *[0-9]\\}\n?"],
        arrived in "[ -~]{0,40}",
    ) {
        let by = catalog::find(catalog::names().nth(of).unwrap()).unwrap();
        let mut case = Case::new("github", body.as_bytes());
        case.scheme = by.clone();
        let key = by.key(1, &Secret::new(secret.clone()).unwrap());
        if let Ok(key) = key {
            let draft = Draft { id: "msg_2a", event_type: "ping", method: "POST", url: URL, body: body.as_bytes() };
            if let Ok(signed) = by.sign(&draft, &[key], now()) {
                case.request.headers = signed.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
            }
        }
        case.secrets[0].1 = format!("{secret}\n").into_bytes();
        case.explained();
        case.arrives(arrived).explained();
    }
}
