//! A backup by the command line, put in place for another gateway.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use systems::database;

use crate::support::{Gateway, KEY, SOURCES};

#[tokio::test]
async fn a_backup_is_taken_and_restored() {
    if !database::has_files("a backup") {
        return;
    }
    let gateway = Gateway::start(SOURCES).await;
    assert_eq!(gateway.push("d-1", b"{\"n\":1}").await.status, 202);
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name).display().to_string();
    let told = gateway.ok(&["backup", &path("b")], b"").await;
    let bytes = fs::read(path("b")).unwrap();
    assert_eq!(told, format!("{}: {} bytes\n", path("b"), bytes.len()));
    assert_eq!(fs::metadata(path("b")).unwrap().permissions().mode() & 0o777, 0o600);
    let key_file = gateway.directory.path().join("data/master.key");
    let key = fs::read(&key_file).unwrap();
    assert!(!bytes.windows(key.len()).any(|window| window == key));

    let without = gateway.ok(&["restore", &path("b"), "--data", &path("without")], b"").await;
    assert!(without.contains("put that key in place before the start"), "{without}");
    let again = gateway.run(&["restore", &path("b"), "--data", &path("without")], b"").await;
    assert!(again.status == 2 && again.stderr.contains("is not empty"), "{again:?}");

    let key_file = key_file.display().to_string();
    gateway.ok(&["backup", &path("k"), "--with-key", &key_file], b"").await;
    let with = gateway.ok(&["restore", &path("k"), "--data", &path("data")], b"").await;
    assert!(with.contains("the master key is in"), "{with}");
    let verified = gateway.ok(&["audit", "verify", &path("data")], b"").await;
    assert!(verified.contains("none changed"), "{verified}");

    // The restored data under a gateway of its own: the same request is known, its secret still proves it.
    let Gateway { running, directory } = gateway;
    assert!(running.stop().await);
    fs::remove_dir_all(directory.path().join("data")).unwrap();
    fs::rename(path("data"), directory.path().join("data")).unwrap();
    let restored = Gateway::start_in(directory, SOURCES).await;
    assert_eq!(restored.push("d-1", b"{\"n\":1}").await.status, 200);
    assert_eq!(restored.push("d-2", b"{\"n\":2}").await.status, 202);
}

#[tokio::test]
async fn a_backup_that_cannot_be_taken_leaves_nothing() {
    if !database::has_files("a refused backup") {
        return;
    }
    let gateway = Gateway::start(SOURCES).await;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("b").display().to_string();
    let (reader, _) = gateway.key("reader", &["read", "export"]).await;
    let refused = gateway.run_as(&reader, &["backup", &path], b"").await;
    assert_eq!(refused.status, 4, "{refused:?}");
    let absent = gateway.run_as(KEY, &["backup", &path, "--with-key", "/nonexistent"], b"").await;
    assert_eq!(absent.status, 2, "{absent:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    fs::write(&path, "no backup").unwrap();
    let restored = gateway.run(&["restore", &path, "--data", &format!("{path}-data")], b"").await;
    assert!(restored.status == 5 && restored.stderr.contains("does not begin like one"), "{restored:?}");
}
