//! The command line: what there is to type, and what the exit status means. Each command is a module below.
//! Commands about a running gateway speak its API; `db` alone opens data.

mod audit;
mod backup;
mod config;
mod db;
mod deliveries;
mod echo;
mod event_types;
mod events;
mod exit;
mod files;
mod filter;
mod follow;
mod jobs;
mod keys;
mod kms;
mod listen;
mod nodes;
mod organization;
mod print;
mod pull;
mod recovery;
mod refusals;
mod remote;
mod resources;
mod schemes;
mod secret;
mod send;
mod serve;
mod sign;
mod tail;
mod users;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hookward_engine::clock::{Clock, SystemClock};

use crate::{demo, logging, supervise, world};
use exit::Exit;

/// How long what still runs may take once the command is over.
const LAST_MOMENT: Duration = Duration::from_secs(1);

const STATUS: &str = "Exit status: 0 done, 1 failed, 2 wrong use or configuration, 3 not found, 4 not authorised, 5 refused,\n10 a plan that changes something.";

/// One door for every webhook: proves who sent it, never loses it, never runs it twice.
#[derive(Debug, Parser)]
#[command(name = "hookward", version, after_help = STATUS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Serve),
    /// See one real webhook go through everything, in a temporary directory
    Demo {
        /// End after the story instead of going on serving
        #[arg(long)]
        once: bool,
    },
    Verify(verify::Verify),
    Sign(sign::Sign),
    Send(send::Send),
    Schemes(schemes::Schemes),
    /// Look at a configuration file without starting anything
    #[command(subcommand)]
    Config(config::Config),
    /// Say what applying a configuration file would change: exit status 10 if anything
    Plan {
        #[command(flatten)]
        file: files::File,
        #[command(flatten)]
        remote: Remote,
    },
    /// Put a configuration file's sources and destinations in force, all or nothing
    Apply {
        #[command(flatten)]
        file: files::File,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Print all sources and destinations as a configuration file, without secrets
    Export {
        #[command(flatten)]
        remote: Remote,
    },
    /// The doors in
    Source {
        #[command(subcommand)]
        what: resources::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// The ways out
    Destination {
        #[command(subcommand)]
        what: resources::DestinationWhat,
        #[command(flatten)]
        remote: Remote,
    },
    /// What came in
    Event {
        #[command(subcommand)]
        what: events::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// What is owed to destinations, and every attempt
    Delivery {
        #[command(subcommand)]
        what: deliveries::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// Requests that were not believed, and why
    Refusal {
        #[command(subcommand)]
        what: refusals::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// Owe many events again: all that match
    Redeliver {
        #[command(flatten)]
        redelivery: jobs::Redelivery,
        #[command(flatten)]
        remote: Remote,
    },
    /// Bring back what a destination failed to take, or never got
    Recover {
        #[command(flatten)]
        recover: recovery::Recover,
        #[command(flatten)]
        remote: Remote,
    },
    /// Redeliveries of many events under way
    Job {
        #[command(subcommand)]
        what: jobs::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// What programs prove themselves with
    Key {
        #[command(subcommand)]
        what: keys::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// The people of an organization
    User {
        #[command(subcommand)]
        what: users::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// Take what a `pull` destination is owed
    Pull {
        #[command(flatten)]
        pull: pull::Pull,
        #[command(flatten)]
        remote: Remote,
    },
    /// Send an event to every destination that hears its type
    Publish {
        #[command(flatten)]
        publish: events::Publication,
        #[command(flatten)]
        remote: Remote,
    },
    /// What types of events are published, and which payloads fit them
    EventType {
        #[command(subcommand)]
        what: event_types::What,
        #[command(flatten)]
        remote: Remote,
    },
    Listen {
        #[command(flatten)]
        listen: Box<listen::Listen>,
        #[command(flatten)]
        remote: Remote,
    },
    Tail {
        #[command(flatten)]
        tail: tail::Tail,
        #[command(flatten)]
        remote: Remote,
    },
    Echo(echo::Echo),
    /// Expressions that decide what goes where
    Filter {
        #[command(subcommand)]
        what: filter::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// What happened, and the proof that nobody changed the record of it
    Audit {
        #[command(subcommand)]
        what: audit::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// Save everything that a gateway keeps, while it goes on
    ///
    /// The master key is not in it, so whoever has the file alone has no secret. Keep the key elsewhere: without it a
    /// restored gateway has no secret either.
    #[command(after_help = "Example: hookward backup hookward-2026-01-31.backup")]
    Backup {
        #[command(flatten)]
        saving: backup::Saving,
        #[command(flatten)]
        remote: Remote,
    },
    Restore(backup::Restore),
    /// A database as a whole: copied into another one, looked at, saved
    #[command(subcommand)]
    Db(db::What),
    /// Organizations, for whoever operates the installation
    Organization {
        #[command(subcommand)]
        what: organization::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// The processes that serve the installation, for whoever operates it
    Node {
        #[command(subcommand)]
        what: nodes::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// The keys that seal all secrets
    Kms {
        #[command(subcommand)]
        what: kms::What,
        #[command(flatten)]
        remote: Remote,
    },
    /// Secrets of sources and destinations
    Secret {
        #[command(subcommand)]
        what: secret::What,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Which gateway, and how to show what it says.
#[derive(Debug, Args)]
struct Remote {
    /// Where the admin listener is
    #[arg(
        long,
        global = true,
        env = "HOOKWARD_URL",
        default_value = "http://127.0.0.1:8081",
        help_heading = "Gateway"
    )]
    url: String,
    /// How to show the answer
    #[arg(long, global = true, value_enum, default_value_t = Output::Table, help_heading = "Gateway")]
    output: Output,
}

/// How to show what came of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people
    Table,
    /// For programs: what the API answered
    Json,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    supervise::run(std::env::args_os()).unwrap_or_else(|| run(std::env::args_os()))
}

fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output and is not a failure. A closed pipe is nobody's problem.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Only a gateway that serves has a log of its own accord.
    let default = if matches!(cli.command, Command::Serve(_)) { "info" } else { "error" };
    let (filter, format) = (world::variable("HOOKWARD_LOG"), world::variable("HOOKWARD_LOG_FORMAT"));
    logging::start(filter.as_deref(), default, format.as_deref());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(execute(cli.command));
            runtime.shutdown_timeout(LAST_MOMENT);
            result
        }
        Err(error) => Err(Exit::failure(format!("cannot start: {error}"))),
    };
    match result {
        Ok(code) => code,
        Err(exit) => exit.report(),
    }
}

async fn execute(command: Command) -> Result<ExitCode, Exit> {
    match command {
        Command::Serve(command) => return serve::run(command).await,
        Command::Verify(command) => return verify::run(command, now()),
        Command::Sign(command) => return sign::run(command, now()),
        Command::Send(command) => return send::run(command).await,
        Command::Schemes(command) => return schemes::run(command).await,
        Command::Filter { what, remote } => return filter::run(what, remote).await,
        Command::Plan { file, remote } => return files::plan(file, &remote.open()?).await,
        Command::Demo { once } => return Ok(demo::run(once).await?),
        Command::Config(command) => config::run(command)?,
        Command::Audit { what, remote } => audit::run(what, remote).await?,
        Command::Backup { saving, remote } => backup::take(saving, &remote.open()?, &moment()).await?,
        Command::Restore(restore) => backup::restore(&restore)?,
        Command::Db(what) => db::run(what).await?,
        Command::Apply { file, yes, remote } => files::apply(file, yes, &remote.open()?).await?,
        Command::Export { remote } => files::export(&remote.open()?).await?,
        Command::Source { what, remote } => resources::source(what, &remote.open()?).await?,
        Command::Destination { what, remote } => resources::destination(what, &remote.open()?).await?,
        Command::Event { what, remote } => events::run(what, &remote.open()?).await?,
        Command::Delivery { what, remote } => deliveries::run(what, &remote.open()?).await?,
        Command::Refusal { what, remote } => refusals::run(what, &remote.open()?).await?,
        Command::Redeliver { redelivery, remote } => jobs::redeliver(redelivery, &remote.open()?).await?,
        Command::Recover { recover, remote } => recovery::run(recover, &remote.open()?).await?,
        Command::Job { what, remote } => jobs::run(what, &remote.open()?).await?,
        Command::Key { what, remote } => keys::run(what, &remote.open()?).await?,
        Command::User { what, remote } => users::run(what, &remote.open()?).await?,
        Command::Pull { pull, remote } => pull::run(pull, &remote.open()?).await?,
        Command::Publish { publish, remote } => events::publish(publish, &remote.open()?).await?,
        Command::EventType { what, remote } => event_types::run(what, remote).await?,
        Command::Listen { listen, remote } => listen::run(*listen, remote.open()?).await?,
        Command::Tail { tail, remote } => tail::run(tail, &remote.open()?).await?,
        Command::Echo(command) => echo::run(command).await?,
        Command::Organization { what, remote } => organization::run(what, &remote.open()?).await?,
        Command::Node { what, remote } => nodes::run(what, &remote.open()?).await?,
        Command::Kms { what, remote } => kms::run(what, &remote.open()?).await?,
        Command::Secret { what, remote } => secret::run(what, &remote.open()?).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The time, for the commands that judge or sign as of now.
fn now() -> hookward::UnixTime {
    hookward::UnixTime::from_millis(SystemClock::new().now().as_millis())
}

/// The time as part of a file's name.
fn moment() -> String {
    let at = jiff::Timestamp::from_millisecond(SystemClock::new().now().as_millis()).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
