//! The load generator: kept connections in a closed loop, each sending its next signed push when the last is answered.
//! Costs little beside what it measures: the HMAC state before the varying end of the body is computed once.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use hmac::{Hmac, KeyInit, Mac};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use sha2::Sha256;
use systems::github::hmac_sha256;
use systems::world;

/// Threads that share the connections.
const THREADS: usize = 2;

/// A push as GitHub sends it: what a body compresses to is part of what is measured.
const PUSH: &str = include_str!("../../../crates/gateway/assets/demo-push.json");

/// How long a body is, about.
const BODY: usize = 7_680;

/// How long a connection may wait for an answer before the run is called off.
const STALLED: Duration = Duration::from_secs(30);

/// What to send and where.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// The one status that counts as an answer.
    pub(super) status: u16,
}

/// Signed pushes, each with a body and a delivery id of its own.
pub(super) struct Pushes {
    /// Everything before the varying end of the body.
    start: Vec<u8>,
    /// HMAC-SHA-256 of the secret and `start`, not finished.
    state: Hmac<Sha256>,
    next: AtomicU64,
}

/// What one run measured.
pub(super) struct Measured {
    pub(super) seconds: f64,
    /// Each answered request's time, in microseconds, sorted.
    pub(super) micros: Vec<u32>,
    /// Numbers of the requests that were answered.
    pub(super) answered: Vec<u64>,
}

impl Measured {
    pub(super) fn per_second(&self) -> f64 {
        self.micros.len() as f64 / self.seconds
    }

    /// The time within which this share of the requests was answered, in milliseconds.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        let index = ((self.micros.len() as f64 * share) as usize).min(self.micros.len().saturating_sub(1));
        self.micros.get(index).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

impl Pushes {
    /// Pushes signed with `secret`.
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut start = PUSH.trim_end().strip_suffix('}').expect("a push is a JSON object").as_bytes().to_vec();
        start.extend_from_slice(br#","more_commits":["#);
        // Hashes of hashes: commits differ in what nothing can compress, as real ones do.
        let mut id = hmac_sha256(secret, b"the first commit");
        while start.len() < BODY - 256 {
            let commit = format!(
                r#"{{"id":"{}","tree_id":"{}","distinct":true}},"#,
                hex::encode(&id[..20]),
                hex::encode(&id[12..])
            );
            start.extend_from_slice(commit.as_bytes());
            id = hmac_sha256(secret, &id);
        }
        start.extend_from_slice(br#"{"id":"last"}],"number":""#);
        let mut state = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
        state.update(&start);
        Self { start, state, next: AtomicU64::new(1) }
    }

    /// The delivery id of the request with this number.
    pub(super) fn delivery_id(number: u64) -> String {
        format!("{number:08x}-bbbb-4bbb-8bbb-bbbbbbbbbbbb")
    }

    /// Writes the next request into `buffer` and gives its number.
    fn write_next(&self, path: &str, buffer: &mut Vec<u8>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let end = format!("{number:016x}\"}}");
        let mut mac = self.state.clone();
        mac.update(end.as_bytes());
        let signature = hex::encode(mac.finalize().into_bytes());
        buffer.clear();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/f05835d\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: {}\r\n\
             X-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\n\r\n",
            Self::delivery_id(number),
            self.start.len() + end.len(),
        );
        buffer.extend_from_slice(head.as_bytes());
        buffer.extend_from_slice(&self.start);
        buffer.extend_from_slice(end.as_bytes());
        number
    }
}

/// Runs the closed loop for a time.
pub(super) fn measure(
    target: &Target,
    pushes: &Arc<Pushes>,
    connections: usize,
    how_long: Duration,
) -> Result<Measured> {
    let started = world::instant();
    let results: Vec<Result<Worker<'_>>> = std::thread::scope(|scope| {
        let worker =
            |_| scope.spawn(move || Worker::run(target, pushes, connections.div_ceil(THREADS), started + how_long));
        let threads: Vec<_> = (0..THREADS).map(worker).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a load thread panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    let seconds = started.elapsed().as_secs_f64();
    let mut measured = Measured { seconds, micros: Vec::new(), answered: Vec::new() };
    for result in results {
        let worker = result?;
        measured.micros.extend(worker.micros);
        measured.answered.extend(worker.answered);
    }
    measured.micros.sort_unstable();
    Ok(measured)
}

/// Runs the closed loop in one thread until it is told to stop, counting the answers. Connections are given up for new
/// ones after about `life` answers each.
pub(super) fn flood_until(
    target: &Target,
    pushes: &Pushes,
    (connections, life): (usize, usize),
    stop: &AtomicBool,
    answered: &AtomicU64,
) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        let mut worker = Worker::connect(target, pushes, connections)?;
        worker.answers_max = life * connections;
        worker.stop = Some(stop);
        worker.go_on(world::instant() + STALLED)?;
        answered.fetch_add(worker.micros.len() as u64, Ordering::SeqCst);
    }
    Ok(())
}

