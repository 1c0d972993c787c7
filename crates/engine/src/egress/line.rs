//! What is measured of one connection: how long its stages took, when a request was written and when its answer began.
//! Decides nothing; times are told apart by microseconds since the connection was asked for.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::model::Timings;

/// The stages that a connection goes through before it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Resolve,
    Connect,
    Tls,
}

/// A connection as it is measured.
#[derive(Debug)]
pub(crate) struct Line {
    asked_for: Instant,
    stages: Mutex<(Timings, Stage, Instant)>,
    /// Whether an exchange was told how long the stages took: they are the first one's alone.
    told: AtomicBool,
    /// Of the exchange under way, 0 for what did not happen yet.
    written: AtomicU64,
    answered: AtomicU64,
}

/// What is seen of the exchange under way.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// When the last bytes of its request were written that went out before the answer began.
    pub(crate) written: Option<Instant>,
    /// When its answer began.
    pub(crate) answered: Option<Instant>,
}

impl Line {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            asked_for: now,
            stages: Mutex::new((Timings::default(), Stage::Resolve, now)),
            told: AtomicBool::new(false),
            written: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// A stage begins.
    pub(crate) fn begin(&self, stage: Stage) {
        let mut stages = self.stages();
        (stages.1, stages.2) = (stage, Instant::now());
    }

    /// The stage that began last is over.
    pub(crate) fn end(&self) {
        let mut stages = self.stages();
        let took = Some(stages.2.elapsed());
        match stages.1 {
            Stage::Resolve => stages.0.resolve = took,
            Stage::Connect => stages.0.connect = took,
            Stage::Tls => stages.0.tls = took,
        }
    }

    /// The stage that began last.
    pub(crate) fn stage(&self) -> Stage {
        self.stages().1
    }

    /// How long the stages took that are over, to the first who asks: later exchanges found the connection standing.
    pub(crate) fn tell(&self) -> Timings {
        if self.told.swap(true, Ordering::Relaxed) { Timings::default() } else { self.stages().0 }
    }

    /// What is seen of an exchange that began at `begun`. What an earlier one left is not its.
    pub(crate) fn seen(&self, begun: Instant) -> Seen {
        let at = |cell: &AtomicU64| match cell.load(Ordering::Acquire) {
            0 => None,
            micros => Some(self.asked_for + Duration::from_micros(micros)).filter(|&at| at >= begun),
        };
        Seen { written: at(&self.written), answered: at(&self.answered) }
    }

    /// The exchange is over; the next one that is seen is another.
    pub(crate) fn rest(&self) {
        self.written.store(0, Ordering::Release);
        self.answered.store(0, Ordering::Release);
    }

    fn wrote(&self) {
        if self.answered.load(Ordering::Acquire) == 0 {
            self.written.store(self.micros(), Ordering::Release);
        }
    }

    fn read(&self) {
        if self.answered.load(Ordering::Acquire) == 0 {
            self.answered.store(self.micros(), Ordering::Release);
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.asked_for.elapsed().as_micros()).unwrap_or(u64::MAX).max(1)
    }

    fn stages(&self) -> MutexGuard<'_, (Timings, Stage, Instant)> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is measured. Whoever has a response on it finds its [`Line`] among the connection's extras.
#[derive(Debug)]
pub struct Measured<S> {
    stream: S,
    line: Arc<Line>,
}

impl<S> Measured<S> {
    pub(super) fn new(stream: S, line: Arc<Line>) -> Self {
        Self { stream, line }
    }
}

impl<S: Connection> Connection for Measured<S> {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(Arc::clone(&self.line))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Measured<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.line.read();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Measured<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noting(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.noting(polled)
    }
}

impl<S> Measured<S> {
    fn noting(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(polled, Poll::Ready(Ok(count)) if count > 0) {
            self.line.wrote();
        }
        polled
    }
}
