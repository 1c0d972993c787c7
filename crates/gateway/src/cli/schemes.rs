//! `hookward schemes`: what the library can verify and sign, and the files that say how. Speaks to no gateway.

mod check;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hookward::{Parameter, Scheme, catalog};
use serde_json::{Value, json};

use super::Output;
use super::exit::Exit;
use super::print;

/// List the schemes, show one as the file that defines it, or check a file of your own
#[derive(Debug, Args)]
pub(super) struct Schemes {
    #[command(subcommand)]
    what: Option<What>,
    /// How to show the answer
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All of them
    List,
    /// The file that defines one, to start a private scheme from
    Show {
        /// Its name
        name: String,
    },
    /// Hold a scheme file against its vectors, and tell of each whether it has its answer
    #[command(after_help = "Exit status: 0 all have, 5 some have another, 2 a file cannot be used.\n\
        Example: hookward schemes check mine.toml")]
    Check {
        /// The scheme, in the syntax that `hookward schemes show` prints
        file: PathBuf,
        /// Its vectors, instead of those in NAME.vectors.toml beside it
        #[arg(long, value_name = "FILE")]
        vectors: Option<PathBuf>,
    },
}

/// Runs `hookward schemes …`.
pub(super) fn run(command: Schemes) -> Result<ExitCode, Exit> {
    match command.what.unwrap_or(What::List) {
        What::List => list(command.output)?,
        What::Show { name } => show(&name, command.output)?,
        What::Check { file, vectors } => return check::run(&file, vectors.as_deref()),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: Output) -> Result<(), Exit> {
    let items: Vec<Value> = catalog::names().filter_map(catalog::find).map(facts).collect();
    match output {
        Output::Json => print::json(&Value::from(items)),
        Output::Table => print::line(&print::table(&items, &[("NAME", "name"), ("PROVIDER", "title")])),
    }
}

fn show(name: &str, output: Output) -> Result<(), Exit> {
    let (Some(scheme), Some(source)) = (catalog::find(name), catalog::source(name)) else {
        return Err(Exit::not_found(format!("unknown scheme `{name}`; `hookward schemes` lists all")));
    };
    match output {
        Output::Table => print::out(source.as_bytes()),
        Output::Json => {
            let mut facts = facts(scheme);
            facts["toml"] = source.into();
            print::json(&facts)
        }
    }
}

fn parameter(parameter: &Parameter<'_>) -> Value {
    json!({ "name": parameter.name, "meaning": parameter.meaning, "is_required": parameter.is_required })
}

fn facts(scheme: &Scheme) -> Value {
    json!({
        "name": scheme.name(),
        "title": scheme.title(),
        "docs": scheme.docs(),
        "tolerance_s": scheme.tolerance().map(|tolerance| tolerance.as_secs()),
        "body_is_unique": scheme.body_is_unique(),
        "parameters": scheme.takes().iter().map(parameter).collect::<Vec<_>>(),
        "signature_headers": scheme.signature_headers(),
        "credential_headers": scheme.credential_headers(),
        "credential_query": scheme.credential_query(),
    })
}
