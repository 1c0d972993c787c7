//! Owns the answers to two questions, for every provider: is this webhook authentic, and how do I sign this one. Knows no clock,
//! no randomness, no async, no I/O, no HTTP server type and no logging: values in, values out.

pub use key::{Key, MAX_TOKEN, SecretError};
pub use message::{Draft, Headers, Message};
pub use refusal::Refusal;
pub use scheme::{CannotGenerate, Scheme, SchemeError};
pub use secret::{EmptySecret, Secret};
pub use sign::{SignError, Signed};
pub use signature::MAX_SIGNATURES;
pub use time::UnixTime;
pub use verify::{Binds, Verified};

pub mod catalog;
mod encoding;
mod json;
mod key;
mod message;
mod place;
mod proof;
mod refusal;
mod scheme;
mod secret;
mod sign;
mod signature;
mod template;
mod time;
mod url;
mod verify;
