//! What is declared comes into force: by whose word, all or nothing, and without telling a secret to anybody else.

use hookward::Secret;
use hookward_engine::model::{DestinationKind, DestinationState, Manager, Principal, SecretOwner, Signing};
use hookward_engine::{
    Act, Authority, Declared, DeclaredDestination, DeclaredSecret, DeclaredSource, EngineError, Kind, Planned, Receipt,
};
use serde_json::{Value, json};

use crate::support::receiver::Receiver;
use crate::support::{ALL, Rig, SECRET, everything_in, github, http_to, push};
use crate::{ORG, by};

const NOTHING: Declared =
    Declared { sources: vec![], destinations: vec![], event_types: vec![], schemes: vec![], since: None };

fn only(source: DeclaredSource) -> Declared {
    Declared { sources: vec![source], destinations: vec![], ..Declared::default() }
}

fn only_to(destination: DeclaredDestination) -> Declared {
    Declared { sources: vec![], destinations: vec![destination], ..Declared::default() }
}

fn named(name: &str) -> DeclaredSource {
    DeclaredSource { name: name.to_owned(), secret: None, table: json!({ "name": name }), ..github() }
}

/// Sends its secret itself.
fn bearer_to(url: &str, secret: Option<&str>) -> DeclaredDestination {
    let mut destination = http_to("ci", url.to_owned());
    destination.spec.signing = vec![Signing::by("bearer")];
    destination.secrets =
        secret.into_iter().map(|secret| DeclaredSecret::new("bearer", Secret::new(secret).unwrap())).collect();
    destination
}

fn acts(planned: &[Planned]) -> Vec<(Kind, &str, Act)> {
    planned.iter().map(|planned| (planned.kind, planned.name.as_str(), planned.act)).collect()
}

impl Rig {
    async fn says(&self, authority: Authority, declared: Declared) -> Result<Vec<Planned>, EngineError> {
        let planned = self.engine.plan(&by("test"), authority, &declared).await;
        let before = self.engine.generation();
        let done = self.engine.declare(&by("test"), authority, declared).await;
        if let (Ok(planned), Ok(done)) = (&planned, &done) {
            assert_eq!(planned, done, "what is planned is what is done");
            assert_eq!(self.engine.generation() == before, done.is_empty(), "who keeps something of it looks again");
        }
        done
    }

    fn live(&self, name: &str) -> bool {
        self.engine.source(ORG, name).is_some()
    }

    async fn usable_secrets(&self, destination: &str) -> usize {
        let owner = SecretOwner::Destination(self.engine.destination(ORG, destination).unwrap().id);
        self.engine.secrets(owner).await.unwrap().iter().filter(|secret| secret.revoked_at.is_none()).count()
    }
}

#[tokio::test]
async fn who_declares_again_changes_nothing() {
    let rig = Rig::new(NOTHING).await;
    let whole = || Declared {
        sources: vec![github()],
        destinations: vec![bearer_to("https://a.test/", Some("token"))],
        ..Declared::default()
    };
    let done = rig.says(Authority::AppliedFile, whole()).await.unwrap();
    assert_eq!(acts(&done), [(Kind::Source, "github", Act::Create), (Kind::Destination, "ci", Act::Create)]);
    assert!(done.iter().all(|planned| planned.secret));
    assert_eq!(rig.says(Authority::AppliedFile, whole()).await, Ok(vec![]));
    assert!(matches!(rig.send(push(SECRET, "d", "{}")).await, Receipt::Accepted(_)));
}

#[tokio::test]
async fn a_file_retires_what_a_file_managed_and_nothing_else() {
    let rig = Rig::new(NOTHING).await;
    rig.says(Authority::Creation, only(named("by-api"))).await.unwrap();
    let both = Declared { sources: vec![named("a"), named("b")], destinations: vec![], ..Declared::default() };
    rig.says(Authority::AppliedFile, both).await.unwrap();
    let done = rig.says(Authority::AppliedFile, only(named("b"))).await.unwrap();
    assert_eq!(acts(&done), [(Kind::Source, "a", Act::Remove)]);
    assert!(!rig.live("a") && rig.live("b") && rig.live("by-api"));
    // It comes back as what it was, and its name is nobody else's meanwhile.
    let id = rig.engine.source_id(ORG, "a").await.unwrap();
    let both = Declared { sources: vec![named("a"), named("b")], destinations: vec![], ..Declared::default() };
    assert_eq!(acts(&rig.says(Authority::AppliedFile, both).await.unwrap()), [(Kind::Source, "a", Act::Create)]);
    assert_eq!(rig.engine.source(ORG, "a").unwrap().id, id);
}

