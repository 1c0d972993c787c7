//! The engine's integration tests, one module for each source file tested.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the failure")]

mod corridor;
mod store;
mod support;
