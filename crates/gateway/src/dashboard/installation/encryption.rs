//! The keys that seal all secrets, for whoever operates the installation: which wraps what, which secrets are not open, a
//! try of the KMS, and the rewrap with how far it is.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookward_engine::kms::KmsError;
use hookward_engine::rewrap::{KmsStatus, Rewrap};
use hookward_engine::{EngineError, ShutSecret};
use serde::Deserialize;

use super::super::form::{Form, Nothing};
use super::super::page::{Failure, Page, see_other};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::{self, When};
use crate::api::caller::Admin;
use crate::api::{Api, kms};
use crate::config::InForce;

#[derive(Debug, Template)]
#[template(path = "dashboard/encryption.html")]
struct Encryption {
    shell: Shell,
    settings: Vec<InForce>,
    key_id: String,
    keys: Vec<Key>,
    open: usize,
    /// Secrets that are not open, the ones that pass by themselves last.
    shut: Vec<Shut>,
    tested: Option<Tested>,
    /// How many values another key than the current one wraps.
    elsewhere: String,
    has_elsewhere: bool,
    rewrap: Option<Told>,
    is_rewrapping: bool,
}

/// A key, and what it wraps.
#[derive(Debug)]
struct Key {
    id: String,
    /// Icon and word.
    role: (&'static str, &'static str),
    sealed: String,
}

/// A secret that is not open.
#[derive(Debug)]
struct Shut {
    organization: String,
    owner: String,
    version: u32,
    key_id: String,
    problem: String,
    /// It waits for the KMS, and otherwise has to be entered again.
    is_waiting: bool,
}

/// What came of a try.
#[derive(Debug)]
enum Tested {
    Answered(String),
    Failed(String),
}

/// A rewrap as it is told.
#[derive(Debug)]
struct Told {
    state: &'static str,
    to: String,
    total: u64,
    done: u64,
    skipped: u64,
    percent: u64,
    problem: Option<String>,
    actor: String,
    started_at: When,
    ended_at: Option<When>,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/encryption_rewrap.html")]
struct Progress {
    rewrap: Option<Told>,
}

/// `GET /dashboard/encryption`
pub(super) async fn show(State(api): State<Arc<Api>>, visitor: Visitor<Admin>) -> Result<Response, Failure> {
    super::operator(&visitor)?;
    page(&api, &visitor, None).await
}

async fn page(api: &Api, visitor: &Visitor<Admin>, tested: Option<Tested>) -> Result<Response, Failure> {
    let KmsStatus { key_id, previous, sealed, open, shut: _ } = api.engine().kms_status().await?;
    let count_of = |id: &str| sealed.iter().find(|(known, _)| known == id).map_or(0, |(_, count)| *count);
    let known = || std::iter::once(&key_id).chain(&previous);
    let gone = sealed.iter().map(|(id, _)| id).filter(|id| !known().any(|known| known == *id));
    let keys = known().chain(gone).map(|id| Key {
        id: id.clone(),
        role: match id {
            id if *id == key_id => ("ok", "wraps and unwraps"),
            id if previous.contains(id) => ("held", "only unwraps"),
            _ => ("bad", "not at hand"),
        },
        sealed: words::count(count_of(id)),
    });
    let elsewhere: u64 = sealed.iter().filter(|(id, _)| *id != key_id).map(|(_, count)| count).sum();
    let mut shut: Vec<_> = api.engine().shut_secrets().into_iter().map(|secret| shown(api, secret)).collect();
    shut.sort_by_key(|secret| secret.is_waiting);
    let settings = api.installation().in_force.iter().filter(|row| row.name.starts_with("kms.")).cloned();
    let rewrap = last(api).await?;
    let page = Encryption {
        shell: visitor.shell(api, Section::Encryption, "Encryption"),
        settings: settings.collect(),
        keys: keys.collect(),
        key_id,
        open,
        shut,
        tested,
        elsewhere: words::count(elsewhere),
        has_elsewhere: elsewhere > 0,
        is_rewrapping: rewrap.as_ref().is_some_and(|rewrap| rewrap.ended_at.is_none()),
        rewrap,
    };
    Ok(Page(page).into_response())
}

fn shown(api: &Api, secret: ShutSecret) -> Shut {
    let ShutSecret { organization, owner, version, key_id, error } = secret;
    let name = api.engine().organization(organization).map_or_else(|| organization.to_string(), |found| found.name);
    let is_waiting = matches!(error, KmsError::Unavailable(_));
    Shut { organization: name, owner, version, key_id, problem: error.to_string(), is_waiting }
}

async fn last(api: &Api) -> Result<Option<Told>, Failure> {
    let now = api.clock().now();
    Ok(api.engine().rewrap().await?.map(|rewrap| {
        let (state, percent) = (kms::state(&rewrap), kms::percent(&rewrap));
        let Rewrap { to, total, done, skipped, problem, actor, started_at, ended_at, .. } = rewrap;
        let (started_at, ended_at) = (When::new(started_at, now), ended_at.map(|at| When::new(at, now)));
        Told { state, to, total, done, skipped, percent, problem, actor, started_at, ended_at }
    }))
}

/// `POST /dashboard/encryption/test`
pub(super) async fn test(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    super::operator(&visitor)?;
    let tested = match api.engine().test_kms(&visitor).await {
        Ok(took) => Tested::Answered(words::lapse(took)),
        // Whoever operates the installation is told what its log would say.
        Err(EngineError::Unavailable(problem)) => Tested::Failed(problem),
        Err(error) => return Err(error.into()),
    };
    page(&api, &visitor, Some(tested)).await
}

/// How to rewrap.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// A box that is ticked.
    give_up_lost: Option<String>,
}

/// `POST /dashboard/encryption/rewrap`
pub(super) async fn rewrap(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Failure> {
    super::operator(&visitor)?;
    api.engine().start_rewrap(&visitor, wanted.give_up_lost.is_some()).await?;
    Ok(see_other("/dashboard/encryption"))
}

/// `GET /dashboard/encryption/rewrap`: the part of the page that says how far the last one is.
pub(super) async fn progress(State(api): State<Arc<Api>>, visitor: Visitor<Admin>) -> Result<Response, Failure> {
    super::operator(&visitor)?;
    Ok(Page(Progress { rewrap: last(&api).await? }).into_response())
}
