//! Every route there is. The public listener reaches sources and two checks; everything else is the admin listener's.
//! Only paths and methods; what happens there is `ingest`, `health` and `api`.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, patch, post};
use http::Request;
use hyper::body::Incoming;

use crate::answer::Whole;
use crate::api::{
    self, Api, audit, backup, configuration, deliveries, destinations, events, jobs, keys, kms, leases, login, me,
    organizations, refusals, secrets, sources, users,
};
use crate::health;
use crate::ingest::Ingest;

/// The largest body from whoever has proven nothing, in bytes.
const OPEN_BODY_MAX: usize = 64 << 10;

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
        .nest("/api/v1", v1(&api).merge(open()))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(axum::middleware::map_response(api::harden))
        .with_state(api)
}

/// Where people come who are not signed in yet.
fn open() -> Router<Arc<Api>> {
    Router::new()
        .route("/login", post(login::login))
        .route("/invitation", post(login::accept))
        .layer(axum::extract::DefaultBodyLimit::max(OPEN_BODY_MAX))
}

/// Everything here needs a key or a session.
fn v1(api: &Arc<Api>) -> Router<Arc<Api>> {
    Router::new()
        .route("/organizations", get(organizations::list).post(organizations::create))
        .route("/organizations/{id}", patch(organizations::change).delete(organizations::erase))
        .route("/organizations/{id}/key", post(organizations::first_key))
        .route("/sources", get(sources::list).post(sources::create))
        .route("/sources/{name}", get(sources::show).patch(sources::change).delete(sources::remove))
        .route("/destinations", get(destinations::list).post(destinations::create))
        .route("/destinations/{name}", get(destinations::show).patch(destinations::change).delete(destinations::remove))
        .route("/config/plan", post(configuration::plan))
        .route("/config/apply", post(configuration::apply))
        .route("/config/export", get(configuration::export))
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
        .route("/users", get(users::list).post(users::create))
        .route("/users/{id}", get(users::show).patch(users::change).delete(users::remove))
        .route("/users/{id}/reset", post(users::reset))
        .route("/me", get(me::show))
        .route("/me/password", post(me::change_password))
        .route("/me/totp", post(me::start_totp))
        .route("/me/totp/confirm", post(me::confirm_totp))
        .route("/me/totp/remove", post(me::remove_totp))
        .route("/me/recovery-codes", post(me::renew_recovery_codes))
        .route("/me/sessions", get(me::sessions))
        .route("/me/sessions/{id}", delete(me::end_session))
        .route("/logout", post(login::logout))
        .route("/audit", get(audit::list))
        .route("/audit/head", get(audit::head))
        .route("/audit/export", get(audit::export))
        .route("/backup", post(backup::take))
        .route("/kms", get(kms::show))
        .route("/kms/test", post(kms::test))
        .route("/kms/rewrap", get(kms::rewrap).post(kms::start_rewrap))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(axum::extract::DefaultBodyLimit::max(api.body_bytes()))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(api), api::authorize::authorize))
}
