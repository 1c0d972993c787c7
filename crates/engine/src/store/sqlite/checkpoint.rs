//! Keeps the write-ahead log short without making commits wait: a thread of its own copies the log into the database
//! as it grows, and the writer starts the log anew between two groups when it has grown long.
//! Owns when that happens; commits are `writer`'s.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::{io, thread};

use rusqlite::Connection;

use super::backup::Copying;

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
    bounds: Bounds,
    /// A copy under way reads all of it and stands in the way of a new start for as long as it takes.
    backup: Copying,
    /// No attempt to start the log anew before it has this length, after one that a reader prevented.
    not_before_frames: u64,
}

impl Checkpoints {
    pub(super) fn start(
        path: PathBuf,
        connection: Connection,
        page_bytes: u32,
        wal_bytes: u64,
        backup: &Copying,
    ) -> io::Result<Self> {
        let bounds = Bounds { frames: wal_bytes / u64::from(page_bytes) };
        // Closed with the thread and not before: closing any handle of a file ends the locks that this process has on it.
        let database = File::open(&path)?;
        let (nudge, nudged) = sync_channel(1);
        let copying = Arc::new(Mutex::new(()));
        let thread = thread::Builder::new().name("hookward-checkpoint".to_owned()).spawn({
            let (path, copying) = (path.clone(), Arc::clone(&copying));
            move || copy_when_nudged(&path, (&connection, &database), bounds, &copying, &nudged)
        })?;
        Ok(Self {
            nudge: Some(nudge),
            copying,
            thread: Some(thread),
            path,
            bounds,
            backup: backup.clone(),
            not_before_frames: 0,
        })
    }

    /// Called by the writer between two groups, with its own connection.
    pub(super) fn keep_bounded(&mut self, connection: &Connection) {
        let log = match run(connection, MEASURE) {
            Ok(log) => log,
            Err(error) => return complain(&self.path, &error),
        };
        if self.bounds.want_copying(log) {
            // A nudge already waiting will see this log too.
            let _ = self.nudge.as_ref().map(|nudge| nudge.try_send(()));
        }
        if log.frames < self.bounds.frames {
            self.not_before_frames = 0;
        }
        if self.bounds.want_new_start(log) && log.frames >= self.not_before_frames && !self.backup.is_under_way() {
            self.start_anew(connection, log);
        }
    }

    /// Copies the little that is left and lets the log begin at its start again.
    fn start_anew(&mut self, connection: &Connection, log: Log) {
        let _copying = match self.copying.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::WouldBlock) if !self.bounds.out_of_patience(log) => return,
            Err(_) => self.copying.lock().unwrap_or_else(PoisonError::into_inner),
        };
        self.not_before_frames = match run(connection, START_ANEW) {
            Ok(log) if !log.busy => 0,
            // A reader who prevents it makes commits wait; the longer the log, the less often that is tried.
            Ok(_) => log.frames + log.frames / 8,
            Err(error) => {
                complain(&self.path, &error);
                log.frames + log.frames / 8
            }
        };
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

fn copy_when_nudged(
    path: &Path,
    (connection, database): (&Connection, &File),
    bounds: Bounds,
    copying: &Mutex<()>,
    nudged: &Receiver<()>,
) {
    while nudged.recv().is_ok() {
        let _copying = copying.lock().unwrap_or_else(PoisonError::into_inner);
        // A nudge given while the last copy was under way is often already answered by it.
        let copied = run(connection, MEASURE)
            .and_then(|log| if bounds.want_copying(log) { run(connection, COPY).map(drop) } else { Ok(()) });
        if let Err(error) = copied {
            complain(path, &error);
        }
        // SQLite leaves this to whoever starts the log anew, which is the writer: then all commits would wait for all of
        // the log to reach the disk. It syncs once more by itself, so what goes wrong here costs time only.
        if let Err(error) = database.sync_data() {
            tracing::warn!(path = %path.display(), %error, "the database could not be synced ahead of a checkpoint");
        }
    }
}

fn complain(path: &Path, error: &rusqlite::Error) {
    tracing::warn!(path = %path.display(), %error, "the write-ahead log could not be checkpointed");
}

/// How long the log may become, and what follows from that. A frame is a page in the log.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    frames: u64,
}

impl Bounds {
    /// A quarter of the log at a time, since a page written often is then copied once; but all of it when it is long.
    fn want_copying(self, log: Log) -> bool {
        log.left() > if log.frames < self.frames { self.frames / 4 } else { self.frames / 8 }
    }

    /// Long, and with so little left to copy that commits hardly wait for it.
    fn want_new_start(self, log: Log) -> bool {
        log.frames >= self.frames && (log.left() <= self.frames / 8 || self.out_of_patience(log))
    }

    /// Copying does not keep up: commits must wait for it.
    fn out_of_patience(self, log: Log) -> bool {
        log.frames >= self.frames.saturating_mul(4)
    }
}

/// The log as a checkpoint found or left it.
#[derive(Debug, Clone, Copy)]
struct Log {
    busy: bool,
    frames: u64,
    copied: u64,
}

impl Log {
    fn left(self) -> u64 {
        self.frames.saturating_sub(self.copied)
    }
}

fn run(connection: &Connection, mode: &'static str) -> rusqlite::Result<Log> {
    connection.prepare_cached(mode)?.query_row([], |row| {
        let count = |column| row.get(column).map(|frames: i64| u64::try_from(frames).unwrap_or(0));
        Ok(Log { busy: row.get::<_, i64>(0)? != 0, frames: count(1)?, copied: count(2)? })
    })
}
