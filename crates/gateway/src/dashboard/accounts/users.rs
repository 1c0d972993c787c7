//! Users, for who administers an organization: listed, invited, changed, reset, removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::accounts::{INVITATION, NewUser, Token, UserPatch};
use hookward_engine::ids::UserId;
use hookward_engine::model::{Role, User};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::{Form, Nothing};
use super::super::notice::{Notice, Noticed};
use super::super::page::{Failure, Page, Refused};
use super::super::pager::Pager;
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::When;
use super::scopes::{self, RoleChoice, ScopeBox};
use super::{Listed, done, id, invitation};
use crate::api::Api;
use crate::api::caller::Admin;

const PATH: &str = "/dashboard/users";
const NEW: &str = "/dashboard/users/new";

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/users.html")]
struct Users {
    shell: Shell,
    rows: Vec<Row>,
    pager: Pager,
}

/// A user as pages show one.
#[derive(Debug)]
struct Row {
    id: String,
    email: String,
    role: String,
    scopes: String,
    /// What the badge of their state is, and says.
    badge: (&'static str, &'static str),
    has_password: bool,
    has_second_factor: bool,
    is_disabled: bool,
    is_visitor: bool,
    created_by: String,
    created: When,
    last_login: Option<When>,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/user_new.html")]
struct New {
    shell: Shell,
    email: String,
    roles: Vec<RoleChoice>,
    boxes: Vec<ScopeBox>,
    problem: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/user.html")]
struct Shown {
    shell: Shell,
    user: Row,
    roles: Vec<RoleChoice>,
    boxes: Vec<ScopeBox>,
    problem: Option<String>,
}

/// A link by which somebody sets a password. It is in one answer only.
#[derive(Template)]
#[template(path = "dashboard/accounts/invited.html")]
struct Invited {
    shell: Shell,
    email: String,
    link: Zeroizing<String>,
    lasts: String,
    /// The account was there before.
    is_reset: bool,
}

/// Who is to be invited.
#[derive(Deserialize)]
pub(super) struct Wanted {
    email: String,
    #[serde(flatten)]
    may: May,
}

/// What a user is to be allowed: a role, or scopes one by one.
#[derive(Deserialize)]
pub(super) struct May {
    #[serde(default)]
    role: String,
    #[serde(flatten)]
    boxes: BTreeMap<String, String>,
}

fn row(visitor: &Visitor<Admin>, api: &Api, user: User) -> Row {
    let now = api.clock().now();
    let badge = match &user {
        User { disabled_at: Some(_), .. } => ("bad", "Disabled"),
        User { last_login_at: None, .. } => ("wait", "Invited"),
        User { password: None, last_login_at: Some(_), .. } => ("info", "By a provider"),
        _ => ("ok", "Active"),
    };
    Row {
        id: user.id.to_string(),
        role: scopes::name(user.scopes),
        scopes: user.scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", "),
        badge,
        has_password: user.password.is_some(),
        has_second_factor: user.totp.is_some_and(|totp| totp.confirmed_at.is_some()),
        is_disabled: user.disabled_at.is_some(),
        is_visitor: user.id == visitor.look.signed_in.user,
        email: user.email,
        created_by: user.created_by,
        created: When::new(user.created_at, now),
        last_login: user.last_login_at.map(|at| When::new(at, now)),
    }
}

/// `GET /dashboard/users`
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Query(listed): Query<Listed>,
) -> Result<Response, Failure> {
    let users = api.engine().users(visitor.organization, listed.page()).await?;
    let shell = visitor.shell(&api, Section::Users, "Users").noticing(listed.notice);
    let rows = users.items.into_iter().map(|user| row(&visitor, &api, user)).collect();
    Ok(Page(Users { shell, rows, pager: listed.place.pager(users.next, PATH) }).into_response())
}

/// `GET /dashboard/users/new`
pub(super) async fn new(State(api): State<Arc<Api>>, visitor: Visitor<Admin>) -> Result<Response, Failure> {
    // Who merely found a session could make themselves a way to stay.
    visitor.recently_proven(&api, NEW)?;
    let may = May { role: Role::Viewer.name().to_owned(), boxes: BTreeMap::new() };
    Ok(Page(blank(&visitor, &api, String::new(), &may, None)).into_response())
}

fn blank(visitor: &Visitor<Admin>, api: &Api, email: String, may: &May, problem: Option<String>) -> New {
    New {
        shell: visitor.shell(api, Section::Users, "Invite a user"),
        email,
        roles: scopes::roles(Role::named(&may.role), visitor.scopes()),
        boxes: scopes::boxes(scopes::ticked(&may.boxes), visitor.scopes()),
        problem,
    }
}

