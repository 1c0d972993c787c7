//! Backups: everything that the store keeps, as one file, and the way back. Owns the file's format: a line that says what
//! it is, the manifest as a line of JSON, the database, and, only where it was asked for, the master key.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::model::{AuditEntry, Principal};
use crate::moving::MoveError;
use crate::store::Copied;
use crate::store::sqlite::{self, DATABASE_FILE, OpenError};

/// The first line of every backup of this format.
const MAGIC: &str = "hookward-backup 1\n";

/// The name under which a master key that came with a backup is put in place.
pub const KEY_FILE: &str = "master.key";

/// The longest manifest, and the longest line with a key, in bytes.
const LINE_MAX: u64 = 1 << 20;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of Hookward that made it.
    pub made_by: String,
    /// When, in milliseconds since the Unix epoch.
    pub made_at_ms: Timestamp,
    /// The schema of its database.
    pub schema: u32,
    /// The audit log's head, `SEQ:HASH`.
    pub audit_head: String,
    /// The KMS keys without which its secrets stay closed.
    pub key_ids: Vec<String>,
    /// The database's length in bytes.
    pub database_bytes: u64,
    /// The database's SHA-256 in hexadecimal.
    pub database_sha256: String,
}

/// A backup, to be read.
#[derive(Debug)]
pub struct Backup {
    /// What it says of itself.
    pub manifest: Manifest,
    /// What stands before the database.
    pub head: Vec<u8>,
    /// The database, at its start.
    pub database: File,
}

/// Why a backup was not put in place. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be read, or nothing can be written.
    #[error("`{}`: {cause}", path.display())]
    Path {
        /// What.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// There is something in the directory already.
    #[error("the directory `{}` is not empty: a backup is restored into one that is new or empty", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// It is not a backup, or a damaged one.
    #[error("this is not a backup that can be restored: {0}")]
    Damaged(String),
    /// The database in it does not hold together, or is of a later version.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// It was not copied into another database.
    #[error(transparent)]
    Copy(#[from] MoveError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyLine {
    master_key_base64: Zeroizing<String>,
}

impl Engine {
    /// Saves everything as it is now, while work goes on. The audit log has it before there is a backup, and so has the
    /// backup. The master key is not in it.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when there is no room for a copy beside the database.
    pub async fn backup(&self, principal: &Principal) -> Result<Backup, EngineError> {
        let now = self.inner().clock().now();
        let entry = AuditEntry::by(principal, "backup.create", "installation", now, json!({}));
        self.inner().store().record(vec![entry]).await?;
        let copied = self.inner().store().copy().await?;
        let failed = |error: &dyn std::fmt::Display| EngineError::Unavailable(format!("the backup's copy: {error}"));
        let described = tokio::task::spawn_blocking(move || describe(copied, now));
        described.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

/// The backup that a copy of everything, made at `now`, comes to.
pub(crate) fn describe(copied: Copied, now: Timestamp) -> io::Result<Backup> {
    let mut database = copied.file;
    let (bytes, sha256) = digest(&mut database)?;
    let manifest = Manifest {
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        made_at_ms: now,
        schema: copied.schema,
        audit_head: copied.head.to_string(),
        key_ids: copied.key_ids,
        database_bytes: bytes,
        database_sha256: sha256,
    };
    let mut head = MAGIC.as_bytes().to_vec();
    serde_json::to_writer(&mut head, &manifest).expect("a manifest is JSON");
    head.push(b'\n');
    Ok(Backup { manifest, head, database })
}

/// The line by which a master key goes with a backup, behind the database. Whoever has the file then has every secret.
pub fn key_line(key: &[u8]) -> Zeroizing<Vec<u8>> {
    let line = KeyLine { master_key_base64: Zeroizing::new(STANDARD.encode(key)) };
    let mut text = serde_json::to_vec(&line).expect("a text is JSON");
    text.push(b'\n');
    Zeroizing::new(text)
}

/// How much of a file there is, and its SHA-256; leaves it at its start.
fn digest(file: &mut File) -> io::Result<(u64, String)> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    file.rewind()?;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sha256.update(&buffer[..read]);
        bytes += read as u64;
    }
    file.rewind()?;
    Ok((bytes, hex::encode(sha256.finalize())))
}

/// What a restore put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup said of itself.
    pub manifest: Manifest,
    /// Rows of its audit log, all of which were checked.
    pub audit_rows: u64,
    /// Where its master key was put, if it had one.
    pub key_file: Option<PathBuf>,
}

