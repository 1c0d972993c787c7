//! All versions of the secrets of a source or a destination, page by page. What is done with them is `secrets`'s.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use hookward_engine::store::Page as Rows;

use super::super::page::{Failure, Page};
use super::super::pager::{Pager, Place};
use super::super::shell::Shell;
use super::super::visitor::Visitor;
use super::at::{At, section, word};
use super::panel::{self, Keyholder, Versions};
use crate::api::Api;
use crate::api::caller::Read;
use crate::api::page::slice;
use crate::api::secrets::Owners;

/// How many are on one page.
const ROWS: u32 = 25;

/// The pages, for sources or for destinations; which, they find beside the request.
pub(super) fn routes(owners: Owners) -> Router<Arc<Api>> {
    Router::new().route(&format!("/dashboard/{}/{{name}}/secrets", word(owners)), get(show))
}

#[derive(Debug, Template)]
#[template(path = "dashboard/secret_list.html")]
struct All {
    shell: Shell,
    name: String,
    back: String,
    list: Versions,
    pager: Pager,
}

/// `GET …/secrets`
async fn show(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
    Query(place): Query<Place>,
) -> Result<Response, Failure> {
    let holder = Keyholder::find(&api, &visitor, owners, &name)?;
    let kept = api.engine().secrets(holder.owner).await?;
    let shown = slice(kept.iter().collect(), Rows { before: place.position(), limit: ROWS });
    let page = All {
        shell: visitor.shell(&api, section(owners), format!("Secrets of {name}")),
        back: format!("{}#secrets", holder.page()),
        list: panel::versions(&holder, visitor.scopes(), &shown.items, api.clock().now()),
        pager: place.pager(shown.next, &holder.secrets()),
        name,
    };
    Ok(Page(page).into_response())
}
