//! The API on the admin listener: what every endpoint shares. Routes stand in `router`; each module below is one kind
//! of thing. It calls the engine and shows what came of it; it knows no SQL and decides nothing about webhooks.

pub(crate) mod audit;
pub(crate) mod caller;
pub(crate) mod deliveries;
pub(crate) mod destinations;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod leases;
pub(crate) mod organizations;
mod page;
pub(crate) mod problem;
pub(crate) mod refusals;
pub(crate) mod secrets;
pub(crate) mod sources;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hookward::Secret;
use hookward_engine::Engine;
use hookward_engine::clock::{Clock, Timestamp};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Principal, Scopes};
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::accept::Peer;
use crate::metrics::Metrics;
use caller::Authenticated;
use problem::{Code, Problem};

/// Who acts when the bootstrap key is used.
const BOOTSTRAP: &str = "key:bootstrap";

/// Room for the rest of a publish request around its payload.
const ENVELOPE: usize = 64 << 10;

/// What the endpoints share.
#[derive(Debug)]
pub(crate) struct Api {
    engine: Engine,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    key_digest: [u8; 32],
    body_bytes: usize,
}

impl Api {
    /// An API for whoever has `key`.
    pub(crate) fn new(
        engine: Engine,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
        key: &Secret,
        body_bytes: usize,
    ) -> Self {
        Self { engine, metrics, clock, key_digest: Sha256::digest(key.expose()).into(), body_bytes }
    }

    /// The engine behind it.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The largest request body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes + ENVELOPE
    }

    /// The metrics as text.
    pub(crate) async fn render_metrics(&self) -> String {
        self.metrics.render(&self.engine, self.clock.now()).await
    }

    /// Whoever holds the key in these headers. Digests are compared, in constant time: neither length nor content of a
    /// key shows.
    fn authenticate(&self, headers: &HeaderMap, address: IpAddr) -> Option<Authenticated> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
        let (scheme, key) = value.split_at_checked(7)?;
        let given: [u8; 32] = Sha256::digest(key).into();
        let is_bootstrap = scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(given.ct_eq(&self.key_digest));
        is_bootstrap.then(|| Authenticated {
            principal: Principal {
                organization: OrganizationId::DEFAULT,
                actor: BOOTSTRAP.to_owned(),
                address: address.to_string(),
            },
            scopes: Scopes::ALL,
        })
    }
}

/// Lets a request through when it has a key, and says whose.
pub(crate) async fn authorize(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let address = request.extensions().get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(peer)| peer.ip());
    if let Some(authenticated) = api.authenticate(request.headers(), address) {
        request.extensions_mut().insert(Arc::new(authenticated));
        return Ok(next.run(request).await);
    }
    Err(Problem::new(Code::Unauthorized, "send the API key as `Authorization: Bearer <key>`"))
}

/// Nothing here is for a browser's cache or a guess at its kind.
pub(crate) async fn harden(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Every path that there is not.
pub(crate) async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path")
}

/// Every method that a path does not take.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path does not take that method")
}

/// A time as the API writes it: RFC 3339, UTC, milliseconds.
pub(crate) fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