/// `POST /dashboard/users`
pub(super) async fn invite(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Form(wanted): Form<Wanted>,
) -> Result<Response, Failure> {
    visitor.recently_proven(&api, NEW)?;
    let Wanted { email, may } = wanted;
    let new = NewUser { email: email.clone(), scopes: scopes::chosen(&may.role, &may.boxes) };
    match api.engine().invite(&visitor, visitor.scopes(), new).await {
        Ok((user, token)) => Ok(invited(&visitor, &api, user, &token, false)),
        Err(error) => {
            let (status, problem) = Failure::from(error).into_words()?;
            Ok(Refused(status, blank(&visitor, &api, email, &may, Some(problem))).into_response())
        }
    }
}

fn invited(visitor: &Visitor<Admin>, api: &Api, user: User, token: &Token, is_reset: bool) -> Response {
    let link = Zeroizing::new(api.link(&invitation::link(token.expose())));
    let title = if is_reset { "Account reset" } else { "User invited" };
    let shell = visitor.shell(api, Section::Users, title);
    Page(Invited { shell, email: user.email, link, lasts: format!("{} days", INVITATION.as_secs() / 86_400), is_reset })
        .into_response()
}

/// `GET /dashboard/users/{id}`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Path(user): Path<String>,
    Query(noticed): Query<Noticed>,
) -> Result<Response, Failure> {
    let mut page = shown(&visitor, &api, id(&user, "user")?, None).await?;
    page.shell = page.shell.noticing(noticed.notice);
    Ok(Page(page).into_response())
}

async fn shown(visitor: &Visitor<Admin>, api: &Api, id: UserId, problem: Option<String>) -> Result<Shown, Failure> {
    let user = api.engine().user(visitor.organization, id).await?;
    Ok(Shown {
        shell: visitor.shell(api, Section::Users, user.email.clone()),
        roles: scopes::roles(Role::of(user.scopes), visitor.scopes()),
        boxes: scopes::boxes(user.scopes, visitor.scopes()),
        user: row(visitor, api, user),
        problem,
    })
}

/// `POST /dashboard/users/{id}/scopes`
pub(super) async fn change_scopes(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Path(user): Path<String>,
    Form(may): Form<May>,
) -> Result<Response, Failure> {
    visitor.recently_proven(&api, &format!("{PATH}/{user}"))?;
    let patch = UserPatch { scopes: Some(scopes::chosen(&may.role, &may.boxes)), disabled: None };
    change(&visitor, &api, id(&user, "user")?, patch, Notice::UserChanged).await
}

/// `POST /dashboard/users/{id}/disable`
pub(super) async fn disable(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Path(user): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    let patch = UserPatch { scopes: None, disabled: Some(true) };
    change(&visitor, &api, id(&user, "user")?, patch, Notice::UserDisabled).await
}

/// `POST /dashboard/users/{id}/enable`
pub(super) async fn enable(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Path(user): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    let patch = UserPatch { scopes: None, disabled: Some(false) };
    change(&visitor, &api, id(&user, "user")?, patch, Notice::UserEnabled).await
}

async fn change(
    visitor: &Visitor<Admin>,
    api: &Api,
    id: UserId,
    patch: UserPatch,
    notice: Notice,
) -> Result<Response, Failure> {
    match api.engine().change_user(visitor, visitor.scopes(), id, patch).await {
        Ok(user) => Ok(done(&format!("{PATH}/{}", user.id), notice)),
        Err(error) => refused(visitor, api, id, error.into()).await,
    }
}

/// The user's page, with why nothing was done.
async fn refused(visitor: &Visitor<Admin>, api: &Api, id: UserId, why: Failure) -> Result<Response, Failure> {
    let (status, problem) = why.into_words()?;
    Ok(Refused(status, shown(visitor, api, id, Some(problem)).await?).into_response())
}

/// `POST /dashboard/users/{id}/reset`
pub(super) async fn reset(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Path(user): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    visitor.recently_proven(&api, &format!("{PATH}/{user}"))?;
    let id = id(&user, "user")?;
    match api.engine().reset_user(&visitor, visitor.scopes(), id).await {
        Ok((user, token)) => Ok(invited(&visitor, &api, user, &token, true)),
        Err(error) => refused(&visitor, &api, id, error.into()).await,
    }
}

/// `POST /dashboard/users/{id}/remove`
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Admin>,
    Path(user): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    let id = id(&user, "user")?;
    match api.engine().remove_user(&visitor, id).await {
        Ok(()) => Ok(done(PATH, Notice::UserRemoved)),
        Err(error) => refused(&visitor, &api, id, error.into()).await,
    }
}
