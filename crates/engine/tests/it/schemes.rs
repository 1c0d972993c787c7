//! Private schemes: whose a name is, that a change is in force at once and for all who use it, or not made at all.

use bytes::Bytes;
use hookward::{Draft, Scheme, Secret, UnixTime};
use hookward_engine::clock::Clock;
use hookward_engine::model::{Manager, Principal, PrivateScheme, Proof, REPLACES_CATALOG};
use hookward_engine::schemes::{Hidden, PROOFS_MAX, SCHEME_MAX, SCHEMES_MAX, SchemeOrigin};
use hookward_engine::store::Change;
use hookward_engine::{
    Authority, Declared, DeclaredScheme, DeclaredSource, EngineError, InboundRequest, Kind, Receipt,
};
use serde_json::json;

use crate::support::{ALL, Rig, github, signing_to};
use crate::{ORG, by};

/// An HMAC of the body in this header.
fn file(name: &str, header: &str) -> String {
    format!(
        "name = \"{name}\"\ntitle = \"Ours\"\n\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
         signature = {{ at = [\"header:{header}\"], encodings = [\"hex\"] }}\ncontent = \"{{body}}\"\n"
    )
}

fn scheme(name: &str, toml: &str) -> DeclaredScheme {
    DeclaredScheme { name: name.to_owned(), toml: toml.to_owned(), table: json!({ "toml": toml }) }
}

fn replacing(name: &str, toml: &str) -> DeclaredScheme {
    DeclaredScheme { table: json!({ "toml": toml, REPLACES_CATALOG: true }), ..scheme(name, toml) }
}

fn schemes(schemes: Vec<DeclaredScheme>) -> Declared {
    Declared { schemes, ..Declared::default() }
}

/// A declaration of one scheme.
pub(crate) fn one_scheme(name: &str) -> Declared {
    schemes(vec![scheme(name, &file(name, "x-ours"))])
}

/// The source `github` by another scheme.
fn source(scheme: &str) -> DeclaredSource {
    let mut source = github();
    source.spec.proof = Proof::by(scheme);
    source
}

async fn put(rig: &Rig, by: &Principal, authority: Authority, one: DeclaredScheme) -> Result<(), EngineError> {
    rig.engine.declare(by, authority, schemes(vec![one])).await.map(drop)
}

async fn create(rig: &Rig, one: DeclaredScheme) -> Result<(), EngineError> {
    put(rig, &by("api"), Authority::Creation, one).await
}

async fn alter(rig: &Rig, toml: &str) -> Result<(), EngineError> {
    put(rig, &by("api"), Authority::Alteration, scheme("acme", toml)).await
}

async fn make_source(rig: &Rig, by: &Principal, scheme: &str) {
    let declared = Declared { sources: vec![source(scheme)], ..Declared::default() };
    rig.engine.declare(by, Authority::Creation, declared).await.expect("a good source");
}

/// A request that this scheme file signs, with the secret that every source here has.
fn signed(rig: &Rig, toml: &str, body: &str) -> InboundRequest {
    let scheme = Scheme::from_toml(toml).unwrap();
    let key = scheme.key(1, &Secret::new(crate::support::SECRET).unwrap()).unwrap();
    let draft = Draft { id: "", event_type: "", method: "POST", url: "/", body: body.as_bytes() };
    let signed = scheme.sign(&draft, &[key], UnixTime::from_millis(rig.clock.now().as_millis())).unwrap();
    InboundRequest {
        method: "POST".to_owned(),
        url: "/".to_owned(),
        headers: signed.headers.into_iter().map(|(name, value)| (name.to_lowercase(), Bytes::from(value))).collect(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        remote: "192.0.2.7:4711".to_owned(),
    }
}

async fn is_accepted(rig: &Rig, by: &Principal, toml: &str, body: &str) -> bool {
    let source = rig.engine.source(by.organization, "github").unwrap();
    match rig.engine.receive(source.id, signed(rig, toml, body)).await.unwrap() {
        Receipt::Accepted(_) => true,
        Receipt::Refused(_) => false,
        other => panic!("{other:?}"),
    }
}

fn conflict(outcome: Result<(), EngineError>, says: &str) {
    let Err(EngineError::Conflict(problem)) = outcome else { panic!("{outcome:?} is no conflict") };
    assert!(problem.contains(says), "{problem}");
}

fn invalid(outcome: Result<(), EngineError>, says: &str) {
    let Err(EngineError::Invalid(problem)) = outcome else { panic!("{outcome:?} is not invalid") };
    assert!(problem.contains(says), "{problem}");
}

#[tokio::test]
async fn each_organization_has_its_own_scheme_of_a_name_before_and_after_a_restart() {
    let rig = Rig::new(Declared::default()).await;
    let organization = rig.engine.create_organization(&by("test"), "other", None).await.unwrap().id;
    let (ours, theirs) = (by("api"), Principal { organization, ..by("key:other") });
    let (our_file, their_file) = (file("acme", "x-ours"), file("acme", "x-theirs"));
    for (whose, toml) in [(&ours, &our_file), (&theirs, &their_file)] {
        put(&rig, whose, Authority::Creation, scheme("acme", toml)).await.unwrap();
        make_source(&rig, whose, "acme").await;
    }
    put(&rig, &theirs, Authority::Creation, scheme("only-theirs", &file("only-theirs", "x-a"))).await.unwrap();
    assert!(
        rig.engine.scheme(ORG, "only-theirs").is_none() && rig.engine.scheme(organization, "only-theirs").is_some()
    );
    let missing = rig.engine.retire(&ours, Kind::Scheme, "only-theirs").await;
    assert!(matches!(missing, Err(EngineError::NotFound(_))), "{missing:?}");
    let rig = rig.restart().await;
    for (n, (whose, right, wrong)) in
        [(&ours, &our_file, &their_file), (&theirs, &their_file, &our_file)].iter().enumerate()
    {
        assert!(is_accepted(&rig, whose, right, &format!("{{\"n\":{n}}}")).await);
        assert!(!is_accepted(&rig, whose, wrong, "{}").await);
    }
    let names = |organization| {
        let known = rig.engine.schemes(organization).into_iter();
        let own = known.filter(|known| matches!(known.origin, SchemeOrigin::Private(_)));
        own.map(|known| known.name).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(ORG), names(organization)),
        (vec!["acme".to_owned()], vec!["acme".to_owned(), "only-theirs".to_owned()])
    );
    let audited = rig.store.audit(ORG, ALL).await.unwrap().items;
    let entry = audited.iter().find(|row| row.entry.action == "scheme.create").expect("it is audited");
    assert_eq!((entry.entry.target.as_str(), &entry.entry.detail["after"]["toml"]), ("scheme:acme", &json!(our_file)));
    assert_eq!(audited.iter().filter(|row| row.entry.action == "scheme.create").count(), 1);
}

#[tokio::test]
async fn a_replaced_scheme_is_in_force_at_once_with_the_secrets_there_are() {
    let rig = Rig::new(Declared::default()).await;
    let (first, second) = (file("acme", "x-first"), file("acme", "x-second"));
    create(&rig, scheme("acme", &first)).await.unwrap();
    make_source(&rig, &by("api"), "acme").await;
    assert!(is_accepted(&rig, &by("api"), &first, "{\"n\":1}").await);
    alter(&rig, &second).await.unwrap();
    assert!(is_accepted(&rig, &by("api"), &second, "{\"n\":2}").await);
    assert!(!is_accepted(&rig, &by("api"), &first, "{\"n\":3}").await);
    // Another key is made of the same secret, so the open one is not used any more.
    let hashed = second.replace("algorithm =", "key = { hash = \"sha256\" }\nalgorithm =");
    alter(&rig, &hashed).await.unwrap();
    assert!(is_accepted(&rig, &by("api"), &hashed, "{\"n\":4}").await);
    assert!(!is_accepted(&rig, &by("api"), &second, "{\"n\":5}").await);
    let SchemeOrigin::Private(kept) = rig.engine.schemes(ORG).remove(0).origin else { panic!("it is private") };
    assert_eq!((kept.declaration.manager, kept.version, kept.name.as_str()), (Manager::Api, 3, "acme"));
    // The same once more changes nothing.
    let before = rig.audit().await.len();
    let toml = kept.toml.clone();
    alter(&rig, &toml).await.unwrap();
    assert_eq!(rig.audit().await.len(), before);
}

#[tokio::test]
async fn a_scheme_that_its_users_could_not_go_on_with_is_not_taken() {
    let rig = Rig::new(Declared::default()).await;
    let good = file("acme", "x-acme");
    create(&rig, scheme("acme", &good)).await.unwrap();
    make_source(&rig, &by("api"), "acme").await;
    let before = (rig.store.load().await.unwrap(), rig.audit().await);
    let needs_app = good.replace("{body}", "{const:app}{body}");
    conflict(alter(&rig, &needs_app).await, "source `github` could not go on: ");
    let public = good.replace("\"hmac-sha256\"", "\"ed25519\"\nkey = { encoding = \"base64\" }");
    conflict(
        alter(&rig, &public).await,
        "source `github` could not go on: version 1 of its secret is no key of this scheme",
    );
    let timed = good.replace("{body}", "{timestamp}.{body}")
        + "timestamp = { at = \"header:x-time\", unit = \"s\", tolerance_s = 2000000 }\n";
    conflict(alter(&rig, &timed).await, "source `github` could not go on: its dedup window is shorter");
    invalid(alter(&rig, "name = \"acme\"\ntitel = \"x\"").await, "line 2, column 1: unknown field `titel`");
    assert_eq!((rig.store.load().await.unwrap(), rig.audit().await), before, "nothing is half-written");
    assert!(is_accepted(&rig, &by("api"), &good, "{\"n\":1}").await);
}

#[tokio::test]
async fn two_schemes_of_a_destination_still_go_side_by_side() {
    let rig = Rig::new(Declared::default()).await;
    create(&rig, scheme("acme", &file("acme", "x-acme"))).await.unwrap();
    let mut ci = signing_to("ci", "http://127.0.0.1:1/".to_owned());
    ci.spec.signing.push(hookward_engine::model::Signing::by("acme"));
    let declared = Declared { destinations: vec![ci], ..Declared::default() };
    rig.engine.declare(&by("api"), Authority::Creation, declared).await.unwrap();
    let says = "destination `ci` could not go on: schemes `standard-webhooks` and `acme` both write header `webhook-signature`";
    conflict(alter(&rig, &file("acme", "webhook-signature")).await, says);
    let gone = rig.engine.retire(&by("api"), Kind::Scheme, "acme").await;
    conflict(gone, "scheme `acme` is in use by destination `ci`");
}

#[tokio::test]
async fn what_is_in_use_stays_and_what_is_not_goes() {
    let rig = Rig::new(Declared::default()).await;
    create(&rig, scheme("acme", &file("acme", "x-acme"))).await.unwrap();
    make_source(&rig, &by("api"), "acme").await;
    assert_eq!(rig.engine.scheme_users(ORG, "acme"), ["source `github`"]);
    let before = rig.audit().await;
    conflict(rig.engine.retire(&by("api"), Kind::Scheme, "acme").await, "scheme `acme` is in use by source `github`");
    assert_eq!(rig.audit().await, before);
    rig.engine.retire(&by("api"), Kind::Source, "github").await.unwrap();
    rig.engine.retire(&by("api"), Kind::Scheme, "acme").await.unwrap();
    assert_eq!(rig.audit().await[0], "scheme.remove");
    assert!(rig.engine.scheme(ORG, "acme").is_none());
    let again = rig.engine.retire(&by("api"), Kind::Scheme, "acme").await;
    assert!(matches!(again, Err(EngineError::NotFound(_))), "{again:?}");
}

#[tokio::test]
async fn a_name_of_the_catalog_is_taken_only_on_purpose() {
    let rig = Rig::new(Declared::default()).await;
    make_source(&rig, &by("api"), "github").await;
    let ours = file("github", "x-ours");
    conflict(create(&rig, scheme("github", &ours)).await, "scheme `github` is in the catalog");
    let unusable = ours.replace("\"hmac-sha256\"", "\"ed25519\"\nkey = { encoding = \"base64\" }");
    conflict(create(&rig, replacing("github", &unusable)).await, "is no key of this scheme");
    create(&rig, replacing("github", &ours)).await.unwrap();
    assert!(is_accepted(&rig, &by("api"), &ours, "{\"n\":1}").await);
    let known = rig.engine.schemes(ORG);
    assert_eq!((known[0].name.as_str(), known[0].hides), ("github", Some(Hidden::Catalog)));
    assert_eq!(known.iter().filter(|known| known.name == "github").count(), 1);
    assert!(rig.engine.overtaken_schemes().is_empty(), "it was said");
    conflict(rig.engine.retire(&by("api"), Kind::Scheme, "github").await, "is in use by source `github`");
}

/// Writes a private scheme as another version of Hookward did.
async fn as_before(rig: Rig, name: &str, toml: &str) -> Rig {
    let declaration = hookward_engine::model::Declaration { table: json!({ "toml": toml }), manager: Manager::Api };
    let (now, name, toml) = (rig.clock.now(), name.to_owned(), toml.to_owned());
    let kept =
        PrivateScheme { organization: ORG, name, toml, version: 1, declaration, created_at: now, updated_at: now };
    rig.store.change(vec![Change::PutScheme(kept)], vec![]).await.unwrap();
    rig.restart().await
}

#[tokio::test]
async fn one_that_the_catalog_overtook_goes_on_and_is_told() {
    let ours = file("github", "x-ours");
    let rig = as_before(Rig::new(Declared::default()).await, "github", &ours).await;
    make_source(&rig, &by("api"), "github").await;
    assert!(is_accepted(&rig, &by("api"), &ours, "{\"n\":1}").await);
    let overtaken = rig.engine.overtaken_schemes();
    assert_eq!(
        overtaken.iter().map(|known| (known.name.as_str(), known.hides)).collect::<Vec<_>>(),
        [("github", Some(Hidden::Catalog))]
    );
    let newer = file("github", "x-newer");
    put(&rig, &by("api"), Authority::Alteration, scheme("github", &newer)).await.expect("it was there before");
    assert!(is_accepted(&rig, &by("api"), &newer, "{\"n\":2}").await);
}

#[tokio::test]
async fn nothing_takes_the_place_of_one_that_cannot_be_read_any_more() {
    let rig = as_before(Rig::new(Declared::default()).await, "github", "name = 7").await;
    assert!(rig.engine.scheme(ORG, "github").is_none(), "least of all the catalog's");
    let known = rig.engine.schemes(ORG).remove(0);
    assert_eq!((known.name.as_str(), known.scheme.unwrap_err().line), ("github", 1));
    let declared = Declared { sources: vec![github()], ..Declared::default() };
    let refused = rig.engine.declare(&by("api"), Authority::Creation, declared).await.map(drop);
    invalid(refused, "source `github`: no scheme `github`");
}

#[tokio::test]
async fn names_sizes_and_numbers_have_limits() {
    let rig = Rig::new(Declared::default()).await;
    for name in ["", "Acme", "a_b", "mtls", &"a".repeat(65)] {
        invalid(create(&rig, scheme(name, &file(name, "x-a"))).await, "scheme `");
    }
    create(&rig, scheme(&"a".repeat(64), &file(&"a".repeat(64), "x-a"))).await.unwrap();
    invalid(create(&rig, scheme("one", &file("other", "x-a"))).await, "its file calls it `other`");
    let padded = |bytes: usize| {
        let file = file("padded", "x-a");
        format!("{file}#{}", "x".repeat(bytes - file.len() - 1))
    };
    invalid(create(&rig, scheme("padded", &padded(SCHEME_MAX + 1))).await, "at most 65536 bytes");
    create(&rig, scheme("padded", &padded(SCHEME_MAX))).await.unwrap();
    let proofs = |count: usize| {
        let one = file("many", "x-a");
        let (head, proof) = one.split_at(one.find("[[proof]]").unwrap());
        let proofs = (0..count).map(|n| proof.replace("x-a", &format!("x-{n}")));
        format!("{head}{}", proofs.collect::<String>())
    };
    invalid(create(&rig, scheme("many", &proofs(PROOFS_MAX + 1))).await, "at most 16 proofs");
    create(&rig, scheme("many", &proofs(PROOFS_MAX))).await.unwrap();
    let more =
        |count: usize| (0..count).map(|n| format!("s-{n}")).map(|name| scheme(&name, &file(&name, "x-a"))).collect();
    let fill = rig.engine.declare(&by("api"), Authority::Creation, schemes(more(SCHEMES_MAX - 2))).await.map(drop);
    conflict(fill, "at most 100 private schemes");
    rig.engine.declare(&by("api"), Authority::Creation, schemes(more(SCHEMES_MAX - 3))).await.unwrap();
    for name in hookward::catalog::names() {
        assert!(hookward::catalog::find(name).unwrap().proof_count() <= PROOFS_MAX, "{name}");
    }
}

#[tokio::test]
async fn a_file_that_is_applied_brings_schemes_and_takes_them_away() {
    let rig = Rig::new(Declared::default()).await;
    let toml = file("acme", "x-acme");
    let whole = |schemes, sources| Declared { schemes, sources, ..Declared::default() };
    let apply = async |declared| rig.engine.declare(&by("api"), Authority::AppliedFile, declared).await;
    let planned = apply(whole(vec![scheme("acme", &toml)], vec![source("acme")])).await.unwrap();
    assert_eq!(planned.iter().map(|one| one.kind).collect::<Vec<_>>(), [Kind::Scheme, Kind::Source]);
    assert!(is_accepted(&rig, &by("api"), &toml, "{\"n\":1}").await);
    conflict(alter(&rig, &toml).await, "scheme `acme` is managed by the configuration file");
    let left = apply(whole(vec![], vec![source("acme")])).await.map(drop);
    invalid(left, "source `github`: no scheme `acme`");
    // One that the API manages is not the file's to leave without.
    let other = DeclaredSource { name: "other".to_owned(), ..source("acme") };
    let declared = Declared { sources: vec![other], ..Declared::default() };
    rig.engine.declare(&by("api"), Authority::Creation, declared).await.unwrap();
    conflict(apply(whole(vec![], vec![])).await.map(drop), "scheme `acme` is in use by source `other`");
    assert!(is_accepted(&rig, &by("api"), &toml, "{\"n\":2}").await);
    rig.engine.retire(&by("api"), Kind::Source, "other").await.unwrap();
    apply(whole(vec![], vec![])).await.unwrap();
    assert!(rig.engine.scheme(ORG, "acme").is_none() && rig.store.load().await.unwrap().schemes.is_empty());
}

#[tokio::test]
async fn the_served_file_keeps_names_that_the_catalog_took_later_and_takes_no_other() {
    let rig = Rig::new(Declared::default()).await;
    let admit = async |names: &[&str], unsaid: &[&str]| rig.engine.admit_served_schemes(names, unsaid).await;
    // Nothing is known of what an earlier version served.
    admit(&["acme", "github"], &["github"]).await.unwrap();
    admit(&["acme", "github"], &["acme", "github"]).await.unwrap();
    conflict(admit(&["acme", "stripe"], &["stripe"]).await, "scheme `stripe` is in the catalog");
    admit(&["acme"], &[]).await.unwrap();
    conflict(admit(&["acme", "github"], &["github"]).await, "scheme `github` is in the catalog");
}
