//! Pages about who may: signing in, one's own account, users, keys.

mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::api::Api;

/// The pages of those who are signed in.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new().route("/dashboard/sign-out", post(sign_in::sign_out))
}

/// The pages by which one comes in.
pub(super) fn open_routes() -> Router<Arc<Api>> {
    Router::new().route("/dashboard/sign-in", get(sign_in::show).post(sign_in::sign_in))
}
