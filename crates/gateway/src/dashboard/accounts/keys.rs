//! API keys, for who administers an organization: listed, made and shown once, revoked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::accounts::NewKey;
use hookward_engine::clock::Timestamp;
use hookward_engine::model::{ApiKey, Scope};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::{Form, Nothing};
use super::super::notice::Notice;
use super::super::page::{Failure, Page, Refused};
use super::super::pager::Pager;
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::When;
use super::scopes::{self, ScopeBox};
use super::{Listed, done, id};
use crate::api::Api;
use crate::api::caller::Admin;

const PATH: &str = "/dashboard/keys";
const NEW: &str = "/dashboard/keys/new";

/// For how long a key may be good: as a form says it, days if it ends, for people.
const LASTING: [(&str, Option<u64>, &str); 5] = [
    ("30", Some(30), "30 days"),
    ("90", Some(90), "90 days"),
    ("180", Some(180), "Half a year"),
    ("365", Some(365), "A year"),
    ("never", None, "Without end"),
];

/// What is chosen unless somebody chooses.
const LASTS: &str = "90";

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/keys.html")]
struct Keys {
    shell: Shell,
    rows: Vec<Row>,
    pager: Pager,
    problem: Option<String>,
}

#[derive(Debug)]
struct Row {
    id: String,
    name: String,
    /// What it begins and ends with.
    looks: String,
    scopes: String,
    badge: (&'static str, &'static str),
    is_live: bool,
    created_by: String,
    created: When,
    expires: Option<When>,
    last_used: Option<When>,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/key_new.html")]
struct New {
    shell: Shell,
    name: String,
    boxes: Vec<ScopeBox>,
    /// Value, words, whether it is chosen.
    lasting: Vec<(&'static str, &'static str, bool)>,
    problem: Option<String>,
}

/// A key that was made. Its text is in one answer only.
#[derive(Template)]
#[template(path = "dashboard/accounts/key_made.html")]
struct Made {
    shell: Shell,
    name: String,
    key: Zeroizing<String>,
    expires: Option<When>,
    url: String,
}

/// A key to be made.
#[derive(Deserialize)]
pub(super) struct Wanted {
    name: String,
    #[serde(default)]
    lasts: String,
    #[serde(flatten)]
    boxes: BTreeMap<String, String>,
}

fn row(key: ApiKey, now: Timestamp) -> Row {
    let badge = match &key {
        key if key.revoked_at.is_some() => ("bad", "Revoked"),
        key if key.is_live(now) => ("ok", "Live"),
        _ => ("held", "Expired"),
    };
    Row {
        id: key.id.to_string(),
        looks: format!("{}_…{}", key.prefix, key.last_four),
        scopes: key.scopes.iter().map(Scope::name).collect::<Vec<_>>().join(", "),
        badge,
        is_live: key.is_live(now),
        name: key.name,
        created_by: key.created_by,
        created: When::new(key.created_at, now),
        expires: key.expires_at.map(|at| When::new(at, now)),
        last_used: key.last_used_at.map(|at| When::new(at, now)),
    }
}

async fn listing(
    visitor: &Visitor<Admin>,
    api: &Api,
    listed: &Listed,
    problem: Option<String>,
) -> Result<Keys, Failure> {
    let keys = api.engine().keys(visitor.organization, listed.page()).await?;
    let now = api.clock().now();
    Ok(Keys {
        shell: visitor.shell(api, Section::Keys, "API keys").noticing(listed.notice),
        rows: keys.items.into_iter().map(|key| row(key, now)).collect(),
        pager: listed.place.pager(keys.next, PATH),
        problem,
    })
}

/// `GET /dashboard/keys`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Query(listed): Query<Listed>,
) -> Result<Response, Failure> {
    Ok(Page(listing(&visitor, &api, &listed, None).await?).into_response())
}

/// `GET /dashboard/keys/new`
pub(super) async fn new(State(api): State<Arc<Api>>, visitor: Visitor<Admin>) -> Result<Response, Failure> {
    // Who merely found a session could make themselves a way to stay.
    visitor.recently_proven(&api, NEW)?;
    let boxes = BTreeMap::from([("scope-read".to_owned(), String::new())]);
    let wanted = Wanted { name: String::new(), lasts: LASTS.to_owned(), boxes };
    Ok(Page(blank(&visitor, &api, wanted, None)).into_response())
}

fn blank(visitor: &Visitor<Admin>, api: &Api, wanted: Wanted, problem: Option<String>) -> New {
    New {
        shell: visitor.shell(api, Section::Keys, "New API key"),
        name: wanted.name,
        boxes: scopes::boxes(scopes::ticked(&wanted.boxes), visitor.scopes()),
        lasting: LASTING.map(|(value, _, words)| (value, words, value == wanted.lasts)).to_vec(),
        problem,
    }
}

/// `POST /dashboard/keys`
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Failure> {
    visitor.recently_proven(&api, NEW)?;
    let now = api.clock().now();
    let lasts = LASTING.iter().find(|(value, ..)| *value == wanted.lasts);
    let (_, days, _) = lasts.ok_or_else(|| Failure::invalid("Choose one of the lengths of time."))?;
    let expires_at = days.map(|days| now.plus(Duration::from_secs(days * 24 * 60 * 60)));
    let new = NewKey { name: wanted.name.clone(), scopes: scopes::ticked(&wanted.boxes), expires_at };
    match api.engine().create_key(&visitor, visitor.scopes(), new).await {
        Ok((key, token)) => {
            let shell = visitor.shell(&api, Section::Keys, "API key made");
            let (name, expires) = (key.name, key.expires_at.map(|at| When::new(at, now)));
            let (key, url) = (Zeroizing::new(token.expose().to_owned()), api.link(""));
            Ok(Page(Made { shell, name, key, expires, url }).into_response())
        }
        Err(error) => {
            let (status, problem) = Failure::from(error).into_words()?;
            Ok(Refused(status, blank(&visitor, &api, wanted, Some(problem))).into_response())
        }
    }
}

/// `POST /dashboard/keys/{id}/revoke`
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Path(key): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    match api.engine().revoke_key(&visitor, id(&key, "key")?).await {
        Ok(()) => Ok(done(PATH, Notice::KeyRevoked)),
        Err(error) => {
            let (status, problem) = Failure::from(error).into_words()?;
            let page = listing(&visitor, &api, &Listed::default(), Some(problem)).await?;
            Ok(Refused(status, page).into_response())
        }
    }
}
