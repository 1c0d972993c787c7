//! Destinations, as declared, with their state; pausing and resuming them.
//! A URL's query and the values of set headers may be credentials, so they are not shown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use hookward_engine::Engine;
use hookward_engine::clock::Timestamp;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{
    Destination, DestinationKind, DestinationSpec, DestinationState, MTLS, OAUTH2, OnHeadFailure, Ordering, Principal,
    ReportProvider, SignWith, Signing,
};
use hookward_engine::store::Owed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answers::{Created, Done};
use super::caller::{Admin, Caller, Read, Redeliver};
use super::condition::{self, Pace, Resume, Resumed};
use super::extract::{Body, Optional, Path, Query};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::sources::Paging;
use super::{Api, time};

/// The settings of a new destination, as a `[[destination]]` table of a configuration file has them.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "NewDestination", extend("required" = ["name"], "properties" = { "name": { "type": "string" } }, "examples" = [{ "name": "ci", "type": "http", "url": "https://ci.example.com/hooks" }]))]
pub(crate) struct New(Map<String, Value>);

/// A way out.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Destination")]
pub(crate) struct Shown {
    #[schemars(example = &"dst_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(example = &"ci")]
    name: String,
    #[serde(flatten)]
    kind: Kind,
    #[schemars(extend("enum" = ["active", "paused", "disabled"]))]
    state: &'static str,
    state_reason: Option<String>,
    sources: Vec<String>,
    event_types: Vec<String>,
    filter: Option<String>,
    once_per: Option<String>,
    latest_wins: Option<String>,
    /// How deliveries of a key follow each other.
    order: Option<Order>,
    retry: Retry,
    concurrency: u32,
    timeout_ms: u64,
    /// Until the connection stands.
    connect_timeout_ms: Option<u64>,
    /// From the request's last byte to the answer's first.
    first_byte_timeout_ms: Option<u64>,
    /// The schemes that deliveries are signed with, side by side; the first is the one that a secret is for unless it says.
    signing: Vec<Signs>,
    /// How it is told who calls, besides signatures: `basic`, `bearer`, `header:NAME`, `oauth2`, `mtls`.
    authentication: Vec<String>,
    grace_s: u64,
    #[serde(flatten)]
    pace: Pace,
    /// `file` or `api`: what a file manages is changed there.
    #[schemars(extend("enum" = ["file", "api"]))]
    managed_by: &'static str,
    /// The table that was declared, without what may be a credential.
    #[schemars(extend("type" = "object"))]
    declared: Value,
    created_at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "type")]
#[schemars(rename = "DestinationKind")]
enum Kind {
    Http {
        /// Without its query, which may hold a credential.
        #[schemars(example = &"https://ci.example.com/hooks")]
        url: String,
        forward_headers: Vec<String>,
        /// Their names; the values may be credentials.
        set_headers: Vec<String>,
        allow_addresses: Vec<String>,
    },
    Command {
        argv: Vec<String>,
        directory: Option<String>,
        /// The names of its variables.
        environment: Vec<String>,
    },
    Report {
        of: String,
        #[schemars(with = "String", extend("enum" = ["github", "gitlab"]))]
        provider: ReportProvider,
        api: String,
        status: Option<String>,
        check_run: Option<String>,
        comment: bool,
    },
    Pull {
        ordered: bool,
    },
    Slack {
        template: String,
    },
}

