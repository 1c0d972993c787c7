//! Owns the schemes that come with the library: every file in `schemes/`, embedded as its text in the order of its name. Each is
//! read once, when it is first asked for.

use std::sync::OnceLock;

use crate::scheme::Scheme;

struct Entry {
    name: &'static str,
    source: &'static str,
    scheme: OnceLock<Scheme>,
}

impl Entry {
    const fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, source, scheme: OnceLock::new() }
    }
}

// The table `ENTRIES`, which the build script makes.
include!(concat!(env!("OUT_DIR"), "/catalog.rs"));

/// The names of all schemes, in their order. Reads no scheme.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

/// The scheme called `name`.
pub fn find(name: &str) -> Option<&'static Scheme> {
    let entry = entry(name)?;
    Some(entry.scheme.get_or_init(|| Scheme::from_toml(entry.source).expect("every embedded scheme is read by a test")))
}

/// Whether there is a scheme called `name`. Reads no scheme.
pub fn has(name: &str) -> bool {
    entry(name).is_some()
}

/// The file of the scheme called `name`, to read or to start a private scheme from.
pub fn source(name: &str) -> Option<&'static str> {
    entry(name).map(|entry| entry.source)
}

fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.binary_search_by(|entry| entry.name.cmp(name)).ok().map(|at| &ENTRIES[at])
}
