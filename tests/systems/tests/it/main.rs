//! Black-box tests: each example system, as its users and its senders see it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod quantgov;
