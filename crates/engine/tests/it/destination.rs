//! Tests of the destination kinds.

mod checkout;
mod command;
mod hostile;
mod http;
mod http_exchange;
mod http_headers;
mod oauth2;
mod slack;
