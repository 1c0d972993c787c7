//! Tests of `runner.rs` and `declare/sealing.rs`: credentials of destinations other than signatures are in force, are nowhere at
//! rest, and go nowhere else than they were entered for.

use std::sync::Arc;
use std::time::Duration;

use hookward::Secret;
use hookward_engine::model::{
    Attempt, Declaration, Destination, DestinationKind, ENVIRONMENT, HEADERS, HttpSpec, MTLS, Manager, MtlsSpec,
    OAUTH2, OAuth2ClientAuth, OAuth2Spec, Outcome, Principal, SecretOwner, Signing, SlackSpec, URL,
};
use hookward_engine::store::Change;
use hookward_engine::{
    Authority, Declared, DeclaredDestination, DeclaredSecret, EngineError, NewSecret, Planned, Terms,
};
use serde_json::json;

use crate::support::fake_kms::{FakeKms, Mood};
use crate::support::receiver::{Received, Receiver};
use crate::support::{ALL, Rig, SECRET, github, http_to, open_with, push, signing_to};
use crate::{ORG, by};

const HEADER: &str = "Bearer canary-of-a-header";
const QUERY: &str = "key=canary-of-a-query";

/// The source, and `destinations` as somebody declared them over the API.
/// A rig whose KMS does as it is told.
async fn rig_on_fake_kms() -> (Rig, Arc<FakeKms>) {
    let dir = tempfile::tempdir().unwrap();
    let kms = FakeKms::new(dir.path());
    let rig = Rig::on(dir, Arc::clone(&kms) as _).await;
    let sources = Declared { sources: vec![github()], destinations: vec![], ..Declared::default() };
    rig.engine.declare(&Principal::config(), Authority::ServedFile, sources).await.unwrap();
    (rig, kms)
}

async fn rig(destinations: Vec<DeclaredDestination>) -> Rig {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    for destination in destinations {
        rig.declare(Authority::Creation, destination).await.unwrap();
    }
    rig
}

fn with_sealed(receiver: &Receiver, header: &str) -> DeclaredDestination {
    let mut destination = http_to("ci", format!("{}?{QUERY}", receiver.url()));
    http(&mut destination).set_headers =
        vec![("authorization".to_owned(), header.to_owned()), ("x-org".to_owned(), "acme".to_owned())];
    destination.table =
        json!({ "name": "ci", "url": "https://x.test/?k=canary-of-a-table", "set_headers": { "A": header } });
    destination
}

fn http(destination: &mut DeclaredDestination) -> &mut HttpSpec {
    let DestinationKind::Http(http) = &mut destination.spec.kind else { panic!("it is http") };
    http
}

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

impl Rig {
    async fn declare(&self, authority: Authority, one: DeclaredDestination) -> Result<Vec<Planned>, EngineError> {
        self.engine
            .declare(
                &by("somebody"),
                authority,
                Declared { sources: vec![], destinations: vec![one], ..Declared::default() },
            )
            .await
    }

    /// The last attempt of an event that is new.
    async fn attempted(&self, delivery_id: &str) -> Attempt {
        self.send(push(SECRET, delivery_id, &format!("{{\"id\":\"{delivery_id}\"}}"))).await;
        self.engine.run_until_idle().await;
        let delivery = self.deliveries().await.remove(0);
        let (_, mut attempts) = self.store.delivery(ORG, delivery.id).await.unwrap();
        attempts.pop().expect("it was attempted")
    }

    fn ci(&self) -> SecretOwner {
        SecretOwner::Destination(self.engine.destination(ORG, "ci").unwrap().id)
    }

    /// What is in force now, by purpose and version, newest first.
    async fn in_force(&self) -> Vec<(String, u32)> {
        let now = hookward_engine::clock::Clock::now(&*self.clock);
        let versions = self.engine.secrets(self.ci()).await.unwrap().into_iter();
        versions.filter(|one| one.is_live(now)).map(|one| (one.purpose, one.version)).collect()
    }

    async fn last_audit(&self, action: &str) -> serde_json::Value {
        let rows = self.engine.store().audit(ORG, ALL).await.unwrap().items;
        let row = rows.into_iter().find(|row| row.entry.action == action).expect("it is on record");
        row.entry.detail
    }
}

fn last(receiver: &Receiver) -> Received {
    receiver.received().pop().expect("something came")
}

fn purposes(list: &[(&str, u32)]) -> Vec<(String, u32)> {
    list.iter().map(|(purpose, version)| ((*purpose).to_owned(), *version)).collect()
}

