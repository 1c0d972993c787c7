//! A receiver of deliveries on loopback: answers what it is told to and remembers everything it was sent.

use std::fmt;
use std::io::{BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::Message;
use crate::world;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Where it came from.
    pub from: IpAddr,
    /// `POST`, …
    pub method: String,
    /// The request target.
    pub target: String,
    /// Headers and body.
    pub message: Message,
}

impl Received {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.message.header(name)
    }

    /// The raw body.
    pub fn body(&self) -> &[u8] {
        &self.message.body
    }
}

/// What a receiver answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header lines; `Content-Length` is added.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }
}

impl Reply {
    /// An answer in JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into_bytes() }
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

type Answer = dyn Fn(&Received) -> Reply + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    remembers: bool,
    received: Mutex<Vec<Received>>,
    open: Mutex<Vec<TcpStream>>,
    stopping: AtomicBool,
}

/// A running receiver; stops when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Starts on a free loopback port; every request is remembered, then answered with the status that `answer` gives.
    pub fn start(answer: impl Fn(&Received) -> u16 + Send + Sync + 'static) -> std::io::Result<Self> {
        Self::start_with(move |received| answer(received).into())
    }

    /// The same with whole answers.
    pub fn start_with(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> std::io::Result<Self> {
        Self::listen(LOOPBACK, Box::new(answer), true)
    }

    /// The same, but only `answer` sees the requests: for more of them than should be kept.
    pub fn start_forgetful(answer: impl Fn(&Received) -> u16 + Send + Sync + 'static) -> std::io::Result<Self> {
        Self::start_forgetful_at(LOOPBACK, answer)
    }

    /// The same, for those who reach another address than loopback's.
    pub fn start_forgetful_at(
        address: IpAddr,
        answer: impl Fn(&Received) -> u16 + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        Self::listen(address, Box::new(move |received| answer(received).into()), false)
    }

    fn listen(address: IpAddr, answer: Box<Answer>, remembers: bool) -> std::io::Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            answer,
            remembers,
            received: Mutex::default(),
            open: Mutex::default(),
            stopping: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &for_thread));
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of this receiver.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests came so far.
    pub fn count(&self) -> usize {
        self.list().len()
    }

    /// Everything received so far, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.list().clone()
    }

    /// Looks at everything received so far without copying it.
    pub fn inspect<T>(&self, look: impl FnOnce(&[Received]) -> T) -> T {
        look(&self.list())
    }

    /// Waits until at least `count` requests came; `false` when they did not within `limit`.
    pub fn wait_for(&self, count: usize, limit: Duration) -> bool {
        world::until(limit, || self.count() >= count)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Received>> {
        self.shared.received.lock().expect("no holder of this lock panics")
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the accept loop, which sees the flag.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.accepting.take() {
            drop(thread.join());
        }
        for stream in self.shared.open.lock().expect("no holder of this lock panics").drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        if let Ok(clone) = stream.try_clone() {
            shared.open.lock().expect("no holder of this lock panics").push(clone);
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || serve(stream, &shared));
    }
}

fn serve(stream: TcpStream, shared: &Shared) {
    drop(stream.set_nodelay(true));
    let Ok(from) = stream.peer_addr().map(|address| address.ip()) else { return };
    let mut reader = BufReader::new(stream);
    while let Ok(Some(message)) = Message::read(&mut reader, false) {
        let mut words = message.start.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let received = Received { from, method, target, message };
        let reply = (shared.answer)(&received);
        if shared.remembers {
            shared.received.lock().expect("no holder of this lock panics").push(received);
        }
        let mut answer = format!("HTTP/1.1 {} Answered\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            answer += &format!("{name}: {value}\r\n");
        }
        let mut bytes = (answer + "\r\n").into_bytes();
        bytes.extend_from_slice(&reply.body);
        if reader.get_mut().write_all(&bytes).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Request, send};

    #[test]
    fn what_is_sent_is_remembered_and_answered() {
        let receiver = Receiver::start(|received| if received.target == "/no" { 500 } else { 204 }).unwrap();
        assert_eq!(send(receiver.address(), &Request::post("/yes").body(b"one")).unwrap().status, 204);
        assert_eq!(send(receiver.address(), &Request::post("/no").body(b"two")).unwrap().status, 500);
        assert_eq!(
            receiver.inspect(|list| list.iter().map(|one| one.body().to_vec()).collect::<Vec<_>>()),
            [b"one", b"two"]
        );
    }
}
