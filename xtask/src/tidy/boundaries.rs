//! What each part of the product may not know: the table of ARCHITECTURE.md, held by looking at the code.

use super::Complaint;
use super::rust::{code_only, is_word};
use super::tree::Tree;

struct Boundary {
    /// Files below this path …
    part: &'static str,
    /// … may not say these words in code.
    words: &'static [&'static str],
}

const BOUNDARIES: &[Boundary] = &[
    Boundary {
        part: "crates/hookward/src/",
        words: &[
            "SystemTime",
            "Instant",
            "std::env",
            "std::fs",
            "std::net",
            "std::thread",
            "tokio",
            "hyper",
            "axum",
            "http",
            "tracing",
            "log",
            "getrandom",
            "rand",
            "rusqlite",
            "async",
            "await",
        ],
    },
    Boundary {
        part: "crates/engine/src/",
        words: &["axum", "clap", "comfy_table", "env::var", "env::var_os", "env::vars", "env::args"],
    },
    Boundary { part: "crates/engine/src/dedup.rs", words: PURE },
    Boundary { part: "crates/engine/src/breaker.rs", words: PURE },
    Boundary { part: "crates/engine/src/fanout.rs", words: PURE },
    Boundary { part: "crates/engine/src/settle.rs", words: PURE },
    Boundary { part: "crates/engine/src/rate.rs", words: PURE },
    Boundary { part: "crates/engine/src/retry.rs", words: PURE },
    Boundary { part: "crates/engine/src/destination/", words: &["Store", "RetrySchedule", "Settlement"] },
    Boundary { part: "crates/engine/src/store/", words: &["hyper", "http", "StatusCode", "Refusal", "Scheme"] },
    Boundary { part: "crates/gateway/src/", words: &["rusqlite", "SqliteConnection"] },
];

/// Values in, values out.
const PURE: &[&str] = &["async", "await", "Store", "Clock", "Entropy"];

/// Packages that may never be in a manifest's `[dependencies]`.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    (
        "crates/hookward/Cargo.toml",
        &[
            "async-trait",
            "axum",
            "chrono",
            "getrandom",
            "http",
            "hyper",
            "jiff",
            "log",
            "rand",
            "reqwest",
            "rusqlite",
            "tokio",
            "tracing",
            "uuid",
        ],
    ),
    ("crates/engine/Cargo.toml", &["axum", "clap", "comfy-table", "hookward-gateway"]),
    ("crates/gateway/Cargo.toml", &["rusqlite"]),
];

/// Packages that nothing may depend on, and why is in DESIGN's terms: end of life, unsafe history, or a second of something.
const NOWHERE: &[&str] = &["rsa", "ring", "openssl", "native-tls", "openidconnect"];

pub(super) fn crates_know_only_what_they_may(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for boundary in BOUNDARIES {
        for file in tree.matching(boundary.part, ".rs") {
            // Tests stand last in a file and may know more.
            let code = code_only(&file.text);
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            for word in boundary.words.iter().filter(|word| says(code, word)) {
                complaints.push(format!("{}: `{}` may not know `{word}`", file.path, boundary.part));
            }
        }
    }
    complaints
}

pub(super) fn crates_depend_only_on_what_they_may(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.matching("", "Cargo.toml") {
        let banned = DEPENDENCIES.iter().filter(|(path, _)| *path == file.path).flat_map(|(_, packages)| *packages);
        let dependencies = section(&file.text, "[dependencies]");
        for package in banned.filter(|package| dependencies.contains(*package)) {
            complaints.push(format!("{}: may not depend on `{package}`", file.path));
        }
        let anywhere: Vec<&str> = file.text.lines().filter_map(package_of).collect();
        for package in NOWHERE.iter().filter(|package| anywhere.contains(*package)) {
            complaints.push(format!("{}: nothing may depend on `{package}`", file.path));
        }
    }
    complaints
}

/// The packages that one section of a manifest names.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let lines = manifest.lines().skip_while(|line| line.trim() != name).skip(1);
    lines.take_while(|line| !line.starts_with('[')).filter_map(package_of).collect()
}

fn package_of(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(['=', '.', ' '])?;
    Some(name.trim()).filter(|name| !name.is_empty() && !name.starts_with('#'))
}

/// Whether the word stands in the code by itself.
fn says(code: &str, word: &str) -> bool {
    let bytes = code.as_bytes();
    code.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).is_some_and(|before| is_word(bytes[before]));
        !before && !bytes.get(at + word.len()).is_some_and(|&after| is_word(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_knows_too_much_is_found() {
        let tree = Tree::of(&[
            ("crates/hookward/src/verify.rs", "use std::time::SystemTime;\n"),
            ("crates/engine/src/retry.rs", "pub async fn wait() {}\n"),
            ("crates/gateway/src/api.rs", "use rusqlite::Connection;\n"),
        ]);
        assert_eq!(crates_know_only_what_they_may(&tree).len(), 3);
    }

    #[test]
    fn comments_strings_and_tests_may_say_anything() {
        let text = "// SystemTime\nlet a = \"tokio\"; // async\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(crates_know_only_what_they_may(&Tree::of(&[("crates/hookward/src/verify.rs", text)])).len(), 0);
    }

    #[test]
    fn a_forbidden_dependency_is_found_and_a_test_one_is_not() {
        let manifest = "[dependencies]\ntokio.workspace = true\n\n[dev-dependencies]\nhttp = \"1\"\nrsa = \"0.9\"\n";
        let complaints = crates_depend_only_on_what_they_may(&Tree::of(&[("crates/hookward/Cargo.toml", manifest)]));
        assert_eq!(complaints.len(), 2, "{complaints:?}");
    }
}