#[tokio::test]
async fn what_is_declared_over_the_api_is_sent_and_sealed_at_rest() {
    let receiver = Receiver::start().await;
    let mut rig = rig(vec![with_sealed(&receiver, HEADER)]).await;
    for delivery in ["d-1", "d-2"] {
        let attempt = rig.attempted(delivery).await;
        assert_eq!((attempt.outcome, attempt.signed_by), (Outcome::Success, vec![]), "{}", attempt.detail);
        let received = last(&receiver);
        assert!(received.head.starts_with(&format!("POST /hook?{QUERY} ")), "{}", received.head);
        assert_eq!((received.header("authorization"), received.header("x-org")), (HEADER, "acme"));
        for canary in ["canary-of-a-header", "canary-of-a-query", "canary-of-a-table", "acme"] {
            assert!(!rig.keeps(canary), "{canary}");
        }
        assert_eq!(rig.in_force().await, purposes(&[(HEADERS, 2), (URL, 1)]));
        let shown = format!("{:?}", rig.engine.destination(ORG, "ci").unwrap());
        assert!(!shown.contains("canary"), "{shown}");
        let whole = rig.engine.whole_destination(ORG, "ci").await.unwrap().unwrap();
        assert_eq!(whole, with_sealed(&receiver, HEADER).spec);
        let url = rig.engine.reveal(rig.ci(), 1, &by("somebody"), "").await.unwrap();
        assert_eq!(url.expose(), format!("{}?{QUERY}", receiver.url()).as_bytes());
        rig = rig.restart().await;
    }
}

#[tokio::test]
async fn a_new_value_is_a_new_version_at_once_and_an_equal_one_is_none() {
    let receiver = Receiver::start().await;
    let rig = rig(vec![with_sealed(&receiver, HEADER)]).await;
    let mut same = with_sealed(&receiver, HEADER);
    same.spec.concurrency += 1;
    let planned = rig.declare(Authority::Alteration, same).await.unwrap();
    assert!(!planned[0].secret && rig.in_force().await == purposes(&[(HEADERS, 2), (URL, 1)]));
    rig.attempted("d-1").await;
    let planned = rig.declare(Authority::Alteration, with_sealed(&receiver, "another")).await.unwrap();
    assert!(planned[0].secret && planned[0].dropped.is_empty());
    assert_eq!(rig.in_force().await, purposes(&[(HEADERS, 3), (URL, 1)]), "the one before it ended at once");
    rig.attempted("d-2").await;
    assert_eq!(last(&receiver).header("authorization"), "another");
    let mut bare = http_to("ci", receiver.url());
    bare.table = json!({ "name": "ci" });
    rig.declare(Authority::Alteration, bare).await.unwrap();
    assert_eq!(rig.in_force().await, []);
    rig.attempted("d-3").await;
    let received = last(&receiver);
    assert!(received.header("authorization").is_empty() && received.head.starts_with("POST /hook HTTP"));
}

#[tokio::test]
async fn what_an_operator_ended_is_not_sent_until_it_is_declared_again() {
    let receiver = Receiver::start().await;
    let rig = rig(vec![with_sealed(&receiver, HEADER)]).await;
    rig.engine.revoke(rig.ci(), 2, true, &by("somebody")).await.unwrap();
    let attempt = rig.attempted("d-1").await;
    assert_eq!(attempt.outcome, Outcome::Unusable);
    assert_eq!(attempt.detail, "the values of its headers are not stored any more: set them again");
    assert_eq!(receiver.received().len(), 0);
    let whole = rig.engine.whole_destination(ORG, "ci").await.unwrap().unwrap();
    let DestinationKind::Http(whole) = whole.kind else { panic!("it is http") };
    assert_eq!((whole.set_headers, whole.url), (vec![], format!("{}?{QUERY}", receiver.url())));
    rig.declare(Authority::Alteration, with_sealed(&receiver, HEADER)).await.unwrap();
    assert_eq!(rig.attempted("d-2").await.outcome, Outcome::Success);
}

#[tokio::test]
async fn a_programs_variables_are_sealed_likewise() {
    let mut program = http_to("ci", String::new());
    program.spec.kind = DestinationKind::Command(hookward_engine::model::CommandSpec {
        argv: vec!["sh".to_owned(), "-c".to_owned(), "printf %s \"$TOKEN\" | tr a-z n-za-m".to_owned()],
        directory: None,
        environment: vec![("TOKEN".to_owned(), "canary of a variable".to_owned())],
        output_bytes: 1024,
        checkout: None,
    });
    let rig = rig(vec![program]).await;
    let attempt = rig.attempted("d-1").await;
    assert_eq!((attempt.outcome, &attempt.excerpt[..]), (Outcome::Success, &b"pnanel bs n inevnoyr"[..]));
    assert!(!rig.keeps("canary of a variable"));
    assert_eq!(rig.in_force().await, purposes(&[(ENVIRONMENT, 1)]));
}

