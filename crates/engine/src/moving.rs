//! What is done with a store's data as a whole while nobody serves it: copied into another store, with its secrets under
//! the key that is used there, saved, put back. Owns the order of steps; rows are the store's, the file of a backup is
//! `backup`'s.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backup::{self, Backup, RestoreError, Restored};
use crate::clock::{Entropy, Timestamp};
use crate::kms::Kms;
use crate::rewrap::bring_under;
use crate::store::moving::{Watch, carry_over, finish, open_unfinished, snapshot};
use crate::store::sql::SqlStore;
use crate::store::{self, SealedValues as _};

pub use crate::rewrap::Rewrapped;
pub use crate::store::moving::{Address, Digested, Migrated, MoveError, Progress, Run, Stage, Verified};
pub use crate::store::status::{Rows, Status};

/// Is told of progress, and may end it.
pub type Watcher = Box<Watch<'static>>;

/// A copy to be made.
#[derive(Debug)]
pub struct Copy {
    /// Of what. Nobody serves it meanwhile.
    pub from: Address,
    /// Into what: something new or empty, or the same copy, unfinished.
    pub to: Address,
    /// What secrets come under; without one they stay under the key that they are under.
    pub kms: Option<Arc<dyn Kms>>,
    /// For what is sealed anew.
    pub entropy: Arc<dyn Entropy>,
    /// The time.
    pub now: Timestamp,
}

/// A copy that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// What was compared.
    pub verified: Verified,
    /// What became of secrets, if they were to come under another key.
    pub rewrapped: Option<Rewrapped>,
    /// How many sealed values each key wraps.
    pub sealed: Vec<(String, u64)>,
}

/// Copies a store: its rows, compared on both sides, then its secrets. Ended anywhere, the same call goes on with it, and
/// until it is through nobody can serve what there is of it.
///
/// # Errors
///
/// [`MoveError`], which says who has to look at what.
pub async fn copy(copy: Copy, mut watch: Watcher) -> Result<Moved, MoveError> {
    let Copy { from, to, kms, entropy, now } = copy;
    let origin = from.to_string();
    let (there, here) = (from.clone(), to.clone());
    let verified = aside(move || carry_over(&there, &here, &origin, &mut *watch)).await?;
    let store = opened(to.clone()).await?;
    let rewrapped = match kms {
        Some(kms) => Some(bring_under(&store, &kms, &entropy, now).await?),
        None => None,
    };
    let sealed = store.sealed_counts().await?;
    aside(move || {
        // Its threads are joined, and the data directory is free again.
        drop(store);
        finish(&from, &to)
    })
    .await?;
    Ok(Moved { verified, rewrapped, sealed })
}

/// Saves everything as it is now, which may be served meanwhile: see [`crate::engine::Engine::backup`]. Room for a copy is
/// taken in `directory` unless the data is in a file, which has it beside it.
///
/// # Errors
///
/// [`MoveError`].
pub async fn backup(from: Address, directory: PathBuf, now: Timestamp) -> Result<Backup, MoveError> {
    aside(move || {
        let copied = snapshot(&from, &directory)?;
        backup::describe(copied, now)
            .map_err(|error| MoveError::Database { database: from.to_string(), problem: error.to_string() })
    })
    .await
}

/// Puts a backup in place: as it is where data is in a file, and by a copy, compared like any, where it is in PostgreSQL.
/// Then room for it is taken beside the backup meanwhile.
///
/// # Errors
///
/// [`RestoreError`].
pub async fn restore(file: PathBuf, to: Address, mut watch: Watcher) -> Result<Restored, RestoreError> {
    let task = tokio::task::spawn_blocking(move || match &to {
        Address::Sqlite(directory) => backup::restore(&file, directory),
        Address::Postgres(_) => {
            let beside = file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
            let room = tempfile::Builder::new().prefix("restore-").tempdir_in(beside);
            let room = room.map_err(|cause| RestoreError::Path { path: beside.to_owned(), cause })?;
            let unpacked = room.path().join("data");
            let restored = backup::restore(&file, &unpacked)?;
            let from = Address::Sqlite(unpacked);
            store::moving::migrate(&from, Run::Really)?;
            carry_over(&from, &to, &format!("the backup {}", restored.manifest.database_sha256), &mut *watch)?;
            finish(&from, &to)?;
            Ok(Restored { key_file: None, ..restored })
        }
    });
    task.await.expect("putting back does not panic")
}

/// Brings the schema at `address` to the newest known, or says how.
///
/// # Errors
///
/// [`MoveError`]; then it is as it was.
pub async fn migrate(address: Address, run: Run) -> Result<Migrated, MoveError> {
    aside(move || store::moving::migrate(&address, run)).await
}

/// How the database at `address` stands, which may be served meanwhile.
///
/// # Errors
///
/// [`MoveError`] when it cannot be read.
pub async fn status(address: Address) -> Result<Status, MoveError> {
    aside(move || store::status::status(&address)).await
}

/// The store, which may be unfinished.
async fn opened(address: Address) -> Result<SqlStore, MoveError> {
    aside(move || open_unfinished(&address)).await
}

/// Off the threads that tasks run on.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, MoveError> + Send + 'static,
) -> Result<T, MoveError> {
    tokio::task::spawn_blocking(work).await.expect("what is done with a store does not panic")
}
