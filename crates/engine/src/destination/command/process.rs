//! Programs under a supervisor: started, fed, drained and ended.
//! Owns the gateway's end of the supervisor's socket; what an end means is the parent's.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::excerpt::Excerpt;
use super::supervise::{Order, Reply, Run};

/// How long the operating system has to end what got SIGKILL, and the supervisor to tidy up.
const GONE_WITHIN: Duration = Duration::from_secs(5);

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

/// How a program ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself, within its time.
    Itself(Reply),
    /// By this signal, after its deadline.
    AtDeadline(Signal),
    /// Not even by SIGKILL: it is stuck inside the kernel, and the supervisor goes on waiting for it.
    Stuck,
    /// The supervisor was lost, and the program with it.
    Unknown(io::Error),
}

/// A supervisor and what it runs. Dropping this ends all of it.
#[derive(Debug)]
pub(super) struct Running {
    supervisor: Child,
    control: Option<UnixStream>,
    /// What the supervisor has not taken yet.
    orders: BytesMut,
    /// What of its next reply has come.
    reply: Vec<u8>,
    /// Kept open until the body is written: closing it early would show the program the end of a body that goes on.
    stdin: Option<ChildStdin>,
    body: Bytes,
    output: pipe::Receiver,
    excerpt: Excerpt,
}

impl Running {
    /// Starts a supervisor for programs whose standard output and standard error are one pipe, so that they stay in
    /// order. It is in a process group of its own: what is typed at the gateway's terminal is not for it.
    pub(super) fn start(supervisor: &Supervisor, body: Bytes) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
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
            body,
            output,
            excerpt: Excerpt::default(),
        })
    }

    /// Runs a program to its end, which comes at the latest `grace` after `deadline`, and ends whatever it left.
    pub(super) async fn until(&mut self, run: Run, deadline: Duration, grace: Duration) -> Ended {
        self.order(&Order::Run(run));
        let ended = match timeout(deadline, self.next_reply()).await {
            Ok(Ok(reply)) => Ended::Itself(reply),
            Ok(Err(error)) => Ended::Unknown(error),
            Err(_) => self.end(grace).await,
        };
        // Without the socket the supervisor ends, after everything that it started.
        self.control = None;
        let gone = async {
            drain(&mut self.output, &mut self.excerpt).await;
            let _ = self.supervisor.wait().await;
        };
        let _ = timeout(GONE_WITHIN, gone).await;
        ended
    }

    async fn end(&mut self, grace: Duration) -> Ended {
        self.order(&Order::Terminate);
        if let Ok(result) = timeout(grace, self.next_reply()).await {
            return result.map_or_else(Ended::Unknown, |_| Ended::AtDeadline(Signal::SIGTERM));
        }
        self.order(&Order::Kill);
        match timeout(GONE_WITHIN, self.next_reply()).await {
            Ok(result) => result.map_or_else(Ended::Unknown, |_| Ended::AtDeadline(Signal::SIGKILL)),
            Err(_) => Ended::Stuck,
        }
    }

    fn order(&mut self, order: &Order) {
        self.orders.extend_from_slice(&serde_json::to_vec(order).expect("an order is plain JSON"));
        self.orders.extend_from_slice(b"\n");
    }

    /// Feeds and drains the program until the supervisor has a reply. May be dropped and called again.
    async fn next_reply(&mut self) -> io::Result<Reply> {
        let Self { control, orders, reply, stdin, body, output, excerpt, .. } = self;
        let control = control.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let feed = async {
            feed(stdin, body).await;
            pending().await
        };
        let drain = async {
            drain(output, excerpt).await;
            pending().await
        };
        tokio::select! {
            said = converse(control, orders, reply) => said,
            () = feed => unreachable!("it never completes"),
            () = drain => unreachable!("it never completes"),
        }
    }

    /// What the program wrote.
    pub(super) fn into_excerpt(self) -> Bytes {
        self.excerpt.into_bytes()
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

/// Reads output to its end.
async fn drain(output: &mut pipe::Receiver, excerpt: &mut Excerpt) {
    let mut buffer = [0; 8 * 1024];
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        excerpt.push(&buffer[..length]);
    }
}