#[tokio::test]
async fn while_the_kms_is_away_nothing_is_attempted_that_needs_a_sealed_value() {
    let receiver = Receiver::start().await;
    let (rig, kms) = rig_on_fake_kms().await;
    rig.declare(Authority::Creation, with_sealed(&receiver, HEADER)).await.unwrap();
    rig.send(push(SECRET, "d-1", "{}")).await;
    let Rig { engine, store, clock, dir } = rig;
    crate::support::let_go(engine, store).await;
    kms.set(Mood::Away);
    let (engine, store) = open_with(dir.path(), &clock, Arc::clone(&kms) as _).await;
    let rig = Rig { engine, store, clock, dir };
    rig.engine.warm().await;
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 0);
    let refused = rig.engine.whole_destination(ORG, "ci").await;
    assert!(matches!(refused, Err(EngineError::Unavailable(_))), "{refused:?}");
    kms.set(Mood::Answers);
    rig.clock.advance(Duration::from_secs(60));
    rig.engine.warm().await;
    rig.engine.run_until_idle().await;
    assert_eq!(last(&receiver).header("authorization"), HEADER);
}

/// A destination with every kind of credential that another place could be told.
fn with_everything(receiver: &Receiver, tokens: &Receiver) -> DeclaredDestination {
    let mut destination = signing_to("ci", receiver.url());
    destination.spec.signing.push(Signing::by("header:x-api-key"));
    destination.secrets.push(DeclaredSecret::new("header:x-api-key", secret("canary-of-an-api-key")));
    destination.secrets.push(DeclaredSecret::new(OAUTH2, secret("canary-of-a-client")));
    destination.secrets.push(DeclaredSecret::new(MTLS, secret(include_str!("tls/client.key"))));
    http(&mut destination).oauth2 = Some(Box::new(client(&tokens.url())));
    http(&mut destination).mtls = Some(MtlsSpec { certificate: include_str!("tls/client.pem").to_owned() });
    destination
}

fn client(token_url: &str) -> OAuth2Spec {
    OAuth2Spec {
        token_url: token_url.to_owned(),
        client_id: "hookward".to_owned(),
        scopes: vec![],
        audience: None,
        auth: OAuth2ClientAuth::Body,
    }
}

fn without_secrets(mut destination: DeclaredDestination) -> DeclaredDestination {
    destination.secrets.clear();
    destination
}

#[tokio::test]
async fn another_url_takes_no_stored_credential_along_but_what_signs() {
    let (receiver, elsewhere, tokens) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let rig = rig(vec![with_everything(&receiver, &tokens)]).await;
    let all = purposes(&[(MTLS, 4), (OAUTH2, 3), ("header:x-api-key", 2), ("standard-webhooks", 1)]);
    assert_eq!(rig.in_force().await, all);
    let mut query = without_secrets(with_everything(&receiver, &tokens));
    http(&mut query).url.push_str("?a=b");
    let planned = rig.declare(Authority::Alteration, query).await.unwrap();
    assert!(planned[0].dropped.is_empty(), "another query is the same place: {planned:?}");

    let moved = || {
        let mut moved = without_secrets(with_everything(&receiver, &tokens));
        http(&mut moved).url = elsewhere.url();
        moved
    };
    let planned = rig.declare(Authority::Alteration, moved()).await.unwrap();
    assert_eq!(planned[0].dropped, ["header:x-api-key", MTLS, OAUTH2]);
    assert_eq!(rig.last_audit("destination.update").await["dropped"], json!(planned[0].dropped));
    assert_eq!(rig.in_force().await, purposes(&[("standard-webhooks", 1)]));
    assert_eq!(rig.attempted("d-1").await.outcome, Outcome::Unusable, "it is not sent without them");
    assert_eq!((elsewhere.received().len(), tokens.received().len()), (0, 0));

    // The same values are entered anew, and stay where they are said again.
    let mut back = with_everything(&receiver, &tokens);
    rig.declare(Authority::Alteration, back.clone()).await.unwrap();
    assert_eq!(rig.in_force().await.len(), 4);
    http(&mut back).url = elsewhere.url();
    assert!(rig.declare(Authority::Alteration, back).await.unwrap()[0].dropped.is_empty());
    assert_eq!(rig.in_force().await.len(), 4);
}

