//! Pages about what happened: the list of events, one event with its deliveries, what may be done with them.

use std::sync::Arc;

use axum::Router;

use crate::api::Api;

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
}
