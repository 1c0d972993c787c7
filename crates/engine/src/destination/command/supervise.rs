//! The supervisor: a process of its own between the gateway and a program, so that nothing of the program outlives it.
//! Owns processes, their end, and one directory that goes with them. What is run and how long is the gateway's to say;
//! it knows no configuration, no store and no clock.
//!
//! Its descriptors: 0 is what the program gets as standard input, 1 what it gets as standard output and error, 2 the
//! socket to the gateway. `Order`s come in and one `Reply` goes out for each `Run`, a line of JSON each. The end of
//! that socket means that nobody waits for the program any more, whether the gateway closed it or was killed.
//!
//! Programs may fork, start sessions and make daemons: whatever loses its parent becomes the supervisor's child, and is
//! ended with the rest. Should the supervisor itself be killed, the kernel kills the program.

mod begin;
mod descendants;
mod orders;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stdin, getpid};

use descendants::{Process, descendants};
pub(super) use orders::{Input, Order, Reply, Run};

/// The executable that holds the supervisor, however it is replaced on disk meanwhile.
const SELF: &str = "/proc/self/exe";

/// What a supervisor's last words begin with, when something went wrong.
pub(super) const COMPLAINT: &str = "supervisor: ";

/// Runs as a supervisor until the socket on descriptor 2 ends, or as the step that becomes the program. `called_as` is
/// what stands before `arguments` on the command line.
pub fn main(called_as: &[&str], mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let ended = match arguments.next() {
        None => Supervisor::new(called_as).and_then(Supervisor::run),
        Some(word) if word == begin::WORD => begin::become_program(arguments),
        Some(word) => Err(io::Error::other(format!("`{}` is not for people", word.display()))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever listens on descriptor 2, the gateway or a curious person, learns why.
            let _ = writeln!(io::stderr(), "{COMPLAINT}{error}");
            ExitCode::FAILURE
        }
    }
}

/// The state of a supervisor.
struct Supervisor<'a> {
    called_as: &'a [&'a str],
    control: BufReader<UnixStream>,
    signals: SignalFd,
    /// The program under way.
    program: Option<Pid>,
    /// How it ended, once it did; what it left running may not have ended yet.
    ended: Option<Reply>,
    /// Set when everything is to end; who has been told already.
    killed: Option<HashSet<Process>>,
    /// Removed when the supervisor ends.
    directory: Option<PathBuf>,
    is_alone: bool,
}

