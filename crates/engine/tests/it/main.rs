//! The engine's integration tests, one module for each source file tested.

mod corridor;
mod store;
mod support;
