//! Tests of the egress guard.

mod client_certificate;
pub(crate) mod connector;
mod judge;
mod url;
