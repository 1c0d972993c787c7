//! The step between the supervisor and a program: it arranges its own death with the supervisor, then becomes the
//! program. The safe half of what others do between fork and exec.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, dup2_stderr, getppid};

use super::Run;

/// The first argument of this step.
pub(super) const WORD: &str = "begin";

/// What stands for no limit.
const NO_LIMIT: &str = "-";

/// The arguments that make a process of `supervisor` become the program.
pub(super) fn arguments(supervisor: Pid, run: &Run) -> Vec<String> {
    let file_max = run.file_max.map_or_else(|| NO_LIMIT.to_owned(), |max| max.to_string());
    let mut arguments = vec![WORD.to_owned(), supervisor.to_string(), file_max];
    arguments.extend_from_slice(&run.argv);
    arguments
}

/// Becomes the program. Until then standard error is the supervisor's ear for why that failed; the program gets its
/// standard output for both.
pub(super) fn become_program(mut arguments: impl Iterator<Item = OsString>) -> io::Result<()> {
    // Closed by the kernel in the moment that the program begins, which tells the supervisor that it did.
    let mut ear = io::PipeWriter::from(io::stderr().as_fd().try_clone_to_owned()?);
    dup2_stderr(io::stdout())?;
    let result = prepare_and_exec(&mut arguments);
    ear.write_all(result.to_string().as_bytes())?;
    // The supervisor says the rest; nothing is to appear as the program's output.
    std::process::exit(1);
}

/// Returns only when it failed.
fn prepare_and_exec(arguments: &mut impl Iterator<Item = OsString>) -> io::Error {
    let supervisor = text(arguments.next());
    let file_max = text(arguments.next());
    let Some(program) = arguments.next() else { return io::Error::other("there is no program") };
    // What the supervisor does not hear, the program does.
    let prepared = SigSet::empty().thread_set_mask().and_then(|()| set_pdeathsig(Signal::SIGKILL));
    if let Err(error) = prepared {
        return error.into();
    }
    // Had it died before the line above, nobody would have told us.
    if getppid().to_string() != supervisor {
        return io::Error::other("the supervisor is gone");
    }
    if let Ok(max) = file_max.parse()
        && let Err(error) = setrlimit(Resource::RLIMIT_FSIZE, max, max)
    {
        return error.into();
    }
    Command::new(program).args(arguments).exec()
}

fn text(argument: Option<OsString>) -> String {
    argument.and_then(|argument| argument.into_string().ok()).unwrap_or_default()
}
