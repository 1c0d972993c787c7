//! `hookward backup` and `hookward restore`. A backup asks a running gateway for everything it keeps; a restore puts that
//! in place where none runs yet.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use hookward_engine::backup::{self, Backup, RestoreError, Restored};
use zeroize::Zeroizing;

use super::exit::Exit;
use super::print;
use super::remote::Gateway;

/// The largest key file that is taken along, in bytes.
const KEY_FILE_MAX: u64 = 64 << 10;

/// Where a backup goes, and with what.
#[derive(Debug, Args)]
pub(super) struct Saving {
    /// The file to make; in a directory, one named after the moment
    path: PathBuf,
    /// Put this key file in it too: WHOEVER HAS THE BACKUP THEN HAS EVERY SECRET
    #[arg(long, value_name = "KEY_FILE")]
    with_key: Option<PathBuf>,
}

/// Put a backup in place where no gateway runs yet
///
/// The backup is checked to its last byte, its database by itself, its audit log row by row.
#[derive(Debug, Args)]
#[command(after_help = "Example: hookward restore hookward-2026-01-31.backup --data hookward-data")]
pub(super) struct Restore {
    /// The backup
    file: PathBuf,
    /// The data directory to make; it has to be new or empty
    #[arg(long)]
    data: PathBuf,
}

/// Runs `hookward backup`. `moment` names the file when only its directory is given.
pub(super) async fn take(backup: Saving, gateway: &Gateway, moment: &str) -> Result<(), Exit> {
    let path = if backup.path.is_dir() { backup.path.join(format!("hookward-{moment}.backup")) } else { backup.path };
    let key = backup.with_key.as_deref().map(read_key).transpose()?;
    let failed = |error: std::io::Error| Exit::failure(format!("`{}`: {error}", path.display()));
    // Under another name until it is whole: half a backup is none.
    let partial = path.with_added_extension("partial");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial).map_err(failed)?;
    let mut bytes = 0;
    let taken = gateway.stream_post("/backup", |part| {
        bytes += part.len() as u64;
        file.write_all(part).map_err(failed)
    });
    let finished = match taken.await {
        Ok(()) => finish(&mut file, key.as_ref().map(|key| key.as_slice()))
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(failed),
        Err(exit) => Err(exit),
    };
    if let Err(exit) = finished {
        let _ = fs::remove_file(&partial);
        return Err(exit);
    }
    let with_key = if key.is_some() { ", with the master key: keep it as you keep the key" } else { "" };
    print::line(&format!("{}: {bytes} bytes{with_key}", path.display()))
}

/// Writes a backup that is at hand. Returns how long it is.
pub(super) fn keep(path: &Path, mut backup: Backup) -> Result<u64, Exit> {
    let failed = |error: std::io::Error| Exit::failure(format!("`{}`: {error}", path.display()));
    let partial = path.with_added_extension("partial");
    let mut write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        file.write_all(&backup.head)?;
        let bytes = backup.head.len() as u64 + std::io::copy(&mut backup.database, &mut file)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        Ok(bytes)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&partial);
        failed(error)
    })
}

fn finish(file: &mut File, key: Option<&[u8]>) -> std::io::Result<()> {
    if let Some(key) = key {
        file.write_all(&backup::key_line(key))?;
    }
    file.sync_all()
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, Exit> {
    let failed = |problem: &dyn std::fmt::Display| Exit::usage(format!("the key file `{}`: {problem}", path.display()));
    let file = File::open(path).map_err(|error| failed(&error))?;
    let mut key = Zeroizing::new(Vec::new());
    file.take(KEY_FILE_MAX + 1).read_to_end(&mut key).map_err(|error| failed(&error))?;
    match key.len() as u64 {
        1..=KEY_FILE_MAX => Ok(key),
        _ => Err(failed(&"that is no key file")),
    }
}

/// Runs `hookward restore`.
pub(super) fn restore(restore: &Restore) -> Result<(), Exit> {
    let restored = backup::restore(&restore.file, &restore.data).map_err(exit)?;
    tell(&restore.data.display(), &restored)
}

/// How a restore that was not done ends.
pub(super) fn exit(error: RestoreError) -> Exit {
    match error {
        RestoreError::NotEmpty { .. } => Exit::usage(error),
        RestoreError::Damaged(_) | RestoreError::Database(_) => Exit::refused(error),
        RestoreError::Path { .. } | RestoreError::Copy(_) => Exit::failure(error),
    }
}

/// Says what was put in place, and what is needed besides.
pub(super) fn tell(data: &dyn std::fmt::Display, restored: &Restored) -> Result<(), Exit> {
    print::line(&format!(
        "{data}: restored, {} rows of the audit log checked, head {}",
        restored.audit_rows, restored.manifest.audit_head
    ))?;
    match &restored.key_file {
        Some(path) => print::line(&format!("the master key is in {}", path.display())),
        None if restored.manifest.key_ids.is_empty() => Ok(()),
        None => {
            let keys = restored.manifest.key_ids.join(", ");
            print::line(&format!(
                "its secrets are sealed under {keys}: put that key in place before the start, or enter them again"
            ))
        }
    }
}
