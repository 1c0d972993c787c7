//! The engine: two doors, one corridor. An inbound request or a published payload is proven, deduplicated,
//! committed, and owed to its destinations until each has it. Owns storage, secrets at rest and egress.
//! Knows no HTTP server, no HTML, no command line and no environment variables.
//!
//! The modules in the order of an event's way: [`receive`] or [`publish`] proves it, `commit` makes it durable with
//! what [`fanout`] says it owes, `dispatch` claims what is due, a [`destination`] is tried once, and [`retry`] decides
//! what follows.

pub mod declare;
mod engine;
mod erasure;
mod error;
pub mod organizations;

mod alert;
mod commit;
pub mod dedup;
mod disuse;
pub mod event_types;
mod explaining;
mod exposure;
pub mod expression;
pub mod fanout;
pub mod feed;
pub mod handshake;
pub mod idempotency;
mod knocks;
mod nodes;
mod nudges;
pub mod publish;
pub mod published;
pub mod rate;
pub mod receive;
mod redact;
mod routing;

mod attempt;
pub mod breaker;
pub mod destination;
mod dispatch;
mod drain;
pub mod egress;
pub mod jobs;
pub mod order;
mod output;
mod pace;
pub mod pull;
pub mod redeliver;
pub mod refusals;
mod retention;
pub mod retry;
mod runner;
mod running;
pub mod settle;
mod signing;
pub mod tally;
mod vitals;

pub mod accounts;
pub mod activity;
pub mod audit;
pub mod backup;
mod keyring;
pub mod kms;
pub mod moving;
mod opening;
mod registry;
pub mod rewrap;
pub mod schemes;
mod secrets;

pub mod clock;
pub mod ids;
pub mod model;
pub mod store;

pub use crate::alert::SECRET_EXPOSED;
pub use crate::declare::{
    Act, Authority, Declared, DeclaredDestination, DeclaredEventType, DeclaredScheme, DeclaredSecret, DeclaredSource,
    Difference, HIDDEN, Kind, Planned, managed_by_file, shown,
};
pub use crate::disuse::{NotedSecret, SECRET_STILL_USED, SECRET_UNUSED, SecretNote};
pub use crate::drain::DRAIN_MAX;
pub use crate::engine::{Engine, Parts};
pub use crate::error::EngineError;
pub use crate::knocks::Waking;
pub use crate::model::{OWN, PUBLISH};
pub use crate::nodes::NodeSettings;
pub use crate::opening::{SECRET_DAMAGED, ShutSecret};
pub use crate::output::{Follow, Output};
pub use crate::publish::{BATCH_MAX, Publish, PublishError, Published};
pub use crate::receive::{InboundRequest, KEY_UNAVAILABLE, Receipt, TurnedAway, Unavailable};
pub use crate::secrets::{IN_USE, NewSecret, SecretInfo, Terms};
pub use crate::vitals::{DELIVERY_EXHAUSTED, DESTINATION_DISABLED, DESTINATION_FAILING, DESTINATION_RECOVERED};
