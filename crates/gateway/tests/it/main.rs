//! The gateway's integration tests, one module for each source file tested. All start the real thing, on free ports
//! and in a directory of its own, through `support`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and helpers of tests are tests")]

mod support;

mod accept;
mod answer;
mod api;
mod backup;
mod cli;
mod config;
mod dashboard;
mod db;
mod declaring;
mod entrance;
mod handshake;
mod ingest;
mod nodes;
mod oidc;
mod parameters;
mod published;
mod send;
mod serve;
mod verify;
