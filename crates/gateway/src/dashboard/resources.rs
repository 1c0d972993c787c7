//! Pages about what is declared: sources and destinations, how a sender or a receiver is set up, their secrets.

use std::sync::Arc;

use axum::Router;

use crate::api::Api;

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
}
