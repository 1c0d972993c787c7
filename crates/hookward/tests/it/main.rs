//! The library's integration tests: a module for each source file tested, `support` for what they share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

mod allocation;
mod catalog;
mod dependencies;
mod handshake;
mod hint;
mod key;
mod message;
mod recipe;
mod scheme;
mod secret;
mod sign;
mod verify;
