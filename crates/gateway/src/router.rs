//! Every route there is. The public listener reaches sources and two checks; everything else is the admin listener's.
//! Only paths and methods; what happens there is `ingest`, `health` and `api`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post};
use http::Request;
use hyper::body::Incoming;

use crate::answer::Whole;
use crate::api::{
    self, Api, audit, deliveries, destinations, events, jobs, keys, leases, organizations, refusals, secrets, sources,
};
use crate::health;
use crate::ingest::Ingest;

/// The listener that the internet reaches.
pub(crate) async fn public(ingest: Arc<Ingest>, request: Request<Incoming>) -> Result<Whole, Infallible> {
    Ok(match request.uri().path() {
        "/healthz" => health::live(request.method()),
        "/readyz" => health::ready(request.method(), ingest.engine()).await,
        _ => ingest.answer(request).await,
    })
}

/// The listener for operators and scripts.
pub(crate) fn admin(api: Arc<Api>) -> Router {
    Router::new()
        .route("/healthz", get(health::admin_live))
        .route("/readyz", get(health::admin_ready))
        .route("/metrics", get(health::metrics))
        .nest("/api/v1", v1(&api))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(axum::middleware::map_response(api::harden))
        .with_state(api)
}

/// Everything here needs a key.
fn v1(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/organizations", get(organizations::list).post(organizations::create))
        .route("/organizations/{id}", patch(organizations::change))
        .route("/sources", get(sources::list))
        .route("/sources/{name}", get(sources::show))
        .route("/destinations", get(destinations::list))
        .route("/destinations/{name}", get(destinations::show))
        .route("/destinations/{name}/pause", post(destinations::pause))
        .route("/destinations/{name}/resume", post(destinations::resume))
        .route("/destinations/{name}/lease", post(leases::lease))
        .route("/leases/ack", post(leases::acknowledge))
        .route("/leases/extend", post(leases::extend))
        .route("/leases/release", post(leases::release))
        .route("/{owners}/{name}/secrets", get(secrets::list).post(secrets::set))
        .route("/{owners}/{name}/secrets/rotate", post(secrets::rotate))
        .route("/{owners}/{name}/secrets/{version}", patch(secrets::set_end))
        .route("/{owners}/{name}/secrets/{version}/reveal", post(secrets::reveal))
        .route("/{owners}/{name}/secrets/{version}/revoke", post(secrets::revoke))
        .route("/events", get(events::list).post(events::publish))
        .route("/events/{id}", get(events::show))
        .route("/events/{id}/body", get(events::body))
        .route("/events/{id}/redeliver", post(events::redeliver))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/{id}", get(deliveries::show))
        .route("/deliveries/{id}/output", get(deliveries::output))
        .route("/deliveries/{id}/cancel", post(deliveries::cancel))
        .route("/redeliveries", get(jobs::list).post(jobs::create))
        .route("/redeliveries/{id}", get(jobs::show))
        .route("/redeliveries/{id}/pause", post(jobs::pause))
        .route("/redeliveries/{id}/resume", post(jobs::resume))
        .route("/redeliveries/{id}/cancel", post(jobs::cancel))
        .route("/refusals", get(refusals::list))
        .route("/refusals/{id}", get(refusals::show))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{id}", get(keys::show).delete(keys::revoke))
        .route("/audit", get(audit::list))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(axum::extract::DefaultBodyLimit::max(api.body_bytes()))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(api), api::authorize::authorize))
}
