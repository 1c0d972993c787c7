//! Tests of the embedded schemes: every file is listed and reads, and every vector of every scheme has its answer.

use std::collections::BTreeSet;

use hookward::{Draft, Secret, SignError, catalog};

use crate::support::{Origin, Request, is_plain, keys, scheme, vectors};

fn files(suffix: &str) -> BTreeSet<String> {
    let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schemes")).unwrap();
    let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(suffix).map(str::to_owned)).filter(|name| !name.contains('.')).collect()
}

#[test]
fn the_catalog_lists_every_file_and_every_file_has_vectors() {
    assert!(catalog::names().is_sorted_by(|one, next| one < next), "in their order, and none twice");
    let listed: BTreeSet<String> = catalog::names().map(str::to_owned).collect();
    assert_eq!(listed, files(".toml"));
    assert_eq!(listed, files(".vectors.toml"));
}

#[test]
fn a_scheme_has_the_name_of_its_file() {
    for name in catalog::names() {
        assert_eq!(scheme(name).name(), name);
        assert!(!scheme(name).title().is_empty());
        assert!(scheme(name).docs().is_none_or(|docs| docs.starts_with("https://")), "{name}");
        assert!(catalog::source(name).unwrap().contains("[[proof]]"));
        let taken = scheme(name).takes();
        assert!(taken.iter().all(|one| !one.meaning.is_empty()), "{name}: every parameter has a meaning");
        assert!(catalog::has(name));
    }
    assert!(!catalog::has("no-such-scheme") && !catalog::has(""));
    assert!(catalog::find("no-such-scheme").is_none());
    assert!(catalog::source("no-such-scheme").is_none());
}

#[test]
fn who_insists_on_an_answer_is_known() {
    let insists = catalog::names().filter_map(|name| Some((name, scheme(name).event_answer()?)));
    let insists: Vec<_> = insists.map(|(name, answer)| (name, answer.status, answer.body.as_str())).collect();
    assert_eq!(insists, [("adyen-standard", 200, "[accepted]")]);
}

