//! `cargo xtask …`: everything the project checks about itself, by one command each. `ci` runs them all.
//! Owns the list of commands; what a command does is in the module of its name.

mod ci;
mod run;
mod tidy;

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
    /// Everything, in order, stopping at the first failure
    Ci,
    /// The house rules that no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Ci => ci::run_all(),
        Command::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
