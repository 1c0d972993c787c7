//! Holds what the library may not know: the clock, randomness, async, I/O, HTTP servers and logging stay out of its dependency tree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

// `rand_core` may be there: traits alone, by way of P-256, and no source of anything.
const FORBIDDEN: [&str; 25] = [
    "async-std",
    "axum",
    "chrono",
    "fastrand",
    "futures",
    "futures-core",
    "getrandom",
    "http",
    "http-body",
    "hyper",
    "jiff",
    "log",
    "mio",
    "openssl",
    "rand",
    "reqwest",
    "ring",
    "rsa",
    "smol",
    "socket2",
    "time",
    "tokio",
    "tower",
    "tracing",
    "uuid",
];

#[test]
fn the_dependency_tree_has_no_clock_chance_async_io_server_or_log() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "hookward", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}", "--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains("hookward") && names.contains("hmac"), "{tree}");
    let found: Vec<&&str> = FORBIDDEN.iter().filter(|name| names.contains(**name)).collect();
    assert!(found.is_empty(), "the library depends on {found:?}");
}

/// The one module that serves, behind its feature; its clock is the default of one that is handed in.
const SERVES: [&str; 2] = ["axum", "axum.rs"];

#[test]
fn the_sources_use_nothing_of_the_world() {
    for path in sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))) {
        let text = std::fs::read_to_string(&path).unwrap();
        for forbidden in [
            "std::fs",
            "std::io",
            "std::net",
            "std::env",
            "std::thread",
            "std::process",
            "SystemTime",
            "Instant::",
            "println!",
        ] {
            assert!(!text.contains(forbidden), "{} uses {forbidden}", path.display());
        }
    }
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let looked_at = entries.filter(|path| !SERVES.iter().any(|name| path.ends_with(name)));
    looked_at.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}
