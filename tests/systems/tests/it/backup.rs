//! A backup taken under load, put in place elsewhere: everything answered before it began is there, and known.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use systems::github::push;
use systems::{Hookward, Setup, database, world};

const SECRET: &str = "backup-test-secret";
const CONFIG: &str = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:BACKUP_SECRET\"\n";

/// Requests that are answered before the backup is asked for, at least.
const BEFORE: usize = 300;

fn send(server: &Hookward, number: u32) -> u16 {
    let body = format!("{{\"number\":{number},\"filler\":\"{}\"}}", "x".repeat(4096));
    let request = push("/in/github", SECRET.as_bytes(), &format!("d-{number}"), body.as_bytes());
    server.public(&request).unwrap().status
}

/// What happened while a backup was taken.
struct Taken {
    /// Answered before it was asked for.
    before: BTreeSet<u32>,
    /// Answered while it was taken.
    during: usize,
}

fn take_under_load(server: &Hookward, file: &str) -> Taken {
    let (next, stop) = (AtomicU32::new(1), AtomicBool::new(false));
    let accepted = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(send(server, number), 202, "a request was refused");
                    accepted.lock().unwrap().insert(number);
                }
            });
        }
        let enough = world::until(Duration::from_secs(60), || accepted.lock().unwrap().len() >= BEFORE);
        let before = accepted.lock().unwrap().clone();
        let told = server.cli_ok(&["backup", file], b"");
        let during = accepted.lock().unwrap().len() - before.len();
        stop.store(true, Ordering::Relaxed);
        assert!(enough, "only {} requests were answered", before.len());
        assert!(told.unwrap().contains(" bytes"));
        Taken { before, during }
    })
}

#[test]
fn a_backup_under_load_has_all_that_was_answered_before() {
    if !database::has_files("a backup under load") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let setup = Setup::new(directory.path(), CONFIG).unwrap().env("BACKUP_SECRET", SECRET);
    let server = setup.start().unwrap();
    let file = directory.path().join("taken").display().to_string();
    let taken = take_under_load(&server, &file);
    assert!(taken.during > 0, "nothing was answered while the backup was taken");
    let head = server.cli_ok(&["audit", "head"], b"").unwrap();
    let original = server.cli_ok(&["audit", "verify", &setup.data().display().to_string(), "--head", head.trim()], b"");
    assert!(original.unwrap().contains("none changed"));

    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let restored = Setup::new(&elsewhere, CONFIG).unwrap().env("BACKUP_SECRET", SECRET);
    let data = restored.data().display().to_string();
    server.cli_ok(&["restore", &file, "--data", &data], b"").unwrap();
    std::fs::copy(setup.data().join("master.key"), restored.data().join("master.key")).unwrap();
    assert!(server.cli_ok(&["audit", "verify", &data], b"").unwrap().contains("none changed"));
    server.kill().unwrap();

    let server = restored.start().unwrap();
    let events = server.list("/api/v1/events").unwrap();
    let kept: BTreeSet<u32> =
        events.iter().filter_map(|event| event["delivery_id"].as_str()?.strip_prefix("d-")?.parse().ok()).collect();
    let lost: Vec<_> = taken.before.difference(&kept).collect();
    assert!(lost.is_empty(), "answered before the backup and not in it: {lost:?}");
    // A repeat of what is in it is one, still proven by the secret that came back sealed.
    for number in taken.before.iter().step_by(29) {
        assert_eq!(send(&server, *number), 200);
    }
    assert_eq!(send(&server, 1_000_000), 202);
    assert!(server.cli_ok(&["audit", "verify", &data], b"").unwrap().contains("none changed"));
}
