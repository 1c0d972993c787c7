//! `cargo xtask …`: everything the project checks about itself, by one command each. `ci` runs them all.
//! Owns the list of commands; what a command does is in the module of its name.

mod access;
mod addresses;
mod bad_inputs;
mod bench;
mod bindings;
mod cells;
mod ci;
mod cluster;
mod constant_time;
mod crash;
mod dashboard;
mod fuzz;
mod interop;
mod leaks;
mod octokit;
mod oidc;
mod openapi;
mod postgres;
mod readme;
mod receivers;
mod reference;
mod replays;
mod rewrap;
mod rotations;
mod run;
mod schemathesis;
mod switches;
mod tidy;
mod vectors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything, stopping at the first failure
    Ci {
        /// Only with servers on this store: on PostgreSQL, what looks at servers from outside
        #[arg(long)]
        store: Option<ci::Store>,
    },
    /// One step of it that needs nothing of the others, with what is built already
    #[command(hide = true)]
    Step {
        /// As the summary calls it
        name: String,
    },
    /// The house rules that no compiler checks
    Tidy,
    /// Kills the server at random moments under load and looks for what was lost
    Crash(crash::Plan),
    /// Several nodes on PostgreSQL: killed, stopped, cut off, their commits cut, the database restarted and overloaded
    Cluster(cluster::Plan),
    /// The dashboard in a real browser: every page, on a desk and in a hand, with scripts and without
    Dashboard {
        /// Only parts whose name contains this: `journey`, `systems`, `tour`, `hostile`; `pictures` makes the README's
        only: Option<String>,
    },
    /// GitHub's own payloads and code against the gateway, both ways
    Octokit,
    /// People sign in by way of a real OpenID Connect provider
    Oidc,
    /// The ways into a PostgreSQL: PgBouncer, authorities of one's own
    Access,
    /// Deliveries as real receivers see them, before, during and after a rotation
    Receivers {
        /// Only courses whose name contains this: the examples', `packages`
        only: Option<String>,
    },
    /// The judge of addresses against an independent table of a million of them
    Addresses(addresses::Plan),
    /// The corpus of malformed and hostile requests, one line each
    BadInputs {
        /// Only cases whose id contains this
        only: Option<String>,
    },
    /// Writes docs/openapi.json, the description of the API, as the server gives it
    Openapi,
    /// Captured requests sent again, all at once, under fresh ids
    Replays(replays::Plan),
    /// Rotates a secret again and again under load, with senders that switch within the grace
    Rotations(rotations::Plan),
    /// Receivers that switch to a new secret at a random moment of the grace, again and again, while deliveries flow
    Switches(switches::Plan),
    /// Requests made up from the description of the API, at random and against the rules, at a running server
    Schemathesis(schemathesis::Plan),
    /// Every secret from a local key to a token to AWS's KMS under load, killed half-way each time
    Rewrap(rewrap::Plan),
    /// Simulates organizations spread over several PostgreSQL primaries: docs/scaling.md
    Cells(cells::Plan),
    /// The packages for Python and Node, built and tested as they are installed
    Bindings,
    /// Hookward and the packages that providers publish, held against each other
    Interop,
    /// Mutated inputs for minutes against everything that reads what strangers send
    Fuzz(fuzz::Plan),
    /// Measures
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Writes docs/schemes.md and its JSON Schema, as the library describes scheme files
    Reference {
        /// Compares, and writes nothing
        #[arg(long)]
        check: bool,
    },
    /// Computes the vectors of the schemes in a second way and writes them
    Vectors {
        /// Only compare them with those that are there
        #[arg(long)]
        check: bool,
    },
    /// Runs the README's commands and compares what they print
    Readme,
    /// Counts a verdict's instructions, which may not depend on where a signature is wrong
    ConstantTime,
    /// Looks for secrets in everything that is written while they are used
    Leaks,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Ci { store } => ci::run_all(store),
        Command::Step { name } => ci::run_one(&name),
        Command::Tidy => tidy::run(),
        Command::Crash(plan) => run::build_server().and_then(|()| crash::run(&plan)),
        Command::Cluster(plan) => run::build_server().and_then(|()| cluster::run(&plan)),
        Command::Dashboard { only } => {
            run::build_server().and_then(|()| dashboard::run(only.as_deref(), dashboard::Extent::Full))
        }
        Command::Octokit => run::build_server().and_then(|()| octokit::run()),
        Command::Access => run::build_server().and_then(|()| access::run()),
        Command::Oidc => run::build_server().and_then(|()| oidc::run()),
        Command::Receivers { only } => run::build_server().and_then(|()| receivers::run(only.as_deref())),
        Command::Addresses(plan) => addresses::run(&plan),
        Command::BadInputs { only } => run::build_server().and_then(|()| bad_inputs::run(only.as_deref())),
        Command::Openapi => run::build_server().and_then(|()| openapi::run()),
        Command::Replays(plan) => run::build_server().and_then(|()| replays::run(&plan)),
        Command::Rotations(plan) => run::build_server().and_then(|()| rotations::run(&plan)),
        Command::Schemathesis(plan) => run::build_server().and_then(|()| schemathesis::run(&plan)),
        Command::Switches(plan) => run::build_server().and_then(|()| switches::run(&plan)),
        Command::Rewrap(plan) => run::build_everything().and_then(|()| rewrap::run_all(&plan)),
        Command::Cells(plan) => cells::run(&plan),
        Command::Bindings => bindings::run_all(),
        Command::Interop => interop::run(),
        Command::Fuzz(plan) => fuzz::run(&plan),
        Command::Bench(what) => bench::execute(&what),
        Command::Reference { check } => reference::run(check),
        Command::Vectors { check } => vectors::run(check),
        Command::Readme => run::build_server().and_then(|()| readme::run()),
        Command::ConstantTime => constant_time::run_all(),
        Command::Leaks => run::build_server().and_then(|()| leaks::run()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
