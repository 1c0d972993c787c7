//! The data directory on disk: that it exists, who may read it, that only one process has it.
//! Owns names and modes; what SQLite does with the file is `connection`.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
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
    close_to_others(dir)?;
    let path = dir.join(LOCK_FILE);
    let file = open_private(&path).map_err(failed(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(cause)) => Err(OpenError::Directory { path, cause }),
    }
}

/// A directory in which everybody may write is one in which anybody may replace the database. It is closed, with a word in
/// the log. In a sticky one, as `/tmp` is, files are their owners' and it is left as it is.
fn close_to_others(dir: &Path) -> Result<(), OpenError> {
    let failed = |cause| OpenError::Directory { path: dir.to_owned(), cause };
    let mode = fs::metadata(dir).map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o002 == 0 || mode & 0o1000 != 0 {
        return Ok(());
    }
    fs::set_permissions(dir, Permissions::from_mode(mode & !0o022))
        .map_err(|_| OpenError::Exposed { path: dir.to_owned(), mode })?;
    tracing::warn!(
        "the data directory `{}` was writable by everybody (mode {mode:04o}): now only its owner may",
        dir.display()
    );
    Ok(())
}

/// Makes the database file if need be, readable by its owner only, and returns its path.
pub(super) fn prepare_database(dir: &Path) -> Result<PathBuf, OpenError> {
    let path = dir.join(DATABASE_FILE);
    // The file is made here and not by SQLite, whose files would take the process's mask.
    let private = |file: &File| {
        let mode = file.metadata()?.permissions().mode() & 0o777;
        if mode != 0o600 {
            tracing::warn!("the database `{}` had mode {mode:04o}: now only its owner may read it", path.display());
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        Ok(())
    };
    open_private(&path)
        .and_then(|file| private(&file))
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
