//! The gateway: the binary `hookward` as a library, so that its tests and the demo start the real thing in-process.
//! Owns listeners, routes, the API, the configuration file and the command line; the corridor itself is the engine's.

mod cli;
pub mod config;
mod declaring;
mod demo;
mod echo;
mod serve;

mod router;

mod answer;
mod ingest;

mod api;
mod dashboard;
mod first_run;
mod health;
mod installation;
mod metrics;
mod oidc;
mod openapi;

mod accept;
mod brake;
mod framing;
mod wire;

mod client;
mod logging;
mod supervise;
mod world;

pub use cli::main;
pub use serve::{Running, StartError, start};
