//! Owns what an axum service needs: [`SignedLayer`], which proves a request before anything sees it, and [`Signed`], which hands a handler
//! what was proven. The one place of the library that knows async and an HTTP server's types, behind the feature `axum`.
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, routing::post};
//! use hookward::axum::{Signed, SignedLayer};
//! use hookward::{ReplayGuard, Verifier};
//!
//! #[derive(serde::Deserialize)]
//! struct Push {
//!     #[serde(rename = "ref")]
//!     branch: String,
//! }
//!
//! async fn pushed(push: Signed<Push>) -> String {
//!     format!("{} by key {}", push.payload.branch, push.proof.key_version())
//! }
//!
//! let verifier = Verifier::new("github", ["the newest secret", "the one before"])?;
//! let day = Duration::from_secs(24 * 3600);
//! let layer = SignedLayer::new(verifier).limit(256 * 1024).guard(ReplayGuard::new(100_000, day));
//! let app: Router = Router::new().route("/hooks/github", post(pushed).layer(layer));
//! # Ok::<(), hookward::VerifierError>(())
//! ```
//!
//! What the sender hears:
//!
//! | | |
//! | --- | --- |
//! | a request that is not believed, whyever | 401, always the same |
//! | a body over the [limit](SignedLayer::limit) | 413 |
//! | a body that ends before it is whole | 400 |
//! | a request that was taken already | 200, or [what you say](SignedLayer::duplicates) |
//! | one that is just being worked on | 503 and `Retry-After`, since it may yet fail |
//! | a handshake | what its scheme says |
//! | a proven body that is no `T` | 422 |
//! | else | what the handler says; unless that is a success, the request may come again |

mod layer;
mod payload;

pub use layer::{DEFAULT_LIMIT, SignedLayer, SignedService};
pub use payload::{Payload, Raw, Signed, SignedRejection, Text};

use bytes::Bytes;

use crate::verify::Verified;

/// What the layer leaves in a request's extensions for the extractor: the proof, and the very bytes that it is of.
#[derive(Clone, Debug)]
pub struct Proven {
    body: Bytes,
    proof: Verified<'static>,
}

impl Proven {
    /// The body that was proven.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The proof.
    pub fn proof(&self) -> &Verified<'static> {
        &self.proof
    }
}