#[tokio::test]
async fn what_a_file_manages_is_changed_by_a_file() {
    let rig = Rig::new(NOTHING).await;
    rig.says(Authority::AppliedFile, only(named("a"))).await.unwrap();
    let managed = EngineError::Conflict("source `a` is managed by the configuration file: change it there".to_owned());
    assert_eq!(rig.says(Authority::Alteration, only(named("a"))).await, Err(managed.clone()));
    assert_eq!(rig.engine.retire(&by("test"), Kind::Source, "a").await, Err(managed));
    let taken = EngineError::Conflict("there is a source `a` already".to_owned());
    assert_eq!(rig.says(Authority::Creation, only(named("a"))).await, Err(taken));
    assert_eq!(rig.engine.source(ORG, "a").unwrap().declaration.manager, Manager::File);
    let missing = EngineError::NotFound("source `b`".to_owned());
    assert_eq!(rig.says(Authority::Alteration, only(named("b"))).await, Err(missing.clone()));
    assert_eq!(rig.engine.retire(&by("test"), Kind::Source, "b").await, Err(missing));
}

#[tokio::test]
async fn a_file_takes_over_what_the_api_made_and_says_so() {
    let rig = Rig::new(NOTHING).await;
    rig.says(Authority::Creation, only(named("a"))).await.unwrap();
    let done = rig.says(Authority::AppliedFile, only(named("a"))).await.unwrap();
    assert_eq!(acts(&done), [(Kind::Source, "a", Act::Adopt)]);
    assert_eq!(rig.engine.source(ORG, "a").unwrap().declaration.manager, Manager::File);
}

#[tokio::test]
async fn what_the_api_retires_is_gone_and_keeps_what_it_is_owed() {
    let receiver = Receiver::start().await;
    let rig = Rig::new(NOTHING).await;
    rig.says(Authority::Creation, only(github())).await.unwrap();
    rig.says(Authority::Creation, only_to(http_to("ci", receiver.url()))).await.unwrap();
    receiver.answer_next("500 Oops", "");
    rig.send(push(SECRET, "d-1", "{}")).await;
    rig.engine.run_until_idle().await;
    rig.engine.retire(&by("test"), Kind::Destination, "ci").await.unwrap();
    rig.engine.retire(&by("test"), Kind::Source, "github").await.unwrap();
    assert!(rig.engine.destination(ORG, "ci").unwrap().is_retired() && !rig.live("github"));
    assert_eq!(rig.event_counts().await, (1, 0), "its events stay");
    rig.says(Authority::Creation, only_to(http_to("ci", receiver.url()))).await.unwrap();
    assert_eq!(rig.engine.destination(ORG, "ci").unwrap().state, DestinationState::Active);
    rig.engine.run_until_idle().await;
    assert_eq!(receiver.received().len(), 2, "and so does what is owed");
}

#[tokio::test]
async fn a_secret_that_is_sent_itself_is_sent_nowhere_else() {
    let rig = Rig::new(NOTHING).await;
    rig.says(Authority::Creation, only_to(bearer_to("https://a.test/", Some("token")))).await.unwrap();
    assert_eq!(rig.usable_secrets("ci").await, 1);
    let mut elsewhere = bearer_to("https://a.test/", None);
    elsewhere.spec.concurrency = 2;
    rig.says(Authority::Alteration, only_to(elsewhere)).await.unwrap();
    assert_eq!(rig.usable_secrets("ci").await, 1, "only the place matters");
    rig.says(Authority::Alteration, only_to(bearer_to("https://evil.test/", None))).await.unwrap();
    assert_eq!(rig.usable_secrets("ci").await, 0);
    // Whoever knows it may say it again, even the same one.
    rig.says(Authority::Alteration, only_to(bearer_to("https://b.test/", Some("token")))).await.unwrap();
    assert_eq!(rig.usable_secrets("ci").await, 1);
    // Not by way of a scheme that only signs, either, nor by removing it and making it anew.
    let mut signing = bearer_to("https://b.test/", None);
    signing.spec.signing = vec![Signing::by("github")];
    rig.says(Authority::Alteration, only_to(signing)).await.unwrap();
    let mut moved = bearer_to("https://evil.test/", None);
    moved.spec.signing = vec![Signing::by("github")];
    rig.says(Authority::Alteration, only_to(moved)).await.unwrap();
    assert_eq!(rig.usable_secrets("ci").await, 0, "it was for another scheme");
    rig.says(Authority::Alteration, only_to(bearer_to("https://evil.test/", None))).await.unwrap();
    assert_eq!(rig.usable_secrets("ci").await, 0);
    rig.says(Authority::Alteration, only_to(bearer_to("https://b.test/", Some("token")))).await.unwrap();
    rig.engine.retire(&by("test"), Kind::Destination, "ci").await.unwrap();
    rig.says(Authority::Creation, only_to(bearer_to("https://evil.test/", None))).await.unwrap();
    assert_eq!(rig.usable_secrets("ci").await, 0);
}

