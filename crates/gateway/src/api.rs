//! The API on the admin listener: what every endpoint shares. Routes stand in `router`; each module below is one kind
//! of thing. It calls the engine and shows what came of it; it knows no SQL and decides nothing about webhooks.

pub(crate) mod answers;
pub(crate) mod audit;
pub(crate) mod authorize;
pub(crate) mod backup;
pub(crate) mod batch;
pub(crate) mod caller;
pub(crate) mod condition;
pub(crate) mod configuration;
pub(crate) mod cookie;
pub(crate) mod deliveries;
pub(crate) mod destinations;
pub(crate) mod event_types;
pub(crate) mod events;
mod exchanges;
pub(crate) mod extract;
pub(crate) mod feeds;
pub(crate) mod idempotency;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod kms;
pub(crate) mod leases;
pub(crate) mod login;
pub(crate) mod me;
pub(crate) mod nodes;
pub(crate) mod oidc;
pub(crate) mod organizations;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod recovery;
pub(crate) mod refusals;
pub(crate) mod schemes;
pub(crate) mod secrets;
pub(crate) mod sources;
pub(crate) mod users;

use std::sync::Arc;

use axum::response::Response;
use hookward::Secret;
use hookward_engine::Engine;
use hookward_engine::clock::{Clock, Entropy, Timestamp};
use http::{HeaderValue, header};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use tokio_util::task::TaskTracker;

use crate::declaring::Declaring;
use crate::first_run::FirstRun;
use crate::installation::Installation;
use crate::metrics::Metrics;
use crate::oidc::Providers;
use cookie::Transport;
use problem::{Code, Problem};

/// Room for the rest of a publish request around its payload.
const ENVELOPE: usize = 64 << 10;

/// The largest batch of events, in bytes.
const BATCH_BYTES: usize = 32 << 20;

/// What the endpoints share.
#[derive(Debug)]
pub(crate) struct Api {
    engine: Engine,
    declaring: Arc<Declaring>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    key_digest: [u8; 32],
    installation: Installation,
    sign_in: SignIn,
    /// What goes on although its client does not wait.
    tasks: TaskTracker,
}

/// The public listener, as senders meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Public {
    /// The largest body that is taken, in bytes.
    pub(crate) body_bytes: usize,
    /// What the URLs of sources begin with: a scheme and a host.
    pub(crate) origin: String,
    /// Whether the operator said so; otherwise it is where the listener is, which need not be how senders see it.
    pub(crate) is_configured: bool,
}

/// How people sign in.
#[derive(Debug)]
pub(crate) struct SignIn {
    /// Proxies that may say whom they speak for.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// How browsers' cookies travel.
    pub(crate) transport: Transport,
    /// By way of whom, besides a password.
    pub(crate) providers: Providers,
    /// How the first user comes to be.
    pub(crate) first_run: FirstRun,
    /// Where browsers reach us, without a path.
    pub(crate) origin: String,
    /// What attempts are made of.
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl SignIn {
    /// Where the first user comes to be, while there is none.
    pub(crate) fn first_run_link(&self) -> Option<String> {
        self.first_run.path().map(|path| format!("{}{path}", self.origin))
    }
}

impl Api {
    /// An API for whoever has `key`.
    pub(crate) fn new(
        declaring: Arc<Declaring>,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
        key: &Secret,
        installation: Installation,
        sign_in: SignIn,
        tasks: TaskTracker,
    ) -> Self {
        let (engine, key_digest) = (declaring.engine().clone(), Sha256::digest(key.expose()).into());
        Self { engine, declaring, metrics, clock, key_digest, installation, sign_in, tasks }
    }

    /// The public listener, as senders meet it.
    pub(crate) fn public(&self) -> &Public {
        &self.installation.senders
    }

    /// The time.
    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// How people sign in.
    pub(crate) fn sign_in(&self) -> &SignIn {
        &self.sign_in
    }

    /// How things come into force.
    pub(crate) fn declaring(&self) -> &Declaring {
        &self.declaring
    }

    /// The address of a path, for browsers.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}{path}", self.sign_in.origin)
    }

    /// The engine behind it.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What this process was started with.
    pub(crate) fn installation(&self) -> &Installation {
        &self.installation
    }

    /// The largest request body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.installation.senders.body_bytes + ENVELOPE
    }

    /// The metrics as text.
    pub(crate) async fn render_metrics(&self) -> String {
        self.metrics.render(&self.engine, self.clock.now()).await
    }
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

/// A time that a caller wrote in `field`: RFC 3339, with an offset.
pub(crate) fn instant(field: &str, text: &str) -> Result<Timestamp, Problem> {
    let invalid = |_| Problem::new(Code::InvalidRequest, format!("`{field}` is a time like 2026-01-31T09:30:00Z"));
    let at: jiff::Timestamp = text.parse().map_err(invalid)?;
    Ok(Timestamp::from_millis(at.as_millisecond()))
}
