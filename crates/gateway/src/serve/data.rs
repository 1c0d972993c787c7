//! The gateway's own small files in the data directory: where it listens, and the API key of a first start.
//! The database and its directory are the store's, the master key is the KMS's.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookward::Secret;
use hookward_engine::clock::Entropy;
use serde::Serialize;
use zeroize::Zeroizing;

use super::StartError;
use crate::config::without_newline;

pub(super) const API_KEY_FILE: &str = "api-key";
pub(super) const MASTER_KEY_FILE: &str = "master.key";
pub(super) const CHECKOUTS_DIRECTORY: &str = "checkouts";
const ADDRESSES_FILE: &str = "addresses.json";

/// Makes `dir` for its owner only, if it is not there.
pub(super) fn prepare(dir: &Path) -> Result<(), StartError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|cause| StartError::Path { path: dir.to_owned(), cause })
}

/// The API key in `path`, made if it is not there.
pub(super) fn api_key(path: &Path, entropy: &dyn Entropy) -> Result<Secret, StartError> {
    let failed = |cause| StartError::Path { path: path.to_owned(), cause };
    let text = match File::open(path) {
        Ok(mut file) => {
            let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                tracing::warn!(
                    "the API key in `{}` could be read by others (mode {mode:04o}): not any more",
                    path.display()
                );
                file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
            }
            let mut text = Vec::new();
            file.read_to_end(&mut text).map_err(failed)?;
            without_newline(text)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make_api_key(path, entropy).map_err(failed)?,
        Err(error) => return Err(failed(error)),
    };
    Secret::new(text.to_vec())
        .map_err(|_| failed(std::io::Error::other("it is empty; remove it to have a new one made")))
}

fn make_api_key(path: &Path, entropy: &dyn Entropy) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let mut random = Zeroizing::new([0; 32]);
    entropy.fill(&mut *random);
    let text = Zeroizing::new(format!("hookward_{}", URL_SAFE_NO_PAD.encode(*random)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

#[derive(Serialize)]
struct Addresses {
    public: SocketAddr,
    admin: SocketAddr,
}

/// Says where the listeners are, all at once, for whoever started this process with port 0.
pub(super) fn write_addresses(dir: &Path, public: SocketAddr, admin: SocketAddr) -> Result<(), StartError> {
    let path = dir.join(ADDRESSES_FILE);
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(&Addresses { public, admin })?)?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|cause| StartError::Path { path: path.clone(), cause })
}
