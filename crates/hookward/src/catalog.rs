//! Owns the schemes that come with the library, embedded as their files' text. Each is read once, when it is first asked for.

use std::sync::OnceLock;

use crate::scheme::Scheme;

struct Entry {
    name: &'static str,
    source: &'static str,
    scheme: OnceLock<Scheme>,
}

/// One line for each file in `schemes/`; a test holds the two together.
macro_rules! entries {
    ($($name:literal),* $(,)?) => {
        static ENTRIES: [Entry; [$($name),*].len()] = [
            $(Entry { name: $name, source: include_str!(concat!("../schemes/", $name, ".toml")), scheme: OnceLock::new() }),*
        ];
    };
}

entries! {
    "github",
    "github-sha1",
    "gitlab",
    "gitlab-token",
    "standard-webhooks",
    "standard-webhooks-ed25519",
    "svix",
    "stripe",
    "slack",
    "shopify",
    "twilio",
    "meta",
    "x",
    "zoom",
    "okta",
    "dropbox",
    "asana",
    "microsoft-graph",
    "qlens",
    "qualifio",
    "qflow",
    "bearer",
    "basic",
}

/// The names of all schemes, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

/// The scheme called `name`.
pub fn find(name: &str) -> Option<&'static Scheme> {
    let entry = entry(name)?;
    Some(entry.scheme.get_or_init(|| Scheme::from_toml(entry.source).expect("every embedded scheme is read by a test")))
}

/// The file of the scheme called `name`, to read or to start a private scheme from.
pub fn source(name: &str) -> Option<&'static str> {
    entry(name).map(|entry| entry.source)
}

fn entry(name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name == name)
}
