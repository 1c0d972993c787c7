//! The `command` kind: one run of a program, the raw bytes on its standard input.
//! Owns the program's environment, its deadline and its end. There is never a shell, and whether to run again is not
//! known here.

mod checkout;
mod process;
mod redactor;
pub mod supervise;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{InvalidDestination, Parcel, Report, rfc3339};
use crate::model::{CommandSpec, Outcome};

use checkout::{Checkout, Ready};
pub use checkout::{Checkouts, prepare};
pub use process::Supervisor;
use process::{Limits, Overrun, Running, Told};
use supervise::{Input, Reply, Run};

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
    checkout: Option<Checkout>,
    supervisor: Supervisor,
    timeout: Duration,
    grace: Duration,
}

impl CommandDestination {
    /// A destination with these settings, whose programs run under `supervisor`. At `timeout` the program is asked to
    /// end, [`GRACE`] later it is ended.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination::Command`] if the arguments or the environment can never be handed to a program;
    /// [`InvalidDestination::Url`] if the base of its checkouts is no URL.
    pub fn new(
        spec: &CommandSpec,
        timeout: Duration,
        supervisor: Supervisor,
        checkouts: &Checkouts,
    ) -> Result<Self, InvalidDestination> {
        check(spec).map_err(InvalidDestination::Command)?;
        let checkout = spec.checkout.as_ref();
        let checkout = checkout.map(|checkout| Checkout::new(checkout, &spec.environment, timeout, checkouts));
        Ok(Self { spec: spec.clone(), checkout: checkout.transpose()?, supervisor, timeout, grace: GRACE })
    }

    /// The same with another time between being asked to end and being ended.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Runs the program once. When this returns nothing that the program started is left, whatever it did to escape; when
    /// it is dropped, that is so a moment later.
    pub async fn attempt(&self, parcel: Parcel<'_>) -> Report {
        let mut running = match Running::start(&self.supervisor, parcel.body.clone(), parcel.output) {
            Ok(running) => running,
            Err(error) => return Report::failed(Outcome::Spawn, format!("cannot start a supervisor: {error}")),
        };
        let limits = Limits { deadline: self.timeout, called_off: parcel.called_off };
        let report = match limits.keep(self.work(&mut running, &parcel)).await {
            Ok(report) => report,
            Err(overrun) => self.judge_told(overrun, &running.end(self.grace).await),
        };
        Report { excerpt: running.finish().await, output: Some(parcel.output.kept()), ..report }
    }

    async fn work(&self, running: &mut Running<'_>, parcel: &Parcel<'_>) -> Report {
        let ready = match &self.checkout {
            None => None,
            Some(checkout) => match checkout.fetch(running, parcel).await {
                Ok(ready) => Some(ready),
                Err(problem) => return Report::failed(Outcome::Checkout, problem),
            },
        };
        self.judge(running.run(&self.run(parcel, ready.as_ref())).await)
    }

    fn judge(&self, ended: io::Result<Reply>) -> Report {
        match ended {
            Ok(Reply::Exited(0)) => Report { exit_code: Some(0), ..Report::failed(Outcome::Success, "") },
            Ok(Reply::Exited(code)) => {
                let failed = Report::failed(Outcome::Exit, format!("exited with status {code}"));
                Report { exit_code: Some(code), ..failed }
            }
            Ok(Reply::Signalled(number)) => Report::failed(Outcome::Exit, format!("ended by {}", signal_name(number))),
            Ok(Reply::NotStarted(problem)) => Report::failed(Outcome::Spawn, self.not_started(&problem)),
            Err(error) => Report::failed(Outcome::Interrupted, format!("the program's end is unknown: {error}")),
        }
    }

    /// What is reported of a program that was told to end.
    fn judge_told(&self, overrun: Overrun, told: &Told) -> Report {
        let end = match told {
            Told::Heeded => "ended by SIGTERM".to_owned(),
            Told::Killed => format!("ignored SIGTERM for {:?}, ended by SIGKILL", self.grace),
            Told::Stuck => "and not even SIGKILL ended it".to_owned(),
            Told::Lost(error) => format!("and its supervisor was lost: {error}"),
        };
        match overrun {
            Overrun::Deadline => {
                Report::failed(Outcome::Timeout, format!("still running after {:?}, {end}", self.timeout))
            }
            Overrun::CalledOff => Report::failed(Outcome::Cancelled, format!("called off while it ran, {end}")),
        }
    }

    fn not_started(&self, problem: &str) -> String {
        format!("cannot start `{}` in `{}`: {problem}", self.spec.argv[0], self.directory().display())
    }

    fn directory(&self) -> PathBuf {
        self.spec.directory.as_ref().map_or_else(std::env::temp_dir, PathBuf::from)
    }

    fn run(&self, parcel: &Parcel<'_>, ready: Option<&Ready>) -> Run {
        let content_type = parcel.request.headers.iter().find(|(name, _)| name == "content-type");
        let content_type = content_type.map(|(_, value)| String::from_utf8_lossy(value)).unwrap_or_default();
        let own = |name: &str, value: String| (name.to_owned(), value);
        let mut environment = vec![own("PATH", DEFAULT_PATH.to_owned())];
        if let Some(ready) = ready {
            environment.push(own("TMPDIR", ready.scratch.display().to_string()));
        }
        environment.extend_from_slice(&self.spec.environment);
        environment.extend([
            own("HOOKWARD_EVENT_ID", parcel.event.to_string()),
            own("HOOKWARD_DELIVERY_ID", parcel.delivery.to_string()),
            own("HOOKWARD_ATTEMPT", parcel.number.to_string()),
            own("HOOKWARD_EVENT_TYPE", value(parcel.event_type)),
            own("HOOKWARD_SOURCE", value(parcel.source)),
            own("HOOKWARD_SENDER_DELIVERY_ID", value(parcel.delivery_id.unwrap_or_default())),
            own("HOOKWARD_RECEIVED_AT", rfc3339(parcel.received_at)),
            own("HOOKWARD_CONTENT_TYPE", value(&content_type)),
        ]);
        if parcel.skipped > 0 {
            environment.push(own("HOOKWARD_SKIPPED", parcel.skipped.to_string()));
        }
        if let Some(ready) = ready {
            environment.push(own("HOOKWARD_CHECKOUT", ready.source.display().to_string()));
            environment.push(own("HOOKWARD_COMMIT", ready.commit.clone()));
        }
        let directory = ready.map_or_else(|| self.directory(), |ready| ready.source.clone());
        Run { argv: self.spec.argv.clone(), directory, environment, input: Input::Body, file_max: None }
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

fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}
