//! The library's integration tests: a module for each source file tested, `support` for what they share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod support;

mod allocation;
mod answer;
#[cfg(feature = "axum")]
mod axum;
mod catalog;
mod content;
mod dependencies;
mod explain;
mod gzip;
mod handshake;
mod hint;
#[cfg(feature = "http")]
mod http;
mod key;
mod language;
mod message;
mod published;
mod recipe;
mod replay;
mod scheme;
mod secret;
mod sign;
mod verifier;
mod verify;
