//! One connection's bytes on their way in: when each part of a request must have come, and that no head says two
//! things about where its body ends. Owns deadlines before the body and the goodbye; parsing and answering is hyper's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::framing::{Framing, Place};

/// How long and how much is still read, and thrown away, after the last answer: closing a socket with unread bytes
/// resets it, and the peer may then never see the answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 64 << 20;

const OVERLONG: &[u8] = b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// What the connection's service and its wire tell each other.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    ambiguous: AtomicBool,
    busy: AtomicBool,
}

impl Watch {
    /// Whether a head on this connection was ambiguous about its body's end: nothing on it can be trusted.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Acquire)
    }

    /// A request is being answered until the guard is dropped; meanwhile the connection is not idle.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.store(true, Ordering::Release);
        Busy(Arc::clone(self))
    }
}

/// Held while a request is being answered.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Watch>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

/// A socket with deadlines.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    framing: Framing,
    watch: Arc<Watch>,
    header_timeout: Duration,
    idle_timeout: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Wire {
    /// Watches over `stream`, whose first request must begin within `header_timeout`.
    pub(crate) fn new(stream: TcpStream, watch: Arc<Watch>, header_timeout: Duration, idle_timeout: Duration) -> Self {
        let deadline = Box::pin(sleep_until(Instant::now() + header_timeout));
        Self { stream, framing: Framing::default(), watch, header_timeout, idle_timeout, deadline }
    }

    /// Says goodbye so that the peer can read the last answer.
    pub(crate) async fn close(mut self) {
        // An error here means that the peer is gone already, which is what was wanted.
        let _ = self.stream.shutdown().await;
        if self.framing.place() == Place::Between {
            return;
        }
        let mut rest = (&mut self.stream).take(LINGER_BYTES);
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }

    /// Takes note of bytes that have come, and moves the deadline when they change what is awaited.
    fn came(&mut self, bytes: &[u8]) {
        let before = self.framing.place();
        self.framing.advance(bytes);
        if self.framing.is_ambiguous() {
            self.watch.ambiguous.store(true, Ordering::Release);
        }
        let after = self.framing.place();
        // A head that began in these bytes is timed from now, even if an earlier request ended in them.
        let lapse = match after {
            Place::Head if before == Place::Head => return,
            Place::Head => self.header_timeout,
            Place::Between => self.idle_timeout,
            Place::Body => return,
        };
        self.deadline.as_mut().reset(Instant::now() + lapse);
    }

    /// The last words on this connection, where hyper has none. Best effort, and only when no request is being
    /// answered, so that nothing else is being written.
    fn answer(&self, words: &[u8]) {
        if !self.watch.busy.load(Ordering::Acquire) {
            let _ = self.stream.try_write(words);
        }
    }

    /// Whether what is awaited has not come in time.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        while self.framing.place() != Place::Body && self.deadline.as_mut().poll(cx).is_ready() {
            if !self.watch.busy.load(Ordering::Acquire) {
                return true;
            }
            // The peer waits for us; its idle time has not begun.
            self.deadline.as_mut().reset(Instant::now() + self.idle_timeout);
        }
        false
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buf) {
            Poll::Ready(Ok(())) => {
                self.came(&buf.filled()[before..]);
                if self.framing.is_overlong() {
                    self.answer(OVERLONG);
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending if self.is_late(cx) => {
                if self.framing.place() == Place::Head {
                    self.answer(TIMED_OUT);
                }
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
