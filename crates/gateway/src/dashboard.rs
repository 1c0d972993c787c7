//! The dashboard on the admin listener: pages for people, made on the server, that work without JavaScript. What all pages
//! share stands here and in the modules up to `words`; each module after that is one kind of page. Pages ask the engine
//! for what they show, as the API does, and decide nothing about webhooks.

mod assets;
mod form;
mod notice;
mod page;
mod pager;
mod preferences;
mod shell;
mod visitor;
mod words;

mod accounts;
mod activity;
mod installation;
mod resources;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::{HeaderName, HeaderValue, header};

use crate::api::Api;
use page::Failure;

/// What pages may do in a browser: show text, styles and one script of ours, and send forms to us. Nothing from
/// elsewhere, nothing in the page itself, in nobody's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// The pages. Whoever is not signed in is sent to the page where one signs in.
pub(crate) fn routes(api: &Arc<Api>) -> Router<Arc<Api>> {
    let pages = Router::new()
        .route("/dashboard/preferences", post(preferences::change))
        .merge(accounts::routes())
        .merge(activity::routes())
        .merge(installation::routes())
        .merge(resources::routes())
        .route("/dashboard/{*rest}", get(not_found).post(not_found))
        .layer(axum::middleware::from_fn_with_state(Arc::clone(api), visitor::admit));
    let open = Router::new()
        .route("/", get(async || page::see_other("/dashboard")))
        .route("/dashboard/", get(async || page::see_other("/dashboard")))
        .merge(accounts::open_routes());
    open.merge(pages)
        .layer(axum::middleware::map_response(harden))
        .route("/dashboard/assets/{version}/{name}", get(assets::asset))
}

async fn harden(mut response: Response) -> Response {
    response.headers_mut().extend(HEADERS);
    response
}

/// Every page that there is not.
async fn not_found() -> Failure {
    Failure::not_found("There is no such page.")
}
