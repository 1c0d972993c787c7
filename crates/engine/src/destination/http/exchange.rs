//! What is kept of an exchange while it goes on: the request as it is sent, the head of its answer, how long its stages
//! took. Owns what of it is a credential, how much is kept, and that an answer is late which does not begin in time.

use std::error::Error;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE};
use ::http::{Extensions, HeaderMap, HeaderName, Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::time::{Instant, timeout_at};

use crate::destination::Report;
use crate::egress::{HttpClient, Line, Unconnected, is_alert};
use crate::model::{Exchange, Outcome, REDACTED, Timings};

/// The most headers that are kept of a request, and of an answer.
pub const HEADERS_KEPT_MAX: usize = 64;

/// The most bytes of names and values that are kept of the headers of a request, and of an answer.
pub const HEADER_BYTES_KEPT_MAX: usize = 8 * 1024;

/// What ends a value of which not everything is kept, and names the entry that says how many headers are not.
pub const CUT: &str = "[cut]";

/// Headers that speak for somebody, whoever set them.
const CREDENTIALS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE];

/// One exchange, from before its request is sent.
#[derive(Debug)]
pub(in crate::destination) struct Trace {
    exchange: Exchange,
    capture: CaptureConnection,
    begun: Instant,
}

impl Trace {
    /// Of this request, which goes to `target`: where that is, without what in it may be a credential.
    pub(in crate::destination) fn begin(target: String, request: &mut Request<Full<Bytes>>) -> Self {
        let request_headers = kept(request.headers());
        let method = request.method().to_string();
        let exchange = Exchange { method, target, request_headers, ..Exchange::default() };
        Self { exchange, capture: capture_connection(request), begun: Instant::now() }
    }

    /// Sends the request and waits for the head of its answer, `first_byte` at most for that to begin.
    pub(in crate::destination) async fn send(
        &mut self,
        client: &HttpClient,
        request: Request<Full<Bytes>>,
        first_byte: Option<Duration>,
    ) -> Result<Response<Incoming>, Report> {
        let answered = match first_byte {
            None => client.request(request).await,
            Some(limit) => tokio::select! {
                biased;
                answered = client.request(request) => answered,
                () = late(self.capture.clone(), self.begun, limit) => {
                    let detail = format!("the answer did not begin within {limit:?} of the request");
                    return Err(Report::failed(Outcome::Timeout, detail));
                }
            },
        };
        match answered {
            Ok(response) => {
                self.exchange.response_headers = kept(response.headers());
                Ok(response)
            }
            Err(error) => {
                if let Some(unconnected) = unconnected(&error) {
                    self.exchange.timings = unconnected.timings;
                }
                Err(failure(&error))
            }
        }
    }

    /// What is said of an exchange that had `limit` and brought no answer.
    pub(in crate::destination) fn overdue(&self, limit: Duration) -> String {
        match self.line().map(|line| line.seen(self.begun).answered.is_some()) {
            None => format!("no connection within {limit:?}"),
            Some(false) => format!("no answer within {limit:?}"),
            Some(true) => format!("no whole head of an answer within {limit:?}"),
        }
    }

    /// What is kept, now that it is over.
    pub(in crate::destination) fn finish(mut self) -> Exchange {
        if let Some(line) = self.line() {
            let seen = line.seen(self.begun);
            let first_byte = seen.written.zip(seen.answered).map(|(written, answered)| answered - written);
            self.exchange.timings = Timings { first_byte, ..line.tell() };
            line.rest();
        }
        self.exchange
    }

    /// The connection that the request went over, once there is one.
    fn line(&self) -> Option<Arc<Line>> {
        line(&self.capture)
    }
}

fn line(capture: &CaptureConnection) -> Option<Arc<Line>> {
    let connected = capture.connection_metadata();
    let mut extras = Extensions::new();
    connected.as_ref()?.get_extras(&mut extras);
    extras.remove()
}

/// Ends when `limit` has passed since the request's last byte without one of the answer; never, once that has begun.
async fn late(mut capture: CaptureConnection, begun: Instant, limit: Duration) {
    drop(capture.wait_for_connection_metadata().await);
    let connected = Instant::now();
    loop {
        // A request that a closing connection did not take goes over another one.
        let Some(line) = line(&capture) else { return pending().await };
        let seen = line.seen(begun);
        if seen.answered.is_some() {
            return pending().await;
        }
        let due = seen.written.unwrap_or(connected) + limit;
        if due <= Instant::now() {
            return;
        }
        // Nothing happens until then.
        let _ = timeout_at(due, pending::<()>()).await;
    }
}