/// Puts a backup in place in `directory`, which is made if need be and has to be empty: checked to its last byte, the
/// database by itself, the audit log row by row.
///
/// # Errors
///
/// [`RestoreError`]; then `directory` is as empty as it was.
pub fn restore(backup: &Path, directory: &Path) -> Result<Restored, RestoreError> {
    let source = File::open(backup).map_err(at(backup))?;
    let made = make_empty(directory)?;
    let restored = put_in_place(BufReader::with_capacity(CHUNK, source), backup, directory);
    if restored.is_err() {
        // Only what this call made.
        for name in [PARTIAL, DATABASE_FILE, KEY_FILE] {
            let _ = fs::remove_file(directory.join(name));
        }
        if made {
            let _ = fs::remove_dir(directory);
        }
    }
    restored
}

const PARTIAL: &str = "hookward.db.partial";

/// Whether the directory had to be made.
fn make_empty(directory: &Path) -> Result<bool, RestoreError> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => Err(RestoreError::NotEmpty { path: directory.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))?;
            Ok(true)
        }
        Err(error) => Err(at(directory)(error)),
    }
}

fn put_in_place(mut source: impl BufRead, backup: &Path, directory: &Path) -> Result<Restored, RestoreError> {
    let manifest = read_manifest(&mut source, backup)?;
    let partial = directory.join(PARTIAL);
    let mut file = create_private(&partial)?;
    let mut sha256 = Sha256::new();
    let mut left = manifest.database_bytes;
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let read = source.read(&mut buffer[..wanted]).map_err(at(backup))?;
        if read == 0 {
            return Err(RestoreError::Damaged(format!("it ends {left} bytes early")));
        }
        sha256.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(at(&partial))?;
        left -= read as u64;
    }
    if hex::encode(sha256.finalize()) != manifest.database_sha256 {
        return Err(RestoreError::Damaged("its database does not have the checksum that it names".to_owned()));
    }
    let key = read_key(&mut source, backup)?;
    file.sync_all().map_err(at(&partial))?;
    let found = sqlite::examine(&partial)?;
    if found.head.to_string() != manifest.audit_head || found.schema != manifest.schema {
        return Err(RestoreError::Damaged("its database is not the one that it describes".to_owned()));
    }
    let key_file = key.map(|key| put_key(directory, &key)).transpose()?;
    let database = directory.join(DATABASE_FILE);
    fs::rename(&partial, &database).map_err(at(&database))?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(at(directory))?;
    Ok(Restored { manifest, audit_rows: found.audit_rows, key_file })
}

fn read_manifest(source: &mut impl BufRead, backup: &Path) -> Result<Manifest, RestoreError> {
    let mut line = String::new();
    let not_text = |error: io::Error| match error.kind() {
        io::ErrorKind::InvalidData => RestoreError::Damaged("it does not begin like one".to_owned()),
        _ => at(backup)(error),
    };
    source.by_ref().take(MAGIC.len() as u64).read_to_string(&mut line).map_err(not_text)?;
    if line != MAGIC {
        return Err(RestoreError::Damaged(match line.strip_prefix("hookward-backup ") {
            Some(_) => "a later version of Hookward made it".to_owned(),
            None => "it does not begin like one".to_owned(),
        }));
    }
    line.clear();
    source.by_ref().take(LINE_MAX).read_line(&mut line).map_err(not_text)?;
    serde_json::from_str(&line).map_err(|error| RestoreError::Damaged(format!("its manifest cannot be read: {error}")))
}

/// The key behind the database. Anything else there is damage.
fn read_key(source: &mut impl BufRead, backup: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, RestoreError> {
    let mut rest = Zeroizing::new(Vec::new());
    source.take(LINE_MAX).read_to_end(&mut rest).map_err(at(backup))?;
    if rest.is_empty() {
        return Ok(None);
    }
    let damaged = || RestoreError::Damaged("what stands behind its database is no key".to_owned());
    let line: KeyLine = serde_json::from_slice(&rest).map_err(|_| damaged())?;
    let key = STANDARD.decode(line.master_key_base64.as_bytes()).map_err(|_| damaged())?;
    Ok(Some(Zeroizing::new(key)))
}

fn put_key(directory: &Path, key: &[u8]) -> Result<PathBuf, RestoreError> {
    let path = directory.join(KEY_FILE);
    let mut file = create_private(&path)?;
    file.write_all(key).and_then(|()| file.sync_all()).map_err(at(&path))?;
    Ok(path)
}

fn create_private(path: &Path) -> Result<File, RestoreError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |cause| RestoreError::Path { path: path.clone(), cause }
}
