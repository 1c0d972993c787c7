//! Sources and destinations made and changed by a form: the main settings as fields, the rest as a configuration file has
//! them. What is right is decided where the API's declarations are checked; here it is only told at its place.

mod form;
mod parameters;

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hookward_engine::model::{Manager, Scope};
use hookward_engine::{EngineError, Kind};
use http::StatusCode;

use super::super::form::{Form, Nothing};
use super::super::notice::Notice;
use super::super::page::{self, Failure, Page, Refused, sentence};
use super::super::shell::Shell;
use super::super::visitor::Visitor;
use super::at::{At, one, page_of, section, word};
use crate::api::Api;
use crate::api::caller::Admin;
use crate::api::secrets::Owners;
use crate::declaring;
use form::{Fields, Given};

/// The pages, for sources or for destinations; which, they find beside the request.
pub(super) fn routes(owners: Owners) -> Router<Arc<Api>> {
    let path = |rest: &str| format!("/dashboard/{}/{{name}}/{rest}", word(owners));
    Router::new()
        .route(&new(owners), get(show_new).post(create))
        .route(&path("edit"), get(show_edit).post(change))
        .route(&path("remove"), post(remove))
}

/// Where one is made. No name of one can stand there.
pub(super) fn new(owners: Owners) -> String {
    format!("/dashboard/new-{}", one(owners))
}

#[derive(Debug, Template)]
#[template(path = "dashboard/declare.html")]
struct Declaring {
    shell: Shell,
    /// Where the form goes.
    action: String,
    back: String,
    one: &'static str,
    /// That of what is changed; nothing of what is new.
    name: Option<String>,
    fields: Fields,
    /// Where it is removed.
    remove: Option<String>,
}

fn kind(owners: Owners) -> Kind {
    match owners {
        Owners::Sources => Kind::Source,
        Owners::Destinations => Kind::Destination,
    }
}

fn making(api: &Api, visitor: &Visitor<Admin>, owners: Owners, fields: Fields) -> Declaring {
    Declaring {
        shell: visitor.shell(api, section(owners), format!("New {}", one(owners))),
        action: new(owners),
        back: format!("/dashboard/{}", word(owners)),
        one: one(owners),
        name: None,
        fields,
        remove: None,
    }
}

fn changing(api: &Api, visitor: &Visitor<Admin>, owners: Owners, name: &str, fields: Fields) -> Declaring {
    let back = page_of(owners, name);
    Declaring {
        shell: visitor.shell(api, section(owners), format!("Change {name}")),
        action: format!("{back}/edit"),
        one: one(owners),
        name: Some(name.to_owned()),
        fields,
        remove: Some(format!("{back}/remove")),
        back,
    }
}

/// `GET /dashboard/new-source` and `GET /dashboard/new-destination`
async fn show_new(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Extension(owners): Extension<Owners>,
) -> Response {
    let fields = Fields::blank(&api, &visitor, owners);
    Page(making(&api, &visitor, owners, fields)).into_response()
}

/// `POST /dashboard/new-source` and `POST /dashboard/new-destination`
async fn create(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Extension(owners): Extension<Owners>,
    Form(given): Form<Given>,
) -> Result<Response, Failure> {
    let mut fields = Fields::given(&api, &visitor, owners, &given);
    if let Some(table) = fields.table(&given) {
        let name = given.name().to_owned();
        match api.declaring().create(&visitor, kind(owners), table).await {
            Ok(()) => return Ok(done(owners, &name, Notice::Made)),
            Err(refused) => fields.refuse(told(refused)?),
        }
    }
    Ok(Refused(StatusCode::UNPROCESSABLE_ENTITY, making(&api, &visitor, owners, fields)).into_response())
}

fn done(owners: Owners, name: &str, notice: Notice) -> Response {
    page::see_other(&format!("{}?notice={}", page_of(owners, name), notice.code()))
}

/// What was declared, if the dashboard may change it.
fn declared(
    api: &Api,
    visitor: &Visitor<Admin>,
    owners: Owners,
    name: &str,
) -> Result<serde_json::Map<String, serde_json::Value>, Failure> {
    match api.declaring().exported(visitor, kind(owners), name) {
        None => Err(Failure::not_found(format!("There is no such {}.", one(owners)))),
        Some((_, Manager::File)) => Err(Failure::said(
            StatusCode::CONFLICT,
            format!("This {} is in the configuration file: it is changed there.", one(owners)),
        )),
        Some((table, Manager::Api)) => Ok(table),
    }
}

/// `GET …/{name}/edit`
async fn show_edit(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
) -> Result<Response, Failure> {
    let fields = Fields::of(&api, &visitor, owners, declared(&api, &visitor, owners, &name)?);
    Ok(Page(changing(&api, &visitor, owners, &name, fields)).into_response())
}

/// `POST …/{name}/edit`
async fn change(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
    Form(given): Form<Given>,
) -> Result<Response, Failure> {
    let before = declared(&api, &visitor, owners, &name)?;
    let mut fields = Fields::given(&api, &visitor, owners, &given);
    if let Some(table) = fields.table(&given) {
        let patch = form::patch(&before, &table);
        match api.declaring().alter(&visitor, kind(owners), &name, patch).await {
            Ok(dropped) if dropped.is_empty() => return Ok(done(owners, &name, Notice::Changed)),
            Ok(_) => return Ok(done(owners, &name, Notice::CredentialsDropped)),
            Err(refused) => fields.refuse(told(refused)?),
        }
    }
    let form = changing(&api, &visitor, owners, &name, fields);
    Ok(Refused(StatusCode::UNPROCESSABLE_ENTITY, form).into_response())
}

/// `POST …/{name}/remove`
async fn remove(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    declared(&api, &visitor, owners, &name)?;
    api.declaring().retire(&visitor, kind(owners), &name).await?;
    Ok(page::see_other(&format!("/dashboard/{}?notice={}", word(owners), Notice::Removed.code())))
}

/// What is wrong, by the place in the table; what no other table would help is a failure.
fn told(refused: declaring::Refused) -> Result<Vec<(String, String)>, Failure> {
    match refused {
        declaring::Refused::Problems(problems) => {
            Ok(problems.into_iter().map(|problem| (problem.pointer, sentence(&problem.message))).collect())
        }
        declaring::Refused::Engine(EngineError::Invalid(problem) | EngineError::Conflict(problem)) => {
            Ok(vec![(String::new(), sentence(&problem))])
        }
        declaring::Refused::Scheme(error) => Ok(vec![(String::new(), sentence(&error.to_string()))]),
        declaring::Refused::Engine(error) => Err(error.into()),
    }
}

/// Whether somebody with these scopes may change something that is managed so.
pub(super) fn may_change(scopes: hookward_engine::model::Scopes, manager: Manager) -> bool {
    manager == Manager::Api && scopes.contains(Scope::Admin)
}
