//! A receiver that costs little: answers 204 on kept connections and notes which delivery came when.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use systems::world;
use tokio::net::{TcpListener, TcpStream};

/// A running sink; ends with its runtime.
pub(in crate::bench) struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    started: Instant,
    count: AtomicU64,
    last_micros: AtomicU64,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    /// Which event came to which path.
    deliveries: HashSet<(u64, u8)>,
    /// From the time that stands in the body until now.
    micros: Vec<u64>,
}

impl Sink {
    /// Listens on a free port.
    pub(in crate::bench) async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (count, last_micros, noted) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
        let shared = Arc::new(Shared { started: world::instant(), count, last_micros, noted });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    pub(in crate::bench) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where a destination of this number delivers.
    pub(in crate::bench) fn url(&self, number: usize) -> String {
        format!("http://{}/{number}", self.address)
    }

    /// What its times are counted from.
    pub(in crate::bench) fn clock(&self) -> Instant {
        self.shared.started
    }

    /// Microseconds since then.
    pub(in crate::bench) fn micros(&self) -> u64 {
        micros(self.shared.started)
    }

    /// When the last request came.
    pub(in crate::bench) fn last_micros(&self) -> u64 {
        self.shared.last_micros.load(Ordering::SeqCst)
    }

    pub(in crate::bench) fn count(&self) -> u64 {
        self.shared.count.load(Ordering::SeqCst)
    }

    /// How many different deliveries came.
    pub(in crate::bench) fn distinct(&self) -> u64 {
        self.shared.noted().deliveries.len() as u64
    }

    /// How long each took, in milliseconds, sorted.
    pub(in crate::bench) fn latencies(&self) -> Vec<f64> {
        let mut latencies: Vec<f64> = self.shared.noted().micros.iter().map(|micros| *micros as f64 / 1000.0).collect();
        latencies.sort_unstable_by(f64::total_cmp);
        latencies
    }

    /// Forgets what came.
    pub(in crate::bench) fn clear(&self) {
        *self.shared.noted() = Noted::default();
        self.shared.count.store(0, Ordering::SeqCst);
    }
}

impl Shared {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, path: &str, body: &[u8]) {
        let now = micros(self.started);
        if let Some((number, at)) = super::publisher::read(body) {
            let mut noted = self.noted();
            noted.deliveries.insert((number, path.as_bytes().last().copied().unwrap_or_default()));
            noted.micros.push(now.saturating_sub(at));
        }
        self.last_micros.fetch_max(now, Ordering::SeqCst);
        self.count.fetch_add(1, Ordering::SeqCst);
    }
}

pub(in crate::bench) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Only latency is at stake.
    let _ = stream.set_nodelay(true);
    let answer = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let path = request.uri().path().to_owned();
            if let Ok(body) = request.into_body().collect().await {
                shared.note(&path, &body.to_bytes());
            }
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok::<_, Infallible>(response)
        }
    });
    // Whoever breaks a connection off counts for nothing; what is missing is seen in the count.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
}
