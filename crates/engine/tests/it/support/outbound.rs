//! What several tests share: a parcel to send, loopback servers that can misbehave, a resolver that says what it is told.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hookward_engine::Output;
use hookward_engine::clock::{Clock, SystemEntropy, Timestamp};
use hookward_engine::destination::command::{Checkouts, Supervisor};
use hookward_engine::destination::http::HttpDestination;
use hookward_engine::destination::{InvalidDestination, Parcel};
use hookward_engine::egress::{Deadlines, EgressPolicy, Resolve};
use hookward_engine::ids::{DeliveryId, EventId};
use hookward_engine::model::{HttpSpec, OUTPUT_BYTES, RequestRecord};
use ipnet::IpNet;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Long enough never to matter.
pub(crate) const AMPLE: Duration = Duration::from_secs(30);
/// Short, where the deadline is what is tested.
pub(crate) const BRIEF: Duration = Duration::from_millis(150);

/// The same, where something has to have begun before it.
pub(crate) const FAIR: Duration = Duration::from_secs(1);

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct Standing(pub(crate) Timestamp);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep_until(&self, _: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }
}

/// 2023-11-14T22:13:20.123Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_123);

/// Something to deliver.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) event: EventId,
    pub(crate) delivery: DeliveryId,
    pub(crate) event_type: String,
    pub(crate) delivery_id: Option<String>,
    pub(crate) request: RequestRecord,
    pub(crate) body: Bytes,
    pub(crate) signature: Vec<(String, String)>,
    pub(crate) called_off: CancellationToken,
    pub(crate) output: Output,
}

impl Sample {
    pub(crate) fn new(body: impl Into<Bytes>) -> Self {
        Self {
            event: EventId::new(NOW, &SystemEntropy),
            delivery: DeliveryId::new(NOW, &SystemEntropy),
            event_type: "push".to_owned(),
            delivery_id: Some("72d3162e".to_owned()),
            request: RequestRecord { method: "POST".to_owned(), ..RequestRecord::default() },
            body: body.into(),
            signature: Vec::new(),
            called_off: CancellationToken::new(),
            output: Output::new(OUTPUT_BYTES),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.request.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn parcel(&self) -> Parcel<'_> {
        Parcel {
            event: self.event,
            delivery: self.delivery,
            number: 3,
            event_type: &self.event_type,
            source: "github",
            delivery_id: self.delivery_id.as_deref(),
            received_at: NOW,
            request: &self.request,
            body: self.body.clone(),
            signature: self.signature.clone(),
            concluded: None,
            skipped: 0,
            called_off: &self.called_off,
            output: &self.output,
        }
    }
}

/// A resolver that gives its answers in turn, the last one for ever, and remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Told {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Told {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|address| address.parse().unwrap()).collect();
        Arc::new(Self { answers: Mutex::new(answers.iter().map(parse).collect()), asked: Mutex::default() })
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolve for Told {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = answers.front().cloned().ok_or_else(|| io::Error::other("no such name"))?;
        if answers.len() > 1 {
            answers.pop_front();
        }
        Ok(answer)
    }
}

/// A loopback server, stopped when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// A server that does `behave` with every connection, told its number, the first being 0.
    pub(crate) async fn start<F, R>(behave: F) -> Self
    where
        F: Fn(TcpStream, usize) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(behave(stream, counter.fetch_add(1, Ordering::SeqCst)));
            }
        });
        Self { address, connections, task }
    }

    /// A server that answers every request with `answer`, keeps the connection, and reports what it got.
    pub(crate) async fn answering(answer: impl Into<Bytes>) -> (Self, mpsc::UnboundedReceiver<Received>) {
        let answer: Bytes = answer.into();
        let (sender, receiver) = mpsc::unbounded_channel();
        let server = Self::start(move |mut stream, _| {
            let (answer, sender) = (answer.clone(), sender.clone());
            async move {
                while let Some(received) = Received::read(&mut stream).await {
                    // The test may have seen enough.
                    let _ = sender.send(received);
                    if tokio::io::AsyncWriteExt::write_all(&mut stream, &answer).await.is_err() {
                        return;
                    }
                }
            }
        });
        (server.await, receiver)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A request as a server got it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// Reads a request that has no body.
    pub(crate) async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<()> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        Some(())
    }

    pub(crate) async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let (line, rest) = head.split_once("\r\n").unwrap();
        let header =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
        let headers: Vec<(String, String)> = rest.split("\r\n").map(header).collect();
        let mut received = Self { line: line.to_owned(), headers, body: bytes.split_off(end + 4) };
        let length: usize = received.header("content-length").first().map_or(0, |length| length.parse().unwrap());
        while received.body.len() < length {
            if stream.read_buf(&mut received.body).await.ok()? == 0 {
                return None;
            }
        }
        Some(received)
    }

    /// Reads whatever is there and comes at once.
    pub(crate) async fn drain(stream: &mut TcpStream) {
        let mut piece = [0; 64 * 1024];
        while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut piece)).await {}
    }

    /// Every value of a header, in order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// The settings of an `http` destination that may reach loopback.
pub(crate) fn spec(url: &str) -> HttpSpec {
    HttpSpec {
        url: url.to_owned(),
        forward_headers: Vec::new(),
        set_headers: Vec::new(),
        allow_addresses: nets(&["127.0.0.0/8"]),
        oauth2: None,
        mtls: None,
    }
}

pub(crate) fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A destination with these settings that resolves no name.
pub(crate) fn destination(
    spec: &HttpSpec,
    deadlines: impl Into<Deadlines>,
) -> Result<HttpDestination, InvalidDestination> {
    HttpDestination::new(spec, deadlines, &EgressPolicy::default(), Told::new(&[]))
}

/// Checkouts that nothing has been asked of.
pub(crate) fn checkouts() -> Checkouts {
    Checkouts { directory: "/nonexistent".into(), egress: EgressPolicy::default(), resolver: Told::new(&[]) }
}

/// What supervises programs here.
pub(crate) fn supervisor() -> Supervisor {
    Supervisor { program: env!("CARGO_BIN_EXE_hookward-supervise").into(), arguments: Vec::new() }
}
