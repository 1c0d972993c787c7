//! Pages about the installation: the overview, the audit log, encryption, the system.

mod audit;
mod chain;
mod chart;
mod encryption;
mod overview;
mod system;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::page::Failure;
use super::visitor::Visitor;
use crate::api::Api;
use crate::api::caller::Admin;

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/dashboard", get(overview::show))
        .route("/dashboard/overview", get(overview::again))
        .route("/dashboard/audit", get(audit::list))
        .route("/dashboard/audit/{seq}", get(audit::show))
        .route("/dashboard/audit/check", get(chain::show).post(chain::check))
        .route("/dashboard/audit/export", post(audit::export))
        .route("/dashboard/encryption", get(encryption::show))
        .route("/dashboard/encryption/test", post(encryption::test))
        .route("/dashboard/encryption/rewrap", get(encryption::progress).post(encryption::rewrap))
        .route("/dashboard/system", get(system::show))
}

/// Lets through only who operates the installation.
fn operator(visitor: &Visitor<Admin>) -> Result<(), Failure> {
    if visitor.operates() {
        return Ok(());
    }
    Err(Failure::forbidden("Only the default organization, which operates the installation, may see this."))
}
