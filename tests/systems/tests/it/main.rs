//! Black-box tests: each example system, and what others script against, as users and senders see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod backup;
mod checkout;
mod contracts;
mod development;
mod disk;
mod exchange;
mod publishing;
mod qflow;
mod qualifio;
mod qualitypilot;
mod quantgov;
mod triggers;
mod trustedoss;