/// The headers as they are kept: without credentials, and not more of them than there is room for.
fn kept(headers: &HeaderMap) -> Vec<(String, Bytes)> {
    let mut kept: Vec<(String, Bytes)> = Vec::with_capacity(headers.len().min(HEADERS_KEPT_MAX));
    let mut room = HEADER_BYTES_KEPT_MAX;
    for (name, value) in headers {
        if kept.len() == HEADERS_KEPT_MAX || room <= name.as_str().len() {
            let left = headers.len() - kept.len();
            kept.push((CUT.to_owned(), Bytes::from(format!("{left} more headers"))));
            break;
        }
        room -= name.as_str().len();
        let is_credential = value.is_sensitive() || CREDENTIALS.contains(name);
        let value = if is_credential { REDACTED.as_bytes() } else { value.as_bytes() };
        let shown = match value.get(..room) {
            Some(beginning) if beginning.len() < value.len() => Bytes::from([beginning, CUT.as_bytes()].concat()),
            _ => Bytes::copy_from_slice(value),
        };
        room = room.saturating_sub(value.len());
        kept.push((name.as_str().to_owned(), shown));
    }
    kept
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

fn unconnected<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Unconnected> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// The report of an exchange that brought no answer.
pub(crate) fn failure(error: &(dyn Error + 'static)) -> Report {
    if let Some(Unconnected { error, .. }) = unconnected(error) {
        return Report::failed(error.outcome(), error.to_string());
    }
    if chain(error).any(is_alert) {
        return Report::failed(Outcome::Tls, "the receiver ended the TLS session: it wants another certificate");
    }
    // The first link only says that something failed.
    let causes: Vec<String> = chain(error).skip(1).map(ToString::to_string).collect();
    Report::failed(Outcome::Broken, format!("no whole answer: {}", causes.join(": ")))
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn of(headers: &[(&'static str, HeaderValue)]) -> Vec<(String, Bytes)> {
        kept(&headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.clone())).collect())
    }

    #[test]
    fn credentials_are_redacted_and_signatures_are_not() {
        let mut sensitive = HeaderValue::from_static("s3cret");
        sensitive.set_sensitive(true);
        let secret = || HeaderValue::from_static("s3cret");
        let kept = of(&[
            ("authorization", secret()),
            ("proxy-authorization", secret()),
            ("cookie", secret()),
            ("set-cookie", secret()),
            ("x-api-key", sensitive),
            ("webhook-signature", HeaderValue::from_static("v1,abc")),
        ]);
        let values: Vec<&[u8]> = kept.iter().map(|(_, value)| &value[..]).collect();
        assert_eq!(values[..5], [REDACTED.as_bytes(); 5]);
        assert_eq!(values[5], b"v1,abc");
    }

    #[test]
    fn only_so_many_headers_are_kept_and_the_rest_is_counted() {
        for (count, expected) in [(63, 63), (64, 64), (65, 65), (100, 65)] {
            let mut headers = HeaderMap::new();
            for _ in 0..count {
                headers.append("x", HeaderValue::from_static("y"));
            }
            let kept = kept(&headers);
            assert_eq!(kept.len(), expected, "{count}");
            if count > HEADERS_KEPT_MAX {
                assert_eq!(kept[64], (CUT.to_owned(), Bytes::from(format!("{} more headers", count - 64))));
            }
        }
    }

    #[test]
    fn only_so_many_bytes_are_kept_and_a_cut_is_seen() {
        let long = |length: usize| HeaderValue::try_from("a".repeat(length)).unwrap();
        let whole = of(&[("x", long(HEADER_BYTES_KEPT_MAX - 1))]);
        assert_eq!(whole[0].1.len(), HEADER_BYTES_KEPT_MAX - 1);
        let cut = of(&[("x", long(HEADER_BYTES_KEPT_MAX)), ("y", long(1))]);
        assert_eq!(cut[0].1.len(), HEADER_BYTES_KEPT_MAX - 1 + CUT.len());
        assert!(cut[0].1.ends_with(CUT.as_bytes()));
        assert_eq!(cut[1], (CUT.to_owned(), Bytes::from_static(b"1 more headers")));
    }
}