/// A scheme that deliveries are signed with.
#[derive(Debug, Serialize, JsonSchema)]
struct Signs {
    #[schemars(example = &"qlens")]
    scheme: String,
    /// What the scheme leaves to be said for each endpoint.
    parameters: BTreeMap<String, String>,
    /// Which secret signs where a request carries the signature of one; null where that was left to the gateway.
    #[schemars(with = "Option<String>", extend("enum" = ["newest", "previous", "adaptive", null]))]
    sign_with: Option<SignWith>,
    /// When it signs no more.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
    /// Whether that is past.
    ended: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DestinationOrder")]
struct Order {
    key: String,
    /// `"block"`, `"skip"`, or `{"park": 3}`.
    on_failure: Value,
}

impl From<Ordering> for Order {
    fn from(Ordering { key, on_failure }: Ordering) -> Self {
        let on_failure = match on_failure {
            OnHeadFailure::Block => json!("block"),
            OnHeadFailure::Skip => json!("skip"),
            OnHeadFailure::Park { after } => json!({ "park": after }),
        };
        Self { key, on_failure }
    }
}

/// A way out as it is after a change, and what it lost by that.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ChangedDestination")]
pub(crate) struct Changed {
    #[serde(flatten)]
    destination: Shown,
    /// Stored credentials that ended, because they would have gone somewhere else than they were entered for: a header, or
    /// what a secret was for. Send them again if they are meant for there.
    dropped: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Retry {
    waits_s: Vec<u64>,
    jitter_percent: u8,
}

/// `GET /destinations`
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Paging>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("destinations", query.limit.as_deref(), query.cursor.as_deref())?;
    let mut destinations = api.engine.destinations(caller.organization);
    destinations.retain(|destination| !destination.is_retired());
    destinations.sort_by_key(|destination| std::cmp::Reverse(destination.created_at));
    let slice = page::slice(destinations, page);
    let now = api.clock.now();
    let owed = api.engine.backlog_of(&slice.items).await?;
    let show = |destination: Destination| {
        let owed = owed.iter().find(|owed| owed.destination == destination.id);
        shown(&api.engine, destination, owed, now)
    };
    Ok(Json(page::show("destinations", slice, show)))
}

/// `GET /destinations/{name}`
pub(crate) async fn show(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Path(name): Path<String>,
) -> Result<Json<Shown>, Problem> {
    find(&api, &caller, &name).await.map(Json)
}

async fn find(api: &Api, caller: &Principal, name: &str) -> Result<Shown, Problem> {
    // One that is only remembered is not there for anybody.
    let destination = api.engine.destination(caller.organization, name).filter(|one| !one.is_retired());
    let missing = || Problem::new(Code::NotFound, format!("there is no destination `{}`", name.escape_debug()));
    let destination = destination.ok_or_else(missing)?;
    let owed = api.engine.backlog_of(std::slice::from_ref(&destination)).await?;
    Ok(shown(&api.engine, destination, owed.first(), api.clock.now()))
}

/// `POST /destinations/{name}/pause`
pub(crate) async fn pause(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(name): Path<String>,
) -> Result<Json<Shown>, Problem> {
    api.engine.set_destination_state(&name, DestinationState::Paused, &caller).await?;
    find(&api, &caller, &name).await.map(Json)
}

/// `POST /destinations/{name}/resume`
pub(crate) async fn resume(
    State(api): State<Arc<Api>>,
    caller: Caller<Redeliver>,
    Path(name): Path<String>,
    Optional(resume): Optional<Resume>,
) -> Result<Json<Resumed<Shown>>, Problem> {
    let drain = resume.unwrap_or_default().drain()?;
    let drained = api.engine.resume_destination(&name, drain, &caller).await?;
    Ok(Json(Resumed { destination: find(&api, &caller, &name).await?, drained }))
}

/// `POST /destinations`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(New(table)): Body<New>,
) -> Result<Created<Shown>, Problem> {
    let name = table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    api.declaring.create(&caller, hookward_engine::Kind::Destination, table).await?;
    Ok(Created(find(&api, &caller, &name).await?))
}

/// `PATCH /destinations/{name}`
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Json<Changed>, Problem> {
    let dropped = api.declaring.alter(&caller, hookward_engine::Kind::Destination, &name, patch).await?;
    let destination = find(&api, &caller, &name).await?;
    Ok(Json(Changed { destination, dropped }))
}