impl<'a> Supervisor<'a> {
    fn new(called_as: &'a [&'a str]) -> io::Result<Self> {
        set_child_subreaper(true)?;
        // The gateway alone ends a supervisor. Programs begin with an empty mask.
        let mut asking_to_end = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT]);
        asking_to_end.add(Signal::SIGCHLD);
        asking_to_end.thread_block()?;
        let child_ended = SigSet::from_iter([Signal::SIGCHLD]);
        Ok(Self {
            called_as,
            control: BufReader::new(UnixStream::from(io::stderr().as_fd().try_clone_to_owned()?)),
            signals: SignalFd::with_flags(&child_ended, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
            program: None,
            ended: None,
            killed: None,
            directory: None,
            is_alone: false,
        })
    }

    fn run(mut self) -> io::Result<()> {
        while !(self.is_alone && self.program.is_none()) {
            let (ordered, died) = self.wait()?;
            if ordered {
                self.obey();
            }
            if died {
                while let Ok(Some(_)) = self.signals.read_signal() {}
            }
            self.look_after()?;
        }
        match &self.directory {
            Some(directory) => remove(directory),
            None => Ok(()),
        }
    }

    /// Waits for an order or for the death of a child.
    fn wait(&self) -> io::Result<(bool, bool)> {
        if !self.control.buffer().is_empty() {
            return Ok((true, true));
        }
        let control = PollFd::new(self.control.get_ref().as_fd(), PollFlags::POLLIN);
        let signals = PollFd::new(self.signals.as_fd(), PollFlags::POLLIN);
        let mut awaited = [signals, control];
        let awaited = if self.is_alone { &mut awaited[..1] } else { &mut awaited[..] };
        match poll(awaited, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok((false, true)),
            Err(error) => return Err(error.into()),
        }
        let is_ready = |one: &PollFd<'_>| one.any().unwrap_or(true);
        Ok((awaited.get(1).is_some_and(is_ready), is_ready(&awaited[0])))
    }

    fn obey(&mut self) {
        let mut line = Vec::new();
        let order = match self.control.read_until(b'\n', &mut line) {
            Ok(1..) => serde_json::from_slice(&line).ok(),
            Ok(0) | Err(_) => None,
        };
        match order {
            Some(Order::Own(directory)) => self.directory = Some(directory.into_owned()),
            Some(Order::Run(run)) => self.start(&run),
            Some(Order::Terminate) => {
                for process in descendants(getpid()) {
                    process.signal(Signal::SIGTERM);
                }
            }
            Some(Order::Kill) => self.killed = Some(self.killed.take().unwrap_or_default()),
            None => {
                self.is_alone = true;
                self.killed = Some(self.killed.take().unwrap_or_default());
            }
        }
    }

    fn start(&mut self, run: &Run) {
        match self.spawn(run) {
            Ok(program) => self.program = Some(program),
            Err(error) => self.reply(&Reply::NotStarted(error.to_string())),
        }
    }

    /// Starts a program by way of a step that first sees to it that the program dies with the supervisor.
    fn spawn(&self, run: &Run) -> io::Result<Pid> {
        if let Some(directory) = self.directory.as_ref().filter(|directory| !directory.exists()) {
            DirBuilder::new().recursive(true).mode(0o700).create(directory.join("tmp"))?;
        }
        let (mut problem, problem_writer) = io::pipe()?;
        let mut command = Command::new(SELF);
        command
            .arg0("hookward")
            .args(self.called_as)
            .args(begin::arguments(getpid(), run))
            .current_dir(&run.directory)
            .env_clear()
            .envs(run.environment.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(match run.input {
                Input::Body => Stdio::inherit(),
                Input::None => Stdio::null(),
            })
            .stdout(Stdio::inherit())
            .stderr(problem_writer);
        let child = command.spawn()?;
        // With our copy of its writing end the pipe would never end.
        drop(command);
        if matches!(run.input, Input::Body) {
            // Whoever feeds the program sees that it reads no more.
            dup2_stdin(File::open("/dev/null")?)?;
        }
        let mut text = String::new();
        problem.read_to_string(&mut text)?;
        if text.is_empty() { Ok(Pid::from_raw(child.id().cast_signed())) } else { Err(io::Error::other(text)) }
    }

    /// Buries who has died, and goes on ending what is to end.
    fn look_after(&mut self) -> io::Result<()> {
        let is_childless = self.reap()?;
        if self.ended.is_some() && self.killed.is_none() {
            self.killed = Some(HashSet::new());
        }
        if is_childless {
            self.program = None;
            self.killed = None;
            if let Some(reply) = self.ended.take() {
                self.reply(&reply);
            }
            return Ok(());
        }
        let Some(killed) = &mut self.killed else { return Ok(()) };
        // A process that was killed cannot fork any more, so one round without a new face was the last.
        loop {
            let fresh: Vec<_> = descendants(getpid()).into_iter().filter(|one| killed.insert(*one)).collect();
            if fresh.is_empty() {
                return Ok(());
            }
            fresh.iter().for_each(|process| process.signal(Signal::SIGKILL));
        }
    }

    /// Whether there is no child left, and so no descendant: one that loses its parent becomes a child.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            let died = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => return Ok(false),
                Ok(WaitStatus::Exited(pid, code)) => Some((pid, Reply::Exited(code))),
                Ok(WaitStatus::Signaled(pid, signal, _)) => Some((pid, Reply::Signalled(signal as i32))),
                Ok(_) | Err(Errno::EINTR) => None,
                Err(Errno::ECHILD) => return Ok(true),
                // It died of a signal that has no name.
                Err(Errno::EINVAL) => {
                    self.program.filter(|pid| kill(*pid, None).is_err()).map(|pid| (pid, Reply::Signalled(0)))
                }
                Err(error) => return Err(error.into()),
            };
            if let Some((_, reply)) = died.filter(|(pid, _)| self.program == Some(*pid)) {
                self.ended = Some(reply);
            }
        }
    }

    fn reply(&mut self, reply: &Reply) {
        let mut line = serde_json::to_vec(reply).expect("a reply is plain JSON");
        line.push(b'\n');
        // A gateway that is gone needs no answer, and its end of the socket says so soon.
        let _ = self.control.get_mut().write_all(&line);
    }
}

/// Removes a directory and what is in it, whatever permissions a program took from it, and whoever else removes it now.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    const TRIES: u32 = 3;
    let mut result = Ok(());
    for _ in 0..TRIES {
        result = match fs::remove_dir_all(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(()) => return Ok(()),
        };
        // Where this does not help, the next try says why.
        let _ = make_writable(directory);
    }
    result
}

fn make_writable(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}
