//! Publishes events over the API: as fast as it answers, or at a steady pace. Each body says its number and its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use systems::server::API_KEY;
use systems::world;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::sink::micros;

/// Where the two numbers stand in a body, and how long they are.
const START: &str = r#"{"number":""#;
const MIDDLE: &str = r#"","at":""#;
const DIGITS: usize = 16;

/// A body of about this length.
pub(in crate::bench) fn body(number: u64, at: u64, bytes: usize) -> String {
    let fill = bytes.saturating_sub(START.len() + MIDDLE.len() + 2 * DIGITS + 12);
    format!("{START}{number:0DIGITS$}{MIDDLE}{at:0DIGITS$}\",\"fill\":\"{}\"}}", "x".repeat(fill))
}

/// The number and the time in a body.
pub(in crate::bench) fn read(body: &[u8]) -> Option<(u64, u64)> {
    let digits = |from: usize| std::str::from_utf8(body.get(from..from + DIGITS)?).ok()?.parse().ok();
    Some((digits(START.len())?, digits(START.len() + DIGITS + MIDDLE.len())?))
}

/// Who publishes.
#[derive(Clone)]
pub(in crate::bench) struct Publisher {
    address: SocketAddr,
    clock: Instant,
    bytes: usize,
    next: Arc<AtomicU64>,
}

/// A kept connection.
pub(in crate::bench) type Sender = SendRequest<Full<Bytes>>;

impl Publisher {
    pub(in crate::bench) fn new(address: SocketAddr, clock: Instant, bytes: usize) -> Self {
        Self { address, clock, bytes, next: Arc::default() }
    }

    /// On so many connections, each with its next event when the last is answered. Gives how many were published.
    pub(in crate::bench) async fn flood(&self, connections: usize, how_long: Duration) -> Result<u64> {
        let end = world::instant() + how_long;
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let publisher = self.clone();
            tasks.spawn(async move {
                let mut sender = connect(publisher.address).await?;
                while world::instant() < end {
                    publisher.publish(&mut sender, micros(publisher.clock)).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(self.next.load(Ordering::SeqCst))
    }

    /// So many a second, each on a connection of its own where none is free, so that a slow answer delays no other event.
    pub(in crate::bench) async fn trickle(&self, per_second: u32, how_long: Duration) -> Result<u64> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
        let mut tasks: JoinSet<Result<Sender>> = JoinSet::new();
        let mut free = Vec::new();
        let count = how_long.as_secs() * u64::from(per_second);
        let began = micros(self.clock);
        for index in 0..count {
            ticks.tick().await;
            while let Some(ended) = tasks.try_join_next() {
                free.push(ended??);
            }
            let kept = free.pop();
            let publisher = self.clone();
            // The time at which it was due, even when this loop was late.
            let at = began + index * 1_000_000 / u64::from(per_second);
            tasks.spawn(async move {
                let mut sender = match kept {
                    Some(sender) => sender,
                    None => connect(publisher.address).await?,
                };
                publisher.publish(&mut sender, at).await?;
                Ok(sender)
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(self.next.load(Ordering::SeqCst))
    }

    async fn publish(&self, sender: &mut Sender, at: u64) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let body = format!(r#"{{"type":"bench.published","payload":{}}}"#, body(number, at, self.bytes));
        let request = Request::post("/api/v1/events")
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {API_KEY}"))
            .body(Full::new(Bytes::from(body)))?;
        let status = send(sender, request).await?;
        ensure!(status == StatusCode::ACCEPTED, "publishing was answered {status}");
        Ok(())
    }
}

/// Opens a connection that is kept.
pub(in crate::bench) async fn connect(address: SocketAddr) -> Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // How it ended is seen in the next request.
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends and reads the whole answer.
pub(in crate::bench) async fn send(sender: &mut Sender, request: Request<Full<Bytes>>) -> Result<StatusCode> {
    sender.ready().await.context("the connection ended")?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_was_put_into_it() {
        let text = body(7, 123_456, 1024);
        assert_eq!(read(text.as_bytes()), Some((7, 123_456)));
        assert_eq!(text.len(), 1024);
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        assert_eq!(read(b"{}"), None);
    }
}
