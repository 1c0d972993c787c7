//! This executable as the supervisor of programs: how it is called, and that it then is nothing else.
//! Supervision itself is the engine's.

use std::ffi::OsString;
use std::process::ExitCode;

use hookward_engine::destination::command::{Supervisor, supervise};

/// The subcommand, which is not for people and stands in no help.
const SUBCOMMAND: &str = "__supervise";

/// The running executable, whatever stands in its place on disk by now.
pub(crate) fn this_executable() -> Supervisor {
    Supervisor { program: "/proc/self/exe".into(), arguments: vec![SUBCOMMAND.into()] }
}

/// The whole life of a supervisor, if that is what the process was started as. Reads no configuration, starts no runtime.
pub(crate) fn run(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let is_supervisor = arguments.nth(1).is_some_and(|first| first == SUBCOMMAND);
    is_supervisor.then(|| supervise::main(&[SUBCOMMAND], arguments))
}
