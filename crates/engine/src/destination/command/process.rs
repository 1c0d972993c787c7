//! Programs under a supervisor: started, fed, drained and ended.
//! Owns the gateway's end of the supervisor's socket; what an end means is the parent's.

use std::borrow::Cow;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::redactor::Redactor;
use super::supervise::{COMPLAINT, Order, Reply, Run};
use crate::model::RESPONSE_EXCERPT_MAX;
use crate::output::{Ends, Output};

/// How long the operating system has to end what got SIGKILL.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// How long an attempt waits for the supervisor to have tidied up, which it goes on with in any case. With the grace and
/// the time above it is shorter than what a lease lasts beyond the deadline.
const TIDY_WITHIN: Duration = Duration::from_secs(15);

/// The longest reply of a supervisor, in bytes.
const REPLY_MAX: usize = 64 * 1024;

/// The executable that supervises programs: how it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supervisor {
    /// The executable.
    pub program: PathBuf,
    /// What makes it a supervisor.
    pub arguments: Vec<OsString>,
}

/// How long programs may run, and who can end them.
#[derive(Debug)]
pub(super) struct Limits<'a> {
    /// When they are asked to end.
    pub(super) deadline: Duration,
    /// Cancelled when they are asked to end early.
    pub(super) called_off: &'a CancellationToken,
}

impl Limits<'_> {
    /// Does `work` as long as it may take.
    pub(super) async fn keep<T>(&self, work: impl Future<Output = T>) -> Result<T, Overrun> {
        match self.called_off.run_until_cancelled(timeout(self.deadline, work)).await {
            Some(Ok(done)) => Ok(done),
            Some(Err(_)) => Err(Overrun::Deadline),
            None => Err(Overrun::CalledOff),
        }
    }
}

/// Why programs have to end before they would by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overrun {
    /// Time is up.
    Deadline,
    /// The delivery was called off.
    CalledOff,
}

/// What a program did that was told to end.
#[derive(Debug)]
pub(super) enum Told {
    /// It ended, or there was none.
    Heeded,
    /// SIGKILL ended it.
    Killed,
    /// Not even SIGKILL did: it is stuck inside the kernel, and the supervisor goes on waiting for it.
    Stuck,
    /// The supervisor was lost, and the program with it.
    Lost(io::Error),
}

/// A supervisor and what it runs. Dropping this ends all of it.
#[derive(Debug)]
pub(super) struct Running<'o> {
    supervisor: Child,
    control: Option<UnixStream>,
    /// What the supervisor has not taken yet.
    orders: BytesMut,
    /// What of its next reply has come.
    reply: Vec<u8>,
    /// Whether a reply is to come.
    is_busy: bool,
    /// Kept open until the body is written: closing it early would show the program the end of a body that goes on.
    stdin: Option<ChildStdin>,
    body: Bytes,
    pipe: pipe::Receiver,
    sink: Sink<'o>,
}

/// Where what programs write goes.
#[derive(Debug)]
struct Sink<'o> {
    redactor: Option<Redactor>,
    output: &'o Output,
    excerpt: Ends,
}

impl Sink<'_> {
    fn take(&mut self, part: &[u8]) {
        match &mut self.redactor {
            None => self.keep(part),
            Some(redactor) => {
                let shown = redactor.push(part);
                self.keep(&shown);
            }
        }
    }

    fn keep(&mut self, part: &[u8]) {
        self.output.push(part);
        self.excerpt.push(part);
    }
}

impl<'o> Running<'o> {
    /// Starts a supervisor for programs whose standard output and standard error are one pipe, so that they stay in
    /// order. It is in a process group of its own: what is typed at the gateway's terminal is not for it.
    pub(super) fn start(supervisor: &Supervisor, body: Bytes, output: &'o Output) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut command = Command::new(&supervisor.program);
        command
            .arg0("hookward")
            .args(&supervisor.arguments)
            .current_dir("/")
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(writer)
            .stderr(OwnedFd::from(theirs));
        let mut child = command.spawn()?;
        // The command holds our copies of the other ends; with them neither output nor socket would ever end.
        drop(command);
        Ok(Self {
            stdin: child.stdin.take(),
            supervisor: child,
            control: Some(UnixStream::from_std(ours)?),
            orders: BytesMut::new(),
            reply: Vec::new(),
            is_busy: false,
            body,
            pipe,
            sink: Sink { redactor: None, output, excerpt: Ends::new(RESPONSE_EXCERPT_MAX) },
        })
    }

