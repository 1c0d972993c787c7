//! Schemes on pages: the list, one with its file and what uses it, and the form with which a private one is declared. What is
//! wrong with a file is told at its line and column.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hookward::SchemeError;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Manager, Scope};
use hookward_engine::schemes::{Hidden, KnownScheme, SchemeOrigin};
use hookward_engine::store::Page as Rows;
use hookward_engine::{EngineError, Kind};
use http::StatusCode;
use serde::Deserialize;

use super::super::form::{Form, Nothing};
use super::super::notice::Notice;
use super::super::page::{self, Failure, Page, Refused, escaped, sentence};
use super::super::pager::{Pager, Place};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::at::At;
use super::declare::may_change;
use crate::api::caller::{Admin, Read};
use crate::api::{Api, page as pages, schemes};
use crate::declaring;

/// Where the list is.
const LIST: &str = "/dashboard/schemes";

/// How many are on one page of it.
const ROWS: u32 = 50;

/// The file that a new one begins with.
const BLANK: &str = "name = \"acme\"\ntitle = \"Acme\"\n\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
                     signature = { at = [\"header:X-Acme-Signature\"], encodings = [\"hex\"] }\ncontent = \"{body}\"\n";

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route(LIST, get(list))
        .route("/dashboard/new-scheme", get(show_new).post(create))
        .route("/dashboard/schemes/{name}", get(show))
        .route("/dashboard/schemes/{name}/edit", get(show_edit).post(change))
        .route("/dashboard/schemes/{name}/remove", post(remove))
}

#[derive(Debug, Template)]
#[template(path = "dashboard/schemes.html")]
struct Schemes {
    shell: Shell,
    rows: Vec<Row>,
    pager: Pager,
    may_make: bool,
}

#[derive(Debug)]
struct Row {
    name: String,
    page: String,
    title: String,
    binds: String,
    whose: &'static str,
    hides: Option<&'static str>,
    is_broken: bool,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/scheme.html")]
struct One {
    shell: Shell,
    name: String,
    page: String,
    whose: &'static str,
    hides: Option<&'static str>,
    problem: Option<String>,
    facts: Vec<(&'static str, Vec<String>)>,
    users: Vec<String>,
    toml: Option<String>,
    may_change: bool,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/scheme_edit.html")]
struct Edit {
    shell: Shell,
    action: String,
    back: String,
    /// That of what is changed; nothing of what is new.
    name: Option<String>,
    toml: String,
    replaces: bool,
    wrong: Option<Wrong>,
}

/// What is wrong with a file.
#[derive(Debug)]
struct Wrong {
    says: String,
    /// The line, with a mark below the place in it.
    place: Option<String>,
}

/// A form that was sent.
#[derive(Debug, Deserialize)]
struct Given {
    toml: String,
    replaces_catalog: Option<String>,
}

/// Which part of the list.
#[derive(Debug, Default, Deserialize)]
struct Listed {
    notice: Option<Notice>,
    #[serde(flatten)]
    place: Place,
}

/// `GET /dashboard/schemes`
async fn list(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Query(listed): Query<Listed>,
) -> Result<Response, Failure> {
    let known = api.engine().schemes(visitor.organization);
    let slice = pages::slice(known, Rows { before: listed.place.position(), limit: ROWS });
    let shell = visitor.shell(&api, Section::Sources, "Schemes").noticing(listed.notice);
    Ok(Page(Schemes {
        shell,
        rows: slice.items.into_iter().map(row).collect(),
        pager: listed.place.pager(slice.next, LIST),
        may_make: visitor.scopes().contains(Scope::Admin),
    })
    .into_response())
}

fn row(known: KnownScheme) -> Row {
    let (whose, hides, is_broken) = (whose(&known.origin), hides(known.hides), known.scheme.is_err());
    let shown = schemes::shown(known);
    let binds = bound(&shown.binds);
    let title = shown.title.unwrap_or_default();
    Row { page: page_of(&shown.name), name: shown.name, title, binds: binds.join(", "), whose, hides, is_broken }
}

fn page_of(name: &str) -> String {
    format!("{LIST}/{}", escaped(name))
}

fn whose(origin: &SchemeOrigin) -> &'static str {
    match origin {
        SchemeOrigin::Catalog => "The catalog",
        SchemeOrigin::ServedFile => "The configuration file",
        SchemeOrigin::Private(own) if own.declaration.manager == Manager::File => "Private, by an applied file",
        SchemeOrigin::Private(_) => "Private",
    }
}

fn hides(hidden: Option<Hidden>) -> Option<&'static str> {
    Some(match hidden? {
        Hidden::Catalog => "Hides the catalog's",
        Hidden::ServedFile => "Hides the configuration file's",
    })
}

fn bound(binds: &schemes::Bound) -> Vec<&'static str> {
    let parts = [
        (binds.body, "the body"),
        (binds.part_of_body, "some values of the body"),
        (binds.time, "the time"),
        (binds.url, "the URL"),
        (binds.id, "the delivery's id"),
    ];
    let parts: Vec<_> = parts.into_iter().filter(|(is_bound, _)| *is_bound).map(|(_, part)| part).collect();
    if parts.is_empty() { vec!["nothing"] } else { parts }
}

/// `GET /dashboard/schemes/{name}`
async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    At(name): At<String>,
    Query(listed): Query<Listed>,
) -> Result<Response, Failure> {
    let known = find(&api, visitor.organization, &name)?;
    let (whose, hides, toml) = (whose(&known.origin), hides(known.hides), schemes::file(&known));
    let may_change = match &known.origin {
        SchemeOrigin::Private(own) => may_change(visitor.scopes(), own.declaration.manager),
        SchemeOrigin::Catalog | SchemeOrigin::ServedFile => false,
    };
    let shown = schemes::shown(known);
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let mut facts = vec![("Provider", shown.title.iter().cloned().collect())];
    facts.push(("Computed with", texts(&shown.algorithms)));
    facts.push(("Binds", texts(&bound(&shown.binds))));
    let told = |one: &schemes::Left| match one.required {
        true => format!("{}: {}", one.name, one.meaning),
        false => format!("{} (may be said): {}", one.name, one.meaning),
    };
    facts.push(("Said for each endpoint", shown.parameters.iter().map(told).collect()));
    facts.push(("Private version", shown.version.iter().map(ToString::to_string).collect()));
    facts.retain(|(_, list)| !list.is_empty());
    let page = One {
        shell: visitor.shell(&api, Section::Sources, &name).noticing(listed.notice),
        page: page_of(&name),
        whose,
        hides,
        problem: shown.problem.as_deref().map(sentence),
        facts,
        users: api.engine().scheme_users(visitor.organization, &name),
        toml,
        may_change,
        name,
    };
    Ok(Page(page).into_response())
}

