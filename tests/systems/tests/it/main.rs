//! Black-box tests: each example system, as its users and its senders see it.

mod quantgov;
