//! The process's environment. The one place that reads it; everything else is handed what it needs.

/// The variable `name`, when it is set to text.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
