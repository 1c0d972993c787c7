//! Who may: what an organization's people and programs prove themselves with.
//! Owns credentials and their limits; what a caller may do with a scope is each operation's, how it is asked over HTTP
//! the gateway's.

pub mod limiter;
