//! A guided tour, and the attacks as chapters. Owns no code: every example on these pages is compiled and run as a test.
//!
//! 1. [`tour`]: verify, sign, rotate, answer a handshake, and a provider that the catalog does not know.
//! 2. [`attacks`]: what somebody tries who has no secret, and what stops it.

#[doc = include_str!("../guide/tour.md")]
pub mod tour {}

#[doc = include_str!("../guide/attacks.md")]
pub mod attacks {}
