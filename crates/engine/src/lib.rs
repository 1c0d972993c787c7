//! The engine: two doors, one corridor. An inbound request or a published payload is proven, deduplicated,
//! committed, and owed to its destinations until each has it. Owns storage, secrets at rest and egress.
//! Knows no HTTP server, no HTML, no command line and no environment variables.

pub mod clock;
pub mod destination;
pub mod egress;
pub mod ids;
pub mod kms;
pub mod model;
pub mod store;
