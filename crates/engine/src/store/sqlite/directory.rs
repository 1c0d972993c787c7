//! The data directory on disk: that it exists, who may read it, that only one process has it.
//! Owns names and modes; what SQLite does with the file is `connection`.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;

/// The database's file name in its directory. SQLite keeps `-wal` and `-shm` beside it, with the same mode.
pub const DATABASE_FILE: &str = "hookward.db";

/// The name of the file whose lock says that the directory is in use.
pub const LOCK_FILE: &str = "lock";

/// The exclusive right to a data directory; the operating system ends it with the process at the latest.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Makes `dir` if need be and takes it for this process.
pub(super) fn claim(dir: &Path) -> Result<Lock, OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| OpenError::Directory { path, cause }
    };
    if !dir.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
        sync_parent(dir).map_err(failed(dir))?;
    }
    let path = dir.join(LOCK_FILE);
    let file = open_private(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(OpenError::Directory { path, cause }),
    }
}

/// Makes the database file if need be, readable by its owner only, and returns its path.
pub(super) fn prepare_database(dir: &Path) -> Result<PathBuf, OpenError> {
    let path = dir.join(DATABASE_FILE);
    // The file is made here and not by SQLite, whose files would take the process's mask.
    open_private(&path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)))
        .and_then(|()| File::open(dir)?.sync_all())
        .map_err(|cause| OpenError::Directory { path: path.clone(), cause })?;
    Ok(path)
}

fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// A new directory survives a crash only when the one above it is synced.
fn sync_parent(dir: &Path) -> io::Result<()> {
    match dir.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
