//! The engine's integration tests, one module for each source file tested.

mod corridor;
mod destination;
mod egress;
mod kms;
mod store;
mod support;
