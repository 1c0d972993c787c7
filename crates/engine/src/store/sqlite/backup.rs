//! The verb `copy`: one snapshot, page by page, at a pace that leaves the disk to the writer.
//! What a backup's file looks like, and the way back, is the engine's `backup`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::side::Side;
use super::{connection, migrate};
use crate::store::moving::{self, MoveError};
use crate::store::sql::audit;
use crate::store::sql::failure::{Failure, Result};
use crate::store::{Copied, StoreError};

/// What is copied at once, and the rest after it: at most some hundred megabytes in a second.
const STEP_BYTES: u32 = 1 << 20;
const REST: Duration = Duration::from_millis(5);

/// How the file begins that a copy is made in.
const PREFIX: &str = "backup-";

/// Whether a copy is under way; there is one at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Copying(Arc<Mutex<()>>);

impl Copying {
    pub(super) fn is_under_way(&self) -> bool {
        self.0.try_lock().is_err_and(|error| matches!(error, TryLockError::WouldBlock))
    }
}

/// [`copy`] on a thread that may block, one at a time.
pub(super) async fn copy_aside(path: PathBuf, copying: Copying) -> std::result::Result<Copied, StoreError> {
    let task = tokio::task::spawn_blocking(move || {
        let _one_at_a_time = copying.0.lock().unwrap_or_else(PoisonError::into_inner);
        copy(&path).map_err(|failure| failure.into_answer(&path.display().to_string()))
    });
    task.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("a copy did not finish: {error}"))))
}

/// Removes what a process that was killed while it copied left behind.
pub(super) fn remove_leftovers(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if let Err(error) = std::fs::remove_file(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "an unfinished copy cannot be removed");
        }
    }
}

/// A copy of another kind of store, in a file of `directory` that has no name any more: `fill` puts everything in.
pub(in crate::store) fn copy_of_other(
    directory: &Path,
    fill: impl FnOnce(&mut Side) -> std::result::Result<(), MoveError>,
) -> std::result::Result<Copied, MoveError> {
    let name = directory.display().to_string();
    let target = tempfile::Builder::new().prefix(PREFIX).tempfile_in(directory).map_err(moving::failed(&name))?;
    let mut side = Side::unkept(target.path())?;
    fill(&mut side)?;
    let copy = side.into_connection();
    let described = move || -> Result<Copied> {
        Ok(Copied {
            file: File::open(target.path()).map_err(|error| unusable(target.path(), &error))?,
            schema: migrate::found(&copy)?,
            key_ids: key_ids(&copy)?,
            head: audit::head(&super::Connection::Sqlite(copy))?,
        })
    };
    described().map_err(moving::failed(&name))
}

/// Copies the database at `path` as it is now.
pub(in crate::store) fn copy(path: &Path) -> Result<Copied> {
    let directory = path.parent().unwrap_or(Path::new("."));
    // Only its owner can read it, and it has no name any more once SQLite has let go of it.
    let target =
        tempfile::Builder::new().prefix(PREFIX).tempfile_in(directory).map_err(|error| unusable(path, &error))?;
    let source = connection::open_reading(path)?;
    // Whatever is written from now on is in a later snapshot: without one, each write would start the copy anew.
    let snapshot = source.unchecked_transaction()?;
    snapshot.query_row("select count(*) from sqlite_schema", [], |_| Ok(()))?;
    let mut copy = Connection::open(target.path())?;
    copy.execute_batch("pragma synchronous = off")?;
    let step = i32::try_from(STEP_BYTES / connection::page_bytes(&source)?.max(1)).unwrap_or(1).max(1);
    Backup::new(&snapshot, &mut copy)?.run_to_completion(step, REST, None)?;
    // One file, complete in itself; whoever opens it as a store gives it a write-ahead log again.
    copy.query_row("pragma journal_mode = delete", [], |_| Ok(()))?;
    let copied = Copied {
        file: File::open(target.path()).map_err(|error| unusable(path, &error))?,
        schema: copy.query_row("select max(number) from migrations", [], |row| row.get(0))?,
        key_ids: key_ids(&copy)?,
        head: audit::head(&super::Connection::Sqlite(copy))?,
    };
    Ok(copied)
}

/// The KMS keys in whatever table has a column for them.
fn key_ids(connection: &Connection) -> Result<Vec<String>> {
    let mut tables = connection.prepare(
        "select t.name from sqlite_schema t join pragma_table_info(t.name) c where t.type = 'table' and c.name = 'key_id'",
    )?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut keys = Vec::new();
    for table in tables {
        let mut statement = connection.prepare(&format!("select distinct key_id from \"{table}\""))?;
        keys.extend(statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    keys.sort();
    keys.dedup();
    Ok(keys)
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::Answer(StoreError::Unavailable(format!("`{}`: no copy can be made beside it: {error}", path.display())))
}
