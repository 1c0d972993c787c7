//! A disk with no room: the sender is told to come again, nothing that was accepted is lost, and it passes.

use std::collections::BTreeSet;

use systems::github::push;
use systems::{Hookward, Setup, database};

const SECRET: &str = "disk-test-secret";
const CONFIG: &str = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:DISK_SECRET\"\n";

/// Sends a push of 64 KiB and gives status and `Retry-After`.
fn send(server: &Hookward, number: u32) -> (u16, Option<String>) {
    let body = format!("{number:08}{}", "x".repeat(64 * 1024));
    let request = push("/in/github", SECRET.as_bytes(), &format!("d-{number}"), body.as_bytes());
    let response = server.public(&request).unwrap();
    (response.status, response.header("retry-after").map(str::to_owned))
}

#[test]
fn a_full_disk_is_503_and_loses_nothing() {
    if !database::has_files("a full disk") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let roomy = Setup::new(directory.path(), CONFIG).unwrap().env("DISK_SECRET", SECRET);
    let server = roomy.clone().file_limit_kib(4 * 1024).start().unwrap();
    let mut accepted = BTreeSet::new();
    let mut refused = None;
    for number in 0..400 {
        match send(&server, number) {
            (202, _) => assert!(accepted.insert(format!("d-{number}"))),
            other => {
                refused = Some((number, other));
                break;
            }
        }
    }
    let (number, (status, retry_after)) = refused.expect("the disk never filled");
    assert_eq!(status, 503);
    assert!(retry_after.is_some_and(|seconds| seconds.parse::<u32>().is_ok()), "a 503 without Retry-After");
    assert!(!accepted.is_empty());

    server.kill().unwrap();
    let server = roomy.start().unwrap();
    assert_eq!(send(&server, number).0, 202, "the same request, sent again, is new");
    accepted.insert(format!("d-{number}"));
    let events = server.list("/api/v1/events").unwrap();
    let stored = events.iter().map(|event| event["delivery_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(stored.len(), accepted.len());
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), accepted);
}

#[test]
fn a_data_directory_that_cannot_be_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path(), CONFIG).unwrap().env("DISK_SECRET", SECRET);
    std::fs::write(setup.data(), "a file where a directory should be").unwrap();
    let problem = setup.start().expect_err("it started on a file").to_string();
    assert!(problem.contains(&setup.data().display().to_string()), "{problem}");
}
