//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
//! Clamps nothing; the schedule does.

use std::time::{Duration, UNIX_EPOCH};

use ::http::HeaderMap;
use ::http::header::RETRY_AFTER;

use crate::clock::Timestamp;

/// How long from `now` the answer asks to wait: nothing if it does not say, or says it in no known form.
pub(in crate::destination) fn parse(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(at.as_millis()).ok()?).since(now))
}
