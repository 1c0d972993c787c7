//! The demo's own receiver: a plain HTTP server that verifies what it is sent, as a customer's would.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hookward::{Key, Message, UnixTime};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it arrived, and what the receiver thinks of it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) body: Bytes,
    pub(crate) signature: String,
    /// `Err` says why the receiver does not believe it.
    pub(crate) verified: Result<(), String>,
}

#[derive(Clone)]
struct Desk {
    key: Key,
    received: Arc<Mutex<Vec<Received>>>,
}

/// A receiver on loopback; it ends when dropped.
pub(crate) struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    server: JoinHandle<std::io::Result<()>>,
}

impl Receiver {
    /// Listens on a free port and verifies with `key`.
    pub(crate) async fn start(key: Key) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let received = Arc::new(Mutex::new(vec![]));
        let desk = Desk { key, received: Arc::clone(&received) };
        let router = Router::new().route("/hook", post(take)).with_state(desk);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, received, server })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let message = Message { method: "POST", url: "/hook", headers: &pairs, body: &body };
    let scheme = hookward::catalog::find("github").expect("github is in the catalog");
    // GitHub signs no time, so the receiver needs no clock.
    let verdict = scheme.verify(&message, std::slice::from_ref(&desk.key), UnixTime::from_millis(0));
    let verified = verdict.map(drop).map_err(|refusal| refusal.to_string());
    let status = if verified.is_ok() { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED };
    let signature = headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signature = signature.to_owned();
    desk.received.lock().unwrap_or_else(PoisonError::into_inner).push(Received { body, signature, verified });
    status
}
