//! The engine's integration tests, one module for each source file tested.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and helpers of tests are tests")]

mod alert;
mod chain;
mod clock;
mod corridor;
mod destination;
mod egress;
mod handshake;
mod jobs;
mod kms;
mod pull;
mod receive;
mod refusals;
mod report;
mod retention;
mod store;
mod support;
