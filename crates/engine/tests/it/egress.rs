//! Tests of the egress guard.

pub(crate) mod connector;
mod judge;
mod url;
