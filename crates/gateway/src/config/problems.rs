//! What is wrong with a configuration, and where: file, line, column, and the nearest name that would be right.
//! Only words and positions; what is right is decided by the modules that check.

use std::fmt;

/// Everything that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    file: String,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The same place, in bytes.
    pub(super) offset: usize,
    /// Whether it is only wrong beside something that is there already.
    pub(super) is_conflict: bool,
    /// One sentence.
    pub message: String,
}

impl Problem {
    /// A problem at byte `offset` of `text`.
    pub(super) fn at(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            offset,
            is_conflict: false,
            message: message.into(),
        }
    }
}

impl ConfigError {
    pub(super) fn new(file: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Self { file: file.to_owned(), problems }
    }

    pub(super) fn unreadable(file: &str, error: &std::io::Error) -> Self {
        let message = format!("cannot be read: {error}");
        Self {
            file: file.to_owned(),
            problems: vec![Problem { line: 0, column: 0, offset: 0, is_conflict: false, message }],
        }
    }

    /// All of them, in the file's order.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, column, message, .. }) in self.problems.iter().enumerate() {
            let end = if index + 1 < self.problems.len() { "\n" } else { "" };
            match line {
                0 => write!(f, "{}: {message}{end}", self.file)?,
                _ => write!(f, "{}:{line}:{column}: {message}{end}", self.file)?,
            }
        }
        Ok(())
    }
}

/// What the TOML reader complains of, in our words.
pub(super) fn from_toml(text: &str, error: &toml::de::Error) -> Problem {
    let offset = error.span().map_or(0, |span| span.start);
    let message = error.message().trim();
    let message = match message.strip_prefix("missing field ") {
        Some(key) => format!("missing key {key}"),
        None => unknown_key(text, offset, message).unwrap_or_else(|| message.replace('\n', ": ")),
    };
    Problem::at(text, offset, message)
}

/// Rewrites "unknown field `pth`, expected one of `name`, `path`".
fn unknown_key(text: &str, offset: usize, message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, expected) = rest.split_once('`')?;
    let known = expected.split('`').skip(1).step_by(2);
    Some(format!("unknown key `{key}` in {}{}", section(text, offset), nearest(key, known)))
}

/// The table that `offset` lies in, as its header is written.
fn section(text: &str, offset: usize) -> &str {
    let before = text.get(..offset).unwrap_or(text);
    let headers = before.lines().map(str::trim).filter(|line| line.starts_with('['));
    // The line that the offset lies on counts only up to it, so an unfinished header is not taken for one.
    headers.rev().find_map(|line| Some(&line[..=line.rfind(']')?])).unwrap_or("the top level")
}

/// "; did you mean `path`?" when a known name is near, else the names there are, else nothing.
pub(super) fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let scored = known.iter().map(|name| (strsim::damerau_levenshtein(wanted, name), *name));
    match scored.min() {
        Some((distance, name)) if distance <= (wanted.chars().count() / 3).max(2) => {
            format!("; did you mean `{name}`?")
        }
        Some(_) if known.len() <= 12 => format!("; known are `{}`", known.join("`, `")),
        _ => String::new(),
    }
}
