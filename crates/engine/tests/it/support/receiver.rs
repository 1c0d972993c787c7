//! A receiver on loopback: answers as told, in order, and remembers what it was sent.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it reached the receiver.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Received {
    /// The header's value; empty when absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// All headers, for verification.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

#[derive(Default)]
struct State {
    answers: VecDeque<String>,
    /// What is answered when there is no other answer, if not 204.
    always: Option<String>,
    received: watch::Sender<Vec<Received>>,
}

/// A receiver that ends with the test.
pub(crate) struct Receiver {
    url: String,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Listens on loopback and answers 204 to whatever it has no other answer for.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { url, state, task }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// The next request gets this status line and these headers (each ended by CRLF), then 204 again.
    pub(crate) fn answer_next(&self, status: &str, headers: &str) {
        let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: 0\r\n\r\n");
        self.state.lock().expect("not poisoned").answers.push_back(answer);
    }

    /// Every request that has no other answer gets this status line from now on.
    pub(crate) fn answer_always(&self, status: &str) {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        self.state.lock().expect("not poisoned").always = Some(answer);
    }

    /// The next request gets no answer at all, for as long as the connection stands.
    pub(crate) fn hang_next(&self) {
        self.state.lock().expect("not poisoned").answers.push_back(String::new());
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().expect("not poisoned").received.borrow().clone()
    }

    /// Completes when `count` requests have arrived.
    pub(crate) async fn arrived(&self, count: usize) {
        let mut seen = self.state.lock().expect("not poisoned").received.subscribe();
        seen.wait_for(|received| received.len() >= count).await.expect("the receiver outlives its requests");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    while let Some(received) = read_request(&mut stream).await {
        let answer = {
            let mut state = state.lock().expect("not poisoned");
            state.received.send_modify(|all| all.push(received));
            state.answers.pop_front().or_else(|| state.always.clone())
        };
        let answer = answer.unwrap_or_else(|| "HTTP/1.1 204 No Content\r\n\r\n".to_owned());
        if answer.is_empty() {
            // Held open until the other side gives up.
            let _ = stream.read(&mut [0]).await;
            return;
        }
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = vec![];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut received = Received { head, body: bytes.split_off(end) };
    let length: usize = received.header("content-length").parse().unwrap_or(0);
    while received.body.len() < length {
        if stream.read_buf(&mut received.body).await.ok()? == 0 {
            return None;
        }
    }
    Some(received)
}