#[tokio::test]
async fn another_token_endpoint_is_not_told_the_clients_secret() {
    let (receiver, tokens, elsewhere) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let rig = rig(vec![with_everything(&receiver, &tokens)]).await;
    let planned = rig.declare(Authority::Alteration, without_secrets(with_everything(&receiver, &elsewhere))).await;
    assert_eq!(planned.unwrap()[0].dropped, [OAUTH2]);
    assert_eq!(rig.in_force().await.len(), 3);
    let attempt = rig.attempted("d-1").await;
    assert_eq!(attempt.detail, "the secret of its OAuth 2 client is not stored any more: set it again");
    assert_eq!(elsewhere.received().len(), 0);
}

#[tokio::test]
async fn the_served_file_may_say_another_url_without_its_secrets() {
    let (receiver, elsewhere, tokens) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let config = Principal::config();
    let declared = |one| Declared { sources: vec![github()], destinations: vec![one], ..Declared::default() };
    let rig = Rig::new(declared(with_everything(&receiver, &tokens))).await;
    let planned = rig
        .engine
        .declare(&config, Authority::ServedFile, declared(without_secrets(with_everything(&elsewhere, &tokens))))
        .await
        .unwrap();
    assert!(planned[0].dropped.is_empty() && rig.in_force().await.len() == 4);
}

#[tokio::test]
async fn a_clients_secret_is_rotated_at_once_and_an_attempt_says_which_it_was() {
    let (receiver, tokens) = (Receiver::start().await, Receiver::start().await);
    let mut destination = signing_to("ci", receiver.url());
    destination.secrets.push(DeclaredSecret::new(OAUTH2, secret("first")));
    http(&mut destination).oauth2 = Some(Box::new(client(&tokens.url())));
    let rig = rig(vec![destination]).await;
    // The receiver of the tests answers 204 without a body: that is no token.
    let attempt = rig.attempted("d-1").await;
    assert_eq!((attempt.outcome, attempt.signed_by), (Outcome::Unusable, vec![1, 2]), "{}", attempt.detail);
    assert!(attempt.detail.starts_with("no access token: "), "{}", attempt.detail);
    assert!(String::from_utf8_lossy(&last(&tokens).body).ends_with("&client_secret=first"));
    let value = NewSecret::Given(secret("second"));
    rig.engine.put_secret(rig.ci(), Some(OAUTH2), value, Terms::default(), &by("somebody")).await.unwrap();
    let attempt = rig.attempted("d-2").await;
    assert_eq!(attempt.signed_by, [1, 3]);
    assert!(String::from_utf8_lossy(&last(&tokens).body).ends_with("&client_secret=second"));
}

#[tokio::test]
async fn a_certificate_has_its_own_key() {
    let receiver = Receiver::start().await;
    let shown = |certificate: &str, key: Option<&str>| {
        let mut destination = http_to("ci", receiver.url());
        http(&mut destination).mtls = Some(MtlsSpec { certificate: certificate.to_owned() });
        destination.secrets = key.map(|key| DeclaredSecret::new(MTLS, secret(key))).into_iter().collect();
        destination
    };
    let (client, client_key) = (include_str!("tls/client.pem"), include_str!("tls/client.key"));
    let (stranger, stranger_key) = (include_str!("tls/stranger.pem"), include_str!("tls/stranger.key"));
    let rig = rig(vec![]).await;
    let problem = |result: Result<Vec<Planned>, EngineError>| match result {
        Err(EngineError::Invalid(problem)) => problem,
        other => panic!("{other:?}"),
    };
    let mismatch = rig.declare(Authority::Creation, shown(client, Some(stranger_key))).await;
    assert_eq!(problem(mismatch), "destination `ci`: mtls: the key is not the one of the certificate");
    rig.declare(Authority::Creation, shown(client, Some(client_key))).await.unwrap();
    let alone = rig.declare(Authority::Alteration, shown(stranger, None)).await;
    assert_eq!(problem(alone), "destination `ci`: mtls: the key is not the one of the certificate");
    let broken = rig.declare(Authority::Alteration, shown("no pem", None)).await;
    assert!(problem(broken).contains("mtls: the certificate is not PEM"));
    rig.declare(Authority::Alteration, shown(stranger, Some(stranger_key))).await.unwrap();
    assert_eq!(rig.attempted("d-1").await.signed_by, [2]);
    assert!(!rig.keeps("PRIVATE KEY-----"));
}

