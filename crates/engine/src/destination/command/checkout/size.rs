//! How much a checkout takes, counted file by file.

use std::path::{Path, PathBuf};

/// What is counted for a file or directory besides its content: many empty ones take room, too.
const ENTRY_BYTES: u64 = 512;

/// The bytes of everything below `directory`.
pub(super) async fn of(directory: &Path) -> u64 {
    let directory = directory.to_owned();
    tokio::task::spawn_blocking(move || measure(directory)).await.unwrap_or(u64::MAX)
}

/// What goes away meanwhile is not counted.
fn measure(directory: PathBuf) -> u64 {
    let (mut total, mut ahead) = (0_u64, vec![directory]);
    while let Some(directory) = ahead.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            total = total.saturating_add(ENTRY_BYTES);
            if metadata.is_dir() {
                ahead.push(entry.path());
            } else {
                total = total.saturating_add(metadata.len());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_and_entries_are_counted_and_links_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("a/b")).unwrap();
        std::fs::write(directory.path().join("a/b/c"), [0; 1000]).unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("d")).unwrap();
        assert_eq!(of(directory.path()).await, 1000 + 1 + 4 * ENTRY_BYTES);
        assert_eq!(of(Path::new("/no/such/directory")).await, 0);
    }
}
