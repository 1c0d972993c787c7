//! `[node]`: what this process is among those that share a database. Owns what a name may be.

use std::time::Duration;

use toml::Spanned;

use super::values::Lapse;
use super::{Check, file};

/// The longest name, in characters.
const NAME_MAX: usize = 64;

/// For how long a node may go on that hears nothing of the others: longer than a database is slow, shorter than anybody waits
/// for a revocation.
const VALIDITY: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(300);

/// What this process is among others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is called; as the machine is when absent.
    pub name: Option<String>,
    /// For how long it goes on without hearing what is declared and which secrets are live.
    pub validity: Duration,
}

/// Whether a node may have this name.
///
/// # Errors
///
/// What is wrong with it, in a sentence.
pub fn check_node_name(name: &str) -> Result<(), String> {
    let is_name = (1..=NAME_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_name.then_some(()).ok_or_else(|| format!("a node's name is 1 to {NAME_MAX} characters"))
}

/// Reads `[node]`.
pub(super) fn node(check: &mut Check<'_>, file: &file::File) -> Node {
    let file::Node { name, validity } = &file.node;
    if let Some(name) = name
        && let Err(problem) = check_node_name(name.get_ref())
    {
        check.problem(name, problem);
    }
    Node { name: name.as_ref().map(|name| name.get_ref().clone()), validity: within(check, validity) }
}

fn within(check: &mut Check<'_>, validity: &Spanned<Lapse>) -> Duration {
    let lapse = validity.get_ref().0;
    if !VALIDITY.contains(&lapse) {
        check.problem(validity, "`validity` is 2s to 5m");
    }
    lapse
}
