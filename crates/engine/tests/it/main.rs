//! The engine's integration tests, one module for each source file tested.

mod store;
mod corridor;
mod support;