fn find(api: &Api, organization: OrganizationId, name: &str) -> Result<KnownScheme, Failure> {
    let known = api.engine().known_scheme(organization, name);
    known.ok_or_else(|| Failure::not_found("There is no such scheme."))
}

fn making(api: &Api, visitor: &Visitor<Admin>, toml: String, replaces: bool, wrong: Option<Wrong>) -> Edit {
    Edit {
        shell: visitor.shell(api, Section::Sources, "New scheme"),
        action: "/dashboard/new-scheme".to_owned(),
        back: LIST.to_owned(),
        name: None,
        toml,
        replaces,
        wrong,
    }
}

/// `GET /dashboard/new-scheme`
async fn show_new(State(api): State<Arc<Api>>, visitor: Visitor<Admin>) -> Response {
    Page(making(&api, &visitor, BLANK.to_owned(), false, None)).into_response()
}

/// `POST /dashboard/new-scheme`
async fn create(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Form(given): Form<Given>,
) -> Result<Response, Failure> {
    let replaces = given.replaces_catalog.is_some();
    let toml = lines(&given.toml);
    let wrong = match hookward::Scheme::from_toml(&toml) {
        Err(error) => wrong(&toml, &error),
        Ok(scheme) if api.engine().own_schemes(visitor.organization).iter().any(|own| own.name == scheme.name()) => {
            Wrong {
                says: format!("There is a private scheme `{}` already: change that one.", scheme.name()),
                place: None,
            }
        }
        Ok(scheme) => match api.declaring().put_scheme(&visitor, scheme.name(), toml.clone(), replaces).await {
            Ok(()) => return Ok(done(&page_of(scheme.name()), Notice::Made)),
            Err(refused) => told(&toml, refused)?,
        },
    };
    let form = making(&api, &visitor, toml, replaces, Some(wrong));
    Ok(Refused(StatusCode::UNPROCESSABLE_ENTITY, form).into_response())
}

