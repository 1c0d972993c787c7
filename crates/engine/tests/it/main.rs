//! The engine's integration tests, one module for each source file tested.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the failure")]

mod corridor;
mod destination;
mod egress;
mod kms;
mod store;
mod support;
