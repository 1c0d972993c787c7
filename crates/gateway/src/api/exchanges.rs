//! What was exchanged in an attempt, as it is shown with its delivery. Header values are shown as text; whoever prints them
//! escapes what would steer a terminal.

use std::time::Duration;

use bytes::Bytes;
use hookward_engine::model::Exchange;
use schemars::JsonSchema;
use serde::Serialize;

/// One request and the head of its answer, without credentials.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Exchange")]
pub(super) struct Shown {
    #[schemars(example = &"POST")]
    method: String,
    /// Without its query, which may hold a credential.
    #[schemars(example = &"https://ci.example.com/hooks")]
    target: String,
    /// As sent, with credentials redacted. At most 64, and 8 KiB of them; `[cut]` says where there were more.
    request_headers: Vec<(String, String)>,
    /// Of the answer, likewise; empty when there was none.
    response_headers: Vec<(String, String)>,
    timings: Timings,
}

/// How long its stages took, in microseconds, as far as they were reached. One over a connection that was kept from an
/// earlier attempt has none of the first three.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Timings")]
struct Timings {
    /// Finding the addresses of a name.
    resolve_us: Option<u64>,
    /// TCP.
    connect_us: Option<u64>,
    tls_us: Option<u64>,
    /// From the request's last byte to the answer's first.
    first_byte_us: Option<u64>,
}

/// `exchange` as it is shown.
pub(super) fn shown(exchange: Exchange) -> Shown {
    let Exchange { method, target, request_headers, response_headers, timings } = exchange;
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Shown {
        method,
        target,
        request_headers: texts(&request_headers),
        response_headers: texts(&response_headers),
        timings: Timings {
            resolve_us: timings.resolve.map(micros),
            connect_us: timings.connect.map(micros),
            tls_us: timings.tls.map(micros),
            first_byte_us: timings.first_byte.map(micros),
        },
    }
}

fn texts(headers: &[(String, Bytes)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned())).collect()
}
