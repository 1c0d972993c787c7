//! What is found out about refused requests, behind the refusal: with the secrets of the same organization, of a few, of no flood.

use std::time::Duration;

use bytes::Bytes;
use hookward::Secret;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Principal, SecretOwner};
use hookward_engine::store::RefusedFilter;
use hookward_engine::{Authority, Declared, DeclaredSource, InboundRequest, NewSecret, Receipt};
use serde_json::{Value, json};

use crate::support::{ALL, Rig, SECRET, github, push};
use crate::{ORG, by, grace};

const OTHER: &str = "the secret of another source";

fn another(name: &str, secret: &str) -> DeclaredSource {
    let mut source = github();
    source.name = name.to_owned();
    source.secret = Some(Secret::new(secret).unwrap());
    source
}

async fn rig(sources: Vec<DeclaredSource>) -> Rig {
    Rig::new(Declared { sources, destinations: vec![], ..Declared::default() }).await
}

impl Rig {
    async fn refuse(&self, request: InboundRequest) {
        let id = self.engine.source(ORG, "github").unwrap().id;
        let receipt = self.engine.receive(id, request).await.unwrap();
        assert!(matches!(receipt, Receipt::Refused(_)), "{receipt:?}");
    }

    /// The findings about every refused request, the last one first.
    async fn findings(&self, organization: OrganizationId) -> Vec<Value> {
        self.engine.run_until_idle().await;
        let refused = self.engine.store().all_refused(organization, RefusedFilter::default(), ALL).await.unwrap();
        refused.items.into_iter().map(|refused| refused.detail["findings"].clone()).collect()
    }

    async fn last(&self) -> Value {
        self.findings(ORG).await.remove(0)[0].clone()
    }
}

#[tokio::test]
async fn a_refused_request_is_explained_without_a_secret() {
    let rig = rig(vec![github()]).await;
    let mut longer = push(SECRET, "d-1", "{\"n\":1}");
    longer.body = "{\"n\":1}\n".into();
    rig.refuse(longer).await;
    let found = rig.last().await;
    assert_eq!((&found["evidence"], &found["causes"]), (&json!("proven"), &json!(["line-ends"])));
    let sentence = found["explanation"].as_str().unwrap();
    assert!(sentence.starts_with("the signature is right if the newline at the body's end is taken off"), "{sentence}");
    rig.refuse(push("nobody's secret", "d-2", "{}")).await;
    let found = rig.last().await;
    assert_eq!((&found["evidence"], &found["causes"]), (&json!("suspected"), &json!(["secret-unknown"])));
    assert!(!found.to_string().contains(SECRET));
}

#[tokio::test]
async fn the_secrets_of_other_sources_and_ended_ones_are_tried() {
    let rig = rig(vec![github(), another("other", OTHER)]).await;
    rig.refuse(push(OTHER, "d-1", "{}")).await;
    let found = rig.last().await;
    assert_eq!((&found["evidence"], &found["causes"]), (&json!("proven"), &json!(["secret-of-another"])));
    assert!(found["explanation"].as_str().unwrap().contains("the secret of source `other` is taken"), "{found}");
    let owner = SecretOwner::Source(rig.engine.source(ORG, "github").unwrap().id);
    let newer = NewSecret::Given(Secret::new("a newer secret").unwrap());
    rig.engine.put_secret(owner, None, newer, grace(Duration::ZERO), &by("test")).await.unwrap();
    rig.refuse(push(SECRET, "d-2", "{}")).await;
    let found = rig.last().await;
    assert_eq!((&found["evidence"], &found["causes"]), (&json!("proven"), &json!(["secret-ended"])));
    assert!(found["explanation"].as_str().unwrap().contains("version 1, which is not in force"), "{found}");
}

#[tokio::test]
async fn the_secrets_of_another_organization_are_not() {
    let rig = rig(vec![github()]).await;
    let organization = rig.engine.create_organization(&by("test"), "acme", None).await.unwrap();
    let acme = Principal { organization: organization.id, ..by("key:acme") };
    let theirs = Declared { sources: vec![another("theirs", OTHER)], destinations: vec![], ..Declared::default() };
    rig.engine.declare(&acme, Authority::AppliedFile, theirs).await.unwrap();
    rig.refuse(push(OTHER, "d-1", "{}")).await;
    assert_eq!(rig.last().await["causes"], json!(["secret-unknown"]));
}

#[tokio::test]
async fn of_many_at_once_only_a_few_are_explained_and_none_that_is_large() {
    let rig = rig(vec![github()]).await;
    for n in 0..60 {
        rig.refuse(push("nobody's secret", &format!("d-{n}"), "{}")).await;
    }
    let findings = rig.findings(ORG).await;
    assert_eq!(findings.iter().filter(|findings| !findings.is_null()).count(), 4);
    rig.clock.advance(Duration::from_secs(60));
    let mut large = push(SECRET, "large", "");
    large.body = Bytes::from(vec![b'x'; (64 << 10) + 1]);
    rig.refuse(large).await;
    assert_eq!(rig.findings(ORG).await[0], Value::Null);
    let mut largest = push(SECRET, "largest", "");
    largest.body = Bytes::from(vec![b'x'; 64 << 10]);
    rig.refuse(largest).await;
    assert_eq!(rig.last().await["evidence"], "suspected");
}