fn changing(api: &Api, visitor: &Visitor<Admin>, name: &str, toml: String, wrong: Option<Wrong>) -> Edit {
    let back = page_of(name);
    Edit {
        shell: visitor.shell(api, Section::Sources, format!("Change {name}")),
        action: format!("{back}/edit"),
        back,
        name: Some(name.to_owned()),
        toml,
        replaces: false,
        wrong,
    }
}

/// The file of a scheme that the dashboard may change.
fn own_file(api: &Api, visitor: &Visitor<Admin>, name: &str) -> Result<String, Failure> {
    match find(api, visitor.organization, name)?.origin {
        SchemeOrigin::Private(own) if own.declaration.manager == Manager::Api => Ok(own.toml),
        SchemeOrigin::Catalog => Err(Failure::not_found("There is no such private scheme.")),
        SchemeOrigin::ServedFile | SchemeOrigin::Private(_) => {
            Err(Failure::said(StatusCode::CONFLICT, "This scheme is in the configuration file: it is changed there."))
        }
    }
}

/// `GET /dashboard/schemes/{name}/edit`
async fn show_edit(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    At(name): At<String>,
) -> Result<Response, Failure> {
    let toml = own_file(&api, &visitor, &name)?;
    Ok(Page(changing(&api, &visitor, &name, toml, None)).into_response())
}

/// `POST /dashboard/schemes/{name}/edit`
async fn change(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    At(name): At<String>,
    Form(given): Form<Given>,
) -> Result<Response, Failure> {
    own_file(&api, &visitor, &name)?;
    let toml = lines(&given.toml);
    let wrong = match api.declaring().put_scheme(&visitor, &name, toml.clone(), false).await {
        Ok(()) => return Ok(done(&page_of(&name), Notice::Changed)),
        Err(refused) => told(&toml, refused)?,
    };
    let form = changing(&api, &visitor, &name, toml, Some(wrong));
    Ok(Refused(StatusCode::UNPROCESSABLE_ENTITY, form).into_response())
}

/// `POST /dashboard/schemes/{name}/remove`
async fn remove(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    At(name): At<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    own_file(&api, &visitor, &name)?;
    api.declaring().retire(&visitor, Kind::Scheme, &name).await?;
    Ok(done(LIST, Notice::Removed))
}

fn done(path: &str, notice: Notice) -> Response {
    page::see_other(&format!("{path}?notice={}", notice.code()))
}

/// A text as a browser sends it, with the ends of lines that files have.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// What is wrong; what no other file would help is a failure.
fn told(toml: &str, refused: declaring::Refused) -> Result<Wrong, Failure> {
    match refused {
        declaring::Refused::Scheme(error) => Ok(wrong(toml, &error)),
        declaring::Refused::Engine(EngineError::Invalid(problem) | EngineError::Conflict(problem)) => {
            Ok(Wrong { says: sentence(&problem), place: None })
        }
        declaring::Refused::Problems(problems) => {
            let says = problems.iter().map(|problem| sentence(&problem.message)).collect::<Vec<_>>().join(" ");
            Ok(Wrong { says, place: None })
        }
        declaring::Refused::Engine(error) => Err(error.into()),
    }
}

fn wrong(toml: &str, error: &SchemeError) -> Wrong {
    let line = toml.lines().nth(error.line.saturating_sub(1)).unwrap_or_default();
    let before = line.chars().take(error.column.saturating_sub(1));
    let mark: String = before.map(|letter| if letter == '\t' { '\t' } else { ' ' }).chain(['^']).collect();
    Wrong { says: sentence(error.to_string().trim_end_matches('?')), place: Some(format!("{line}\n{mark}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_file_is_marked() {
        let toml = "name = \"acme\"\n\ttitel = \"Acme\"\n";
        let error = hookward::Scheme::from_toml(toml).unwrap_err();
        let Wrong { says, place } = wrong(toml, &error);
        assert!(says.starts_with("Line 2, column 2: unknown field `titel`"), "{says}");
        assert_eq!(place.as_deref(), Some("\ttitel = \"Acme\"\n\t^"));
    }
}