/// One thread's share of the connections.
struct Worker<'a> {
    target: &'a Target,
    pushes: &'a Pushes,
    epoll: Epoll,
    connections: Vec<Connection>,
    /// After about so many answers nothing more is sent.
    answers_max: usize,
    /// Nor after this says so.
    stop: Option<&'a AtomicBool>,
    micros: Vec<u32>,
    answered: Vec<u64>,
}

struct Connection {
    stream: TcpStream,
    /// The request being sent.
    out: Vec<u8>,
    /// What came of its answer so far.
    answer: Vec<u8>,
    number: u64,
    sent_at: Instant,
}

impl<'a> Worker<'a> {
    fn run(target: &'a Target, pushes: &'a Pushes, share: usize, end: Instant) -> Result<Self> {
        let mut worker = Self::connect(target, pushes, share)?;
        worker.go_on(end)?;
        Ok(worker)
    }

    fn connect(target: &'a Target, pushes: &'a Pushes, share: usize) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::empty())?;
        let (micros, answered) = (Vec::new(), Vec::new());
        let mut worker = Self {
            target,
            pushes,
            epoll,
            connections: Vec::new(),
            answers_max: usize::MAX,
            stop: None,
            micros,
            answered,
        };
        for index in 0..share {
            let stream = systems::http::connect(target.address)?;
            stream.set_nonblocking(true)?;
            worker.epoll.add(stream.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, index as u64))?;
            let connection =
                Connection { stream, out: Vec::new(), answer: Vec::new(), number: 0, sent_at: world::instant() };
            worker.connections.push(connection);
        }
        Ok(worker)
    }

    /// Sends on every connection until `end`, and waits for the last answers, so that nothing accepted goes uncounted.
    fn go_on(&mut self, end: Instant) -> Result<()> {
        for index in 0..self.connections.len() {
            self.send(index)?;
        }
        let mut open = self.connections.len();
        let mut events = vec![EpollEvent::empty(); open];
        let patience = EpollTimeout::try_from(STALLED).map_err(|_| anyhow!("{STALLED:?} is no time to wait"))?;
        while open > 0 {
            let ready = self.epoll.wait(&mut events, patience)?;
            ensure!(ready > 0, "no answer for {STALLED:?} on {open} connections");
            for event in &events[..ready] {
                let index = usize::try_from(event.data())?;
                if !self.receive(index)? {
                    continue;
                }
                let stopped = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
                if world::instant() < end && self.micros.len() < self.answers_max && !stopped {
                    self.send(index)?;
                } else {
                    open -= 1;
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        connection.number = self.pushes.write_next(&self.target.path, &mut connection.out);
        connection.answer.clear();
        connection.sent_at = world::instant();
        let mut rest = connection.out.as_slice();
        while !rest.is_empty() {
            match connection.stream.write(rest) {
                Ok(written) => rest = &rest[written..],
                // A request fits into an empty socket buffer; this is for the rare one that does not at once.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Reads what there is; `true` when the answer is complete.
    fn receive(&mut self, index: usize) -> Result<bool> {
        let connection = &mut self.connections[index];
        let mut buffer = [0; 4096];
        match connection.stream.read(&mut buffer) {
            Ok(0) => bail!("the server closed a kept connection"),
            Ok(count) => connection.answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("cannot receive"),
        }
        let Some(status) = complete(&connection.answer)? else { return Ok(false) };
        let text = || String::from_utf8_lossy(&connection.answer).into_owned();
        ensure!(status == self.target.status, "answered {status} instead of {}: {}", self.target.status, text());
        let micros = connection.sent_at.elapsed().as_micros();
        self.micros.push(u32::try_from(micros).unwrap_or(u32::MAX));
        self.answered.push(connection.number);
        Ok(true)
    }
}

/// The status of a complete answer; `None` while it is not.
fn complete(answer: &[u8]) -> Result<Option<u16>> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head])?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.with_context(|| format!("an answer without Content-Length: {text}"))?;
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).context("an answer without status")?;
    Ok((answer.len() >= head + 4 + length).then_some(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        assert_eq!(complete(b"HTTP/1.1 202 Accepted\r\nContent-").unwrap(), None);
        assert_eq!(complete(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{").unwrap(), None);
        assert_eq!(complete(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}").unwrap(), Some(202));
        assert!(complete(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err());
    }

    #[test]
    fn a_push_made_from_shared_state_is_signed_like_any_other() {
        let pushes = Pushes::new(b"secret");
        let mut buffer = Vec::new();
        pushes.write_next("/in/github", &mut buffer);
        let text = String::from_utf8(buffer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&systems::github::signature(b"secret", body.as_bytes())), "{head}");
        assert!((7_500..7_900).contains(&body.len()), "{} bytes", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
