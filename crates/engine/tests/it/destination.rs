//! Tests of the destination kinds.

mod command;
mod hostile;
mod http;
mod http_headers;
