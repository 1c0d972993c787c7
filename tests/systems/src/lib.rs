//! The running binary seen from outside: start it, speak HTTP to it, receive from it, stop it.
//! Shares no code with the product, so that a mistake there is not repeated here; what is checked lives in the tests.

pub mod browser;
pub mod canary;
pub mod clock;
pub mod database;
pub mod git;
pub mod github;
pub mod http;
pub mod receiver;
pub mod relay;
pub mod running;
pub mod server;
pub mod world;

pub use browser::{Browser, Crashed, Scripts, Size, Traffic};
pub use canary::Canary;
pub use clock::MovableClock;
pub use git::GitServer;
pub use http::{Client, Request, Response};
pub use receiver::{Received, Receiver, Reply};
pub use relay::Relay;
pub use running::Running;
pub use server::{Hookward, Setup};
