//! One running program: fed, drained, and ended together with everything it started.
//! Owns the process group; what the end means is the parent's.

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::excerpt::Excerpt;

/// How long output is still read after the whole process group has ended. Only a program that left its group can hold the
/// pipe open for longer, and that is not waited for.
const LAST_OUTPUT: Duration = Duration::from_millis(250);

/// How long the operating system has to end a program that got SIGKILL.
const KILLED_WITHIN: Duration = Duration::from_secs(2);

/// How a program ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself, within its time.
    Itself(ExitStatus),
    /// By this signal, after its deadline.
    AtDeadline(Signal),
    /// Not even by SIGKILL: it is stuck inside the kernel, and reaped whenever it comes out.
    Stuck,
    /// The operating system lost it.
    Unknown(io::Error),
}

/// A program, the leader of a process group of its own. Dropping this ends the group.
#[derive(Debug)]
pub(super) struct Running {
    group: Group,
    child: Child,
    /// Kept open until the body is written: closing it early would show the program the end of a body that goes on.
    stdin: Option<ChildStdin>,
    body: Bytes,
    output: pipe::Receiver,
    excerpt: Excerpt,
}

impl Running {
    /// Starts the program with standard output and standard error on one pipe, so that they stay in order.
    pub(super) fn start(mut command: Command, body: Bytes) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let output = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
        command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(std::process::Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = command.spawn()?;
        // The command holds our copies of the pipe's writing end; with them the output would never end.
        drop(command);
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).expect("a program just started has an id");
        let stdin = child.stdin.take();
        Ok(Self { group: Group(Some(Pid::from_raw(leader))), child, stdin, body, output, excerpt: Excerpt::default() })
    }

    /// Runs the program to its end, which comes at the latest `grace` after `deadline`.
    pub(super) async fn until(&mut self, deadline: Duration, grace: Duration) -> Ended {
        let ended = match timeout(deadline, self.work()).await {
            Ok(Ok(status)) => Ended::Itself(status),
            Ok(Err(error)) => Ended::Unknown(error),
            Err(_) => self.end(grace).await,
        };
        // Whatever the program left running ends with it.
        self.group.kill();
        let _ = timeout(LAST_OUTPUT, drain(&mut self.output, &mut self.excerpt)).await;
        ended
    }

    async fn end(&mut self, grace: Duration) -> Ended {
        self.group.signal(Signal::SIGTERM);
        if let Ok(result) = timeout(grace, self.work()).await {
            return result.map_or_else(Ended::Unknown, |_| Ended::AtDeadline(Signal::SIGTERM));
        }
        self.group.signal(Signal::SIGKILL);
        match timeout(KILLED_WITHIN, self.work()).await {
            Ok(result) => result.map_or_else(Ended::Unknown, |_| Ended::AtDeadline(Signal::SIGKILL)),
            Err(_) => Ended::Stuck,
        }
    }

    /// Feeds and drains the program until it ends. May be dropped and called again.
    async fn work(&mut self) -> io::Result<ExitStatus> {
        let feed = async {
            feed(&mut self.stdin, &mut self.body).await;
            pending().await
        };
        let drain = async {
            drain(&mut self.output, &mut self.excerpt).await;
            pending().await
        };
        tokio::select! {
            status = self.child.wait() => status,
            () = feed => unreachable!("it never completes"),
            () = drain => unreachable!("it never completes"),
        }
    }

    /// What the program wrote.
    pub(super) fn into_excerpt(self) -> Bytes {
        self.excerpt.into_bytes()
    }
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

/// A process group to be ended. Its number cannot have passed to another group before that: the leader is reaped by
/// `Child::wait` only, and the group is ended, and forgotten, in the same poll.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    /// Sends a signal; a group that has ended already is no error.
    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            let _ = killpg(leader, signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
