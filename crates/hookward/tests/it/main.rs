//! The library's integration tests: a module for each source file tested, `support` for what they share.

mod support;

mod catalog;
mod dependencies;
mod key;
mod message;
mod scheme;
mod secret;
mod sign;
mod verify;
