//! The guard on the way out: which addresses may be dialled, and the connector that dials nothing else.
//! Knows no store, no schedule, no header; what is said over a connection is `destination`.
//!
//! The guard stands where the connection is made. A host is resolved here, every address of the answer is judged
//! numerically, and the judged address itself is dialled: there is no second lookup that could answer differently.
//! One forbidden address among several refuses them all, because a name that points both ways is either an attack or
//! a mistake that somebody should see. Redirects are not followed, and proxy variables are not read.

mod client_certificate;
mod connector;
mod judge;
mod line;
mod own;
mod resolve;
mod url;

use std::time::Duration;

use ipnet::IpNet;

use crate::model::{DestinationSpec, Outcome, Timings};

pub(crate) use client_certificate::is_alert;
pub use client_certificate::{CertificateProblem, ClientCertificate, PEM_MAX, check_certificate};
#[cfg(feature = "kms-aws")]
pub(crate) use connector::tls_config;
pub use connector::{Connector, HttpClient, check_url};
pub(crate) use connector::{Guard, certificate_verifier};
pub use judge::{Blocked, judge};
pub(crate) use line::Line;
pub use own::OwnListeners;
pub use resolve::{Resolve, SystemResolver};
pub use url::{Endpoint, Host, URL_MAX, UrlProblem};

/// What destinations may reach beyond public addresses, and whom they trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Address ranges that every destination may reach although they are not public.
    pub allow: Vec<IpNet>,
    /// PEM certificates trusted for TLS besides the public ones.
    pub extra_roots_pem: Option<Vec<u8>>,
    /// Where this gateway itself listens, which no range that is allowed reaches.
    pub own: OwnListeners,
}

/// How long an attempt and its parts may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// The whole attempt.
    pub total: Duration,
    /// Until the connection stands, TLS included. Without it the lookup gets half of `total` and dialling a third, each at
    /// most ten seconds.
    pub connect: Option<Duration>,
    /// From the request's last byte to the answer's first.
    pub first_byte: Option<Duration>,
}

impl Deadlines {
    /// What a destination's settings say.
    pub fn of(spec: &DestinationSpec) -> Self {
        Self { total: spec.timeout, connect: spec.limits.connect, first_byte: spec.limits.first_byte }
    }
}

impl From<Duration> for Deadlines {
    fn from(total: Duration) -> Self {
        Self { total, connect: None, first_byte: None }
    }
}

/// A connection that did not come to stand, and how far it got.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Unconnected {
    /// Why.
    pub error: EgressError,
    /// How long the stages took that were over.
    pub timings: Timings,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The host has no address.
    #[error("`{host}` did not resolve: {problem}")]
    Dns {
        /// The host's name.
        host: String,
        /// What the resolver said.
        problem: String,
    },
    /// The host has an address that must not be reached.
    #[error("`{host}` is refused: {blocked}")]
    Blocked {
        /// The host as the URL names it.
        host: String,
        /// The address and the reason.
        blocked: Blocked,
    },
    /// No address of the host took the connection.
    #[error("no connection to `{host}`: {problem}")]
    Connect {
        /// The host as the URL names it.
        host: String,
        /// What happened to the last address tried.
        problem: String,
    },
    /// The connection stood, but not the TLS session.
    #[error("no TLS session: {0}")]
    Tls(String),
    /// The connection did not stand in time.
    #[error("no connection to `{host}` within {limit:?}: {stage}")]
    Late {
        /// The host as the URL names it.
        host: String,
        /// The time that it had.
        limit: Duration,
        /// What was still going on.
        stage: &'static str,
    },
}

impl EgressError {
    /// The outcome of an attempt that met this error.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Dns { .. } => Outcome::Dns,
            Self::Blocked { .. } => Outcome::Blocked,
            Self::Connect { .. } => Outcome::Connect,
            Self::Tls(_) => Outcome::Tls,
            Self::Late { .. } => Outcome::Timeout,
        }
    }
}
