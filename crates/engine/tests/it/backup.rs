//! Backups: taken while the engine works, and put in place only when every byte of them is right.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hookward_engine::Declared;
use hookward_engine::backup::{self, KEY_FILE, RestoreError};
use hookward_engine::model::{Principal, Verifier};
use hookward_engine::store::AuditLog as _;
use hookward_engine::store::sqlite::{self, DATABASE_FILE};

use crate::ORG;
use crate::support::*;

/// A rig with so many events, and its backup as a file's bytes.
async fn backed_up(events: usize) -> (Rig, Vec<u8>) {
    let rig = Rig::new(Declared { sources: vec![github()], destinations: vec![], ..Declared::default() }).await;
    for n in 0..events {
        rig.send(push(SECRET, &format!("d-{n}"), &format!("{{\"n\":{n}}}"))).await;
    }
    let bytes = take(&rig).await;
    (rig, bytes)
}

async fn take(rig: &Rig) -> Vec<u8> {
    let mut backup = rig.engine.backup(&Principal::system(ORG)).await.unwrap();
    let mut bytes = std::mem::take(&mut backup.head);
    backup.database.read_to_end(&mut bytes).unwrap();
    bytes
}

/// The backup as a file, and the place to restore it to, which is not there yet.
fn placed(bytes: &[u8]) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backup");
    fs::write(&file, bytes).unwrap();
    let data = dir.path().join("data");
    (dir, file, data)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_there_comes_back_and_the_log_says_so() {
    let (rig, bytes) = backed_up(30).await;
    assert_eq!(rig.audit().await[0], "backup.create");
    assert!(!names(rig.dir.path()).iter().any(|name| name.starts_with("backup-")));
    let (_dir, file, data) = placed(&bytes);
    let restored = backup::restore(&file, &data).unwrap();
    assert_eq!(names(&data), [DATABASE_FILE]);
    assert_eq!(fs::metadata(data.join(DATABASE_FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(restored.key_file, None);
    assert_eq!(restored.manifest.key_ids.len(), 1, "{:?}", restored.manifest.key_ids);
    let head = restored.manifest.audit_head.parse().unwrap();
    let checked = sqlite::check_audit(&data, Verifier::whole().against(head)).unwrap().unwrap();
    assert_eq!((checked.rows, checked.head), (restored.audit_rows, head));
    let store = sqlite::open(&data).unwrap();
    // The backup itself is the last thing that its log tells.
    assert_eq!(store.audit(ORG, ALL).await.unwrap().items[0].entry.action, "backup.create");
    assert_eq!(store.audit_head().await.unwrap(), head);
}

#[tokio::test]
async fn the_master_key_is_in_it_only_when_it_was_added() {
    let (rig, mut bytes) = backed_up(1).await;
    let key = fs::read(rig.dir.path().join("master.key")).unwrap();
    assert!(!bytes.windows(key.len()).any(|window| window == key));
    bytes.extend_from_slice(&backup::key_line(&key));
    let (_dir, file, data) = placed(&bytes);
    let restored = backup::restore(&file, &data).unwrap();
    let path = data.join(KEY_FILE);
    assert_eq!(restored.key_file.as_deref(), Some(path.as_path()));
    assert_eq!(fs::read(&path).unwrap(), key);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_directory_with_anything_in_it_is_left_alone() {
    let (_rig, bytes) = backed_up(1).await;
    let (_dir, file, data) = placed(&bytes);
    fs::create_dir(&data).unwrap();
    fs::write(data.join("something"), "").unwrap();
    let error = backup::restore(&file, &data).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
    assert_eq!(names(&data), ["something"]);
}

#[tokio::test]
async fn a_damaged_backup_is_refused_and_leaves_nothing() {
    let (_rig, bytes) = backed_up(3).await;
    let manifest = bytes.iter().position(|byte| *byte == b'{').unwrap();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut damaged = vec![vec![], b"hookward-backup 2\n{}\n".to_vec(), bytes[..bytes.len() - 1].to_vec()];
    damaged.push([bytes.as_slice(), b"x"].concat());
    // All of what it says of itself, and some places of its database, the last byte among them.
    damaged.extend((0..manifest).map(flipped));
    damaged.extend((manifest + 600..bytes.len()).step_by(bytes.len() / 16).map(flipped));
    damaged.push(flipped(bytes.len() - 1));
    for bytes in damaged {
        let (dir, file, data) = placed(&bytes);
        let error = backup::restore(&file, &data).unwrap_err();
        assert!(matches!(error, RestoreError::Damaged(_)), "{error}");
        assert_eq!(names(dir.path()), ["backup"]);
    }
}

#[tokio::test]
async fn a_manifest_that_tells_of_another_database_is_refused() {
    let (rig, bytes) = backed_up(1).await;
    let head = rig.store.audit_head().await.unwrap().to_string();
    let text = String::from_utf8_lossy(&bytes[..2048]).into_owned();
    assert!(text.contains(&head));
    let other = head.replace(|letter: char| letter.is_ascii_hexdigit() && letter != '0', "0");
    let at = text.find(&head).unwrap();
    let mut forged = bytes.clone();
    forged[at + 2..at + head.len()].copy_from_slice(&other.as_bytes()[2..]);
    let (_dir, file, data) = placed(&forged);
    let error = backup::restore(&file, &data).unwrap_err().to_string();
    assert_eq!(error, "this is not a backup that can be restored: its database is not the one that it describes");
    assert!(!data.exists());
}

#[tokio::test]
async fn a_copy_that_a_killed_process_left_is_removed_at_the_next_start() {
    let (rig, _) = backed_up(1).await;
    let left = rig.dir.path().join("backup-Xy12ab");
    fs::write(&left, "half a database").unwrap();
    let rig = rig.restart().await;
    assert!(!left.exists());
    assert_eq!(rig.event_counts().await, (1, 0));
}
