//! Tests of the egress guard.

mod connector;
mod judge;
mod url;
