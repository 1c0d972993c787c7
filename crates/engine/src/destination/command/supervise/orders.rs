//! What the gateway and a supervisor tell each other: one line of JSON each.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What the gateway wants.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Order<'a> {
    /// Make this directory and `tmp` in it, for their owner only, before the next program; remove it after the last.
    Own(Cow<'a, Path>),
    /// Run a program; the one before has ended.
    Run(Cow<'a, Run>),
    /// Ask the program, and all that it started, to end.
    Terminate,
    /// End the program, and all that it started.
    Kill,
}

/// A program to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Run {
    /// The program and its arguments.
    pub(in super::super) argv: Vec<String>,
    /// Its working directory.
    pub(in super::super) directory: PathBuf,
    /// Its whole environment.
    pub(in super::super) environment: Vec<(String, String)>,
    /// What it reads.
    pub(in super::super) input: Input,
    /// The largest file that it may write, in bytes.
    pub(in super::super) file_max: Option<u64>,
}

/// What a program has on standard input.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Input {
    /// The event's body. Only one program of a supervisor has it.
    Body,
    /// Nothing.
    None,
}

/// What became of a program. Said when nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Reply {
    /// It ended with this status.
    Exited(i32),
    /// This signal ended it; 0 when the signal has no name.
    Signalled(i32),
    /// It never began, and why.
    NotStarted(String),
}
