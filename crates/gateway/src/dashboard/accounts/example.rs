//! The example of a first run: a source, a destination, and one event that went all the way, so that pages have something
//! to show. Each step is the real one: the request is signed, verified and delivered as any other.

use std::time::Duration;

use bytes::Bytes;
use hookward::{Draft, Secret, UnixTime};
use hookward_engine::model::{Principal, SecretOwner};
use hookward_engine::pull::Ask;
use hookward_engine::{InboundRequest, Kind, NewSecret, Receipt, Terms};
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::api::problem::Problem;
use crate::demo::PUSH;

/// What source and destination are called.
const NAME: &str = "demo";

/// Makes it all; says why not, if it cannot.
pub(super) async fn make(api: &Api, by: &Principal) -> Result<(), String> {
    let problem = |problem: Problem| problem.detail().to_owned();
    let (engine, declaring) = (api.engine(), api.declaring());
    let source = table(json!({ "name": NAME, "scheme": "github" }));
    let destination = table(json!({ "name": NAME, "type": "pull", "sources": [NAME] }));
    for (kind, table) in [(Kind::Source, source), (Kind::Destination, destination)] {
        declaring.create(by, kind, table).await.map_err(|refused| problem(refused.into()))?;
    }
    let source = engine.source(by.organization, NAME).ok_or("the source is gone again")?;
    let scheme = hookward::catalog::find("github").expect("github is in the catalog");
    let secret = scheme.generate(&mut |bytes| api.sign_in().entropy.fill(bytes)).map_err(|error| error.to_string())?;
    let given = NewSecret::Given(Secret::new(secret.expose()).expect("a generated secret is not empty"));
    let owner = SecretOwner::Source(source.id);
    let version = engine.put_secret(owner, None, given, Terms::default(), by).await;
    let version = version.map_err(|error| error.to_string())?;
    let request = push(api, by, version, &secret)?;
    match engine.receive(source.id, request).await.map_err(|error| error.to_string())? {
        Receipt::Accepted(_) => {}
        other => return Err(format!("the request was not accepted: {other:?}")),
    }
    let ask = Ask { max: 1, visibility: Duration::from_secs(60), wait: Duration::ZERO };
    let leases = engine.lease(by.organization, NAME, ask).await.map_err(|error| error.to_string())?;
    let tokens: Vec<String> = leases.into_iter().map(|lease| lease.token).collect();
    engine.acknowledge(by.organization, &tokens).await.map(drop).map_err(|error| error.to_string())
}

fn table(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(table) => table,
        _ => Map::new(),
    }
}

/// A push as GitHub sends it, signed with the source's secret.
fn push(api: &Api, by: &Principal, version: u32, secret: &Secret) -> Result<InboundRequest, String> {
    const ID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
    let scheme = hookward::catalog::find("github").expect("github is in the catalog");
    let key = scheme.key(version, secret).map_err(|error| error.to_string())?;
    let url = format!("/in/{NAME}");
    let draft = Draft { id: ID, event_type: "push", method: "POST", url: &url, body: PUSH.as_bytes() };
    let now = UnixTime::from_millis(api.clock().now().as_millis());
    let signed = scheme.sign(&draft, &[key], now).map_err(|error| error.to_string())?;
    let more = [("content-type", "application/json"), ("user-agent", "hookward-example")];
    let more = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let headers = signed.headers.into_iter().chain(more);
    let headers = headers.map(|(name, value)| (name.to_lowercase(), Bytes::from(value)));
    Ok(InboundRequest {
        method: "POST".to_owned(),
        url,
        headers: headers.collect(),
        body: Bytes::from_static(PUSH.as_bytes()),
        remote: by.address.clone(),
    })
}
