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

/// What stands behind a feature: files below this path may say these words nevertheless. RSA's padding is random, and AWS-LC
/// draws it itself.
const FEATURES: &[(&str, &[&str])] = &[
    ("crates/hookward/src/lib.rs", &["axum", "http"]),
    ("crates/hookward/src/http.rs", &["http"]),
    ("crates/hookward/src/rsa.rs", &["rand"]),
    ("crates/hookward/src/axum", &["SystemTime", "async", "await", "axum", "http"]),
];

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
            "axum-core",
            "bytes",
            "chrono",
            "getrandom",
            "http",
            "http-body-util",
            "hyper",
            "jiff",
            "log",
            "rand",
            "reqwest",
            "rusqlite",
            "tokio",
            "tower-layer",
            "tower-service",
            "tracing",
            "uuid",
        ],
    ),
    ("crates/engine/Cargo.toml", &["axum", "clap", "comfy-table", "hookward-gateway"]),
    ("crates/gateway/Cargo.toml", &["rusqlite"]),
];

/// What a feature that is off by default may bring, marked `optional = true`.
const OPTIONAL: &[(&str, &[&str])] = &[(
    "crates/hookward/Cargo.toml",
    &["axum-core", "bytes", "http", "http-body-util", "tower-layer", "tower-service"],
)];

/// Packages that nothing may depend on, and why is in DESIGN's terms: end of life, unsafe history, or a second of something.
const NOWHERE: &[&str] = &["rsa", "ring", "openssl", "native-tls", "openidconnect"];

pub(super) fn crates_know_only_what_they_may(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for boundary in BOUNDARIES {
        for file in tree.matching(boundary.part, ".rs") {
            // Tests stand last in a file and may know more.
            let code = code_only(&file.text);
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            let excepted = |word: &str| of(FEATURES, |path| file.path.starts_with(path)).any(|known| known == word);
            for word in boundary.words.iter().filter(|word| says(code, word) && !excepted(word)) {
                complaints.push(format!("{}: `{}` may not know `{word}`", file.path, boundary.part));
            }
        }
    }
    complaints
}

pub(super) fn crates_depend_only_on_what_they_may(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for file in tree.matching("", "Cargo.toml") {
        let optional: Vec<&str> = of(OPTIONAL, |path| file.path == path).collect();
        let dependencies = section(&file.text, "[dependencies]");
        for package in of(DEPENDENCIES, |path| file.path == path) {
            let allowed = |line: &&str| optional.contains(&package) && line.contains("optional = true");
            if dependencies.iter().any(|line| package_of(line) == Some(package) && !allowed(line)) {
                complaints.push(format!("{}: may not depend on `{package}`", file.path));
            }
        }
        let features = section(&file.text, "[features]");
        let anywhere = file.text.lines().filter(|line| !features.contains(line)).filter_map(package_of);
        let anywhere: Vec<&str> = anywhere.collect();
        for package in NOWHERE.iter().filter(|package| anywhere.contains(*package)) {
            complaints.push(format!("{}: nothing may depend on `{package}`", file.path));
        }
    }
    complaints
}

/// What a table says of the paths that fit.
fn of(table: &'static [(&str, &[&str])], fits: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
    table.iter().filter(move |(path, _)| fits(path)).flat_map(|(_, names)| names.iter().copied())
}

/// The lines of one section of a manifest.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let lines = manifest.lines().skip_while(|line| line.trim() != name).skip(1);
    lines.take_while(|line| !line.starts_with('[')).collect()
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

    #[test]
    fn what_a_feature_brings_is_optional_and_stays_behind_it() {
        let judge =
            |manifest| crates_depend_only_on_what_they_may(&Tree::of(&[("crates/hookward/Cargo.toml", manifest)]));
        assert_eq!(judge("[dependencies]\nhttp = { workspace = true, optional = true }\n").len(), 0);
        assert_eq!(judge("[dependencies]\nhttp.workspace = true\n").len(), 1);
        assert_eq!(judge("[dependencies]\ntokio = { workspace = true, optional = true }\n").len(), 1);
        let tree = Tree::of(&[
            ("crates/hookward/src/axum/layer.rs", "async fn f() { http::x(); tokio::y(); }\n"),
            ("crates/hookward/src/http.rs", "async fn f() { http::x(); }\n"),
            ("crates/hookward/src/verify.rs", "use http::HeaderMap;\n"),
        ]);
        assert_eq!(crates_know_only_what_they_may(&tree).len(), 3);
    }
}