#[test]
fn every_vector_has_its_answer() {
    let mut count = 0;
    let mut wrong = Vec::new();
    for name in catalog::names() {
        for vector in vectors(name) {
            count += 1;
            let request = vector.request();
            let answer = request.verify(&vector.scheme(name), &keys(scheme(name), &vector.secrets), vector.now());
            let refused = answer.as_ref().err().map(|refusal| refusal.id().to_owned());
            let matches = match (&answer, &vector.verified) {
                (Ok(verified), Some(expected)) => {
                    let millis = expected.timestamp_ms.or(expected.timestamp_s.map(|seconds| seconds * 1000));
                    verified.scheme() == name
                        && verified.key_version() == expected.key
                        && verified.id() == expected.id.as_deref()
                        && verified.event_type() == expected.event_type.as_deref()
                        && verified.timestamp().map(|time| time.as_millis()) == millis
                }
                (Err(_), None) => refused == vector.refused,
                _ => false,
            };
            if !matches {
                wrong.push(format!(
                    "{name}: {}: {answer:?}, not {:?} {:?}",
                    vector.name, vector.verified, vector.refused
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} vectors are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 2000, "only {count} vectors were read");
}

#[test]
fn every_vector_says_where_it_comes_from_and_every_scheme_has_both_answers() {
    for name in catalog::names() {
        let vectors = vectors(name);
        let names: BTreeSet<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
        assert_eq!(names.len(), vectors.len(), "{name}: two vectors have one name");
        assert!(vectors.iter().all(|vector| !vector.source.is_empty()), "{name}");
        assert!(vectors.iter().any(|vector| vector.verified.is_some()), "{name}");
        assert!(vectors.iter().any(|vector| vector.refused.is_some()), "{name}");
    }
    for name in ["github", "github-sha1", "stripe", "slack", "shopify", "twilio", "standard-webhooks"] {
        assert!(vectors(name).iter().any(|vector| vector.origin == Origin::Published), "{name}");
    }
}

#[test]
fn a_changed_body_changes_every_verdict_that_binds_the_body() {
    for name in catalog::names() {
        for vector in vectors(name).iter().filter(|vector| vector.verified.is_some()) {
            let mut request = vector.request();
            let keys = keys(scheme(name), &vector.secrets);
            let binds = request.verify(&vector.scheme(name), &keys, vector.now()).unwrap().binds();
            request.body.push(b' ');
            let is_refused = request.verify(&vector.scheme(name), &keys, vector.now()).is_err();
            // A blank may end up in a part that is bound.
            assert!(is_refused == binds.body || binds.part_of_body, "{name}: {} claims to bind {binds:?}", vector.name);
        }
    }
}

#[test]
fn what_a_scheme_is_said_to_bind_every_verdict_binds() {
    let mut bound = 0;
    for name in catalog::names() {
        let said = scheme(name).binds();
        assert!(!scheme(name).algorithms().is_empty(), "{name}");
        for vector in vectors(name).iter().filter(|vector| vector.verified.is_some()) {
            let request = vector.request();
            let keys = keys(scheme(name), &vector.secrets);
            let verdict = request.verify(&vector.scheme(name), &keys, vector.now()).unwrap();
            let found = verdict.binds();
            // A request may arrive under another URL than the signed one, and without an id.
            let told = [said.body, said.time, said.id && verdict.id().is_some()];
            let shown = [found.body, found.time, found.id];
            assert!(
                told.iter().zip(shown).all(|(told, shown)| !told || shown),
                "{name}: {}: {said:?} {found:?}",
                vector.name
            );
            assert!(
                !said.part_of_body || found.part_of_body || found.body,
                "{name}: {}: {said:?} {found:?}",
                vector.name
            );
            bound += usize::from(said.body);
        }
    }
    assert!(bound > 900, "only {bound} vectors are of schemes that bind the body");
    let github = scheme("github").binds();
    assert_eq!((github.body, github.time, github.id), (true, false, false));
    let standard = scheme("standard-webhooks");
    assert!(standard.binds().time && standard.binds().id && standard.binds().unique && !standard.is_weak());
    assert_eq!((standard.algorithms()[0], scheme("bearer").binds()), ("hmac-sha256", hookward::Binds::default()));
}

#[test]
fn no_refusal_holds_a_secret() {
    for name in catalog::names() {
        for vector in vectors(name).iter().filter(|vector| vector.refused.is_some()) {
            let keys = keys(scheme(name), &vector.secrets);
            let refusal = vector.request().verify(&vector.scheme(name), &keys, vector.now()).unwrap_err();
            for secret in vector.secrets.iter().filter(|secret| secret.len() > 6) {
                assert!(!refusal.to_string().contains(secret.as_str()));
                assert!(!format!("{keys:?} {refusal:?} {:?}", Secret::new(secret.as_str())).contains(secret.as_str()));
            }
        }
    }
}

#[test]
fn a_scheme_that_looks_into_the_body_signs_in_the_body_of_its_vector() {
    let mut signed_by = 0;
    for name in catalog::names().filter(|name| !is_plain(name)) {
        let vectors = vectors(name);
        let vector = vectors.iter().find(|vector| vector.verified.is_some()).unwrap();
        let (request, scheme) = (vector.request(), vector.scheme(name));
        let body = without_fields(name, &request.body);
        let draft = Draft { id: "one", event_type: "", method: &request.method, url: &request.url, body: &body };
        let signed = match scheme.sign(&draft, &keys(&scheme, &vector.secrets), vector.now()) {
            Err(SignError::OnlyPublicKeys) => continue,
            signed => signed.unwrap_or_else(|error| panic!("{name}: {error}")),
        };
        let headers = signed.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        let form = request.headers.iter().filter(|(name, _)| name == "Content-Type").cloned();
        let sent =
            Request { headers: headers.chain(form).collect(), body: signed.body.unwrap_or(body), ..request.clone() };
        let verdict = sent.verify(&scheme, &keys(&scheme, &vector.secrets), vector.now());
        assert!(verdict.is_ok(), "{name}: {verdict:?}: {sent:?}");
        signed_by += 1;
    }
    assert!(signed_by >= 8, "only {signed_by} signed");
}

/// A form without the fields that signing writes; any other body as it is.
fn without_fields(name: &str, body: &[u8]) -> Vec<u8> {
    let source = catalog::source(name).unwrap();
    let is_written = |pair: &&str| source.contains(&format!("\"form:{}\"", pair.split('=').next().unwrap()));
    match std::str::from_utf8(body) {
        Ok(text) if source.contains("\"form:") => {
            text.split('&').filter(|pair| !is_written(pair)).collect::<Vec<_>>().join("&").into_bytes()
        }
        _ => body.to_vec(),
    }
}