#[tokio::test]
async fn a_credential_goes_beside_a_signature_and_is_rotated_as_one() {
    let receiver = Receiver::start().await;
    let mut destination = signing_to("ci", receiver.url());
    destination.spec.signing.push(Signing::by("basic"));
    destination.secrets.push(DeclaredSecret::new("basic", secret("user:canary-password")));
    let rig = rig(vec![destination]).await;
    let attempt = rig.attempted("d-1").await;
    assert_eq!((attempt.outcome, attempt.signed_by), (Outcome::Success, vec![1, 2]), "{}", attempt.detail);
    let received = last(&receiver);
    // base64 of `user:canary-password`.
    assert_eq!(received.header("authorization"), "Basic dXNlcjpjYW5hcnktcGFzc3dvcmQ=");
    assert!(!received.header("webhook-signature").is_empty());
    // Signing is switched off: the credential stays.
    let mut unsigned = http_to("ci", receiver.url());
    unsigned.spec.signing = vec![Signing::by("basic")];
    assert!(rig.declare(Authority::Alteration, unsigned).await.unwrap()[0].dropped.is_empty());
    assert_eq!(rig.attempted("d-2").await.signed_by, [2]);
    let received = last(&receiver);
    assert!(received.header("webhook-signature").is_empty() && !received.header("authorization").is_empty());
}

#[tokio::test]
async fn a_slack_webhook_is_a_secret_that_changes_at_once() {
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    let mut destination = http_to("ci", String::new());
    destination.spec.kind = DestinationKind::Slack(SlackSpec {
        template: "{{ event.type }} {{ body.id }}".to_owned(),
        allow_addresses: vec!["127.0.0.0/8".parse().unwrap()],
    });
    let url = |receiver: &Receiver, path: &str| secret(&receiver.url().replace("/hook", path));
    destination.secrets = vec![DeclaredSecret::new(URL, url(&first, "/services/canary-first"))];
    let rig = rig(vec![destination]).await;
    let attempt = rig.attempted("d-1").await;
    assert_eq!((attempt.outcome, attempt.signed_by), (Outcome::Success, vec![1]), "{}", attempt.detail);
    let received = last(&first);
    assert!(received.head.starts_with("POST /services/canary-first "), "{}", received.head);
    assert_eq!(received.body, br#"{"text":"push d-1"}"#);
    let value = NewSecret::Given(url(&second, "/services/canary-second"));
    rig.engine.put_secret(rig.ci(), None, value, Terms::default(), &by("somebody")).await.unwrap();
    assert_eq!(rig.in_force().await, purposes(&[(URL, 2)]), "there is no grace");
    assert_eq!(rig.attempted("d-2").await.signed_by, [2]);
    assert_eq!((first.received().len(), second.received().len()), (1, 1));
    assert!(!rig.keeps("canary-first") && !rig.keeps("canary-second"));
}

#[tokio::test]
async fn what_an_earlier_version_kept_in_clear_is_sealed_and_overwritten() {
    let receiver = Receiver::start().await;
    let (rig, kms) = rig_on_fake_kms().await;
    let mut bare = http_to("ci", receiver.url());
    bare.table = json!({ "name": "ci" });
    rig.declare(Authority::Creation, bare).await.unwrap();
    let old = rig.store.load().await.unwrap().destinations.remove(0);
    let DeclaredDestination { spec, table, .. } = with_sealed(&receiver, HEADER);
    let declaration = Declaration { table, manager: Manager::Api };
    let clear = Change::PutDestination(Box::new(Destination { spec, declaration, ..old }));
    rig.store.change(vec![clear], vec![]).await.unwrap();
    assert!(rig.keeps("canary-of-a-header") && rig.keeps("canary-of-a-table"));

    let Rig { engine, store, clock, dir } = rig;
    crate::support::let_go(engine, store).await;
    kms.set(Mood::Away);
    let (engine, store) = open_with(dir.path(), &clock, Arc::clone(&kms) as _).await;
    let rig = Rig { engine, store, clock, dir };
    rig.engine.warm().await;
    assert!(rig.keeps("canary-of-a-header"), "it cannot be sealed yet");
    kms.set(Mood::Answers);
    rig.clock.advance(Duration::from_secs(60));
    rig.engine.warm().await;
    for canary in ["canary-of-a-header", "canary-of-a-query", "canary-of-a-table"] {
        assert!(!rig.keeps(canary), "{canary}");
    }
    assert_eq!(rig.last_audit("destination.seal").await, json!({ "settings": [URL, HEADERS] }));
    assert_eq!(rig.attempted("d-1").await.outcome, Outcome::Success);
    assert_eq!(last(&receiver).header("authorization"), HEADER);
    let before = rig.audit().await.len();
    rig.engine.warm().await;
    assert_eq!(rig.audit().await.len(), before, "once is enough");
}
