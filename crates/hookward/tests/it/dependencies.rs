//! Holds what the library may not know: the clock, randomness, async, I/O, HTTP servers and logging stay out of its dependency tree.

use std::collections::BTreeSet;
use std::process::Command;

const FORBIDDEN: [&str; 26] = [
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
    "rand_core",
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

#[test]
fn the_sources_use_nothing_of_the_world() {
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let path = entry.unwrap().path();
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
