//! Overwriting what was erased: nothing of it may be left in the database's files.

use std::path::{Path, PathBuf};

use super::connection;
use crate::store::StoreError;
use crate::store::sql::Limits;

/// [`overwrite`] on a thread that may block.
pub(super) async fn overwrite_aside(path: PathBuf) -> Result<(), StoreError> {
    let overwritten = tokio::task::spawn_blocking(move || overwrite(&path)).await;
    overwritten.map_err(|error| StoreError::Unavailable(error.to_string()))?
}

/// Copies the write-ahead log into the database and empties it. Pages that were freed are overwritten (`secure_delete`),
/// so that then nothing of what was removed is in either file.
fn overwrite(path: &Path) -> Result<(), StoreError> {
    let unavailable =
        |problem: &dyn std::fmt::Display| StoreError::Unavailable(format!("`{}`: {problem}", path.display()));
    let connection =
        connection::open_writing(path, Limits::default().wal_bytes).map_err(|error| unavailable(&error))?;
    // It waits for whoever stands in the way, but not for ever.
    let busy = connection.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, bool>(0));
    match busy {
        Ok(false) => Ok(()),
        Ok(true) => Err(unavailable(&"its write-ahead log could not be emptied, because it is being read")),
        Err(error) => Err(unavailable(&error)),
    }
}
