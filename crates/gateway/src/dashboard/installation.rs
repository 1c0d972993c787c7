//! Pages about the installation: the overview, the audit log, encryption, the system.

mod overview;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::api::Api;

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/dashboard", get(overview::show))
}
