//! Organizations: listed, made, changed by whoever operates the installation; each sees itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Organization;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::caller::{Admin, Caller, Read};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::secrets::parse;
use super::sources::Paging;
use super::{Api, keys, time};

/// An organization as the API shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    name: String,
    /// What its API keys begin with, before a `_`.
    key_prefix: String,
    created_at: String,
    /// Since when it is being erased.
    erasing_at: Option<String>,
}

/// A new organization.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(default)]
    key_prefix: Option<String>,
}

/// What may be changed of one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    key_prefix: String,
}

/// `GET /organizations`: all of them for who operates the installation, one's own for everybody else.
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    query: Result<Query<Paging>, QueryRejection>,
) -> Result<Json<List<Shown>>, Problem> {
    let Query(query) = query?;
    let page = page::page("organizations", query.limit.as_deref(), query.cursor.as_deref())?;
    let mut organizations = api.engine.organizations();
    organizations.retain(|organization| caller.operates() || organization.id == caller.organization);
    organizations.sort_by_key(|organization| std::cmp::Reverse(organization.created_at));
    Ok(Json(page::show("organizations", page::slice(organizations, page), shown)))
}

/// A new organization with its first key, which is in this answer only.
#[derive(Serialize)]
pub(crate) struct Created {
    #[serde(flatten)]
    organization: Shown,
    key: Zeroizing<String>,
}

/// `POST /organizations`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Created>), Problem> {
    let caller = caller.operator()?;
    let Wanted { name, key_prefix } = parse(&body?)?;
    let organization = api.engine.create_organization(&caller, &name, key_prefix.as_deref()).await?;
    let (_, token) = api.engine.first_key(&caller, organization.id).await?;
    let key = Zeroizing::new(token.expose().to_owned());
    Ok((StatusCode::CREATED, Json(Created { organization: shown(organization), key })))
}

/// `POST /organizations/{id}/key`: for one that nobody can administer any more.
pub(crate) async fn first_key(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<keys::Made>), Problem> {
    let caller = caller.operator()?;
    let id: OrganizationId = id.parse()?;
    if api.engine.organization(id).is_none() {
        return Err(Problem::new(Code::NotFound, format!("there is no organization `{id}`")));
    }
    let (key, token) = api.engine.first_key(&caller, id).await?;
    Ok((StatusCode::CREATED, Json(keys::made(key, &token, api.clock.now()))))
}

/// `PATCH /organizations/{id}`
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Shown>, Problem> {
    let id: OrganizationId = id.parse()?;
    if id != caller.organization && !caller.operates() {
        return Err(Problem::new(Code::NotFound, format!("there is no organization `{id}`")));
    }
    let Changed { key_prefix } = parse(&body?)?;
    Ok(Json(shown(api.engine.set_key_prefix(&caller, id, &key_prefix).await?)))
}

/// `DELETE /organizations/{id}`: from now on nothing of it is in force, and it is being removed.
pub(crate) async fn erase(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Shown>), Problem> {
    let caller = caller.operator()?;
    let erased = api.engine.erase_organization(&caller, id.parse()?).await?;
    Ok((StatusCode::ACCEPTED, Json(shown(erased))))
}

fn shown(organization: Organization) -> Shown {
    Shown {
        id: organization.id.to_string(),
        name: organization.name,
        key_prefix: organization.key_prefix,
        created_at: time(organization.created_at),
        erasing_at: organization.erasing_at.map(time),
    }
}
