//! Pages about who may: signing in, one's own account, users, keys.

mod sign_in;

mod confirm;
mod example;
mod first_run;
mod invitation;
mod provider;

mod second_factor;
mod settings;

mod keys;
mod scopes;
mod users;

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use hookward_engine::store::Page;
use serde::Deserialize;

use super::notice::Notice;
use super::page::{self, Failure};
use super::pager::Place;
use crate::api::Api;

/// Users or keys on one page.
const ON_A_PAGE: u32 = 50;

/// The pages of those who are signed in.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/dashboard/sign-out", post(sign_in::sign_out))
        .route("/dashboard/confirm", get(confirm::show).post(confirm::confirm))
        .route("/dashboard/settings", get(settings::show))
        .route("/dashboard/settings/password", post(settings::change_password))
        .route("/dashboard/settings/second-factor", post(second_factor::start))
        .route("/dashboard/settings/second-factor/confirm", post(second_factor::confirm))
        .route("/dashboard/settings/second-factor/remove", post(second_factor::remove))
        .route("/dashboard/settings/recovery-codes", post(second_factor::renew_codes))
        .route("/dashboard/settings/sessions/others", post(settings::end_others))
        .route("/dashboard/settings/sessions/{id}", post(settings::end_session))
        .route("/dashboard/users", get(users::list).post(users::invite))
        .route("/dashboard/users/new", get(users::new))
        .route("/dashboard/users/{id}", get(users::show))
        .route("/dashboard/users/{id}/scopes", post(users::change_scopes))
        .route("/dashboard/users/{id}/disable", post(users::disable))
        .route("/dashboard/users/{id}/enable", post(users::enable))
        .route("/dashboard/users/{id}/reset", post(users::reset))
        .route("/dashboard/users/{id}/remove", post(users::remove))
        .route("/dashboard/keys", get(keys::list).post(keys::create))
        .route("/dashboard/keys/new", get(keys::new))
        .route("/dashboard/keys/{id}/revoke", post(keys::revoke))
}

/// The pages by which one comes in.
pub(super) fn open_routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/dashboard/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/dashboard/first-run", get(first_run::show).post(first_run::begin))
        .route("/dashboard/first-run/{link}", get(first_run::open))
        .route("/dashboard/invitation", get(invitation::show).post(invitation::accept))
        .route("/dashboard/invitation/{link}", get(invitation::open))
        .route("/auth/oidc/{name}", get(provider::send))
        .route("/auth/oidc/{name}/callback", get(provider::come_back))
}

/// An id in a path. One that cannot be is one that there is not.
fn id<T: FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::not_found(format!("There is no such {what}.")))
}

/// What stands in the address of a list.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Listed {
    #[serde(flatten)]
    place: Place,
    notice: Option<Notice>,
}

impl Listed {
    fn page(&self) -> Page {
        Page { before: self.place.position(), limit: ON_A_PAGE }
    }
}

/// Goes on at `path` with a notice.
fn done(path: &str, notice: Notice) -> Response {
    page::see_other(&format!("{path}?notice={}", notice.code()))
}
