//! Pages about what happened: the list of events, one event with its deliveries, what may be done with them.

mod acts;
mod all;
mod bars;
mod body;
mod curl;
mod event;
mod filters;
mod list;
mod marks;
mod progress;
mod raw;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use hookward_engine::ids::EventId;

use super::page::Failure;
use crate::api::Api;

/// Where the list is.
const EVENTS: &str = "/dashboard/events";

/// The pages.
pub(super) fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route(EVENTS, get(list::show))
        .route("/dashboard/events/new", get(list::news))
        .route("/dashboard/events/redeliver", post(acts::redeliver_chosen))
        .route("/dashboard/events/redeliver-all", get(all::confirm).post(all::redeliver))
        .route("/dashboard/events/cancel", post(acts::cancel_chosen))
        .route("/dashboard/events/{id}", get(event::show))
        .route("/dashboard/events/{id}/progress", get(event::progress))
        .route("/dashboard/events/{id}/body", get(raw::body))
        .route("/dashboard/events/{id}/redeliver", post(acts::redeliver))
        .route("/dashboard/deliveries/{id}/cancel", post(acts::cancel))
        .route("/dashboard/deliveries/{id}/output", get(raw::output))
}

/// Where an event is.
fn path_of(event: EventId) -> String {
    format!("{EVENTS}/{event}")
}

/// An id out of a path: one that cannot be is one that there is not.
fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::not_found(format!("There is no such {what}.")))
}