#[tokio::test]
async fn while_the_served_file_declares_something_no_other_file_does() {
    let rig = Rig::new(only(named("a"))).await;
    let served = rig.engine.declare(&by("test"), Authority::AppliedFile, only(named("b"))).await;
    assert!(matches!(&served, Err(EngineError::Conflict(problem)) if problem.contains("SIGHUP")), "{served:?}");
    let config = Principal::config();
    let left = rig.engine.declare(&config, Authority::ServedFile, NOTHING).await.unwrap();
    assert_eq!(acts(&left), [(Kind::Source, "a", Act::Remove)]);
    rig.says(Authority::AppliedFile, only(named("b"))).await.unwrap();
    // A served file that says nothing of sources leaves them to whoever does.
    assert_eq!(rig.engine.declare(&config, Authority::ServedFile, NOTHING).await, Ok(vec![]));
    assert!(rig.live("b"));
}

#[tokio::test]
async fn all_of_it_or_nothing() {
    let rig = Rig::new(NOTHING).await;
    let mut bad = bearer_to("https://a.test/", Some("two\nlines"));
    bad.name = "bad".to_owned();
    let whole = Declared { sources: vec![github()], destinations: vec![bad], ..Declared::default() };
    assert!(matches!(rig.says(Authority::AppliedFile, whole).await, Err(EngineError::Invalid(_))));
    rig.says(Authority::Creation, only(named("there"))).await.unwrap();
    let second_taken =
        Declared { sources: vec![named("new"), named("there")], destinations: vec![], ..Declared::default() };
    assert!(matches!(rig.says(Authority::Creation, second_taken).await, Err(EngineError::Conflict(_))));
    assert!(!rig.live("github") && !rig.live("new"));
}

#[tokio::test]
async fn the_audit_log_says_what_was_and_what_is_without_a_secret() {
    let rig = Rig::new(NOTHING).await;
    let with = |table: Value| {
        let mut destination = bearer_to("https://a.test/?key=canary-in-a-query", Some("canary-token"));
        destination.table = table;
        only_to(destination)
    };
    let table = json!({ "url": "https://a.test/?key=canary-in-a-query", "set_headers": { "X-Key": "canary-header" } });
    rig.says(Authority::Creation, with(table.clone())).await.unwrap();
    let mut other = table;
    other["set_headers"]["X-Key"] = json!("canary-other");
    other["concurrency"] = json!(3);
    rig.says(Authority::Alteration, with(other)).await.unwrap();
    let rows = rig.engine.store().audit(ORG, ALL).await.unwrap().items;
    let updated = rows.iter().find(|row| row.entry.action == "destination.update").unwrap();
    assert_eq!(updated.entry.address, "192.0.2.1");
    assert_eq!(updated.entry.detail, json!({ "before": {}, "after": { "concurrency": 3 }, "managed_by": "api" }));
    assert!(rows.iter().any(|row| row.entry.action == "secret.rotate" && row.entry.target == "destination:ci"));
    let told: Vec<_> = rows.iter().map(|row| row.entry.detail.to_string()).collect();
    assert!(!told.join("").contains("canary"), "{told:?}");
    let kept = everything_in(rig.dir.path());
    assert!(!kept.windows(12).any(|window| window == b"canary-token"), "a secret stands in the clear on disk");
}

#[tokio::test]
async fn what_a_reference_stands_for_is_part_of_what_is_declared() {
    let rig = Rig::new(NOTHING).await;
    let to = |url: &str| {
        let mut destination = http_to("ci", url.to_owned());
        destination.table = json!({ "url": "env:CI_URL" });
        only_to(destination)
    };
    rig.says(Authority::AppliedFile, to("https://a.test/")).await.unwrap();
    let done = rig.says(Authority::AppliedFile, to("https://b.test/")).await.unwrap();
    assert!(done.len() == 1 && done[0].values_changed && done[0].fields.is_empty(), "{done:?}");
    let DestinationKind::Http(http) = rig.engine.destination(ORG, "ci").unwrap().spec.kind else { panic!("not http") };
    assert_eq!(http.url, "https://b.test/");
}
