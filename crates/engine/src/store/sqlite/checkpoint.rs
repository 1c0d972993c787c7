//! Keeps the write-ahead log short without making commits wait: a thread of its own copies the log into the database
//! as it grows, and the writer starts the log anew between two groups when it has grown long.
//! Owns when that happens; commits are `writer`'s.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::{io, thread};

use rusqlite::Connection;

/// The log is copied each time it has grown by this many bytes.
const STEP_BYTES: u64 = 4 << 20;

/// At this many times its bound the log is started anew even if commits must wait for the copying thread.
const PATIENCE: u64 = 4;

/// Copies nothing, only says how long the log is.
const MEASURE: &str = "pragma wal_checkpoint(noop)";
/// Copies what no reader stands in the way of.
const COPY: &str = "pragma wal_checkpoint(passive)";
/// Copies everything and makes the next commit write at the log's start; its file keeps its blocks.
const START_ANEW: &str = "pragma wal_checkpoint(restart)";

/// The writer's side.
#[derive(Debug)]
pub(super) struct Checkpoints {
    nudge: Option<SyncSender<()>>,
    /// Held by whoever copies: SQLite would refuse the other at once.
    copying: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    step_frames: u64,
    bound_frames: u64,
    /// The log's length when it was last copied or tried to be started anew.
    seen_frames: u64,
}

impl Checkpoints {
    pub(super) fn start(path: PathBuf, connection: Connection, page_bytes: u32, wal_bytes: u64) -> io::Result<Self> {
        let page_bytes = u64::from(page_bytes);
        let (nudge, nudged) = sync_channel(1);
        let copying = Arc::new(Mutex::new(()));
        let thread = thread::Builder::new().name("hookward-checkpoint".to_owned()).spawn({
            let (path, copying) = (path.clone(), Arc::clone(&copying));
            move || copy_when_nudged(&path, &connection, &copying, &nudged)
        })?;
        Ok(Self {
            nudge: Some(nudge),
            copying,
            thread: Some(thread),
            path,
            step_frames: (STEP_BYTES.min(wal_bytes / 4) / page_bytes).max(1),
            bound_frames: (wal_bytes / page_bytes).max(1),
            seen_frames: 0,
        })
    }

    /// Called by the writer between two groups, with its own connection.
    pub(super) fn keep_bounded(&mut self, connection: &Connection) {
        let frames = match run(connection, MEASURE) {
            Ok(progress) => progress.frames,
            Err(error) => return self.complain(&error),
        };
        if frames < self.seen_frames {
            self.seen_frames = 0;
        }
        // Steps grow with the log, so that a reader who keeps it from starting anew does not make commits wait often.
        if frames - self.seen_frames < self.step_frames.max(self.seen_frames / 8) {
            return;
        }
        if frames >= self.bound_frames && self.start_anew(connection, frames) {
            self.seen_frames = 0;
            return;
        }
        self.seen_frames = frames;
        // A nudge already waiting will see these frames too.
        let _ = self.nudge.as_ref().map(|nudge| nudge.try_send(()));
    }

    /// Copies what the other thread left (little: it copied a step ago) and lets the log begin at its start again.
    fn start_anew(&self, connection: &Connection, frames: u64) -> bool {
        let _copying = match self.copying.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::WouldBlock) if frames < self.bound_frames.saturating_mul(PATIENCE) => return false,
            Err(_) => self.copying.lock().unwrap_or_else(PoisonError::into_inner),
        };
        match run(connection, START_ANEW) {
            Ok(progress) => !progress.busy,
            Err(error) => {
                self.complain(&error);
                false
            }
        }
    }

    fn complain(&self, error: &rusqlite::Error) {
        tracing::warn!(path = %self.path.display(), %error, "the write-ahead log could not be checkpointed");
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.nudge = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn copy_when_nudged(path: &Path, connection: &Connection, copying: &Mutex<()>, nudged: &Receiver<()>) {
    while nudged.recv().is_ok() {
        let _copying = copying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = run(connection, COPY) {
            tracing::warn!(path = %path.display(), %error, "the write-ahead log could not be checkpointed");
        }
    }
}

/// What a checkpoint found.
struct Progress {
    busy: bool,
    frames: u64,
}

fn run(connection: &Connection, mode: &'static str) -> rusqlite::Result<Progress> {
    connection.prepare_cached(mode)?.query_row([], |row| {
        let frames: i64 = row.get(1)?;
        Ok(Progress { busy: row.get::<_, i64>(0)? != 0, frames: u64::try_from(frames).unwrap_or(0) })
    })
}
