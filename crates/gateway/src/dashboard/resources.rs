//! Pages about what is declared: sources and destinations, how a sender or a receiver is set up, their secrets; schemes.

mod at;
mod declare;
mod destinations;
mod panel;
mod refusals;
mod schemes;
mod secrets;
mod sources;
mod table;
mod versions;

use std::sync::Arc;

use axum::{Extension, Router};

use crate::api::Api;
use crate::api::secrets::Owners;

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    let of = |owners: Owners| {
        secrets::routes(owners).merge(versions::routes(owners)).merge(declare::routes(owners)).layer(Extension(owners))
    };
    Router::new()
        .merge(sources::routes())
        .merge(destinations::routes())
        .merge(refusals::routes())
        .merge(schemes::routes())
        .merge(of(Owners::Sources))
        .merge(of(Owners::Destinations))
}
