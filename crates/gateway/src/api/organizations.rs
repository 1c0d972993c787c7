//! Organizations: listed, made, changed by whoever operates the installation; each sees itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Organization;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answers::{Accepted, CreatedOnce};
use super::caller::{Admin, Caller, Read};
use super::extract::{Body, Path, Query};
use super::page::{self, List};
use super::problem::{Code, Problem};
use super::sources::Paging;
use super::{Api, keys, time};

/// The tenant that owns everything.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Organization")]
pub(crate) struct Shown {
    #[schemars(example = &"org_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(example = &"qlens")]
    name: String,
    /// What its API keys begin with, before a `_`.
    #[schemars(example = &"qlens")]
    key_prefix: String,
    created_at: String,
    /// Since when it is being erased.
    erasing_at: Option<String>,
}

/// A new organization.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewOrganization")]
pub(crate) struct Wanted {
    #[schemars(example = &"qlens")]
    name: String,
    #[serde(default)]
    #[schemars(example = &"qlens")]
    key_prefix: Option<String>,
}

/// What may be changed of one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "OrganizationChange")]
pub(crate) struct Changed {
    #[schemars(example = &"qlens")]
    key_prefix: String,
}

/// `GET /organizations`: all of them for who operates the installation, one's own for everybody else.
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    caller: Caller<Read>,
    Query(query): Query<Paging>,
) -> Result<Json<List<Shown>>, Problem> {
    let page = page::page("organizations", query.limit.as_deref(), query.cursor.as_deref())?;
    let mut organizations = api.engine.organizations();
    organizations.retain(|organization| caller.operates() || organization.id == caller.organization);
    organizations.sort_by_key(|organization| std::cmp::Reverse(organization.created_at));
    Ok(Json(page::show("organizations", page::slice(organizations, page), shown)))
}

/// A new organization with its first key, which is in this answer only.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MadeOrganization")]
pub(crate) struct Created {
    #[serde(flatten)]
    organization: Shown,
    #[schemars(with = "String")]
    key: Zeroizing<String>,
}

/// `POST /organizations`
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(Wanted { name, key_prefix }): Body<Wanted>,
) -> Result<CreatedOnce<Created>, Problem> {
    let caller = caller.operator()?;
    let organization = api.engine.create_organization(&caller, &name, key_prefix.as_deref()).await?;
    let (_, token) = api.engine.first_key(&caller, organization.id).await?;
    let key = Zeroizing::new(token.expose().to_owned());
    let id = organization.id.to_string();
    Ok(CreatedOnce { answer: Created { organization: shown(organization), key }, id })
}

/// `POST /organizations/{id}/key`: for one that nobody can administer any more.
pub(crate) async fn first_key(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<OrganizationId>,
) -> Result<CreatedOnce<keys::Made>, Problem> {
    let caller = caller.operator()?;
    if api.engine.organization(id).is_none() {
        return Err(Problem::new(Code::NotFound, format!("there is no organization `{id}`")));
    }
    let (key, token) = api.engine.first_key(&caller, id).await?;
    Ok(keys::made(key, &token, api.clock.now()))
}

/// `PATCH /organizations/{id}`
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<OrganizationId>,
    Body(Changed { key_prefix }): Body<Changed>,
) -> Result<Json<Shown>, Problem> {
    if id != caller.organization && !caller.operates() {
        return Err(Problem::new(Code::NotFound, format!("there is no organization `{id}`")));
    }
    Ok(Json(shown(api.engine.set_key_prefix(&caller, id, &key_prefix).await?)))
}

/// `DELETE /organizations/{id}`: from now on nothing of it is in force, and it is being removed.
pub(crate) async fn erase(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Path(id): Path<OrganizationId>,
) -> Result<Accepted<Shown>, Problem> {
    let caller = caller.operator()?;
    let erased = api.engine.erase_organization(&caller, id).await?;
    Ok(Accepted(shown(erased)))
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