/// `DELETE /destinations/{name}`
pub(crate) async fn remove(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(name): Path<String>,
) -> Result<Done, Problem> {
    api.declaring.retire(&caller, hookward_engine::Kind::Destination, &name).await?;
    Ok(Done)
}

fn shown(engine: &Engine, destination: Destination, owed: Option<&Owed>, now: Timestamp) -> Shown {
    let pace = condition::pace(&destination, owed);
    let spec = destination.spec;
    let organization = destination.organization;
    let authentication = authentication(engine, organization, &spec);
    let signing = spec.signing.iter().filter(|signing| !engine.sends_secret(organization, &signing.scheme));
    let signing = signing.map(|signing| signs(signing.clone(), now)).collect();
    let (state, state_reason) = match destination.state {
        DestinationState::Active => ("active", None),
        DestinationState::Paused => ("paused", None),
        DestinationState::Disabled { reason } => ("disabled", Some(reason)),
    };
    Shown {
        id: destination.id.to_string(),
        name: destination.name,
        kind: kind(spec.kind),
        state,
        state_reason,
        sources: spec.sources,
        event_types: spec.event_types,
        filter: spec.rules.filter,
        once_per: spec.rules.once_per,
        latest_wins: spec.rules.latest_wins,
        order: spec.order.map(Order::from),
        retry: Retry { waits_s: spec.retry.waits_s, jitter_percent: spec.retry.jitter_percent },
        concurrency: spec.concurrency,
        timeout_ms: millis(spec.timeout),
        connect_timeout_ms: spec.limits.connect.map(millis),
        first_byte_timeout_ms: spec.limits.first_byte.map(millis),
        signing,
        authentication,
        grace_s: spec.grace.as_secs(),
        pace,
        managed_by: destination.declaration.manager.name(),
        declared: hookward_engine::shown(&destination.declaration.table),
        created_at: time(destination.created_at),
    }
}

fn signs(signing: Signing, now: Timestamp) -> Signs {
    let ended = !signing.signs_at(now);
    let Signing { scheme, parameters, until, sign_with } = signing;
    Signs { scheme, parameters, sign_with, until: until.map(time), ended }
}

/// How it is told who calls, besides signatures.
pub(crate) fn authentication(engine: &Engine, organization: OrganizationId, spec: &DestinationSpec) -> Vec<String> {
    let schemes = spec.signing.iter().map(|signing| signing.scheme.as_str());
    let sent = schemes.filter(|scheme| engine.sends_secret(organization, scheme));
    let (oauth2, mtls) = match &spec.kind {
        DestinationKind::Http(http) => (http.oauth2.as_ref().map(|_| OAUTH2), http.mtls.as_ref().map(|_| MTLS)),
        _ => (None, None),
    };
    sent.chain(oauth2).chain(mtls).map(str::to_owned).collect()
}

fn kind(kind: DestinationKind) -> Kind {
    let names = |pairs: Vec<(String, String)>| pairs.into_iter().collect::<BTreeMap<_, _>>().into_keys().collect();
    match kind {
        DestinationKind::Http(http) => Kind::Http {
            url: without_query(&http.url),
            forward_headers: http.forward_headers,
            set_headers: names(http.set_headers),
            allow_addresses: http.allow_addresses.iter().map(ToString::to_string).collect(),
        },
        DestinationKind::Pull(pull) => Kind::Pull { ordered: pull.ordered },
        DestinationKind::Report(report) => Kind::Report {
            of: report.of,
            provider: report.provider,
            api: report.api_url,
            status: report.status,
            check_run: report.check_run,
            comment: report.comment,
        },
        DestinationKind::Slack(slack) => Kind::Slack { template: slack.template },
        DestinationKind::Command(command) => {
            Kind::Command { argv: command.argv, directory: command.directory, environment: names(command.environment) }
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A URL without what may be a credential in it.
pub(crate) fn without_query(url: &str) -> String {
    match url.split_once('?') {
        Some((base, _)) => format!("{base}?…"),
        None => url.to_owned(),
    }
}
