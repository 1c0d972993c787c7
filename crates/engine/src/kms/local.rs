//! The KMS that is a file: 32 random bytes that only their owner can read.
//! Owns that file's making and its checks. Whether a missing file is a first start or a loss is for the caller to know.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use zeroize::Zeroizing;

use super::master::{KEY_LEN, MasterKey, is_random};
use super::{Kms, KmsError};
use crate::clock::Entropy;

/// Why the key file cannot be used. Each names the path and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LocalKmsError {
    /// There is no such file, and one must not be made.
    #[error("the key file `{}` is missing; restore it from a backup, or copy it from another node of the same database: without it no \
         stored secret can be read. If it is lost for good, put 32 new random bytes there (mode 0600) and enter the secrets \
         again that `hookward kms status` lists", path.display())]
    Missing {
        /// The key file.
        path: PathBuf,
    },
    /// Others than its owner may use it.
    #[error("the key file `{}` is open to others (mode {mode:04o}); run `chmod 600` on it", path.display())]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a key.
    #[error("the key file `{}` is not a key ({problem}); restore it from a backup", path.display())]
    Malformed {
        /// The key file.
        path: PathBuf,
        /// What it is instead.
        problem: String,
    },
    /// The operating system refused.
    #[error("cannot {action} the key file `{}`: {source}", path.display())]
    Io {
        /// The key file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A master key from a local file.
#[derive(Debug)]
pub struct LocalKms {
    key: MasterKey,
}

impl LocalKms {
    /// Opens the key file, making it first if it is not there.
    ///
    /// # Errors
    ///
    /// [`LocalKmsError`] if it cannot be made, or is not a key that only its owner can read.
    pub fn open(key_file: &Path, entropy: Arc<dyn Entropy>) -> Result<Self, LocalKmsError> {
        match Self::open_existing(key_file, Arc::clone(&entropy)) {
            Err(LocalKmsError::Missing { .. }) => {
                create(key_file, &*entropy)?;
                Self::open_existing(key_file, entropy)
            }
            result => result,
        }
    }

    /// Opens the key file, which has to be there.
    ///
    /// # Errors
    ///
    /// [`LocalKmsError`] if it is missing, or is not a key that only its owner can read.
    pub fn open_existing(key_file: &Path, entropy: Arc<dyn Entropy>) -> Result<Self, LocalKmsError> {
        let key = read(key_file)?;
        Ok(Self { key: MasterKey::new("local", &key, entropy) })
    }
}

#[async_trait]
impl Kms for LocalKms {
    fn key_id(&self) -> &str {
        self.key.id()
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        Ok(self.key.wrap(data_key, aad))
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        self.key.unwrap(key_id, wrapped, aad)
    }
}

/// The KMS of a key file that is missing where there was one: nothing opens and nothing is sealed until the file is back,
/// which is noticed at its next use.
#[derive(Debug)]
pub struct MissingKms {
    key_file: PathBuf,
    entropy: Arc<dyn Entropy>,
    found: OnceLock<LocalKms>,
}

impl MissingKms {
    /// Waits for `key_file`.
    pub fn new(key_file: &Path, entropy: Arc<dyn Entropy>) -> Self {
        Self { key_file: key_file.to_owned(), entropy, found: OnceLock::new() }
    }

    fn found(&self) -> Result<&LocalKms, KmsError> {
        if self.found.get().is_none() {
            let kms = LocalKms::open_existing(&self.key_file, Arc::clone(&self.entropy));
            let kms = kms.map_err(|error| KmsError::Unavailable(error.to_string()))?;
            // Another caller may have been first: its key is from the same file.
            let _ = self.found.set(kms);
        }
        Ok(self.found.get().expect("it was put there"))
    }
}

#[async_trait]
impl Kms for MissingKms {
    fn key_id(&self) -> &str {
        self.found.get().map_or("local:missing", LocalKms::key_id)
    }

    /// Nobody knows yet whose key will come.
    fn holds(&self, key_id: &str) -> bool {
        match self.found.get() {
            Some(kms) => kms.holds(key_id),
            None => key_id.starts_with("local:"),
        }
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.found()?.wrap(data_key, aad).await
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        self.found()?.unwrap(key_id, wrapped, aad).await
    }
}

fn read(path: &Path) -> Result<Zeroizing<[u8; KEY_LEN]>, LocalKmsError> {
    let failed = |source| io_error(path, "read", source);
    let malformed = |problem: String| LocalKmsError::Malformed { path: path.to_owned(), problem };
    // Looked at before it is opened, since opening a named pipe would wait for ever.
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => LocalKmsError::Missing { path: path.to_owned() },
        _ => failed(error),
    })?;
    if !metadata.is_file() {
        return Err(malformed("it is not a regular file".to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(LocalKmsError::Exposed { path: path.to_owned(), mode });
    }
    if metadata.len() != KEY_LEN as u64 {
        return Err(malformed(format!("{} bytes instead of {KEY_LEN}", metadata.len())));
    }
    let mut key = Zeroizing::new([0; KEY_LEN]);
    (&file).read_exact(key.as_mut()).map_err(failed)?;
    if !is_random(&key) {
        return Err(malformed("every byte of it is the same".to_owned()));
    }
    Ok(key)
}

/// Makes the key file. It gets its name only when it is whole and on the disk, and only if the name is still free, so that
/// neither a crash nor a second process can leave half a key or replace one.
fn create(path: &Path, entropy: &dyn Entropy) -> Result<(), LocalKmsError> {
    let mut suffix = [0; 8];
    entropy.fill(&mut suffix);
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", hex::encode(suffix)));
    let draft = PathBuf::from(draft);
    let linked = write(&draft, entropy).and_then(|()| match fs::hard_link(&draft, path) {
        // Another process was first: its key is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    });
    let removed = match fs::remove_file(&draft) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    };
    linked.and(removed).and_then(|()| sync_directory(path)).map_err(|source| io_error(path, "create", source))
}

fn write(draft: &Path, entropy: &dyn Entropy) -> io::Result<()> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    entropy.fill(key.as_mut());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    file.write_all(key.as_ref())?;
    file.sync_all()
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn io_error(path: &Path, action: &'static str, source: io::Error) -> LocalKmsError {
    LocalKmsError::Io { path: path.to_owned(), action, source }
}
