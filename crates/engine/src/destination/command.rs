//! The `command` kind: one run of a program, the raw bytes on its standard input.
//! Owns the program's environment, its deadline and its end. There is never a shell, and whether to run again is not
//! known here.

mod excerpt;
mod process;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::{InvalidDestination, Parcel, Report};
use crate::clock::Timestamp;
use crate::model::{CommandSpec, Outcome};

use process::{Ended, Running};

/// How long a program has between being asked to end and being ended, at its deadline.
pub const GRACE: Duration = Duration::from_secs(2);

/// Where programs are looked for unless the settings' environment says otherwise. The gateway's own `PATH` is not
/// handed on: a delivery depends on what is configured, not on who started the gateway.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest value of one `HOOKWARD_*` variable, in bytes. Linux refuses to start a program with one above 128 KiB.
const VALUE_MAX: usize = 8 * 1024;

/// A destination that is a program on this machine.
#[derive(Debug)]
pub struct CommandDestination {
    spec: CommandSpec,
    timeout: Duration,
    grace: Duration,
}

impl CommandDestination {
    /// A destination with these settings. At `timeout` the program is asked to end, [`GRACE`] later it is ended.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination::Command`] if the arguments or the environment can never be handed to a program.
    pub fn new(spec: &CommandSpec, timeout: Duration) -> Result<Self, InvalidDestination> {
        check(spec).map_err(InvalidDestination::Command)?;
        Ok(Self { spec: spec.clone(), timeout, grace: GRACE })
    }

    /// The same with another time between being asked to end and being ended.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Runs the program once. When this returns, or is dropped, nothing of its process group is left.
    pub async fn attempt(&self, parcel: Parcel<'_>) -> Report {
        let command = self.command(&parcel);
        let mut running = match Running::start(command, parcel.body) {
            Ok(running) => running,
            Err(error) => return self.not_started(&error),
        };
        let ended = running.until(self.timeout, self.grace).await;
        let (outcome, detail) = self.judge(ended);
        Report { outcome, status: None, retry_after: None, excerpt: running.into_excerpt(), detail }
    }

    fn judge(&self, ended: Ended) -> (Outcome, String) {
        match ended {
            Ended::Itself(status) if status.success() => (Outcome::Success, String::new()),
            Ended::Itself(status) => (Outcome::Exit, describe(status)),
            Ended::AtDeadline(Signal::SIGTERM) => {
                (Outcome::Timeout, format!("still running after {:?}, ended by SIGTERM", self.timeout))
            }
            Ended::AtDeadline(signal) => (
                Outcome::Timeout,
                format!(
                    "still running after {:?}, ignored SIGTERM for {:?}, ended by {signal}",
                    self.timeout, self.grace
                ),
            ),
            Ended::Stuck => {
                (Outcome::Timeout, format!("still running after {:?}, and not even SIGKILL ended it", self.timeout))
            }
            Ended::Unknown(error) => (Outcome::Interrupted, format!("the program's end is unknown: {error}")),
        }
    }

    fn not_started(&self, error: &io::Error) -> Report {
        let program = &self.spec.argv[0];
        let directory = self.directory();
        let detail = format!("cannot start `{program}` in `{}`: {error}", directory.display());
        Report::failed(Outcome::Spawn, detail)
    }

    fn directory(&self) -> PathBuf {
        self.spec.directory.as_ref().map_or_else(std::env::temp_dir, PathBuf::from)
    }

    fn command(&self, parcel: &Parcel<'_>) -> Command {
        let content_type = parcel.request.headers.iter().find(|(name, _)| name == "content-type");
        let content_type = content_type.map(|(_, value)| String::from_utf8_lossy(value)).unwrap_or_default();
        let mut command = Command::new(&self.spec.argv[0]);
        command
            .args(&self.spec.argv[1..])
            .current_dir(self.directory())
            .env_clear()
            .env("PATH", DEFAULT_PATH)
            .envs(self.spec.environment.iter().map(|(name, value)| (name, value)))
            .env("HOOKWARD_EVENT_ID", parcel.event.to_string())
            .env("HOOKWARD_DELIVERY_ID", parcel.delivery.to_string())
            .env("HOOKWARD_ATTEMPT", parcel.number.to_string())
            .env("HOOKWARD_EVENT_TYPE", value(parcel.event_type))
            .env("HOOKWARD_SOURCE", value(parcel.source))
            .env("HOOKWARD_SENDER_DELIVERY_ID", value(parcel.delivery_id.unwrap_or_default()))
            .env("HOOKWARD_RECEIVED_AT", rfc3339(parcel.received_at))
            .env("HOOKWARD_CONTENT_TYPE", value(&content_type));
        command
    }
}

fn check(spec: &CommandSpec) -> Result<(), String> {
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err("it names no program".to_owned());
    }
    if spec.argv.iter().chain(&spec.directory).any(|text| text.contains('\0')) {
        return Err("an argument or the directory holds a NUL character".to_owned());
    }
    for (name, value) in &spec.environment {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("`{}` cannot name an environment variable", name.escape_debug()));
        }
        if name.starts_with("HOOKWARD_") {
            return Err(format!("the environment variable `{name}` is set by Hookward"));
        }
        if value.contains('\0') {
            return Err(format!("the value of the environment variable `{name}` holds a NUL character"));
        }
    }
    Ok(())
}

/// What a sender wrote, made fit for an environment variable: no NUL, and not too long.
fn value(text: &str) -> String {
    let mut value = text.replace('\0', "\u{fffd}");
    value.truncate(value.floor_char_boundary(VALUE_MAX));
    value
}

fn rfc3339(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("ended by {signal}"),
            Err(_) => format!("ended by signal {number}"),
        },
        (None, None) => format!("ended with {status}"),
    }
}