    /// Has a directory made before the next program, with `tmp` in it, and removed when all has ended.
    pub(super) fn own(&mut self, directory: &Path) {
        self.order(&Order::Own(Cow::Borrowed(directory)));
    }

    /// Keeps these secrets out of what is kept of the output from now on.
    pub(super) fn redact(&mut self, secrets: Vec<Vec<u8>>) {
        self.sink.redactor = Some(Redactor::new(secrets));
    }

    /// Runs a program to its end, and ends whatever it left running.
    pub(super) async fn run(&mut self, run: &Run) -> io::Result<Reply> {
        self.order(&Order::Run(Cow::Borrowed(run)));
        self.is_busy = true;
        self.next_reply().await
    }

    /// Tells the program under way to end, and sees to it that it does at the latest after `grace`.
    pub(super) async fn end(&mut self, grace: Duration) -> Told {
        if !self.is_busy {
            return Told::Heeded;
        }
        self.order(&Order::Terminate);
        if let Ok(result) = timeout(grace, self.next_reply()).await {
            return result.map_or_else(Told::Lost, |_| Told::Heeded);
        }
        self.order(&Order::Kill);
        match timeout(GONE_WITHIN, self.next_reply()).await {
            Ok(result) => result.map_or_else(Told::Lost, |_| Told::Killed),
            Err(_) => Told::Stuck,
        }
    }

    fn order(&mut self, order: &Order<'_>) {
        self.orders.extend_from_slice(&serde_json::to_vec(order).expect("an order is plain JSON"));
        self.orders.extend_from_slice(b"\n");
    }

    /// Feeds and drains the program until the supervisor has a reply. May be dropped and called again.
    async fn next_reply(&mut self) -> io::Result<Reply> {
        let Self { control, orders, reply, stdin, body, pipe, sink, .. } = self;
        let control = control.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let feed = async {
            feed(stdin, body).await;
            pending().await
        };
        let drain = async {
            drain(pipe, sink).await;
            pending().await
        };
        let said = tokio::select! {
            said = converse(control, orders, reply) => said,
            () = feed => unreachable!("it never completes"),
            () = drain => unreachable!("it never completes"),
        };
        self.is_busy = false;
        said
    }

    /// Ends whatever is left, reads what is left to read, and gives the two ends of all that programs wrote.
    pub(super) async fn finish(mut self) -> Bytes {
        let gone = async {
            let mut last_words = Vec::new();
            if let Some(mut control) = self.control.take() {
                // Without orders to come the supervisor ends, after everything that it started.
                let _ = control.shutdown().await;
                let said = async { control.read_to_end(&mut last_words).await };
                let _ = tokio::join!(said, drain(&mut self.pipe, &mut self.sink));
            }
            let _ = self.supervisor.wait().await;
            let last_words = String::from_utf8_lossy(&last_words);
            if let Some(problem) = last_words.lines().find_map(|line| line.strip_prefix(COMPLAINT)) {
                tracing::error!(problem, "a supervisor could not tidy up");
            }
        };
        let _ = timeout(TIDY_WITHIN, gone).await;
        if let Some(redactor) = self.sink.redactor.take() {
            self.sink.keep(&redactor.finish());
        }
        self.sink.excerpt.to_bytes()
    }
}

/// Sends what is to be sent and reads one reply. What was done is kept when this is dropped.
async fn converse(control: &mut UnixStream, orders: &mut BytesMut, reply: &mut Vec<u8>) -> io::Result<Reply> {
    while orders.has_remaining() {
        control.write_buf(orders).await?;
    }
    let lost = |what: &[u8]| {
        let text = String::from_utf8_lossy(what);
        io::Error::other(format!("the supervisor was lost {}", text.trim()).trim_end().to_owned())
    };
    while !reply.ends_with(b"\n") {
        if reply.len() > REPLY_MAX || control.read_buf(reply).await? == 0 {
            return Err(lost(reply));
        }
    }
    let line = std::mem::take(reply);
    serde_json::from_slice(&line).map_err(|_| lost(&line))
}

/// Writes what is left of the body, then ends the program's input. A program need not read any of it.
async fn feed(stdin: &mut Option<ChildStdin>, body: &mut Bytes) {
    if let Some(pipe) = stdin {
        while !body.is_empty() && pipe.write_buf(body).await.is_ok() {}
    }
    *stdin = None;
}

/// Reads what programs write to its end.
async fn drain(pipe: &mut pipe::Receiver, sink: &mut Sink<'_>) {
    let mut buffer = [0; 8 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        sink.take(&buffer[..length]);
    }
}
